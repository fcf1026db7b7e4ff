//! The examples of the guide, [docs/guide](../../../../docs/guide/README.md): one program, as one is built in less time than seven.
//!
//! ```sh
//! cargo run -p ottla --example guide -- key_order                      # on an embedded broker of its own
//! cargo run -p ottla --example guide -- key_order localhost:9092       # on yours
//! ```

mod catching_up;
mod each_batch;
mod failover;
mod key_order;
mod place;
mod retry_and_dead_letter;
mod scaling_out;
mod time_based;

use std::process::ExitCode;

use place::Place;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let name = args.next().unwrap_or_default();
    let ended = match Place::new(args.next()) {
        Ok(place) => match name.as_str() {
            "catching_up" => catching_up::run(&place).await,
            "each_batch" => each_batch::run(&place).await,
            "failover" => failover::run(&place).await,
            "key_order" => key_order::run(&place).await,
            "retry_and_dead_letter" => retry_and_dead_letter::run(&place).await,
            "scaling_out" => scaling_out::run(&place).await,
            "time_based" => time_based::run(&place).await,
            _ => Err("usage: guide EXAMPLE [HOST:PORT]; docs/guide/README.md names the examples".into()),
        },
        Err(failure) => Err(failure),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("failed: {failure}");
            ExitCode::FAILURE
        }
    }
}
