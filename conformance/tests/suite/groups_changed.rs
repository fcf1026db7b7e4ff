//! What `ottla groups reset-offsets` makes, reads and refuses, beside Kafka's own tool on the same cluster: all that `groups_reset.rs` does not
//! ask, which is where offsets are moved to.

use std::path::PathBuf;

use libtest_mimic::Failed;
use ottla::{Admin, GroupProtocol, ProducerRecord, Timestamp};
use ottla_conformance::kafka::{GroupTools, Printed};
use ottla_conformance::process::run;
use ottla_conformance::targets::{Target, unique};

use crate::cases::{Case, Outcome};
use crate::cli::ottla;
use crate::groups_deleted::listed;
use crate::groups_reset::{FIRST, Offsets, ours, theirs};
use crate::groups_shown::{OFFSETS, agree, joined, shown};
use crate::groups_staged::{commit, refused, said};
use crate::kit::{PATIENCE, admin, consumer, equal, holds, producer, topic, wait, within};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::both("groups_are_made_moved_and_refused_as_by_kafkas_tool", |target| wait(moved(target)))
            .with_java(),
    ]
}

/// A cluster with a topic of three partitions, of which the last is empty, and one that no member reads.
struct Stage<'a> {
    target: &'a Target,
    admin: Admin,
    tools: GroupTools,
    topic: String,
    beside: String,
}

impl<'a> Stage<'a> {
    async fn set(target: &'a Target) -> Result<Self, Failed> {
        let (topic, beside) = (topic(target, "changed", 3).await?, topic(target, "changed-beside", 1).await?);
        let producer = producer(target).await?;
        // A second apart, and one behind the last of a partition.
        for n in 0..10 {
            for partition in 0..2 {
                let record = ProducerRecord::to(topic.as_str()).partition(partition).value(b"v".as_slice());
                drop(producer.send(record.timestamp(Timestamp(FIRST + n * 1000))).await?);
            }
        }
        let late = ProducerRecord::to(topic.as_str()).partition(0).value(b"v".as_slice());
        drop(producer.send(late.timestamp(Timestamp(FIRST + 9100))).await?);
        within("records that are acknowledged", producer.close()).await??;
        let tools = GroupTools::start(&target.bootstrap())?;
        Ok(Self { target, admin: admin(target).await?, tools, topic, beside })
    }

    /// A group with a commit in each of these partitions of the topic.
    async fn placed(&self, name: &str, partitions: impl IntoIterator<Item = i32>) -> Result<String, Failed> {
        let group = unique(name);
        let at = partitions.into_iter().map(|partition| ((self.topic.as_str(), partition), 4));
        commit(&self.admin, &group, at).await?;
        Ok(group)
    }

    /// Where Kafka's tool would move a group, and what it says.
    fn kafka(&mut self, groups: &[&str], args: &[&str]) -> Result<(Offsets, Printed), Failed> {
        let groups: Vec<&str> = groups.iter().flat_map(|group| ["--group", group]).collect();
        let printed =
            self.tools.ask("consumer", &[&["--reset-offsets", "--dry-run"], &groups[..], args].concat())?;
        Ok((theirs(&printed), printed))
    }

    fn ours(&self, groups: &[&str], args: &[&str]) -> Result<Offsets, Failed> {
        let groups: Vec<&str> = groups.iter().flat_map(|group| ["-G", group]).collect();
        ours(self.target, &[&groups[..], args].concat())
    }

    /// Both would move it there; so many partitions.
    fn agree(&mut self, group: &str, args: &[&str], count: usize) -> Outcome {
        let (of_kafka, printed) = self.kafka(&[group], args)?;
        equal(&format!("rows: {args:?}: {}", printed.all()), of_kafka.len(), count)?;
        equal(&format!("{args:?}"), self.ours(&[group], args)?, of_kafka)
    }

