//! Serves an embedded cluster until it is killed: `cargo run -p ottla-broker --example serve -- 9092 3 topic:12 ...`

use ottla_broker::{Config, Server, TopicSpec};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().unwrap_or_else(|| "9092".to_owned()).parse()?;
    let brokers = args.next().unwrap_or_else(|| "1".to_owned()).parse()?;
    let mut topics = Vec::new();
    for topic in args {
        let (name, partitions) = topic.split_once(':').unwrap_or((&topic, "1"));
        topics.push(TopicSpec::new(name, partitions.parse()?));
    }
    let config = Config { brokers, topics, ..Config::default() };
    let server = Server::start(config, ([127, 0, 0, 1], port)).await?;
    println!("ready {}", server.bootstrap());
    std::future::pending::<()>().await;
    Ok(())
}
