//! How a registry is asked, and what its failures are.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ottla::schema_registry::{
    SchemaId, SchemaRegistry, SchemaRegistryError, SchemaRegistryErrorKind as Kind, SchemaType,
};
use serde_json::json;

use crate::{
    PATIENCE,
    stub::{Answer, Stub},
};

const ONE: SchemaId = SchemaId::Id(1);

/// The error of a registry that always answers so, and how many requests there were.
async fn error(answer: impl Fn() -> Answer + Send + Sync + 'static) -> (SchemaRegistryError, usize) {
    let stub = Stub::new(move |_| answer());
    let client = stub.builder().request_timeout(Duration::from_secs(1));
    let client = client.total_timeout(Duration::from_secs(2)).build().unwrap();
    let error = tokio::time::timeout(PATIENCE, client.schema(ONE)).await.unwrap().unwrap_err();
    (error, stub.paths().len())
}

#[tokio::test]
async fn a_schema_is_asked_for_once_and_kept() {
    let stub = Stub::with([("/schemas/ids/1", json!({"schema": "\"long\""}))]);
    let client = stub.client();
    assert!(client.known(ONE).is_none());
    for _ in 0..3 {
        let schema = client.clone().schema(ONE).await.unwrap();
        assert_eq!((schema.schema_type(), schema.text()), (&SchemaType::Avro, "\"long\""));
    }
    assert!(client.known(ONE).is_some());
    assert_eq!(stub.paths(), ["/schemas/ids/1"]);
}

#[tokio::test]
async fn a_guid_is_asked_for_in_lower_case_with_its_dashes() {
    let path = "/schemas/guids/703728f3-af1e-548a-663d-de737237d988";
    let stub = Stub::with([(path, json!({"schema": "\"long\"", "schemaType": "AVRO"}))]);
    let guid = crate::hex("703728f3af1e548a663dde737237d988").try_into().unwrap();
    stub.client().schema(SchemaId::Guid(guid)).await.unwrap();
    assert_eq!(stub.paths(), [path]);
}

/// A registry that answers once the gate is open.
fn gated() -> (Stub, Arc<Barrier>) {
    let gate = Arc::new(Barrier::new(2));
    let open = gate.clone();
    let stub = Stub::new(move |_| {
        open.wait();
        Answer::avro("\"long\"")
    });
    (stub, gate)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_who_ask_at_once_make_one_request() {
    let (stub, gate) = gated();
    let client = stub.client();
    let asking: Vec<_> = (0..100)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.schema(ONE).await })
        })
        .collect();
    stub.wait_for_requests(1);
    gate.wait();
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap().text(), "\"long\"");
    }
    assert_eq!(stub.paths().len(), 1);
}

#[tokio::test]
async fn a_failure_is_told_to_all_who_wait_and_is_not_kept() {
    let is_down = Arc::new(AtomicBool::new(true));
    let down = is_down.clone();
    let stub = Stub::new(move |_| match down.load(Ordering::SeqCst) {
        true => Answer::Bytes(503, b"<html>".to_vec()),
        false => Answer::avro("\"long\""),
    });
    let client = stub.builder().total_timeout(Duration::from_secs(1)).build().unwrap();
    let (one, two) = tokio::join!(client.schema(ONE), client.schema(ONE));
    for asked in [one, two] {
        let error = asked.unwrap_err();
        assert_eq!((error.kind(), error.status()), (Kind::Unavailable, Some(503)));
        assert!(error.is_retriable());
    }
    is_down.store(false, Ordering::SeqCst);
    client.schema(ONE).await.unwrap();
}

#[tokio::test]
async fn a_registry_that_fails_for_a_while_is_asked_until_it_answers() {
    let asked = AtomicUsize::new(0);
    let stub = Stub::new(move |_| match asked.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::error(500, 50001),
        1 => Answer::Bytes(500, b"<html>Internal Server Error".to_vec()),
        2 => Answer::Bytes(429, Vec::new()),
        3 => Answer::error(500, 50002),
        4 => Answer::Bytes(502, vec![b'x'; 2 << 20]),
        _ => Answer::avro("\"long\""),
    });
    stub.client().schema(ONE).await.unwrap();
    assert_eq!(stub.paths().len(), 6);
}

