//! A KRaft cluster of n nodes, each broker and controller at once, in processes of their own on free ports.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::{More, Ports};
use super::java::Role;
use super::{Config, Java, Tools, Unavailable, jars, metadata};
use crate::ports;
use crate::process::{self, Process};
use crate::proxy::Proxy;
use crate::wait::until;

/// With nothing else to do two cores take 5 s; a build beside it may make it 30.
const START_WITHIN: Duration = Duration::from_secs(120);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// A running cluster. Its processes and data go with it: on drop, and when this process dies.
#[derive(Debug)]
pub struct Cluster {
    java: Java,
    dir: PathBuf,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    id: u32,
    /// Where it listens to clients.
    address: SocketAddr,
    proxy: Option<Proxy>,
    /// The listeners that the configuration adds, with the proxies before them.
    more: Vec<(More, Option<Proxy>)>,
    jvm: Vec<String>,
    properties: PathBuf,
    data: PathBuf,
    log: PathBuf,
    /// It runs, and starts again, on the newest Kafka.
    is_upgraded: AtomicBool,
    process: Mutex<Option<Process>>,
}

impl Cluster {
    /// Formats and starts a cluster; returns when each node knows of all the others.
    pub fn start(config: Config) -> Result<Self, Unavailable> {
        let java = Java::get()?;
        match config.classes.clone() {
            Some(classes) => Self::start_on(&java.beside(classes), config),
            None => Self::start_on(java, config),
        }
    }

    /// The same on Kafka 4.3.
    pub fn start_4_3(config: Config) -> Result<Self, Unavailable> {
        Self::start_on(Java::get_4_3()?, config)
    }

    /// The same on Kafka 3.9.
    pub fn start_3_9(config: Config) -> Result<Self, Unavailable> {
        Self::start_on(Java::get_3_9()?, config)
    }

    pub(super) fn start_on(java: &Java, config: Config) -> Result<Self, Unavailable> {
        let prepared = Self::prepare(java, &config);
        let cluster = prepared.map_err(|error| Unavailable::Failed(format!("a cluster's files: {error}")))?;
        let id = format!("ottla-{:016x}", RandomState::new().hash_one(&cluster.dir));
        if let Some((first, others)) = cluster.nodes.split_first() {
            first.format(java, &id, &config)?;
            for node in others {
                node.format_as(first).map_err(|error| node.failed(error))?;
            }
        }
        cluster.nodes.iter().try_for_each(|node| node.start(java))?;
        cluster.wait_until_complete()?;
        Ok(cluster)
    }

