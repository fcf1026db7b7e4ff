//! What each API does, one a file, the names as in `ottla_protocol::messages`.
//!
//! Each `handle` takes what is asked and returns how it is answered. Where a script forces an error, `forced` holds it:
//! the API then answers it wherever its response has room for an error, and does nothing else. Those whose answers consist
//! of partitions know errors of some of them, too.

mod add_offsets_to_txn;
mod add_partitions_to_txn;
pub(crate) mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_groups;
mod describe_producers;
mod describe_transactions;
mod end_txn;
pub(crate) mod fetch;
mod find_coordinator;
mod get_telemetry_subscriptions;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod push_telemetry;
mod sasl;
mod sync_group;
mod txn_offset_commit;
mod write_txn_markers;

use ottla_protocol::{ErrorCode, Now, Request, Response};

use crate::{Cluster, connections::Asked, faults::Forced};

/// How a request is answered.
#[derive(Debug)]
pub(crate) enum Outcome {
    Reply(Response),
    /// Later; whoever holds it remembers its connection.
    Held,
    /// Not at all, and the next request may come.
    Nothing,
    /// By closing the connection.
    Close,
    /// After the delay of a failed authentication, with this if anything; then the connection closes.
    Refuse(Option<Response>),
}

impl<R: Into<Response>> From<R> for Outcome {
    fn from(response: R) -> Self {
        Self::Reply(response.into())
    }
}

/// Serves a request. `frame` is what it was read from, which holds the records of a Produce.
pub(crate) fn handle(
    cluster: &mut Cluster,
    asked: &Asked,
    request: Request,
    frame: &[u8],
    in_parts: Option<Forced>,
    now: Now,
) -> Outcome {
    let forced = in_parts.and_then(Forced::whole);
    match request {
        Request::ApiVersions(r) => api_versions::handle(cluster, asked, &r, forced).into(),
        Request::SaslHandshake(_) => sasl::handshake(forced).into(),
        Request::SaslAuthenticate(_) => sasl::authenticate(forced).into(),
        Request::Metadata(r) => metadata::handle(cluster, asked, r, forced).into(),
        Request::Produce(r) => produce::handle(cluster, asked, r, frame, in_parts, now),
        Request::Fetch(r) => fetch::handle(cluster, asked, &r, in_parts, now),
        Request::ListOffsets(r) => list_offsets::handle(cluster, asked, r, in_parts).into(),
        Request::InitProducerId(r) => init_producer_id::handle(cluster, asked, &r, forced, now).into(),
        Request::FindCoordinator(r) => find_coordinator::handle(cluster, asked, r, forced).into(),
        Request::JoinGroup(r) => join_group::handle(cluster, asked, r, forced, now),
        Request::SyncGroup(r) => sync_group::handle(cluster, asked, r, forced, now),
        Request::Heartbeat(r) => heartbeat::handle(cluster, asked, &r, forced, now).into(),
        Request::LeaveGroup(r) => leave_group::handle(cluster, asked, r, forced, now).into(),
        Request::OffsetCommit(r) => offset_commit::handle(cluster, asked, r, in_parts, now).into(),
        Request::OffsetFetch(r) => offset_fetch::handle(cluster, asked, r, in_parts).into(),
        Request::ListGroups(r) => list_groups::handle(cluster, asked, &r, forced).into(),
        Request::DescribeGroups(r) => describe_groups::handle(cluster, asked, r, forced).into(),
        Request::ConsumerGroupHeartbeat(r) => {
            consumer_group_heartbeat::handle(cluster, asked, r, forced, now).into()
        }
        Request::ConsumerGroupDescribe(r) => {
            consumer_group_describe::handle(cluster, asked, r, forced).into()
        }
        Request::CreateTopics(r) => create_topics::handle(cluster, asked, r, forced).into(),
        Request::DeleteTopics(r) => delete_topics::handle(cluster, asked, r, forced).into(),
        Request::CreatePartitions(r) => create_partitions::handle(cluster, asked, r, forced).into(),
        Request::AddPartitionsToTxn(r) => {
            add_partitions_to_txn::handle(cluster, asked, r, in_parts, now).into()
        }
        Request::AddOffsetsToTxn(r) => add_offsets_to_txn::handle(cluster, asked, &r, forced, now).into(),
        Request::EndTxn(r) => end_txn::handle(cluster, asked, &r, forced, now).into(),
        Request::TxnOffsetCommit(r) => txn_offset_commit::handle(cluster, asked, r, in_parts, now).into(),
        Request::DescribeTransactions(r) => describe_transactions::handle(cluster, asked, r, forced).into(),
        Request::ListTransactions(r) => list_transactions::handle(cluster, asked, &r, forced, now).into(),
        Request::DescribeProducers(r) => describe_producers::handle(cluster, asked, r, forced).into(),
        Request::OffsetForLeaderEpoch(r) => {
            offset_for_leader_epoch::handle(cluster, asked, r, in_parts).into()
        }
        Request::DeleteRecords(r) => delete_records::handle(cluster, asked, r, in_parts).into(),
        Request::DeleteGroups(r) => delete_groups::handle(cluster, asked, r, forced).into(),
        Request::WriteTxnMarkers(r) => write_txn_markers::handle(cluster, asked, r, in_parts, now).into(),
        Request::OffsetDelete(r) => offset_delete::handle(cluster, asked, r, forced).into(),
        Request::GetTelemetrySubscriptions(r) => {
            get_telemetry_subscriptions::handle(cluster, &r, forced).into()
        }
        Request::PushTelemetry(r) => push_telemetry::handle(cluster, r, forced).into(),
        _ => Outcome::Close,
    }
}

/// What clients that do not know PRODUCER_FENCED are told in its place.
const fn fenced(code: ErrorCode, is_known: bool) -> ErrorCode {
    match code {
        ErrorCode::ProducerFenced if !is_known => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}
