//! What the client's handle does in a call that reads.

use ottla_core::{Consumer, Filter, Handed as Record, Look, Reader, ReaderConfig, Records};
use ottla_protocol::Now;

use crate::{handed::Handed, host::Frame};

/// More than any batch here decompresses to.
pub(super) const READING: ReaderConfig = ReaderConfig { check_crcs: true, max_decompressed: 1 << 20 };

/// What came of a call that reads.
pub(super) enum Gathered {
    Records(Vec<Handed>),
    /// None: `None` where he waits.
    Look(Option<Look>),
}

/// What the client's handle does in `recv` (`most` is `None`) and `poll`, but for the waiting.
pub(super) fn gather(
    reader: &mut Reader<Frame>,
    machine: &mut Consumer<Frame>,
    filter: &Filter,
    most: Option<usize>,
    now: Now,
) -> Gathered {
    if let Some(most) = most {
        return match poll(reader, machine, filter, most, now) {
            Ok(records) => {
                let handed = records.iter().map(|(block, _, span)| Handed::new(block, span));
                Gathered::Records(handed.collect())
            }
            Err(look) => Gathered::Look(look),
        };
    }
    loop {
        match reader.look(machine, filter, now) {
            Some(Look::Read) => {
                if let Some(Record { block, span }) = reader.advance() {
                    return Gathered::Records(vec![Handed::new(&block, &span)]);
                }
            }
            look => return Gathered::Look(look),
        }
    }
}

/// What the client's handle does in `poll`, but for the waiting: its records with where they lie, or what there is in place of
/// them.
pub(super) fn poll(
    reader: &mut Reader<Frame>,
    machine: &mut Consumer<Frame>,
    filter: &Filter,
    most: usize,
    now: Now,
) -> Result<Records<Frame>, Option<Look>> {
    let mut records = Records::default();
    while reader.has_room(&records, most) {
        if records.is_empty() {
            match reader.look(machine, filter, now) {
                Some(Look::Read) => {}
                look => return Err(look),
            }
        } else if !reader.take_more(machine, filter) {
            break;
        }
        reader.fill(&mut records, most);
    }
    Ok(records)
}