#[tokio::test]
async fn a_500_that_the_registry_fails_with_by_itself_is_asked_for_three_times() {
    let (error, requests) = error(|| Answer::error(500, 0)).await;
    assert_eq!((error.kind(), error.error_code(), requests), (Kind::Unavailable, Some(0), 3));
    assert!(error.is_retriable());
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    type Case = (fn() -> Answer, Kind, bool);
    let cases: [Case; 10] = [
        (|| Answer::error(404, 40403), Kind::NotFound, false),
        (|| Answer::Bytes(404, Vec::new()), Kind::NoEndpoint, true),
        (|| Answer::error(401, 40101), Kind::Unauthorized, true),
        (|| Answer::Bytes(403, Vec::new()), Kind::Unauthorized, true),
        (|| Answer::error(422, 42201), Kind::Refused, true),
        (|| Answer::Bytes(200, b"<html>Welcome".to_vec()), Kind::Malformed, true),
        (|| Answer::Json(200, json!({"schema": 7})), Kind::Malformed, true),
        (|| Answer::Json(200, json!({"schema": "", "references": [{"name": "a"}]})), Kind::Malformed, true),
        (|| Answer::Bytes(200, vec![b'['; 100_000]), Kind::Malformed, true),
        (|| Answer::Endless, Kind::TooLarge, false),
    ];
    for (answer, kind, is_retriable) in cases {
        let (error, requests) = error(answer).await;
        assert_eq!((error.kind(), error.is_retriable(), requests), (kind, is_retriable, 1), "{error}");
    }
}

