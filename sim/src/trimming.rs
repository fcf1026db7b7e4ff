//! How logs grow, and lose their beginning.

use std::collections::BTreeMap;

use crate::{between::Between as _, role::GROUP, world::World};

impl World {
    pub(super) fn look_at_logs(&mut self) {
        for at in self.plan.partitions() {
            let (topic, partition) = (at.topic.as_str(), at.partition);
            let start = self.cluster.log_start_offset(topic, partition).unwrap_or_default();
            let end = self.cluster.log_end_offset(topic, partition).unwrap_or_default();
            let log = self.truth.logs.entry(at.clone()).or_default();
            if (log.start(), log.end()) == (start, end) {
                continue;
            }
            let grown = log.end() < end;
            let batches = grown.then(|| self.cluster.log_from(topic, partition, log.end())).flatten();
            log.becomes(self.stage.time, (start, end), &batches.unwrap_or_default());
        }
    }

    /// A log loses its beginning: only what the group has read, or more.
    pub(super) fn trim(&mut self, unread: bool) {
        let mut behind = BTreeMap::new();
        for at in self.plan.partitions() {
            let (start, end) = (self.truth.start(&at), self.truth.end(&at));
            let read = self.truth.progress(GROUP, &at).committed().unwrap_or(0).max(start);
            behind.insert(at, (start, read, end));
        }
        // What is to go unread is where most of it is.
        let most = behind.iter().max_by_key(|(_, (_, read, end))| end - read).map(|(at, _)| at.clone());
        let any = self.dice.pick(&self.plan.partitions());
        let at = if unread { most.unwrap_or(any) } else { any };
        let (start, read, end) = behind[&at];
        let before = match unread {
            true if self.dice.chance(0.3) => end,
            true => self.dice.offset(read.min(end)..=end),
            false => self.dice.offset(start..=read.min(end)),
        };
        self.stage.tell(|| format!("{at} begins at {before} now (read to {read}, ends at {end})"));
        self.cluster.delete_records(&at.topic, at.partition, before, self.stage.now());
        self.pump();
        self.look_at_logs();
        // A batch of which the beginning is gone is fetched as a whole; what was fetched may be in vain.
        self.members.iter_mut().filter(|member| member.has(&at)).for_each(|member| member.volume.detour());
    }
}
