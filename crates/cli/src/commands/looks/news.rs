//! What has changed between two looks: statuses, and who is in a group with which partitions.

use std::collections::{BTreeMap, BTreeSet};

use ottla::{TopicPartition, admin::MemberDescription};
use serde_json::{Value, json};

use super::look::{Group, Look};
use crate::history::Status;

/// How much is told of one look, and how many members are named in one event.
const EVENTS: usize = 100;
const NAMES: usize = 20;

/// An event: what kind it is of, and its text.
pub(in crate::commands) type News = (&'static str, Value);

/// What the second look shows that was otherwise at the first.
pub(in crate::commands) fn between(before: &Look, now: &Look) -> Vec<News> {
    let mut news = Vec::new();
    for (name, group) in &now.groups {
        match before.groups.get(name) {
            Some(then) => of_group(name, then, group, now.at, &mut news),
            None if before.hidden.contains(name) => {}
            None => news.push(("group", json!({"at": now.at, "group": name, "change": "appeared"}))),
        }
    }
    let is_there = |name: &String| now.groups.contains_key(name) || now.hidden.contains(name);
    let gone = before.groups.keys().chain(&before.hidden).filter(|name| !is_there(name));
    news.extend(gone.map(|name| ("group", json!({"at": now.at, "group": name, "change": "gone"}))));
    if let Some(more) = news.len().checked_sub(EVENTS).filter(|more| *more > 0) {
        news.truncate(EVENTS);
        news.push(("more", json!({"at": now.at, "count": more})));
    }
    news
}

fn of_group(name: &str, then: &Group, group: &Group, at: i64, news: &mut Vec<News>) {
    // What a status follows from comes before it.
    let is_rebalancing = group.description.is_rebalancing();
    if is_rebalancing && !then.description.is_rebalancing() {
        news.push(("rebalance", of_rebalance(name, "began", then, group, at)));
    }
    if group.rebalances > then.rebalances {
        news.push(("rebalance", of_rebalance(name, "done", then, group, at)));
    }
    // That a group keeps up is no news as long as nothing else was known of it.
    let was = then.last_known.or(Some(Status::Ok));
    if let Some(status) = group.status.filter(|status| Some(*status) != was) {
        news.push((
            "status",
            json!({
                "at": at,
                "group": name,
                "from": then.last_known.map(Status::name),
                "to": status.name(),
                "reason": group.reason(),
                "lag": group.lag,
            }),
        ));
    }
}

fn of_rebalance(name: &str, phase: &str, then: &Group, group: &Group, at: i64) -> Value {
    let before = then.before.as_deref().unwrap_or(&then.description.members);
    let now = &group.description.members;
    let ids = |members: &[MemberDescription]| -> BTreeSet<String> {
        members.iter().map(|member| member.member_id.clone()).collect()
    };
    let (old, new) = (ids(before), ids(now));
    json!({
        "at": at,
        "group": name,
        "phase": phase,
        "state": group.description.state,
        "epoch": group.description.group_epoch,
        "members": now.len(),
        "members_before": before.len(),
        "joined": named(new.difference(&old)),
        "left": named(old.difference(&new)),
        "moved": moved(before, now),
    })
}

fn named<'a>(names: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    names.take(NAMES).map(String::as_str).collect()
}

/// How many partitions have another owner, one more, or one less.
fn moved(before: &[MemberDescription], now: &[MemberDescription]) -> usize {
    let owners = |members: &'_ [MemberDescription]| {
        let mut owners: BTreeMap<TopicPartition, BTreeSet<String>> = BTreeMap::new();
        for member in members {
            for at in &member.assignment {
                owners.entry(at.clone()).or_default().insert(member.member_id.clone());
            }
        }
        owners
    };
    let (before, now) = (owners(before), owners(now));
    let changed = now.iter().filter(|(at, owner)| before.get(*at) != Some(*owner)).count();
    changed + before.keys().filter(|at| !now.contains_key(*at)).count()
}
