//! A cluster out of its data directory.

use std::io;

use fastrand::Rng;
use ottla_protocol::Now;

use super::{Entry, Journal};
use crate::{Cluster, Config};

impl Cluster {
    /// A cluster as [`Cluster::new`] makes it, with what [`Config::data_dir`] holds, where that is given. Of the configured topics
    /// those are created that are not there.
    ///
    /// From here on whatever clients are told has been written before: topics, records, leader epochs, where logs begin,
    /// producers' ids and sequences, transactions with the markers that are due, and what groups committed. Members are not kept:
    /// they join again, in generations that come after all of before. Users and ACLs are the configuration's.
    ///
    /// It survives the end of this process at any moment, SIGKILL included. Nothing is synced to the disk, as in Kafka by
    /// default, which has replicas for that: where the machine itself fails, the last seconds may be lost, and the next start may
    /// find the file damaged. What the process was writing when it ended is cut off, and told in the log. A write that fails, as
    /// where the disk is full, is an error to who asked (KAFKA_STORAGE_ERROR to a producer, NOT_COORDINATOR where a coordinator
    /// was asked, as from Kafka) and changes nothing; all that is there can still be read, and the next write is tried like any other.
    ///
    /// Everything is in memory too, and what is deleted leaves the file when the directory is opened and more than half of it is
    /// of no use.
    ///
    /// # Errors
    ///
    /// The directory is open in another process, or twice in this one: [`io::ErrorKind::ResourceBusy`]. Its journal is damaged:
    /// [`io::ErrorKind::InvalidData`], with the file and the offset. It cannot be created, read or written to.
    pub fn open(mut config: Config, now: Now) -> io::Result<Self> {
        let Some(dir) = config.data_dir.take() else { return Ok(Self::new(config)) };
        let seed = config.seed;
        let mut cluster = Self::empty(config);
        let mut journal = Journal::open(&dir, now, |entry| cluster.apply(entry).is_some())?;
        cluster.tidy(&mut journal);
        cluster.journal = Some(journal);
        let times = cluster.times_opened.checked_add(1).unwrap_or(1);
        // Ids that were drawn before are not to be drawn again.
        cluster.rng =
            Rng::with_seed(seed ^ u64::from(times.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        cluster.keep_late(Entry::Opened { cluster_id: cluster.id.clone(), times });
        // There may be fewer brokers than before.
        cluster.elect(now);
        cluster.create_configured();
        Ok(cluster)
    }
}
