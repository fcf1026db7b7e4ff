//! A group's members over the looks: who comes and goes, and who holds the others up.

use std::collections::BTreeSet;

use ottla::{
    TopicPartition,
    admin::{GroupDescription, MemberDescription},
};

use super::{
    super::finding::{Finding, Kind},
    named::{NAMED, listed, shown},
};

/// So many members that came, or went, within the looks are more than a deployment's one after the other.
const MANY_CHANGES: usize = 2;

/// What all looks have shown of a group as a whole.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    rebalancing: u32,
    members: BTreeSet<String>,
    /// Members that were not there at the look before.
    came: usize,
    /// Members that were there, and are not.
    went: usize,
    looks: u32,
    /// In how many of them it was told where the group is.
    pub(super) told: u32,
}

impl History {
    pub(super) fn saw(&mut self, group: &GroupDescription, is_told: bool) {
        self.rebalancing = if group.is_rebalancing() { self.rebalancing + 1 } else { 0 };
        let now: BTreeSet<String> = group.members.iter().map(|member| member.member_id.clone()).collect();
        if self.looks > 0 {
            self.came += now.difference(&self.members).count();
            self.went += self.members.difference(&now).count();
        }
        (self.members, self.looks, self.told) = (now, self.looks + 1, self.told + u32::from(is_told));
    }

    /// What is to be said where the looks are too few to tell how it gets on.
    pub(super) fn short(&self) -> String {
        let window = crate::history::WINDOW;
        let missed = self.looks - self.told;
        match (self.told as usize) < window {
            true if missed > 0 => {
                format!(
                    "; how it gets on takes {window} looks to tell, and {missed} of {} told nothing of it",
                    self.looks
                )
            }
            true => format!("; how it gets on takes {window} looks to tell"),
            false => String::new(),
        }
    }
}

/// Whether its members find together.
pub(super) fn membership(group: &GroupDescription, history: &History) -> Vec<Finding> {
    let (mut findings, looks) = (Vec::new(), history.looks);
    if group.is_rebalancing() {
        let state = &group.state;
        let finding = match history.rebalancing >= 2 && history.rebalancing == looks {
            true => {
                let seen =
                    format!("it was rebalancing ({state}) at all {looks} looks; {}", in_the_way(group));
                Finding::new(Kind::RebalanceStuck, seen)
            }
            false => Finding::new(Kind::Rebalancing, format!("it is rebalancing ({state}) now")),
        };
        let stragglers = stragglers(group);
        findings.push(match stragglers.as_slice() {
            [(only, _)] => finding.member(&only.member_id),
            _ => finding,
        });
    }
    if history.came.max(history.went) >= MANY_CHANGES {
        let seen = format!("within {looks} looks {} members came, and {} went", history.came, history.went);
        findings.push(Finding::new(Kind::MembersComeAndGo, seen));
    }
    findings
}

/// How a member is not where its group is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Behind<'a> {
    /// It has what it is to give up.
    Keeps(Vec<&'a TopicPartition>),
    /// It has not heard of the newest assignment.
    Epoch { own: i32, of_group: i32 },
}

impl Behind<'_> {
    fn text(&self) -> String {
        match self {
            Self::Keeps(all) => format!("has not given up {}", listed(all.iter().copied())),
            Self::Epoch { own, of_group } => format!("is in epoch {own} of {of_group}"),
        }
    }
}

/// Who is not where the group is, and how.
fn stragglers(group: &GroupDescription) -> Vec<(&MemberDescription, Behind<'_>)> {
    let all: Vec<(&MemberDescription, Behind<'_>)> = group
        .members
        .iter()
        .filter_map(|member| Some((member, behind(member, group.group_epoch)?)))
        .collect();
    // Who waits for what another has is no straggler.
    let keeping: Vec<_> = all.iter().filter(|(_, how)| matches!(how, Behind::Keeps(_))).cloned().collect();
    if keeping.is_empty() { all } else { keeping }
}

fn behind(member: &MemberDescription, of_group: Option<i32>) -> Option<Behind<'_>> {
    // Both are in order.
    let target = member.target.as_deref();
    let keeps = |at: &&TopicPartition| target.is_some_and(|target| target.binary_search(at).is_err());
    let keeps: Vec<&TopicPartition> = member.assignment.iter().filter(keeps).collect();
    match (member.epoch, of_group) {
        _ if !keeps.is_empty() => Some(Behind::Keeps(keeps)),
        (Some(own), Some(of_group)) if own < of_group => Some(Behind::Epoch { own, of_group }),
        _ => None,
    }
}

fn in_the_way(group: &GroupDescription) -> String {
    let stragglers = stragglers(group);
    if stragglers.is_empty() {
        let ids: Vec<String> = group.members.iter().take(NAMED).map(shown).collect();
        let more = if group.members.len() > NAMED { ", …" } else { "" };
        return format!("its members, of which one or more have not joined again: {}{more}", ids.join(", "));
    }
    let told = stragglers.iter().take(NAMED).map(|(member, how)| format!("{} {}", shown(member), how.text()));
    told.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_behind_is_told_with_what_it_keeps_or_where_it_is() {
        let all: Vec<TopicPartition> = (0..7).map(|number| TopicPartition::new("t", number)).collect();
        let keeps = Behind::Keeps(all.iter().collect());
        assert_eq!(keeps.text(), "has not given up t-0, t-1, t-2, t-3, t-4 and 2 more");
        assert_eq!(Behind::Epoch { own: 3, of_group: 5 }.text(), "is in epoch 3 of 5");
    }
}
