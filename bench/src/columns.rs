//! The six columns: sizes, codecs and partitions that pull a client's cost in different directions. Two for TLS, whose
//! cost is one of bytes.

use std::str::FromStr;

/// A topic to be measured on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// How it is asked for.
    pub(crate) name: &'static str,
    pub(crate) size: usize,
    pub(crate) codec: &'static str,
    pub(crate) partitions: u32,
    /// So many that a lap of the floor takes a second or so.
    pub(crate) records: u64,
}

/// What the ratio to the floor may be, in any column, by iterator as by `recv`.
pub(crate) const AIM: f64 = 1.35;
/// The same where both speak TLS.
pub(crate) const TLS_AIM: f64 = 1.25;

const fn column(
    name: &'static str,
    (size, records): (usize, u64),
    codec: &'static str,
    partitions: u32,
) -> Column {
    Column { name, size, codec, partitions, records }
}

const SMALL: (usize, u64) = (100, 10_000_000);
const MIDDLE: (usize, u64) = (1_000, 1_000_000);
const LARGE: (usize, u64) = (10_000, 100_000);

pub(crate) const COLUMNS: [Column; 6] = [
    column("100b-1", SMALL, "none", 1),
    column("100b-12", SMALL, "none", 12),
    column("1k-1", MIDDLE, "none", 1),
    column("1k-lz4-12", MIDDLE, "lz4", 12),
    column("1k-zstd-12", MIDDLE, "zstd", 12),
    column("10k-12", LARGE, "none", 12),
];

pub(crate) const TLS_COLUMNS: [Column; 2] =
    [column("100b-12", SMALL, "none", 12), column("1k-12", MIDDLE, "none", 12)];

impl FromStr for Column {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut all = COLUMNS.into_iter().chain(TLS_COLUMNS);
        all.find(|column| column.name == name).ok_or_else(|| {
            let names = COLUMNS.map(|column| column.name);
            format!("the columns are {}, and of TLS 1k-12", names.join(", "))
        })
    }
}
