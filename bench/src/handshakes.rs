//! What it costs a client to agree upon TLS, anew and by an earlier session: clients whose connections are cut again and again,
//! with a broker of one network thread, as each thread of Kafka's has session keys of its own and connections go round.

use std::cell::Cell;
use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use ottla::Admin;
use ottla_bench_child::{thread_cpu_micros, tls};
use ottla_conformance::kafka::Config;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry;

use crate::broker::Broker;
use crate::consumer::runtime;
use crate::stats::{median, middle_half};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each client's connection is cut.
    #[arg(long, default_value_t = 20)]
    reconnects: usize,
    /// One after the other, each without a session at first.
    #[arg(long, default_value_t = 5)]
    clients: usize,
    /// The broker's; Kafka's own default is 3.
    #[arg(long, default_value_t = 1)]
    network_threads: u32,
}

#[derive(Debug, Clone, Copy)]
struct Handshake {
    resumed: bool,
    micros: f64,
}

thread_local! {
    /// What the driver's thread had used when its last connection stood, as yet without TLS.
    static CONNECTED: Cell<Option<i64>> = const { Cell::new(None) };
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let broker =
        Broker::with_tls(Config::new(1).optimized().set("num.network.threads", options.network_threads))?;
    let (told, handshakes) = channel();
    tracing::subscriber::set_global_default(registry().with(Told(told)))?;
    let mut all = Vec::new();
    for client in 1..=options.clients {
        let made = runtime()?.block_on(reconnect(&broker, &handshakes, options.reconnects))?;
        let (_first, again) = made.split_first().context("no handshake was told of")?;
        let resumed = again.iter().filter(|handshake| handshake.resumed).count();
        println!("client {client}: {resumed} of {} reconnects resumed a session (aim: half)", again.len());
        all.extend(made);
    }
    println!("\n| handshake | how many | client's CPU µs, median (middle half) |\n|---|---|---|");
    for (name, resumed) in [("full", false), ("resumed", true)] {
        let micros = || all.iter().filter(|one| one.resumed == resumed).map(|one| one.micros);
        let (low, high) = middle_half(micros());
        println!("| {name} | {} | {:.0} ({low:.0}-{high:.0}) |", micros().count(), median(micros()));
    }
    Ok(())
}

/// All the handshakes of one client, whose connection is cut so often.
async fn reconnect(broker: &Broker, told: &Receiver<Handshake>, reconnects: usize) -> Result<Vec<Handshake>> {
    let opened: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    let keep = Arc::clone(&opened);
    let admin = Admin::builder()
        .bootstrap_servers([&broker.bootstrap])
        .properties(tls(broker.authority.as_deref()))?
        .connector(move |host, port| {
            let keep = Arc::clone(&keep);
            async move {
                let stream = TcpStream::connect((host, port))?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                lock(&keep).push(stream.try_clone()?);
                let stream = tokio::net::TcpStream::from_std(stream)?;
                CONNECTED.set(Some(thread_cpu_micros().map_err(std::io::Error::other)?));
                Ok(stream)
            }
        })
        .build()
        .await?;
    let mut made = Vec::new();
    while made.len() <= reconnects {
        let before = made.len();
        tokio::time::timeout(PATIENCE, admin.describe_cluster()).await??;
        made.extend(told.try_iter());
        ensure!(made.len() > before, "a connection that was cut is of use still");
        for stream in lock(&opened).drain(..) {
            stream.shutdown(Shutdown::Both)?;
        }
    }
    admin.close().await;
    made.truncate(reconnects + 1);
    Ok(made)
}

fn lock(opened: &Mutex<Vec<TcpStream>>) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
    opened.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to what the client logs of its connections.
struct Told(Sender<Handshake>);

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut secured = Secured::default();
        event.record(&mut secured);
        let Secured { said: true, resumed } = secured else { return };
        // On the thread that agreed upon TLS.
        if let (Some(since), Ok(now)) = (CONNECTED.take(), thread_cpu_micros()) {
            // Nobody listens once enough were made.
            let _ = self.0.send(Handshake { resumed, micros: (now - since) as f64 });
        }
    }
}

#[derive(Default)]
struct Secured {
    said: bool,
    resumed: bool,
}

impl Visit for Secured {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.resumed |= field.name() == "resumed" && value;
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.said |= field.name() == "message" && format!("{value:?}") == "secured";
    }
}
