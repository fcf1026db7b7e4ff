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
    let mut records = Records::default();
    while reader.has_room(&records, most.unwrap_or(1)) {
        let look = match records.is_empty() {
            true => reader.look(machine, filter, now),
            false if reader.take_more(machine, filter) => Some(Look::Read),
            false => break,
        };
        match (look, most) {
            (Some(Look::Read), Some(most)) => reader.fill(&mut records, most),
            (Some(Look::Read), None) => {
                if let Some(Record { block, span }) = reader.advance() {
                    return Gathered::Records(vec![Handed::new(&block, &span)]);
                }
            }
            (look, _) => return Gathered::Look(look),
        }
    }
    Gathered::Records(records.iter().map(|(block, _, span)| Handed::new(block, span)).collect())
}
