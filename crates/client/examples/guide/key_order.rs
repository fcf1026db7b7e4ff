//! Order by key: the records of one key one after the other, different keys at once, and a slow key holds up only itself.

use std::time::Duration;

use ottla::{HandlerError, Order, Processor, ProducerRecord, processor::Message};

use crate::place::{Countdown, Failure, Place, text};

const CUSTOMERS: [&str; 3] = ["alice", "bob", "carol"];

pub(crate) async fn run(place: &Place) -> Result<(), Failure> {
    // All in one partition, so that by partition each would wait for the one before.
    let topic = place.topic("orders", 1).await?;
    let orders = ["1st", "2nd", "3rd"].iter().flat_map(|nth| CUSTOMERS.map(|customer| (customer, *nth)));
    place.produce(orders.map(|(customer, nth)| ProducerRecord::to(&topic).key(customer).value(nth))).await?;

    let left = Countdown::from(9);
    let shared = (place.clone(), left.clone());
    Processor::new(place.consumer(&topic))
        .order(Order::Key)
        .concurrency(8)
        .each_message(move |message| {
            let (place, left) = shared.clone();
            async move { serve(&message, &place, &left).await }
        })
        .run_until(left.over())
        .await?;
    Ok(())
}

/// Stands for the work: alice's takes long.
async fn serve(message: &Message, place: &Place, left: &Countdown) -> Result<(), HandlerError> {
    let (customer, nth) = (text(message.key())?, text(message.value())?);
    let is_slow = customer == "alice";
    tokio::time::sleep(Duration::from_millis(if is_slow { 200 } else { 10 })).await;
    place.tell(format!("{customer}'s {nth} order, offset {}", message.offset()));
    left.one();
    Ok(())
}
