//! What administrators ask of groups and of transactions that hang: the rows of `docs/transactions-observed.md` about DeleteGroups
//! and WriteTxnMarkers.

use libtest_mimic::Failed;
use ottla_conformance::targets::{Target, unique};
use ottla_conformance::wait::until;
use ottla_protocol::messages::*;
use ottla_protocol::{ApiKey, ErrorCode as E};

use crate::cases::{Case, Outcome};
use crate::kit::PATIENCE;
use crate::observed_offsets::join;
use crate::raw::{At, Raw};
use crate::raw_transactions::{NOBODY, Producer, is_not_ready};

const NONE: E = E::None;

pub(crate) fn cases() -> Vec<Case> {
    let everywhere = |name: &str, run: fn(&Target) -> Outcome| Case::both(name, run).and_kafka_3_9();
    vec![
        everywhere("observed::a_group_is_deleted_once_it_has_no_members", deleted),
        everywhere("observed::an_administrators_marker_ends_what_a_producer_has_open", marked),
    ]
}

impl Raw {
    /// Asked of the coordinator of `group`.
    pub(crate) fn delete_groups(
        &mut self,
        version: i16,
        group: &str,
        groups: &[&str],
    ) -> Result<Vec<E>, Failed> {
        let groups_names = groups.iter().map(|group| (*group).to_owned()).collect();
        let answer = self.ask(At::Group(group), version, DeleteGroupsRequest { groups_names })?;
        Ok(answer.results.iter().map(|result| result.error_code).collect())
    }

    /// An abort, by the rules of this `transaction.version`.
    fn mark(
        &mut self,
        version: i16,
        transaction_version: i8,
        who: &Producer,
        partition: i32,
        coordinator_epoch: i32,
    ) -> Result<E, Failed> {
        let topic = WriteTxnMarkersTopic { name: self.topic.clone(), partition_indexes: vec![partition] };
        let marker = WriteTxnMarkersMarker {
            producer_id: who.id,
            producer_epoch: who.epoch,
            transaction_result: false,
            topics: vec![topic],
            coordinator_epoch,
            transaction_version,
        };
        let request = WriteTxnMarkersRequest { markers: vec![marker] };
        let answer = self.ask(At::Leader(partition), version, request)?;
        Ok(answer.markers[0].topics[0].partitions[0].error_code)
    }
}

fn deleted(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "deleted")?;
    for version in 0..=raw.offered(ApiKey::DeleteGroups).min(3) {
        let group = unique("deleted");
        let row = |what: &str| format!("{what}, version {version}");
        let mut told = Vec::new();
        until(PATIENCE, "a coordinator that has loaded", || {
            told = raw.delete_groups(version, &group, &[&group]).unwrap_or_default();
            !told.iter().all(|code| is_not_ready(*code))
        })?;
        raw.row(&row("no such group"), told, vec![E::GroupIdNotFound]);
        let (member_id, _) = join(&mut raw, &group, "", None)?;
        let told = raw.delete_groups(version, &group, &[&group])?;
        raw.row(&row("a group with a member"), told, vec![E::NonEmptyGroup]);
        let leave = LeaveGroupRequest { group_id: group.clone(), member_id, ..Default::default() };
        let left = raw.ask(At::Group(&group), 1, leave)?.error_code;
        raw.row(&row("the member leaves"), left, NONE);
        let committed = raw.plain_commit(8, &group, NOBODY, 7)?;
        raw.row(&row("an offset is committed"), committed, NONE);
        let told = raw.delete_groups(version, &group, &[&group, &group])?;
        raw.row(&row("named twice"), told, vec![NONE]);
        let told = raw.committed(8, &group, true)?;
        raw.row(&row("its offset is gone"), told, (NONE, -1));
    }
    raw.finish()
}

fn marked(target: &Target) -> Outcome {
    let mut raw = Raw::new(target, "marked")?;
    let flow = *raw.flows().last().ok_or("a flow")?;
    for version in 1..=raw.offered(ApiKey::WriteTxnMarkers).min(2) {
        let row = |what: &str| format!("{what}, version {version}");
        let id = raw.producer("hangs")?.transactional_id;
        let who = raw.next(&id, 60_000)?;
        let (_, start) = raw.list_offsets(0, -1, false)?;
        raw.transact(flow, &who, 0, 0)?;
        let stable = raw.list_offsets(0, -1, true)?;
        raw.row(&row("stable up to what is open"), stable, (NONE, start));
        let told = raw.mark(version, 0, &who.in_epoch(0), 0, 1000)?;
        raw.row(&row("an older epoch"), told, E::InvalidProducerEpoch);
        let told = raw.mark(version, 0, &who, 9, 1000)?;
        raw.row(&row("a partition that is not there"), told, E::UnknownTopicOrPartition);
        if version >= 2 {
            let told = raw.mark(version, 2, &who, 0, 1000)?;
            raw.row(&row("the same epoch, where an end raises it"), told, E::InvalidProducerEpoch);
        }
        let told = raw.mark(version, 0, &who, 0, 1000)?;
        raw.row(&row("the epoch of what is open"), told, NONE);
        let stable = raw.list_offsets(0, -1, true)?;
        raw.row(&row("stable behind the marker"), stable, (NONE, start + 2));
        let told = raw.mark(version, 0, &who, 0, 999)?;
        raw.row(&row("an older coordinator"), told, E::TransactionCoordinatorFenced);
        let told = raw.mark(version, 0, &who, 0, 1000)?;
        raw.row(&row("once more, with nothing open"), told, NONE);
        let told =
            raw.mark(version, if version >= 2 { 2 } else { 0 }, &who.in_epoch(who.epoch + 1), 0, 1000)?;
        raw.row(&row("the next epoch"), told, NONE);
        let stranger = Producer { id: who.id + 1_000_000, ..who };
        let told = raw.mark(version, 0, &stranger, 1, 0)?;
        raw.row(&row("a producer that wrote nothing there"), told, NONE);
        let stable = raw.list_offsets(0, -1, true)?;
        raw.row(&row("a marker each"), stable, (NONE, start + 4));
    }
    raw.finish()
}
