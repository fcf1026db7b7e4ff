//! What a consumer's machine does for each fetch response: `turn assigned|member PARTITIONS RESPONSES`. A cluster of three
//! brokers answers at once and in turn, each time with one record of one partition, which the user reads. `assigned` has no
//! group; `member` is one of a group, and commits by itself.

mod cluster;

use anyhow::{Context, Result, bail};
use ottla_core::{
    Consumer, ConsumerConfig, Filter, GroupConfig, Look, Machine, Reader, ReaderConfig, ResetPolicy,
};

use cluster::{Cluster, Frame, partitions};

/// What passes of the clock from one response to the next.
const PASSES: std::time::Duration = std::time::Duration::from_millis(1);

pub(crate) fn run(args: &[String]) -> Result<()> {
    let [what, partitions, responses] = args else {
        bail!("usage: turn assigned|member PARTITIONS RESPONSES")
    };
    let member = match what.as_str() {
        "assigned" => false,
        "member" => true,
        _ => bail!("assigned or member"),
    };
    println!("{}", turn(member, partitions.parse()?, responses.parse()?)?);
    Ok(())
}

/// Returns how many records were read.
fn turn(member: bool, count: usize, responses: usize) -> Result<usize> {
    let (mut cluster, mut now) = (Cluster::new(count), cluster::start());
    let mut config = ConsumerConfig::new(vec![cluster::address(1)]);
    config.reset = ResetPolicy::Earliest;
    if member {
        config.group = Some(GroupConfig::new("g"));
        config.auto_commit = Some(std::time::Duration::from_secs(5));
    }
    let mut consumer: Consumer<Frame> = Consumer::new(config, now);
    let reading = ReaderConfig { check_crcs: false, max_decompressed: 1 << 20 };
    let mut reader = Reader::new(&mut consumer, reading, now);
    match member {
        true => consumer.subscribe(partitions(count).map(|at| at.topic), now)?,
        false => consumer.assign(partitions(count), now)?,
    }
    cluster.answer_all(&mut consumer, now);
    let mut read = 0;
    for _ in 0..responses {
        now = now.after(PASSES);
        if consumer.poll_timeout().is_some_and(|deadline| deadline <= now.mono) {
            consumer.handle_timeout(now);
        }
        let size = cluster.bring(&mut consumer, now).context("no fetch is under way")?;
        cluster.answer_all(&mut consumer, now);
        read += read_all(&mut reader, &mut consumer, now)?;
        consumer.handle_released(size);
        if consumer.take_stir() {
            cluster.answer_all(&mut consumer, now);
        }
    }
    Ok(read)
}

fn read_all(
    reader: &mut Reader<Frame>,
    consumer: &mut Consumer<Frame>,
    now: ottla_protocol::Now,
) -> Result<usize> {
    let mut read = 0;
    loop {
        if reader.next_at_hand().is_some() {
            read += 1;
            continue;
        }
        match reader.look(consumer, &Filter::All, now) {
            Some(Look::Read) => read += usize::from(reader.advance().is_some()),
            None => return Ok(read),
            other => bail!("{other:?}"),
        }
    }
}
