//! The end: once the trouble is over all must be delivered, committed and closed, each within a bound; then the logs are
//! compared with what was seen.

use std::{collections::BTreeMap, time::Duration};

use ottla_core::TopicPartition;
use ottla_protocol::records::{BatchHeader, Compression, Decompressor, RecordWalk, walk_headers};

use crate::{
    deeds::last_dice,
    dice::{ms, secs},
    mode::Mode,
    plan::Goodbye,
    role::Role,
    stage::Event,
    world::{GROUP, Phase, World},
};

impl World {
    pub(super) fn quiet(&mut self) {
        self.stage.tell(|| "the trouble is over".to_owned());
        self.stage.quiet = true;
        self.cluster.faults().clear();
        for node in 1..=self.plan.broker.brokers as i32 {
            self.restore(node);
        }
        self.dice = last_dice(self.case.seed);
        for member in self.members.iter_mut().filter(|member| member.is_live() && member.in_group()) {
            member.change(self.plan.everything(), &mut self.stage, &mut self.truth);
        }
        self.enter(Phase::Draining);
    }

    /// Somebody is there to read what there is; and where the group has hardly rebalanced, it does when he comes.
    fn see_to_members(&mut self, waited: Duration) {
        let members = self.members.iter().filter(|member| member.is_live() && member.in_group()).count();
        // Less and less often: while members come, a group whose members take their time does not settle.
        let calls = self.rebalances < 2 && waited > secs(3) * (1 << self.callers.min(10));
        if members == 0 || calls {
            self.call();
        }
    }

    fn call(&mut self) {
        self.callers += 1;
        let mut role = self.plan.in_group(&mut self.dice);
        if let Role::Group(role) = &mut role {
            // Nobody is in the way of who has no id.
            role.instance = None;
        }
        self.join(role);
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.stage.tell(|| format!("{phase:?}"));
        (self.phase, self.phase_since) = (phase, self.stage.time);
    }

    pub(super) fn look(&mut self) {
        self.stage.after(ms(100), Event::Look);
        self.look_at_reasons();
        let waited = self.stage.time - self.phase_since;
        // The last may have read all and committed less, as another took his static id.
        if matches!(self.phase, Phase::Draining | Phase::Settling) {
            self.see_to_members(waited);
        }
        match self.phase {
            Phase::Draining | Phase::Probing => match self.missing() {
                None if self.phase == Phase::Draining => {
                    self.recovery = waited;
                    self.enter(Phase::Probing);
                    self.progress = (0, Duration::ZERO);
                    self.source.probe(&self.plan, &mut self.stage, &mut self.truth);
                }
                None => self.enter(Phase::Settling),
                Some(missing) if self.is_stuck(waited) => {
                    let explained = self.explain();
                    self.stage
                        .violate("everything acknowledged is delivered once the trouble is over", || {
                            format!("{missing} after {waited:?}\n{explained}")
                        });
                }
                Some(_) => {}
            },
            Phase::Settling => match self.uncommitted() {
                None => {
                    self.enter(Phase::Closing);
                    for member in self.members.iter_mut().filter(|member| member.is_live()) {
                        member.close(Goodbye::Default, &mut self.stage, &mut self.truth);
                    }
                }
                Some(late) if waited > self.plan.bound() => {
                    let explained = self.explain();
                    self.stage.violate("everything done is committed once the trouble is over", || {
                        format!("{late} after {waited:?}\n{explained}")
                    });
                }
                Some(_) => {}
            },
            Phase::Closing => {
                let open = self.members.iter().find(|member| !member.is_gone()).map(|member| member.who);
                let left = self.cluster.group(GROUP).map_or(0, |group| group.members.len());
                match open {
                    Some(who) if waited > secs(6) => {
                        self.stage.violate("close ends in time", || format!("{who} after {waited:?}"));
                    }
                    None if left == 0 => self.enter(Phase::Over),
                    // Who stays in the group may be waited for by a rebalance first.
                    None if waited > self.plan.bound() => {
                        self.stage.violate("closed consumers have left the group", || {
                            format!("{left} are members")
                        });
                    }
                    _ => {}
                }
            }
            Phase::Trouble | Phase::Over => {}
        }
    }

