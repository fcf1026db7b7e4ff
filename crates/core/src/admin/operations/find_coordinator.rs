use ottla_protocol::{ApiKey, Request, Response};

use crate::{
    admin::{Answer, Operation, Route, Verdict},
    connections::Address,
    coordinator::{self, Coordinated},
    ids::NodeId,
};

/// Asks which broker coordinates a group.
#[derive(Debug)]
pub struct FindCoordinator(pub String);

/// The broker that coordinates a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Coordinator {
    /// Its id.
    pub node: NodeId,
    /// Where it is reached.
    pub address: Address,
}

impl Operation for FindCoordinator {
    type Outcome = Coordinator;
    type Part = ();

    fn begin(&self) -> (Coordinator, Vec<()>) {
        let nowhere = Address { host: String::new(), port: 0 };
        (Coordinator { node: NodeId(-1), address: nowhere }, vec![()])
    }

    fn route<'a>(&'a self, (): &'a ()) -> Route<'a, ()> {
        Route::Any
    }

    fn api(&self, (): &()) -> (ApiKey, i16) {
        (ApiKey::FindCoordinator, i16::MAX)
    }

    fn request(&self, _: &[()], version: i16, _: i32) -> Option<Request> {
        Some(Coordinated::Group(self.0.clone()).look_up(version).into())
    }

    fn gather(&self, answer: Answer<'_, ()>, coordinator: &mut Coordinator) -> Verdict<()> {
        let Response::FindCoordinator(response) = answer.response else { return Verdict::stray() };
        match coordinator::found(response) {
            Ok((node, address)) => {
                *coordinator = Coordinator { node, address };
                Verdict::Done
            }
            Err((error, message)) => Verdict::of(error, message),
        }
    }
}
