//! Ottla's transactional producers, called by name, as those of others are.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use libtest_mimic::Failed;
use ottla::{Consumer, ProducerRecord, TransactionalProducer};
use ottla_conformance::targets::Target;

use crate::cases::Outcome;
use crate::kit::wait;
use crate::transactions::Producers;

/// A call, and where its outcome goes.
type Call = (Step, SyncSender<Result<(), String>>);

#[derive(Debug)]
enum Step {
    Begin,
    Send { topic: String, value: String },
    Offsets { group: String, topic: String, offset: i64 },
    End { commit: bool },
}

/// A thread for each producer: an open transaction borrows its producer.
pub(crate) struct Ours {
    bootstrap: String,
    producers: BTreeMap<String, SyncSender<Call>>,
}

impl Ours {
    pub(crate) fn new(target: &Target) -> Self {
        Self { bootstrap: target.bootstrap(), producers: BTreeMap::new() }
    }

    fn call(&self, name: &str, step: Step) -> Outcome {
        let producer = self.producers.get(name).ok_or("no such producer")?;
        let (answer, outcome) = sync_channel(1);
        producer.send((step, answer))?;
        Ok(outcome.recv()??)
    }
}

impl Producers for Ours {
    fn init(&mut self, name: &str, id: &str) -> Outcome {
        let (calls, receiver) = sync_channel(1);
        let (bootstrap, id) = (self.bootstrap.clone(), id.to_owned());
        let (started, outcome) = sync_channel(1);
        std::thread::spawn(move || wait(serve(bootstrap, id, receiver, started)));
        outcome.recv()??;
        self.producers.insert(name.to_owned(), calls);
        Ok(())
    }

    fn begin(&mut self, name: &str) -> Outcome {
        self.call(name, Step::Begin)
    }

    fn send(&mut self, name: &str, topic: &str, value: &str) -> Outcome {
        self.call(name, Step::Send { topic: topic.to_owned(), value: value.to_owned() })
    }

    fn offsets(&mut self, name: &str, group: &str, topic: &str, offset: i64) -> Outcome {
        self.call(name, Step::Offsets { group: group.to_owned(), topic: topic.to_owned(), offset })
    }

    fn end(&mut self, name: &str, commit: bool) -> Outcome {
        self.call(name, Step::End { commit })
    }
}

async fn serve(
    bootstrap: String,
    id: String,
    calls: Receiver<Call>,
    started: SyncSender<Result<(), String>>,
) -> Result<(), Failed> {
    let builder =
        TransactionalProducer::builder().bootstrap_servers([bootstrap.as_str()]).transactional_id(id);
    let mut producer = match builder.build_transactional().await {
        Ok(producer) => producer,
        Err(error) => return Ok(started.send(Err(error.to_string()))?),
    };
    started.send(Ok(()))?;
    while let Ok((step, answer)) = calls.recv() {
        let begun = match step {
            Step::Begin => producer.begin().await,
            other => {
                answer.send(Err(format!("no transaction is open: {other:?}")))?;
                continue;
            }
        };
        let transaction = match begun {
            Ok(transaction) => transaction,
            Err(error) => {
                answer.send(Err(error.to_string()))?;
                continue;
            }
        };
        answer.send(Ok(()))?;
        while let Ok((step, answer)) = calls.recv() {
            let outcome = match step {
                Step::Begin => Err("a transaction is open".to_owned()),
                Step::Send { topic, value } => {
                    let record = ProducerRecord::to(topic).partition(0).value(value);
                    match transaction.send(record).await {
                        Ok(delivery) => delivery.await.map(drop).map_err(|error| error.to_string()),
                        Err(error) => Err(error.to_string()),
                    }
                }
                Step::Offsets { group, topic, offset } => {
                    let consumer =
                        Consumer::builder().bootstrap_servers([bootstrap.as_str()]).group_id(group);
                    let consumer = consumer.build().await?;
                    let group = consumer.group_metadata().ok_or("no metadata of the group")?;
                    transaction
                        .send_offsets([((topic, 0), offset)], &group)
                        .await
                        .map_err(|error| error.to_string())
                }
                Step::End { commit } => {
                    let ended = if commit { transaction.commit().await } else { transaction.abort().await };
                    answer.send(ended.map_err(|error| error.to_string()))?;
                    break;
                }
            };
            answer.send(outcome)?;
        }
    }
    Ok(())
}
