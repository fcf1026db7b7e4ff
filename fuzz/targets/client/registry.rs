//! What a schema registry answers: statuses and bodies, one for each question.

use std::collections::BTreeSet;

use ottla::fuzzing::answers;
use ottla_fuzz::{Input, within};

/// What of an answer is believed, and what of all together.
const BYTES: usize = 4096;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut told = Vec::new();
    while !input.is_over() {
        let status = [200, 404, 401, 500, 503, 302][usize::from(input.byte()) % 6];
        told.push((status, input.bytes().to_vec()));
    }
    // An item is 32 bytes out of two, and a list that grows has room for as many again; the name of one has a node of a tree.
    let bound = 512 * data.len() + 16_384;
    let Ok(schema) = within(bound, || answers(told, BYTES)) else { return };
    let references = schema.references();
    let size = schema.text().len() + references.iter().map(|other| other.text.len()).sum::<usize>();
    assert!(size <= BYTES && references.len() <= 200);
    let names: BTreeSet<_> = references.iter().map(|other| &other.name).collect();
    assert!(names.len() <= references.len());
}
