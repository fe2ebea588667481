//! durare: async functions with a context, over a pool of SQLite connections. Its own `connect` asks for
//! `synchronous = NORMAL` and five connections. Its `from_pool` takes one of ours: the same but for `synchronous`
//! and for their number.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use durare::{DurableContext, DurableEngine, EngineConfig, Result, SqliteProvider, WorkflowOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use crate::pragmas;
use crate::work::{self, Engine, FILE, NAP, value};

/// One, since they would wait for each other's writes: 64 workflows of 20 steps took 0.5 to 0.6 s with one, 0.8 to
/// 2.0 s with five, and a lone one was faster with one, too.
const CONNECTIONS: u32 = 1;

#[durare::step]
async fn work(context: &DurableContext, _number: u32) -> Result<String> {
    Ok(value())
}

#[durare::step]
async fn last(context: &DurableContext) -> Result<()> {
    work::last().await;
    Ok(())
}

#[durare::workflow]
async fn steps(context: DurableContext, count: u32) -> Result<usize> {
    let mut bytes = 0;
    for number in 0..count {
        bytes += work(&context, number).await?.len();
    }
    Ok(bytes)
}

#[durare::workflow]
async fn parallel(context: DurableContext, count: u32) -> Result<usize> {
    let steps = (0..count).map(|number| work(&context, number));
    Ok(futures_util::future::try_join_all(steps).await?.len())
}

#[durare::workflow]
async fn steps_and_last(context: DurableContext, count: u32) -> Result<()> {
    for number in 0..count {
        work(&context, number).await?;
    }
    last(&context).await
}

#[durare::workflow]
async fn sleeps(context: DurableContext, _input: ()) -> Result<()> {
    context.sleep(NAP).await
}

pub(crate) struct Durare {
    engine: DurableEngine,
    pool: SqlitePool,
}

impl Engine for Durare {
    async fn open(folder: &Path, full: bool) -> Self {
        let synchronous = if full { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
        let options = SqliteConnectOptions::new()
            .filename(folder.join(FILE))
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.connect_with(options).await.expect("a pool");
        let provider = Arc::new(SqliteProvider::from_pool(pool.clone()));
        // A version of ours: the default is read from the executable, all of it, when the engine is made.
        let config = EngineConfig::default().app_version("1");
        let engine = DurableEngine::with_config(provider, config).await.expect("an engine");
        Self { engine, pool }
    }

    async fn settings(&self) -> String {
        pragmas(&self.pool).await
    }

    async fn steps(&self, id: String, count: u32) {
        let run = self.engine.start_with(Steps, count, WorkflowOptions::with_id(id)).await.expect("a start");
        run.await.expect("a run");
    }

    async fn parallel(&self, count: u32) {
        let run = self.engine.start_with(Parallel, count, WorkflowOptions::default()).await.expect("a start");
        run.await.expect("a run");
    }

    async fn record(&self, count: u32) {
        let run = self.engine.start_with(StepsAndLast, count, WorkflowOptions::default()).await;
        run.expect("a start").await.expect("a run");
    }

    async fn resume(&self) {
        assert_eq!(self.engine.recover().await.expect("a recovery"), 1);
    }

    async fn sleeper(&self, id: String) {
        let run = self.engine.start_with(Sleeps, (), WorkflowOptions::with_id(&id)).await;
        drop(run.expect("a start"));
        while self.engine.get_workflow_steps(&id).await.expect("its steps").is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
