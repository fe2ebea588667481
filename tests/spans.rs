//! A span for each run and for each attempt or replay of a step, for whatever subscriber the program has.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use durable::{Engine, step, workflow};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps each new span as a line of text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("durable")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut line = Line(span.metadata().name().to_owned());
        span.record(&mut line);
        let mut lines = self.0.lock().unwrap();
        lines.push(line.0);
        Id::from_u64(lines.len() as u64)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line("event".to_owned());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Once(Mutex<bool>);

#[step(retries = 1, backoff = "1ms")]
fn flaky() -> Result<u32, String> {
    let once = durable::resource::<Once>();
    let mut failed = once.0.lock().unwrap();
    if std::mem::replace(&mut *failed, true) { Ok(1) } else { Err("not yet".into()) }
}

#[step]
fn large() -> String {
    "x".repeat(100)
}

#[workflow]
fn traced() -> Result<u32, String> {
    large();
    let number = flaky();
    assert!(*durable::resource::<Mutex<bool>>().lock().unwrap(), "stop");
    number
}

#[test]
fn runs_and_steps_have_spans_that_tell_attempts_and_replays() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let engine = Engine::builder()
            .with(Once(Mutex::new(false)))
            .with(Mutex::new(false))
            .clock(durable::TestClock::default())
            .payload_warn_bytes(50)
            .in_memory()
            .unwrap();
        traced::durable("run-1").on(&engine).run().unwrap_err();
        {
            let _entered = engine.enter();
            *durable::resource::<Mutex<bool>>().lock().unwrap() = true;
        }
        traced::durable("run-1").on(&engine).run().unwrap();
    });
    let expected = [
        "workflow workflow=\"traced\" id=\"run-1\"",
        "step id=\"run-1\" step=\"large\" key=\"large_0\" attempt=1 replayed=false",
        "event message=step large_0 records 102 bytes id=\"run-1\"",
        "step id=\"run-1\" step=\"flaky\" key=\"flaky_1\" attempt=1 replayed=false",
        "step id=\"run-1\" step=\"flaky\" key=\"flaky_1\" attempt=2 replayed=false",
        "workflow workflow=\"traced\" id=\"run-1\"",
        "step id=\"run-1\" step=\"large\" key=\"large_0\" attempt=1 replayed=true",
        "step id=\"run-1\" step=\"flaky\" key=\"flaky_1\" attempt=2 replayed=true",
    ];
    assert_eq!(*lines.0.lock().unwrap(), expected);
}

#[step]
fn left_out() {}

#[workflow]
fn shortened() {
    large();
    if !*durable::resource::<Mutex<bool>>().lock().unwrap() {
        left_out();
        panic!("stop");
    }
}

#[test]
fn recorded_steps_that_a_run_no_longer_comes_to_are_named() {
    let lines = Lines::default();
    tracing::subscriber::with_default(lines.clone(), || {
        let engine = Engine::builder().with(Mutex::new(false)).in_memory().unwrap();
        shortened::durable("run-1").on(&engine).run().unwrap_err();
        {
            let _entered = engine.enter();
            *durable::resource::<Mutex<bool>>().lock().unwrap() = true;
        }
        shortened::durable("run-1").on(&engine).run().unwrap();
        shortened::durable("run-2").on(&engine).run().unwrap();
    });
    let lines = lines.0.lock().unwrap();
    let events: Vec<_> = lines.iter().filter(|line| line.starts_with("event")).collect();
    assert_eq!(
        events,
        ["event message=the run ended without reaching its recorded steps left_out_1 id=\"run-1\""]
    );
}
