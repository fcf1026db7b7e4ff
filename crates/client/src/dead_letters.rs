//! Dead letters: records that a handler gave up, in a topic where people look after them.
//!
//! [`DeadLetters::letter`] makes the record to write, with headers that tell where it was and why it was given up; [`read`] reads
//! those headers, whoever wrote them: Ottla, Kafka's share groups (KIP-1191), Spring Kafka, or Kafka Connect. The page
//! `docs/dead-letters.md` has each header with its encoding.
//!
//! ```
//! use ottla::dead_letters::{DeadLetters, FailedRecord, Failure, Profile, read};
//! # use ottla::{DetachedRecord, ProducerRecord};
//!
//! # fn charge(_: &DetachedRecord) -> Result<(), std::io::Error> { Err(std::io::Error::other("card expired")) }
//! # let mut record = DetachedRecord::new(("orders", 3), 42);
//! # record.value = Some(b"espresso".to_vec());
//! # let partitions = 2;
//! let letters = DeadLetters::new().profile(Profile::Spring);
//! let error = charge(&record).unwrap_err();
//! let failed = FailedRecord::from(&record);
//! let failure = Failure::after(5).of_group("billing").because_of(&error);
//! let now = std::time::SystemTime::now();
//! let letter = letters.letter(&failed, &failure, partitions, now.into());
//! assert_eq!((letter.topic.as_str(), letter.partition), ("orders-dlt", Some(1)));
//!
//! // What a producer is to send.
//! let sent = ProducerRecord::from(letter);
//!
//! // And what is read from that topic later.
//! let origin = read(sent.parts().headers).ok_or("no dead letter")?;
//! assert_eq!((origin.topic, origin.partition, origin.offset), (Ok("orders"), Ok(3), Ok(42)));
//! assert_eq!((origin.attempts, origin.message.as_deref()), (Ok(5), Ok("card expired")));
//! # Ok::<(), &str>(())
//! ```

pub use ottla_core::dead_letters::{
    DeadLetter, DeadLetterHeader, DeadLetters, ErrorText, FailedRecord, Failure, Origin, Profile, RetryTopic,
    TEXT_MAX, Unreadable, read,
};
use ottla_protocol::records::Header;

use crate::{
    consumer::{DetachedRecord, OwnedRecord, Record},
    producer::ProducerRecord,
};

macro_rules! failed {
    ($($record:ty),*) => {$(
        impl<'a> From<$record> for FailedRecord<'a> {
            /// Headers that cannot be read are left out.
            fn from(record: $record) -> Self {
                let mut failed = Self::new(record.topic(), record.partition(), record.offset());
                failed.timestamp = record.timestamp();
                failed.timestamp_type = record.timestamp_type();
                failed.key = record.key();
                failed.value = record.value();
                failed.headers = record.headers().filter_map(Result::ok).collect();
                failed
            }
        }
    )*};
}
failed!(&'a Record<'a>, &'a OwnedRecord);

impl<'a> From<&'a DetachedRecord> for FailedRecord<'a> {
    fn from(record: &'a DetachedRecord) -> Self {
        let at = &record.topic_partition;
        let mut failed = Self::new(&at.topic, at.partition, record.offset);
        failed.timestamp = record.timestamp;
        failed.timestamp_type = record.timestamp_type;
        failed.key = record.key.as_deref();
        failed.value = record.value.as_deref();
        failed.headers =
            record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        failed
    }
}

impl<'a> From<DeadLetter<'a>> for ProducerRecord<'a> {
    fn from(letter: DeadLetter<'a>) -> Self {
        let record = Self::to(letter.topic).key(letter.key).value(letter.value).timestamp(letter.timestamp);
        let record =
            letter.headers.into_iter().fold(record, |record, header| record.header(header.key, header.value));
        match letter.partition {
            Some(partition) => record.partition(partition),
            None => record,
        }
    }
}
