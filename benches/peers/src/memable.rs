//! memable: async functions with a context, keys by hand, redb. Every step is a commit of its own that blocks the
//! thread it is called on, and redb syncs each: memable has no setting for that.

use std::path::{Path, PathBuf};

use memable::{Context, EngineError, WorkflowState};

use crate::work::{self, Engine, FILE, NAP, value};

async fn work(context: &Context, number: u32) -> Result<String, EngineError> {
    context.step(&format!("work-{number}")).run(async || Ok(value())).await
}

fn count(context: &Context) -> Result<u32, EngineError> {
    Ok(context.input()?.unwrap_or_default())
}

async fn steps(context: Context) -> Result<(), EngineError> {
    for number in 0..count(&context)? {
        work(&context, number).await?;
    }
    Ok(())
}

/// Its steps commit on the workflow's thread, so at once is one after the other here.
async fn parallel(context: Context) -> Result<(), EngineError> {
    let steps = (0..count(&context)?).map(|number| work(&context, number));
    futures_util::future::try_join_all(steps).await?;
    Ok(())
}

async fn steps_and_last(context: Context) -> Result<(), EngineError> {
    for number in 0..count(&context)? {
        work(&context, number).await?;
    }
    let last = async || {
        work::last().await;
        Ok(())
    };
    context.step("last").run(last).await
}

async fn sleeps(context: Context) -> Result<(), EngineError> {
    context.timer("nap", NAP)
}

pub(crate) struct Memable {
    engine: memable::Engine,
    /// Keeps the id of the run that is gone on with, which memable draws itself.
    note: PathBuf,
}

impl Memable {
    async fn complete(&self, workflow: &str, count: u32) {
        let state = self.engine.invoke(workflow).input(count).await.expect("a start").wait().await;
        assert_eq!(state, WorkflowState::Completed(None), "{workflow}");
    }
}

impl Engine for Memable {
    async fn open(folder: &Path, full: bool) -> Self {
        assert!(full, "it has no other durability");
        let store = memable::Engine::builder().open(folder.join(FILE)).expect("a store");
        let mut engine = store.resume_on_start(false).build();
        engine.register("steps", steps);
        engine.register("parallel", parallel);
        engine.register("steps-and-last", steps_and_last);
        engine.register("sleeps", sleeps);
        engine.start().await.expect("a start");
        Self { engine, note: folder.join("interrupted") }
    }

    async fn settings(&self) -> String {
        "redb 4.6.0, whose transactions are `Durability::Immediate`; memable has no setting".to_owned()
    }

    async fn steps(&self, _id: String, count: u32) {
        self.complete("steps", count).await;
    }

    async fn parallel(&self, count: u32) {
        self.complete("parallel", count).await;
    }

    async fn record(&self, count: u32) {
        let run = self.engine.invoke("steps-and-last").input(count).await.expect("a start");
        std::fs::write(&self.note, run.instance_id()).expect("a note");
        run.wait().await;
    }

    async fn resume(&self) {
        let id = std::fs::read_to_string(&self.note).expect("a note");
        self.engine.resume("steps-and-last", id).await.expect("a start").wait().await;
    }

    async fn sleeper(&self, _id: String) {
        let state = self.engine.invoke("sleeps").await.expect("a start").wait().await;
        assert!(matches!(state, WorkflowState::Suspended { .. }));
    }
}