#[tokio::test]
async fn a_registry_that_does_not_answer_in_time_is_down() {
    let begun = Instant::now();
    let (error, _) = error(|| Answer::Silence).await;
    assert_eq!((error.kind(), error.status()), (Kind::Unavailable, None));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn where_nobody_listens_the_next_address_is_asked() {
    let nobody = Stub::with([]).url();
    let alone = SchemaRegistry::builder([nobody.clone()]).total_timeout(Duration::from_millis(50));
    let error = alone.build().unwrap().schema(ONE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.is_retriable());
    let stub = Stub::new(|_| Answer::avro("\"long\""));
    let both = SchemaRegistry::builder([nobody, stub.url()]);
    let both = both.retry_backoff(Duration::from_millis(1), Duration::from_millis(1));
    both.build().unwrap().schema(ONE).await.unwrap();
}

#[tokio::test]
async fn a_redirection_is_not_followed_as_it_would_be_shown_the_password() {
    let elsewhere = Stub::new(|_| Answer::avro("\"long\""));
    let there = elsewhere.url();
    let stub = Stub::new(move |_| Answer::Moved(there.clone()));
    let client = stub.builder().basic_auth("user", "secret").build().unwrap();
    assert_eq!(client.schema(ONE).await.unwrap_err().kind(), Kind::Refused);
    assert!(elsewhere.paths().is_empty());
}

#[tokio::test]
async fn who_asks_is_told_by_a_password_or_a_token_and_no_text_shows_them() {
    let stub = Stub::new(|_| Answer::error(401, 40101));
    let basic = stub.builder().basic_auth("user", "secret");
    let bearer = stub.builder().bearer_token("t0ken");
    for (builder, expected) in [(basic, "Basic dXNlcjpzZWNyZXQ="), (bearer, "Bearer t0ken")] {
        assert!(!format!("{builder:?}").contains(expected));
        let error = builder.build().unwrap().schema(ONE).await.unwrap_err();
        let asked = stub.requests().pop().unwrap();
        assert_eq!(asked.headers["authorization"], expected);
        assert!(asked.headers["accept"].contains("application/vnd.schemaregistry.v1+json"));
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[tokio::test]
async fn what_a_schema_refers_to_comes_before_it_and_is_asked_for_once() {
    let reference = |name: &str, subject: &str| json!({"name": name, "subject": subject, "version": 2});
    let (a, b, c) = (reference("A", "lib/a"), reference("B", "b"), reference("C", "c"));
    let stub = Stub::with([
        ("/schemas/ids/1", json!({"schema": "1", "references": [a, b]})),
        ("/subjects/lib%2Fa/versions/2?deleted=true", json!({"schema": "a", "references": [c]})),
        ("/subjects/b/versions/2?deleted=true", json!({"schema": "b", "references": [c]})),
        // It refers to who refers to it.
        ("/subjects/c/versions/2?deleted=true", json!({"schema": "c", "references": [a]})),
    ]);
    let schema = stub.client().schema(ONE).await.unwrap();
    let names: Vec<_> = schema.references().iter().map(|other| other.name.as_str()).collect();
    assert_eq!(names, ["C", "A", "B"]);
    assert_eq!(stub.paths().len(), 4);
}

#[tokio::test]
async fn references_without_end_are_given_up() {
    let count = AtomicUsize::new(0);
    let stub = Stub::new(move |_| {
        let next = count.fetch_add(1, Ordering::SeqCst);
        let references = json!([{"name": "n", "subject": format!("s{next}"), "version": 1}]);
        Answer::Json(200, json!({"schema": "x", "references": references}))
    });
    let error = stub.client().schema(ONE).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (Kind::TooLarge, false));
    assert!(stub.paths().len() < 30);
    // And a lot of them side by side.
    let stub = Stub::new(|request| {
        let reference = |at: usize| json!({"name": "n", "subject": format!("s{at}"), "version": 1});
        let many: Vec<_> = (0..1000).map(reference).collect();
        let references = if request.path == "/schemas/ids/1" { many } else { Vec::new() };
        Answer::Json(200, json!({"schema": "x", "references": references}))
    });
    assert_eq!(stub.client().schema(ONE).await.unwrap_err().kind(), Kind::TooLarge);
    assert!(stub.paths().len() < 300);
}

#[tokio::test]
async fn an_answer_is_as_long_as_is_allowed_and_not_a_byte_longer() {
    let schema = json!({"schema": "\"long\""});
    let size = schema.to_string().len();
    let stub = Stub::with([("/schemas/ids/1", schema)]);
    stub.builder().answer_max(size).build().unwrap().schema(ONE).await.unwrap();
    let error = stub.builder().answer_max(size - 1).build().unwrap().schema(ONE).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (Kind::TooLarge, false));
}

#[tokio::test]
async fn a_schema_and_what_it_refers_to_are_eight_times_as_long_as_an_answer_and_not_longer() {
    // Each text has half of what an answer may have.
    for (others, fits) in [(15, true), (16, false)] {
        let stub = Stub::new(move |request| {
            let reference = |at: usize| json!({"name": "n", "subject": format!("s{at}"), "version": 1});
            let others = if request.path == "/schemas/ids/1" { others } else { 0 };
            let references: Vec<_> = (0..others).map(reference).collect();
            Answer::Json(200, json!({"schema": "x".repeat(1_000), "references": references}))
        });
        let schema = stub.builder().answer_max(2_000).build().unwrap().schema(ONE).await;
        assert_eq!(schema.err().map(|error| error.kind()), (!fits).then_some(Kind::TooLarge), "{others}");
    }
}

#[tokio::test]
async fn a_reference_that_is_missing_is_not_found() {
    let references = json!([{"name": "A", "subject": "gone", "version": 1}]);
    let stub = Stub::with([("/schemas/ids/1", json!({"schema": "1", "references": references}))]);
    let error = stub.client().schema(ONE).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
    assert!(error.url().ends_with("/subjects/gone/versions/1?deleted=true"), "{error}");
}

#[tokio::test]
async fn who_asks_may_go_and_the_answer_is_kept_all_the_same() {
    let (stub, gate) = gated();
    let client = stub.client();
    let asked = tokio::time::timeout(Duration::from_millis(20), client.schema(ONE)).await;
    assert!(asked.is_err());
    stub.wait_for_requests(1);
    gate.wait();
    tokio::time::timeout(PATIENCE, client.schema(ONE)).await.unwrap().unwrap();
    assert_eq!(stub.paths().len(), 1);
}

#[tokio::test]
async fn a_thread_may_wait_within_a_runtime_and_without_one() {
    let stub = Stub::new(|_| Answer::avro("\"long\""));
    stub.client().schema_blocking(ONE).unwrap();
    let client = stub.client();
    std::thread::spawn(move || client.schema_blocking(ONE).unwrap()).join().unwrap();
}

#[tokio::test]
async fn no_more_schemas_are_kept_than_is_said() {
    let stub = Stub::new(|_| Answer::avro("\"long\""));
    let client = stub.builder().schemas_max(2).build().unwrap();
    for id in [1, 2, 3, 3, 1] {
        client.schema(SchemaId::Id(id)).await.unwrap();
    }
    assert_eq!(stub.paths().len(), 4, "the third drops the first");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_schemas_than_threads_are_refused_for_now() {
    let stub = Stub::new(|_| Answer::Silence);
    let client = stub.builder().request_timeout(Duration::from_secs(1)).build().unwrap();
    let asking: Vec<_> = (0..64)
        .map(|id| {
            let client = client.clone();
            tokio::spawn(async move { client.schema(SchemaId::Id(id)).await })
        })
        .collect();
    stub.wait_for_requests(64);
    let error = client.schema(SchemaId::Id(64)).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retriable()), (Kind::Busy, true));
    asking.iter().for_each(tokio::task::JoinHandle::abort);
}

#[test]
fn an_address_that_is_none_is_told_when_it_is_built() {
    for urls in [&[][..], &["localhost:8081"], &["http://"], &["ftp://registry"]] {
        SchemaRegistry::builder(urls.iter().copied()).build().unwrap_err();
    }
    SchemaRegistry::builder(["https://registry"]).certificate_authorities("none").build().unwrap_err();
}
