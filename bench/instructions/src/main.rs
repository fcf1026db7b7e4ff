//! The programs whose instructions are counted: `instructions walk|consume|produce|turn`, each with arguments of its own. One
//! binary, as it takes a minute to link one.

mod batches;
mod consume;
mod produce;
mod turn;
mod walk;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((program, args)) if program == "walk" => walk::run(args),
        Some((program, args)) if program == "consume" => consume::run(args),
        Some((program, args)) if program == "produce" => produce::run(args),
        Some((program, args)) if program == "turn" => turn::run(args),
        _ => bail!("usage: instructions walk|consume|produce|turn ARGUMENT..."),
    }
}
