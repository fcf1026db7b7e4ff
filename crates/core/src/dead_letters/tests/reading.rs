//! Dead letters that others wrote, good and bad.

use super::super::{Origin, Profile, Unreadable, read};
use super::{WRITTEN, header};
use ottla_protocol::{
    Timestamp,
    records::{Header, TimestampType},
};

#[test]
fn a_dead_letter_of_a_share_group_is_read() {
    let origin = read([
        header("__dlq.errors.topic", b"orders"),
        header("__dlq.errors.partition", b"3"),
        header("__dlq.errors.offset", b"12"),
        header("__dlq.errors.group", b"billing"),
        header("__dlq.errors.delivery.count", b"5"),
        header("__dlq.errors.message", b"Offset delivery count exceeded the threshold."),
    ])
    .unwrap();
    assert_eq!(origin.profile, Profile::Kip1191);
    assert_eq!((origin.topic, origin.partition, origin.offset), (Ok("orders"), Ok(3), Ok(12)));
    assert_eq!((origin.group, origin.attempts), (Ok("billing"), Ok(5)));
    assert_eq!(origin.message.as_deref(), Ok("Offset delivery count exceeded the threshold."));
    assert_eq!((origin.timestamp, origin.due), (Err(Unreadable::NotTold), Err(Unreadable::NotTold)));
    assert!(origin.own_headers.is_empty());
}

#[test]
fn the_last_header_of_a_name_is_the_letters_and_those_before_are_the_records_own() {
    let older = header("kafka_dlt-original-offset", b"not mine");
    let own = header("own", b"1");
    let origin = read([
        older,
        own,
        header("kafka_dlt-original-topic", b"orders"),
        header("kafka_dlt-original-offset", &[0, 0, 0, 0, 0, 0, 1, 0]),
        header("kafka_dlt-original-timestamp", &[0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
        header("kafka_dlt-original-timestamp-type", b"LogAppendTime"),
    ])
    .unwrap();
    assert_eq!((origin.profile, origin.offset), (Profile::Spring, Ok(256)));
    assert_eq!((origin.timestamp, origin.timestamp_type), (Ok(WRITTEN), Ok(TimestampType::LogAppendTime)));
    assert_eq!(origin.own_headers, [older, own]);
}

#[test]
fn a_record_of_springs_retry_topics_tells_attempts_and_due_time_by_the_last_of_each() {
    let origin = read([
        header("kafka_original-topic", b"orders"),
        header("retry_topic-original-timestamp", &[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
        header("retry_topic-attempts", &[0, 0, 0, 2]),
        header("retry_topic-backoff-timestamp", &[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
        header("retry_topic-original-timestamp", &[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
        header("retry_topic-attempts", &[0, 0, 0, 3]),
        header("retry_topic-backoff-timestamp", &[0x01, 0x8b, 0xcf, 0xe5, 0x69, 0xf4]),
    ])
    .unwrap();
    assert_eq!(origin.profile, Profile::SpringRetry);
    assert_eq!((origin.attempts, origin.due), (Ok(2), Ok(Timestamp(WRITTEN.0 + 500))));
    assert!(origin.own_headers.is_empty());
}

#[test]
fn the_exception_of_a_key_is_told_where_there_is_none_of_a_value() {
    let key = header("kafka_dlt-key-exception-message", b"failed to deserialize");
    let origin = read([key]).unwrap();
    assert_eq!(origin.message.as_deref(), Ok("failed to deserialize"));
    assert!(origin.own_headers.is_empty());
    let origin = read([header("kafka_dlt-exception-message", b"value"), key]).unwrap();
    assert_eq!(origin.message.as_deref(), Ok("value"));
}

#[test]
fn the_newest_profile_is_told_and_the_older_one_is_the_records_own() {
    let older = header("__dlq.errors.topic", b"older");
    let origin = read([older, header("__connect.errors.topic", b"orders")]).unwrap();
    assert_eq!((origin.profile, origin.topic), (Profile::Connect, Ok("orders")));
    assert_eq!(origin.own_headers, [older]);
}

#[test]
fn a_record_without_headers_of_a_profile_is_no_dead_letter() {
    assert_eq!(read([]), None);
    let own = [header("__dlq.errors", b""), header("kafka_deliveryAttempt", &[0, 0, 0, 1])];
    assert_eq!(read(own), None);
}

#[test]
fn a_header_that_is_missing_null_or_malformed_hides_no_other() {
    let origin = |key, value| read([Header { key, value }]).unwrap();
    let spring = |name: &'static str, value| origin(name.as_bytes(), Some(value));
    let null = origin(b"__dlq.errors.topic", None);
    assert_eq!((null.topic, null.partition), (Err(Unreadable::Null), Err(Unreadable::NotTold)));
    assert_eq!(origin(b"__dlq.errors.topic", Some(b"\xff")).topic, Err(Unreadable::NotUtf8));
    assert_eq!(origin(b"__dlq.errors.offset", Some(b"")).offset, Err(Unreadable::NotANumber));
    let counted = |text| origin(b"__dlq.errors.delivery.count", Some(text)).attempts;
    assert_eq!([counted(b"-1"), counted(b"4294967296")], [Err(Unreadable::NotANumber); 2]);
    let message = origin(b"__dlq.errors.message", Some(b"a\xff")).message;
    assert_eq!(message.as_deref(), Ok("a\u{fffd}"));

    let offset = |bytes| spring("kafka_dlt-original-offset", bytes).offset;
    assert_eq!([offset(&[1]), offset(&[])], [Err(Unreadable::Length(1)), Err(Unreadable::Length(0))]);
    assert_eq!(spring("kafka_original-partition", &[0; 8]).partition, Err(Unreadable::Length(8)));
    let meant = spring("kafka_original-timestamp-type", b"Yesterday").timestamp_type;
    assert_eq!(meant, Err(Unreadable::NotATimestampType));
    assert_eq!(spring("kafka_dlt-original-timestamp", &[0xff; 8]).timestamp, Err(Unreadable::NotTold));

    let attempts = |bytes| spring("retry_topic-attempts", bytes).attempts;
    assert_eq!([attempts(&[0, 0, 0, 4]), attempts(&[200])], [Ok(3), Ok(199)]);
    assert_eq!([attempts(&[0; 4]), attempts(&[0xff; 4])], [Err(Unreadable::OutOfRange); 2]);
    let due = |bytes| spring("retry_topic-backoff-timestamp", bytes).due;
    assert_eq!([due(&[5]), due(&[0x80]), due(&[0; 8])], [5, -128, 0].map(|millis| Ok(Timestamp(millis))));
    assert_eq!([due(&[]), due(&[0; 9])], [Err(Unreadable::Length(0)), Err(Unreadable::Length(9))]);
}

#[test]
fn a_letter_that_does_not_tell_its_place_gives_no_record_back() {
    let letter =
        super::failed(&[header("__dlq.errors.topic", b"orders"), header("__dlq.errors.offset", b"1")]);
    let origin = Origin::of(&letter).unwrap();
    assert_eq!((origin.topic, origin.offset, origin.record(&letter)), (Ok("orders"), Ok(1), None));
}
