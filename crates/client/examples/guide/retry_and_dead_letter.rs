//! Retries in place, retry topics, dead letters: where a record goes that its handler does not manage.

use std::time::Duration;

use ottla::{
    Consumer, HandlerError, Order, Processor, ProducerRecord, RetryPolicy,
    dead_letters::{self, DeadLetters},
    processor::{Message, ProcessorEvent, ProcessorEvents},
};

use crate::place::{Countdown, Failure, Place, text};

const PAYMENTS: [&str; 5] =
    ["12", "13, the line is busy", "14, the bank is closed", "fifteen", "16, to nobody"];

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    let topic = place.topic("payments", 1).await?;
    place.produce(PAYMENTS.map(|payment| ProducerRecord::to(&topic).key(payment).value(payment))).await?;

    let ended = Countdown::from(PAYMENTS.len());
    let mut processor = Processor::new(place.consumer(&topic))
        .order(Order::Key)
        // In place: two attempts, with little between.
        .retries(RetryPolicy::exponential(Duration::from_millis(20)..=Duration::from_millis(100)).attempts(2))
        // Then once more, a while later, from another topic.
        .retry_topics([Duration::from_millis(300)])
        // Then it waits for somebody who looks into it.
        .dead_letters(DeadLetters::new());
    let watching = tokio::spawn(watch(processor.events(), place.clone(), ended.clone()));
    let shared = (place.clone(), ended.clone());
    processor
        .each_message(move |message| {
            let (place, ended) = shared.clone();
            async move { pay(&message, &place, &ended) }
        })
        .run_until(ended.over())
        .await?;
    watching.await?;
    let mut letters = place.consumer(&format!("{topic}-dlt")).build().await?;
    show(&mut letters, place).await?;
    Ok(letters.close().await?)
}

/// Stands for the work.
fn pay(message: &Message, place: &Place, ended: &Countdown) -> Result<(), HandlerError> {
    let payment = text(message.value())?;
    let cents = payment.split(',').next().unwrap_or_default();
    // No attempt makes a number of it.
    let _: u64 = cents.parse().map_err(HandlerError::fatal)?;
    let is_retry = message.topic().contains("-retry-");
    match payment {
        "13, the line is busy" if message.attempt() == 1 => return Err("the line is busy".into()),
        "14, the bank is closed" if !is_retry => return Err("the bank is closed".into()),
        "16, to nobody" => return Err("there is no such account".into()),
        _ => place.tell(format!("paid {cents} in attempt {} from {}", message.attempt(), message.topic())),
    }
    ended.one();
    Ok(())
}

async fn watch(mut events: ProcessorEvents, place: Place, ended: Countdown) {
    while let Some(event) = events.next().await {
        if let ProcessorEvent::GivenUp { at, offset, topic, .. } = event {
            place.tell(format!("{at}, offset {offset}, went to {topic}"));
            if topic.ends_with("-dlt") {
                ended.one();
            }
        }
    }
}

/// Shows what is in the dead letters, and why.
async fn show(letters: &mut Consumer, place: &Place) -> Result<(), Failure> {
    for _ in 0..2 {
        let letter = letters.recv().await?.ok_or("closed")?;
        let origin = dead_letters::read(letter.headers().flatten()).ok_or("no dead letter")?;
        let (topic, offset, attempts, why) =
            (origin.topic?, origin.offset?, origin.attempts?, origin.message?);
        place.tell(format!("dead: offset {offset} of {topic}, after {attempts} attempts: {why}"));
    }
    Ok(())
}
