//! Records in transactions, of which each fifth is aborted.

use std::sync::Arc;

use ottla::{TransactionError, TransactionalProducer};
use ottla_check::history::{Decision, Op, Outcome};
use tokio::sync::watch;

use super::{Acks, CLOSE, Pace, TICK, begin};
use crate::command::{Failure, MemberArgs, diary::Diary, member::stop, tell};

const ABORTED: u64 = 5;
/// Transactions last from one tick to so many.
const LONGEST: u64 = 10;

pub(super) async fn run(
    args: &MemberArgs,
    diary: &Arc<Diary>,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Failure> {
    let mut writer = Writer { args, diary, pace: Pace::new(args.rate), acks: Acks::default(), count: 0 };
    loop {
        let mut producer = tokio::select! {
            biased;
            () = stop(&mut stopped) => return writer.acks.settle_all().await,
            built = build(args) => built?,
        };
        tokio::select! {
            ended = writer.write(&mut producer) => ended?,
            // What is open is aborted: the transaction is dropped, and the close waits for its end.
            () = stop(&mut stopped) => {}
        }
        _ = tokio::time::timeout(CLOSE, producer.close()).await;
    }
}

async fn build(args: &MemberArgs) -> Result<TransactionalProducer, Failure> {
    // The next life of a process has the same id, which ends what was open.
    let place = args.name.split('.').next().unwrap_or_default();
    let builder = args.clients.producer()?.transactional_id(format!("{}-{place}", args.topic));
    Ok(builder.build_transactional().await?)
}

struct Writer<'a> {
    args: &'a MemberArgs,
    diary: &'a Arc<Diary>,
    pace: Pace,
    acks: Acks,
    /// Transactions that were begun.
    count: u64,
}

impl Writer<'_> {
    /// Writes until the producer cannot be used any more.
    async fn write(&mut self, producer: &mut TransactionalProducer) -> Result<(), Failure> {
        while producer.is_usable() {
            if let Err(error) = self.transact(producer).await? {
                tell(format!("{}: {error:#}", self.args.name));
                tokio::time::sleep(TICK).await;
            }
        }
        Ok(())
    }

    /// One transaction.
    async fn transact(
        &mut self,
        producer: &mut TransactionalProducer,
    ) -> Result<Result<(), TransactionError>, Failure> {
        let transaction = match producer.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return Ok(Err(error)),
        };
        let txn = format!("{}-{}", self.args.name, self.count);
        let decision = if self.count % ABORTED == ABORTED - 1 { Decision::Abort } else { Decision::Commit };
        let ticks = self.count % LONGEST + 1;
        self.count += 1;
        self.diary.write(Op::Begin { txn: txn.clone() })?;
        for _ in 0..ticks {
            self.pace.tick().await;
            let due = self.pace.due(self.acks.room());
            let (at, sends) = begin(self.args, self.diary, due, Some(&txn))?;
            for send in sends {
                let sent = transaction.send(send.record()).await;
                self.acks.expect(self.diary, at, send, sent)?;
            }
        }
        let at = self.diary.now();
        let end = |outcome| Op::End { txn: txn.clone(), decision, outcome, group: None, offsets: Vec::new() };
        self.diary.write_all(at, [end(Outcome::Unknown)])?;
        let ended = match decision {
            Decision::Commit => transaction.commit().await,
            Decision::Abort => transaction.abort().await,
        };
        // What was sent is settled before what became of the transaction is, as readers of the history may expect.
        self.acks.settle_some()?;
        let outcome = match &ended {
            Ok(()) => Outcome::Ok,
            Err(TransactionError::Aborted(_)) => Outcome::Failed,
            // It may have been done before the producer was fenced.
            Err(_) => Outcome::Unknown,
        };
        self.diary.settle(at, end(outcome))?;
        Ok(ended)
    }
}
