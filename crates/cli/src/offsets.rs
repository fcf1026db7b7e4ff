//! `-o`: where to begin, and where to stop, as kcat writes it.

use crate::failure::Failure;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Beginning,
    End,
    /// At the offset that the group committed.
    Stored,
    Offset(i64),
    /// So many records before the end.
    BeforeEnd(i64),
    /// At the first record that is no older, in milliseconds since 1970.
    Timestamp(i64),
}

/// All of `-o`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Offsets {
    pub(crate) start: Option<Start>,
    /// Before the first record that is no older, in milliseconds since 1970.
    pub(crate) until: Option<i64>,
}

impl Offsets {
    /// At most one start, and one stop.
    pub(crate) fn parse(values: &[String]) -> Result<Self, Failure> {
        let mut offsets = Self::default();
        for value in values {
            let twice = match value.strip_prefix("e@") {
                Some(time) => offsets.until.replace(number(time, value)?).is_some(),
                None => offsets.start.replace(start(value)?).is_some(),
            };
            if twice {
                return Err(Failure::usage(format!(
                    "-o {value}: given twice; one start and one e@MS at most"
                )));
            }
        }
        Ok(offsets)
    }
}

fn start(value: &str) -> Result<Start, Failure> {
    Ok(match value {
        "beginning" | "earliest" => Start::Beginning,
        "end" | "latest" => Start::End,
        "stored" => Start::Stored,
        _ => match (value.strip_prefix("s@"), value.strip_prefix('-')) {
            (Some(time), _) => Start::Timestamp(number(time, value)?),
            (None, Some(count)) => Start::BeforeEnd(number(count, value)?),
            (None, None) => Start::Offset(number(value, value)?),
        },
    })
}

fn number(digits: &str, whole: &str) -> Result<i64, Failure> {
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| all_digits).ok_or_else(|| {
        Failure::usage(format!("-o {whole}: not an offset; beginning, end, stored, N, -N, s@MS or e@MS"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(values: &[&str]) -> Result<Offsets, Failure> {
        Offsets::parse(&values.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn every_form_is_read() {
        for (value, expected) in [
            ("beginning", Start::Beginning),
            ("end", Start::End),
            ("earliest", Start::Beginning),
            ("latest", Start::End),
            ("stored", Start::Stored),
            ("42", Start::Offset(42)),
            ("-7", Start::BeforeEnd(7)),
            ("s@1700000000000", Start::Timestamp(1_700_000_000_000)),
        ] {
            assert_eq!(parse(&[value]).unwrap().start, Some(expected), "{value}");
        }
        assert_eq!(
            parse(&["s@5", "e@9"]).unwrap(),
            Offsets { start: Some(Start::Timestamp(5)), until: Some(9) }
        );
        assert_eq!(parse(&[]).unwrap(), Offsets::default());
    }

    #[test]
    fn anything_else_is_refused() {
        for wrong in ["", "-", "s@", "e@", "e@-1", "first", "--3", "+3", "1.5", "9223372036854775808"] {
            assert!(parse(&[wrong]).is_err(), "{wrong}");
        }
        assert!(parse(&["1", "2"]).is_err());
        assert!(parse(&["e@1", "e@2"]).is_err());
    }
}
