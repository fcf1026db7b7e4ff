//! What errors say.

use super::*;

#[test]
fn the_text_says_where_what_why_and_what_next() {
    let error = RecvError::new(RecvErrorKind::MaxPollExceeded).group("billing").detail("300 s");
    assert_eq!(
        error.to_string(),
        "group `billing`: not a member any more: max.poll.interval passed (300 s); call again to rejoin; raise \
         max_poll_interval or take fewer records at once"
    );
    assert_eq!(error.kind().fault(), Fault::Caller);
    let error = CommitError::new(CommitErrorKind::Broker)
        .group("billing")
        .partition(("orders", 3))
        .broker(ErrorCode::OffsetMetadataTooLarge);
    assert_eq!(
        error.to_string(),
        "group `billing`, partition orders-3: refused (the broker says OFFSET_METADATA_TOO_LARGE (12))"
    );
    assert_eq!(error.code(), Some(ErrorCode::OffsetMetadataTooLarge));
}

#[test]
fn a_lack_of_permission_says_which_operation_on_what() {
    let missing = |operation, resource| format!("{operation} on {resource} is missing");
    let denied = ErrorCode::TopicAuthorizationFailed;
    let error = RecvError::new(RecvErrorKind::Broker).partition(("orders", 3)).broker(denied);
    assert_eq!(error.kind(), RecvErrorKind::NotAuthorized);
    let permission = error.missing_permission().unwrap();
    assert_eq!(permission.operation, AclOperation::Read);
    assert_eq!(permission.resource, Resource::Topic(Some("orders".to_owned())));
    assert!(error.to_string().contains(&missing("READ", "topic `orders`")), "{error}");
    let group = CommitError::new(CommitErrorKind::Broker).broker(ErrorCode::GroupAuthorizationFailed);
    assert!(group.group("billing").to_string().contains(&missing("READ", "group `billing`")));
    let sent = SendError::new(SendErrorKind::Broker).topic("orders").broker(denied);
    assert!(sent.to_string().contains(&missing("WRITE", "topic `orders`")), "{sent}");
    let identity = SendError::new(SendErrorKind::Identity).broker(ErrorCode::ClusterAuthorizationFailed);
    assert!(identity.to_string().contains(&missing("IDEMPOTENT_WRITE", "the cluster")), "{identity}");
    let created = AdminError::new(AdminErrorKind::Broker).topic("orders").broker(denied);
    let created = created.needs(AclOperation::Create);
    assert!(created.to_string().contains(&missing("CREATE", "topic `orders`")), "{created}");
    assert_eq!(AdminError::new(AdminErrorKind::TimedOut).missing_permission(), None);
}

#[test]
fn unreachable_names_every_address_the_time_and_the_last_failure() {
    let address = |port| Address { host: "localhost".to_owned(), port };
    let last = (address(1), Disconnected::Closed);
    let error = BuildError::unreachable(&[address(1), address(2)], Duration::from_secs(30), Some(&last));
    assert_eq!(
        error.to_string(),
        "no broker can be reached (tried localhost:1, localhost:2 for 30.0s; last localhost:1: the broker closed \
         the connection); check bootstrap.servers, and that the brokers run"
    );
    assert_eq!(error.disconnected(), Some(&Disconnected::Closed));
    assert_eq!(BuildError::new(BuildErrorKind::Driver).disconnected(), None);
}

#[test]
fn a_chain_prints_each_text_once() {
    let io = std::io::Error::other("no such file");
    let error = BuildError::new(BuildErrorKind::InvalidFile).detail("x.properties").because(io);
    assert_eq!(error.to_string(), "cannot read the properties (x.properties)");
    let source = error.source().map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("no such file"));
    assert_eq!(format!("{error:#}"), "cannot read the properties (x.properties): no such file");
    let error = RecvError::new(RecvErrorKind::Corrupt).because(ErrorCode::CorruptMessage);
    assert!(error.source().is_some_and(|source| source.is::<ErrorCode>()));
    assert_eq!(error.to_string(), "a damaged batch; seek past it, or have the topic's log repaired");
}

#[test]
fn what_may_pass_by_itself_is_retriable_and_what_ends_the_client_is_final() {
    let told = |error: &AdminError| (error.is_retriable(), error.is_final());
    let coded = |code| AdminError::new(AdminErrorKind::Broker).broker(code);
    assert_eq!(told(&AdminError::new(AdminErrorKind::TimedOut)), (true, false));
    assert_eq!(told(&AdminError::new(AdminErrorKind::TopicExists)), (false, false));
    assert_eq!(told(&AdminError::new(AdminErrorKind::Closed)), (false, true));
    assert_eq!(told(&coded(ErrorCode::NotController)), (true, false));
    assert_eq!(told(&coded(ErrorCode::ClusterAuthorizationFailed)), (false, false));
    let away = RecvError::new(RecvErrorKind::MaxPollExceeded);
    assert!(away.is_retriable() && !away.is_final(), "the next call joins again");
    let fenced = RecvError::new(RecvErrorKind::Group).broker(ErrorCode::FencedInstanceId);
    assert!(fenced.is_final() && !fenced.is_retriable());
    assert!(CommitError::new(CommitErrorKind::Fenced).is_final());
}
