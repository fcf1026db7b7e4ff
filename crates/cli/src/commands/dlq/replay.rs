//! `ottla dlq replay`.
//!
//! What was sent is committed in a group, so that another replay goes on behind it. It is committed after brokers have acknowledged
//! it, and up to the first letter that they have not: none is lost, and what was sent beyond such a one is sent again.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};

use ottla::{
    Admin, Producer, ProducerRecord, Record, Records, TopicPartition,
    dead_letters::{FailedRecord, Origin},
    producer::Delivery,
};

use super::{
    super::topics::{APPEARANCE, check_name},
    letters::{Letters, Selection},
};
use crate::{
    args::{Common, ReplayArgs},
    common::Clients,
    failure::{Failure, tell},
    output::Table,
    signals::Stop,
};

pub(super) async fn run(args: &ReplayArgs, common: &Common, mut stop: Stop) -> Result<(), Failure> {
    let selection = Selection::parse(&args.letters)?;
    if let Some(to) = &args.to {
        check_name(to)?;
        if *to == selection.topic {
            let why = "they are there already; name another topic";
            return Err(Failure::usage(format!("--to {to}: {why}")));
        }
    }
    let clients = Clients::new(common)?;
    let group = args.group.clone().unwrap_or_else(|| format!("{}-replay", selection.topic));
    // Who names a letter wants it, whatever was sent before, and says nothing of those around it.
    let group = selection.offset.is_none().then_some(group.as_str());
    let letters = Letters::open(&clients, &selection, group).await?;
    let mut replay = Replay {
        letters,
        admin: clients.admin_beside()?.build().await?,
        producer: match args.execute {
            true => Some(clients.producer_beside()?.unknown_topic_grace(APPEARANCE).build().await?),
            false => None,
        },
        to: args.to.clone(),
        commits: group.is_some(),
        partitions: BTreeMap::new(),
        sent: BTreeMap::new(),
    };
    let done = replay.run(&mut stop).await;
    let sent = replay.close().await;
    let mut table = Table::new(&["TOPIC", "PARTITION", "TO", "RECORDS"]);
    for ((at, to), count) in sent {
        table.push([at.topic.to_string().into(), at.partition.into(), to.into(), count.into()]);
    }
    table.print(common.is_json())?;
    done?;
    if !args.execute {
        tell("a dry run: nothing was sent; --execute sends it");
    }
    Ok(())
}

/// A replay at work.
struct Replay {
    letters: Letters,
    admin: Admin,
    /// `None` in a dry run.
    producer: Option<Producer>,
    to: Option<String>,
    /// Whether what is sent is committed.
    commits: bool,
    /// How many partitions topics have that letters go to.
    partitions: BTreeMap<String, usize>,
    /// Of each partition of dead letters how many went where; in a dry run, how many would.
    sent: BTreeMap<(TopicPartition, String), u64>,
}

/// Where a letter goes, and what comes of it; nothing in a dry run.
type Sent = (String, Option<Delivery>);

/// How far a partition is done.
type Done = BTreeMap<TopicPartition, i64>;

impl Replay {
    async fn run(&mut self, stop: &mut Stop) -> Result<(), Failure> {
        loop {
            let records = tokio::select! {
                () = stop.requested() => return Ok(()),
                records = self.letters.next() => records?,
            };
            let Some(records) = records else { return Ok(()) };
            let mut done = Done::new();
            let sent = self.send(&records, &mut done).await;
            if self.commits && self.producer.is_some() && !done.is_empty() {
                self.letters.consumer.commit_offsets(done).await?;
            }
            sent?;
        }
    }

    /// Sends these, and waits for all of them. `done` has what is acknowledged, up to the first failure.
    async fn send(&mut self, records: &Records, done: &mut Done) -> Result<(), Failure> {
        let mut on_way = Vec::new();
        let mut failed = None;
        for record in records {
            if !self.letters.has(&record) {
                continue;
            }
            match self.send_one(&record).await {
                Ok(sent) => on_way.push((record, sent)),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        // Of each partition: what is behind a failure is not done.
        let mut stopped = BTreeSet::new();
        for (record, sent) in on_way {
            let at = record.topic_partition().clone();
            let to = match sent {
                None => None,
                Some((to, None)) => Some(to),
                Some((to, Some(delivery))) => match delivery.await {
                    Ok(_) => Some(to),
                    Err(error) => {
                        stopped.insert(at);
                        failed.get_or_insert_with(|| refused(&record, &error.into()));
                        continue;
                    }
                },
            };
            if let Some(to) = to {
                *self.sent.entry((at.clone(), to)).or_default() += 1;
            }
            if !stopped.contains(&at) {
                done.insert(at, record.next_offset());
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Where it goes, and its delivery; `None` where it is no dead letter.
    async fn send_one(&mut self, record: &Record<'_>) -> Result<Option<Sent>, Failure> {
        let letter = FailedRecord::from(record);
        let Some(origin) = Origin::of(&letter) else {
            tell(format!("{}: no dead letter; left out", place(record)));
            return Ok(None);
        };
        let to = match (&self.to, origin.topic) {
            (Some(to), _) => to.clone(),
            (None, Ok(topic)) => topic.to_owned(),
            (None, Err(why)) => {
                tell(format!(
                    "{}: the topic that it came from is {why}; left out: --to sends it",
                    place(record)
                ));
                return Ok(None);
            }
        };
        let count = self.partitions_of(&to).await.map_err(|failure| refused(record, &failure))?;
        let Some(producer) = &self.producer else { return Ok(Some((to, None))) };
        let mut back = ProducerRecord::to(to.clone()).key(letter.key).value(letter.value);
        for header in &origin.own_headers {
            back = back.header(header.key, header.value);
        }
        // Its own, as long as that is still there: its key may have been placed by other means than ours.
        let own = origin.partition.ok().filter(|_| self.to.is_none());
        if let Some(partition) = own.filter(|own| usize::try_from(*own).is_ok_and(|own| own < count)) {
            back = back.partition(partition);
        }
        let delivery = producer.send(back).await.map_err(|error| refused(record, &error.into()))?;
        Ok(Some((to, Some(delivery))))
    }

    /// A topic that is not there is not made by sending to it.
    async fn partitions_of(&mut self, topic: &str) -> Result<usize, Failure> {
        let entry = match self.partitions.entry(topic.to_owned()) {
            Entry::Occupied(known) => return Ok(*known.get()),
            Entry::Vacant(entry) => entry,
        };
        let described = self.admin.describe_topics([topic]).await?.into_values().next();
        let count = match described {
            Some(described) => described?.partitions.len(),
            None => return Err(Failure::failed(format!("topic `{topic}`: no broker tells of it"))),
        };
        Ok(*entry.insert(count))
    }

    /// Returns what was sent.
    async fn close(self) -> BTreeMap<(TopicPartition, String), u64> {
        if let Some(producer) = self.producer {
            // All that it was given is acknowledged, or has failed and been told.
            let _ = producer.close().await;
        }
        self.admin.close().await;
        self.letters.close().await;
        self.sent
    }
}

fn place(record: &Record<'_>) -> String {
    format!("{} offset {}", record.topic_partition(), record.offset())
}

/// The replay ends at this letter.
fn refused(record: &Record<'_>, why: &Failure) -> Failure {
    Failure::failed(format!("{}: not sent, nor what is behind it: {why}", place(record)))
}
