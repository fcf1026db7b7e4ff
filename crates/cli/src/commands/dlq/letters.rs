//! A topic of dead letters, from where it begins to where it ended when it was opened.

use std::{collections::BTreeMap, time::Duration};

use ottla::{Consumer, IsolationLevel, OffsetReset, Record, Records, TopicPartition};

use super::super::topics::{check_name, existing};
use crate::{
    common::Clients,
    failure::{Failure, tell},
    waiting::told,
};

/// How long one `poll` waits.
const POLL: Duration = Duration::from_millis(100);

/// Which dead letters: `TOPIC[:PARTITION[:OFFSET]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) topic: String,
    pub(super) partition: Option<i32>,
    pub(super) offset: Option<i64>,
}

impl Selection {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |part: &str| {
            Failure::usage(format!("`{text}`: `{part}` is no number; expected TOPIC[:PARTITION[:OFFSET]]"))
        };
        let mut parts = text.splitn(3, ':');
        let topic = parts.next().unwrap_or_default().to_owned();
        check_name(&topic)?;
        let partition =
            parts.next().map(|part| part.parse::<u32>().ok().and_then(|it| it.try_into().ok()).ok_or(part));
        let offset =
            parts.next().map(|part| part.parse::<u64>().ok().and_then(|it| it.try_into().ok()).ok_or(part));
        Ok(Self {
            topic,
            partition: partition.transpose().map_err(wrong)?,
            offset: offset.transpose().map_err(wrong)?,
        })
    }
}

/// Dead letters that are being read. What is in open or aborted transactions is none.
pub(super) struct Letters {
    pub(super) consumer: Consumer,
    /// The first offset of each partition that is not read, for those that are not read to their ends.
    ends: BTreeMap<TopicPartition, i64>,
}

impl Letters {
    /// From the beginning or, where a `group` is named, from where it has come.
    pub(super) async fn open(
        clients: &Clients,
        selection: &Selection,
        group: Option<&str>,
    ) -> Result<Self, Failure> {
        let defaults = Consumer::builder().isolation_level(IsolationLevel::ReadCommitted);
        // Whatever a file says that is for other consumers: a letter that nobody has sent is not passed.
        let mut builder =
            clients.consumer(defaults)?.enable_auto_commit(false).auto_offset_reset(OffsetReset::Earliest);
        if let Some(group) = group {
            builder = builder.group_id(group);
        }
        let mut consumer = builder.build().await?;
        let partitions = partitions(clients, selection).await?;
        consumer.assign(partitions.clone())?;
        let begins = consumer.beginning_offsets(partitions.clone()).await?;
        let mut ends = consumer.end_offsets(partitions.clone()).await?;
        match selection.offset {
            None if group.is_none() => consumer.seek_to_beginning(partitions)?,
            // From what is committed.
            None => {}
            Some(offset) => {
                for at in partitions {
                    let (begin, end) = (begins.get(&at).copied(), ends.get(&at).copied());
                    if begin.is_none_or(|begin| offset < begin) || end.is_none_or(|end| offset >= end) {
                        let (begin, end) = (begin.unwrap_or_default(), end.unwrap_or_default());
                        let why = format!("the log begins at {begin} and ends before {end}; choose another");
                        return Err(Failure::failed(format!(
                            "partition {at}: no such offset {offset}: {why}"
                        )));
                    }
                    consumer.seek(at.clone(), offset)?;
                    ends.insert(at, offset + 1);
                }
            }
        }
        Ok(Self { consumer, ends })
    }

    /// More of them; `None` once all have been handed out. Some of what is handed out may be [behind the end](Self::has).
    pub(super) async fn next(&mut self) -> Result<Option<Records>, Failure> {
        loop {
            self.settle().await;
            if self.ends.is_empty() {
                return Ok(None);
            }
            let records = self.consumer.poll(POLL).await?;
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
    }

    /// Whether it was there when this was opened.
    pub(super) fn has(&self, record: &Record<'_>) -> bool {
        self.ends.get(record.topic_partition()).is_some_and(|end| record.offset() < *end)
    }

    /// Takes out what is read to its end: by the position, as the last offsets may be of no record.
    async fn settle(&mut self) {
        let mut done = Vec::new();
        for (at, end) in &self.ends {
            let position = tokio::time::timeout(Duration::ZERO, self.consumer.position(at.clone())).await;
            if matches!(position, Ok(Ok(position)) if position >= *end) {
                done.push(at.clone());
            }
        }
        self.ends.retain(|at, _| !done.contains(at));
        self.consumer.pause(done);
    }

    pub(super) async fn close(self) {
        // It was read alone: nobody waits for it.
        if let Err(error) = self.consumer.close().await {
            tell(error);
        }
    }
}

async fn partitions(clients: &Clients, selection: &Selection) -> Result<Vec<TopicPartition>, Failure> {
    let admin = clients.admin_beside()?.build().await?;
    let topics = told(|| admin.explain(), existing(&admin, std::slice::from_ref(&selection.topic))).await;
    admin.close().await;
    let numbers: Vec<i32> = topics?.into_values().flat_map(|topic| topic.partitions.into_keys()).collect();
    let name = &selection.topic;
    match selection.partition {
        None => Ok(numbers.into_iter().map(|number| TopicPartition::new(name, number)).collect()),
        Some(number) if numbers.contains(&number) => Ok(vec![TopicPartition::new(name, number)]),
        Some(number) => {
            let why = format!("no such partition: there are {}, from 0; choose one of these", numbers.len());
            Err(Failure::failed(format!("partition {name}-{number}: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_a_topic_a_partition_of_it_or_one_letter() {
        let of = |text| Selection::parse(text).unwrap();
        assert_eq!(of("t"), Selection { topic: "t".to_owned(), partition: None, offset: None });
        assert_eq!(of("t:2"), Selection { topic: "t".to_owned(), partition: Some(2), offset: None });
        assert_eq!(of("t:2:7"), Selection { topic: "t".to_owned(), partition: Some(2), offset: Some(7) });
        for wrong in ["", ":1", "t:", "t:x", "t:-1", "t:1:", "t:1:2:3", "t:+1x", "t:1:-2"] {
            assert!(Selection::parse(wrong).is_err(), "{wrong}");
        }
    }
}
