//! Metrics that consumers push (KIP-714), as a real broker's plug-in receives them: Ottla's beside the Java client's.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ottla::Consumer;
use ottla_conformance::kafka::{Config, Consume, Java};
use ottla_conformance::targets::Target;
use ottla_conformance::wait::until_some;

use crate::brokers::Own;
use crate::cases::{Case, Outcome};
use crate::kit::{PATIENCE, consumer, equal, holds, numbers, topic, wait, within};

const ALL: &str = "org.apache.kafka.consumer.";
const OF_GROUPS: &str = "org.apache.kafka.consumer.coordinator.";
const RECORDS: i32 = 10;

pub(crate) fn cases() -> Vec<Case> {
    let name = "metrics::what_a_consumer_pushes_arrives_at_a_brokers_plug_in_under_javas_names";
    vec![Case::alone(name, arrives).with_java().heavy()]
}

/// A push as the plug-in of `conformance/java/PushedMetrics.java` has written it down.
#[derive(Debug, Clone, Default)]
struct Push {
    id: String,
    is_last: bool,
    resource: String,
    /// Name and labels, form, value.
    points: Vec<(String, String, f64)>,
}

impl Push {
    fn read(line: &str) -> Option<(String, Self)> {
        let mut fields = line.split('\t');
        let (client, id) = (fields.next()?, fields.next()?);
        let (is_last, resource) = (fields.next()? == "last", fields.next()?);
        let point = |field: &str| {
            let (rest, value) = field.rsplit_once(' ')?;
            let (name, form) = rest.rsplit_once(' ')?;
            Some((name.to_owned(), form.to_owned(), value.parse().ok()?))
        };
        let points = fields.filter_map(point).collect();
        Some((client.to_owned(), Self { id: id.to_owned(), is_last, resource: resource.to_owned(), points }))
    }

    fn of(file: &Path, client: &str) -> Vec<Self> {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let pushes = text.split_inclusive('\n').filter_map(|line| Self::read(line.strip_suffix('\n')?));
        pushes.filter(|(whose, _)| whose == client).map(|(_, push)| push).collect()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.points.iter().filter_map(|(name, ..)| name.split_once(' ')).map(|(name, _)| name).collect()
    }

    /// The value of a point, and its form.
    fn value(&self, name: &str, labels: &str) -> Option<(&str, f64)> {
        let wanted = format!("{ALL}{name} {{{labels}}}");
        let (_, form, value) = self.points.iter().find(|(its, ..)| *its == wanted)?;
        Some((form, *value))
    }
}

/// What all pushes together say of a sum.
fn sum(pushes: &[Push], name: &str) -> f64 {
    pushes.iter().filter_map(|push| push.value(name, "")).map(|(_, value)| value).sum()
}

fn arrives() -> Outcome {
    let java = Java::get()?;
    let classes = java.compiled("PushedMetrics.java")?;
    let file = classes.join(format!("pushed-{}", std::process::id()));
    let config = Config::new(1)
        .set("metric.reporters", "PushedMetrics")
        .jvm(format!("-Dottla.pushed={}", file.display()))
        .classes(classes);
    let own = Own::start(config)?;
    let came = wait(compared(&own.target(), &file));
    // It is not there where nothing came, which is what is to be told.
    _ = std::fs::remove_file(&file);
    came
}

