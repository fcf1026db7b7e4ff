//! `ottla demo`: the main job with nothing installed. A group reads a topic on an embedded broker while its members
//! change; what was lost or repeated is counted by one who knows only what was acknowledged and what was delivered.

mod checker;
mod load;
mod members;
mod stage;

use std::{sync::Arc, time::Instant};

use indicatif::HumanCount;
use ottla_broker::{Config, Server, TopicSpec};

use self::{
    checker::Verdict,
    stage::{Stage, Watcher},
};
use crate::{
    args::{DemoArgs, Output},
    failure::Failure,
    output::print,
    progress::Progress,
    signals::Stop,
};

/// The topic, and the group that reads it.
const TOPIC: &str = "demo";
const GROUP: &str = "demo";

pub(super) async fn run(args: &DemoArgs, output: Option<Output>, mut stop: Stop) -> Result<(), Failure> {
    if args.consumers > args.partitions {
        return Err(Failure::usage(format!(
            "--consumers {}: at most one a partition ({}), as the others would have nothing to read",
            args.consumers, args.partitions
        )));
    }
    let begun = Instant::now();
    let topics = vec![TopicSpec::new(TOPIC, args.partitions)];
    let server = Server::start_on_thread(Config { topics, ..Config::default() }, ([127, 0, 0, 1], 0))
        .map_err(|error| Failure::failed(format!("the embedded broker cannot start: {error}")))?;
    let progress = Arc::new(Progress::of(args.records.into()));
    progress.say(&format!(
        "embedded broker on {}, topic `{TOPIC}` of {} partitions",
        server.bootstrap(),
        args.partitions
    ));
    let bootstrap = server.bootstrap();
    let played = tokio::select! {
        () = stop.requested() => None,
        played = play(args, &bootstrap, &progress) => Some(played?),
    };
    let result = played.map(|(verdict, rebalances, lag)| Figures {
        verdict,
        rebalances,
        lag,
        seconds: begun.elapsed().as_secs_f64(),
    });
    server.stop().await;
    drop(progress);
    let Some(figures) = result else { return Ok(()) };
    match output {
        Some(Output::Json) => print(&figures.json())?,
        _ => print(&figures.text())?,
    }
    figures.judge()
}

async fn play(
    args: &DemoArgs,
    bootstrap: &str,
    progress: &Arc<Progress>,
) -> Result<(Verdict, usize, u64), Failure> {
    let hidden = args.inject_loss.then_some((0, 0));
    let mut stage = Stage::set(bootstrap, args.partitions, hidden, progress.clone()).await?;
    let watcher = Watcher::spawn(&stage);
    // Half-way one leaves and another joins. Of the first half a little is kept for those who stay, so that the
    // generation between the two shows, too, that each of its members delivers.
    let half = args.records / 2;
    let kept = if args.consumers > 1 { half / 10 } else { 0 };
    for _ in 0..args.consumers {
        stage.join().await?;
    }
    stage.settle().await?;
    stage.produce(half - kept).await?;
    stage.until_delivered().await?;
    stage.leave().await?;
    if args.consumers > 1 {
        stage.settle().await?;
        stage.produce(kept).await?;
        stage.until_delivered().await?;
    }
    stage.join().await?;
    stage.settle().await?;
    stage.produce(args.records - half).await?;
    stage.until_read().await?;
    watcher.end().await;
    stage.end().await
}

/// What came of it.
struct Figures {
    verdict: Verdict,
    rebalances: usize,
    /// Measured once all have left.
    lag: u64,
    seconds: f64,
}

impl Figures {
    fn rate(&self) -> f64 {
        self.verdict.consumed as f64 / self.seconds.max(0.001)
    }

    /// The line of the contract.
    fn json(&self) -> String {
        let Verdict { produced, consumed, lost, duplicates } = self.verdict;
        format!(
            "{{\"produced\":{produced},\"consumed\":{consumed},\"lost\":{lost},\"duplicates\":{duplicates},\
             \"rebalances\":{},\"seconds\":{:.3},\"records_per_second\":{:.0},\"lag\":{}}}\n",
            self.rebalances,
            self.seconds,
            self.rate(),
            self.lag
        )
    }

    fn text(&self) -> String {
        let Verdict { produced, consumed, lost, duplicates } = self.verdict;
        format!(
            "produced    {} records, each acknowledged\nconsumed    {}\nlost        {}\nduplicates  {}\n\
             rebalances  {}, each member delivered in each\nlag         {}\ntime        {:.1} s, {} records/s\n",
            HumanCount(produced),
            HumanCount(consumed),
            HumanCount(lost),
            HumanCount(duplicates),
            self.rebalances,
            HumanCount(self.lag),
            self.seconds,
            HumanCount(self.rate() as u64)
        )
    }

    fn judge(&self) -> Result<(), Failure> {
        match self.verdict.lost {
            0 => Ok(()),
            lost => Err(Failure::failed(format!(
                "{lost} of {} acknowledged records were never delivered; this is a bug, unless --inject-loss hid it",
                self.verdict.produced
            ))),
        }
    }
}
