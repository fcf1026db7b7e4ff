//! A time as flags are given it: `500ms`, `30s`, `10m`, `2h`, `1d`.

use std::time::Duration;

/// A whole number with its unit. Not zero.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err("expected a number and its unit, as in 500ms, 30s, 10m, 2h or 1d".to_owned()),
    };
    let time = number.parse::<u64>().ok().and_then(|number| number.checked_mul(millis));
    time.filter(|millis| *millis > 0)
        .map(Duration::from_millis)
        .ok_or_else(|| "expected a time between 1ms and what a computer can count".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("10m", 600_000), ("2h", 7_200_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in
            ["", "5", "s", "0s", "-1s", "1.5s", "1 s", "99999999999999999999s", "18446744073709551615d"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
