//! Walks batches in memory, so many times: `walk LAPS [crc]`. Each lap is [`RECORDS`] records of 100 bytes in batches
//! of 16 KiB, without a codec; with `crc` each batch is checked first.

use anyhow::{Context, Result};
use ottla_protocol::records::{BatchHeader, RecordWalk, check_crc, walk_headers};

use crate::batches::{batches, value};

/// A number that the script divides by.
const RECORDS: usize = 10_000;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut args = args.iter();
    let laps: usize = args.next().context("usage: walk LAPS [crc]")?.parse()?;
    let crc = args.next().is_some_and(|arg| arg == "crc");
    let log: Vec<u8> = batches(RECORDS, 0, &value()).concat();
    let mut sum = 0;
    for _ in 0..laps {
        for batch in walk_headers(std::hint::black_box(&log)) {
            let (range, header) = batch?;
            let batch = log.get(range).unwrap_or_default();
            if crc {
                check_crc(batch)?;
            }
            for record in RecordWalk::new(&header, batch.get(BatchHeader::SIZE..).unwrap_or_default()) {
                let record = record?;
                sum += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            }
        }
    }
    println!("{sum}");
    Ok(())
}
