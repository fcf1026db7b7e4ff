//! Properties that a file for other tools may have, and that change nothing here: Java's (`configNames()` of Kafka 4.4.0) and
//! librdkafka's (its `CONFIGURATION.md`, 2.12).
//!
//! What would change who is trusted, what is delivered or what is committed is in none of these lists: a client that went on
//! without it would do something else than the file says.

/// A kind of client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Consumer,
    Producer,
    Admin,
}

/// Whether such a client does the same without it.
pub(crate) fn is_unused(kind: Kind, key: &str) -> bool {
    GROUPS.iter().any(|(kinds, names)| kinds.contains(&kind) && names.contains(&key))
}

type Group = (&'static [Kind], &'static [&'static str]);

const ALL: &[Kind] = &[Kind::Consumer, Kind::Producer, Kind::Admin];
const BUT_CONSUMERS: &[Kind] = &[Kind::Producer, Kind::Admin];
const BUT_PRODUCERS: &[Kind] = &[Kind::Consumer, Kind::Admin];

const GROUPS: &[Group] = &[
    // Java's classes that make objects of bytes: here keys and values are bytes.
    (ALL, &["key.deserializer", "key.serializer", "value.deserializer", "value.serializer"]),
    // What a client tells of itself: metrics.
    (
        ALL,
        &[
            "auto.include.jmx.reporter",
            "metric.reporters",
            "metrics.num.samples",
            "metrics.recording.level",
            "metrics.sample.window.ms",
            "statistics.interval.ms",
        ],
    ),
    (BUT_CONSUMERS, &["enable.metrics.push"]),
    // The same: logs, and events for the program that has a client.
    (
        ALL,
        &[
            "debug",
            "delivery.report.only.error",
            "enable.partition.eof",
            "enabled_events",
            "log.connection.close",
            "log.queue",
            "log.thread.name",
            "log_level",
            "produce.offset.report",
        ],
    ),
    // How sockets are tuned, and which of a host's addresses is tried: TLS checks the name that was given, whichever it is.
    (
        ALL,
        &[
            "bootstrap.resolve.timeout.ms",
            "broker.address.family",
            "broker.address.ttl",
            "client.dns.lookup",
            "receive.buffer.bytes",
            "reconnect.backoff.jitter.ms",
            "send.buffer.bytes",
            "socket.blocking.max.ms",
            "socket.connection.setup.timeout.max.ms",
            "socket.keepalive.enable",
            "socket.max.fails",
            "socket.nagle.disable",
            "socket.receive.buffer.bytes",
            "socket.send.buffer.bytes",
        ],
    ),
    // How versions of the protocol are found out: here brokers are asked.
    (
        ALL,
        &[
            "api.version.fallback.ms",
            "api.version.request",
            "api.version.request.timeout.ms",
            "broker.version.fallback",
        ],
    ),
    // How often, and how long, the cluster is asked: the news is the same.
    (
        ALL,
        &[
            "coordinator.query.interval.ms",
            "metadata.max.idle.ms",
            "metadata.recovery.rebootstrap.trigger.ms",
            "topic.metadata.propagation.max.ms",
            "topic.metadata.refresh.fast.cnt",
            "topic.metadata.refresh.fast.interval.ms",
            "topic.metadata.refresh.interval.ms",
            "topic.metadata.refresh.sparse",
        ],
    ),
    // When Java fetches a token anew, and how long that takes: here before it ends, whatever these say.
    (
        ALL,
        &[
            "sasl.login.refresh.buffer.seconds",
            "sasl.login.refresh.min.period.seconds",
            "sasl.login.refresh.window.factor",
            "sasl.login.refresh.window.jitter",
            "sasl.login.retry.backoff.max.ms",
            "sasl.login.retry.backoff.ms",
        ],
    ),
    // How much is fetched ahead, kept, copied and handed out at once: of the same records.
    (
        ALL,
        &[
            "consume.callback.max.messages",
            "fetch.error.backoff.ms",
            "fetch.message.max.bytes",
            "fetch.queue.backoff.ms",
            "fetch.wait.max.ms",
            "message.copy.max.bytes",
            "queued.max.messages.kbytes",
            "queued.min.messages",
            "receive.message.max.bytes",
        ],
    ),
    // How much is gathered before it is sent, and how hard it is compressed: the same records.
    (
        ALL,
        &[
            "batch.num.messages",
            "buffer.memory.allocation.strategy",
            "compression.gzip.level",
            "compression.level",
            "compression.lz4.level",
            "compression.zstd.level",
            "queue.buffering.backpressure.threshold",
            "queue.buffering.max.kbytes",
            "queue.buffering.max.messages",
            "queue.buffering.max.ms",
        ],
    ),
    // What holds with a `transactional.id` only, which is refused where records are written.
    (ALL, &["transaction.timeout.ms"]),
    // librdkafka's names for what only consumers do: a consumer is told Kafka's, or that it is not there.
    (
        BUT_CONSUMERS,
        &[
            "auto.commit.enable",
            "enable.auto.offset.store",
            "group.protocol.type",
            "offset.store.method",
            "offset.store.path",
            "offset.store.sync.interval.ms",
        ],
    ),
    // The same for producers, and Java's number of attempts: reading and asking have time-outs alone.
    (
        BUT_PRODUCERS,
        &[
            "compression.codec",
            "enable.gapless.guarantee",
            "message.max.bytes",
            "message.send.max.retries",
            "message.timeout.ms",
            "partitioner",
            "queuing.strategy",
            "request.required.acks",
            "retries",
            "sticky.partitioning.linger.ms",
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_secures_delivers_or_commits_is_never_unused_where_it_would() {
        for key in [
            "config.providers",
            "enable.ssl.certificate.verification",
            "interceptor.classes",
            "isolation.level",
            "metadata.broker.list",
            "sasl.kerberos.service.name",
            "security.providers",
            "ssl.crl.location",
            "ssl.engine.factory.class",
            "ssl.protocol",
            "topic.blacklist",
            "transactional.id",
        ] {
            assert!(ALL.iter().all(|kind| !is_unused(*kind, key)), "{key}");
        }
        for (kind, key) in [
            (Kind::Consumer, "auto.commit.enable"),
            (Kind::Consumer, "enable.auto.offset.store"),
            (Kind::Producer, "enable.idempotence"),
            (Kind::Producer, "message.timeout.ms"),
            (Kind::Producer, "retries"),
        ] {
            assert!(!is_unused(kind, key), "{key}");
        }
    }

    #[test]
    fn each_name_stands_once() {
        let mut names: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
