//! Scaling a group out: a second member comes, takes half of the partitions, and nothing is handled twice.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ottla::{HandlerError, ProcessError, Processor, ProducerRecord};
use tokio::{sync::watch, task::JoinHandle};

use crate::place::{Failure, Place};

const PARTITIONS: i32 = 4;

/// Who handled what: partition and offset.
#[derive(Default)]
struct Handled(Vec<(&'static str, i32, i64)>);

impl Handled {
    fn count(&self, member: &str) -> usize {
        self.0.iter().filter(|(who, ..)| *who == member).count()
    }

    /// What a member has handled.
    fn of(&self, member: &str) -> String {
        let partitions: BTreeSet<i32> =
            self.0.iter().filter(|(who, ..)| *who == member).map(|(_, partition, _)| *partition).collect();
        format!("{member} handled {} records of the partitions {partitions:?}", self.count(member))
    }
}

type Shared = Arc<Mutex<Handled>>;

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    let topic = place.topic("clicks", PARTITIONS).await?;
    let shared = Shared::default();
    let look = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let (stop, stopped) = watch::channel(false);

    let one = member("one", place, &topic, &shared, stopped.clone());
    click(place, &topic, 100).await?;
    while look().0.len() < 100 * PARTITIONS as usize {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let alone = std::mem::take(&mut *look());
    place.tell(format!("alone: {}", alone.of("one")));

    let two = member("two", place, &topic, &shared, stopped);
    // Clicks come in all the while, so also while partitions change hands.
    let mut written = 0;
    while look().count("two") < 100 {
        written += click(place, &topic, 1).await?;
    }
    while look().0.len() < written {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send_replace(true);
    one.await??;
    two.await??;
    let mut together = std::mem::take(&mut *look());
    place.tell(format!("together: {}", together.of("one")));
    place.tell(format!("together: {}", together.of("two")));
    together.0.extend(alone.0);
    let records: BTreeSet<(i32, i64)> = together.0.iter().map(|(_, at, offset)| (*at, *offset)).collect();
    place.tell(format!("{} were handled twice", together.0.len() - records.len()));
    Ok(())
}

/// In a program of yours a member is a process.
fn member(
    name: &'static str,
    place: &Place,
    topic: &str,
    handled: &Shared,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<Result<(), ProcessError>> {
    let handled = handled.clone();
    let process = Processor::new(place.consumer(topic)).each_message(move |message| {
        let mut handled = handled.lock().unwrap_or_else(PoisonError::into_inner);
        handled.0.push((name, message.partition(), message.offset()));
        std::future::ready(Ok::<_, HandlerError>(()))
    });
    tokio::spawn(async move { process.run_until(stopped.wait_for(|is_stopped| *is_stopped)).await })
}

/// So many records to each partition: how many that is.
async fn click(place: &Place, topic: &str, each: usize) -> Result<usize, Failure> {
    let partitions = (0..PARTITIONS).flat_map(|partition| std::iter::repeat_n(partition, each));
    let clicks = partitions.map(|partition| ProducerRecord::to(topic).partition(partition).value("click"));
    place.produce(clicks).await?;
    Ok(each * PARTITIONS as usize)
}
