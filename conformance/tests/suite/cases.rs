//! A case, and how it becomes one trial for each of its targets.

use std::sync::{Mutex, PoisonError};

use libtest_mimic::{Completion, Failed, Trial};
use ottla_conformance::kafka::{Java, Unavailable};
use ottla_conformance::targets::Target;

pub(crate) type Outcome = Result<(), Failed>;

/// A test, and what it needs.
pub(crate) struct Case {
    name: &'static str,
    needs: Needs,
    java: bool,
    heavy: bool,
}

enum Needs {
    Nothing(fn() -> Outcome),
    Embedded(fn(&Target) -> Outcome),
    Kafka(fn(&Target) -> Outcome),
    Both(fn(&Target) -> Outcome),
}

/// Held by the heavy case that runs.
static HEAVY: Mutex<()> = Mutex::new(());

impl Case {
    fn new(name: &'static str, needs: Needs) -> Self {
        Self { name, needs, java: false, heavy: false }
    }

    /// Needs no broker, or starts its own.
    pub(crate) fn alone(name: &'static str, run: fn() -> Outcome) -> Self {
        Self::new(name, Needs::Nothing(run))
    }

    /// Only for the embedded broker.
    pub(crate) fn embedded(name: &'static str, run: fn(&Target) -> Outcome) -> Self {
        Self::new(name, Needs::Embedded(run))
    }

    /// Only for the shared cluster.
    pub(crate) fn kafka(name: &'static str, run: fn(&Target) -> Outcome) -> Self {
        Self::new(name, Needs::Kafka(run))
    }

    /// For both, as `embedded::NAME` and `kafka::NAME`.
    pub(crate) fn both(name: &'static str, run: fn(&Target) -> Outcome) -> Self {
        Self::new(name, Needs::Both(run))
    }

    /// Uses Kafka's tools, or a cluster of its own, whatever the target.
    pub(crate) fn with_java(self) -> Self {
        Self { java: true, ..self }
    }

    /// Loads the machine as a cluster does: no two of these run at a time.
    pub(crate) fn heavy(self) -> Self {
        Self { heavy: true, ..self }
    }

    pub(crate) fn trials(self) -> Vec<Trial> {
        let trial = |prefix: &str, run: Box<dyn FnOnce() -> Result<Outcome, Unavailable> + Send>| {
            let (java, heavy) = (self.java, self.heavy);
            Trial::ignorable_test(format!("{prefix}{}", self.name), move || {
                let _alone = heavy.then(|| HEAVY.lock().unwrap_or_else(PoisonError::into_inner));
                let had = if java { Java::get().map(drop) } else { Ok(()) };
                completion(had.map_err(Unavailable::from).and_then(|()| run()))
            })
        };
        let embedded = |run: fn(&Target) -> Outcome| {
            trial("embedded::", Box::new(move || Ok(run(&Target::embedded()?))))
        };
        let kafka = |run: fn(&Target) -> Outcome| {
            trial("kafka::", Box::new(move || Ok(run(&Target::kafka()?)))) //
        };
        match self.needs {
            Needs::Nothing(run) => vec![trial("", Box::new(move || Ok(run())))],
            Needs::Embedded(run) => vec![embedded(run)],
            Needs::Kafka(run) => vec![kafka(run)],
            Needs::Both(run) => vec![embedded(run), kafka(run)],
        }
    }
}

/// On a developer's machine a broker may be missing; where `CI=true`, nothing may.
fn completion(ran: Result<Outcome, Unavailable>) -> Result<Completion, Failed> {
    match ran {
        Ok(outcome) => outcome.map(|()| Completion::Completed),
        Err(Unavailable::Missing(missing)) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            Err(format!("{missing} (a failure, as CI=true)").into())
        }
        Err(Unavailable::Missing(missing)) => Ok(Completion::ignored_with(missing)),
        Err(Unavailable::Failed(why)) => Err(why.into()),
    }
}
