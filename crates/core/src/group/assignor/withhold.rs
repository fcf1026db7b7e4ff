//! The wait between two owners of a partition in a cooperative group (KIP-429). The leader applies it to the
//! assignments of any cooperative assignor.

use std::collections::{BTreeMap, HashMap};

use super::{Assignment, Member};
use crate::ids::TopicPartition;

/// Takes partitions that another member still owns out of the assignments, and returns whether there were any.
/// Nobody gets such a partition in this generation: its owner sees that it is gone, revokes it and joins again, and
/// the next generation hands it over. Where several members claim a partition, the member to which it is assigned
/// gets it only if its claim is the newest.
pub(crate) fn withhold_moving(assignments: &mut BTreeMap<String, Assignment>, members: &[Member]) -> bool {
    let mut owners: HashMap<&TopicPartition, Vec<&Member>> = HashMap::new();
    for member in members {
        for at in &member.subscription.owned {
            owners.entry(at).or_default().push(member);
        }
    }
    let mut withheld = false;
    for (id, assignment) in assignments {
        let before = assignment.partitions.len();
        assignment.partitions.retain(|at| {
            let owners = owners.get(at).map(Vec::as_slice).unwrap_or_default();
            let own = owners.iter().find(|owner| owner.id == *id);
            owners.iter().all(|other| {
                let newer = |own: &&Member| own.subscription.generation_id > other.subscription.generation_id;
                other.id == *id || own.is_some_and(newer)
            })
        });
        withheld |= assignment.partitions.len() < before;
    }
    withheld
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::assignor::tests::{Group, at};

    /// Assigns partition 0 to `m2`, and returns whether `m1` and `m2` get it. `owned` says which of them owns it,
    /// and since which generation.
    fn zero_to_m2(owned: &[(&str, i32)]) -> (bool, bool) {
        let mut group = Group::new(&[("a", 1)]).member("m1", &["a"]).member("m2", &["a"]);
        for (id, generation_id) in owned {
            group = group.owning(id, *generation_id, &[("a", 0)]);
        }
        let mut assignments: BTreeMap<String, Assignment> =
            ["m1", "m2"].map(|id| (id.to_owned(), Assignment::default())).into();
        assignments.get_mut("m2").unwrap().partitions = vec![at("a", 0)];
        let withheld = withhold_moving(&mut assignments, &group.members);
        assert_eq!(withheld, assignments["m2"].partitions.is_empty());
        (!assignments["m1"].partitions.is_empty(), !assignments["m2"].partitions.is_empty())
    }

    #[test]
    fn what_nobody_owns_is_handed_out() {
        assert_eq!(zero_to_m2(&[]), (false, true));
    }

    #[test]
    fn what_its_owner_keeps_stays() {
        assert_eq!(zero_to_m2(&[("m2", 3)]), (false, true));
    }

    #[test]
    fn what_another_owns_is_nobodys_in_this_round() {
        assert_eq!(zero_to_m2(&[("m1", 3)]), (false, false));
    }

    #[test]
    fn an_owner_of_an_old_generation_is_waited_for() {
        assert_eq!(zero_to_m2(&[("m1", -1)]), (false, false));
    }

    #[test]
    fn of_two_owners_the_newer_keeps_it() {
        assert_eq!(zero_to_m2(&[("m1", 2), ("m2", 3)]), (false, true));
    }

    #[test]
    fn the_older_of_two_owners_does_not() {
        assert_eq!(zero_to_m2(&[("m1", 3), ("m2", 2)]), (false, false));
    }

    #[test]
    fn two_owners_of_one_generation_both_give_it_up() {
        assert_eq!(zero_to_m2(&[("m1", 3), ("m2", 3)]), (false, false));
    }
}
