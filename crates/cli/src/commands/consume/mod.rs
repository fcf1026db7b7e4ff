//! `ottla consume`: records on stdout.
//!
//! What is committed was printed, and had left the process, before: the sink is flushed before each return into `poll`,
//! and a return into `poll` is what tells the library that the records before are done. So its automatic commits (on
//! the interval, when partitions are revoked, at the close) hold the promise, and nothing here counts offsets.

mod goal;
mod lookups;
mod notes;
mod sink;
mod watch;

use std::{collections::BTreeSet, io, time::Duration};

use ottla::{
    Admin, Consumer, ConsumerBuilder, Event, OffsetReset, Records, Timestamp, TopicPartition,
    error::{CloseErrorKind, CommitErrorKind, RecvErrorKind},
    group::Pattern,
};

use self::{
    goal::Goal,
    lookups::{Bounds, Lookups, Wanted},
    notes::Notes,
    sink::Sink,
    watch::Watch,
};
use super::topics::{APPEARANCE, check_name, existing, matching};
use crate::{
    args::{Common, ConsumeArgs},
    common::Clients,
    failure::{Failure, Failures, tell},
    format::{Format, Look},
    offsets::{Offsets, Start},
    signals::Stop,
    waiting::told,
};

/// How long one `poll` waits: how often the goal, and the topics, are looked at where nothing comes.
const POLL: Duration = Duration::from_millis(100);
/// How many records one `poll` takes, where `max.poll.records` is not set: each is followed by a flush.
const POLL_RECORDS: usize = 5_000;

pub(super) async fn run(args: &ConsumeArgs, common: &Common, mut stop: Stop) -> Result<(), Failure> {
    let plan = Plan::new(args, common)?;
    let reading = tokio::select! {
        () = stop.requested() => return Ok(()),
        reading = Reading::begin(&plan) => reading?,
    };
    reading.run(&mut stop).await
}

/// What was asked for, and can be.
#[derive(Debug)]
struct Plan<'a> {
    args: &'a ConsumeArgs,
    topics: Vec<String>,
    clients: Clients,
    offsets: Offsets,
    /// What topics' whole names match, with `--regex`.
    pattern: Option<Pattern>,
    json: bool,
}

impl<'a> Plan<'a> {
    fn new(args: &'a ConsumeArgs, common: &Common) -> Result<Self, Failure> {
        let offsets = Offsets::parse(&args.offset)?;
        let places = matches!(offsets.start, None | Some(Start::Beginning | Start::End));
        if args.group.is_some() && (!places || offsets.until.is_some()) {
            let why = "with -G the group's committed offsets say where to begin";
            return Err(Failure::usage(format!(
                "-o: {why}; only beginning or end, for partitions without one"
            )));
        }
        if common.is_json() && !args.json && args.format.is_some() {
            return Err(Failure::usage(
                "-f and --output json: an object is written for each record; choose one",
            ));
        }
        let clients = Clients::new(common)?;
        if offsets.start == Some(Start::Stored) && clients.property("group.id").is_none() {
            return Err(Failure::usage("-o stored: whose offsets? name the group with -X group.id=GROUP"));
        }
        if let (None, Some(group), false) =
            (&args.group, clients.property("group.id"), offsets.start == Some(Start::Stored))
        {
            tell(format!(
                "`group.id` is set, and -G is not: read without a group; -G {group} reads as its member"
            ));
        }
        let topics = args.topics();
        let pattern = match args.regex {
            true => Some(any_of(&topics)?),
            false => {
                topics.iter().try_for_each(|topic| check_name(topic))?;
                None
            }
        };
        Ok(Self { args, topics, clients, offsets, pattern, json: args.json || common.is_json() })
    }

    fn format(&self) -> Result<Format, Failure> {
        let args = self.args;
        Format::new(&Look {
            format: args.format.as_deref(),
            json: self.json,
            key_delimiter: args.key_delimiter.as_deref(),
            delimiter: &args.delimiter,
            null: args.null,
        })
    }

    fn consumer(&self) -> Result<ConsumerBuilder, Failure> {
        let isolation = self.args.isolation.iter().map(|level| ("isolation.level", level));
        Ok(self.placed()?.properties(isolation)?)
    }

    /// A consumer that begins where it was told.
    fn placed(&self) -> Result<ConsumerBuilder, Failure> {
        let (defaults, start) = (Consumer::builder().max_poll_records(POLL_RECORDS), self.offsets.start);
        let Some(group) = &self.args.group else {
            let reset = match start {
                Some(Start::End) => OffsetReset::Latest,
                _ => OffsetReset::Earliest,
            };
            return self.clients.consumer(defaults.auto_offset_reset(reset).enable_auto_commit(false));
        };
        let builder = self.clients.consumer(defaults)?.group_id(group);
        Ok(match start {
            Some(Start::Beginning) => builder.auto_offset_reset(OffsetReset::Earliest),
            Some(_) => builder.auto_offset_reset(OffsetReset::Latest),
            None => builder,
        })
    }

