//! A case, and how it becomes one trial for each of its targets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use ottla_conformance::browser;
use ottla_conformance::kafka::{self, Java, Missing, Secured, Unavailable};
use ottla_conformance::public_api;
use ottla_conformance::registry;
use ottla_conformance::targets::Target;

use crate::machine::{Load, Share};

pub(crate) type Outcome = Result<(), Failed>;

/// A test, and what it needs.
pub(crate) struct Case {
    name: String,
    run: Run,
    java: bool,
    nightly: bool,
    openid: bool,
    spring: bool,
    registry: bool,
    browser: bool,
    program: Option<&'static str>,
    load: Load,
}

enum Run {
    Alone(fn() -> Outcome),
    On(Vec<Place>, OnTarget),
    Secured(Vec<SecuredPlace>, OnSecured),
}

type OnTarget = Arc<dyn Fn(&Target) -> Outcome + Send + Sync>;

/// A target that is not started yet: its name, and what starts it.
type Place = (&'static str, fn() -> Result<Target, Unavailable>);

const EMBEDDED: Place = ("embedded", Target::embedded);
const KAFKA: Place = ("kafka", Target::kafka);
const KAFKA_4_3: Place = ("kafka43", Target::kafka_4_3);
const KAFKA_3_9: Place = ("kafka39", Target::kafka_3_9);

type OnSecured = Arc<dyn Fn(&Secured) -> Outcome + Send + Sync>;
type SecuredPlace = (&'static str, fn() -> Result<&'static Secured, Unavailable>);

const SECURED: SecuredPlace = ("secured", kafka::secured);
const SECURED_3_9: SecuredPlace = ("secured39", kafka::secured_3_9);

/// How long each trial ran, without its wait for the machine.
static TIMES: Mutex<Vec<(Duration, String)>> = Mutex::new(Vec::new());

/// Prints how long all ran together, and which ran for the longest.
pub(crate) fn print_slowest(count: usize) {
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable_by(|a, b| b.cmp(a));
    let all: Duration = times.iter().map(|(time, _)| *time).sum();
    println!("{:4} s all of them, as if one after the other", all.as_secs());
    for (time, name) in times.iter().take(count).filter(|(time, _)| *time >= Duration::from_secs(10)) {
        println!("{:4} s {name}", time.as_secs());
    }
}

impl Case {
    fn new(name: impl Into<String>, run: Run) -> Self {
        let (java, nightly, openid, spring, registry) = (false, false, false, false, false);
        let (browser, program, load) = (false, None, Load::Light);
        Self { name: name.into(), run, java, nightly, openid, spring, registry, browser, program, load }
    }

    fn on(
        places: &[Place],
        name: impl Into<String>,
        run: impl Fn(&Target) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Run::On(places.to_vec(), Arc::new(run)))
    }

    /// Needs no broker, or starts its own.
    pub(crate) fn alone(name: impl Into<String>, run: fn() -> Outcome) -> Self {
        Self::new(name, Run::Alone(run))
    }

    /// Only for the embedded broker.
    pub(crate) fn embedded(
        name: impl Into<String>,
        run: impl Fn(&Target) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::on(&[EMBEDDED], name, run)
    }

    /// Only for the shared cluster.
    pub(crate) fn kafka(
        name: impl Into<String>,
        run: impl Fn(&Target) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::on(&[KAFKA], name, run)
    }

    /// For both, as `embedded::NAME` and `kafka::NAME`.
    pub(crate) fn both(
        name: impl Into<String>,
        run: impl Fn(&Target) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::on(&[EMBEDDED, KAFKA], name, run)
    }

    /// Also on the nodes of Kafka 4.3, as `kafka43::NAME`.
    pub(crate) fn and_kafka_4_3(self) -> Self {
        self.and(KAFKA_4_3)
    }

    /// Also on the node of Kafka 3.9, as `kafka39::NAME`.
    pub(crate) fn and_kafka_3_9(self) -> Self {
        self.and(KAFKA_3_9)
    }

    fn and(mut self, place: Place) -> Self {
        if let Run::On(places, _) = &mut self.run {
            places.push(place);
        }
        self
    }

    /// For the node with TLS, SASL and authorization, as `secured::NAME`.
    pub(crate) fn secured(
        name: impl Into<String>,
        run: impl Fn(&Secured) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        Self::new(name, Run::Secured(vec![SECURED], Arc::new(run)))
    }

    /// Also on such a node of Kafka 3.9, as `secured39::NAME`.
    pub(crate) fn and_secured_3_9(mut self) -> Self {
        if let Run::Secured(places, _) = &mut self.run {
            places.push(SECURED_3_9);
        }
        self
    }

    /// Takes tokens that the secured node's OpenID provider has signed.
    pub(crate) fn with_openid(self) -> Self {
        Self { openid: true, ..self }
    }

    /// Uses Kafka's tools, or a cluster of its own, whatever the target.
    pub(crate) fn with_java(self) -> Self {
        Self { java: true, ..self }
    }

    /// Runs a program on Spring Kafka.
    pub(crate) fn with_spring(self) -> Self {
        Self { java: true, spring: true, ..self }
    }

    /// Has this program of the machine's run.
    pub(crate) fn with_program(self, program: &'static str) -> Self {
        Self { program: Some(program), ..self }
    }

    /// Looks at pages in a Chromium.
    pub(crate) fn with_browser(self) -> Self {
        Self { browser: true, ..self }
    }

    /// Asks a real schema registry, and has Confluent's Python serializers write. Where one of them is missing it is ignored, also
    /// where `CI=true`: its Debian has no Java that is new enough for the registry.
    pub(crate) fn with_registry(self) -> Self {
        Self { registry: true, ..self }
    }

    /// Asks rustdoc what only the nightly toolchain's tells. Where there is none it is ignored, also where `CI=true`:
    /// nothing here can install it.
    pub(crate) fn with_nightly(self) -> Self {
        Self { nightly: true, ..self }
    }

    /// Loads the machine as a cluster does: no three of these run at once, and they begin before all others.
    pub(crate) fn heavy(self) -> Self {
        Self { load: Load::Heavy, ..self }
    }

    /// Measures time: beside no other, and after all others.
    pub(crate) fn timed(self) -> Self {
        Self { load: Load::Timed, ..self }
    }

    pub(crate) fn load(&self) -> Load {
        self.load
    }

    pub(crate) fn trials(self) -> Vec<Trial> {
        let (java, nightly, openid, load) = (self.java, self.nightly, self.openid, self.load);
        let (spring, registry) = (self.spring, self.registry);
        let (browser, program) = (self.browser, self.program);
        let trial = |name: String, run: Box<dyn FnOnce() -> Result<Outcome, Unavailable> + Send>| {
            Trial::ignorable_test(name.clone(), move || {
                let _share = Share::take(load);
                let _stopwatch = Stopwatch(Instant::now(), name);
                if nightly && let Err(why) = public_api::toolchain() {
                    return Ok(Completion::ignored_with(format!("no nightly toolchain: {why}")));
                }
                if registry && let Err(Unavailable::Missing(missing)) = registry::shared() {
                    return Ok(Completion::ignored_with(missing));
                }
                let had = if java { Java::get().map(drop) } else { Ok(()) };
                let had = had.and_then(|()| if spring { Java::spring() } else { Ok(()) });
                let had = had.map_err(Unavailable::from).and_then(|()| program.map_or(Ok(()), there));
                let had = had.and_then(|()| if browser { browser::there() } else { Ok(()) });
                completion(had.and_then(|()| run()))
            })
        };
        match self.run {
            Run::Alone(run) => vec![trial(self.name, Box::new(move || Ok(run())))],
            Run::On(places, run) => places
                .into_iter()
                .map(|(place, start)| {
                    let run = Arc::clone(&run);
                    trial(format!("{place}::{}", self.name), Box::new(move || Ok(run(&start()?))))
                })
                .collect(),
            Run::Secured(places, run) => places
                .into_iter()
                .map(|(place, start)| {
                    let run = Arc::clone(&run);
                    let run = move || {
                        let secured = start()?;
                        if openid {
                            secured.openid()?;
                        }
                        Ok(run(secured))
                    };
                    trial(format!("{place}::{}", self.name), Box::new(run))
                })
                .collect(),
        }
    }
}

/// Whether a program is on the path.
fn there(program: &'static str) -> Result<(), Unavailable> {
    let version = std::process::Command::new(program).arg("--version").output();
    let missing = |error: std::io::Error| Missing { what: program, why: error.to_string() };
    Ok(version.map(drop).map_err(missing)?)
}

/// Notes how long a trial ran, also where it panics.
struct Stopwatch(Instant, String);

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let time = (self.0.elapsed(), std::mem::take(&mut self.1));
        TIMES.lock().unwrap_or_else(PoisonError::into_inner).push(time);
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
