//! Values of properties: from text, and within their limits.

use std::{fmt::Display, ops::RangeInclusive, str::FromStr, time::Duration};

use ottla_protocol::Secret;

use crate::error::{BuildError, BuildErrorKind, Details as _};

/// The longest duration: on the wire, durations are milliseconds in 31 bits.
pub(super) const MAX_MILLIS: u64 = i32::MAX as u64;
/// The largest size: so are sizes.
pub(crate) const MAX_SIZE: usize = i32::MAX as usize;

/// A value that is written as a number, or another of one word.
pub(super) fn from_text<T: FromStr>(key: &str, text: &str, expected: &str) -> Result<T, BuildError> {
    text.trim().parse().map_err(|_| BuildError::invalid(key, text, expected))
}

pub(super) fn millis(key: &str, text: &str) -> Result<Duration, BuildError> {
    from_text(key, text, &format!("milliseconds, from 0 to {MAX_MILLIS}")).map(Duration::from_millis)
}

pub(super) fn size(key: &str, text: &str) -> Result<usize, BuildError> {
    from_text(key, text, "a number of bytes")
}

pub(super) fn count(key: &str, text: &str) -> Result<usize, BuildError> {
    from_text(key, text, "a number")
}

pub(super) fn truth(key: &str, text: &str) -> Result<bool, BuildError> {
    from_text(key, &text.to_lowercase(), "true or false")
}

pub(super) fn text(_key: &str, text: &str) -> Result<String, BuildError> {
    Ok(text.trim().to_owned())
}

pub(super) fn text_or_none(_key: &str, text: &str) -> Result<Option<String>, BuildError> {
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

/// Text that nobody is to see.
pub(super) fn secret(_key: &str, text: &str) -> Result<Option<Secret>, BuildError> {
    Ok(Some(text.trim()).filter(|text| !text.is_empty()).map(Secret::from))
}

/// What is wrong with a value that is not to be told: it is a secret, or is made of some.
pub(crate) fn wrong(key: &str, why: impl Into<String>) -> BuildError {
    BuildError::new(BuildErrorKind::InvalidValue).property(key).detail(why)
}

/// The items of a list in one value.
pub(super) fn list(text: &str) -> impl Iterator<Item = String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned)
}

/// A duration of at least one millisecond that fits the wire.
pub(super) fn check_millis(key: &str, value: Duration) -> Result<Duration, BuildError> {
    check_millis_from(key, value, 1)
}

/// The same, where zero means something.
pub(super) fn check_millis_or_zero(key: &str, value: Duration) -> Result<Duration, BuildError> {
    check_millis_from(key, value, 0)
}

fn check_millis_from(key: &str, value: Duration, least: u64) -> Result<Duration, BuildError> {
    let range = u128::from(least)..=u128::from(MAX_MILLIS);
    match range.contains(&value.as_millis()) {
        true => Ok(value),
        false => Err(BuildError::invalid(
            key,
            value.as_millis(),
            format!("milliseconds, from {least} to {MAX_MILLIS}"),
        )),
    }
}

/// A number within its limits.
pub(super) fn check<T: PartialOrd + Display>(
    key: &str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<T, BuildError> {
    match range.contains(&value) {
        true => Ok(value),
        false => Err(BuildError::invalid(key, value, format!("{} to {}", range.start(), range.end()))),
    }
}

/// A duration as ISO 8601 writes it, in days, hours, minutes and seconds: `PnDTnHnMn.nS`, as Java's `Duration.parse`
/// reads it, but for signs.
pub(super) fn iso_duration(text: &str) -> Option<Duration> {
    let text = text.to_uppercase();
    let rest = text.strip_prefix('P')?;
    let (date, time) = match rest.split_once('T') {
        Some((_, "")) => return None,
        Some((date, time)) => (date, time),
        None => (rest, ""),
    };
    let (days, date) = part(date, 'D')?;
    let (hours, time) = part(time, 'H')?;
    let (minutes, time) = part(time, 'M')?;
    let (seconds, nanos, time) = match time.split_once('.') {
        Some((seconds, fraction)) => {
            let digits = fraction.strip_suffix('S').filter(|digits| (1..=9).contains(&digits.len()))?;
            (Some(number(seconds)?), number(&format!("{digits:0<9}"))?, "")
        }
        None => {
            let (seconds, time) = part(time, 'S')?;
            (seconds, 0, time)
        }
    };
    let any = [days, hours, minutes, seconds].iter().any(Option::is_some);
    if !any || !date.is_empty() || !time.is_empty() {
        return None;
    }
    let units = [(days, 86_400), (hours, 3_600), (minutes, 60), (seconds, 1)];
    let seconds = units
        .iter()
        .try_fold(0_u64, |sum, (count, unit)| sum.checked_add(count.unwrap_or(0).checked_mul(*unit)?))?;
    Some(Duration::new(seconds, u32::try_from(nanos).ok()?))
}

/// A number in front of its unit, if it is there, and what follows.
fn part(text: &str, unit: char) -> Option<(Option<u64>, &str)> {
    match text.split_once(unit) {
        Some((digits, rest)) => Some((Some(number(digits)?), rest)),
        None => Some((None, text)),
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
