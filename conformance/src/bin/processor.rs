//! A worker that handles records by key, as a process of its own, which can be killed:
//! `processor HISTORY MENDED TOPIC KEY=VALUE...` with Kafka's properties of a consumer.
//!
//! A record's value is its number. What the handler does is appended to the file HISTORY, a line each: what, the number, which attempt
//! it is, and the time in nanoseconds. `S` is a handler that begins, `E` one that has handled its record, `F` one that fails, and `C`
//! one that is dropped before its end. Of twenty records one fails at first, of a thousand one fails always, unless MENDED is
//! `mended`. It goes on until its input ends.
//!
//! Where MENDED is `held`, a record has one attempt in its topic, one in each of two retry topics, which is told in place of the
//! attempt, and later ones of its key follow it there. Of fifty one fails in the first two.

use std::error::Error;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ottla::dead_letters::DeadLetters;
use ottla::processor::Message;
use ottla::{ConsumerBuilder, HandlerError, Order, Processor, RetryOrder, RetryPolicy};

const DELAYS: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(500)];

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("fatal {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let [history, mended, topic] = std::array::from_fn(|_| arguments.next().unwrap_or_default());
    let pair = |pair: String| pair.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let properties = arguments.map(pair).collect::<Option<Vec<_>>>();
    let properties = properties.ok_or("usage: processor HISTORY MENDED TOPIC KEY=VALUE...")?;
    let (history, mends) = (Arc::new(File::create(history)?), mended == "mended");
    let (ends, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = ends.send(());
    });
    let consumer = ConsumerBuilder::from_properties(properties)?.subscribe([topic.as_str()]);
    let mut processor = Processor::new(consumer);
    if mended == "held" {
        processor = processor.retry_topics(DELAYS).retry_order(RetryOrder::Held);
    }
    let attempts = if mended == "held" { 1 } else { 3 };
    let is_held = mended == "held";
    processor
        .order(Order::Key)
        .concurrency(64)
        .retries(
            RetryPolicy::exponential(Duration::from_millis(5)..=Duration::from_millis(20)).attempts(attempts),
        )
        .dead_letters(DeadLetters::new())
        .each_message(move |message| handle(message, history.clone(), mends, is_held))
        .run_until(ended)
        .await?;
    Ok(())
}

/// What a handler has begun and not ended.
struct Handling {
    history: Arc<File>,
    number: u64,
    attempt: u32,
    is_ended: bool,
}

impl Handling {
    /// A whole line at once: what was written stays where the process is killed.
    fn note(&self, what: char) {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let line = format!("{what} {} {} {time}\n", self.number, self.attempt);
        if let Err(error) = (&*self.history).write_all(line.as_bytes()) {
            println!("no history: {error}");
        }
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        if !self.is_ended {
            self.note('C');
        }
    }
}

/// Which attempt it is, where each topic has one.
fn hop(message: &Message) -> u32 {
    let retry =
        DELAYS.iter().position(|delay| message.topic().ends_with(&format!("-retry-{}", delay.as_millis())));
    retry.map_or(1, |retry| retry as u32 + 2)
}

async fn handle(
    message: Message,
    history: Arc<File>,
    mends: bool,
    is_held: bool,
) -> Result<(), HandlerError> {
    let number: u64 = std::str::from_utf8(message.value().unwrap_or_default())?.parse()?;
    let attempt = if is_held { hop(&message) } else { message.attempt() };
    let mut handling = Handling { history, number, attempt, is_ended: false };
    handling.note('S');
    tokio::time::sleep(Duration::from_millis(1)).await;
    let fails = number % 1000 == 7
        || number % 20 == 3 && attempt == 1
        || is_held && number % 50 == 11 && attempt <= 2;
    handling.is_ended = true;
    if fails && !mends {
        handling.note('F');
        return Err(format!("{number} is not wanted").into());
    }
    handling.note('E');
    Ok(())
}
