//! Processes that reach for the same runs (P9), with threads each, by their arguments and by their ids alone: in one
//! sweep some are killed at random, so that taking over races with starting; in another they are stopped at random
//! while they have runs, and go on after others have asked for them. Every process logs outside the database what it
//! does; the log must show no run with two live executors.
//! In a third each has a PID namespace of its own, and the same number in it as all others.
//! When a process is killed or stopped is drawn; what must hold rests on no time.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use durable::Engine;
use durable::store::RunStatus;
use durable_laboratory::{Arena, DATABASE, Dice, Move, RACER, Tally, Unit, Violation, amount, look};
use tempfile::TempDir;

const RUNS: usize = 100;

/// So many races in the short run, and at scale 10.
const RACES: (u64, u64) = (1_000, 10_000);

const PROCESSES: usize = 8;
const THREADS: usize = 16;

/// So many of the processes of a round are killed, but for every fourth round.
const KILLED: usize = 3;

/// From one kill to the next it takes so many microseconds at most.
const LIFE_MICROS: u64 = 30_000;

/// So many races in PID namespaces in the short run, and at scale 10; between so many processes with so many threads.
const NAMESPACE_RACES: (u64, u64) = (100, 1_000);
const NAMESPACES: usize = 4;
const NAMESPACE_THREADS: usize = 8;

/// So many runs are to be taken over there from a process that was killed.
const NAMESPACE_HEIRS: u64 = 5;

/// So many suspensions in the short run, and at scale 10.
const SUSPENSIONS: (u64, u64) = (20, 200);

/// So many processes are stopped in turn, with so many threads each.
const STOPPED_PROCESSES: usize = 4;
const STOPPED_THREADS: usize = 4;

/// A process runs so many microseconds at most until one is stopped, and that one stands for so many.
const RUNS_MICROS: u64 = 2_000;
const STANDS_MICROS: u64 = 10_000;

/// So many rounds are made at most for what is asked for.
const ROUNDS_MAX: u64 = 10;

/// Lets some time pass, at whose end a fault strikes.
fn linger(dice: &mut Dice, micros_max: u64) {
    let (_silent, word) = channel::<()>();
    _ = word.recv_timeout(Duration::from_micros(dice.below(micros_max) + 1));
}

/// What racers do not share.
#[derive(Clone, Copy, PartialEq)]
enum Apart {
    Nothing,
    Databases,
    /// PID namespaces, which take root.
    Namespaces,
}

struct Racer {
    /// What it is called in the log.
    number: u32,
    /// What it takes for its process id.
    says: u32,
    child: Child,
}

/// Processes in one folder.
struct Round {
    folder: TempDir,
    arena: Arena,
    racers: Vec<Racer>,
}

impl Round {
    /// Starts them, and lets them go at once.
    fn start(processes: usize, threads: usize, durability: &str, apart: Apart) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let racers = (0..processes).map(|number| racer(folder.path(), number, durability, threads, apart));
        let mut racers: Vec<_> = racers.collect();
        for racer in &mut racers {
            let said = BufReader::new(racer.child.stdout.as_mut().unwrap()).lines().next().unwrap().unwrap();
            racer.says = said.strip_prefix("ready ").unwrap().parse().unwrap();
        }
        for racer in &mut racers {
            racer.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        }
        Self { arena: Arena::new(folder.path()), folder, racers }
    }

    /// Kills one of them, wherever it is.
    fn kill(&mut self, number: usize) {
        let racer = &mut self.racers[number];
        self.arena.log(&Move::Killing(racer.number));
        racer.child.kill().unwrap();
        racer.child.wait().unwrap();
    }

    /// Stops one of them, lets others ask for what it has, and lets it go on; nothing if it has ended.
    fn suspend(&mut self, number: usize, dice: &mut Dice) {
        let process = self.racers[number].child.id();
        signal(process, "-STOP");
        match state(process) {
            'T' => {}
            _ => return,
        }
        self.arena.log(&Move::Stopped(process));
        linger(dice, STANDS_MICROS);
        self.arena.log(&Move::GoesOn(process));
        signal(process, "-CONT");
    }

    /// Waits for those that were not killed, and for what the log and the database show.
    fn end(self, tally: &mut Tally, place: &str) -> durable_laboratory::Seen {
        let killed: Vec<_> = self
            .arena
            .moves()
            .iter()
            .filter_map(|what| match what {
                Move::Killing(process) => Some(*process),
                _ => None,
            })
            .collect();
        for racer in self.racers {
            if !killed.contains(&racer.number) {
                let output = racer.child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let panicked = (!output.status.success()).then_some(Violation::Panicked(said));
                tally.add(place, panicked.into_iter().collect());
            }
        }
        let mut seen = look(&self.arena.moves());
        tally.add(place, std::mem::take(&mut seen.violations));
        tally.add(place, unlike(&self.folder.path().join(DATABASE)));
        seen
    }
}

