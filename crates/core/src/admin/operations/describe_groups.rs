use std::collections::BTreeMap;

use ottla_protocol::{
    ApiKey, ErrorCode, Request, Response,
    messages::{
        ConsumerGroupDescribeRequest, DescribeGroupsRequest, ShareGroupDescribeRequest,
        StreamsGroupDescribeRequest,
    },
};

use super::described::{Told, classic, consumer, share, streams};
use crate::admin::{Answer, Failure, GroupDescription, GroupKind, Operation, Refusal, Route, Verdict};

/// Asks for groups with their members. Each group has its description, or its failure.
///
/// Of each it is tried which kind it is, the most common first: no request tells that for groups that are named.
#[derive(Debug)]
pub struct DescribeGroups(pub Vec<String>);

/// A group, and how it is asked for.
#[derive(Debug, Clone)]
pub struct GroupAs {
    id: String,
    kind: GroupKind,
}

/// So many at a time: members make an answer large.
const AT_ONCE: usize = 100;

impl Operation for DescribeGroups {
    type Outcome = BTreeMap<String, Result<GroupDescription, Failure>>;
    type Part = GroupAs;

    fn begin(&self) -> (Self::Outcome, Vec<GroupAs>) {
        let mut names = self.0.clone();
        names.sort_unstable();
        names.dedup();
        let group = |id| GroupAs { id, kind: GroupKind::Classic };
        (BTreeMap::new(), names.into_iter().map(group).collect())
    }

    fn route<'a>(&'a self, group: &'a GroupAs) -> Route<'a, GroupAs> {
        Route::Coordinator(&group.id)
    }

    fn api(&self, group: &GroupAs) -> (ApiKey, i16) {
        let key = match group.kind {
            GroupKind::Classic => ApiKey::DescribeGroups,
            GroupKind::Consumer => ApiKey::ConsumerGroupDescribe,
            GroupKind::Share => ApiKey::ShareGroupDescribe,
            GroupKind::Streams => ApiKey::StreamsGroupDescribe,
        };
        (key, i16::MAX)
    }

    fn at_once(&self, _: ApiKey, _: i16) -> usize {
        AT_ONCE
    }

    fn request(&self, groups: &[GroupAs], _: i16, _: i32) -> Option<Request> {
        let ids = groups.iter().map(|group| group.id.clone()).collect();
        Some(match groups.first()?.kind {
            GroupKind::Classic => DescribeGroupsRequest { groups: ids, ..Default::default() }.into(),
            GroupKind::Consumer => {
                ConsumerGroupDescribeRequest { group_ids: ids, ..Default::default() }.into()
            }
            GroupKind::Share => ShareGroupDescribeRequest { group_ids: ids, ..Default::default() }.into(),
            GroupKind::Streams => StreamsGroupDescribeRequest { group_ids: ids, ..Default::default() }.into(),
        })
    }

    fn gather(&self, answer: Answer<'_, GroupAs>, groups: &mut Self::Outcome) -> Verdict<GroupAs> {
        let Some(coordinator) = answer.from else { return Verdict::stray() };
        let told: Vec<Told> = match answer.response {
            Response::DescribeGroups(response) => {
                response.groups.into_iter().map(|group| classic(group, coordinator)).collect()
            }
            Response::ConsumerGroupDescribe(response) => {
                response.groups.into_iter().map(|group| consumer(group, coordinator)).collect()
            }
            Response::ShareGroupDescribe(response) => {
                response.groups.into_iter().map(|group| share(group, coordinator)).collect()
            }
            Response::StreamsGroupDescribe(response) => {
                response.groups.into_iter().map(|group| streams(group, coordinator)).collect()
            }
            _ => return Verdict::stray(),
        };
        let mut left: BTreeMap<&str, &GroupAs> =
            answer.asked.iter().map(|group| (group.id.as_str(), group)).collect();
        let (mut again, mut next) = (None, Vec::new());
        for Told { id, error, message, group } in told {
            if error.is_retriable() {
                again = Some(error);
                continue;
            }
            let Some(asked) = left.remove(id.as_str()) else { continue };
            let missing = match asked.kind {
                GroupKind::Classic => {
                    error == ErrorCode::GroupIdNotFound || error.is_ok() && group.state == "Dead"
                }
                // Of a kind that the cluster does not have, or not yet, there is no such group.
                _ => matches!(error, ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion),
            };
            if missing {
                next.extend(asked.kind.next().map(|kind| GroupAs { id: id.clone(), kind }));
            }
            // What was said of it as one of another kind stands until it is found.
            if !missing || asked.kind == GroupKind::Classic {
                let refused = |error| Failure::Refused(Refusal::told(error, message));
                groups.insert(id, error.ok().map(|()| group).map_err(refused));
            }
        }
        Verdict::left_then(again, left.into_values().cloned().collect(), next)
    }

    fn fail_part(&self, group: &GroupAs, failure: &Failure, groups: &mut Self::Outcome) -> bool {
        groups.insert(group.id.clone(), Err(failure.clone()));
        true
    }
}
