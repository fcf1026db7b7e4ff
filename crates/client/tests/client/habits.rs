//! What people write at first is what compiles.

#![expect(clippy::needless_borrows_for_generic_args, reason = "the habit that is to compile")]

use std::borrow::Cow;

use ottla::{Admin, Consumer, Payload, Producer, ProducerRecord, config::Names};

fn names<Kind>(names: impl Names<Kind>) -> Vec<String> {
    names.into_names()
}

#[test]
fn one_name_or_several_are_taken_in_every_form() {
    let (text, list) = (String::from("a"), vec![String::from("a"), String::from("b")]);
    for one in [names("a"), names(&text), names(text.clone()), names(["a"]), names(&["a"]), names(vec!["a"])]
    {
        assert_eq!(one, ["a"]);
    }
    let mapped = list.iter().map(|name| format!("{name}!"));
    assert_eq!(names(mapped), ["a!", "b!"]);
    for several in
        [names(["a", "b"]), names(&["a", "b"]), names(&list), names(&list[..]), names(list.clone())]
    {
        assert_eq!(several, ["a", "b"]);
    }
}

#[test]
fn builders_take_one_address_and_one_topic_as_they_are() {
    let servers = vec![String::from("h:9092"), String::from("i:9092")];
    let consumers = [
        Consumer::builder().bootstrap_servers("h:9092,i:9092").subscribe("orders"),
        Consumer::builder().bootstrap_servers(["h:9092", "i:9092"]).subscribe(["orders"]),
        Consumer::builder().bootstrap_servers(servers.clone()).subscribe(&["orders"]),
        Consumer::builder().bootstrap_servers(&servers).subscribe(String::from("orders")),
    ];
    drop((consumers, Producer::builder().bootstrap_servers("h:9092")));
    drop(Admin::builder().bootstrap_servers(&servers[..]));
}

#[test]
fn keys_and_values_are_text_or_bytes_borrowed_or_owned_or_none() {
    let (text, bytes) = (String::from("k"), b"k".to_vec());
    let payloads: [Payload<'_>; 9] = [
        "k".into(),
        (&text).into(),
        text.clone().into(),
        b"k".into(),
        bytes.as_slice().into(),
        (&bytes).into(),
        bytes.clone().into(),
        Cow::Borrowed(bytes.as_slice()).into(),
        Some("k").into(),
    ];
    for payload in payloads {
        assert_eq!(payload, Payload::from("k"));
    }
    let record = ProducerRecord::to("orders").key("k").value(text.clone()).header("h", "v");
    assert_eq!(record, ProducerRecord::to("orders").key(&bytes).value(b"k").header(b"h", b"v"));
    let deletion = ProducerRecord::to("orders").key("k").value(None::<&str>);
    assert_eq!(deletion, ProducerRecord::to("orders").key("k"));
}