    /// The folder, the ports, the proxies, and a file of settings for each node.
    fn prepare(java: &Java, config: &Config) -> io::Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        remove_left_behind();
        let run = format!("run-{}-{}", std::process::id(), STARTED.fetch_add(1, Ordering::Relaxed));
        let mut cluster = Self { java: java.clone(), dir: jars::home().join(run), nodes: Vec::new() };
        let controllers: Vec<(u32, u16)> =
            (1..=config.nodes).map(|id| Ok((id, ports::free()?))).collect::<io::Result<_>>()?;
        let voters: Vec<String> =
            controllers.iter().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
        for (id, controller) in controllers {
            let dir = cluster.dir.join(format!("node-{id}"));
            fs::create_dir_all(&dir)?;
            let (client, broker) = (ports::free()?, ports::free()?);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, client));
            let proxy = config.proxied.then(|| Proxy::start(address)).transpose()?;
            let advertised = proxy.as_ref().map_or(client, |proxy| proxy.address().port());
            let more = config.listeners.iter().map(|added| {
                let port = ports::free()?;
                let upstream = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let proxy = added.proxied.then(|| Proxy::start_opaque(upstream)).transpose()?;
                let advertised = proxy.as_ref().map_or(port, |proxy| proxy.address().port());
                Ok((More { name: added.name, port, advertised }, proxy))
            });
            let more = more.collect::<io::Result<Vec<_>>>()?;
            let places = more.iter().map(|(more, _)| *more).collect();
            let ports = Ports { client, advertised, broker, controller, more: places };
            let data = dir.join("data");
            let text = config.properties(id, &data, &ports, &voters.join(","));
            let properties = dir.join("server.properties");
            fs::write(&properties, text)?;
            let log = dir.join("server.log");
            let (jvm, process) = (config.jvm.clone(), Mutex::new(None));
            let is_upgraded = AtomicBool::new(false);
            cluster.nodes.push(Node {
                id,
                address,
                proxy,
                more,
                jvm,
                properties,
                data,
                log,
                is_upgraded,
                process,
            });
        }
        Ok(cluster)
    }

    /// The addresses of all nodes, as `bootstrap.servers` has them.
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<String> = self.nodes.iter().map(|node| node.advertised().to_string()).collect();
        addresses.join(",")
    }

    /// The nodes' ids.
    pub fn node_ids(&self) -> impl Iterator<Item = u32> {
        self.nodes.iter().map(|node| node.id)
    }

    /// Where one node's clients are sent.
    pub fn address(&self, node: u32) -> Result<SocketAddr, Unavailable> {
        self.node(node).map(Node::advertised)
    }

    /// Where clients find a listener of a node that the configuration added.
    pub fn listener(&self, node: u32, name: &str) -> Result<SocketAddr, Unavailable> {
        let (more, _) = self.node(node)?.more(name)?;
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, more.advertised)))
    }

    /// The proxy before such a listener, which has one.
    pub fn proxy_of_listener(&self, node: u32, name: &str) -> Result<&Proxy, Unavailable> {
        let proxy = self.node(node)?.more(name)?.1.as_ref();
        proxy.ok_or_else(|| Unavailable::Failed(format!("there is no proxy before {name}")))
    }

    /// What a node has logged; empty if it cannot be read.
    pub fn log(&self, node: u32) -> String {
        self.node(node).ok().and_then(|node| fs::read_to_string(&node.log).ok()).unwrap_or_default()
    }

    /// Where a node listens behind its proxy.
    pub fn behind(&self, node: u32) -> Result<SocketAddr, Unavailable> {
        Ok(self.node(node)?.address)
    }

    /// The proxy before a node, in a cluster behind proxies.
    pub fn proxy(&self, node: u32) -> Result<&Proxy, Unavailable> {
        let proxy = self.node(node)?.proxy.as_ref();
        proxy.ok_or_else(|| Unavailable::Failed("this cluster has no proxies".to_owned()))
    }

    /// Kafka's own tools, pointed at this cluster.
    pub fn tools(&self) -> Tools {
        Tools::on(self.java.clone(), self.bootstrap())
    }

    /// SIGKILL: the node is gone at once and says goodbye to nobody.
    pub fn kill(&self, node: u32) -> Result<(), Unavailable> {
        *self.node(node)?.process() = None;
        Ok(())
    }

    /// SIGTERM: the node hands its partitions over and ends.
    pub fn stop(&self, node: u32) -> Result<(), Unavailable> {
        let node = self.node(node)?;
        let Some(mut process) = node.process().take() else { return Ok(()) };
        process.signal("TERM").map_err(|error| node.failed(error))?;
        process.wait(STOP_WITHIN).map(|_| ()).map_err(|error| node.failed(error))
    }

    /// SIGSTOP and SIGCONT: a node that keeps its connections, and is silent.
    pub fn freeze(&self, node: u32, frozen: bool) -> Result<(), Unavailable> {
        let node = self.node(node)?;
        let mut process = node.process();
        let Some(process) = process.as_mut() else { return Ok(()) };
        process.signal(if frozen { "STOP" } else { "CONT" }).map_err(|error| node.failed(error))
    }

    /// Starts a node again, killing it first if it runs; returns when all that run know of each other.
    pub fn restart(&self, node: u32) -> Result<(), Unavailable> {
        self.kill(node)?;
        let node = self.node(node)?;
        let is_upgraded = node.is_upgraded.load(Ordering::Relaxed);
        node.start(if is_upgraded { Java::get()? } else { &self.java })?;
        self.wait_until_complete()
    }

    /// Starts a node that was stopped on the newest Kafka, and so from then on; returns as [`Cluster::restart`] does.
    pub fn upgrade(&self, node: u32) -> Result<(), Unavailable> {
        self.node(node)?.is_upgraded.store(true, Ordering::Relaxed);
        self.restart(node)
    }

    /// Until each running node knows this topic, with a leader for each partition. The node that created it answers
    /// before the others have heard of it, and a client of another one is told that it does not exist.
    pub fn wait_for_topic(&self, topic: &str) -> Result<(), Unavailable> {
        for node in self.running() {
            let what = format!("node {} that knows of {topic}", node.id);
            until(STOP_WITHIN, &what, || metadata::knows(node.address, topic).unwrap_or(false))
                .map_err(|error| node.failed(error))?;
        }
        Ok(())
    }

    /// The id of the member that shared a classic group's partitions out last, as its coordinator has put it into its
    /// log: no API tells.
    pub fn leader_of(&self, group: &str) -> Option<String> {
        let of_group = format!(" for group {group} ");
        let logs: Vec<String> =
            self.nodes.iter().filter_map(|node| fs::read_to_string(&node.log).ok()).collect();
        let lines = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains(&of_group));
        // A line begins with its time.
        let told =
            lines.filter_map(|line| Some((line, line.split_once("Assignment received from leader ")?.1)));
        told.max()?.1.split(' ').next().map(str::to_owned)
    }

    /// Kills all nodes and removes their data. What is called later fails, or does nothing.
    pub fn shut_down(&self) {
        for node in &self.nodes {
            *node.process() = None;
        }
        // Each file that is removed waits for the disk, and there are thousands.
        std::thread::scope(|scope| {
            for node in &self.nodes {
                scope.spawn(|| fs::remove_dir_all(&node.data));
            }
        });
        let _ = fs::remove_dir_all(&self.dir);
    }

    fn node(&self, id: u32) -> Result<&Node, Unavailable> {
        let found = self.nodes.iter().find(|node| node.id == id);
        found.ok_or_else(|| Unavailable::Failed(format!("there is no node {id}")))
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.process().is_some())
    }

    /// Until each running node sees all running nodes, and no other.
    fn wait_until_complete(&self) -> Result<(), Unavailable> {
        let running: Vec<&Node> = self.running().collect();
        for node in &running {
            let mut ended = None;
            let what = format!("node {} that knows of {} nodes", node.id, running.len());
            let complete = until(START_WITHIN, &what, || {
                ended = node.process().as_mut().and_then(Process::status);
                ended.is_some()
                    || metadata::brokers_known_to(node.address).is_ok_and(|known| known == running.len())
            });
            match (complete, ended) {
                (Err(expired), _) => return Err(node.failed(expired)),
                (Ok(()), Some(status)) => return Err(node.failed(status)),
                (Ok(()), None) => {}
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Node {
    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn more(&self, name: &str) -> Result<&(More, Option<Proxy>), Unavailable> {
        let found = self.more.iter().find(|(more, _)| more.name == name);
        found.ok_or_else(|| Unavailable::Failed(format!("there is no listener {name}")))
    }

    fn advertised(&self) -> SocketAddr {
        self.proxy.as_ref().map_or(self.address, Proxy::address)
    }

    fn format(&self, java: &Java, cluster_id: &str, config: &Config) -> Result<(), Unavailable> {
        let mut format = java.command(Role::Tool, &[], "kafka.tools.StorageTool");
        format.args(["format", "--cluster-id", cluster_id, "--config"]).arg(&self.properties);
        format.args(config.features.iter().flat_map(|feature| ["--feature", feature]));
        format.args(config.scram_users.iter().flat_map(|user| ["--add-scram", user]));
        process::run(&format, START_WITHIN).map(|_| ()).map_err(|error| self.failed(error))
    }

    /// As Kafka's tool has formatted another: its JVM, once more for each node, would take longer than the node to start.
    fn format_as(&self, other: &Self) -> io::Result<()> {
        copy_files(&other.data, &self.data)?;
        let file = self.data.join("meta.properties");
        let own = fs::read_to_string(&file)?;
        let own = own.lines().map(|line| match line.split_once('=') {
            Some(("node.id", _)) => format!("node.id={}\n", self.id),
            Some(("directory.id", id)) => format!("directory.id={}\n", another_id(id, self.id)),
            _ => format!("{line}\n"),
        });
        fs::write(file, own.collect::<String>())
    }

    fn start(&self, java: &Java) -> Result<(), Unavailable> {
        let log = [
            format!("-Dottla.log={}", self.log.display()),
            "-Dottla.appender=file".to_owned(),
            "-Dottla.level=info".to_owned(),
        ];
        let options = [log.as_slice(), &self.jvm].concat();
        let mut server = java.command(Role::Server, &options, "kafka.Kafka");
        server.arg(&self.properties);
        let process = Process::spawn(&server).map_err(|error| self.failed(error))?;
        *self.process() = Some(process);
        Ok(())
    }

    fn failed(&self, why: impl std::fmt::Display) -> Unavailable {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n");
        Unavailable::Failed(format!("node {}: {why}\n{tail}", self.id))
    }
}

/// Another id of a directory, 22 digits of base 64, for each number from 1 to 61: Kafka takes no node with an id that it knows.
fn another_id(id: &str, number: u32) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let (first, rest) = id.split_at_checked(1).unwrap_or_default();
    let place = DIGITS.find(first).unwrap_or_default() + number as usize;
    let digit = DIGITS.chars().cycle().nth(place).unwrap_or_default();
    format!("{digit}{rest}")
}

/// Copies what a folder holds, folders within it included.
fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, from) = entry.map(|entry| (to.join(entry.file_name()), entry.path()))?;
        if from.is_dir() { copy_files(&from, &entry)? } else { fs::copy(from, entry).map(drop)? }
    }
    Ok(())
}

/// Removes the data of test processes that were killed before they could.
fn remove_left_behind() {
    if !Path::new("/proc/self").exists() {
        return;
    }
    let entries = fs::read_dir(jars::home()).into_iter().flatten().flatten();
    for entry in entries {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix("run-")?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_nodes_have_a_directory_of_one_id_whatever_the_firsts_begins_with() {
        for first in ('0'..='9').chain('a'..='z').chain('A'..='Z').chain(['_']) {
            let of_first = format!("{first}YGlZRiAvXrG2tX2UcFPbg");
            let others = (2..=5).map(|number| another_id(&of_first, number));
            let ids: BTreeSet<String> = others.chain([of_first.clone()]).collect();
            assert_eq!(ids.len(), 5, "{ids:?}");
            assert!(ids.iter().all(|id| id.len() == 22), "{ids:?}");
        }
    }
}
