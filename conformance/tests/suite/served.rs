//! `ottla serve` as a process, for the cases that look at what it shows; and Prometheus, which scrapes it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Failed;
use ottla_conformance::ports;
use ottla_conformance::process::Process;
use ottla_conformance::targets::{Embedded, Target, unique};
use ottla_conformance::wait::{until, until_some};
use serde_json::Value;

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::kit::{PATIENCE, admin, create, equal, holds, numbers, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::alone("embedded::promtool_has_nothing_against_the_metrics_of_serve", checked)
            .with_program("promtool"),
        Case::alone("embedded::a_real_prometheus_scrapes_the_open_metrics_of_serve", scraped)
            .with_program("prometheus"),
        Case::both("serve_has_after_a_restart_what_it_saw_before", again),
    ]
}

/// A name that tries to end a label's value, an attribute, an element, a line, and the direction of reading.
pub(crate) const HOSTILE: &str = "\"></td><img src=x onerror=alert(1)>\\{}\n\u{1b}[2J\u{202e}/..?#&%41";

/// A broker of a case's own: no groups are there but those that it makes.
pub(crate) fn broker() -> Result<Target, Failed> {
    let broker: &'static Embedded = Box::leak(Box::new(Embedded::start(1)?));
    Ok(Target::Embedded(broker))
}

/// Has each group commit its offset in partition 0 of the topic.
pub(crate) async fn commit(target: &Target, topic: &str, groups: &[(&str, i64)]) -> Outcome {
    let admin = admin(target).await?;
    for (group, offset) in groups {
        let altered = within("an offset", admin.alter_offsets(*group, [((topic, 0), *offset)])).await??;
        altered.into_values().collect::<Result<Vec<_>, _>>()?;
    }
    Ok(())
}

/// A running `ottla serve`.
pub(crate) struct Served {
    process: Process,
    /// Where it listens, as `127.0.0.1:9308`.
    pub(crate) address: String,
}

impl Served {
    /// Looks so often; returns once it has looked.
    pub(crate) fn start(target: &Target, interval: Duration) -> Result<Self, Failed> {
        Self::start_at(target, interval, &format!("127.0.0.1:{}", ports::free()?))
    }

    pub(crate) fn start_at(target: &Target, interval: Duration, address: &str) -> Result<Self, Failed> {
        Self::start_with(target, interval, &["--listen", address])
    }

    pub(crate) fn start_with(target: &Target, interval: Duration, flags: &[&str]) -> Result<Self, Failed> {
        let interval = format!("{}ms", interval.as_millis());
        let mut command = ottla(target, &["serve", "--interval", &interval])?;
        let mut process = Process::spawn(command.args(flags))?;
        let address = until_some(PATIENCE, "that it serves", || {
            let told = process
                .lines()
                .first()
                .and_then(|line| Some(line.strip_prefix("ready http://")?.strip_suffix('/')?.to_owned()));
            told.map(Ok).or_else(|| (!process.is_running()).then(|| Err(process.stderr())))
        })??;
        let served = Self { process, address };
        until(PATIENCE, "the first look", || served.get("/readyz", "").is_ok_and(|it| it.0 == 200))?;
        Ok(served)
    }

    /// Ends it well; it may have something to say.
    fn stop(&mut self, complaints: &[&str]) -> Outcome {
        self.process.signal("TERM")?;
        let output = self.process.end(PATIENCE)?;
        equal("what it complains of", output.complaints(), complaints.to_vec())
    }

    /// The address of its page.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The status of the answer, and its body.
    pub(crate) fn get(&self, path: &str, headers: &str) -> std::io::Result<(u16, String)> {
        get(&self.address, path, headers)
    }

    /// What it tells of one group.
    pub(crate) fn group(&self, name: &str) -> Result<Value, Failed> {
        let (_, text) = self.get("/api/groups", "")?;
        let told: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        let mut groups = told["groups"].as_array().into_iter().flatten();
        let found = groups.find(|group| group["group"] == name).cloned();
        found.ok_or_else(|| format!("no group {name}: {text}").into())
    }
}

fn get(address: &str, path: &str, headers: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // Of 1.0, so that the answer ends with its connection.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {address}\r\n{headers}\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned())))
}

/// Groups of which every metric has a sample.
fn scene() -> Result<(Target, Served, Folder), Failed> {
    let target = broker()?;
    wait(async {
        create(&target, "orders", 1).await?;
        numbers(&target, "orders", 1, 0..10).await?;
        commit(&target, "orders", &[("billing", 4), (HOSTILE, 7)]).await
    })?;
    let folder = Folder::new("ottla-metrics")?;
    let flags = ["--listen", "127.0.0.1:0", "--data-dir", folder.0.to_str().unwrap_or_default()];
    let served = Served::start_with(&target, Duration::from_millis(200), &flags)?;
    Ok((target, served, folder))
}

