//! A run: processes that write and read while the user breaks things, a final read, and the judgement.

use std::{
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use ottla::admin::NewTopic;
use ottla_check::{Report, history::Op};

use super::{Failure, RunArgs, diary::Diary, final_read, judged, tell};

/// How often processes are looked after.
const LOOK: Duration = Duration::from_millis(50);
/// How long a process may take to stop: longer than its own limits together.
const STOP: Duration = Duration::from_secs(60);
/// How soon after it ended by itself a process is started again.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) fn run(args: &RunArgs) -> Result<Report, Failure> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let topic = args.topic.clone().unwrap_or_else(|| format!("ottla-check-{:016x}", fastrand::u64(..)));
    fs::create_dir_all(&args.dir).map_err(|error| format!("{}: {error}", args.dir.display()))?;
    if fs::read_dir(&args.dir)?.next().is_some() {
        let dir = args.dir.display();
        return Err(format!(
            "{dir} is not empty: name a new directory, as histories of one run belong together"
        )
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    args.clients.warn_of_secrets();
    // What is wrong with the properties shows before anything is begun.
    args.clients.producer()?;
    args.clients.member(&topic, args.writing.isolation())?;
    runtime.block_on(create(args, &topic))?;
    tell(format!("topic and group `{topic}`, seed {seed}, histories in {}", args.dir.display()));
    let diary = Diary::begin("run", &args.dir.join("run.jsonl"))?;
    let members = (0..args.processes).map(|_| Member::default()).collect();
    let mut stage = Stage { args, topic: &topic, diary, members, files: Vec::new() };
    stage.play(&mut fastrand::Rng::with_seed(seed))?;
    stage.stop_all()?;
    let last = args.dir.join("final.jsonl");
    runtime.block_on(final_read::read(
        &args.clients,
        &topic,
        args.partitions,
        args.writing.isolation(),
        &last,
    ))?;
    stage.files.extend([args.dir.join("run.jsonl"), last]);
    let report = judged(&begun(stage.files))?;
    if report.counts.acknowledged == 0 || report.counts.handed_out == 0 {
        return Err(format!(
            "nothing to judge: {} sends were acknowledged; {report}",
            report.counts.acknowledged
        )
        .into());
    }
    Ok(report)
}

/// The histories that are there: a process that was killed as soon as it was started has begun none.
fn begun(mut files: Vec<PathBuf>) -> Vec<PathBuf> {
    files.retain(|file| file.exists());
    files
}

async fn create(args: &RunArgs, topic: &str) -> Result<(), Failure> {
    let admin = args.clients.admin()?.build().await?;
    let mut new = NewTopic::new(topic).partitions(args.partitions);
    if let Some(factor) = args.replication_factor {
        new = new.replication_factor(factor);
    }
    // Values of others in the topic would be held against the cluster.
    let created = admin.create_topic(new).await;
    admin.close().await;
    Ok(created?)
}

/// A place for a process, which may be taken by one after the other.
#[derive(Debug, Default)]
struct Member {
    lives: u32,
    name: String,
    child: Option<Child>,
    /// When it is started again, after it ended by itself.
    again: Option<Instant>,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            _ = child.kill();
            _ = child.wait();
        }
    }
}

struct Stage<'a> {
    args: &'a RunArgs,
    topic: &'a str,
    diary: Diary,
    members: Vec<Member>,
    files: Vec<PathBuf>,
}

impl Stage<'_> {
    fn play(&mut self, rng: &mut fastrand::Rng) -> Result<(), Failure> {
        let end = Instant::now() + self.args.how_long;
        let mut next_kill = Instant::now() + self.until_kill(rng);
        for place in 0..self.members.len() {
            self.start(place)?;
        }
        while Instant::now() < end {
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            for place in 0..self.members.len() {
                self.look_after(place)?;
            }
            if self.args.kill && Instant::now() >= next_kill {
                next_kill = Instant::now() + self.until_kill(rng);
                let place = rng.usize(0..self.members.len());
                // One in four leaves in good order.
                if rng.u8(0..4) == 0 {
                    self.stop(place)?;
                } else {
                    self.kill(place)?;
                }
                self.start(place)?;
            }
        }
        Ok(())
    }

    /// Between half of the average and half as much again.
    fn until_kill(&self, rng: &mut fastrand::Rng) -> Duration {
        self.args.kill_every.mul_f64(0.5 + rng.f64())
    }

    fn start(&mut self, place: usize) -> Result<(), Failure> {
        let Some(member) = self.members.get_mut(place) else { return Ok(()) };
        member.lives += 1;
        member.name = format!("p{place}.{}", member.lives);
        let history = self.args.dir.join(format!("{}.jsonl", member.name));
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("member").args(self.args.clients.arguments());
        command.args(["--name", &member.name, "--topic", self.topic]).arg("--history").arg(&history);
        command.args(["--partitions", &self.args.partitions.to_string()]);
        command.args(["--rate", &self.args.rate.to_string()]);
        if self.args.writing.transactions {
            command.arg("--transactions");
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        member.child = Some(child.map_err(|error| format!("no process can be started: {error}"))?);
        member.again = None;
        self.files.push(history);
        Ok(())
    }

    /// Starts one again that has ended by itself.
    fn look_after(&mut self, place: usize) -> Result<(), Failure> {
        let Some(member) = self.members.get_mut(place) else { return Ok(()) };
        if let Some(child) = &mut member.child
            && let Some(status) = child.try_wait()?
        {
            tell(format!("{} ended by itself: {status}", member.name));
            self.diary.write_of(&member.name, Op::Crash {})?;
            member.child = None;
            member.again = Some(Instant::now() + PAUSE);
        }
        if member.again.is_some_and(|again| Instant::now() >= again) {
            self.start(place)?;
        }
        Ok(())
    }

    fn kill(&mut self, place: usize) -> Result<(), Failure> {
        let Some(member) = self.members.get_mut(place) else { return Ok(()) };
        if let Some(mut child) = member.child.take() {
            child.kill()?;
            child.wait()?;
            self.diary.write_of(&member.name, Op::Crash {})?;
        }
        Ok(())
    }

    /// Asks one to stop, and waits until it has.
    fn stop(&mut self, place: usize) -> Result<(), Failure> {
        let Some(child) = self.members.get_mut(place).and_then(|member| member.child.as_mut()) else {
            return Ok(());
        };
        drop(child.stdin.take());
        let deadline = Instant::now() + STOP;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                tell(format!("a process did not stop within {} s: killed", STOP.as_secs()));
                return self.kill(place);
            }
            std::thread::sleep(LOOK);
        }
        if let Some(member) = self.members.get_mut(place) {
            member.child = None;
        }
        Ok(())
    }

    fn stop_all(&mut self) -> Result<(), Failure> {
        // All at once: each one's leaving would rebalance those that are left.
        for child in self.members.iter_mut().filter_map(|member| member.child.as_mut()) {
            drop(child.stdin.take());
        }
        (0..self.members.len()).try_for_each(|place| self.stop(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_killed_before_its_history_began_has_none_to_be_judged() {
        let there = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let never_begun = there.with_file_name("p0.2.jsonl");
        assert_eq!(begun(vec![never_begun, there.clone()]), [there]);
    }
}