fn racer(folder: &Path, number: usize, durability: &str, threads: usize, apart: Apart) -> Racer {
    const PROGRAM: &str = env!("CARGO_BIN_EXE_racer");
    let mut command = match apart {
        Apart::Namespaces => {
            let mut command = unshared();
            command.arg(PROGRAM).env(RACER, number.to_string());
            command
        }
        Apart::Nothing | Apart::Databases => Command::new(PROGRAM),
    };
    let database = if apart == Apart::Databases { format!("{number}.db") } else { DATABASE.into() };
    command.arg(folder).args([&database, durability, &threads.to_string(), &RUNS.to_string()]);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let number = if apart == Apart::Namespaces { u32::try_from(number).unwrap() } else { child.id() };
    Racer { number, says: 0, child }
}

/// A command whose argument is executed in a PID namespace of its own, and killed with it.
fn unshared() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command
}

fn signal(process: u32, signal: &str) {
    // It may have ended; nobody has waited for it yet, so its id is its own.
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// How a process stands that was told to stop: `T` once it has, `Z` if it has ended before.
fn state(process: u32) -> char {
    loop {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let state = stat.rsplit(") ").next().unwrap().chars().next().unwrap();
        if matches!(state, 'T' | 'Z') {
            return state;
        }
        thread::yield_now();
    }
}

/// What is recorded in the end and should not be.
fn unlike(database: &Path) -> Vec<Violation> {
    let engine = Engine::open(database).unwrap();
    let runs: Vec<_> = engine.runs().map(Result::unwrap).collect();
    let mut unlike = Vec::new();
    if runs.len() != RUNS {
        unlike
            .push(Violation::Unlike(format!("{} runs are recorded, and {RUNS} were asked for", runs.len())));
    }
    for run in runs {
        let value = Arena::value(run.id.as_str()).to_string();
        if run.status != RunStatus::Completed || run.output.as_ref() != Some(&value) {
            unlike.push(Violation::Unlike(format!("{:?} is {:?}: {:?}", run.id, run.status, run.output)));
        }
    }
    unlike
}

#[test]
fn processes_that_start_and_take_over_the_same_runs_execute_each_alone() {
    let mut tally =
        Tally::of(Unit::Races, format!("{PROCESSES} processes with {THREADS} threads race for runs"));
    let all = amount(RACES.0, RACES.1);
    let (mut dice, mut taken_over) = (Dice::new(0), 0);
    for round in 0..all.div_ceil(RUNS as u64) * ROUNDS_MAX {
        // Nobody owns more or less for waiting for the disk; without it there are more races in a second.
        let mut racing = Round::start(PROCESSES, THREADS, "off", Apart::Nothing);
        if round % 4 > 0 {
            for number in 0..KILLED {
                linger(&mut dice, LIFE_MICROS);
                racing.kill(number);
                tally.kills += 1;
            }
        }
        let seen = racing.end(&mut tally, &format!("round {round}"));
        tally.points += seen.races;
        taken_over += seen.taken_over;
        if tally.points >= all {
            break;
        }
    }
    println!("{}: {taken_over} runs taken over from a killed process", tally.name);
    assert!(taken_over > 0 && tally.points >= all, "{}: too little happened", tally.name);
    tally.finish();
}

#[test]
fn processes_of_one_number_in_pid_namespaces_of_their_own_execute_each_run_alone() {
    let mut tally = Tally::of(
        Unit::Namespaces,
        format!("{NAMESPACES} processes in PID namespaces of their own race for runs"),
    );
    match unshared().arg("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return tally.skip(&String::from_utf8_lossy(&output.stderr)),
        Err(error) => return tally.skip(&format!("unshare: {error}")),
    }
    let all = amount(NAMESPACE_RACES.0, NAMESPACE_RACES.1);
    let (mut dice, mut taken_over) = (Dice::new(0), 0);
    for round in 0..all * ROUNDS_MAX {
        let mut racing = Round::start(NAMESPACES, NAMESPACE_THREADS, "off", Apart::Namespaces);
        assert!(racing.racers.iter().all(|racer| racer.says == 1), "they are told apart by their numbers");
        for number in 0..NAMESPACES - 1 {
            linger(&mut dice, LIFE_MICROS);
            racing.kill(number);
            tally.kills += 1;
        }
        let seen = racing.end(&mut tally, &format!("round {round}"));
        tally.points += seen.races;
        taken_over += seen.taken_over;
        if tally.points >= all && taken_over >= NAMESPACE_HEIRS {
            break;
        }
    }
    println!("{}: {taken_over} runs taken over from a killed process", tally.name);
    let is_enough = tally.points >= all && taken_over >= NAMESPACE_HEIRS;
    assert!(is_enough, "{}: too little happened", tally.name);
    tally.finish();
}

#[test]
fn a_process_that_is_stopped_keeps_its_runs() {
    let mut tally = Tally::of(Unit::Suspensions, "processes that are stopped while they have runs");
    let all = amount(SUSPENSIONS.0, SUSPENSIONS.1);
    let (mut dice, mut stops) = (Dice::new(0), 0);
    for round in 0..all * ROUNDS_MAX {
        let mut racing = Round::start(STOPPED_PROCESSES, STOPPED_THREADS, "extra", Apart::Nothing);
        while racing.racers.iter_mut().any(|racer| racer.child.try_wait().unwrap().is_none()) {
            linger(&mut dice, RUNS_MICROS);
            let living: Vec<_> = (0..STOPPED_PROCESSES)
                .filter(|number| racing.racers[*number].child.try_wait().unwrap().is_none())
                .collect();
            if let Some(number) = living.get(usize::try_from(dice.below(living.len() as u64)).unwrap()) {
                racing.suspend(*number, &mut dice);
                stops += 1;
            }
        }
        tally.points += racing.end(&mut tally, &format!("round {round}")).suspensions;
        if tally.points >= all {
            break;
        }
    }
    println!("{}: {} of {stops} stops kept a run that others asked for", tally.name, tally.points);
    assert!(tally.points >= all, "{}: too little happened", tally.name);
    tally.finish();
}

// Negative control: processes that do not share a database know nothing of each other's runs.
#[test]
fn processes_that_do_not_share_their_owners_are_caught() {
    let mut tally = Tally::of(Unit::Races, "processes with a database each race for runs");
    let Round { folder, arena, racers } = Round::start(2, 2, "off", Apart::Databases);
    for racer in racers {
        assert!(racer.child.wait_with_output().unwrap().status.success());
    }
    let seen = look(&arena.moves());
    drop(folder);
    tally.points += seen.races;
    tally.add("two processes", seen.violations);
    tally.must_catch(|violation| matches!(violation, Violation::TwoExecutors(..)));
}
