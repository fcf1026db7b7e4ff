//! `ottla serve`: a page of groups and their lag, the same as JSON, and metrics for Prometheus. It changes nothing, unless it is allowed
//! to.
//!
//! - `keeper`: has what was seen kept in a folder, where one is given.
//! - `board`: what those who look (`commands::looks`) leave for those who ask, and who is told of the next.
//! - `http`: connections, their bounds, and who may ask; `tls` secures them.
//! - `routes`: what is answered: `api`, `metrics`, `events`, the page, and `writes`.

mod api;
mod board;
mod events;
mod http;
mod keeper;
mod metrics;
mod page;
mod routes;
#[cfg(test)]
mod tests;
mod tls;
mod writes;

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, lookup_host},
    task::spawn_blocking,
};

use self::{
    board::Board,
    http::{Hosts, Patience},
    keeper::Keeper,
    routes::Routes,
    writes::{Token, Writes},
};
use super::{
    lag,
    looks::{self, Asked, Storage, Went},
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
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let hosts = Hosts::new(&args.hosts, tls.is_some()).map_err(Failure::usage)?;
    let (token, told) = token(args)?.unzip();
    let (listener, address) = listen(args).await?;
    let storage = storage(args).await?.map(Arc::new);
    let board = Arc::new(Board::new(args.interval.unwrap_or(lag::INTERVAL), storage.clone()));
    let groups = args.groups.named();
    let writes = token.map(|token| Writes::new(admin.clone(), token, groups.clone()));
    let routes = Arc::new(Routes::new(board.clone(), hosts, writes, stop.clone()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    print(&format!("ready {scheme}://{}/\n", from_here(address)))?;
    if let Some(text) = told.flatten() {
        print(&format!("token {text}\n"))?;
    }
    let asked = Asked { groups, filters: &args.groups.filters, interval: board.looks.interval() };
    let mut told = BTreeSet::new();
    let went = |went| told = told_once(&board, went, &told);
    let mut keeper = storage.map(|storage| Keeper::new(storage, board.clone(), admin.clone()));
    let keep = async |watch, turn| match &mut keeper {
        Some(keeper) => keeper.turn(watch, turn).await,
        None => watch,
    };
    tokio::join!(
        http::serve(listener, tls, routes.clone(), Patience::default(), stop.clone()),
        looks::run(&admin, &asked, &board.looks, stop, went, keep),
    );
    routes.end().await;
    admin.close().await;
    Ok(())
}

/// For how long lag over time is kept.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What there was before, where a folder is given. That it cannot be had is told before anything is served.
async fn storage(args: &ServeArgs) -> Result<Option<Storage>, Failure> {
    let Some(folder) = args.data_dir.clone() else { return Ok(None) };
    let keep = args.keep.unwrap_or(KEEP);
    let opened = spawn_blocking(move || Storage::open(&folder, keep)).await;
    let (storage, note) =
        opened.map_err(|error| Failure::failed(format!("--data-dir: {error}; give another folder")))??;
    note.iter().for_each(tell);
    Ok(Some(storage))
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

/// What writes need, where they are allowed; with its text where it is new.
fn token(args: &ServeArgs) -> Result<Option<(Token, Option<String>)>, Failure> {
    Ok(match (args.allow_writes, &args.token_file) {
        (false, _) => None,
        (true, Some(file)) => Some((Token::from_file(file)?, None)),
        (true, None) => {
            let (token, text) = Token::draw()?;
            Some((token, Some(text)))
        }
    })
}

async fn listen(args: &ServeArgs) -> Result<(TcpListener, SocketAddr), Failure> {
    let text = &args.listen;
    let wrong = || Failure::usage(format!("--listen {text}: expected HOST:PORT, as in 127.0.0.1:9308"));
    let address =
        lookup_host(text).await.ok().and_then(|mut addresses| addresses.next()).ok_or_else(wrong)?;
    if !address.ip().is_loopback() {
        if args.allow_writes && args.tls_cert.is_none() {
            return Err(Failure::usage(format!(
                "--allow-writes: --listen {text} is not a loopback address, and without TLS anybody on the way could read the token: say --tls-cert and --tls-key, or listen on 127.0.0.1"
            )));
        }
        let what = "all who reach it can read names and offsets of topics and groups, and nobody has to say who they are";
        tell(format!("--listen {text}: not a loopback address: {what}"));
    }
    let failed = |error| Failure::failed(format!("--listen {text}: {error}; choose another"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
