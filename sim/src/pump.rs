//! What the brokers want done: answers go into the network, and their deadline becomes an event.

use std::time::Duration;

use ottla_broker::{Cluster, Output};

use crate::stage::{Event, Stage};

/// Carries out what the cluster wants done. `alarm` is when it is to be called next. Returns answers that nobody awaits.
pub(crate) fn pump(cluster: &mut Cluster, alarm: &mut Option<Duration>, stage: &mut Stage) -> Vec<Vec<u8>> {
    let mut stray = Vec::new();
    while let Some(output) = cluster.poll_output() {
        match output {
            Output::Reply { conn, mut frame } => {
                frame.drain(..4);
                match stage.link_of(conn) {
                    Some(id) => stage.send_down(id, frame),
                    None => stray.push(frame),
                }
            }
            Output::Close { conn } => {
                if let Some(id) = stage.link_of(conn) {
                    stage.close_from_broker(id);
                }
            }
        }
    }
    let deadline = cluster.poll_timeout().map(|at| stage.time_of(at));
    if let Some(at) = deadline.filter(|_| deadline != *alarm) {
        stage.schedule(at, Event::Cluster);
    }
    *alarm = deadline.map(|at| at.max(stage.time));
    stray
}
