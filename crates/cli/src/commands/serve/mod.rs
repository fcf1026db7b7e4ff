//! `ottla serve`: a page of groups and their lag, the same as JSON, and metrics for Prometheus. It changes nothing.
//!
//! - `board`: what those who look (`commands::looks`) leave for those who ask, and who is told of the next.
//! - `http`: connections, their bounds, and who may ask.
//! - `routes`: what is answered: `api`, `metrics`, `events`, and the page.

mod api;
mod board;
mod events;
mod http;
mod metrics;
mod page;
mod routes;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use tokio::net::{TcpListener, lookup_host};

use self::{
    board::Board,
    http::{Hosts, Patience},
    routes::Routes,
};
use super::{
    lag,
    looks::{self, Asked, Went},
};
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
    print(&format!("ready http://{}/\n", from_here(address)))?;
    let (groups, interval) = (args.groups.named(), board.looks.interval());
    let asked = Asked { groups, filters: &args.groups.filters, interval };
    let mut told = BTreeSet::new();
    let went = |went| told = told_once(&board, went, &told);
    tokio::select! {
        () = http::serve(listener, routes, Patience::default(), stop) => {}
        () = looks::run(&admin, &asked, &board.looks, went) => {}
    }
    admin.close().await;
    Ok(())
}

/// Where this machine reaches what listens there.
fn from_here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// What goes wrong is told once for as long as it lasts.
fn told_once(board: &Board, went: Went, told: &BTreeSet<String>) -> BTreeSet<String> {
    let notes: BTreeSet<String> = match went {
        Went::Saw { before, now } => {
            board.tell(before.as_deref(), &now);
            now.notes.iter().cloned().collect()
        }
        Went::Failed(why) => [why].into(),
    };
    notes.difference(told).for_each(tell);
    notes
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
