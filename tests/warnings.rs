//! A step on a thread that no run knows is a plain call, with a warning while a run lives: it may have been meant to
//! be part of that. Runs are counted over the whole process, so this is the only test of its program.

use std::sync::{Arc, Mutex};
use std::thread;

use durable::{Engine, step, workflow};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps each message.
#[derive(Clone, Default)]
struct Messages(Arc<Mutex<Vec<String>>>);

impl Visit for Messages {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Messages {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[step]
fn work() -> u32 {
    1
}

#[workflow(allow(thread))]
fn works_elsewhere() -> u32 {
    let messages = durable::resource::<Messages>();
    let elsewhere = || tracing::subscriber::with_default((*messages).clone(), work);
    thread::scope(|scope| scope.spawn(elsewhere).join().unwrap())
}

#[test]
fn a_step_that_no_run_knows_is_told_of_while_a_run_lives() {
    let messages = Messages::default();
    let count = || messages.0.lock().unwrap().len();
    let outside = || tracing::subscriber::with_default(messages.clone(), work);
    assert_eq!((outside(), count()), (1, 0));
    let engine = Engine::builder().with(messages.clone()).in_memory().unwrap();
    assert_eq!(works_elsewhere::durable("x").on(&engine).run().unwrap(), 1);
    assert!(engine.steps("x").unwrap().is_empty());
    let said = messages.0.lock().unwrap().join("\n");
    assert!(
        said.starts_with("step `work` (tests/warnings.rs:") && said.contains("nothing is recorded"),
        "{said}"
    );
    assert_eq!((outside(), count()), (1, 1), "the run has ended");
}
