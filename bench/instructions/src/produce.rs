//! The whole producing side: `produce dropped|awaited PARTITIONS RECORDS` sends records of 100 bytes without keys by `try_send`,
//! and drops each `Delivery` at once, or awaits all of a thousand. The broker is a task of the same thread that reads the frames of a
//! pipe and acknowledges them, and the driver is one, too, so that a count is the same in each run.

use std::io;

use anyhow::{Result, bail};
use ottla::{Producer, ProducerRecord};
use ottla_protocol::messages::*;
use ottla_protocol::{ApiKey, Request, RequestHeader, Response, ResponseHeader, TopicId};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::batches::value;

const TOPIC: &str = "records";
const TOPIC_ID: TopicId = TopicId([1; 16]);
/// So many are sent before they are waited for.
const ROUND: usize = 1_000;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let [what, partitions, records] = args else {
        bail!("usage: produce dropped|awaited PARTITIONS RECORDS")
    };
    let awaited = match what.as_str() {
        "dropped" => false,
        "awaited" => true,
        _ => bail!("dropped or awaited"),
    };
    let (partitions, records) = (partitions.parse()?, records.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(produce(awaited, partitions, records))?);
    Ok(())
}

/// Returns how many records were sent.
async fn produce(awaited: bool, partitions: i32, records: usize) -> Result<usize> {
    let open = move |_, _| async move {
        let (ours, theirs) = duplex(1 << 20);
        // It ends with the connection, and has nothing to tell.
        drop(tokio::spawn(serve(theirs, partitions)));
        Ok(ours)
    };
    let builder =
        Producer::builder().bootstrap_servers(["broker:9092"]).ambient_runtime(true).connector(open);
    let producer = builder.build().await?;
    let value = value();
    let record = || ProducerRecord::to(TOPIC).value(&value);
    producer.send(record()).await?.await?;
    let mut sent = 0;
    while sent < records {
        let mut deliveries = Vec::new();
        for _ in 0..ROUND {
            let Ok(delivery) = producer.try_send(record()) else { bail!("no room for a round") };
            if awaited {
                deliveries.push(delivery);
            }
        }
        sent += ROUND;
        let all = async {
            for delivery in deliveries {
                delivery.await?;
            }
            anyhow::Ok(())
        };
        let (flushed, delivered) = tokio::join!(producer.flush(), all);
        flushed?;
        delivered?;
    }
    producer.close().await?;
    Ok(sent)
}

/// Answers each request as soon as it is read.
async fn serve(mut stream: DuplexStream, partitions: i32) -> io::Result<()> {
    let (mut frame, mut next) = (Vec::new(), 0);
    loop {
        let length = stream.read_u32().await?;
        frame.resize(length as usize, 0);
        stream.read_exact(&mut frame).await?;
        let (header, request) = RequestHeader::decode(&frame).map_err(io::Error::other)?;
        let Some(response) = answer(request, partitions, &mut next) else { return Ok(()) };
        let RequestHeader { key, version, correlation_id, .. } = header;
        stream.write_all(&ResponseHeader { key, version, correlation_id }.encode(&response)).await?;
    }
}

fn answer(request: Request, partitions: i32, next: &mut i64) -> Option<Response> {
    Some(match request {
        Request::ApiVersions(_) => {
            let api = |key: &ApiKey| ApiVersionsApiVersion {
                api_key: *key as i16,
                min_version: key.versions().min,
                max_version: key.versions().max,
            };
            ApiVersionsResponse { api_keys: ApiKey::ALL.iter().map(api).collect(), ..Default::default() }
                .into()
        }
        Request::Metadata(_) => metadata(partitions).into(),
        Request::InitProducerId(_) => {
            InitProducerIdResponse { producer_id: 1, producer_epoch: 0, ..Default::default() }.into()
        }
        Request::Produce(request) => {
            let mut partition = |asked: ProducePartitionData| {
                *next += 1;
                ProducePartitionResponse { index: asked.index, base_offset: *next, ..Default::default() }
            };
            let topic = |asked: ProduceTopicData| ProduceTopicResponse {
                name: asked.name,
                topic_id: asked.topic_id,
                partition_responses: asked.partition_data.into_iter().map(&mut partition).collect(),
            };
            let responses = request.topic_data.into_iter().map(topic).collect();
            ProduceResponse { responses, ..Default::default() }.into()
        }
        _ => return None,
    })
}

fn metadata(partitions: i32) -> MetadataResponse {
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        leader_id: 1,
        leader_epoch: 1,
        ..Default::default()
    };
    let topic = MetadataResponseTopic {
        name: Some(TOPIC.to_owned()),
        topic_id: TOPIC_ID,
        partitions: (0..partitions).map(partition).collect(),
        ..Default::default()
    };
    let broker =
        MetadataResponseBroker { node_id: 1, host: "broker".to_owned(), port: 9092, ..Default::default() };
    MetadataResponse { brokers: vec![broker], topics: vec![topic], ..Default::default() }
}
