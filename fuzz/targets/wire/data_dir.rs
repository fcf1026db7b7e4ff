//! The journal of an embedded broker's data directory.

use ottla_broker::{Config, fuzzing};
use ottla_fuzz::{Input, now, within};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let now = now();
    let journal = match input.byte() % 2 {
        // So that entries are reached: a checksum is not guessed.
        0 => {
            let mut entries = Vec::new();
            while !input.is_over() {
                entries.push(input.bytes());
            }
            for entry in &entries {
                let again = within(128 * entry.len() + 4096, || fuzzing::entry_again(entry, now));
                let Some(again) = again else { continue };
                assert_eq!(fuzzing::entry_again(&again, now).as_ref(), Some(&again));
            }
            fuzzing::framed(entries)
        }
        _ => input.rest().to_vec(),
    };
    let opened =
        within(256 * journal.len() + (1 << 20), || fuzzing::journal(&journal, Config::default(), now));
    let Some((mut cluster, applied)) = opened else { return };
    assert!(applied <= journal.len());
    // What came of it can be served.
    let conn = cluster.handle_connect(1, now);
    cluster.handle_timeout(now);
    while cluster.poll_output().is_some() {}
    cluster.handle_disconnect(conn, now);
}
