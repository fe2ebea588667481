//! What durability costs, as ratios: `durable` beside SQLite itself, on the same file system, with the same rows
//! and the same durability, in turns within one run. `just bench`, or `cargo bench --bench ratios`, prints the
//! table of `docs/performance.md`; absolute figures depend on the disk, ratios hardly do.

mod machine;
mod raw;
mod workloads;

use std::path::Path;
use std::time::Duration;

use durable::Durability;

use machine::{Cost, cost_of};

/// So often each pair is measured, in turns; the median of the ratios counts.
const ROUNDS: usize = 7;

/// One line of the table.
struct Line {
    name: &'static str,
    goal: Option<f64>,
    steps: u32,
    raw: Vec<Cost>,
    ours: Vec<Cost>,
}

impl Line {
    fn ratios(&self) -> Vec<f64> {
        // Both did the same number of steps, so the ratio of rates is the inverse one of times.
        let mut ratios: Vec<f64> = self
            .raw
            .iter()
            .zip(&self.ours)
            .map(|(raw, ours)| raw.wall.as_secs_f64() / ours.wall.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    fn print(&self) {
        let ratios = self.ratios();
        let rate =
            |costs: &[Cost]| f64::from(self.steps) / median(costs.iter().map(|cost| cost.wall)).as_secs_f64();
        let cpu = |costs: &[Cost]| {
            let total: Duration = costs.iter().map(|cost| cost.cpu).sum();
            total.as_secs_f64() * 1e6 / f64::from(self.steps) / f64::from(u32::try_from(costs.len()).unwrap())
        };
        let goal = self.goal.map_or_else(|| "-".to_owned(), |goal| format!("{goal:.2}"));
        println!(
            "| {} | {:.0} | {:.0} | {:.2} ({:.2}–{:.2}) | {goal} | {:.1} | {:.1} |",
            self.name,
            rate(&self.raw),
            rate(&self.ours),
            ratios[ratios.len() / 2],
            ratios[0],
            ratios[ratios.len() - 1],
            cpu(&self.raw),
            cpu(&self.ours),
        );
    }
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort();
    times[times.len() / 2]
}

/// Measures `raw` and `ours` in turns, each on a folder of its own.
fn compare(
    name: &'static str,
    goal: Option<f64>,
    steps: u32,
    raw: impl Fn(&Path) -> Cost,
    ours: impl Fn(&Path) -> Cost,
) {
    if !wanted(name) {
        return;
    }
    let mut line = Line { name, goal, steps, raw: Vec::new(), ours: Vec::new() };
    for round in 0..ROUNDS {
        let folders = [tempfile::tempdir_in(".").unwrap(), tempfile::tempdir_in(".").unwrap()];
        // Who is first changes, so that neither always comes after the other's load.
        if round % 2 == 0 {
            line.raw.push(raw(folders[0].path()));
            line.ours.push(ours(folders[1].path()));
        } else {
            line.ours.push(ours(folders[1].path()));
            line.raw.push(raw(folders[0].path()));
        }
    }
    line.print();
}

fn main() {
    if let Some(path) =
        std::env::args().nth(1).filter(|first| first == "--resume").and(std::env::args().nth(2))
    {
        workloads::resume(Path::new(&path));
        return;
    }
    if let Some(path) =
        std::env::args().nth(1).filter(|first| first == "--replay").and(std::env::args().nth(2))
    {
        workloads::replay(Path::new(&path));
        println!("{}", machine::resident_peak());
        return;
    }
    println!("{}", machine::describe(ROUNDS));
    println!(
        "| workload | raw steps/s | durable steps/s | ratio (least–most) | goal | raw CPU us/step | durable CPU us/step |"
    );
    println!("|---|---|---|---|---|---|---|");
    sequential();
    concurrent();
    let runs = 1_000;
    compare(
        "3-step workflows, 256 at once",
        Some(0.4),
        runs * 5,
        |folder| raw::short(folder, runs, 256),
        |folder| workloads::short(folder, runs, 256),
    );
    compare(
        "1,000 parallel steps in one workflow",
        Some(0.3),
        1_000,
        |folder| raw::at_once(folder, 1_000),
        |folder| workloads::parallel(folder, 1_000),
    );
    replay();
    if wanted("start") {
        let folder = tempfile::tempdir_in(".").unwrap();
        workloads::interrupt(folder.path());
        let times = (0..ROUNDS).map(|_| cost_of(|| workloads::spawn_resume(folder.path())).wall);
        println!(
            "\nprocess start to the first resumed step: {:.1} ms (median)",
            median(times).as_secs_f64() * 1e3
        );
    }
    if wanted("memory") {
        let runs = 10_000;
        println!(
            "a run that sleeps: {} bytes resident, future and history included",
            workloads::sleeping(runs)
        );
    }
}

/// Whether the command line names this line, or none.
fn wanted(name: &str) -> bool {
    let only = std::env::args().nth(1).filter(|arg| !arg.starts_with('-'));
    only.is_none_or(|only| name.contains(only.as_str()))
}

fn replay() {
    let mut peaks = Vec::new();
    for (name, goal, steps, bytes) in [
        ("replay of 10,000 steps", Some(0.5), 10_000, workloads::OUTPUT.len() - 2),
        ("replay of 100,000 steps", Some(0.5), 100_000, workloads::OUTPUT.len() - 2),
        ("replay of 1,000,000 steps", Some(0.5), 1_000_000, workloads::OUTPUT.len() - 2),
        ("replay of 100,000 steps of 4 KiB", None, 100_000, 4 << 10),
    ] {
        let folder = tempfile::tempdir_in(".").unwrap();
        if wanted(name) {
            workloads::record(folder.path(), steps, bytes);
            peaks.push((name, workloads::replay_peak(folder.path())));
        }
        let raw = |_: &Path| raw::scan(folder.path());
        compare(name, goal, steps, raw, |_| workloads::replay(folder.path()));
    }
    for (name, peak) in peaks {
        println!("{name}: at most {} MB resident, in a process of its own", peak / 1_000_000);
    }
}

fn sequential() {
    let steps = 2_000;
    let warm = 1_500;
    compare(
        "sequential, extra, both on a grown log",
        Some(0.9),
        steps,
        |folder| raw::one_by_one(folder, warm, steps, Durability::Extra),
        |folder| workloads::sequential(folder, warm, steps, Durability::Extra),
    );
    compare(
        "sequential, extra, raw on a fresh log",
        Some(1.2),
        500,
        |folder| raw::one_by_one(folder, 0, 500, Durability::Extra),
        |folder| workloads::sequential(folder, warm, 500, Durability::Extra),
    );
    compare(
        "sequential, normal",
        Some(0.5),
        20_000,
        |folder| raw::one_by_one(folder, warm, 20_000, Durability::Normal),
        |folder| workloads::sequential(folder, warm, 20_000, Durability::Normal),
    );
}

fn concurrent() {
    for (name, goal, callers) in
        [("async, 64 concurrent on one thread", 0.6, 64), ("async, 256 concurrent on one thread", 0.5, 256)]
    {
        let steps = callers * 32;
        compare(
            name,
            Some(goal),
            steps,
            |folder| raw::in_step(folder, callers, 32),
            |folder| workloads::futures(folder, callers, 32),
        );
    }
    for (name, goal, callers) in
        [("threads, 64 concurrent", 0.45, 64), ("threads, 256 concurrent", 0.25, 256)]
    {
        let steps = callers * 32;
        compare(
            name,
            Some(goal),
            steps,
            |folder| raw::in_step(folder, callers, 32),
            |folder| workloads::threads(folder, callers, 32),
        );
    }
}
