//! `ottla broker`.

use crate::support::{Broker, run};

#[test]
fn it_announces_every_broker_and_ends_with_0_on_sigterm() {
    let broker = Broker::with(&["--brokers", "3", "--topic", "a:3"]);
    assert_eq!(broker.servers.split(',').count(), 3, "{}", broker.servers);
    let rows = crate::support::rows(&broker.run(&["topics", "describe", "--output", "json"]).ok());
    let leaders: Vec<_> = rows.iter().map(|row| row["leader"].as_i64().unwrap()).collect();
    assert_eq!(leaders, [1, 2, 3]);
    let done = broker.stop();
    assert_eq!((done.status, done.complaints()), (Some(0), vec![]));
}

#[test]
fn an_address_that_others_reach_needs_as_many_words() {
    let refused = run(&["broker", "--listen", "0.0.0.0:0"]).failed(2);
    assert!(refused.contains("--allow-remote"), "{refused}");
    let refused = run(&["broker", "--listen", "0.0.0.0:0", "--allow-remote"]).failed(2);
    assert!(refused.contains("--advertised-host"), "{refused}");
    let refused = run(&["broker", "--listen", "nowhere"]).failed(2);
    assert!(refused.contains("nowhere") && refused.contains("HOST:PORT"), "{refused}");
}

#[test]
fn a_port_in_use_is_named() {
    let broker = Broker::start(&[]);
    let refused = run(&["broker", "--listen", &broker.servers]).failed(1);
    assert!(refused.contains(&broker.servers) && refused.contains("in use"), "{refused}");
}

#[test]
fn a_topic_that_cannot_be_is_refused() {
    for topic in ["orders", "orders:", "orders:x", "orders:0", ":3", "a b:1"] {
        let refused = run(&["broker", "--listen", "127.0.0.1:0", "--topic", topic]).failed(2);
        assert!(refused.contains("--topic"), "{refused}");
    }
}
