//! `ottla dlq`: why records were given up, and back with them to where they came from.
//!
//! `letters.rs` reads a topic of dead letters from one end to the other; `list.rs`, `show.rs` and `replay.rs` are the verbs.

mod letters;
mod list;
mod replay;
mod show;

use crate::{
    args::{Common, DlqVerb},
    failure::Failure,
    signals::Stop,
};

pub(super) async fn run(verb: DlqVerb, outer: Common, mut stop: Stop) -> Result<(), Failure> {
    match verb {
        DlqVerb::List { letters, common } => until(&mut stop, list::run(&letters, &outer.with(common))).await,
        DlqVerb::Show { letters, count, json, common } => {
            let common = outer.with(common);
            until(&mut stop, show::run(&letters, count, json || common.is_json(), &common)).await
        }
        // It ends between two records.
        DlqVerb::Replay(args) => replay::run(&args, &outer.with(args.common.clone()), stop).await,
    }
}

/// Reading leaves nothing undone.
async fn until(stop: &mut Stop, reading: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        () = stop.requested() => Ok(()),
        read = reading => read,
    }
}
