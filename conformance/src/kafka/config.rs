//! What a cluster is to be like, and the settings that make it so.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[cfg(doc)]
use crate::proxy::Proxy;

/// What every node is told. Time-outs are short, and their lower bounds shorter, for the sake of tests.
const SETTINGS: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=BROKER
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
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
";

/// A listener that is added.
#[derive(Debug, Clone, Copy)]
pub(super) struct Added {
    pub(super) name: &'static str,
    pub(super) protocol: &'static str,
    pub(super) proxied: bool,
}

/// What a cluster is to be like.
#[derive(Debug, Clone)]
pub struct Config {
    pub(super) nodes: u32,
    pub(super) features: Vec<String>,
    pub(super) proxied: bool,
    pub(super) listeners: Vec<Added>,
    /// For the JVM of each node.
    pub(super) jvm: Vec<String>,
    pub(super) classes: Option<PathBuf>,
    pub(super) scram_users: Vec<String>,
    inside: &'static str,
    settings: Vec<(String, String)>,
}

impl Config {
    /// So many nodes, with ids from 1.
    pub fn new(nodes: u32) -> Self {
        Self {
            nodes,
            settings: Vec::new(),
            features: Vec::new(),
            proxied: false,
            listeners: Vec::new(),
            jvm: Vec::new(),
            classes: None,
            scram_users: Vec::new(),
            inside: "PLAINTEXT",
        }
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

    /// One more listener for clients, beside the one without TLS and SASL: its name, in capitals, and its security protocol.
    pub fn listener(mut self, name: &'static str, protocol: &'static str) -> Self {
        self.listeners.push(Added { name, protocol, proxied: false });
        self
    }

    /// The same, with a [`Proxy`] before it that knows nothing of what passes.
    pub fn listener_behind_a_proxy(mut self, name: &'static str, protocol: &'static str) -> Self {
        self.listeners.push(Added { name, protocol, proxied: true });
        self
    }

    /// An option of the JVM that each node runs in.
    pub fn jvm(mut self, option: String) -> Self {
        self.jvm.push(option);
        self
    }

    /// A folder of classes that each node has beside Kafka's: plug-ins.
    pub fn classes(mut self, folder: PathBuf) -> Self {
        self.classes = Some(folder);
        self
    }

    /// The security protocol of the nodes' own traffic; `PLAINTEXT` by default.
    pub fn inside(mut self, protocol: &'static str) -> Self {
        self.inside = protocol;
        self
    }

    /// A user with a password that is there from the first start, for a SCRAM mechanism.
    pub fn scram_user(mut self, mechanism: &str, name: &str, password: &str) -> Self {
        self.scram_users.push(format!("{mechanism}=[name={name},password={password}]"));
        self
    }

    /// Clients are sent through a [`Proxy`] before each node. The nodes' own traffic is not.
    pub fn behind_proxies(mut self) -> Self {
        self.proxied = true;
        self
    }

    /// The JVM's second compiler is used too, as servers have it by default: a start takes longer. By the first alone, TLS comes
    /// at some 30 MB a second.
    pub fn optimized(mut self) -> Self {
        // The last of a flag counts.
        self.jvm.push("-XX:TieredStopAtLevel=4".to_owned());
        self
    }

    /// One node's file of settings.
    pub(super) fn properties(&self, id: u32, data: &Path, ports: &Ports, voters: &str) -> String {
        let Ports { client, advertised, broker, controller, more } = ports;
        let inside = self.inside;
        let protocols: String =
            self.listeners.iter().map(|added| format!(",{}:{}", added.name, added.protocol)).collect();
        let at = |port: fn(&More) -> u16| -> String {
            more.iter().map(|more| format!(",{}://127.0.0.1:{}", more.name, port(more))).collect()
        };
        let (bound, told) = (at(|more| more.port), at(|more| more.advertised));
        let replicas = self.nodes.min(3);
        let mut text = format!(
            "{SETTINGS}\
             node.id={id}\n\
             broker.rack=rack-{id}\n\
             log.dirs={data}\n\
             controller.quorum.voters={voters}\n\
             listener.security.protocol.map=CLIENT:PLAINTEXT,BROKER:{inside},CONTROLLER:{inside}{protocols}\n\
             listeners=CLIENT://127.0.0.1:{client},BROKER://127.0.0.1:{broker},\
             CONTROLLER://127.0.0.1:{controller}{bound}\n\
             advertised.listeners=CLIENT://127.0.0.1:{advertised},BROKER://127.0.0.1:{broker}{told}\n\
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
#[derive(Debug, Clone)]
pub(super) struct Ports {
    pub(super) client: u16,
    /// Where clients are sent: the client port, or the proxy before it.
    pub(super) advertised: u16,
    pub(super) broker: u16,
    pub(super) controller: u16,
    /// Of the listeners that the configuration adds.
    pub(super) more: Vec<More>,
}

/// Where a listener is that the configuration adds.
#[derive(Debug, Clone, Copy)]
pub(super) struct More {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// The port, or that of the proxy before it.
    pub(super) advertised: u16,
}
