//! Topics: their names, ids and partitions.

use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};

use ottla_protocol::{ErrorCode, TopicId};

use crate::{TopicSpec, partition::Partition};

/// An error with the words that go with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// Why.
    pub message: String,
}

impl Refusal {
    pub(crate) fn new(code: ErrorCode, message: &str) -> Self {
        Self { code, message: message.to_owned() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}

/// How a request names a topic: by name, or by id in newer versions (KIP-516).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TopicKey {
    Name(Arc<str>),
    Id(TopicId),
}

impl TopicKey {
    /// The key that a message of this version has in its pair of fields.
    pub(crate) fn of(name: &str, id: TopicId, by_id: bool) -> Self {
        if by_id { Self::Id(id) } else { Self::Name(name.into()) }
    }

    /// The pair of fields, of which a message has the one that its version knows.
    pub(crate) fn fields(&self) -> (String, TopicId) {
        match self {
            Self::Name(name) => (name.to_string(), TopicId::ZERO),
            Self::Id(id) => (String::new(), *id),
        }
    }

    /// What is wrong where no topic has this key.
    pub(crate) const fn unknown(&self) -> ErrorCode {
        match self {
            Self::Name(_) => ErrorCode::UnknownTopicOrPartition,
            Self::Id(_) => ErrorCode::UnknownTopicId,
        }
    }
}

/// All topics.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Topic>,
    names: BTreeMap<TopicId, String>,
    created: usize,
    version: u64,
}

#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) log_append_time: bool,
    pub(crate) partitions: Vec<Partition>,
    /// Where its first leader stands among the brokers.
    pub(crate) shift: usize,
    pub(crate) replication_factor: usize,
}

impl Topics {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Topic)> {
        self.by_name.iter().map(|(name, topic)| (name.as_str(), topic))
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name)
    }

    pub(crate) fn name_of(&self, id: TopicId) -> Option<&str> {
        self.names.get(&id).map(String::as_str)
    }

    pub(crate) fn by_key(&self, key: &TopicKey) -> Option<&Topic> {
        match key {
            TopicKey::Name(name) => self.find(name),
            TopicKey::Id(id) => self.by_id(*id),
        }
    }

    pub(crate) fn by_key_mut(&mut self, key: &TopicKey) -> Option<&mut Topic> {
        let name = match key {
            TopicKey::Name(name) => name,
            TopicKey::Id(id) => self.names.get(id)?.as_str(),
        };
        self.by_name.get_mut(name)
    }

    pub(crate) fn partition(&self, name: &str, index: i32) -> Option<&Partition> {
        self.find(name)?.partition(index)
    }

    /// Whether a topic of this shape could be created on that many brokers.
    pub(crate) fn check(&self, spec: &TopicSpec, brokers: usize) -> Result<(), Refusal> {
        check_name(&spec.name)?;
        let refuse = |code, message: String| Err(Refusal { code, message });
        if self.by_name.contains_key(&spec.name) {
            return refuse(ErrorCode::TopicAlreadyExists, format!("topic '{}' already exists", spec.name));
        }
        if spec.partitions == 0 || spec.partitions > MAX_PARTITIONS {
            let message = format!("between 1 and {MAX_PARTITIONS} partitions, not {}", spec.partitions);
            return refuse(ErrorCode::InvalidPartitions, message);
        }
        if spec.replication_factor == 0 || usize::from(spec.replication_factor) > brokers {
            let message = format!("replication factor {} with {brokers} brokers", spec.replication_factor);
            return refuse(ErrorCode::InvalidReplicationFactor, message);
        }
        Ok(())
    }

    /// Where the partitions of a new topic go, and its place in the order of topics.
    pub(crate) fn lay_out(&self, spec: &TopicSpec, nodes: &[i32]) -> (usize, Vec<Vec<i32>>) {
        let partitions = 0..spec.partitions as usize;
        (self.created, lay_out(self.created, partitions, spec.replication_factor.into(), nodes))
    }

    /// Adds a topic that [`Topics::check`] passed.
    pub(crate) fn create(&mut self, name: String, topic: Topic) {
        self.created = topic.shift + 1;
        self.version += 1;
        self.names.insert(topic.id, name.clone());
        self.by_name.insert(name, topic);
    }

    pub(crate) fn delete(&mut self, name: &str) -> Option<Topic> {
        let topic = self.by_name.remove(name)?;
        self.version += 1;
        self.names.remove(&topic.id);
        Some(topic)
    }

    pub(crate) fn partitions_mut(&mut self) -> impl Iterator<Item = &mut Partition> {
        self.by_name.values_mut().flat_map(|topic| &mut topic.partitions)
    }

    /// A partition, by its topic's id.
    pub(crate) fn partition_mut(&mut self, topic: TopicId, index: i32) -> Option<&mut Partition> {
        self.by_key_mut(&TopicKey::Id(topic))?.partition_mut(index)
    }

    /// Makes a topic wider, by a partition for each list of replicas.
    pub(crate) fn widen(&mut self, id: TopicId, replicas: Vec<Vec<i32>>) -> Option<()> {
        let topic = self.by_key_mut(&TopicKey::Id(id))?;
        topic.partitions.extend(replicas.into_iter().map(Partition::new));
        self.version += 1;
        Some(())
    }

    /// Another number when topics or partitions have come or gone.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn by_id(&self, id: TopicId) -> Option<&Topic> {
        self.find(self.name_of(id)?)
    }

    pub(crate) fn find_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get_mut(name)
    }
}

/// More would be a mistake, or an attack on memory.
pub(crate) const MAX_PARTITIONS: u32 = 10_000;

impl Topic {
    pub(crate) fn partition(&self, index: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn partition_mut(&mut self, index: i32) -> Option<&mut Partition> {
        self.partitions.get_mut(usize::try_from(index).ok()?)
    }

    /// Where the partitions go that make it `count`.
    pub(crate) fn lay_out_more(&self, count: usize, nodes: &[i32]) -> Vec<Vec<i32>> {
        lay_out(self.shift, self.partitions.len()..count, self.replication_factor, nodes)
    }
}

/// The replicas of partitions: leaders go round the brokers.
fn lay_out(shift: usize, partitions: Range<usize>, replicas: usize, nodes: &[i32]) -> Vec<Vec<i32>> {
    let from = |partition: usize| (shift + partition) % nodes.len().max(1);
    partitions.map(|at| nodes.iter().cycle().skip(from(at)).take(replicas).copied().collect()).collect()
}

/// Kafka's rules for names of topics.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let message = match name {
        "" => "a topic's name cannot be empty",
        "." | ".." => "a topic's name cannot be '.' or '..'",
        _ if name.len() > 249 => "a topic's name has at most 249 characters",
        _ if !name.chars().all(legal) => "a topic's name consists of ASCII letters, digits, '.', '_' and '-'",
        _ => return Ok(()),
    };
    Err(Refusal::new(ErrorCode::InvalidTopicException, message))
}
