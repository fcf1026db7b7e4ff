//! Random records and random headers, from seeds: `OTTLA_SEED=N cargo test -p ottla-core dead_letters` replays one.

use std::{ops::Range, time::Duration};

use super::super::{
    DeadLetterHeader, DeadLetters, ErrorText, FailedRecord, Failure, Origin, Profile, RetryTopic, connect,
    encoding::{from_minimal, minimal},
    kip1191, read, spring,
};
use super::consumed;
use ottla_protocol::{
    Timestamp,
    records::{Header, TimestampType},
};

const PROFILES: [Profile; 4] = [Profile::Kip1191, Profile::Spring, Profile::SpringRetry, Profile::Connect];

fn seeds() -> Range<u64> {
    let chosen = std::env::var("OTTLA_SEED").ok().and_then(|seed| seed.parse().ok());
    chosen.map_or(0..2_000, |seed| seed..seed + 1)
}

/// Tells the seed, and the command that replays it, when the test fails.
struct Telling(u64);

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0}: OTTLA_SEED={0} cargo test -p ottla-core dead_letters", self.0);
        }
    }
}

fn for_each_seed(mut test: impl FnMut(&mut fastrand::Rng)) {
    for seed in seeds() {
        let _telling = Telling(seed);
        test(&mut fastrand::Rng::with_seed(seed));
    }
}

fn bytes(rng: &mut fastrand::Rng, most: usize) -> Option<Vec<u8>> {
    rng.u8(..5).checked_sub(1).map(|_| (0..rng.usize(..=most)).map(|_| rng.u8(..)).collect())
}

fn word(rng: &mut fastrand::Rng) -> String {
    (0..rng.usize(1..12)).map(|_| *rng.choice(&['a', 'Z', '9', '-', '.', 'ß', '→']).unwrap()).collect()
}

/// A number whose length in bits is random, so that small ones are as likely as large ones.
fn number(rng: &mut fastrand::Rng) -> i64 {
    rng.i64(..) >> rng.u32(..64)
}

#[test]
fn what_is_written_is_read_back_under_each_profile() {
    for_each_seed(|rng| {
        let (topic, group) = (word(rng), word(rng));
        let texts: Vec<String> = (0..rng.usize(1..4)).map(|_| word(rng)).collect();
        let own: Vec<_> = (0..rng.usize(..4)).map(|_| (word(rng).into_bytes(), bytes(rng, 9))).collect();
        let (key, value) = (bytes(rng, 20), bytes(rng, 20));
        let record = FailedRecord {
            // -1 is none.
            timestamp: Some(Timestamp(number(rng))).filter(|timestamp| timestamp.0 != -1),
            timestamp_type: TimestampType::CreateTime,
            key: key.as_deref(),
            value: value.as_deref(),
            headers: own.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect(),
            ..FailedRecord::new(&topic, rng.i32(..), number(rng))
        };
        let failure = Failure {
            errors: texts.iter().map(|text| ErrorText::new(text.as_str()).of_type("E")).collect(),
            ..Failure::after(rng.u32(..i32::MAX as u32)).of_group(group.as_str())
        };
        let now = Timestamp(number(rng));
        for profile in PROFILES {
            let letter = DeadLetters::new().profile(profile).letter(&record, &failure, rng.usize(..9), now);
            let consumed = consumed(&letter);
            let origin = Origin::of(&consumed).unwrap();
            assert_eq!((origin.profile, origin.group), (profile, Ok(group.as_str())));
            assert!(texts.iter().any(|text| origin.message.as_ref().unwrap().contains(text)));
            let counted = if profile == Profile::Connect { None } else { Some(failure.attempts) };
            assert_eq!(origin.attempts.ok(), counted, "{profile:?}");
            if profile == Profile::SpringRetry && now.0 != -1 {
                assert_eq!(origin.due, Ok(now));
            }
            let back = origin.record(&consumed).unwrap();
            let timestamp = match profile {
                Profile::Kip1191 => None,
                Profile::Connect => Some(record.timestamp.unwrap_or(now)),
                _ => record.timestamp,
            };
            assert_eq!(back, FailedRecord { timestamp, ..record.clone() }, "{profile:?}");
        }
    });
}

