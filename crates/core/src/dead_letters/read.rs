//! What the headers of a dead letter tell, whoever wrote it.

use std::{borrow::Cow, fmt};

use ottla_protocol::{
    Timestamp,
    records::{Header, TimestampType},
};

use super::{
    FailedRecord, Profile, connect,
    encoding::{decimal, from_minimal, from_timestamp_type, int, long, time, utf8},
    kip1191, spring,
};

/// What a dead letter's headers tell. Each field stands for itself: one that is not there, or that does not read, hides no
/// other.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Origin<'a> {
    /// Whose headers these are.
    pub profile: Profile,
    /// The topic that the record was in.
    pub topic: Result<&'a str, Unreadable>,
    /// The partition that it was in.
    pub partition: Result<i32, Unreadable>,
    /// Its offset there.
    pub offset: Result<i64, Unreadable>,
    /// Its timestamp there: Spring's profiles tell it.
    pub timestamp: Result<Timestamp, Unreadable>,
    /// What that timestamp meant: Spring's profiles tell it.
    pub timestamp_type: Result<TimestampType, Unreadable>,
    /// The group that gave it up; of Connect, the connector.
    pub group: Result<&'a str, Unreadable>,
    /// How often it was handed to its handler. Connect does not tell it, and Spring's dead letters only where the delivery attempt
    /// header is on, as it is in ours.
    pub attempts: Result<u32, Unreadable>,
    /// When it is, or was, to be handled again: [`Profile::SpringRetry`] tells it.
    pub due: Result<Timestamp, Unreadable>,
    /// What the error said, with U+FFFD for what is not UTF-8.
    pub message: Result<Cow<'a, str>, Unreadable>,
    /// The type of the error, or its class in Java. KIP-1191 does not tell it.
    pub error_type: Result<Cow<'a, str>, Unreadable>,
    /// The type of its cause: Spring's profiles tell it.
    pub cause_type: Result<Cow<'a, str>, Unreadable>,
    /// The chain of errors a line each, or Java's stack trace. KIP-1191 does not tell it.
    pub trace: Result<Cow<'a, str>, Unreadable>,
    /// The record's own headers, in order: without those of the profile. Of several headers of one name the last is the
    /// profile's, and the others are the record's own; of what Spring's retry topics add again and again none is.
    pub own_headers: Vec<Header<'a>>,
}

/// Why a header of a dead letter does not tell what it is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unreadable {
    /// There is no such header, it says that it is not known, or the profile has none.
    NotTold,
    /// Its value is null.
    Null,
    /// It is to be text, and is not UTF-8.
    NotUtf8,
    /// It is to be a number in decimal that its type can hold, and is not.
    NotANumber,
    /// It is not as long as a number of its kind; this is its length in bytes.
    Length(usize),
    /// It is a number that means nothing there.
    OutOfRange,
    /// It is to name the type of a timestamp, and does not.
    NotATimestampType,
}

impl<'a> Origin<'a> {
    /// Reads the headers of a dead letter, or of a record in one of Spring's retry topics, as [`read`] does.
    pub fn of(letter: &FailedRecord<'a>) -> Option<Self> {
        read(letter.headers.iter().copied())
    }

    /// The record that the letter was made of: in its first place, with its own headers. `None` where topic, partition or offset is
    /// not told. Its timestamp is `None` where it is not told: by KIP-1191.
    pub fn record(&self, letter: &FailedRecord<'a>) -> Option<FailedRecord<'a>> {
        let timestamp = match self.profile {
            // Connect leaves it on the letter.
            Profile::Connect => letter.timestamp,
            Profile::Kip1191 | Profile::Spring | Profile::SpringRetry => self.timestamp.ok(),
        };
        Some(FailedRecord {
            timestamp,
            timestamp_type: self.timestamp_type.unwrap_or(TimestampType::CreateTime),
            key: letter.key,
            value: letter.value,
            headers: self.own_headers.clone(),
            ..FailedRecord::new(self.topic.ok()?, self.partition.ok()?, self.offset.ok()?)
        })
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTold => f.write_str("not told"),
            Self::Null => f.write_str("null"),
            Self::NotUtf8 => f.write_str("not UTF-8"),
            Self::NotANumber => f.write_str("not a number in decimal that fits"),
            Self::Length(bytes) => write!(f, "a number of {bytes} bytes"),
            Self::OutOfRange => f.write_str("a number that means nothing there"),
            Self::NotATimestampType => f.write_str("no type of a timestamp"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads the headers of a dead letter, or of a record in one of Spring's retry topics; `None` where no header is of any profile.
///
/// Where there are headers of several profiles, the last header that is of one decides: the newest dead letter is told, and what
/// it was before is among its own headers. Nothing that stands in a header fails the call.
pub fn read<'a>(headers: impl IntoIterator<Item = Header<'a>>) -> Option<Origin<'a>> {
    let headers: Vec<Header<'a>> = headers.into_iter().collect();
    let profile = headers.iter().rev().find_map(|header| profile_of(header.key))?;
    let told = Told { headers: &headers };
    let origin = match profile {
        Profile::Kip1191 => told.kip1191(),
        Profile::Spring => told.spring(profile, &spring::DEAD_LETTERS),
        Profile::SpringRetry => told.spring(profile, &spring::RETRY_TOPICS),
        Profile::Connect => told.connect(),
    };
    Some(Origin { own_headers: own(profile, &headers), ..origin })
}

/// The profile that alone has a header of this name.
fn profile_of(key: &[u8]) -> Option<Profile> {
    let is_of = |names: &[&str]| names.iter().any(|name| name.as_bytes() == key);
    [
        (Profile::Kip1191, is_of(&kip1191::NAMES)),
        (Profile::Spring, is_of(&spring::DEAD_LETTERS.own())),
        (Profile::SpringRetry, is_of(&spring::RETRY_TOPICS.own()) || is_of(&spring::RETRY_NAMES)),
        (Profile::Connect, is_of(&connect::NAMES)),
    ]
    .into_iter()
    .find_map(|(profile, is_its)| is_its.then_some(profile))
}

/// The headers without the last one of each name of the profile, and without any that each hop adds.
fn own<'a>(profile: Profile, headers: &[Header<'a>]) -> Vec<Header<'a>> {
    let dead_letters = spring::DEAD_LETTERS.own();
    let retry_topics = spring::RETRY_TOPICS.own();
    let (last, each): (&[&str], &[&str]) = match profile {
        Profile::Kip1191 => (&kip1191::NAMES, &[]),
        Profile::Spring => (&dead_letters, &[]),
        Profile::SpringRetry => (&retry_topics, &spring::RETRY_NAMES),
        Profile::Connect => (&connect::NAMES, &[]),
    };
    let of_both: &[&str] = match profile {
        Profile::Spring => &[spring::GROUP, spring::DELIVERY_ATTEMPT],
        Profile::SpringRetry => &[spring::GROUP],
        Profile::Kip1191 | Profile::Connect => &[],
    };
    let mut left: Vec<&[u8]> = last.iter().chain(of_both).map(|name| name.as_bytes()).collect();
    let mut own: Vec<Header<'a>> = Vec::with_capacity(headers.len());
    for header in headers.iter().rev() {
        if each.iter().any(|name| name.as_bytes() == header.key) {
            continue;
        }
        match left.iter().position(|name| *name == header.key) {
            Some(at) => drop(left.swap_remove(at)),
            None => own.push(*header),
        }
    }
    own.reverse();
    own
}

