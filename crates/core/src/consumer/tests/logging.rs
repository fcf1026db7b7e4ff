//! What an operator's log is told, and how often.

use super::{
    committing::{by_hand, reading},
    reading::ends,
    *,
};
use crate::log::tests::told_while;

/// Without how long things took.
fn timeless(told: &[String]) -> Vec<&str> {
    let end = |line: &String| line.find(" took=").or_else(|| line.find(" after=")).unwrap_or(line.len());
    told.iter().map(|line| &line[..end(line)]).collect()
}

#[test]
fn the_life_of_a_member_is_told_line_by_line() {
    let ((), told) = told_while(|| {
        let mut world = World::member(group_config(), &[0]);
        world.heartbeat_says(ErrorCode::RebalanceInProgress);
        world.join(2, &[0, 1]);
        let deadline = world.now.mono + Duration::from_secs(30);
        world.consumer.close(CloseKind::Closed, LeaveGroup::Default, deadline, world.now);
        world.run();
        let leave = world.expect(ApiKey::LeaveGroup);
        world.answer(&leave, LeaveGroupResponse::default());
    });
    assert_eq!(
        timeless(&told),
        [
            "INFO coordinator found node=1 address=broker:9092",
            "INFO joined member=\"me\" generation=1",
            "INFO assigned partitions=t-0 total=1",
            "INFO rebalancing member=\"me\" generation=1 why=\"REBALANCE_IN_PROGRESS\"",
            "INFO revoked partitions=t-0 why=\"rebalance\"",
            "INFO joined member=\"me\" generation=2",
            "INFO assigned partitions=t-0, t-1 total=2",
            "INFO left member=\"me\" generation=2 told=true",
            "INFO revoked partitions=t-0, t-1 why=\"close\"",
        ]
    );
}

#[test]
fn a_fenced_member_is_told_of_with_what_it_lost() {
    let mut world = World::member(group_config(), &[0]);
    let ((), told) = told_while(|| world.heartbeat_says(ErrorCode::UnknownMemberId));
    assert_eq!(
        told,
        [
            "WARN fenced member=\"me\" generation=1 error=UNKNOWN_MEMBER_ID (25)",
            "WARN lost partitions=t-0 why=UNKNOWN_MEMBER_ID (25)",
        ]
    );
}

#[test]
fn a_broker_that_answers_some_requests_and_fails_at_others_is_lost_once_and_found_once() {
    let mut world = World::member(by_hand(), &[0]);
    let mut failed = 0;
    let ((), told) = told_while(|| {
        for _ in 0..12 {
            world.pass(Duration::from_secs(1));
            if world.has_asked(ApiKey::Heartbeat) {
                let heartbeat = world.expect(ApiKey::Heartbeat);
                world.disconnect(&heartbeat);
                failed += 1;
            }
        }
    });
    assert!(failed > 3, "{failed}");
    let why = "the broker closed the connection";
    assert_eq!(
        told,
        [
            &*format!("WARN disconnected address=broker:9092 node=1 kind=Main why={why}"),
            "WARN coordinator lost node=1 why=no answer",
        ]
    );
    let ((), told) = told_while(|| (0..4).for_each(|_| world.heartbeat_says(ErrorCode::None)));
    assert_eq!(
        timeless(&told),
        ["INFO connected again address=broker:9092", "INFO coordinator found node=1 address=broker:9092"]
    );
}

#[test]
fn a_commit_that_is_refused_again_and_again_is_told_once_and_once_when_it_is_given_up() {
    let (mut world, _slice) = reading(by_hand());
    let ((), told) = told_while(|| {
        world.consumer.commit(Some(BTreeMap::from([(at(0), 5.into())])), world.now).unwrap();
        world.run();
        for _ in 0..5 {
            let commit = world.expect(ApiKey::OffsetCommit);
            world.commit_says(&commit, ErrorCode::CoordinatorLoadInProgress);
            world.pass(Duration::from_secs(2));
        }
        let commit = world.expect(ApiKey::OffsetCommit);
        world.commit_says(&commit, ErrorCode::OffsetMetadataTooLarge);
    });
    assert_eq!(
        told,
        [
            "INFO refused api=OffsetCommit error=COORDINATOR_LOAD_IN_PROGRESS (14) partitions=t-0",
            "WARN commit given up partitions=t-0 why=OFFSET_METADATA_TOO_LARGE (12)",
        ]
    );
}

#[test]
fn a_partition_that_is_refused_again_and_again_is_told_once_and_so_is_a_reset() {
    let mut world = World::member(by_hand(), &[0]);
    let ((), told) = told_while(|| {
        for error in [ErrorCode::UnknownServerError; 3].into_iter().chain([ErrorCode::OffsetOutOfRange]) {
            let fetch = world.fetches.pop_front().expect("a fetch is under way");
            world.fetched_by(&fetch, 0, error, None);
            world.pass(Duration::from_millis(700));
        }
        let lookup = world.expect(ApiKey::ListOffsets);
        world.answer(&lookup, ends(40));
    });
    assert_eq!(
        told,
        [
            "WARN refused api=Fetch error=UNKNOWN_SERVER_ERROR (-1) node=1 partitions=t-0",
            "WARN reset partition=t-0 from=0 log_start=40 to=Earliest why=OFFSET_OUT_OF_RANGE (1)",
        ]
    );
}
