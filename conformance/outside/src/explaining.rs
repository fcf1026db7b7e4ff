//! What `explain()` tells, and of what it consists.

use ottla::{
    Admin, ApiKey, Cause, CommitGivenUp, CommitReason, Consumer, DeletedUnread, Disconnected, ErrorCode,
    Event, Explanation, GroupReason, LaneFailure, OffsetReset, OpenTransaction, Position, Reason, Recreated,
    Retry, SaslFailure, SetupStage, TlsFailure, TopicPartition, Truncated,
    admin::Address,
    error::RecvErrorKind,
    group::{ClassicState, ConsumerState, GroupFailure, MembershipState},
};

use crate::{Outcome, PATIENCE, administering::at, configuring, equal};

/// An address at which nobody listens.
const NOBODY: &str = "127.0.0.1:1";

pub(crate) async fn all(servers: &str, topic: &str) -> Outcome {
    // Beyond the log, and told not to look for another place.
    let builder = configuring::consumer(servers).group_id(format!("{topic}-explained"));
    let mut consumer = builder.auto_offset_reset(OffsetReset::None).build().await?;
    consumer.assign([at(topic)])?;
    consumer.seek(at(topic), 1_000)?;
    equal(consumer.recv().await.err().map(|error| error.kind()), Some(RecvErrorKind::OutOfRange))?;
    let explained = explanation(&consumer);
    let reason = explained.partitions.first().map(|(_, reason)| reason).ok_or("no reason")?;
    equal(stuck(reason).and_then(out_of_range), Some(1_000))?;
    equal(retried(reason), None)?;
    equal(explained.group.as_ref().and_then(state), None)?;
    equal(explained.group.as_ref().and_then(refused), None)?;
    equal(explained.partitions.iter().find_map(|(_, reason)| held_back(reason)), None)?;
    equal(explained.commit.as_ref().and_then(again), None)?;
    equal(consumer.next_event().and_then(|happened| given_up(&happened.event).cloned()), None)?;
    equal(consumer.next_event().and_then(|happened| moved(&happened.event).map(|(_, was)| was)), None)?;
    equal(consumer.deleted_unread(), 0)?;
    consumer.close().await?;

    let alone = configuring::admin(NOBODY).wait_for_broker(false).build().await?;
    let obstacle = tokio::time::timeout(PATIENCE, obstacle(&alone)).await?;
    let (address, why) = broken(&obstacle).ok_or("no connection is in the way")?;
    equal((address.to_string().as_str(), unanswered(why)), (NOBODY, None))?;
    equal((by_tls(why), by_sasl(why), stage(&obstacle)), (None, None, None))?;
    alone.close().await;
    Ok(())
}

fn explanation(consumer: &Consumer) -> Explanation {
    consumer.explain()
}

fn stuck(reason: &Reason) -> Option<&LaneFailure> {
    match reason {
        Reason::Failed(failure) => Some(failure),
        _ => None,
    }
}

fn out_of_range(failure: &LaneFailure) -> Option<i64> {
    match failure {
        LaneFailure::OutOfRange { offset, .. } => Some(*offset),
        _ => None,
    }
}

fn held_back(reason: &Reason) -> Option<&OpenTransaction> {
    match reason {
        Reason::OpenTransaction { by, .. } => by.as_ref(),
        _ => None,
    }
}

fn retried(reason: &Reason) -> Option<&Retry> {
    match reason {
        Reason::Retrying(retry) => Some(retry),
        _ => None,
    }
}

fn state(reason: &GroupReason) -> Option<MembershipState> {
    match reason {
        GroupReason::Joining { state, .. } if is_out(*state) => None,
        GroupReason::Joining { state, .. } => Some(*state),
        _ => None,
    }
}

fn is_out(state: MembershipState) -> bool {
    match state {
        MembershipState::Classic(state) => is_out_of_classic(state),
        MembershipState::Consumer(state) => is_out_of_consumer(state),
        _ => false,
    }
}

fn is_out_of_classic(state: ClassicState) -> bool {
    state == ClassicState::Out
}

fn is_out_of_consumer(state: ConsumerState) -> bool {
    state == ConsumerState::Out
}

fn refused(reason: &GroupReason) -> Option<ErrorCode> {
    match reason {
        GroupReason::Failed(failure) => code(failure),
        _ => None,
    }
}

fn code(failure: &GroupFailure) -> Option<ErrorCode> {
    match failure {
        GroupFailure::Refused(code) => Some(*code),
        _ => None,
    }
}

fn again(reason: &CommitReason) -> Option<&Retry> {
    match reason {
        CommitReason::Retrying(retry) => Some(retry),
        _ => None,
    }
}

/// The partition whose position does not hold, and what it was.
fn moved(event: &Event) -> Option<(&TopicPartition, Option<i64>)> {
    match event {
        Event::Truncated(truncated) => Some(cut(truncated)),
        Event::DeletedUnread(deleted) => Some(lost(deleted)),
        Event::Recreated(recreated) => Some(anew(recreated)),
        _ => None,
    }
}

fn cut(truncated: &Truncated) -> (&TopicPartition, Option<i64>) {
    (&truncated.at, offset(&truncated.position))
}

fn offset(position: &Position) -> Option<i64> {
    Some(position.offset)
}

fn lost(deleted: &DeletedUnread) -> (&TopicPartition, Option<i64>) {
    (&deleted.at, Some(deleted.position))
}

fn anew(recreated: &Recreated) -> (&TopicPartition, Option<i64>) {
    (&recreated.at, recreated.position)
}

fn given_up(event: &Event) -> Option<&CommitGivenUp> {
    match event {
        Event::CommitGivenUp(given_up) => Some(given_up),
        _ => None,
    }
}

/// What is in the way of an operation, once something is.
async fn obstacle(admin: &Admin) -> Cause {
    let asked = admin.clone();
    let asking = tokio::spawn(async move { asked.describe_cluster().await.map(drop) });
    loop {
        if let Some(cause) = admin.explain().into_iter().find(|cause| broken(cause).is_some()) {
            asking.abort();
            return cause;
        }
        tokio::time::sleep(PATIENCE / 1000).await;
    }
}

fn broken(cause: &Cause) -> Option<(&Address, &Disconnected)> {
    match cause {
        Cause::Connection { address, why } => Some((address, why)),
        _ => None,
    }
}

fn unanswered(why: &Disconnected) -> Option<ApiKey> {
    match why {
        Disconnected::TimedOut(key) => Some(*key),
        _ => None,
    }
}

fn by_tls(why: &Disconnected) -> Option<&TlsFailure> {
    match why {
        Disconnected::Tls(failure) => Some(failure),
        _ => None,
    }
}

fn by_sasl(why: &Disconnected) -> Option<&SaslFailure> {
    match why {
        Disconnected::Sasl(failure) => Some(failure),
        _ => None,
    }
}

fn stage(cause: &Cause) -> Option<SetupStage> {
    match cause {
        Cause::Connecting { stage, .. } => Some(*stage),
        _ => None,
    }
}
