//! What an operation declares about itself: a file of `operations/` each, and nothing of it anywhere else.

use std::fmt;

use ottla_protocol::{ApiKey, ErrorCode, Now, Request, Response};

use super::{Failure, Refusal};
use crate::coordinator::Coordinated;
use crate::ids::{NodeId, TopicPartition};

/// A question to a cluster, or a change of it.
///
/// It is broken into parts. Parts that go to the same broker travel in one request, and each is asked again, or fails, by
/// itself. The operation tells where they go, how they are asked and what an answer means; the admin client sends, tries
/// again, and gives up.
pub trait Operation: fmt::Debug + Send + 'static {
    /// What is gathered from the answers, and told in the end.
    type Outcome: fmt::Debug + Send + 'static;
    /// What is answered by itself, such as a topic, a group or a partition; `()` where all is answered at once.
    type Part: Clone + fmt::Debug + Send + 'static;

    /// The outcome before any answer, and the parts. Without parts the operation is done as it begins.
    fn begin(&self) -> (Self::Outcome, Vec<Self::Part>);

    /// Where a part goes.
    fn route<'a>(&'a self, part: &'a Self::Part) -> Route<'a, Self::Part>;

    /// The API that answers a part, and its newest version that is of use.
    fn api(&self, part: &Self::Part) -> (ApiKey, i16);

    /// How many parts a request of this API has at the most in this version.
    fn at_once(&self, api: ApiKey, version: i16) -> usize {
        let _ = (api, version);
        usize::MAX
    }

    /// Asks for these parts; `None` where the version cannot express it. A broker that is to wait for something waits for
    /// `timeout_ms` at the most.
    fn request(&self, parts: &[Self::Part], version: i16, timeout_ms: i32) -> Option<Request>;

    /// Takes what an answer adds to the outcome.
    fn gather(&self, answer: Answer<'_, Self::Part>, outcome: &mut Self::Outcome) -> Verdict<Self::Part>;

    /// Notes in the outcome that this part has failed, and returns `true`. With `false`, which is the default, the
    /// operation fails as a whole.
    fn fail_part(&self, part: &Self::Part, failure: &Failure, outcome: &mut Self::Outcome) -> bool {
        let _ = (part, failure, outcome);
        false
    }
}

/// Where a part of an operation goes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Route<'a, P> {
    /// To any broker.
    Any,
    /// To the broker that takes changes to topics.
    Controller,
    /// To this broker. One that is gone, as brokers tell now, is not asked.
    Broker(NodeId),
    /// To every broker there is, each with a part of its own.
    EveryBroker(fn(NodeId) -> P),
    /// To this group's coordinator, which is looked up. It is looked up again after an error that may pass.
    Coordinator(&'a str),
    /// To this transactional id's coordinator, in the same way.
    TransactionCoordinator(&'a str),
    /// To this partition's leader. The part fails where the partition does not exist.
    Leader(&'a TopicPartition),
}

/// An answer to some parts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer<'a, P> {
    /// The parts that were asked for.
    pub asked: &'a [P],
    /// What the broker says.
    pub response: Response,
    /// The broker; `None` for an address that the user gave.
    pub from: Option<NodeId>,
    /// When it came.
    pub now: Now,
}

/// What an answer means for the parts that were asked for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Verdict<P> {
    /// They are done.
    Done,
    /// They are done, and these are to be asked next, if the broker speaks their API.
    Then(Vec<P>),
    /// An error that may pass: all are asked again.
    Again(ErrorCode),
    /// An error that may pass, of these; the others are done.
    Left(ErrorCode, Vec<P>),
    /// An error that may pass, of the first; the second are to be asked next, as after `Then`; the others are done.
    LeftThen(ErrorCode, Vec<P>, Vec<P>),
    /// An error that does not pass.
    Failed(Failure),
}

impl<P> Route<'_, P> {
    /// Whose coordinator it goes to.
    pub(super) fn coordinated(&self) -> Option<Coordinated> {
        match self {
            Self::Coordinator(group) => Some(Coordinated::Group((*group).to_owned())),
            Self::TransactionCoordinator(id) => Some(Coordinated::TransactionalId((*id).to_owned())),
            _ => None,
        }
    }
}

impl<P> Verdict<P> {
    /// An error, or none, that concerns all parts.
    pub(super) fn of(error: ErrorCode, message: Option<String>) -> Self {
        match error {
            ErrorCode::None => Self::Done,
            error if error.is_retriable() => Self::Again(error),
            error => Self::Failed(Failure::Refused(Refusal::told(error, message))),
        }
    }

    /// An answer that tells of each part by itself: these were left out, or had an error that may pass, such as `again`. They
    /// are asked for again.
    pub(super) fn left(again: Option<ErrorCode>, parts: Vec<P>) -> Self {
        match parts.is_empty() {
            true => Self::Done,
            false => Self::Left(again.unwrap_or(ErrorCode::UnknownServerError), parts),
        }
    }

    /// The same, where others are to be asked next.
    pub(super) fn left_then(again: Option<ErrorCode>, left: Vec<P>, next: Vec<P>) -> Self {
        match (left.is_empty(), next.is_empty()) {
            (true, true) => Self::Done,
            (true, false) => Self::Then(next),
            (false, _) => Self::LeftThen(again.unwrap_or(ErrorCode::UnknownServerError), left, next),
        }
    }

    /// The answer makes no sense.
    pub(super) fn stray() -> Self {
        Self::of(ErrorCode::UnknownServerError, Some("an answer to another question".to_owned()))
    }
}
