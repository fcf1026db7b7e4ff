//! What the targets of `fuzz/` reach of what is this crate's own.

#![allow(missing_docs, reason = "it is no part of the crate's interface")]

use std::ops::Range;

use ottla_protocol::{DecodeError, Response, Secret};

use crate::{
    Block, TopicPartition,
    group::{Assignment, Subscription},
    processing::saved::Saved,
    sasl::{Done, Errand, Login, SaslConfig, Step},
};

/// A block of these bytes.
pub fn block<F>(at: TopicPartition, bytes: Vec<u8>) -> Block<F> {
    Block::fuzzed(at, bytes)
}

pub fn read_subscription(bytes: &[u8]) -> Result<Subscription, DecodeError> {
    Subscription::decode(bytes)
}

pub fn write_subscription(subscription: &Subscription) -> Vec<u8> {
    subscription.encode()
}

pub fn read_assignment(bytes: &[u8]) -> Result<Assignment, DecodeError> {
    Assignment::decode(bytes)
}

pub fn write_assignment(assignment: &Assignment) -> Vec<u8> {
    assignment.encode()
}

/// The text beside a committed offset: what it tells as done, and the text that would be written of that.
pub fn saved(base: i64, text: &str) -> Option<(Vec<Range<i64>>, Option<i32>, String)> {
    let saved = Saved::decode(base, text)?;
    let again = saved.encode();
    Some((saved.done, saved.leader_epoch, again))
}

/// The text that is written of these offsets.
pub fn save(base: i64, leader_epoch: Option<i32>, done: Vec<Range<i64>>) -> String {
    Saved { base, leader_epoch, done }.encode()
}

/// How far an exchange of SASL has come.
#[derive(Debug, PartialEq, Eq)]
pub enum LoginStep {
    Said(Secret),
    Over,
    Failed(String),
}

/// One side of an exchange, whose keys are not derived but given.
#[derive(Debug)]
pub struct Exchange {
    login: Login,
    key: Secret,
}

impl Exchange {
    pub fn begin(config: &SaslConfig, key: Secret) -> Self {
        Self { login: Login::begin(config).0, key }
    }

    pub fn handle(&mut self, response: Response) -> LoginStep {
        let step = self.login.handle_response(response);
        self.told(step)
    }

    fn told(&mut self, step: Step) -> LoginStep {
        match step {
            Step::Send(ottla_protocol::Request::SaslAuthenticate(request)) => {
                LoginStep::Said(request.auth_bytes)
            }
            Step::Run(Errand::Derive(_)) => {
                let step = self.login.handle_done(Done::Derived(self.key.clone()));
                self.told(step)
            }
            Step::Run(Errand::FetchToken) => {
                let token = crate::sasl::Token { token: self.key.clone(), extensions: Vec::new() };
                let step = self.login.handle_done(Done::Token(Ok(token)));
                self.told(step)
            }
            Step::Over(_) => LoginStep::Over,
            Step::Failed(why) => LoginStep::Failed(why.to_string()),
            Step::Send(other) => LoginStep::Failed(format!("{other:?} was sent")),
        }
    }
}
