//! A program that has nothing of Ottla but the `ottla` crate, as a user's has. It names every public type in the signature
//! of a function, and calls each of these functions.
//!
//! `ottla-outside ADDRESS NAME` works on the brokers there, with topics and groups whose names begin with NAME.
//!
//! The suite compares the names that stand here with those of crates/client/public-api.txt.

mod administering;
mod batching;
mod burying;
mod configuring;
mod consuming;
mod explaining;
mod failing;
mod grouping;
mod observing;
mod processing;
mod producing;
mod registering;
mod transacting;
mod typing;

use std::{error::Error, time::Duration};

/// How many records each topic has, and one that is no order.
const ORDERS: u32 = 20;

/// For whatever the brokers do.
const PATIENCE: Duration = Duration::from_secs(30);

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: ottla-outside ADDRESS NAME";
    let (servers, name) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let all = async {
        configuring::all(&servers)?;
        burying::all()?;
        registering::all().await?;
        administering::create(&servers, &name).await?;
        producing::all(&servers, &name).await?;
        consuming::all(&servers, &name).await?;
        typing::all(&servers, &name).await?;
        processing::all(&servers, &name).await?;
        batching::all(&servers, &name).await?;
        grouping::all(&servers, &name).await?;
        transacting::all(&servers, &name).await?;
        administering::all(&servers, &name).await?;
        failing::all(&servers, &name).await?;
        observing::all(&servers, &name).await?;
        explaining::all(&servers, &name).await
    };
    tokio::time::timeout(4 * PATIENCE, all).await?
}

/// Fails, with both, unless they are equal.
#[track_caller]
fn equal<T: PartialEq + std::fmt::Debug>(left: T, right: T) -> Outcome {
    match left == right {
        true => Ok(()),
        false => Err(format!("{}: {left:?}, not {right:?}", std::panic::Location::caller()).into()),
    }
}
