//! The work that every engine is given, and how it is timed. Shared by both programs: an engine is measured in a
//! process of its own, which is told what to do on its command line and answers on its standard output.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::machine::{Cost, Meter, resident};

/// The database in the folder of a measurement.
pub(crate) const FILE: &str = "bench.db";

/// What each step returns, as it is stored.
pub(crate) const OUTPUT: &str = "\"a value of some length, as steps return\"";

/// What each step returns.
pub(crate) fn value() -> String {
    OUTPUT.trim_matches('"').to_owned()
}

/// How long a workflow sleeps whose memory is measured.
pub(crate) const NAP: Duration = Duration::from_hours(24);

/// An engine that records steps. All of them work in an `async fn` on tokio, with as many workers as cores.
pub(crate) trait Engine: Sized + Send + Sync + 'static {
    /// Opens the store in `folder`, at full durability if `full`, else as it comes.
    fn open(folder: &Path, full: bool) -> impl Future<Output = Self> + Send;

    /// What durability the open connections have, asked of them, and the versions that matter.
    fn settings(&self) -> impl Future<Output = String> + Send;

    /// Runs a workflow of `steps` steps, one after the other.
    fn steps(&self, id: String, steps: u32) -> impl Future<Output = ()> + Send;

    /// Runs a workflow of `steps` steps, all at once.
    fn parallel(&self, steps: u32) -> impl Future<Output = ()> + Send;

    /// Records `steps` steps of a workflow that then comes to [`last`].
    fn record(&self, steps: u32) -> impl Future<Output = ()> + Send;

    /// Goes on with that workflow, in a new process, so that it comes to [`last`] again.
    fn resume(&self) -> impl Future<Output = ()> + Send;

    /// Starts a workflow that sleeps for [`NAP`], and returns once that is recorded.
    fn sleeper(&self, id: String) -> impl Future<Output = ()> + Send;
}

/// Told when a process that goes on with a workflow comes to the step that was not recorded; not there in one
/// that records.
static CAME: OnceLock<Notify> = OnceLock::new();

/// The step in which a process that records ends, as if it were killed: nothing is closed and nothing unwinds.
pub(crate) async fn last() {
    let Some(came) = CAME.get() else { interrupt() };
    came.notify_one();
    std::future::pending::<()>().await;
}

pub(crate) fn interrupt() -> ! {
    println!("recorded");
    std::process::exit(0)
}

/// What one measurement is about.
pub(crate) struct Order {
    pub(crate) work: String,
    pub(crate) folder: PathBuf,
    pub(crate) full: bool,
    /// Workflows at once.
    pub(crate) runs: u32,
    /// Steps of each.
    pub(crate) steps: u32,
    /// Steps that are recorded before, so that files have grown and code is warm.
    pub(crate) warm: u32,
}

impl Order {
    /// Reads `WORK FOLDER full|shipped RUNS STEPS WARM`.
    pub(crate) fn parse(args: &[String]) -> Self {
        let number = |i: usize| args[i].parse().expect("a number");
        Self {
            work: args[0].clone(),
            folder: PathBuf::from(&args[1]),
            full: args[2] == "full",
            runs: number(3),
            steps: number(4),
            warm: number(5),
        }
    }
}

/// Does what is ordered, and prints `WALL_NS CPU_NS`, or `BYTES 0` of memory, or the settings.
pub(crate) fn obey<E: Engine>(order: &Order) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let engine = Arc::new(E::open(&order.folder, order.full).await);
        if order.warm > 0 {
            engine.steps("warm".to_owned(), order.warm).await;
        }
        match order.work.as_str() {
            "settings" => println!("{}", engine.settings().await),
            "steps" => {
                let meter = Meter::start();
                at_once(&engine, order).await;
                answer(meter.stop());
            }
            "parallel" => {
                let meter = Meter::start();
                engine.parallel(order.steps).await;
                answer(meter.stop());
            }
            "record" => engine.record(order.steps).await,
            "replay" => {
                let came = CAME.get_or_init(Notify::new);
                let meter = Meter::start();
                tokio::spawn(async move { engine.resume().await });
                came.notified().await;
                answer(meter.stop());
            }
            "memory" => println!("{} 0", sleeping(&engine, order.runs).await),
            other => unreachable!("no such work: {other}"),
        }
        // What is under way still, as a workflow that sleeps, ends with the process.
        std::process::exit(0)
    });
}

/// Runs all workflows at once, each as a task.
async fn at_once<E: Engine>(engine: &Arc<E>, order: &Order) {
    let steps = order.steps;
    let runs = (0..order.runs).map(|run| {
        let engine = Arc::clone(engine);
        tokio::spawn(async move { engine.steps(format!("run {run}"), steps).await })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.expect("a workflow that ends");
    }
}

/// Bytes of memory that each of `runs` workflows takes which sleep. As many slept before, so that what an engine
/// takes once, its caches among it, is there already.
async fn sleeping<E: Engine>(engine: &Arc<E>, runs: u32) -> u64 {
    let mut before = 0;
    for half in ["first", "second"] {
        before = resident();
        let asleep = (0..runs).map(|run| {
            let engine = Arc::clone(engine);
            tokio::spawn(async move { engine.sleeper(format!("{half} {run}")).await })
        });
        for run in asleep.collect::<Vec<_>>() {
            run.await.expect("a workflow that sleeps");
        }
    }
    resident().saturating_sub(before) / u64::from(runs)
}

pub(crate) fn answer(cost: Cost) {
    println!("{} {}", cost.wall.as_nanos(), cost.cpu.as_nanos());
}
