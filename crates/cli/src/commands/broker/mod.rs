//! `ottla broker`: the embedded broker in the foreground.

mod security;

use std::{
    io,
    net::{SocketAddr, ToSocketAddrs},
};

use ottla_broker::{Config, Listen, Sasl, SaslMechanism, Server, TopicSpec};

use crate::{
    args::BrokerArgs,
    failure::{Failure, tell},
    output,
    signals::Stop,
};

pub(super) async fn run(args: &BrokerArgs, mut stop: Stop) -> Result<(), Failure> {
    let topics = args.topics.iter().map(|topic| spec(topic)).collect::<Result<Vec<_>, _>>()?;
    let config = Config { brokers: args.brokers, data_dir: args.data_dir.clone(), ..Config::default() };
    let config = security::secure(&args.security, config)?;
    let listen = listen(args, &config)?;
    let server = Server::start(config, listen).await.map_err(|error| match error.kind() {
        // The files of TLS; an address of that kind did not get here.
        io::ErrorKind::InvalidInput => {
            Failure::usage(format!("--tls-cert, --tls-key, --tls-client-ca: {error}"))
        }
        // The system's are of the address; those of the directory name it.
        _ if error.raw_os_error().is_none() => Failure::failed(error.to_string()),
        _ => Failure::failed(format!("{}: {error}; choose another --listen", args.listen)),
    })?;
    for topic in &topics {
        create(&server, topic, args.data_dir.is_some())?;
    }
    output::print(&format!("ready {}\n", server.bootstrap()))?;
    stop.requested().await;
    server.stop().await;
    Ok(())
}

/// Creates a topic, unless it `may_be` there already.
fn create(server: &Server, topic: &TopicSpec, may_be: bool) -> Result<(), Failure> {
    let there = server.with_cluster(|cluster| {
        let mut topics = cluster.topics();
        topics.find(|(name, _)| *name == topic.name).map(|(_, partitions)| partitions)
    });
    let flag = format!("--topic {}", topic.name);
    if let Some(partitions) = there.filter(|_| may_be) {
        if partitions != topic.partitions as usize {
            tell(format!("{flag}: it is there, with {partitions} partitions"));
        }
        return Ok(());
    }
    let created = server.with_cluster(|cluster| cluster.create_topic(topic));
    created.map(|_| ()).map_err(|refusal| Failure::usage(format!("{flag}: {refusal}")))
}

fn spec(topic: &str) -> Result<TopicSpec, Failure> {
    let spec = topic
        .rsplit_once(':')
        .and_then(|(name, partitions)| Some(TopicSpec::new(name, partitions.parse().ok()?)));
    spec.ok_or_else(|| Failure::usage(format!("--topic {topic}: expected NAME:PARTITIONS, as in orders:12")))
}

fn listen(args: &BrokerArgs, config: &Config) -> Result<Listen, Failure> {
    let wrong =
        || Failure::usage(format!("--listen {}: expected HOST:PORT, as in 127.0.0.1:9092", args.listen));
    let address: SocketAddr =
        args.listen.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()).ok_or_else(wrong)?;
    if address.ip().is_loopback() {
        return Ok(Listen::Loopback(address));
    }
    let authenticates = security::authenticates(config);
    if !args.allow_remote {
        let why = if authenticates {
            "say --allow-remote if others may reach it"
        } else {
            "and nobody has to authenticate; say --allow-remote if everybody who reaches it may do everything"
        };
        return Err(Failure::usage(format!("--listen {}: not a loopback address, {why}", args.listen)));
    }
    let plain = |sasl: &Sasl| sasl.mechanisms.contains(&SaslMechanism::Plain);
    if config.tls.is_none() && config.sasl.as_ref().is_some_and(plain) {
        tell("--sasl-mechanism PLAIN: passwords travel in the clear; say --tls-cert and --tls-key");
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
