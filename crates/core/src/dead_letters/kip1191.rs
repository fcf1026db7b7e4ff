//! The headers of Kafka's share groups (KIP-1191), as Kafka 4.4.0 writes them: texts, numbers in decimal.

use super::{DeadLetterHeader, Writing, encoding::text};

pub(super) const TOPIC: &str = "__dlq.errors.topic";
pub(super) const PARTITION: &str = "__dlq.errors.partition";
pub(super) const OFFSET: &str = "__dlq.errors.offset";
pub(super) const GROUP: &str = "__dlq.errors.group";
pub(super) const DELIVERY_COUNT: &str = "__dlq.errors.delivery.count";
pub(super) const MESSAGE: &str = "__dlq.errors.message";

pub(super) const NAMES: [&str; 6] = [TOPIC, PARTITION, OFFSET, GROUP, DELIVERY_COUNT, MESSAGE];

pub(super) fn write(headers: &mut Vec<DeadLetterHeader<'_>>, writing: &Writing<'_, '_>) {
    let Writing { record, failure, .. } = *writing;
    let told = [
        Some((TOPIC, record.topic.to_owned())),
        Some((PARTITION, record.partition.to_string())),
        Some((OFFSET, record.offset.to_string())),
        failure.group.as_ref().map(|group| (GROUP, group.to_string())),
        Some((DELIVERY_COUNT, failure.attempts.to_string())),
        Some((MESSAGE, text(&failure.line()).to_owned())),
    ];
    headers.extend(told.into_iter().flatten().map(|(name, value)| DeadLetterHeader::new(name, value)));
}
