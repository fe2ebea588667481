//! duroxide: orchestrations that schedule activities, both queued in SQLite and polled. Its file provider asks
//! for `synchronous = WAL`, which SQLite does not know and takes for NORMAL, and has no setting; FULL is set here
//! on each connection of the pool that it gives out.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{Runtime, RuntimeOptions};
use duroxide::{ActivityContext, Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus};

use crate::work::{self, Engine, FILE, NAP, interrupt, value};
use crate::{number_of, pragmas};

/// Longer than any workflow here takes.
const PATIENCE: Duration = Duration::from_mins(10);

type Returned = Result<String, String>;

async fn work(_context: ActivityContext, _number: String) -> Returned {
    Ok(value())
}

async fn last(_context: ActivityContext, _input: String) -> Returned {
    work::last().await;
    Ok(String::new())
}

async fn steps(context: OrchestrationContext, count: String) -> Returned {
    let mut bytes = 0;
    for number in 0..number_of(&count) {
        bytes += context.schedule_activity("work", number.to_string()).await?.len();
    }
    Ok(bytes.to_string())
}

async fn at_once(context: &OrchestrationContext, count: &str) -> Returned {
    let steps = (0..number_of(count)).map(|number| context.schedule_activity("work", number.to_string()));
    let values: Result<Vec<_>, _> = context.join(steps.collect()).await.into_iter().collect();
    Ok(values?.len().to_string())
}

async fn parallel(context: OrchestrationContext, count: String) -> Returned {
    at_once(&context, &count).await
}

/// Waits for an event in the middle: an activity that a process leaves behind stays locked for a time, and that
/// would be measured.
async fn steps_and_last(context: OrchestrationContext, count: String) -> Returned {
    at_once(&context, &count).await?;
    context.set_custom_status("waits");
    context.schedule_wait("go").await;
    context.schedule_activity("last", "").await
}

async fn sleeps(context: OrchestrationContext, _input: String) -> Returned {
    context.schedule_timer(NAP).await;
    Ok(String::new())
}

pub(crate) struct Duroxide {
    store: Arc<SqliteProvider>,
    client: Client,
    // Ends with the process.
    _runtime: Arc<Runtime>,
}

impl Duroxide {
    async fn complete(&self, id: &str, orchestration: &str, count: u32) {
        self.client.start_orchestration(id, orchestration, count.to_string()).await.expect("a start");
        let ended = self.client.wait_for_orchestration(id, PATIENCE).await.expect("an end");
        assert!(matches!(ended, OrchestrationStatus::Completed { .. }), "{ended:?}");
    }
}

impl Engine for Duroxide {
    async fn open(folder: &Path, full: bool) -> Self {
        let url = format!("sqlite:{}?mode=rwc", folder.join(FILE).display());
        let store = Arc::new(SqliteProvider::new(&url, None).await.expect("a store"));
        if full {
            // All of them at once, so that each is another one.
            let mut all = Vec::new();
            for _ in 0..store.get_pool().options().get_max_connections() {
                let mut connection = store.get_pool().acquire().await.expect("a connection");
                sqlx::query("pragma synchronous = full").execute(&mut *connection).await.expect("a pragma");
                all.push(connection);
            }
        }
        let activities = ActivityRegistry::builder().register("work", work).register("last", last).build();
        let orchestrations = OrchestrationRegistry::builder()
            .register("steps", steps)
            .register("parallel", parallel)
            .register("steps-and-last", steps_and_last)
            .register("sleeps", sleeps)
            .build();
        let options = options();
        let runtime = Runtime::start_with_options(store.clone(), activities, orchestrations, options).await;
        Self { client: Client::new(store.clone()), store, _runtime: runtime }
    }

    async fn settings(&self) -> String {
        pragmas(self.store.get_pool()).await
    }

    async fn steps(&self, id: String, count: u32) {
        self.complete(&id, "steps", count).await;
    }

    async fn parallel(&self, count: u32) {
        self.complete("parallel", "parallel", count).await;
    }

    async fn record(&self, count: u32) {
        let (client, id) = (&self.client, "interrupted");
        client.start_orchestration(id, "steps-and-last", count.to_string()).await.expect("a start");
        client.wait_for_status_change(id, 0, Duration::from_millis(50), PATIENCE).await.expect("a status");
        interrupt();
    }

    async fn resume(&self) {
        self.client.raise_event("interrupted", "go", "").await.expect("an event");
    }

    async fn sleeper(&self, id: String) {
        self.client.start_orchestration(&id, "sleeps", "").await.expect("a start");
        while !matches!(
            self.client.get_orchestration_status(&id).await.expect("a status"),
            OrchestrationStatus::Running { .. }
        ) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// As it comes, it polls each 100 ms, and works off two turns and two activities at once. With two turns at once
/// some workflows ended as failed for ever, by `database is locked`; with one, none did, and it was as fast.
fn options() -> RuntimeOptions {
    RuntimeOptions {
        dispatcher_min_poll_interval: Duration::from_millis(1),
        orchestration_concurrency: 1,
        worker_concurrency: 4,
        ..RuntimeOptions::default()
    }
}