    /// The partitions to read without a group, or those that the group will share.
    async fn partitions(&self, admin: &Admin) -> Result<Vec<TopicPartition>, Failure> {
        let topics = match &self.pattern {
            Some(pattern) => matching(admin, pattern).await,
            None => existing(admin, &self.topics).await,
        };
        let mut partitions = Vec::new();
        for (name, topic) in topics? {
            match self.args.partition {
                Some(number) if !topic.partitions.contains_key(&number) => {
                    let count = topic.partitions.len();
                    let why = format!("no such partition: there are {count}, from 0; choose one of these");
                    return Err(Failure::failed(format!("partition {name}-{number}: {why}")));
                }
                Some(number) => partitions.push(TopicPartition::new(name, number)),
                None => partitions
                    .extend(topic.partitions.keys().map(|number| TopicPartition::new(&*name, *number))),
            }
        }
        Ok(partitions)
    }
}

/// A consumer at work.
struct Reading<'a> {
    plan: &'a Plan<'a>,
    consumer: Consumer,
    sink: Sink,
    goal: Goal,
    watch: Watch,
    notes: Notes,
    lookups: Lookups,
    /// Partitions whose log has to be known before it is known where they begin.
    unplaced: BTreeSet<TopicPartition>,
    /// Of partitions that could not be read as was asked for.
    failures: Failures,
    patience: Duration,
    poll_records: usize,
    /// Whether what is printed is committed.
    commits: bool,
}

/// How the loop of polls ended.
enum End {
    /// Everything that was handed out is printed.
    Whole,
    /// Something that was handed out could not be printed.
    Unprinted,
}

impl<'a> Reading<'a> {
    async fn begin(plan: &'a Plan<'a>) -> Result<Self, Failure> {
        let format = plan.format()?;
        let builder = plan.consumer()?;
        let settings = builder.settings();
        let isolation = settings.isolation_level();
        let (patience, poll_records) = (settings.default_api_timeout(), settings.max_poll_records());
        let commits = plan.args.group.is_some() && settings.enable_auto_commit();
        let consumer = builder.build().await?;
        let admin = plan.clients.admin_beside()?.build().await?;
        let goal = Goal::new(plan.args.count, plan.args.exit, plan.offsets.until);
        let placed = matches!(plan.offsets.start, Some(Start::Offset(_) | Start::BeforeEnd(_)));
        let wanted = match placed {
            true => Wanted { beginning: true, end: true, ..goal.wanted() },
            false => goal.wanted(),
        };
        let sink = Sink::new(format);
        let mut reading = Self {
            plan,
            consumer,
            sink: if plan.args.unbuffered { sink.unbuffered() } else { sink },
            goal,
            watch: Watch::new(),
            notes: Notes::new(plan.args.group.clone(), plan.args.quiet),
            lookups: Lookups::new(admin.clone(), isolation, wanted),
            unplaced: BTreeSet::new(),
            failures: Failures::default(),
            patience,
            poll_records,
            commits,
        };
        if let (Some(pattern), Some(_)) = (&plan.pattern, &plan.args.group) {
            // Topics that match may come later.
            reading.consumer.subscribe_pattern(pattern.as_str())?;
            return Ok(reading);
        }
        let partitions = told(|| admin.explain(), plan.partitions(&admin)).await?;
        match plan.args.group {
            Some(_) => reading.consumer.subscribe(&plan.topics)?,
            None => reading.assign(partitions, placed)?,
        }
        Ok(reading)
    }

    fn assign(&mut self, partitions: Vec<TopicPartition>, placed: bool) -> Result<(), Failure> {
        self.consumer.assign(partitions.clone())?;
        let each = partitions.iter().cloned();
        match self.plan.offsets.start {
            None | Some(Start::Beginning) => self.consumer.seek_to_beginning(each)?,
            Some(Start::End) => self.consumer.seek_to_end(each)?,
            Some(Start::Stored) => {}
            Some(Start::Timestamp(time)) => {
                for at in each {
                    self.consumer.seek(at, Timestamp(time))?;
                }
            }
            // Until it is found out where that is.
            Some(Start::Offset(_) | Start::BeforeEnd(_)) => {
                self.unplaced.extend(each.clone());
                self.consumer.pause(each);
            }
        }
        if self.goal.assigned(&partitions) || placed {
            self.lookups.ask(partitions);
        }
        Ok(())
    }

    /// Takes what was found out of partitions.
    fn take_found(&mut self) -> Result<(), Failure> {
        while let Some((at, found)) = self.lookups.next() {
            match found {
                Ok(bounds) => {
                    // Its end may be asked for again while it is read.
                    if self.unplaced.remove(&at) {
                        self.place(&at, &bounds)?;
                    }
                    self.goal.know(&at, &bounds);
                }
                Err(unknown) if unknown.may_pass && !self.plan.args.exit => self.lookups.ask(vec![at]),
                Err(unknown) => {
                    self.consumer.pause([at.clone()]);
                    let failure = Failure::failed(unknown.message);
                    match self.goal.give_up(&at) {
                        true => self.failures.add(failure),
                        false => return Err(failure),
                    }
                }
            }
        }
        Ok(())
    }

