//! What is written into cells: names that cannot do anything to a terminal, numbers in few letters, and bars.

use ratatui_core::text::Span;

use crate::output::harmless;

/// From nothing to a whole cell.
const LEVELS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How many cells it takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// Its words in lines of this width. So many lines at the most: the last has all that is left.
pub(super) fn wrapped(text: &str, room: usize, limit: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in harmless(text).split_whitespace() {
        let is_last = lines.len() == limit;
        match lines.last_mut() {
            Some(line) if is_last || width(line) + 1 + width(word) <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A number of records: all digits up to six, then three with a letter.
pub(super) fn count(number: Option<i64>) -> String {
    let Some(number) = number else { return "-".to_owned() };
    if number.unsigned_abs() < 1_000_000 {
        return number.to_string();
    }
    let (mut value, mut unit) = (number as f64 / 1e6, "M");
    for larger in ["G", "T", "P", "E"] {
        // 999.5 would be written with four digits.
        if value.abs() < 999.5 {
            break;
        }
        (value, unit) = (value / 1e3, larger);
    }
    let digits = match value.abs() {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{unit}")
}

/// A time in seconds, in its two largest units.
pub(super) fn time(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    let whole = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3_600, whole / 86_400);
    match whole {
        0 if seconds <= 0.0 => "0s".to_owned(),
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3_600 => format!("{minutes}m{:02}s", whole % 60),
        3_600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

/// The last points, each as a bar beside the largest of them. What is not known is left out, and nothing is a line at the bottom.
pub(super) fn sparkline(points: &[Option<f32>], width: usize) -> String {
    bars(points, width, 1).pop().unwrap_or_default()
}

/// The same in several rows, the highest first.
pub(super) fn bars(points: &[Option<f32>], width: usize, height: usize) -> Vec<String> {
    let last = points.get(points.len().saturating_sub(width)..).unwrap_or_default();
    let max = largest(last);
    let eighths = height * 8;
    let level = |point: &Option<f32>| match *point {
        None => 0,
        Some(lag) if lag <= 0.0 || max <= 0.0 => 1,
        // What is not nothing is seen to be more than that.
        Some(lag) => 2 + (lag / max * (eighths - 2) as f32).round() as usize,
    };
    let row = |from_below: usize| {
        let part = |point| level(point).saturating_sub(from_below * 8).min(8);
        last.iter().map(|point| LEVELS.get(part(point)).copied().unwrap_or(' ')).collect()
    };
    (0..height).rev().map(row).collect()
}

/// The largest of what is known.
pub(super) fn largest(points: &[Option<f32>]) -> f32 {
    points.iter().flatten().copied().fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_is_in_several_lines_and_no_more_than_these() {
        let lines = |text, limit| wrapped(text, 10, limit).join("|");
        assert_eq!(lines("one two three four", 3), "one two|three four");
        assert_eq!(lines("one two three four five", 2), "one two|three four five");
        assert_eq!(lines("a-very-long-word is whole\u{1b}", 3), "a-very-long-word|is|whole\\u{1b}");
        assert_eq!(lines(" ", 3), "");
    }

    #[test]
    fn numbers_have_few_letters() {
        for (number, text) in [
            (None, "-"),
            (Some(0), "0"),
            (Some(-15), "-15"),
            (Some(999_999), "999999"),
            (Some(1_000_000), "1.00M"),
            (Some(12_345_678), "12.3M"),
            (Some(999_600_000), "1.00G"),
            (Some(-2_500_000_000), "-2.50G"),
            (Some(i64::MAX), "9.22E"),
        ] {
            assert_eq!(count(number), text);
        }
        for (seconds, text) in [
            (None, "-"),
            (Some(0.0), "0s"),
            (Some(0.25), "0.2s"),
            (Some(9.7), "9.7s"),
            (Some(59.9), "59s"),
            (Some(185.0), "3m05s"),
            (Some(7_800.0), "2h10m"),
            (Some(444_444.0), "5d03h"),
        ] {
            assert_eq!(time(seconds), text);
        }
    }

    #[test]
    fn a_sparkline_tells_nothing_from_a_little_and_from_what_is_not_known() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(1.0), Some(500.0), Some(1_000.0)], 9), "▁ ▂▅█");
        assert_eq!(sparkline(&[Some(0.0), Some(0.0)], 9), "▁▁");
        assert_eq!(sparkline(&[Some(9.0), Some(1.0), Some(1.0)], 2), "██", "only what is shown counts");
        assert_eq!(sparkline(&[], 9), "");
        assert_eq!(sparkline(&[Some(1.0)], 0), "");
        assert_eq!(bars(&[Some(0.0), Some(8.0), Some(16.0)], 3, 2), [" ▁█".to_owned(), "▁██".to_owned()]);
    }
}
