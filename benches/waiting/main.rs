//! What runs that wait cost: memory, processor time while nothing happens, and how late they are woken. `just
//! waiting`, or `cargo bench --bench waiting -- [100000]`, prints the lines of `docs/performance.md`.

#[path = "../ratios/machine.rs"]
#[expect(dead_code, reason = "the machine is told of as by `ratios`, which has more to ask of it")]
mod machine;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use durable::{Durability, Engine, Topic, step, workflow};
use rusqlite::Connection;

use machine::{cost_of, resident};

/// So many threads start the runs of a line.
const STARTERS: u32 = 32;

/// A wait that no line of this bench outlives.
const LONG: Duration = Duration::from_hours(30 * 24);

const GO: Topic<u64> = Topic::new("go");

/// By how much each run was late, in microseconds.
#[derive(Default)]
struct Late(Mutex<Vec<u64>>);

impl Late {
    fn note(due: SystemTime) {
        let late = due.elapsed().unwrap_or_default();
        durable::resource::<Self>()
            .0
            .lock()
            .unwrap()
            .push(u64::try_from(late.as_micros()).unwrap_or(u64::MAX));
    }

    /// The median, the 99th of a hundred, the most; and forgets them.
    fn take(engine: &Engine) -> [Duration; 3] {
        let _entered = engine.enter();
        let mut late = std::mem::take(&mut *durable::resource::<Self>().0.lock().unwrap());
        late.sort_unstable();
        [late[late.len() / 2], late[late.len() * 99 / 100], late[late.len() - 1]].map(Duration::from_micros)
    }
}

#[workflow]
async fn sleeps_long() {
    durable::future::sleep(LONG).await;
}

#[step]
async fn wakes(due: SystemTime) {
    Late::note(due);
}

#[workflow]
async fn sleeps_until(due: SystemTime) {
    durable::future::sleep_until(due).await;
    wakes(due).await;
}

#[workflow]
async fn receives() {
    let sent = durable::future::recv(GO, Duration::MAX).await.unwrap_or_default();
    wakes(SystemTime::UNIX_EPOCH + Duration::from_micros(sent)).await;
}

fn engine(path: &Path) -> Engine {
    Engine::builder().with(Late::default()).durability(Durability::Off).recover(true).open(path).unwrap()
}

/// Starts `runs` runs from several threads at once.
fn start_all(runs: u32, start: impl Fn(u32) + Sync) {
    std::thread::scope(|threads| {
        for thread in 0..STARTERS {
            let start = &start;
            threads.spawn(move || (thread..runs).step_by(STARTERS as usize).for_each(start));
        }
    });
}

/// Waits until the database says that so many runs are as `condition` has them.
fn until(path: &Path, condition: &str, runs: u32) {
    let database = Connection::open(path).unwrap();
    let sql = format!("select count(*) from workflows where {condition}");
    while database.query_row(&sql, [], |row| row.get::<_, u32>(0)).unwrap() < runs {
        std::thread::sleep(Duration::from_millis(20));
    }
}

const UNLOADED: &str = "owner is null and wake_at is not null";

/// Memory for each of `runs` runs that sleep: in the process that has put them to sleep, and in one that opens the
/// database later; and what either does while nothing happens.
fn sleeping(runs: u32) {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("runs.db");
    let engine = engine(&path);
    let before = resident();
    let started = cost_of(|| {
        start_all(runs, |run| {
            smol::block_on(sleeps_long::durable(format!("sleeper {run}")).on(&engine).start()).unwrap();
        });
        until(&path, UNLOADED, runs);
    });
    println!(
        "| {runs} sleeping runs | {} bytes resident each, put to sleep within {:.1} s |",
        resident().saturating_sub(before) / u64::from(runs),
        started.wall.as_secs_f64(),
    );
    idle(&format!("{runs} sleeping runs"));
    drop(engine);
    let own = std::env::current_exe().unwrap();
    let opened = Command::new(own).arg("--open").arg(&path).output().unwrap();
    print!("{}", String::from_utf8(opened.stdout).unwrap().replace("{runs}", &runs.to_string()));
}

