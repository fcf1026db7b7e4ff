//! The bytes that each profile writes, as they were observed of Kafka 4.4.0, Spring Kafka 4.1.2 and Connect 4.4.0.

use std::time::Duration;

use super::super::{
    DeadLetters, ErrorText, FailedRecord, Failure, Profile, TEXT_MAX, connect, kip1191, spring,
};
use super::{NOW, WRITTEN, consumed, failed, failure, header, told};
use ottla_protocol::{Timestamp, records::Header};

const LISTENER_FAILED: &[u8] = b"org.springframework.kafka.listener.ListenerExecutionFailedException";
const TRACE: &[u8] =
    b"org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed\n\
    Caused by: java.lang.IllegalStateException: boom";

#[test]
fn share_groups_headers_are_texts_in_their_order_behind_the_records_own() {
    let own = header("own", b"1");
    let letter = DeadLetters::new().letter(&failed(&[own]), &failure(), 5, NOW);
    assert_eq!(
        told(&letter),
        [
            ("own", &b"1"[..]),
            ("__dlq.errors.topic", b"orders"),
            ("__dlq.errors.partition", b"2"),
            ("__dlq.errors.offset", b"7"),
            ("__dlq.errors.group", b"billing"),
            ("__dlq.errors.delivery.count", b"3"),
            ("__dlq.errors.message", b"Listener failed: boom"),
        ]
    );
    assert_eq!((&*letter.topic, letter.partition, letter.timestamp), ("orders-dlt", Some(2), NOW));
    assert_eq!((letter.key, letter.value), (Some(&b"key"[..]), Some(&b"value"[..])));
}

