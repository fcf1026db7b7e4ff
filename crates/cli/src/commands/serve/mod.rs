//! `ottla serve`: a page of groups and their lag, the same as JSON, and metrics for Prometheus. It changes nothing.
//!
//! - `looks`: looks at the cluster again and again, and fills the board.
//! - `board`: what those who look leave for those who ask; `look` is one look, `news` what has changed between two.
//! - `http`: connections, their bounds, and who may ask.
//! - `routes`: what is answered: `api`, `metrics`, `events`, and the page.

mod api;
mod board;
mod events;
mod http;
mod look;
mod looks;
mod metrics;
mod news;
mod page;
mod routes;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use tokio::net::{TcpListener, lookup_host};

use self::{
    board::Board,
    http::{Hosts, Patience},
    routes::Routes,
};
use super::lag;
use crate::{
    args::{Common, ServeArgs},
    common::Clients,
    failure::{Failure, tell},
    output::print,
    signals::Stop,
};

pub(super) async fn run(args: &ServeArgs, common: &Common, stop: Stop) -> Result<(), Failure> {
    // It serves before a broker answers, and while none does: that is what `/readyz` tells.
    let admin = Clients::new(common)?.admin()?.wait_for_broker(false).build().await?;
    let (listener, address) = listen(&args.listen).await?;
    let hosts = Hosts::new(&args.hosts).map_err(Failure::usage)?;
    let board = Arc::new(Board::new(args.interval.unwrap_or(lag::INTERVAL)));
    let routes = Routes::new(board.clone(), hosts, stop.clone());
    print(&format!("ready http://{address}/\n"))?;
    tokio::select! {
        () = http::serve(listener, routes, Patience::default(), stop) => {}
        () = looks::run(&admin, args, &board) => {}
    }
    admin.close().await;
    Ok(())
}

async fn listen(text: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let wrong = || Failure::usage(format!("--listen {text}: expected HOST:PORT, as in 127.0.0.1:9308"));
    let address =
        lookup_host(text).await.ok().and_then(|mut addresses| addresses.next()).ok_or_else(wrong)?;
    if !address.ip().is_loopback() {
        let what = "all who reach it can read names and offsets of topics and groups, and nobody has to say who they are";
        tell(format!("--listen {text}: not a loopback address: {what}"));
    }
    let failed = |error| Failure::failed(format!("--listen {text}: {error}; choose another"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