async fn compared(target: &Target, file: &Path) -> Outcome {
    let topic = topic(target, "pushed", 1).await?;
    numbers(target, &topic, 1, 0..RECORDS).await?;
    let tools = target.tools()?;
    tools.subscribe_to_metrics("all", ALL, Duration::from_millis(500))?;
    in_force(target, file, &topic).await?;
    let consume = Consume::group(&topic, "javas").forever().set("client.id", "javas");
    let javas = tools.spawn_console_consumer(&consume.set("auto.commit.interval.ms", "200"))?;
    let builder =
        consumer(target).client_id("ottlas").client_rack("a").group_id("ottlas").subscribe([&*topic]);
    let mut ottlas = builder.auto_commit_interval(Duration::from_millis(200)).build().await?;
    reads(&mut ottlas).await?;
    let id = ottlas.client_instance_id(PATIENCE).await?.to_string();
    let records = "fetch.manager.records.consumed.total";
    let all_of = |client: &'static str| {
        until_some(PATIENCE, "pushes of all records and a commit", || {
            let pushes = Push::of(file, client);
            let committed = pushes.last().is_some_and(|_| sum(&pushes, "coordinator.commit.total") > 0.0);
            (sum(&pushes, records) >= f64::from(RECORDS) && committed).then_some(pushes)
        })
    };
    let (theirs, ours) = (all_of("javas")?, all_of("ottlas")?);
    drop(javas);
    let known: BTreeSet<&str> = theirs.iter().flat_map(Push::names).collect();
    let pushed: BTreeSet<&str> = ours.iter().flat_map(Push::names).collect();
    let unknown: Vec<_> = pushed.difference(&known).collect();
    holds(&format!("Java pushes {unknown:?}, too, among {known:?}"), unknown.is_empty())?;
    same_forms(&theirs, &ours)?;
    plausible(&ours, &topic)?;
    holds("one id for all", ours.iter().all(|push| push.id == id))?;
    tools.subscribe_to_metrics("all", OF_GROUPS, Duration::from_millis(500))?;
    let fewer = until_some(PATIENCE, "a push of fewer metrics", || {
        let last = Push::of(file, "ottlas").pop()?;
        last.names().iter().all(|name| name.starts_with(OF_GROUPS)).then_some(last)
    })?;
    holds("it pushes those still", !fewer.names().is_empty() && !fewer.is_last)?;
    within("a close", ottlas.close()).await??;
    let last = Push::of(file, "ottlas").pop().unwrap_or_default();
    holds("its last push is there once it is closed", last.is_last && last.id == id)
}

/// The subscription has come to the broker: a client that asks before that asks again minutes later.
async fn in_force(target: &Target, file: &Path, topic: &str) -> Outcome {
    for _ in 0..20 {
        let mut probe = consumer(target).client_id("probe").build().await?;
        probe.assign([(topic, 0)])?;
        let came = until_some(Duration::from_secs(3), "a push", || Push::of(file, "probe").pop());
        within("a close", probe.close()).await??;
        if came.is_ok() {
            return Ok(());
        }
    }
    Err("the broker asks for no metrics".into())
}

async fn reads(consumer: &mut Consumer) -> Outcome {
    for _ in 0..RECORDS {
        within("a record", consumer.recv()).await??;
    }
    // Back from the last.
    drop(consumer.poll(Duration::ZERO).await?);
    Ok(())
}

/// A sum here is a sum there, and a gauge a gauge, with labels of the same names.
fn same_forms(theirs: &[Push], ours: &[Push]) -> Outcome {
    let forms = |pushes: &[Push]| -> BTreeSet<String> {
        let form = |(name, form, _): &(String, String, f64)| {
            let (name, labels) = name.split_once(' ')?;
            let labels = labels.trim_matches(['{', '}']).split(',');
            let labels: Vec<&str> = labels.filter_map(|label| Some(label.split_once('=')?.0)).collect();
            Some(format!("{name}: {form} {labels:?}"))
        };
        pushes.iter().flat_map(|push| &push.points).filter_map(form).collect()
    };
    let (theirs, ours) = (forms(theirs), forms(ours));
    let others: Vec<_> = ours.difference(&theirs).collect();
    holds(&format!("Java's have the forms {others:?}, too, among {theirs:?}"), others.is_empty())
}

fn plausible(ours: &[Push], topic: &str) -> Outcome {
    let Some(last) = ours.last() else { return Err("no push".into()) };
    equal("records in all", sum(ours, "fetch.manager.records.consumed.total"), f64::from(RECORDS))?;
    equal("rebalances in all", sum(ours, "coordinator.rebalance.total"), 1.0)?;
    let partition = format!("partition=0,topic={topic}");
    equal("the lag", last.value("fetch.manager.records.lag", &partition), Some(("gauge", 0.0)))?;
    equal("its partitions", last.value("coordinator.assigned.partitions", ""), Some(("gauge", 1.0)))?;
    let connections = last.value("connection.count", "");
    holds(&format!("it is connected: {connections:?}"), connections.is_some_and(|(_, count)| count >= 2.0))?;
    let latency = last.value("node.request.latency.avg", "node_id=node-1");
    let fits = |(_, ms): (&str, f64)| ms > 0.0 && ms < 10_000.0;
    holds(&format!("how long the broker took: {latency:?}"), latency.is_some_and(fits))?;
    let resource = &last.resource;
    let told = resource.contains("client_rack=a,group_id=ottlas,group_member_id=");
    holds(&format!("whose they are: {resource}"), told && !resource.contains("client_id"))
}
