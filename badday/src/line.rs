//! What an actor tells on its standard output, a line each.

use std::{fmt, num::ParseIntError, str::FromStr};

/// Which record it is: who wrote it, in which of its lives, and its number. A writer of records by themselves numbers those of each
/// partition, one of transactions all of them: see [`Id::transaction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id {
    pub(crate) writer: u16,
    pub(crate) life: u16,
    pub(crate) number: u64,
}

/// How many records a transaction has at most.
pub(crate) const LARGEST_TRANSACTION: u64 = 16;

impl Id {
    /// Which transaction of its writer's life it belongs to.
    pub(crate) fn transaction(self) -> u64 {
        self.number / LARGEST_TRANSACTION
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.writer, self.life, self.number)
    }
}

impl FromStr for Id {
    type Err = Unread;

    fn from_str(text: &str) -> Result<Self, Unread> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(Unread);
        Ok(Self { writer: next()?.parse()?, life: next()?.parse()?, number: next()?.parse()? })
    }
}

/// What a record's value says, in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) id: Id,
    /// The partition that it was first written to.
    pub(crate) partition: i32,
    /// Its key's number; of a record in a transaction, how many records that has.
    pub(crate) key: u64,
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.partition, self.key)
    }
}

impl Value {
    /// The bytes of a record's value.
    pub(crate) fn parse(bytes: Option<&[u8]>) -> Result<Self, Unread> {
        std::str::from_utf8(bytes.unwrap_or_default()).map_err(|_| Unread)?.parse()
    }
}

impl FromStr for Value {
    type Err = Unread;

    fn from_str(text: &str) -> Result<Self, Unread> {
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or(Unread);
        Ok(Self { id: next()?.parse()?, partition: next()?.parse()?, key: next()?.parse()? })
    }
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Committed,
    Aborted,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// At least once in a [`TICK`](crate::actors::TICK), all before it being told: how many tasks its runtime has, and how many
    /// records were deleted before it had read them.
    Tick {
        tasks: u64,
        deleted: u64,
    },
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    Lost(Vec<i32>),
    /// A record was handed out.
    Got {
        partition: i32,
        offset: i64,
        value: Value,
    },
    /// All before this offset has been handed out.
    At {
        partition: i32,
        offset: i64,
    },
    /// A record of a writer is in the log.
    Acked {
        value: Value,
        offset: Option<i64>,
    },
    /// It may be in the log, or not.
    Failed {
        value: Value,
        why: String,
    },
    /// A transaction has ended; so many records it has.
    Ended {
        transaction: u64,
        end: End,
        records: u64,
    },
    /// A handler begins with a record.
    Began {
        partition: i32,
        offset: i64,
        key: u64,
        attempt: u32,
    },
    /// It has ended, and the record is done, or was dropped, or it has failed.
    Handled {
        partition: i32,
        offset: i64,
        key: u64,
        done: bool,
    },
    /// So many records were transformed in a transaction.
    Round(u64),
    /// What a client that waits gives as its reason.
    Why(String),
    /// An error that it goes on after.
    Error(String),
    /// Why it ends.
    Fatal(String),
}

fn list(partitions: &[i32]) -> String {
    partitions.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}

fn of_list(text: &str) -> Result<Vec<i32>, Unread> {
    text.split(',').filter(|part| !part.is_empty()).map(|part| Ok(part.parse()?)).collect()
}

fn flat(text: &str) -> String {
    text.replace(['\n', '\r'], "; ")
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick { tasks, deleted } => write!(f, "tick {tasks} {deleted}"),
            Self::Assigned(partitions) => write!(f, "assigned {}", list(partitions)),
            Self::Revoked(partitions) => write!(f, "revoked {}", list(partitions)),
            Self::Lost(partitions) => write!(f, "lost {}", list(partitions)),
            Self::Got { partition, offset, value } => write!(f, "got {partition} {offset} {value}"),
            Self::At { partition, offset } => write!(f, "at {partition} {offset}"),
            Self::Acked { value, offset } => write!(f, "acked {} {value}", offset.unwrap_or(-1)),
            Self::Failed { value, why } => write!(f, "failed {value} {}", flat(why)),
            Self::Ended { transaction, end, records } => {
                let end = match end {
                    End::Committed => "committed",
                    End::Aborted => "aborted",
                    End::Unknown => "unknown",
                };
                write!(f, "ended {transaction} {end} {records}")
            }
            Self::Began { partition, offset, key, attempt } => {
                write!(f, "began {partition} {offset} {key} {attempt}")
            }
            Self::Handled { partition, offset, key, done } => {
                write!(f, "handled {partition} {offset} {key} {}", u8::from(*done))
            }
            Self::Round(count) => write!(f, "round {count}"),
            Self::Why(why) => write!(f, "why {}", flat(why)),
            Self::Error(why) => write!(f, "error {}", flat(why)),
            Self::Fatal(why) => write!(f, "fatal {}", flat(why)),
        }
    }
}

