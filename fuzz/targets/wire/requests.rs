//! Requests to a broker: each is read, written again, and answered by the embedded broker.

use std::time::Duration;

use ottla_broker::{Cluster, Config, TopicSpec};
use ottla_fuzz::{Input, now, within};
use ottla_protocol::{ApiKey, RequestHeader};

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut now = now();
    let config = Config {
        topics: vec![TopicSpec::new("t", 2)],
        auto_create: input.byte() % 2 == 0,
        ..Config::default()
    };
    let mut cluster = Cluster::new(config);
    let conn = cluster.handle_connect(1, now);
    while !input.is_over() {
        let (key, version) = input.api();
        let mut frame = Vec::new();
        frame.extend((key as i16).to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend(input.bytes());
        let size = frame.len();
        if let Ok((header, request)) = within(32 * size + 1024, || RequestHeader::decode(&frame)) {
            if key != ApiKey::Produce {
                let again = header.encode(&request);
                assert_eq!(RequestHeader::decode(&again[4..]), Ok((header, request)));
            }
        }
        // A topic has a table of its partitions, and a request names many in few bytes.
        within(4096 * size + (4 << 20), || {
            cluster.handle_frame(conn, frame, now);
            now = now.after(Duration::from_millis(100));
            cluster.handle_timeout(now);
            while cluster.poll_output().is_some() {}
        });
    }
}
