//! Which columns a table has, and how wide they are: the more there is of a screen, the more it shows.

use super::model::Field;

/// A column, with its place of the width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) field: Field,
    pub(super) title: &'static str,
    pub(super) width: u16,
    pub(super) is_right: bool,
    /// What it gets of the room that is left, as a part of all weights, and up to which width.
    weight: u16,
    limit: u16,
}

const fn left(field: Field, title: &'static str, width: u16) -> Column {
    Column { field, title, width, is_right: false, weight: 0, limit: width }
}

/// Numbers stand at its right.
const fn right(field: Field, title: &'static str, width: u16) -> Column {
    Column { field, title, width, is_right: true, weight: 0, limit: width }
}

const fn wide(field: Field, title: &'static str, weight: u16, limit: u16) -> Column {
    Column { field, title, width: 0, is_right: false, weight, limit }
}

const STATUS: Column = left(Field::Status, "STATUS", 6);
const LAG: Column = right(Field::Lag, "LAG", 9);
const AGE: Column = right(Field::Age, "TIME-LAG", 8);
const PARTITIONS: Column = right(Field::Partitions, "PARTS", 5);

pub(super) fn of_groups(width: u16) -> Vec<Column> {
    let mut columns = vec![wide(Field::Name, "GROUP", 5, 48), STATUS];
    if width >= 100 {
        columns.push(left(Field::State, "STATE", 19));
    }
    columns.extend([LAG, AGE]);
    if width >= 70 {
        columns.extend([right(Field::Members, "MEMBERS", 7), PARTITIONS]);
    }
    columns.push(wide(Field::Trend, "LAG OVER TIME", 3, 64));
    if width >= 140 {
        columns.push(wide(Field::Reason, "REASON", 7, u16::MAX));
    }
    fitted(columns, width)
}

pub(super) fn of_partitions(width: u16) -> Vec<Column> {
    let mut columns = vec![wide(Field::Name, "PARTITION", 5, 48), STATUS];
    if width >= 100 {
        columns.extend([right(Field::Committed, "COMMITTED", 12), right(Field::End, "LOG-END", 12)]);
    }
    columns.extend([LAG, AGE]);
    if width >= 70 {
        columns.push(wide(Field::Owner, "CLIENT", 3, 40));
    }
    if width >= 120 {
        columns.push(wide(Field::Host, "HOST", 2, 24));
    }
    columns.push(wide(Field::Trend, "LAG OVER TIME", 3, 64));
    if width >= 160 {
        columns.push(wide(Field::Reason, "REASON", 4, u16::MAX));
    }
    fitted(columns, width)
}

pub(super) fn of_members(width: u16) -> Vec<Column> {
    let mut columns = vec![wide(Field::Client, "CLIENT", 3, 48)];
    if width >= 70 {
        columns.push(wide(Field::Host, "HOST", 2, 40));
    }
    columns.extend([PARTITIONS, LAG, AGE, STATUS, wide(Field::Name, "MEMBER", 4, u16::MAX)]);
    fitted(columns, width)
}

/// Gives the room that is left to those that have a weight, and what they do not take to the last of them.
fn fitted(mut columns: Vec<Column>, width: u16) -> Vec<Column> {
    let gaps = u16::try_from(columns.len()).unwrap_or(u16::MAX).saturating_sub(1);
    let fixed: u16 = columns.iter().map(|column| column.width).sum();
    let room = width.saturating_sub(fixed + gaps);
    let weights = columns.iter().map(|column| column.weight).sum::<u16>().max(1);
    let mut left = room;
    for column in columns.iter_mut().filter(|column| column.weight > 0) {
        column.width = (u32::from(room) * u32::from(column.weight) / u32::from(weights)) as u16;
        column.width = column.width.min(column.limit);
        left -= column.width;
    }
    if let Some(last) = columns.iter_mut().rev().find(|column| column.weight > 0) {
        last.width += left;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fill_the_width_and_no_more_and_each_title_has_room() {
        for width in 40..=400 {
            for columns in [of_groups(width), of_partitions(width), of_members(width)] {
                let taken: usize = columns.iter().map(|column| usize::from(column.width) + 1).sum();
                assert_eq!(taken, usize::from(width) + 1, "{columns:?}");
                if width >= 80 {
                    assert!(
                        columns.iter().all(|column| column.title.len() <= usize::from(column.width)),
                        "{columns:?}"
                    );
                }
            }
        }
    }
}
