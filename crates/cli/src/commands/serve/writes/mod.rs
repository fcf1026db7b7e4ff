//! What `--allow-writes` allows: to move a group's offsets, as `ottla groups reset-offsets` does. First a plan is asked for, which
//! changes nothing; then it is carried out, that very one, once, and soon.
//!
//! - `token`: who may.
//! - `plans`: what may be carried out.
//! - `request`: what is asked, and what must be so before it is read.
//! - `running`: what is being carried out.

mod plans;
mod request;
mod running;
mod token;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hyper::{StatusCode, body::Incoming, header::HeaderMap};
use ottla::Admin;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub(super) use self::token::Token;
use self::{
    plans::{Plan, Plans},
    request::{Asked, Refused},
    running::Running,
};
use super::{
    http::{Answer, Hosts},
    routes::{Ends, busy, error, json},
};
use crate::{
    commands::groups::reset::{self, Reset, Row},
    epoch,
    failure::{Failure, Failures, tell},
};

/// How many writes are read or carried out at once.
const AT_ONCE: usize = 2;
/// How long those that are on their way are waited for at the end: longer than the admin client asks a cluster.
const CLOSING: Duration = Duration::from_secs(15);
/// How many partitions are named in a line on stderr.
const NAMED: usize = 20;

/// What to do with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Plan,
    Execute,
}

#[derive(Debug)]
pub(super) struct Writes {
    admin: Admin,
    token: Token,
    /// Those that may be moved; any, where none is named.
    groups: Vec<String>,
    seats: Arc<Semaphore>,
    plans: Mutex<Plans>,
    running: Mutex<Running>,
}

impl Writes {
    pub(super) fn new(admin: Admin, token: Token, groups: Vec<String>) -> Self {
        let seats = Arc::new(Semaphore::new(AT_ONCE));
        Self { admin, token, groups, seats, plans: Mutex::default(), running: Mutex::default() }
    }

    pub(super) async fn answer(
        &self,
        step: Step,
        group: String,
        headers: &HeaderMap,
        body: Incoming,
        (hosts, ends): (&Hosts, Ends),
    ) -> Answer {
        let checked = request::check(headers, hosts, ends.local);
        if let Err(Refused(status, why)) = self.token.admit(headers, checked, ends.peer).await {
            return request::refusal(status, &why);
        }
        let Ok(seat) = self.seats.clone().try_acquire_owned() else { return busy() };
        let answered = self.try_answer(step, group, body, ends.peer, seat).await;
        answered.unwrap_or_else(|Refused(status, why)| {
            tell(format!("write: {}: refused: {why}", ends.peer));
            request::refusal(status, &why)
        })
    }

    async fn try_answer(
        &self,
        step: Step,
        group: String,
        body: Incoming,
        peer: SocketAddr,
        seat: OwnedSemaphorePermit,
    ) -> Result<Answer, Refused> {
        if !self.groups.is_empty() && !self.groups.contains(&group) {
            let why = format!("group `{group}` is not among those that this server was started for");
            return Err(Refused(StatusCode::FORBIDDEN, why));
        }
        let text = request::read(body).await?;
        match step {
            Step::Plan => self.plan(group, &request::asked(&text)?, peer).await,
            Step::Execute => self.execute(&group, &request::confirmation(&text)?, peer, seat).await,
        }
    }

    async fn plan(&self, group: String, asked: &Asked, peer: SocketAddr) -> Result<Answer, Refused> {
        let reset = Reset::named(&group, &asked.to, asked.value.as_deref(), &asked.topics)
            .map_err(|wrong| Refused(StatusCode::BAD_REQUEST, wrong.to_string()))?;
        let rows = planned(&reset, &self.admin).await?;
        let what = format!("group `{group}`, {asked}: {}", in_words(&rows));
        let shown = reset::table(&rows).values();
        let plan = Plan { group, rows, asked: asked.to_string() };
        let id = self
            .lock()
            .add(plan, Instant::now())
            .map_err(|why| Refused(StatusCode::INTERNAL_SERVER_ERROR, why))?;
        tell(format!("write: {peer}: a plan, which changes nothing: {what}"));
        let until = epoch::now() + i64::try_from(plans::LIFE.as_millis()).unwrap_or_default();
        Ok(json(&json!({"confirmation": id, "until": until, "rows": shown})))
    }

