//! Data directories, and what of a cluster is to be there when its directory is opened again.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use ottla_broker::{Cluster, Config};

use super::World;

/// A directory that ends with the test.
pub struct Dir(PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ottla-broker-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// With a journal of these bytes.
    pub fn with(journal: &[u8]) -> Self {
        let dir = Self::new();
        fs::write(dir.journal(), journal).unwrap();
        dir
    }

    pub fn path(&self) -> PathBuf {
        self.0.clone()
    }

    pub fn journal(&self) -> PathBuf {
        self.0.join("journal")
    }

    pub fn bytes(&self) -> Vec<u8> {
        fs::read(self.journal()).unwrap()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl World {
    pub fn dir(&self) -> &Dir {
        &self.kept.as_ref().unwrap().0
    }

    /// The process ends and another begins: connections are gone, and what was kept is there.
    pub fn restart(&mut self) {
        let config = self.kept.as_ref().unwrap().1.clone();
        self.cluster = Cluster::new(Config::default());
        self.cluster = Cluster::open(config, self.now).unwrap();
        self.forget_connections();
        self.settle();
    }
}

/// What is seen of a cluster, each under its name.
pub type Seen = BTreeMap<String, String>;

/// All that is to survive, after so many further processes: each begins a leader epoch.
pub fn seen(cluster: &Cluster, processes: i32) -> Seen {
    let mut seen = Seen::new();
    for (topic, partitions) in cluster.topics() {
        for index in 0..partitions as i32 {
            let (leader, epoch) = cluster.leader(topic, index).unwrap();
            // What nobody leads is given to somebody by the next process.
            let led = (leader >= 0).then_some((leader, epoch - processes));
            let log = (
                cluster.log_start_offset(topic, index),
                cluster.last_stable_offset(topic, index),
                cluster.log_end_offset(topic, index),
                cluster.log(topic, index),
            );
            seen.insert(format!("partition {topic} {index}"), format!("{led:?} {log:?}"));
        }
    }
    for id in cluster.transactional_ids() {
        seen.insert(format!("transactional id {id}"), format!("{:?}", cluster.transaction(id)));
    }
    for group in cluster.groups() {
        for ((topic, index), offset) in cluster.committed(group) {
            let metadata = cluster.committed_metadata(group, &topic, index);
            seen.insert(format!("offset {group} {topic} {index}"), format!("{offset} {metadata:?}"));
        }
    }
    seen
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some((dir, config)) = self.kept.take()
            && !std::thread::panicking()
        {
            let copy = Dir::with(&dir.bytes());
            // Those that were deleted would be created anew.
            let config = Config { data_dir: Some(copy.path()), topics: Vec::new(), ..config };
            let again = Cluster::open(config, self.now).unwrap();
            assert_eq!(seen(&again, 1), seen(&self.cluster, 0), "what the next process finds");
        }
    }
}
