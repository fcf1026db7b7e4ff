use std::collections::BTreeMap;

use ottla_protocol::{ApiKey, Request, Response, messages::ListGroupsRequest};

use crate::{
    admin::{Answer, GroupKind, Operation, Route, Verdict},
    ids::NodeId,
};

/// Asks every broker for the groups that it coordinates.
#[derive(Debug)]
pub struct ListGroups;

/// A group, as brokers list it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupListing {
    /// What kind of members it has: `consumer` for consumers, empty for offsets without members.
    pub protocol_type: String,
    /// Its state, where the broker tells it (from ListGroups 4 on).
    pub state: Option<String>,
    /// `Classic`, `Consumer`, `Share` or `Streams`, where the broker tells it (from ListGroups 5 on).
    pub group_type: Option<String>,
    /// The broker that coordinates it.
    pub coordinator: NodeId,
}

impl GroupListing {
    /// Which protocol it follows, where the broker tells it, and it is one that is known here.
    pub fn kind(&self) -> Option<GroupKind> {
        GroupKind::by_name(self.group_type.as_deref()?)
    }
}

impl Operation for ListGroups {
    type Outcome = BTreeMap<String, GroupListing>;
    /// A broker; `None` for all, until it is known which there are.
    type Part = Option<NodeId>;

    fn begin(&self) -> (Self::Outcome, Vec<Self::Part>) {
        (BTreeMap::new(), vec![None])
    }

    fn route<'a>(&'a self, broker: &'a Self::Part) -> Route<'a, Self::Part> {
        match broker {
            None => Route::EveryBroker(Some),
            // One that is gone lists no groups. Those that it coordinated are with other brokers.
            Some(node) => Route::Broker(*node),
        }
    }

    fn api(&self, _: &Self::Part) -> (ApiKey, i16) {
        (ApiKey::ListGroups, i16::MAX)
    }

    fn request(&self, _: &[Self::Part], _: i16, _: i32) -> Option<Request> {
        Some(ListGroupsRequest::default().into())
    }

    fn gather(&self, answer: Answer<'_, Self::Part>, groups: &mut Self::Outcome) -> Verdict<Self::Part> {
        let (Response::ListGroups(response), Some(coordinator)) = (answer.response, answer.from) else {
            return Verdict::stray();
        };
        let told = |text: String| Some(text).filter(|text| !text.is_empty());
        for group in response.groups {
            let listing = GroupListing {
                protocol_type: group.protocol_type,
                state: told(group.group_state),
                group_type: told(group.group_type),
                coordinator,
            };
            groups.insert(group.group_id, listing);
        }
        Verdict::of(response.error_code, None)
    }
}
