//! Bytes that are not what they should be: no harm, whatever they are.

use ottla_broker::{Config, VersionSet};
use ottla_protocol::RequestHeader;

use crate::common::{World, answered, config, example, millis};

#[test]
fn damaged_requests_do_no_harm() {
    let mut rng = fastrand::Rng::with_seed(42);
    let keys = answered();
    let mut world = World::new(Config { brokers: 2, auto_create: true, ..config(&[("t", 2)]) });
    for _ in 0..10_000 {
        let key = *rng.choice(&keys).unwrap();
        let versions = VersionSet::default().spoken(key);
        let header = RequestHeader {
            key,
            version: rng.i16(versions.min..=versions.max),
            correlation_id: 1,
            client_id: Some("x".into()),
        };
        let mut frame = header.encode(&example(key))[4..].to_vec();
        for _ in 0..rng.usize(0..4) {
            // The key and the version stay, or most would not get far.
            let at = rng.usize(4..frame.len());
            frame[at] = if rng.bool() { rng.u8(..) } else { frame[at] ^ (1 << rng.u8(0..8)) };
        }
        if rng.u8(..) < 20 {
            frame.truncate(rng.usize(..frame.len()));
        }
        let conn = world.cluster.handle_connect(rng.i32(1..=2), world.now);
        world.cluster.handle_frame(conn, frame, world.now);
        world.now = world.now.after(millis(rng.u64(..1000)));
        world.cluster.handle_timeout(world.now);
        while world.cluster.poll_output().is_some() {}
        if rng.bool() {
            world.cluster.handle_disconnect(conn, world.now);
        }
    }
}
