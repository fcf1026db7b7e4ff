//! The places of static members (KIP-345), as the coordinator keeps them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ottla_broker::{GroupKind, GroupView};

use crate::{stage::Stage, truth::Truth};

#[derive(Debug, Default)]
pub(super) struct Places {
    /// Which member has each static member's place, and in which epoch.
    instances: BTreeMap<String, (String, i32)>,
    /// The static members that the classic group had when it was stable last, as far as they are in it.
    seats: BTreeSet<String>,
}

impl Places {
    /// The group, where there is one, is like this now.
    pub(super) fn look(
        &mut self,
        group: Option<GroupView>,
        session: Duration,
        truth: &Truth,
        stage: &mut Stage,
    ) {
        let (classic, consumer) = match group {
            Some(group) if group.kind == GroupKind::Classic => (Some(group), None),
            group => (None, group),
        };
        self.look_at_instances(consumer, stage);
        self.look_at_seats(classic, session, truth, stage);
    }

    /// Under the consumer protocol a static member's place is another's only once it has left it, or its session is over.
    fn look_at_instances(&mut self, group: Option<GroupView>, stage: &mut Stage) {
        let members = group.map(|group| group.members).unwrap_or_default();
        let mut places = BTreeMap::new();
        for member in members {
            let Some(instance) = member.group_instance_id else { continue };
            if let Some((before, epoch)) = self.instances.get(&instance)
                && *before != member.member_id
                && *epoch >= 0
            {
                let id = &member.member_id;
                stage.violate("a static member's place is not given away while it is there", || {
                    format!("{instance}: {before} in epoch {epoch}, and now {id}")
                });
            }
            places.insert(instance, (member.member_id, member.epoch));
        }
        self.instances = places;
    }

    /// Under the classic protocol a static member's place is kept for its session, whoever is not there.
    fn look_at_seats(
        &mut self,
        group: Option<GroupView>,
        session: Duration,
        truth: &Truth,
        stage: &mut Stage,
    ) {
        let (stable, members) = group.map_or((false, Vec::new()), |g| (g.state == "Stable", g.members));
        let there: BTreeSet<String> = members.into_iter().filter_map(|m| m.group_instance_id).collect();
        let time = stage.time;
        for instance in self.seats.difference(&there) {
            // By when it had been heard of for certain.
            let heard = truth.heard.get(instance).copied().filter(|heard| time < *heard + session);
            if let Some(heard) = heard {
                stage.violate("a static member's place is kept for its session", || {
                    format!("{instance} is out of the group {:?} after it was heard of", time - heard)
                });
            }
        }
        match stable {
            true => self.seats = there,
            false => self.seats.retain(|instance| there.contains(instance)),
        }
    }
}
