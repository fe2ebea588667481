//! This library: async functions, as the peers have them, and for a lone caller plain ones beside those.

use std::path::Path;
use std::time::Duration;

use durable::{AsyncRunBuilder, Durability, step, workflow};

use crate::work::{self, Engine, FILE, NAP, value};

#[step]
async fn work(_number: u32) -> String {
    value()
}

#[step]
fn work_plainly(_number: u32) -> String {
    value()
}

#[workflow]
async fn steps(count: u32) -> usize {
    let mut bytes = 0;
    for number in 0..count {
        bytes += work(number).await.len();
    }
    bytes
}

#[workflow]
fn steps_plainly(count: u32) -> usize {
    (0..count).map(|number| work_plainly(number).len()).sum()
}

#[workflow]
async fn parallel(count: u32) -> usize {
    durable::future::join_all((0..count).map(work)).await.len()
}

#[step]
async fn last() {
    work::last().await;
}

#[workflow]
async fn steps_and_last(count: u32) {
    for number in 0..count {
        work(number).await;
    }
    last().await;
}

#[workflow]
async fn sleeps() {
    durable::future::sleep(NAP).await;
}

pub(crate) struct Durable(durable::Engine);

/// The same with plain functions: a lone caller leads its own commits.
pub(crate) struct Plain(Durable);

impl Engine for Durable {
    async fn open(folder: &Path, full: bool) -> Self {
        let durability = if full { Durability::Full } else { Durability::Normal };
        let engine = durable::Engine::builder().durability(durability);
        Self(engine.open(folder.join(FILE)).expect("an engine"))
    }

    async fn settings(&self) -> String {
        format!("SQLite {}, WAL, `Durability::Full`", rusqlite::version())
    }

    async fn steps(&self, id: String, count: u32) {
        steps::durable(id, count).on(&self.0).run().await.expect("a run");
    }

    async fn parallel(&self, count: u32) {
        parallel::durable("parallel", count).on(&self.0).run().await.expect("a run");
    }

    async fn record(&self, count: u32) {
        steps_and_last::durable("run", count).on(&self.0).run().await.expect("a run");
    }

    async fn resume(&self) {
        AsyncRunBuilder::<steps_and_last>::resume("run").on(&self.0).run().await.expect("a run");
    }

    async fn sleeper(&self, id: String) {
        tokio::spawn(sleeps::durable(&id).on(&self.0).run());
        while !self.0.steps(&id).is_ok_and(|steps| steps.len() == 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Engine for Plain {
    async fn open(folder: &Path, full: bool) -> Self {
        Self(Durable::open(folder, full).await)
    }

    async fn settings(&self) -> String {
        self.0.settings().await
    }

    async fn steps(&self, id: String, count: u32) {
        tokio::task::block_in_place(|| steps_plainly::durable(id, count).on(&self.0.0).run().expect("a run"));
    }

    async fn parallel(&self, count: u32) {
        self.0.parallel(count).await;
    }

    async fn record(&self, count: u32) {
        self.0.record(count).await;
    }

    async fn resume(&self) {
        self.0.resume().await;
    }

    async fn sleeper(&self, id: String) {
        self.0.sleeper(id).await;
    }
}
