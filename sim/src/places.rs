//! The places of static members (KIP-345), as the coordinator keeps them.

use std::collections::{BTreeMap, BTreeSet};

use ottla_broker::GroupKind;

use crate::{mode::Mode, role::GROUP, world::World};

impl World {
    pub(super) fn look_at_places(&mut self) {
        if self.case.mode == Mode::Static {
            self.look_at_instances();
            self.look_at_seats();
        }
    }

    /// Under the consumer protocol a static member's place is another's only once it has left it, or its session is over.
    fn look_at_instances(&mut self) {
        let group = self.cluster.group(GROUP).filter(|group| group.kind == GroupKind::Consumer);
        let members = group.map(|group| group.members).unwrap_or_default();
        let mut places = BTreeMap::new();
        for member in members {
            let Some(instance) = member.group_instance_id else { continue };
            if let Some((before, epoch)) = self.places.get(&instance)
                && *before != member.member_id
                && *epoch >= 0
                && self.case.mode == Mode::Static
            {
                let id = &member.member_id;
                self.stage.violate("a static member's place is not given away while it is there", || {
                    format!("{instance}: {before} in epoch {epoch}, and now {id}")
                });
            }
            places.insert(instance, (member.member_id, member.epoch));
        }
        self.places = places;
    }

    /// Under the classic protocol a static member's place is kept for its session, whoever is not there.
    fn look_at_seats(&mut self) {
        let group = self.cluster.group(GROUP).filter(|group| group.kind == GroupKind::Classic);
        let (stable, members) = group.map_or((false, Vec::new()), |g| (g.state == "Stable", g.members));
        let there: BTreeSet<String> = members.into_iter().filter_map(|m| m.group_instance_id).collect();
        let (time, session) = (self.stage.time, self.plan.setup.session);
        for instance in self.seats.difference(&there) {
            // By when it had been heard of for certain.
            let heard = self.truth.heard.get(instance).copied().filter(|heard| time < *heard + session);
            if let Some(heard) = heard {
                self.stage.violate("a static member's place is kept for its session", || {
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
