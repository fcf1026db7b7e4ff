//! Where offsets are moved to.

use std::fs;

use ottla::{Timestamp, admin::OffsetSpec};

use super::{
    csv::{self, Plans},
    time,
};
use crate::{args::ResetOffsetsArgs, epoch::now, failure::Failure};

/// One of the flags `--to-..`, with what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Earliest,
    Latest,
    Current,
    Offset(i64),
    Shift(i64),
    /// In milliseconds since 1970.
    Time(i64),
    File(Plans),
}

/// Their names: those of the flags.
const NAMES: [&str; 8] = [
    "to-earliest",
    "to-latest",
    "to-current",
    "to-offset",
    "shift-by",
    "to-datetime",
    "by-duration",
    "from-file",
];

/// What is known of a partition.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) committed: Option<i64>,
    pub(super) begin: i64,
    pub(super) end: i64,
    /// The first record of the time that was asked for, or later.
    pub(super) at_time: Option<i64>,
}

/// Where a partition goes, and why not where it was told to, if so.
pub(super) type Target = (i64, Option<&'static str>);

impl Mode {
    pub(super) fn of(args: &ResetOffsetsArgs) -> Result<Self, Failure> {
        if let Some(text) = &args.to_datetime {
            return Self::to_datetime("--to-datetime", text);
        }
        if let Some(text) = &args.by_duration {
            return Self::by_duration("--by-duration", text);
        }
        if let Some(file) = &args.from_file {
            let failed = |why: String| Failure::failed(format!("--from-file {}: {why}", file.display()));
            let text = fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
            return csv::read(&text, &args.groups).map(Self::File).map_err(failed);
        }
        Ok(match (args.to_offset, args.shift_by) {
            (Some(offset), _) => Self::Offset(offset),
            (None, Some(by)) => Self::Shift(by),
            _ if args.to_earliest => Self::Earliest,
            _ if args.to_latest => Self::Latest,
            _ => Self::Current,
        })
    }

    /// By the name of a flag, without its dashes, and what it is given. A file is given as its text.
    pub(super) fn named(flag: &str, text: Option<&str>, groups: &[String]) -> Result<Self, Failure> {
        let given = || text.ok_or_else(|| Failure::usage(format!("{flag}: it needs a value")));
        let number = || {
            let text = given()?;
            text.parse().map_err(|_| usage(flag, text, "expected a whole number"))
        };
        let mode = match flag {
            "to-earliest" => Self::Earliest,
            "to-latest" => Self::Latest,
            "to-current" => Self::Current,
            "to-offset" => return number().map(Self::Offset),
            "shift-by" => return number().map(Self::Shift),
            "to-datetime" => return Self::to_datetime(flag, given()?),
            "by-duration" => return Self::by_duration(flag, given()?),
            "from-file" => {
                let plans = csv::read(given()?, groups);
                return plans.map(Self::File).map_err(|why| Failure::usage(format!("{flag}: {why}")));
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{flag}: no way to reset; the ways are {}",
                    NAMES.join(", ")
                )));
            }
        };
        match text {
            Some(text) => Err(usage(flag, text, "it takes no value")),
            None => Ok(mode),
        }
    }

    fn to_datetime(flag: &str, text: &str) -> Result<Self, Failure> {
        time::millis(text).map(Self::Time).map_err(|why| usage(flag, text, &why))
    }

    fn by_duration(flag: &str, text: &str) -> Result<Self, Failure> {
        let ago = time::duration(text).map_err(|why| usage(flag, text, &why))?;
        Ok(Self::Time(now().saturating_sub(ago)))
    }

    /// What the leaders of partitions are asked for, beside where the logs begin and end. What lies before 1970 would mean another
    /// thing to them.
    pub(super) fn spec(&self) -> Option<OffsetSpec> {
        match self {
            Self::Time(millis) => Some(OffsetSpec::Timestamp(Timestamp((*millis).max(0)))),
            _ => None,
        }
    }

    /// Where a partition goes. `of_file` is what the file says. Fails where a commit is needed, and there is none.
    pub(super) fn target(&self, known: Known, of_file: Option<i64>) -> Result<Target, &'static str> {
        let within = |offset: i64| match offset {
            offset if offset < known.begin => (known.begin, Some("raised to the log's begin")),
            offset if offset > known.end => (known.end, Some("lowered to the log's end")),
            offset => (offset, None),
        };
        Ok(match self {
            Self::Earliest => (known.begin, None),
            Self::Latest => (known.end, None),
            Self::Current => match known.committed {
                Some(committed) => (committed, None),
                None => (known.end, Some("no commit: the log's end")),
            },
            Self::Offset(offset) => within(*offset),
            Self::Shift(by) => {
                let committed =
                    known.committed.ok_or("no committed offset to shift; give it one with --to-..")?;
                within(committed.saturating_add(*by))
            }
            Self::Time(_) => match known.at_time {
                Some(offset) => (offset, None),
                None => (known.end, Some("no record that late: the log's end")),
            },
            Self::File(_) => within(of_file.ok_or("not in the file")?),
        })
    }
}

fn usage(flag: &str, text: &str, why: &str) -> Failure {
    Failure::usage(format!("{flag} {text}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: Known = Known { committed: Some(8), begin: 6, end: 10, at_time: None };

    fn to(mode: &Mode, known: Known) -> Result<i64, &'static str> {
        mode.target(known, None).map(|(offset, _)| offset)
    }

    #[test]
    fn offsets_stay_within_the_log() {
        for (mode, expected) in [
            (Mode::Earliest, 6),
            (Mode::Latest, 10),
            (Mode::Current, 8),
            (Mode::Offset(7), 7),
            (Mode::Offset(-3), 6),
            (Mode::Offset(25), 10),
            (Mode::Shift(1), 9),
            (Mode::Shift(-5), 6),
            (Mode::Shift(i64::MAX), 10),
            (Mode::Time(5), 10),
        ] {
            assert_eq!(to(&mode, LOG), Ok(expected), "{mode:?}");
        }
        assert_eq!(to(&Mode::Time(5), Known { at_time: Some(7), ..LOG }), Ok(7));
        assert_eq!(Mode::File(Plans::new()).target(LOG, Some(2)), Ok((6, Some("raised to the log's begin"))));
    }

    #[test]
    fn the_current_offset_stays_where_it_is_also_outside_of_the_log() {
        for committed in [2, 25] {
            assert_eq!(to(&Mode::Current, Known { committed: Some(committed), ..LOG }), Ok(committed));
        }
        assert_eq!(to(&Mode::Current, Known { committed: None, ..LOG }), Ok(10));
        assert_eq!(
            to(&Mode::Shift(-1), Known { committed: Some(25), ..LOG }),
            Ok(10),
            "back from beyond the end"
        );
    }

    #[test]
    fn what_was_never_committed_cannot_be_shifted() {
        assert!(to(&Mode::Shift(1), Known { committed: None, ..LOG }).is_err());
    }
}
