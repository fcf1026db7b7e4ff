//! Where groups are in partitions, of whatever kind they are.

use std::collections::BTreeMap;

use ottla::{
    Admin, CommittedOffset, TopicPartition,
    admin::{GroupDescription, GroupKind, ShareOffset},
    error::AdminError,
};

/// Where a group is in a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::commands) struct Place {
    pub(in crate::commands) offset: Option<i64>,
    pub(in crate::commands) leader_epoch: Option<i32>,
    /// As the coordinator counts it, who knows what of a share group is done.
    pub(in crate::commands) lag: Option<i64>,
}

pub(in crate::commands) type Places = BTreeMap<TopicPartition, Place>;

/// What coordinators told, and what they did not.
#[derive(Debug, Default)]
pub(in crate::commands) struct Placed {
    /// A group that is not here was not told of, which is not the same as one that has committed nothing.
    pub(in crate::commands) places: BTreeMap<String, Places>,
    pub(in crate::commands) refused: Vec<Refused>,
}

/// What could not be told.
#[derive(Debug)]
pub(in crate::commands) struct Refused {
    pub(in crate::commands) group: String,
    /// Of this partition alone.
    pub(in crate::commands) at: Option<TopicPartition>,
    pub(in crate::commands) error: AdminError,
}

impl Placed {
    /// Where each of these groups is. One that cannot be told hides no other.
    pub(in crate::commands) async fn ask(
        admin: &Admin,
        groups: &BTreeMap<String, GroupDescription>,
    ) -> Result<Self, AdminError> {
        let of = |is_share: bool| {
            let those = groups.iter().filter(|(_, group)| (group.kind == GroupKind::Share) == is_share);
            those.map(|(name, _)| name.clone()).collect::<Vec<String>>()
        };
        let mut placed = Self::default();
        // Of a group that commits in transactions one is nearly always under way.
        for (group, told) in admin.committed_offsets_now(of(false)).await? {
            match told {
                Ok(commits) => {
                    let each = commits.into_iter().map(|(at, committed)| (at, committed.into()));
                    placed.places.insert(group, each.collect());
                }
                Err(error) => placed.refused.push(Refused { group, at: None, error }),
            }
        }
        for (group, told) in admin.share_offsets(of(true)).await? {
            let partitions = match told {
                Ok(partitions) => partitions,
                Err(error) => {
                    placed.refused.push(Refused { group, at: None, error });
                    continue;
                }
            };
            let mut places = Places::new();
            for (at, told) in partitions {
                match told {
                    Ok(offset) => _ = places.insert(at, offset.into()),
                    Err(error) => {
                        placed.refused.push(Refused { group: group.clone(), at: Some(at), error });
                    }
                }
            }
            placed.places.insert(group, places);
        }
        Ok(placed)
    }
}

impl From<CommittedOffset> for Place {
    fn from(committed: CommittedOffset) -> Self {
        Self { offset: Some(committed.offset), leader_epoch: committed.leader_epoch, lag: None }
    }
}

impl From<ShareOffset> for Place {
    fn from(told: ShareOffset) -> Self {
        let offset = told.start_offset;
        // As long as nothing was acquired, the rest means nothing.
        let is_known = offset.is_some();
        Self {
            offset,
            leader_epoch: told.leader_epoch.filter(|_| is_known),
            lag: told.lag.filter(|_| is_known),
        }
    }
}