fn again(target: &Target) -> Outcome {
    let (topic, group) = (unique("orders"), unique("billing"));
    let folder = Folder::new("ottla-history")?;
    let folder = folder.0.to_str().unwrap_or_default();
    wait(async {
        create(target, &topic, 1).await?;
        numbers(target, &topic, 1, 0..10).await?;
        commit(target, &topic, &[(&group, 10)]).await
    })?;
    let flags = ["--listen", "127.0.0.1:0", "--data-dir", folder, &group];
    let start = || Served::start_with(target, Duration::from_millis(200), &flags);
    let points = |served: &Served| -> Result<Vec<Value>, Failed> {
        let (_, text) = served.get(&format!("/api/groups/{group}/history"), "")?;
        let told: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        Ok(told["points"].as_array().cloned().unwrap_or_default())
    };
    let mut served = start()?;
    wait(numbers(target, &topic, 1, 10..20))?;
    let is_late = |group: &Value| group["lag"] == 10 && group["time_lag"].as_f64() > Some(0.0);
    until(PATIENCE, "how late it is", || served.group(&group).is_ok_and(|group| is_late(&group)))?;
    let before = points(&served)?;
    served.stop(&[&format!("ottla: group `{group}` has no members")])?;
    let served = start()?;
    let told = served.group(&group)?;
    holds(&format!("it is known at once: {told}"), is_late(&told))?;
    let after = points(&served)?;
    holds(&format!("{after:?} begins with {before:?}"), after.starts_with(&before))?;
    let pauses = after.iter().filter(|point| point["lag"].is_null()).count();
    equal("a pause", pauses, 1)
}

fn checked() -> Outcome {
    let (_target, served, _folder) = scene()?;
    let (status, text) = served.get("/metrics", "")?;
    equal("the status", status, 200)?;
    holds("the groups are there", text.contains("kafka_consumergroup_lag{consumergroup=\"billing\""))?;
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]);
    let mut promtool = Process::spawn_with_input(&promtool)?;
    promtool.write(text.as_bytes())?;
    promtool.close_input();
    let told = promtool.finish(PATIENCE)?;
    equal("what it has against them", (told.stdout.as_str(), told.stderr.as_str()), ("", ""))
}

/// What follows a test ends with it.
pub(crate) struct Folder(pub(crate) std::path::PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Result<Self, Failed> {
        let folder = Self(std::env::temp_dir().join(unique(name)));
        fs::create_dir_all(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn scraped() -> Outcome {
    let (_target, served, _history) = scene()?;
    let folder = Folder::new("ottla-prometheus")?;
    let config = folder.0.join("prometheus.yml");
    let scrape = format!(
        "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
         scrape_configs:\n  - job_name: ottla\n    static_configs: [{{ targets: [\"{}\"] }}]\n",
        served.address
    );
    fs::write(&config, scrape)?;
    let address = format!("127.0.0.1:{}", ports::free()?);
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", config.display()));
    prometheus.arg(format!("--storage.tsdb.path={}", folder.0.join("data").display()));
    prometheus.args([format!("--web.listen-address={address}"), "--log.level=warn".to_owned()]);
    let prometheus = Process::spawn(&prometheus)?;
    let ask = |path: &str| -> Option<Value> {
        let (status, text) = get(&address, path, "").ok()?;
        let told: Value = serde_json::from_str(&text).ok()?;
        (status == 200).then(|| told["data"].clone())
    };
    let lag = until_some(PATIENCE, "samples", || {
        let lag = ask("/api/v1/query?query=kafka_consumergroup_lag")?;
        (lag["result"].as_array()?.len() == 2).then_some(lag)
    })
    .map_err(|late| format!("{late}: {}: {:?}", prometheus.stderr(), ask("/api/v1/targets")))?;
    let of = |group: &str| {
        let mut each = lag["result"].as_array().into_iter().flatten();
        let found = each.find(|sample| sample["metric"]["consumergroup"] == group);
        found.map_or(Value::Null, |sample| sample["value"][1].clone())
    };
    equal("the lag of a group", of("billing"), "6".into())?;
    equal("the lag of one with a name that ends nothing", of(HOSTILE), "3".into())?;
    let targets = ask("/api/v1/targets").unwrap_or_default();
    let target = &targets["activeTargets"][0];
    equal("the target", (&target["health"], &target["lastError"]), (&"up".into(), &"".into()))?;
    // Only OpenMetrics names a family of counters without the suffix of its samples.
    for (family, is_there) in [("ottla_looks", true), ("ottla_looks_total", false)] {
        let known = ask(&format!("/api/v1/metadata?metric={family}")).unwrap_or_default();
        equal(family, known.as_object().is_some_and(|known| !known.is_empty()), is_there)?;
    }
    equal("what Prometheus complains of", prometheus.stderr().as_str(), "")
}
