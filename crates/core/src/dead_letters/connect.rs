//! The headers of Kafka Connect's sinks (KIP-298), as Kafka 4.4.0 writes them: texts, numbers in decimal.
//!
//! A group stands for the connector, and is its only task. The stage is the one of a record that a task itself gave up.

use super::{DeadLetterHeader, Writing, encoding::text};

pub(super) const TOPIC: &str = "__connect.errors.topic";
pub(super) const PARTITION: &str = "__connect.errors.partition";
pub(super) const OFFSET: &str = "__connect.errors.offset";
pub(super) const CONNECTOR_NAME: &str = "__connect.errors.connector.name";
pub(super) const TASK_ID: &str = "__connect.errors.task.id";
pub(super) const STAGE: &str = "__connect.errors.stage";
pub(super) const CLASS_NAME: &str = "__connect.errors.class.name";
pub(super) const EXCEPTION: &str = "__connect.errors.exception.class.name";
pub(super) const MESSAGE: &str = "__connect.errors.exception.message";
pub(super) const STACKTRACE: &str = "__connect.errors.exception.stacktrace";

pub(super) const NAMES: [&str; 10] =
    [TOPIC, PARTITION, OFFSET, CONNECTOR_NAME, TASK_ID, STAGE, CLASS_NAME, EXCEPTION, MESSAGE, STACKTRACE];

const TASK: &str = "0";
const TASK_PUT: &str = "TASK_PUT";
/// The class that Connect names for that stage.
const SINK_TASK: &str = "org.apache.kafka.connect.sink.SinkTask";

pub(super) fn write(headers: &mut Vec<DeadLetterHeader<'_>>, writing: &Writing<'_, '_>) {
    let Writing { record, failure, .. } = *writing;
    let error = failure.errors.first();
    let type_name = error.and_then(|error| error.type_name.as_deref());
    let told = [
        Some((TOPIC, record.topic.to_owned())),
        Some((PARTITION, record.partition.to_string())),
        Some((OFFSET, record.offset.to_string())),
        failure.group.as_ref().map(|group| (CONNECTOR_NAME, group.to_string())),
        Some((TASK_ID, TASK.to_owned())),
        Some((STAGE, TASK_PUT.to_owned())),
        Some((CLASS_NAME, SINK_TASK.to_owned())),
        type_name.map(|name| (EXCEPTION, text(name).to_owned())),
        error.map(|error| (MESSAGE, text(&error.message).to_owned())),
        error.map(|_| (STACKTRACE, text(&failure.trace()).to_owned())),
    ];
    headers.extend(told.into_iter().flatten().map(|(name, value)| DeadLetterHeader::new(name, value)));
}