/// The headers of one dead letter, by name.
struct Told<'h, 'a> {
    headers: &'h [Header<'a>],
}

impl<'a> Told<'_, 'a> {
    /// The value of the last header of this name: the newest.
    fn value(&self, name: &str) -> Result<&'a [u8], Unreadable> {
        let last = self.headers.iter().rev().find(|header| header.key == name.as_bytes());
        last.ok_or(Unreadable::NotTold)?.value.ok_or(Unreadable::Null)
    }

    fn text(&self, name: &str) -> Result<&'a str, Unreadable> {
        utf8(self.value(name)?)
    }

    fn lossy(&self, name: &str) -> Result<Cow<'a, str>, Unreadable> {
        self.value(name).map(String::from_utf8_lossy)
    }

    fn decimal<T: std::str::FromStr>(&self, name: &str) -> Result<T, Unreadable> {
        decimal(self.value(name)?)
    }

    fn kip1191(&self) -> Origin<'a> {
        Origin {
            topic: self.text(kip1191::TOPIC),
            partition: self.decimal(kip1191::PARTITION),
            offset: self.decimal(kip1191::OFFSET),
            group: self.text(kip1191::GROUP),
            attempts: self.decimal(kip1191::DELIVERY_COUNT),
            message: self.lossy(kip1191::MESSAGE),
            ..nothing(Profile::Kip1191)
        }
    }

    fn connect(&self) -> Origin<'a> {
        Origin {
            topic: self.text(connect::TOPIC),
            partition: self.decimal(connect::PARTITION),
            offset: self.decimal(connect::OFFSET),
            group: self.text(connect::CONNECTOR_NAME),
            message: self.lossy(connect::MESSAGE),
            error_type: self.lossy(connect::EXCEPTION),
            trace: self.lossy(connect::STACKTRACE),
            ..nothing(Profile::Connect)
        }
    }

    fn spring(&self, profile: Profile, names: &spring::Names) -> Origin<'a> {
        let attempt = |name| self.value(name).and_then(spring::attempt);
        let millis = |name| self.value(name).and_then(from_minimal).and_then(time);
        Origin {
            topic: self.text(names.topic),
            partition: self.value(names.partition).and_then(int),
            offset: self.value(names.offset).and_then(long),
            timestamp: self.value(names.timestamp).and_then(long).and_then(time),
            timestamp_type: self.value(names.timestamp_type).and_then(from_timestamp_type),
            group: self.text(spring::GROUP),
            attempts: match profile {
                // The attempt to come is told.
                Profile::SpringRetry => {
                    let next = attempt(spring::ATTEMPTS);
                    next.and_then(|next| next.checked_sub(1).ok_or(Unreadable::OutOfRange))
                }
                _ => attempt(spring::DELIVERY_ATTEMPT),
            },
            due: match profile {
                Profile::SpringRetry => millis(spring::BACKOFF_TIMESTAMP),
                _ => Err(Unreadable::NotTold),
            },
            message: self.lossy(names.message).or_else(|_| self.lossy(names.key_message)),
            error_type: self.lossy(names.exception).or_else(|_| self.lossy(names.key_exception)),
            cause_type: self.lossy(names.cause),
            trace: self.lossy(names.stacktrace).or_else(|_| self.lossy(names.key_stacktrace)),
            ..nothing(profile)
        }
    }
}

fn nothing<'a>(profile: Profile) -> Origin<'a> {
    let untold = Unreadable::NotTold;
    Origin {
        profile,
        topic: Err(untold),
        partition: Err(untold),
        offset: Err(untold),
        timestamp: Err(untold),
        timestamp_type: Err(untold),
        group: Err(untold),
        attempts: Err(untold),
        due: Err(untold),
        message: Err(untold),
        error_type: Err(untold),
        cause_type: Err(untold),
        trace: Err(untold),
        own_headers: Vec::new(),
    }
}