#[test]
fn springs_headers_are_texts_and_numbers_of_four_and_eight_bytes() {
    let spring = DeadLetters::new().profile(Profile::Spring);
    let letter = spring.letter(&failed(&[header("own", b"1")]), &failure(), 5, NOW);
    assert_eq!(
        told(&letter),
        [
            ("own", &b"1"[..]),
            ("kafka_deliveryAttempt", &[0, 0, 0, 3]),
            ("kafka_dlt-exception-fqcn", LISTENER_FAILED),
            ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
            ("kafka_dlt-exception-message", b"Listener failed; boom"),
            ("kafka_dlt-exception-stacktrace", TRACE),
            ("kafka_dlt-original-topic", b"orders"),
            ("kafka_dlt-original-partition", &[0, 0, 0, 2]),
            ("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 0, 7]),
            ("kafka_dlt-original-timestamp", &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
            ("kafka_dlt-original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"billing"),
        ]
    );
    assert_eq!(letter.timestamp, NOW);
}

#[test]
fn springs_retry_topics_have_other_names_and_times_of_as_few_bytes_as_they_need() {
    let spring = DeadLetters::new().profile(Profile::SpringRetry);
    let delay = Duration::from_millis(500);
    let letter = spring.retry(&failed(&[]), &Failure { attempts: 1, ..failure() }, delay, 1, NOW);
    assert_eq!(
        told(&letter),
        [
            ("kafka_exception-fqcn", LISTENER_FAILED),
            ("kafka_exception-cause-fqcn", b"java.lang.IllegalStateException"),
            ("kafka_exception-message", b"Listener failed; boom"),
            ("kafka_exception-stacktrace", TRACE),
            ("kafka_original-topic", b"orders"),
            ("kafka_original-partition", &[0, 0, 0, 2]),
            ("kafka_original-offset", &[0, 0, 0, 0, 0, 0, 0, 7]),
            ("kafka_original-timestamp", &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
            ("kafka_original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"billing"),
            ("retry_topic-original-timestamp", &[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
            ("retry_topic-attempts", &[0, 0, 0, 2]),
            ("retry_topic-backoff-timestamp", &[0x01, 0xa3, 0x18, 0x5c, 0x51, 0xf4]),
        ]
    );
    assert_eq!((&*letter.topic, letter.partition, letter.timestamp), ("orders-retry-500", Some(0), NOW));
}

#[test]
fn a_hop_of_springs_keeps_the_first_origin_tells_the_last_failure_and_counts_on() {
    let spring = DeadLetters::new().profile(Profile::SpringRetry);
    let first = Failure { attempts: 1, ..failure() };
    let retried = spring.retry(&failed(&[]), &first, Duration::from_millis(500), 1, NOW);
    let waiting = consumed(&retried);
    let again = Failure { errors: vec![ErrorText::new("bang").of_type("E")], ..Failure::after(2) };
    let letter = spring.letter(&waiting, &again, 1, Timestamp(NOW.0 + 700));
    let values = |name: &str| -> Vec<Vec<u8>> {
        told(&letter).into_iter().filter(|header| header.0 == name).map(|header| header.1.to_vec()).collect()
    };
    assert_eq!(letter.topic, "orders-dlt");
    assert_eq!(values("kafka_original-topic"), [b"orders".to_vec()]);
    assert_eq!(values("kafka_original-offset"), [vec![0, 0, 0, 0, 0, 0, 0, 7]]);
    assert_eq!(values("kafka_exception-message"), [b"bang".to_vec()]);
    assert_eq!(values("retry_topic-attempts"), [vec![0, 0, 0, 2], vec![0, 0, 0, 3]]);
    let original = vec![0x01, 0x8b, 0xcf, 0xe5, 0x68, 0];
    assert_eq!(values("retry_topic-original-timestamp"), [original.clone(), original]);
    let due = values("retry_topic-backoff-timestamp");
    assert_eq!(due, [vec![0x01, 0xa3, 0x18, 0x5c, 0x51, 0xf4], vec![0x01, 0xa3, 0x18, 0x5c, 0x52, 0xbc]]);
}

#[test]
fn connects_headers_are_texts_and_its_dead_letter_has_the_records_timestamp() {
    let connect = DeadLetters::to("parked").profile(Profile::Connect);
    let errors = vec![ErrorText::new("boom").of_type("java.lang.IllegalStateException")];
    let letter = connect.letter(&failed(&[]), &Failure { errors, ..failure() }, 2, NOW);
    assert_eq!(
        told(&letter),
        [
            ("__connect.errors.topic", &b"orders"[..]),
            ("__connect.errors.partition", b"2"),
            ("__connect.errors.offset", b"7"),
            ("__connect.errors.connector.name", b"billing"),
            ("__connect.errors.task.id", b"0"),
            ("__connect.errors.stage", b"TASK_PUT"),
            ("__connect.errors.class.name", b"org.apache.kafka.connect.sink.SinkTask"),
            ("__connect.errors.exception.class.name", b"java.lang.IllegalStateException"),
            ("__connect.errors.exception.message", b"boom"),
            ("__connect.errors.exception.stacktrace", b"java.lang.IllegalStateException: boom"),
        ]
    );
    assert_eq!((&*letter.topic, letter.partition, letter.timestamp), ("parked", Some(0), WRITTEN));
    let timeless = FailedRecord { timestamp: None, ..failed(&[]) };
    assert_eq!(connect.letter(&timeless, &failure(), 2, NOW).timestamp, NOW);
    assert_eq!(connect.retry(&failed(&[]), &failure(), Duration::ZERO, 2, NOW).timestamp, NOW);
}

#[test]
fn a_dead_letter_goes_to_the_partition_of_its_source_modulo_how_many_there_are() {
    let placed = |partition, partitions| {
        let record = FailedRecord { partition, ..failed(&[]) };
        DeadLetters::new().letter(&record, &failure(), partitions, NOW).partition
    };
    assert_eq!([0, 1, 2, 3, 4].map(|partition| placed(partition, 2)), [0, 1, 0, 1, 0].map(Some));
    assert_eq!([placed(2, 5), placed(2, 0), placed(-1, 3)], [Some(2), None, Some(2)]);
    assert_eq!([placed(i32::MIN, 1), placed(7, usize::MAX)], [Some(0), None]);
}

#[test]
fn null_stays_null_and_empty_stays_empty_under_each_profile() {
    for profile in [Profile::Kip1191, Profile::Spring, Profile::SpringRetry, Profile::Connect] {
        let own = Header { key: b"\xff", value: None };
        let record = FailedRecord { key: None, value: Some(b""), ..failed(&[own]) };
        let letters = DeadLetters::new().profile(profile);
        let letter = letters.letter(&record, &failure(), 1, NOW);
        assert_eq!((letter.key, letter.value), (None, Some(&b""[..])));
        assert_eq!(consumed(&letter).headers.first(), Some(&own), "{profile:?}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let nobody = Failure::after(1);
    for (profile, absent) in [
        (Profile::Kip1191, "__dlq.errors.group"),
        (Profile::Spring, "kafka_dlt-original-consumer-group"),
        (Profile::Spring, "kafka_dlt-exception-fqcn"),
        (Profile::SpringRetry, "kafka_dlt-original-consumer-group"),
        (Profile::Connect, "__connect.errors.connector.name"),
        (Profile::Connect, "__connect.errors.exception.class.name"),
    ] {
        let record = FailedRecord { timestamp: None, ..failed(&[]) };
        let letter = DeadLetters::new().profile(profile).letter(&record, &nobody, 1, NOW);
        assert!(told(&letter).iter().all(|header| header.0 != absent), "{profile:?}: {absent}");
    }
    let record = FailedRecord { timestamp: None, ..failed(&[]) };
    let letter = DeadLetters::new().profile(Profile::Spring).letter(&record, &nobody, 1, NOW);
    let told = told(&letter);
    assert!(told.contains(&("kafka_dlt-original-timestamp", &[0xff; 8])));
    assert!(told.contains(&("kafka_dlt-original-timestamp-type", b"NoTimestampType")));
}

#[test]
fn a_long_message_is_cut_between_characters() {
    let long = format!("a{}", "ß".repeat(TEXT_MAX));
    let failure = Failure { errors: vec![ErrorText::new(long.as_str())], ..Failure::after(1) };
    for profile in [Profile::Kip1191, Profile::Spring, Profile::SpringRetry, Profile::Connect] {
        let letter = DeadLetters::new().profile(profile).letter(&failed(&[]), &failure, 1, NOW);
        let longest = told(&letter).into_iter().map(|header| header.1).max_by_key(|value| value.len());
        let text = std::str::from_utf8(longest.unwrap()).unwrap();
        assert_eq!(text.len(), TEXT_MAX - 1, "{profile:?}");
        assert!(long.starts_with(text));
    }
}

#[test]
fn an_error_is_told_with_its_causes() {
    let inner = std::io::Error::other("connection reset");
    let outer = std::io::Error::new(std::io::ErrorKind::TimedOut, Wrapped(inner));
    let failure = Failure::after(1).because_of(&outer);
    let messages: Vec<_> = failure.errors.iter().map(|error| &*error.message).collect();
    assert_eq!(messages, ["charging failed", "connection reset"]);
}

#[derive(Debug)]
struct Wrapped(std::io::Error);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("charging failed")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn the_page_on_dead_letters_has_every_header() {
    let page = include_str!("../../../../../docs/dead-letters.md");
    let (dead_letters, retry_topics) = (spring::DEAD_LETTERS.own(), spring::RETRY_TOPICS.own());
    let both = [spring::GROUP, spring::DELIVERY_ATTEMPT];
    let names: [&[&str]; 6] =
        [&kip1191::NAMES, &connect::NAMES, &dead_letters, &retry_topics, &spring::RETRY_NAMES, &both];
    for name in names.into_iter().flatten() {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
    assert!(page.contains("8,192 bytes"));
    assert_eq!(TEXT_MAX, 8_192);
}