#[test]
fn hops_between_retry_topics_end_with_the_origin_that_they_began_with() {
    for_each_seed(|rng| {
        let topic = word(rng);
        let record = FailedRecord {
            timestamp: Some(Timestamp(rng.i64(0..))),
            ..FailedRecord::new(&topic, rng.i32(0..), rng.i64(0..))
        };
        let letters = DeadLetters::new().profile(Profile::SpringRetry);
        // Of the record where it is now.
        let mut headers: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        let hops = rng.u32(1..5);
        for attempt in 1..=hops {
            let (delay, error) = (Duration::from_millis(rng.u64(..100_000)), word(rng));
            let errors = vec![ErrorText::new(error.as_str())];
            let now = Timestamp(rng.i64(0..1 << 45));
            let hopped = if attempt == 1 { record.clone() } else { waiting(&headers) };
            let letter =
                letters.retry(&hopped, &Failure { errors, ..Failure::after(attempt) }, delay, 1, now);
            assert_eq!(letter.topic, RetryTopic::new(&topic, delay).to_string());
            let own = |header: &DeadLetterHeader<'_>| {
                (header.key.to_vec(), header.value.as_deref().map(<[u8]>::to_vec))
            };
            headers = letter.headers.iter().map(own).collect();
            let origin = read(waiting(&headers).headers).unwrap();
            assert_eq!(origin.due, Ok(RetryTopic::new(&topic, delay).due(now)));
            assert_eq!((origin.attempts, origin.message.as_deref()), (Ok(attempt), Ok(error.as_str())));
        }
        let last = waiting(&headers);
        assert_eq!(Origin::of(&last).unwrap().record(&last), Some(record));
        let times = headers.iter().filter(|header| header.0 == b"retry_topic-attempts").count();
        assert_eq!(times, hops as usize);
    });
}

/// A record in a retry topic, with these headers.
fn waiting(headers: &[(Vec<u8>, Option<Vec<u8>>)]) -> FailedRecord<'_> {
    let headers = headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
    FailedRecord { headers, ..FailedRecord::new("orders-retry", 0, 0) }
}

#[test]
fn any_headers_are_read_and_written_on_without_a_panic() {
    let dead_letters = spring::DEAD_LETTERS.own();
    let retry_topics = spring::RETRY_TOPICS.own();
    let both = [spring::GROUP, spring::DELIVERY_ATTEMPT];
    let names: Vec<&str> = [&kip1191::NAMES[..], &connect::NAMES, &spring::RETRY_NAMES, &both]
        .into_iter()
        .chain([&dead_letters[..], &retry_topics])
        .flatten()
        .copied()
        .collect();
    for_each_seed(|rng| {
        let made: Vec<_> =
            (0..rng.usize(..12)).map(|_| (*rng.choice(&names).unwrap(), bytes(rng, 10))).collect();
        let headers: Vec<_> = made
            .iter()
            .map(|(name, value)| Header { key: name.as_bytes(), value: value.as_deref() })
            .collect();
        let Some(origin) = read(headers.iter().copied()) else { return };
        // What is its own stays, in order.
        let mut rest = headers.iter();
        assert!(origin.own_headers.iter().all(|own| rest.any(|header| header == own)));
        let record = FailedRecord { headers, ..FailedRecord::new("orders", rng.i32(..), rng.i64(..)) };
        origin.record(&record);
        for profile in PROFILES {
            let letters = DeadLetters::new().profile(profile);
            let failure = Failure::after(rng.u32(..));
            let delay = Duration::from_millis(rng.u64(..));
            let letter = letters.letter(&record, &failure, rng.usize(..), Timestamp(rng.i64(..)));
            assert!(Origin::of(&consumed(&letter)).is_some());
            letters.retry(&record, &failure, delay, rng.usize(..), Timestamp(rng.i64(..)));
        }
    });
}

#[test]
fn a_number_of_minimal_length_is_as_javas_and_reads_back() {
    let javas: [(i64, &[u8]); 9] = [
        (0, &[0]),
        (-1, &[0xff]),
        (127, &[0x7f]),
        (128, &[0, 0x80]),
        (-128, &[0x80]),
        (-129, &[0xff, 0x7f]),
        (1_700_000_000_000, &[0x01, 0x8b, 0xcf, 0xe5, 0x68, 0]),
        (i64::MAX, &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        (i64::MIN, &[0x80, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (number, bytes) in javas {
        assert_eq!(minimal(number), bytes, "{number}");
    }
    for_each_seed(|rng| {
        let number = number(rng);
        assert_eq!(from_minimal(&minimal(number)), Ok(number));
    });
}
