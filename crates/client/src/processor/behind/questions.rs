//! What is asked about partitions behind, in tasks beside their reading: of one that does not answer, or is not there yet, the others
//! are read all the same.

use std::{
    collections::BTreeMap,
    task::{Context, Poll},
    time::Duration,
};

use ottla_core::{CommittedOffset, TopicPartition, log};
use tokio::task::{AbortHandle, JoinError, JoinSet};

use super::super::engine::{Life, Link};
use crate::{consumer::Asking, error::OffsetsError};

/// How long it waits before it asks once more.
const AGAIN: Duration = Duration::from_secs(1);

/// See the module's documentation. Dropped, nothing is asked any more.
#[derive(Debug)]
pub(super) struct Questions {
    asking: Asking,
    answers: JoinSet<Answer>,
    /// The chains that are asked about, by their first partitions.
    chains: BTreeMap<TopicPartition, (Life, AbortHandle)>,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// The partitions of a chain, or why that will not be known.
    Begins(Link, Result<Vec<Begins>, OffsetsError>),
    /// Where a partition of this life ends now, where that is known.
    Ends(TopicPartition, Life, Option<i64>),
}

/// What a partition is found with.
#[derive(Debug)]
pub(super) struct Begins {
    pub(super) at: TopicPartition,
    pub(super) committed: Option<CommittedOffset>,
    pub(super) first: i64,
    pub(super) end: i64,
}

impl Questions {
    pub(super) fn new(asking: Asking) -> Self {
        Self { asking, answers: JoinSet::new(), chains: BTreeMap::new() }
    }

    /// No chain but these is asked about.
    pub(super) fn retain(&mut self, chains: &BTreeMap<TopicPartition, Life>) {
        self.chains.retain(|first, (life, task)| {
            let stays = chains.get(first) == Some(life);
            if !stays {
                task.abort();
            }
            stays
        });
    }

    pub(super) fn asks(&self, first: &TopicPartition) -> bool {
        self.chains.contains_key(first)
    }

    /// Asks what is found in these partitions of a chain, until that is known.
    pub(super) fn begin(&mut self, link: Link, partitions: Vec<TopicPartition>) {
        let (asking, first, life) = (self.asking.clone(), link.first.clone(), link.life);
        let task = self.answers.spawn(async move {
            loop {
                match begins(&asking, &partitions).await {
                    Err(error) if error.is_retriable() => {
                        tracing::warn!(target: log::PROCESSING, %error, "what is left behind is not known");
                    }
                    begins => return Answer::Begins(link, begins),
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
        self.chains.insert(first, (life, task));
    }

    /// Asks once where a partition ends.
    pub(super) fn end(&mut self, at: TopicPartition, life: Life) {
        let asking = self.asking.clone();
        self.answers.spawn(async move {
            let ends = asking.ends([at.clone()]).await.unwrap_or_default();
            let end = ends.get(&at).copied();
            Answer::Ends(at, life, end)
        });
    }

    /// The next answer. Pending also where nothing is asked.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, JoinError>> {
        while let Some(answer) = std::task::ready!(self.answers.poll_join_next(cx)) {
            match answer {
                Err(error) if error.is_cancelled() => {}
                // Of a chain that it is asked about no more, nothing is told.
                Ok(Answer::Begins(link, _)) if !self.is_asked(&link) => {}
                answer => return Poll::Ready(answer),
            }
        }
        Poll::Pending
    }

    /// Whether this answers what is asked; that is asked no more.
    fn is_asked(&mut self, link: &Link) -> bool {
        let is_same = self.chains.get(&link.first).is_some_and(|(life, _)| *life == link.life);
        if is_same {
            self.chains.remove(&link.first);
        }
        is_same
    }
}

async fn begins(asking: &Asking, partitions: &[TopicPartition]) -> Result<Vec<Begins>, OffsetsError> {
    let mut committed = asking.committed(partitions.to_vec()).await?;
    let first = asking.beginnings(partitions.iter().cloned()).await?;
    // Behind all that the owner before has written and knows of.
    let ends = asking.ends(partitions.iter().cloned()).await?;
    let found = |at: &TopicPartition| Begins {
        at: at.clone(),
        committed: committed.remove(at).flatten(),
        first: first.get(at).copied().unwrap_or_default(),
        end: ends.get(at).copied().unwrap_or_default(),
    };
    Ok(partitions.iter().map(found).collect())
}