/// The time on a processor of each thread that lives now, counted in nanoseconds (`/proc/<pid>/schedstat`).
fn cpu_of_threads() -> HashMap<OsString, Duration> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let times = threads.filter_map(|thread| {
        // Gone meanwhile, as those are that had nothing to do for a while.
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        let time = stat.split_whitespace().next()?.parse().ok()?;
        Some((thread.file_name(), Duration::from_nanos(time)))
    });
    times.collect()
}

/// What this process does while nothing happens.
fn idle(what: &str) {
    const TIME: Duration = Duration::from_secs(20);
    // What was begun is over by then.
    std::thread::sleep(Duration::from_secs(2));
    let (before, start) = (cpu_of_threads(), Instant::now());
    std::thread::sleep(TIME);
    let (after, wall) = (cpu_of_threads(), start.elapsed());
    let spent =
        after.iter().map(|(id, time)| time.saturating_sub(*before.get(id).unwrap_or(&Duration::ZERO)));
    let spent = spent.sum::<Duration>().as_secs_f64();
    println!("| {what}, idle | {:.3} % CPU |", spent / wall.as_secs_f64() * 100.0);
}

/// A process that opens a database of sleeping runs, and looks after them.
fn open(path: &Path) {
    let empty = tempfile::tempdir_in(".").unwrap();
    let before = {
        // An engine that has nothing to look after.
        let _engine = engine(&empty.path().join("runs.db"));
        std::thread::sleep(Duration::from_millis(500));
        resident()
    };
    let _engine = engine(path);
    std::thread::sleep(Duration::from_secs(2));
    let bytes = resident().saturating_sub(before);
    println!(
        "| {{runs}} sleeping runs, opened by another process | {} KiB resident for all of them |",
        bytes / 1024
    );
    idle("{runs} sleeping runs, opened by another process");
}

fn line(what: &str, [median, most, max]: [Duration; 3]) {
    println!("| {what} | {median:.1?} median, {most:.1?} 99 %, {max:.1?} most |");
}

/// How late runs are that are due one after the other, and all at once.
fn waking() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("runs.db");
    let engine = engine(&path);
    let runs = 1_000;
    let first = SystemTime::now() + Duration::from_secs(4);
    start_all(runs, |run| {
        let due = first + Duration::from_millis(5) * run;
        smol::block_on(sleeps_until::durable(format!("one {run}"), due).on(&engine).start()).unwrap();
    });
    until(&path, "status = 'COMPLETED'", runs);
    line("1,000 runs due 5 ms after each other: late by", Late::take(&engine));

    let runs = 10_000;
    let due = SystemTime::now() + Duration::from_secs(12);
    start_all(runs, |run| {
        smol::block_on(sleeps_until::durable(format!("all {run}"), due).on(&engine).start()).unwrap();
    });
    until(&path, "status = 'COMPLETED'", 1_000 + runs);
    line("10,000 runs due at once: late by", Late::take(&engine));

    let runs = 1_000;
    start_all(runs, |run| {
        smol::block_on(receives::durable(format!("to {run}")).on(&engine).start()).unwrap();
    });
    until(&path, UNLOADED, runs);
    for run in 0..runs {
        let sent = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        engine.send(format!("to {run}"), GO, u64::try_from(sent.as_micros()).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    until(&path, "status = 'COMPLETED'", 11_000 + runs);
    line("1,000 unloaded runs, each sent a message: its step runs after", Late::take(&engine));
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, path] = &args[..]
        && flag == "--open"
    {
        open(Path::new(path));
        return;
    }
    let start = Instant::now();
    println!("| what | figure |\n|---|---|");
    let sizes: Vec<u32> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10_000, 100_000, 1_000_000] } else { sizes };
    waking();
    sizes.into_iter().for_each(sleeping);
    println!("\nin {:.0} s", start.elapsed().as_secs_f64());
}
