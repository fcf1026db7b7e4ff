//! Seeds whose processors commit in transactions: how they are drawn, and what must have come of them.

use std::{collections::BTreeMap, time::Duration};

use ottla_broker::{Fault, VersionSet};
use ottla_core::{TopicPartition, processing::OnHopeless};
use ottla_protocol::{ApiKey, ErrorCode};

use super::{
    keeper::Keeper,
    once::{LETTERS, OUTPUT, Once},
    plan::{Item, Plan, TOPIC},
    world::World,
};
use crate::{
    case::Case,
    dice::{ms, secs},
    settled::settled,
    stage::Stage,
    trouble::{OF_TRANSACTIONS, Trouble},
};

impl Plan {
    /// In one seed of three processors commit in transactions.
    pub(super) fn draw_once(&mut self, case: &Case) {
        let mut dice = case.dice(1);
        let d = &mut dice;
        if !d.chance(1.0 / 3.0) {
            return;
        }
        self.once = Some(Once {
            producer: self.setup.producer(d),
            timeout: d.time(secs(3)..=secs(8)),
            outputs: d.number(1..=3) as u32,
            explicit: self.broker.versions != VersionSet::Kafka4_3,
        });
        self.broker.transaction_marker_delay = d.pick(&[Duration::ZERO, ms(5), ms(60), ms(400)]);
        // A text beside an offset is a part of a transaction: who may write none cannot commit.
        self.broker.offset_metadata_max_bytes = 4096;
        // What is left out, or read again, is not there once.
        if self.rules.on_hopeless == OnHopeless::Skip {
            self.rules.on_hopeless = OnHopeless::GiveAway;
        }
        self.habits.listener_seeks = 0.0;
        for (_, item) in self.items.iter_mut().filter(|(_, item)| matches!(item, Item::Seek)) {
            *item = Item::Zombie;
        }
        let brokers = self.broker.brokers;
        // Each such seed has members that are refused.
        for _ in 0..d.number(1..=3) {
            let fault = Fault::Error(d.pick(&[ErrorCode::IllegalGeneration, ErrorCode::UnknownMemberId]));
            let (api, times, after) = (ApiKey::TxnOffsetCommit, d.pick(&[1, 1, 3]), d.pick(&[0, 1, 3]));
            let refused = Trouble::Requests { api, fault, times, after, node: None };
            self.items.push((d.time(ms(500)..=self.trouble), Item::Trouble(refused)));
        }
        // A transaction that somebody has left open keeps offsets from being told.
        if d.chance(0.5) {
            let (api, fault) = (ApiKey::OffsetFetch, Fault::Error(ErrorCode::UnstableOffsetCommit));
            let late = Trouble::Requests { api, fault, times: d.pick(&[10, 20]), after: 0, node: None };
            self.items.push((d.time(ms(500)..=self.trouble), Item::Trouble(late)));
        }
        // A member joins again, and gets the epoch that it had, while offsets of its former life are on their way.
        let again = if self.is_of_the_consumer_protocol() { d.number(1..=4) } else { 0 };
        for _ in 0..again {
            let at = d.time(ms(500)..=self.trouble);
            let (api, fault) = (ApiKey::TxnOffsetCommit, Fault::Error(ErrorCode::ConcurrentTransactions));
            let late = Trouble::Requests { api, fault, times: d.pick(&[10, 20, 40]), after: 0, node: None };
            let (api, fault) = (ApiKey::ConsumerGroupHeartbeat, Fault::Error(ErrorCode::UnknownMemberId));
            let forgotten = Trouble::Requests { api, fault, times: 1, after: 0, node: None };
            self.items.extend([late, forgotten].map(|trouble| (at, Item::Trouble(trouble))));
        }
        for _ in 0..d.number(4..=10) {
            let node = Trouble::node(d, brokers);
            let item = match d.number(0..=9) {
                0 | 1 => Item::Zombie,
                2 | 3 => Item::MoveTransactions { node },
                4 => Item::CutOff { lasts: d.time(secs(4)..=secs(12)) },
                5 => Item::Crash { again_after: d.pick(&[ms(1), ms(300), secs(2)]) },
                _ => Item::Trouble(Self::of_a_request(OF_TRANSACTIONS, d, brokers)),
            };
            self.items.push((d.time(ms(500)..=self.trouble), item));
        }
    }

    /// What a process commits with in transactions, where they do.
    pub(super) fn keeper(
        &self,
        life: usize,
        (id, seed): (usize, u64),
        planted: Option<ottla_core::Planted>,
        stage: &Stage,
    ) -> Option<Keeper> {
        let most = self.rules.room.bytes;
        Some(Keeper::new(life, (id, self.once.as_ref()?), self.broker.brokers, (seed, most), planted, stage))
    }
}

impl World {
    /// Each record of the input has one output, or one dead letter, that is committed, and what a producer knows of its transactions is
    /// so.
    pub(super) fn judge_once(&mut self) {
        let Some(once) = &self.plan.once else { return };
        let outputs = (0..once.outputs as i32).map(|partition| TopicPartition::new(OUTPUT, partition));
        let mut times: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for at in outputs.chain([TopicPartition::new(LETTERS, 0)]) {
            for record in settled(&self.cluster.log(&at.topic, at.partition).unwrap_or_default()) {
                let (from, by) = record.value.split_once(' ').unwrap_or_default();
                let known = by.split_once('.').and_then(|(life, number)| {
                    self.judge.once.is_committed(life.parse().ok()?, number.parse().ok()?)
                });
                if known.is_some() && known != record.committed {
                    let (value, is) = (&record.value, record.committed);
                    self.stage.violate("transactions are as their producer knows them", || {
                        format!("{at} offset {}, {value}: {is:?}, and known as {known:?}", record.offset)
                    });
                }
                if record.committed == Some(true) {
                    let place = format!("{at} offset {} by {by}", record.offset);
                    times.entry(from.to_owned()).or_default().push(place);
                }
            }
        }
        for (at, log) in self.judge.logs.iter() {
            for offset in log.keys() {
                let made = times.remove(&format!("{}:{offset}", at.partition)).unwrap_or_default();
                if made.len() != 1 {
                    self.stage.violate("each record has one output or one dead letter", || {
                        format!("{at} offset {offset}: {made:?}")
                    });
                }
            }
        }
        if let Some((from, made)) = times.first_key_value() {
            self.stage
                .violate("only what is in the log has an output", || format!("{TOPIC} {from}: {made:?}"));
        }
    }

    /// A transactional id for a process that begins: of one that is gone, or a new one.
    pub(super) fn free_id(&mut self) -> usize {
        let ids =
            || self.workers.iter().filter_map(|worker| Some((worker.keeper.as_ref()?.id, worker.is_gone())));
        let in_use = |id: usize| ids().any(|(of, is_gone)| of == id && !is_gone);
        let free: Vec<usize> = ids().map(|(id, _)| id).filter(|id| !in_use(*id)).collect();
        match free.is_empty() || self.dice.chance(0.3) {
            true => self.workers.len(),
            false => self.dice.pick(&free),
        }
    }
}
