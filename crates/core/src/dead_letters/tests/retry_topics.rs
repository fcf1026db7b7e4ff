//! The names of retry topics.

use std::time::Duration;

use super::super::RetryTopic;
use ottla_protocol::Timestamp;

#[test]
fn a_retry_topic_is_named_by_its_topic_and_its_delay_in_milliseconds() {
    let named = |topic, delay| RetryTopic::new(topic, delay).to_string();
    assert_eq!(named("orders", Duration::from_micros(1_500_999)), "orders-retry-1500");
    assert_eq!(named("orders", Duration::ZERO), "orders-retry-0");
    assert_eq!(named("a-retry-5", Duration::from_millis(7)), "a-retry-5-retry-7");
    assert_eq!(named("orders", Duration::MAX), format!("orders-retry-{}", u64::MAX));
}

#[test]
fn a_name_is_parsed_by_its_end_and_only_in_the_form_that_is_written() {
    for (topic, millis) in [("orders", 0), ("a-retry-5", 7), ("-retry-", 1), ("orders", u64::MAX)] {
        let retry = RetryTopic::new(topic, Duration::from_millis(millis));
        let name = retry.to_string();
        assert_eq!(RetryTopic::parse(&name), Some(retry), "{name}");
        assert_eq!((retry.topic(), retry.delay()), (topic, Duration::from_millis(millis)));
    }
    for other in [
        "orders",
        "orders-retry",
        "orders-retry-",
        "orders-retry-x",
        "orders-retry-+5",
        "orders-retry--5",
        "orders-retry-05",
        "orders-retry-00",
        "orders-retry-18446744073709551616",
        "-retry-5",
        "",
    ] {
        assert_eq!(RetryTopic::parse(other), None, "{other}");
    }
}

#[test]
fn a_record_is_due_when_its_delay_has_passed_since_it_was_written() {
    let retry = RetryTopic::new("orders", Duration::from_secs(5));
    assert_eq!(retry.due(Timestamp(1_000)), Timestamp(6_000));
    assert_eq!(retry.due(Timestamp(-6_000)), Timestamp(-1_000));
    assert_eq!(RetryTopic::new("orders", Duration::MAX).due(Timestamp(1)), Timestamp(i64::MAX));
}