    /// Whether nothing has been handed out for as long as anything may take, or it takes far too long.
    fn is_stuck(&mut self, waited: Duration) -> bool {
        if self.progress.0 != self.truth.deliveries {
            self.progress = (self.truth.deliveries, waited);
        }
        waited > self.plan.bound() * 4 || waited - self.progress.1 > self.plan.bound()
    }

    /// What somebody has yet to do.
    fn missing(&self) -> Option<String> {
        if !self.source.is_done() {
            return Some("the producer waits for acknowledgements".to_owned());
        }
        if self.rebalances < 2 {
            return Some("the group has yet to rebalance".to_owned());
        }
        let partitions = self.plan.partitions();
        let in_group = partitions.iter().map(|at| (GROUP, at));
        let alone = self.members.iter().filter(|member| member.is_live() && !member.in_group());
        let alone = alone.flat_map(|member| member.owes().map(|at| (member.group.as_str(), at)));
        in_group.chain(alone).find_map(|(group, at)| {
            let offset = self.truth.missing(group, at)?;
            Some(format!("{group} lacks {at} offset {offset}"))
        })
    }

    fn uncommitted(&mut self) -> Option<String> {
        self.plan.partitions().into_iter().find_map(|at| {
            let end = self.truth.end(&at);
            let committed = self.truth.progress(GROUP, &at).committed();
            (end > 0 && committed != Some(end)).then(|| format!("{at}: {committed:?} of {end} are committed"))
        })
    }

    fn explain(&self) -> String {
        let now = self.stage.now();
        let live = self.members.iter().filter(|member| member.is_live());
        live.map(|member| format!("{}:\n{}", member.who, member.host.machine.explain(now))).collect()
    }

    /// The logs hold what the producer was told, once.
    pub(super) fn check_logs(&mut self) {
        let mut seen: BTreeMap<u64, (TopicPartition, i64)> = BTreeMap::new();
        for at in self.plan.partitions() {
            let log = self.cluster.log(&at.topic, at.partition).unwrap_or_default();
            for (offset, id) in records(&log) {
                self.truth.see(&at, offset, id, &mut self.stage);
                if let Some((other, before)) = seen.insert(id, (at.clone(), offset)) {
                    self.stage.violate("an idempotent producer's record is in the log once", || {
                        format!("record {id} is {other} offset {before} and {at} offset {offset}")
                    });
                }
            }
        }
        for (at, acknowledged) in &self.truth.acknowledged {
            for (offset, id) in acknowledged {
                if seen.get(id) != Some(&(at.clone(), *offset)) {
                    self.stage
                        .violate("what was acknowledged is in the log", || format!("{at} offset {offset}"));
                }
            }
        }
        let repeated = self.truth.repeated(GROUP);
        // A group that turns classic again is in its next generation at once: who was slower to follow is out of his.
        let lost: u64 = self.members.iter().map(|member| member.counts.lost).sum();
        let turned = self.plan.mode == Mode::Mixed && lost > 0;
        if self.plan.orderly && repeated > 0 && !turned {
            self.stage.violate("without crashes and faults nothing is delivered twice", || {
                format!("{repeated} repeats")
            });
        }
        for member in self.members.iter().filter(|member| member.closed_in_order()) {
            let (who, held) = (member.who, member.host.memory.records.get());
            if held > 0 {
                self.stage
                    .violate("a closed consumer leaves nothing behind", || format!("{who}: {held} bytes"));
            }
        }
    }
}

/// Every record of a log, by offset.
fn records(log: &[u8]) -> Vec<(i64, u64)> {
    let mut found = Vec::new();
    let mut decompressor = Decompressor::new();
    for batch in walk_headers(log) {
        let (range, header) = batch.expect("the broker checked it");
        let packed = &log[range.start + BatchHeader::SIZE..range.end];
        let mut unpacked = Vec::new();
        match header.compression().expect("the broker checked it") {
            Compression::None => unpacked.extend_from_slice(packed),
            codec => {
                decompressor.decompress(codec, packed, &mut unpacked, 1 << 24).expect("it was compressed")
            }
        }
        for record in RecordWalk::new(&header, &unpacked) {
            let record = record.expect("it was written");
            let id = record.value.and_then(<[u8]>::first_chunk).expect("it begins with its number");
            found.push((record.offset, u64::from_be_bytes(*id)));
        }
    }
    found
}
