//! How a body is tried under many schedules: random ones, and ones that change priorities at few points, which find
//! deeper orders (PCT, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010).

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner};

/// The variable that says how many schedules of each kind are tried.
const COUNT: &str = "DURABLE_SCHEDULES";

/// The variable that says from which seed they are drawn.
const SEED: &str = "DURABLE_SCHEDULES_SEED";

/// So many changes of priority has a schedule of the second kind.
const DEPTH: usize = 3;

/// A run of the engine is deeper than shuttle's own 32 KiB.
const STACK_BYTES: usize = 256 << 10;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Tries `body` under schedules of both kinds, and prints how many. Of a schedule that fails shuttle prints a word,
/// which `shuttle::replay` plays again.
#[track_caller]
pub(super) fn explore(name: &str, body: impl Fn() + Send + Sync + 'static) {
    let (count, seed) = (number(COUNT, 1_000), number(SEED, 1));
    let (body, schedules) = (Arc::new(body), usize::try_from(count).expect("a number of schedules"));
    let schedulers: [Box<dyn Scheduler + Send>; 2] = [
        Box::new(RandomScheduler::new_from_seed(seed, schedules)),
        Box::new(PctScheduler::new_from_seed(seed, DEPTH, schedules)),
    ];
    let mut tried = 0;
    for scheduler in schedulers {
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        let body = Arc::clone(&body);
        tried += Runner::new(scheduler, config).run(move || body());
    }
    println!("schedules: {name}: {tried} from seed {seed}");
}
