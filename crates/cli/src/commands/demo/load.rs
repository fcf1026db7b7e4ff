//! The records: each says which partition it was sent to, and which one it is there.

use ottla::{
    Producer,
    producer::{ProducerRecord, TrySendError},
};

use super::{TOPIC, checker::Seen};
use crate::failure::Failure;

/// How long a value is.
const VALUE: usize = 100;
/// Larger than the default: there is always more to send.
const BATCH: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Load {
    producer: Producer,
    /// How many records were sent to each partition.
    sent: Vec<u32>,
    next: usize,
}

impl Load {
    pub(super) async fn new(bootstrap: &str, partitions: u32) -> Result<Self, Failure> {
        let producer = Producer::builder().bootstrap_servers([bootstrap]).batch_size(BATCH).build().await?;
        Ok(Self { producer, sent: vec![0; partitions as usize], next: 0 })
    }

    /// Sends records to all partitions in turn. When it returns, each is acknowledged.
    pub(super) async fn send(&mut self, count: u32) -> Result<(), Failure> {
        for _ in 0..count {
            let partition = self.next;
            self.next = (self.next + 1) % self.sent.len();
            let Some(sequence) = self.sent.get_mut(partition) else { continue };
            let value = encode((partition as u32, *sequence));
            *sequence += 1;
            let record = ProducerRecord::to(TOPIC).partition(partition as i32).value(&value[..]);
            match self.producer.try_send(record) {
                // Whether it failed is asked by the flush.
                Ok(delivery) => drop(delivery),
                Err(TrySendError::NotNow(record)) => drop(self.producer.send(record).await?),
                Err(TrySendError::Failed(error)) => return Err(error.into()),
            }
        }
        Ok(self.producer.flush().await?)
    }

    /// How many records of each partition were acknowledged.
    pub(super) async fn end(self) -> Result<Vec<u32>, Failure> {
        self.producer.close().await?;
        Ok(self.sent)
    }
}

fn encode((partition, sequence): Seen) -> [u8; VALUE] {
    let mut value = [b'.'; VALUE];
    for (to, from) in value.iter_mut().zip(partition.to_be_bytes().into_iter().chain(sequence.to_be_bytes()))
    {
        *to = from;
    }
    value
}

/// What a value says. `None` where it is none of these.
pub(super) fn decode(value: Option<&[u8]>) -> Option<Seen> {
    let (partition, rest) = value.filter(|value| value.len() == VALUE)?.split_first_chunk()?;
    Some((u32::from_be_bytes(*partition), u32::from_be_bytes(*rest.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_says_which_record_it_is() {
        assert_eq!(decode(Some(&encode((7, 123_456)))), Some((7, 123_456)));
        assert_eq!(decode(Some(b"another")), None);
        assert_eq!(decode(None), None);
    }
}