impl FromStr for Told {
    type Err = Unread;

    fn from_str(line: &str) -> Result<Self, Unread> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let mut next = || words.next().ok_or(Unread);
        Ok(match word {
            "tick" => Self::Tick { tasks: next()?.parse()?, deleted: next()?.parse()? },
            "assigned" => Self::Assigned(of_list(rest)?),
            "revoked" => Self::Revoked(of_list(rest)?),
            "lost" => Self::Lost(of_list(rest)?),
            "got" => {
                let (partition, offset) = (next()?.parse()?, next()?.parse()?);
                Self::Got { partition, offset, value: rest.splitn(3, ' ').nth(2).ok_or(Unread)?.parse()? }
            }
            "at" => Self::At { partition: next()?.parse()?, offset: next()?.parse()? },
            "acked" => {
                let (offset, value) = rest.split_once(' ').ok_or(Unread)?;
                Self::Acked { value: value.parse()?, offset: Some(offset.parse()?).filter(|at| *at >= 0) }
            }
            "failed" => {
                let why = rest.splitn(4, ' ').nth(3).unwrap_or_default().to_owned();
                Self::Failed { value: rest.parse()?, why }
            }
            "ended" => Self::Ended {
                transaction: next()?.parse()?,
                end: match next()? {
                    "committed" => End::Committed,
                    "aborted" => End::Aborted,
                    "unknown" => End::Unknown,
                    _ => return Err(Unread),
                },
                records: next()?.parse()?,
            },
            "began" => Self::Began {
                partition: next()?.parse()?,
                offset: next()?.parse()?,
                key: next()?.parse()?,
                attempt: next()?.parse()?,
            },
            "handled" => Self::Handled {
                partition: next()?.parse()?,
                offset: next()?.parse()?,
                key: next()?.parse()?,
                done: next()? == "1",
            },
            "round" => Self::Round(next()?.parse()?),
            "why" => Self::Why(rest.to_owned()),
            "error" => Self::Error(rest.to_owned()),
            "fatal" => Self::Fatal(rest.to_owned()),
            _ => return Err(Unread),
        })
    }
}

/// A line, or a value, that is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unread;

impl From<ParseIntError> for Unread {
    fn from(_: ParseIntError) -> Self {
        Self
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not what an actor tells")
    }
}

impl std::error::Error for Unread {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again_as_it_was() {
        let value = Value { id: Id { writer: 1, life: 2, number: 35 }, partition: 4, key: 5 };
        for told in [
            Told::Tick { tasks: 3, deleted: 1 },
            Told::Assigned(vec![0, 5]),
            Told::Revoked(vec![]),
            Told::Lost(vec![7]),
            Told::Got { partition: 4, offset: 99, value },
            Told::At { partition: 4, offset: 100 },
            Told::Acked { value, offset: Some(8) },
            Told::Acked { value, offset: None },
            Told::Failed { value, why: "not acknowledged in time".to_owned() },
            Told::Ended { transaction: 2, end: End::Unknown, records: 7 },
            Told::Began { partition: 4, offset: 9, key: 5, attempt: 2 },
            Told::Handled { partition: 4, offset: 9, key: 5, done: true },
            Told::Round(12),
            Told::Why("orders-4: no leader".to_owned()),
            Told::Error("gone; for now".to_owned()),
            Told::Fatal("fenced".to_owned()),
        ] {
            assert_eq!(told.to_string().parse(), Ok(told));
        }
        assert_eq!(value.id.transaction(), 2);
        for line in ["", "got 1", "got 1 2 3", "ended 1 maybe 3", "tick x 0", "never"] {
            assert_eq!(line.parse::<Told>(), Err(Unread), "{line}");
        }
    }
}
