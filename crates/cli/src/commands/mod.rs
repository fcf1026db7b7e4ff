//! One verb a file.

mod broker;
mod cluster;
mod consume;
mod demo;
mod dlq;
mod doctor;
mod groups;
mod lag;
mod looks;
mod process;
mod produce;
mod properties;
mod scope;
mod serve;
mod shell;
mod top;
mod topics;

use crate::{
    args::{Cli, Verb},
    failure::Failure,
    signals::Stop,
};

/// Does what was asked for.
pub(crate) async fn run(cli: Cli, stop: Stop) -> Result<(), Failure> {
    let Cli { common, verb, verbose } = cli;
    let verbose = verbose > 0;
    if let Some((json, properties)) = properties::asked(&common, &verb) {
        return properties::list(json, properties);
    }
    match verb {
        Verb::Demo(args) => demo::run(&args, args.output.or(common.output), stop).await,
        Verb::Broker(args) => broker::run(&args, stop).await,
        Verb::Cluster(args) => cluster::show(&common.with(args.common)).await,
        Verb::Topics(verb) => topics::run(verb, common).await,
        Verb::Produce(args) => produce::run(&args, &common.with(args.common.clone()), stop).await,
        Verb::Consume(args) => consume::run(&args, &common.with(args.common.clone()), stop).await,
        Verb::Lag(args) => lag::run(&args, &common.with(args.common.clone()), verbose, stop).await,
        Verb::Serve(args) => serve::run(&args, &common.with(args.common.clone()), stop).await,
        Verb::Top(args) => top::run(&args, &common.with(args.common.clone()), stop).await,
        Verb::Groups(verb) => groups::run(verb, common, verbose).await,
        Verb::Process(args) => process::run(&args, &common.with(args.common.clone()), stop).await,
        Verb::Dlq(verb) => dlq::run(verb, common, stop).await,
        Verb::Doctor(args) => doctor::run(&args, &common.with(args.common.clone()), stop).await,
        Verb::Completions { shell } => shell::completions(&shell),
        Verb::Man { folder } => shell::man(&folder),
    }
}
