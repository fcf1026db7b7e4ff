//! Plans that may be carried out: each once, by its confirmation, and for a while.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::commands::groups::reset::Row;

/// For how long a plan may be carried out.
pub(super) const LIFE: Duration = Duration::from_secs(120);
/// How many there are at once: the oldest makes room.
const MOST: usize = 16;

/// What is moved, of one group.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) group: String,
    pub(super) rows: Vec<Row>,
    /// In words.
    pub(super) asked: String,
}

/// The last of them, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Plans(Vec<(String, Instant, Plan)>);

impl Plans {
    /// Returns the confirmation, which nobody can guess.
    pub(super) fn add(&mut self, plan: Plan, now: Instant) -> Result<String, String> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| format!("no confirmation: {error}"))?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        self.forget(now);
        if self.0.len() == MOST {
            self.0.remove(0);
        }
        self.0.push((id.clone(), now, plan));
        Ok(id)
    }

    /// The plan with this confirmation, if it is of this group, and still may be carried out. Nobody has it again.
    pub(super) fn take(&mut self, group: &str, id: &str, now: Instant) -> Option<Plan> {
        self.forget(now);
        let at = self.0.iter().position(|(of, _, plan)| of == id && plan.group == group)?;
        Some(self.0.remove(at).2)
    }

    fn forget(&mut self, now: Instant) {
        self.0.retain(|(_, since, _)| now.saturating_duration_since(*since) < LIFE);
    }
}

/// What is otherwise than it was planned, if anything.
pub(super) fn changed(planned: &[Row], now: &[Row]) -> Option<String> {
    let offset = |offset: Option<i64>| offset.map_or("no commit".to_owned(), |offset| offset.to_string());
    if planned.len() != now.len() {
        return Some("partitions came or went".to_owned());
    }
    planned.iter().zip(now).find_map(|(planned, now)| {
        let (was, is) = (planned.committed(), now.committed());
        // Where it stays it may be outside of the log.
        let stays = was == Some(planned.new);
        match () {
            () if planned.at != now.at => Some("partitions came or went".to_owned()),
            () if was != is => {
                Some(format!("{}: the commit was {} and is {}", planned.at, offset(was), offset(is)))
            }
            () if planned.new != now.new && !stays => {
                Some(format!("{}: {} is not in the log any more", planned.at, planned.new))
            }
            () => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(group: &str) -> Plan {
        Plan { group: group.to_owned(), rows: Vec::new(), asked: String::new() }
    }

    #[test]
    fn a_plan_is_carried_out_once_by_its_confirmation_and_in_its_group_while_it_lasts() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        let (a, b) = (plans.add(plan("a"), now).unwrap(), plans.add(plan("b"), now).unwrap());
        assert_ne!(a, b);
        assert!(plans.take("b", &a, now).is_none(), "of another group");
        assert!(plans.take("a", "", now).is_none());
        assert!(plans.take("a", &a, now + LIFE - Duration::from_millis(1)).is_some());
        assert!(plans.take("a", &a, now).is_none(), "carried out");
        assert!(plans.take("b", &b, now + LIFE).is_none(), "too late");
    }

    #[test]
    fn there_are_no_more_than_may_be_and_the_newest_are_there() {
        let (mut plans, now) = (Plans::default(), Instant::now());
        let ids: Vec<String> = (0..MOST + 1).map(|_| plans.add(plan("g"), now).unwrap()).collect();
        assert_eq!(plans.0.len(), MOST);
        assert!(plans.take("g", &ids[0], now).is_none());
        assert!(plans.take("g", &ids[MOST], now).is_some());
    }
}
