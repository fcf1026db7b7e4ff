//! `ottla broker`: the embedded broker in the foreground.

use std::net::{SocketAddr, ToSocketAddrs};

use ottla_broker::{Config, Listen, Server, TopicSpec};

use crate::{args::BrokerArgs, failure::Failure, output, signals::Stop};

pub(super) async fn run(args: &BrokerArgs, mut stop: Stop) -> Result<(), Failure> {
    if args.data_dir.is_some() {
        return Err(Failure::not_yet("`broker --data-dir`"));
    }
    let topics = args.topics.iter().map(|topic| spec(topic)).collect::<Result<Vec<_>, _>>()?;
    let listen = listen(args)?;
    let config = Config { brokers: args.brokers, ..Config::default() };
    let server = Server::start(config, listen)
        .await
        .map_err(|error| Failure::failed(format!("{}: {error}; choose another --listen", args.listen)))?;
    for topic in &topics {
        server
            .with_cluster(|cluster| cluster.create_topic(topic))
            .map_err(|refusal| Failure::usage(format!("--topic {}: {refusal}", topic.name)))?;
    }
    output::print(&format!("ready {}\n", server.bootstrap()))?;
    stop.requested().await;
    server.stop().await;
    Ok(())
}

fn spec(topic: &str) -> Result<TopicSpec, Failure> {
    let spec = topic
        .rsplit_once(':')
        .and_then(|(name, partitions)| Some(TopicSpec::new(name, partitions.parse().ok()?)));
    spec.ok_or_else(|| Failure::usage(format!("--topic {topic}: expected NAME:PARTITIONS, as in orders:12")))
}

fn listen(args: &BrokerArgs) -> Result<Listen, Failure> {
    let wrong =
        || Failure::usage(format!("--listen {}: expected HOST:PORT, as in 127.0.0.1:9092", args.listen));
    let address: SocketAddr =
        args.listen.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(wrong)?;
    if address.ip().is_loopback() {
        return Ok(Listen::Loopback(address));
    }
    if !args.allow_remote {
        return Err(Failure::usage(format!(
            "--listen {}: not a loopback address, and the embedded broker has no authentication; say --allow-remote if \
             everybody who reaches it may do everything",
            args.listen
        )));
    }
    let advertised_host = match &args.advertised_host {
        Some(host) => host.clone(),
        None if address.ip().is_unspecified() => {
            let why = "clients cannot connect to that; say --advertised-host";
            return Err(Failure::usage(format!("--listen {}: {why}", args.listen)));
        }
        None => address.ip().to_string(),
    };
    Ok(Listen::Anywhere { address, advertised_host })
}
