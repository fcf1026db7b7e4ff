//! Times and durations, as Kafka's own tool takes them.

use crate::duration;

/// A time as `YYYY-MM-DDThh:mm:ss.fff`, with `Z`, `+hh`, `+hhmm`, `+hh:mm` or nothing, which means UTC: in milliseconds since 1970.
///
/// The fraction may be left out. Kafka's tool takes `.5` for 5 ms where everybody else means 500: with another number of digits
/// than three nobody would know what was meant.
pub(super) fn millis(text: &str) -> Result<i64, String> {
    let wrong = || "expected YYYY-MM-DDThh:mm:ss.fff, with Z or +hh:mm, else UTC".to_owned();
    let (date, rest) = text.split_once('T').ok_or_else(wrong)?;
    let at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(at);
    let [year, month, day] = numbers(date, '-').ok_or_else(wrong)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "000"));
    if fraction.len() != 3 {
        return Err("the fraction has three digits: milliseconds".to_owned());
    }
    let fraction = digits(fraction).ok_or_else(wrong)?;
    let [hour, minute, second] = numbers(clock, ':').ok_or_else(wrong)?;
    let days = days_since_1970(year, month, day).ok_or_else(|| format!("there is no day {date}"))?;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(format!("there is no time {clock}"));
    }
    let offset = zone_minutes(zone).ok_or_else(wrong)?;
    Ok((((days * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + fraction)
}

/// How long: Java's `P1DT2H3M4.5S`, or `30s`, `10m`, `2h`, `1d`; in milliseconds. A negative one is a time to come.
pub(super) fn duration(text: &str) -> Result<i64, String> {
    let (sign, positive): (i64, _) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let too_long = || "longer than can be counted".to_owned();
    let millis = match positive.strip_prefix(['P', 'p']) {
        Some(rest) => iso(rest).ok_or_else(|| "expected PnDTnHnMn.nS".to_owned())?,
        None => i64::try_from(duration::parse(positive)?.as_millis()).map_err(|_| too_long())?,
    };
    sign.checked_mul(millis).ok_or_else(too_long)
}

/// What follows the `P`. Each number may have a sign of its own; days are 24 hours.
fn iso(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) if !time.is_empty() => (date, time),
        Some(_) => return None,
        None => (text, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let (days, rest) = part(date, 'D')?;
    let (hours, left) = part(time, 'H')?;
    let (minutes, left) = part(left, 'M')?;
    let (seconds, left) = part(left, 'S')?;
    if !rest.is_empty() || !left.is_empty() {
        return None;
    }
    let whole = |text: &str| if text.is_empty() { Some(0) } else { signed(text) };
    let total = whole(days)?.checked_mul(24)?.checked_add(whole(hours)?)?;
    let total = total.checked_mul(60)?.checked_add(whole(minutes)?)?;
    total.checked_mul(60_000)?.checked_add(seconds_millis(seconds)?)
}

/// The number before this letter, if it is there, and what follows the letter.
fn part(text: &str, letter: char) -> Option<(&str, &str)> {
    let at = text.find([letter, letter.to_ascii_lowercase()]);
    match at {
        // A letter without a number.
        Some(0) => None,
        Some(at) => Some((text.get(..at)?, text.get(at + 1..)?)),
        None => Some(("", text)),
    }
}

fn seconds_millis(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let negative = whole.starts_with('-');
    let whole = if matches!(whole, "" | "-" | "+") { 0 } else { signed(whole)? };
    if fraction.len() > 9 || !fraction.is_empty() && digits(fraction).is_none() {
        return None;
    }
    let fraction: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    whole.checked_mul(1000)?.checked_add(if negative { -fraction } else { fraction })
}

fn signed(text: &str) -> Option<i64> {
    let bare = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = digits(bare)?;
    Some(if text.starts_with('-') { -number } else { number })
}

fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers: Option<Vec<i64>> = text.split(between).map(digits).collect();
    numbers?.try_into().ok()
}

/// `Z`, `+hh`, `+hhmm`, `+hh:mm`, or nothing.
fn zone_minutes(zone: &str) -> Option<i64> {
    if matches!(zone, "" | "Z") {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let text = zone.get(1..)?;
    let (hours, minutes) = match text.len() {
        2 => (text, "0"),
        4 => text.split_at(2),
        5 => text.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

/// `None` for a day that no calendar has.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if is_leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = usize::try_from(month - 1).ok()?;
    let length = lengths.get(before)?;
    if !(1970..=9999).contains(&year) || !(1..=*length).contains(&day) {
        return None;
    }
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let years = (year - 1970) * 365 + leaps(year - 1) - leaps(1969);
    Some(years + lengths.get(..before)?.iter().sum::<i64>() + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_of_utc_unless_it_says_otherwise() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000", 0),
            ("2023-11-14T22:13:20.004Z", 1_700_000_000_004),
            ("2023-11-14T22:13:20", 1_700_000_000_000),
            ("2023-11-15T00:13:20.000+02", 1_700_000_000_000),
            ("2023-11-15T00:13:20.000+0200", 1_700_000_000_000),
            ("2023-11-14T20:43:20.000-01:30", 1_700_000_000_000),
            ("2024-02-29T00:00:00.000", 1_709_164_800_000),
            ("2000-3-1T0:00:00.000", 951_868_800_000),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_time_that_could_mean_two_things_or_nothing_is_refused() {
        for wrong in [
            "2023-11-14T22:13:20.5",
            "2023-11-14T22:13:20.0001",
            "2023-11-14T22:13",
            "2023-11-14",
            "2023-11-14 22:13:20.000",
            "2023-11-14T22:13:20.000z",
            "2023-11-14T22:13:20.000UTC",
            "2023-11-14T22:13:20.000+2",
            "1700000000000",
            "2023-02-30T00:00:00.000",
            "2023-13-01T00:00:00.000",
            "2023-11-14T24:00:00.000",
            "T",
            "",
        ] {
            assert!(millis(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_javas_or_a_number_with_its_unit() {
        for (text, expected) in [
            ("P1DT2H3M4.5S", 93_784_500),
            ("pt1h", 3_600_000),
            ("-PT1H", -3_600_000),
            ("PT-1H", -3_600_000),
            ("PT0.001S", 1),
            ("P1D", 86_400_000),
            ("10m", 600_000),
            ("2h", 7_200_000),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for wrong in ["P", "PT", "P1W", "P1M", "1h2m", "PTH", "PT1H1D", "PT1.0000000001S", "", "-", "P1DT"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        let longest = "PT-9223372036854775.808S";
        assert_eq!(duration(longest), Ok(i64::MIN));
        assert!(duration(&format!("-{longest}")).is_err(), "longer than can be counted");
    }
}
