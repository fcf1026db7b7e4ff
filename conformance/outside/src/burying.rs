//! Dead letters, written and read.

use std::{borrow::Cow, time::Duration};

use ottla::{
    DetachedRecord, Header, ProducerRecord, Timestamp,
    dead_letters::{
        DeadLetter, DeadLetterHeader, DeadLetters, ErrorText, FailedRecord, Failure, Origin, Profile,
        RetryTopic, TEXT_MAX, Unreadable, read,
    },
};

use crate::{Outcome, equal};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(crate) fn all() -> Outcome {
    let mut record = DetachedRecord::new(("orders", 3), 42);
    record.value = Some(b"espresso".to_vec());
    let record = failed(&record);
    let letter = letters(Profile::Spring).letter(&record, &failure(), 2, NOW);
    equal((letter.topic.as_str(), letter.partition), ("orders-dlt", Some(1)))?;
    equal(names(&letter.headers).len(), 9)?;
    let sent = sent(letter);
    let origin = told(sent.parts().headers).ok_or("no dead letter")?;
    equal(place(&origin), (Ok("orders"), Ok(3), Ok(42)))?;
    equal(origin.message.as_deref(), Ok("card expired"))?;
    equal(message(TEXT_MAX).message.len(), TEXT_MAX)?;

    let minute = waiting("orders", Duration::from_secs(60));
    equal(minute.to_string().as_str(), "orders-retry-60000")?;
    equal(minute.due(NOW), Timestamp(NOW.0 + 60_000))
}

fn failed(record: &DetachedRecord) -> FailedRecord<'_> {
    record.into()
}

fn letters(profile: Profile) -> DeadLetters {
    DeadLetters::new().profile(profile)
}

fn failure() -> Failure<'static> {
    Failure::after(5).of_group("billing").because_of(&std::io::Error::other("card expired"))
}

fn message(length: usize) -> ErrorText<'static> {
    ErrorText::new(Cow::Owned("x".repeat(length))).of_type("CardExpired")
}

fn names<'a>(headers: &[DeadLetterHeader<'a>]) -> Vec<&'a [u8]> {
    headers.iter().map(|header| header.key).collect()
}

fn sent(letter: DeadLetter<'_>) -> ProducerRecord<'_> {
    letter.into()
}

fn told(headers: Vec<Header<'_>>) -> Option<Origin<'_>> {
    read(headers)
}

type Place<'a> = (Result<&'a str, Unreadable>, Result<i32, Unreadable>, Result<i64, Unreadable>);

fn place<'a>(origin: &Origin<'a>) -> Place<'a> {
    (origin.topic, origin.partition, origin.offset)
}

fn waiting(topic: &str, delay: Duration) -> RetryTopic<'_> {
    RetryTopic::new(topic, delay)
}
