//! The spans of a processor, against the embedded broker. In a process of its own, as there is one subscriber for all of it.

#![expect(clippy::unwrap_used, reason = "a test's helpers")]

#[expect(dead_code, reason = "some have no use here")]
mod common;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ottla::{Consumer, OffsetReset, Processor, Producer, ProducerRecord, RetryPolicy};
use ottla_broker::Server;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt as _},
    registry::LookupSpan,
};

use common::{PATIENCE, server};

const MILLI: Duration = Duration::from_millis(1);

type Fields = BTreeMap<String, String>;

/// Keeps what spans of the processor have in their fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<Fields>>>);

struct Into<'a>(&'a mut Fields);

impl Visit for Into<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let mut fields = Fields::new();
        attributes.record(&mut Into(&mut fields));
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(&mut Into(fields));
        }
    }

    fn on_close(&self, id: span::Id, context: Context<'_, S>) {
        let span = context.span(&id).unwrap();
        if span.metadata().target() == "ottla::processing" {
            self.0.lock().unwrap().extend(span.extensions_mut().remove::<Fields>());
        }
    }
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn produce_traced(server: &Server) {
    let producer = Producer::builder().bootstrap_servers([server.bootstrap()]).build().await.unwrap();
    let record = ProducerRecord::to("t").key("a key").value("").header("traceparent", TRACEPARENT);
    producer.send(record.header("tracestate", "congo=t61rcWkgMzE")).await.unwrap().await.unwrap();
    producer.close().await.unwrap();
}

#[tokio::test]
async fn each_attempt_has_a_span_by_opentelemetrys_conventions_with_the_producers_trace() {
    let server = server(1);
    produce_traced(&server).await;
    let (spans, contexts, within) =
        (Spans::default(), Arc::new(Mutex::new(vec![])), Arc::<AtomicUsize>::default());
    let shared = (contexts.clone(), within.clone());
    let consumer = Consumer::builder()
        .bootstrap_servers([server.bootstrap()])
        .group_id("g")
        .auto_offset_reset(OffsetReset::Earliest)
        .subscribe(["t"]);
    let retries = RetryPolicy::exponential(MILLI..=MILLI);
    let process = Processor::new(consumer).retries(retries).each_message(move |message| {
        let (contexts, within) = shared.clone();
        async move {
            let is_within = || tracing::Span::current().metadata().is_some_and(|it| it.name() == "process");
            within.fetch_add(usize::from(is_within()), Ordering::Relaxed);
            tokio::task::yield_now().await;
            within.fetch_add(usize::from(is_within()), Ordering::Relaxed);
            let context = message.trace_context().unwrap();
            let parts = [context.trace_id(), context.parent_id(), context.tracestate().unwrap()];
            contexts.lock().unwrap().push(parts.map(str::to_owned));
            if message.attempt() == 1 { Err("once more") } else { Ok(()) }
        }
    });
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(spans.clone())).unwrap();
    let running = process.run_until(async {
        while spans.0.lock().unwrap().len() < 2 {
            tokio::time::sleep(MILLI).await;
        }
    });
    tokio::time::timeout(PATIENCE, running).await.unwrap().unwrap();
    assert_eq!(within.load(Ordering::Relaxed), 4, "handlers run in their span");
    let parts = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "congo=t61rcWkgMzE"];
    assert_eq!(*contexts.lock().unwrap(), [parts, parts]);
    let expected = [
        ("messaging.consumer.group.name", "g"),
        ("messaging.destination.name", "t"),
        ("messaging.destination.partition.id", "0"),
        ("messaging.kafka.message.key", "a key"),
        ("messaging.kafka.offset", "0"),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
        ("messaging.system", "kafka"),
        ("otel.kind", "consumer"),
        ("otel.name", "process t"),
        ("traceparent", TRACEPARENT),
    ];
    let expected: Fields = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut failed = expected.clone();
    failed.insert("error.type".to_owned(), "error".to_owned());
    failed.insert("otel.status_code".to_owned(), "ERROR".to_owned());
    assert_eq!(*spans.0.lock().unwrap(), [failed, expected]);
}