    fn refused(&mut self, group: &str, args: &[&str], says: (&str, &str)) -> Outcome {
        refused(self.target, &mut self.tools, (group, args), says)
    }
}

async fn moved(target: &Target) -> Outcome {
    let mut stage = Stage::set(target).await?;
    stage.made()?;
    stage.live().await?;
    stage.nowhere().await?;
    // How words are read is the same whatever answers.
    if let Target::Kafka(_) = target {
        stage.forms().await?;
        stage.files().await?;
    }
    Ok(())
}

impl Stage<'_> {
    /// A group that is not there is made, and no dry run makes it.
    fn made(&mut self) -> Outcome {
        let [theirs, ours] = ["made-theirs", "made-ours"].map(unique);
        let topic = self.topic.clone();
        let args = ["--topic", topic.as_str(), "--to-offset", "7"];
        for group in [&theirs, &ours] {
            self.agree(group, &args, 3)?;
        }
        let groups = [theirs.as_str(), ours.as_str()];
        equal("a dry run makes none", listed(self.target, &mut self.tools, groups)?, [[false; 2]; 2])?;
        self.tools
            .ask("consumer", &[&["--reset-offsets", "--execute", "--group", &theirs], &args[..]].concat())?;
        self.ours(&[&ours], &[&args[..], &["--execute"]].concat())?;
        equal("they are made", listed(self.target, &mut self.tools, groups)?, [[true; 2]; 2])?;
        for group in groups {
            let kafka = ["--describe", "--verbose", "--group", group];
            let mine = ["lag", "--verbose", group];
            agree(self.target, &mut self.tools, ("consumer", &kafka), &mine, &OFFSETS, 3)?;
            let rows = shown(self.target, &["lag", group])?;
            let at: Vec<Option<i64>> = rows.iter().map(|row| row["current_offset"].as_i64()).collect();
            equal("where it is", at, vec![Some(7), Some(7), Some(0)])?;
        }
        Ok(())
    }

    /// A group with members is not moved, also in what they do not read; others named beside it are. One whose partitions are assigned
    /// by hand has no members.
    async fn live(&mut self) -> Outcome {
        let (topic, beside, live) = (self.topic.clone(), self.beside.clone(), unique("moved-live"));
        let idle = self.placed("moved-idle", [0, 1]).await?;
        let member = joined(self.target, &live, &topic, GroupProtocol::Classic).await?;
        for read in [&topic, &beside] {
            let args = ["--topic", read.as_str(), "--to-earliest"];
            let says = ("the current state is Stable", "it is Stable, with members");
            self.refused(&live, &args, says)?;
        }
        let args = ["--topic", topic.as_str(), "--to-offset", "5"];
        let (of_kafka, printed) = self.kafka(&[&live, &idle], &args)?;
        let groups: Vec<String> =
            printed.rows().into_iter().filter_map(|mut row| row.remove("GROUP")).collect();
        let is_of_idle = of_kafka.len() == 3 && groups.iter().filter(|group| **group == idle).count() == 3;
        holds(&format!("the other is moved: {}", printed.all()), is_of_idle)?;
        let verb = ["groups", "reset-offsets", "-G", &live, "-G", &idle, "--output", "json"];
        let (status, rows, noted) = said(self.target, &[&verb[..], &args].concat())?;
        holds(&noted, status == Some(1) && noted.contains(&live) && !noted.contains(&idle))?;
        holds(&rows, rows.lines().count() == 3 && !rows.contains(&live))?;
        member.close().await?;

        let group = unique("moved-hand");
        let mut by_hand = consumer(self.target).group_id(group.as_str()).build().await?;
        by_hand.assign([(topic.as_str(), 0)])?;
        within("a commit", by_hand.commit_offsets([((topic.as_str(), 0), 4)])).await??;
        self.agree(&group, &["--all-topics", "--shift-by", "-1"], 1)?;
        Ok(by_hand.close().await?)
    }

    /// What is not there.
    async fn nowhere(&mut self) -> Outcome {
        let group = self.placed("moved-nowhere", [0]).await?;
        let (none, beyond) = (unique("no-such"), format!("{}:9", self.topic));
        let says = ("does not host this topic-partition", "no such topic");
        self.refused(&group, &["--topic", &none, "--to-latest"], says)?;
        let says = (format!("\"{}-9\" do not exist", self.topic), format!("{}-9: there is none", self.topic));
        self.refused(&group, &["--topic", &beyond, "--to-latest"], (&says.0, &says.1))?;
        // Where nothing is committed, all of it is nothing.
        let none = unique("moved-none");
        let (rows, printed) = self.kafka(&[&none], &["--all-topics", "--to-latest"])?;
        holds(&printed.all(), rows.is_empty())?;
        let (status, rows, noted) =
            said(self.target, &["groups", "reset-offsets", "-G", &none, "--all-topics", "--to-latest"])?;
        holds(&noted, status == Some(1) && !rows.contains(&none) && noted.contains("committed nothing"))
    }

    /// Times and durations: what both take, what both refuse, and what they take differently on purpose.
    async fn forms(&mut self) -> Outcome {
        let group = self.placed("moved-forms", [0]).await?;
        let by = |flag: &'static str, text: &'static str| ["--all-topics", flag, text];
        for text in [
            "2026-11-29T02:00:04.001+02",
            "2026-11-29T02:00:04.001+0200",
            "2026-11-28T22:30:04.001-01:30",
            "2026-11-29T0:0:4.001",
        ] {
            self.agree(&group, &by("--to-datetime", text), 1)?;
            equal(
                text,
                self.ours(&[&group], &by("--to-datetime", text))?.values().copied().collect(),
                vec![5],
            )?;
        }
        for text in ["P1DT2H3M4.5S", "pt1h", "PT-1H", "P4000D"] {
            self.agree(&group, &by("--by-duration", text), 1)?;
        }
        for text in [
            "2026-11-29T00:00:04.1234",
            "2026-11-29T00:00",
            "2026-11-29",
            "2026-11-29 00:00:04.000",
            "2026-11-29T00:00:04.000z",
            "2026-11-29T00:00:04.000UTC",
            "2026-11-29T00:00:04.000+2",
            "1795910404000",
            "2026-02-30T00:00:00.000",
        ] {
            self.refused(&group, &by("--to-datetime", text), ("Error: ", "--to-datetime"))?;
        }
        for text in ["P1W", "P1M"] {
            self.refused(&group, &by("--by-duration", text), ("cannot be parsed to a Duration", text))?;
        }
        // On purpose: docs/groups.md has them. A fraction of any length counts milliseconds.
        for text in ["2026-11-29T00:00:09.5", "2026-11-29T00:00:09.0005"] {
            let (of_kafka, printed) = self.kafka(&[&group], &by("--to-datetime", text))?;
            equal(&printed.all(), of_kafka.into_values().collect(), vec![10])?;
            let same = self.ours(&[&group], &by("--to-datetime", "2026-11-29T00:00:09.005"))?;
            equal("the time that Kafka's tool understands", same.into_values().collect(), vec![10])?;
            let args = [&["groups", "reset-offsets", "-G", &group][..], &by("--to-datetime", text)].concat();
            equal(text, said(self.target, &args)?.0, Some(2))?;
        }
        for taken in [by("--to-datetime", "2026-11-29T00:00:04"), by("--by-duration", "1h")] {
            let (rows, printed) = self.kafka(&[&group], &taken)?;
            holds(&printed.all(), rows.is_empty() && printed.all().contains("Error: "))?;
            equal(&format!("{taken:?}"), self.ours(&[&group], &taken)?.len(), 1)?;
        }
        Ok(())
    }

    /// Files of several groups, and such as are wrong.
    async fn files(&mut self) -> Outcome {
        let groups = [self.placed("moved-a", [0, 1]).await?, self.placed("moved-b", [1]).await?];
        let both = groups.each_ref().map(String::as_str);
        let current = ["--all-topics", "--to-current", "--export"];
        let exported = self.kafka(&both, &current)?.1.out;
        let verb = ["groups", "reset-offsets", "-G", both[0], "-G", both[1]];
        let mine = run(&ottla(self.target, &[&verb[..], &current].concat())?, PATIENCE)?.stdout;
        let lines = |text: &str| {
            let mut lines: Vec<String> =
                text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
            lines.sort_unstable();
            lines
        };
        equal("the same file", lines(&mine), lines(&exported.join("\n")))?;

        let (file, topic) = (File::new(), self.topic.clone());
        let from = ["--from-file", file.path()?];
        let [a, b] = both;
        for (text, groups, count) in [
            (exported.join("\n"), &both[..], 3),
            (mine.clone(), &both[..], 3),
            // Of one group its rows count, and nothing else does.
            (mine, &both[..1], 2),
            (format!("\"{topic}\",0,3\n{topic},1,99\n\n"), &both[..1], 2),
        ] {
            file.write(&text)?;
            let (of_kafka, printed) = self.kafka(groups, &from)?;
            let rows = printed.rows();
            equal(&format!("rows: {text}: {}", printed.all()), rows.len(), count)?;
            equal(&text, self.ours(groups, &from)?, of_kafka)?;
        }
        for (text, kafka, ottla) in [
            (
                format!("TOPIC,PARTITION,OFFSET\n{topic},0,3\n"),
                "Error: ",
                "line 1: its partition is no number",
            ),
            (format!(" {topic},0,3\n"), "Error: ", " "),
            (format!("{b},{topic},0,3\n"), "No reset plan for group", "the file has no line for it"),
        ] {
            file.write(&text)?;
            self.refused(a, &from, (kafka, ottla))?;
        }
        file.write(&format!("{topic},0,3\n"))?;
        let (of_kafka, printed) = self.kafka(&both, &from)?;
        let plans = printed.all().matches("No reset plan for group").count();
        holds(&printed.all(), of_kafka.is_empty() && plans == 2)?;
        let (status, rows, noted) = said(self.target, &[&verb[..], &from].concat())?;
        let is_told = noted.contains("of several groups each line begins with one");
        holds(&noted, status == Some(1) && rows.is_empty() && is_told)?;
        // On purpose: docs/groups.md has both.
        for text in [format!("\n{topic},0,3\n"), format!("{topic},0,3\n\n{topic},1,3\n")] {
            file.write(&text)?;
            let (of_kafka, printed) = self.kafka(&both[..1], &from)?;
            holds(&printed.all(), of_kafka.is_empty() && printed.all().contains("No content"))?;
            let mine = self.ours(&both[..1], &from)?;
            holds(&text, !mine.is_empty() && mine.values().all(|offset| *offset == 3))?;
        }
        for text in [format!("{topic},0\n"), format!("{topic},0,\n")] {
            file.write(&text)?;
            let (of_kafka, printed) = self.kafka(&both[..1], &from)?;
            equal(&printed.all(), of_kafka.values().copied().collect(), vec![0])?;
            let (status, _, noted) = said(self.target, &[&verb[..4], &from].concat())?;
            holds(&noted, status == Some(1) && noted.contains("line 1: "))?;
        }
        Ok(())
    }
}

/// A file that is gone at the end.
struct File(PathBuf);

impl File {
    fn new() -> Self {
        Self(std::env::temp_dir().join(unique("offsets.csv")))
    }

    fn path(&self) -> Result<&str, Failed> {
        Ok(self.0.to_str().ok_or("a path")?)
    }

    fn write(&self, text: &str) -> Outcome {
        Ok(std::fs::write(&self.0, text)?)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
