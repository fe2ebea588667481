//! What the tests of behaviour share: a log of effects, and the rows of a run.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::sync::{Arc, Mutex};

use durable::{Builder, Engine};

/// What the bodies of steps did, in order. A resource of the engine, so that no two tests share one.
#[derive(Default, Clone)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    /// Notes an effect in the log of the current run's engine.
    pub(crate) fn note(text: impl Into<String>) {
        durable::resource::<Log>().push(text);
    }

    pub(crate) fn push(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| *line == text).count()
    }
}

/// A switch that tests set and steps read, by name.
#[derive(Default, Clone)]
pub(crate) struct Switches(Arc<Mutex<Vec<String>>>);

impl Switches {
    pub(crate) fn set(&self, name: &str) {
        self.0.lock().unwrap().push(name.into());
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Whether the engine of the current run has the switch set.
    pub(crate) fn is_set(name: &str) -> bool {
        durable::resource::<Switches>().0.lock().unwrap().iter().any(|set| set == name)
    }
}

pub(crate) fn builder(log: &Log, switches: &Switches) -> Builder {
    Engine::builder().with(log.clone()).with(switches.clone())
}

pub(crate) fn engine() -> (Engine, Log, Switches) {
    let (log, switches) = (Log::default(), Switches::default());
    (builder(&log, &switches).in_memory().unwrap(), log, switches)
}

/// The keys of a run's recorded steps.
pub(crate) fn keys(engine: &Engine, id: &str) -> Vec<String> {
    engine.steps(id).unwrap().iter().map(|step| step.key().to_string()).collect()
}