    /// Begins at the offset that was asked for, where that is one of the log.
    fn place(&mut self, at: &TopicPartition, bounds: &Bounds) -> Result<(), Failure> {
        let (beginning, end) = (bounds.beginning, bounds.end.unwrap_or_default());
        let offset = match self.plan.offsets.start {
            Some(Start::BeforeEnd(count)) => end.saturating_sub(count).max(beginning),
            Some(Start::Offset(offset)) if (beginning..=end).contains(&offset) => offset,
            Some(Start::Offset(_)) => {
                let why = format!("the log begins at {beginning} and ends before {end}; choose another -o");
                return Err(Failure::failed(format!("partition {at}: no such offset: {why}")));
            }
            _ => return Ok(()),
        };
        self.consumer.seek(at.clone(), offset)?;
        self.consumer.resume([at.clone()]);
        Ok(())
    }

    async fn run(mut self, stop: &mut Stop) -> Result<(), Failure> {
        let (end, result) = self.read(stop).await;
        self.watch.tell_of_ends(&self.consumer.explain());
        let committed = match end {
            // At the close too, but there nobody is told what else came of it.
            End::Whole if self.commits => match self.consumer.commit().await {
                // The close commits the others, and tells of each that is gone.
                Err(error) if error.kind() == CommitErrorKind::Gone => Ok(()),
                committed => committed.map(drop).map_err(Failure::from),
            },
            End::Whole => Ok(()),
            // The close is not to commit what was not printed.
            End::Unprinted => {
                self.consumer.unsubscribe();
                Ok(())
            }
        };
        let mut events = self.consumer.events();
        let closed = self.consumer.close_within(self.patience).await;
        while let Some(event) = events.next().await {
            self.notes.of_group(&event.event);
            // A failure is one line.
            if let (Event::CommitGivenUp(given_up), Ok(())) = (event.event, &result) {
                tell(given_up);
            }
        }
        // Each offset that is not committed has been told.
        if let (Err(error), Ok(()), Ok(())) = (&closed, &result, &committed)
            && error.kind() != CloseErrorKind::NotCommitted
        {
            tell(error);
        }
        result.and(committed)
    }

    async fn read(&mut self, stop: &mut Stop) -> (End, Result<(), Failure>) {
        let mut seen = Ok(());
        loop {
            if let Err(error) = self.sink.flush() {
                return (End::Unprinted, Err(Failure::stdout(&error)));
            }
            let is_reached = self.goal.is_reached(&mut self.consumer, &mut self.notes).await;
            if seen.is_err() || is_reached || stop.is_requested() {
                return (End::Whole, seen.and_then(|()| std::mem::take(&mut self.failures).end()));
            }
            let most = self.goal.left().map_or(self.poll_records, |left| left.min(self.poll_records));
            let poll = self.consumer.poll(POLL).max_records(most);
            let records = tokio::select! {
                biased;
                () = stop.requested() => return (End::Whole, Ok(())),
                records = poll => records,
            };
            let records = match records {
                Ok(records) => records,
                Err(error) if error.kind() == RecvErrorKind::MaxPollExceeded => {
                    tell(format!("{error}; going on"));
                    continue;
                }
                Err(error) => return (End::Whole, Err(error.into())),
            };
            let mut new = self.goal.follow(&mut self.consumer, &mut self.notes);
            new.extend(self.goal.due());
            if !new.is_empty() {
                self.lookups.ask(new);
            }
            if let Err(error) = self.print(&records) {
                return (End::Unprinted, Err(Failure::stdout(&error)));
            }
            self.goal.rest(&mut self.consumer, &mut self.notes);
            seen = self.take_found();
            let lookups = &self.lookups;
            if seen.is_ok() && self.failures.is_empty() {
                seen = self.watch.look(&self.consumer, APPEARANCE, || lookups.waits_for());
            }
        }
    }

    fn print(&mut self, records: &Records) -> io::Result<()> {
        let goal = &mut self.goal;
        records.iter().filter(|record| goal.wants(record)).try_for_each(|record| self.sink.write(&record))
    }
}

/// What each of these patterns matches. One that is broken is told as it was given.
fn any_of(patterns: &[String]) -> Result<Pattern, Failure> {
    let read = |text: &str| Pattern::new(text).map_err(|why| Failure::usage(format!("--regex: {why}")));
    patterns.iter().try_for_each(|pattern| read(pattern).map(drop))?;
    read(&patterns.iter().map(|pattern| format!("(?:{pattern})")).collect::<Vec<_>>().join("|"))
}
