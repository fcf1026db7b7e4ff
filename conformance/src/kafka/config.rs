//! What a cluster is to be like, and the settings that make it so.

use std::fmt::Write as _;
use std::path::Path;

#[cfg(doc)]
use crate::proxy::Proxy;

/// What every node is told. Time-outs are short, and their lower bounds shorter, for the sake of tests.
const SETTINGS: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
listener.security.protocol.map=CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
replica.selector.class=org.apache.kafka.common.replica.RackAwareReplicaSelector
auto.create.topics.enable=false
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.session.timeout.ms=6000
group.consumer.min.heartbeat.interval.ms=100
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=6000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=4194304
";

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) nodes: u32,
    pub(super) features: Vec<String>,
    pub(super) proxied: bool,
    settings: Vec<(String, String)>,
}

impl Config {
    /// So many nodes, with ids from 1.
    pub fn new(nodes: u32) -> Self {
        Self { nodes, settings: Vec::new(), features: Vec::new(), proxied: false }
    }

    /// A server setting, for every node; it wins over the harness's own.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    /// A feature level to format with, such as `group.version=0`.
    pub fn feature(mut self, feature: &str) -> Self {
        self.features.push(feature.to_owned());
        self
    }

    /// Clients are sent through a [`Proxy`] before each node. The nodes' own traffic is not.
    pub fn behind_proxies(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// One node's file of settings.
    pub(super) fn properties(&self, id: u32, data: &Path, ports: Ports, voters: &str) -> String {
        let Ports { client, advertised, broker, controller } = ports;
        let replicas = self.nodes.min(3);
        let mut text = format!(
            "{SETTINGS}\
             node.id={id}\n\
             broker.rack=rack-{id}\n\
             log.dirs={data}\n\
             controller.quorum.voters={voters}\n\
             listeners=CLIENT://127.0.0.1:{client},BROKER://127.0.0.1:{broker},\
             CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=CLIENT://127.0.0.1:{advertised},BROKER://127.0.0.1:{broker}\n\
             default.replication.factor={replicas}\n\
             offsets.topic.replication.factor={replicas}\n\
             transaction.state.log.replication.factor={replicas}\n\
             share.coordinator.state.topic.replication.factor={replicas}\n",
            data = data.display(),
        );
        for (key, value) in &self.settings {
            let _ = writeln!(text, "{key}={value}");
        }
        text
    }
}

/// Where one node listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) client: u16,
    /// Where clients are sent: the client port, or the proxy before it.
    pub(super) advertised: u16,
    pub(super) broker: u16,
    pub(super) controller: u16,
}