    async fn execute(
        &self,
        group: &str,
        id: &str,
        peer: SocketAddr,
        seat: OwnedSemaphorePermit,
    ) -> Result<Answer, Refused> {
        let plan = self.lock().take(group, id, Instant::now());
        let Some(plan) = plan else {
            let why = format!(
                "no plan of this group has this confirmation: it was carried out, or is older than {} s; ask for a plan again",
                plans::LIFE.as_secs()
            );
            return Err(Refused(StatusCode::CONFLICT, why));
        };
        let again = planned(&Reset::to(&plan.group, &plan.rows), &self.admin).await?;
        if let Some(changed) = plans::changed(&plan.rows, &again) {
            let why = format!("{changed} since it was planned: nothing is moved; ask for a plan again");
            return Err(Refused(StatusCode::CONFLICT, why));
        }
        let (admin, (done, outcome)) = (self.admin.clone(), oneshot::channel());
        let what = format!("group `{}`, {}: {}", plan.group, plan.asked, in_words(&plan.rows));
        tell(format!("write: {peer}: begins: {what}"));
        let carry_out = async move {
            let mut failures = Failures::default();
            let moved = reset::execute(&admin, plan.rows, &mut failures).await;
            let errors: Vec<String> = failures.into_notes().collect();
            let what = format!("group `{}`: {}", plan.group, in_words(&moved));
            tell(match errors.as_slice() {
                [] => format!("write: {peer}: done: {what}"),
                errors => format!("write: {peer}: not all is done: {what}; {}", errors.join("; ")),
            });
            drop(seat);
            // Who asked may be gone.
            _ = done.send((reset::table(&moved).values(), errors));
        };
        self.running().begin(format!("{peer}: {what}"), carry_out);
        let Ok((moved, errors)) = outcome.await else {
            return Ok(error(StatusCode::INTERNAL_SERVER_ERROR, "it was not carried out to its end"));
        };
        let mut answer = json(&json!({"moved": moved, "errors": errors}));
        if !errors.is_empty() {
            *answer.status_mut() = StatusCode::CONFLICT;
        }
        Ok(answer)
    }

    /// Waits for what is being carried out.
    pub(super) async fn end(&self) {
        self.token.end().await;
        let running = std::mem::take(&mut *self.running());
        for what in running.end(CLOSING).await {
            tell(format!("write: ended before its outcome was known: {what}"));
        }
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What would be moved, where all of it could be.
async fn planned(reset: &Reset, admin: &Admin) -> Result<Vec<Row>, Refused> {
    let (rows, failures) = reset.plan(admin).await.map_err(unanswered)?;
    match failures.into_notes().collect::<Vec<_>>() {
        none if none.is_empty() => Ok(rows),
        notes => Err(Refused(StatusCode::CONFLICT, notes.join("; "))),
    }
}

fn unanswered(failure: Failure) -> Refused {
    Refused(StatusCode::BAD_GATEWAY, failure.to_string())
}

fn in_words(rows: &[Row]) -> String {
    let offset = |offset: Option<i64>| offset.map_or("none".to_owned(), |offset| offset.to_string());
    let each = rows.iter().take(NAMED);
    let mut words: Vec<String> =
        each.map(|row| format!("{} from {} to {}", row.at, offset(row.committed()), row.new)).collect();
    if let Some(more) = rows.len().checked_sub(NAMED).filter(|more| *more > 0) {
        words.push(format!("and {more} more"));
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// Text that somebody sent, as JSON.
fn parsed(text: &[u8]) -> Result<Value, Refused> {
    serde_json::from_slice(text)
        .map_err(|error| Refused(StatusCode::BAD_REQUEST, format!("the body is no JSON: {error}")))
}
