//! Of some measurements.

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Where the quarter of the smallest ends, and that of the largest begins.
pub(crate) fn middle_half(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values = sorted(values);
    let quarter = values.len() / 4;
    let of = |index: Option<usize>| index.and_then(|index| values.get(index)).copied().unwrap_or(f64::NAN);
    (of(Some(quarter)), of(values.len().checked_sub(1 + quarter)))
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}
