//! Processes that reach for the same runs at once: what each does, what it logs outside the database, and what the log
//! must not show.
//! The one rule: a move is one write of one line to a file that is only appended to, made before what follows from it;
//! so the order of the lines is an order in which it all happened, whatever process wrote them.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use durable::store::Durability;
use durable::{Engine, Error, RunError, step, workflow};

use crate::checker::Violation;

/// The steps of each run.
const STEPS: u32 = 3;

/// The variable that numbers a racer where process ids do not: in PID namespaces of their own all may have the same.
pub const RACER: &str = "DURABLE_LABORATORY_RACER";

/// The number of this process in the log.
fn number() -> u32 {
    static NUMBER: OnceLock<u32> = OnceLock::new();
    *NUMBER.get_or_init(|| match std::env::var(RACER) {
        Ok(number) => number.parse().unwrap(),
        Err(_) => std::process::id(),
    })
}

/// What a process, or the test, did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// A process is about to ask for a run.
    Asks(u32, String),
    /// It executes the run: the workflow's body begins.
    Enters(u32, String),
    /// The body of a step begins.
    Runs(u32, String),
    /// The step has returned to the workflow.
    Returned(u32, String),
    /// The workflow's body has come to its end.
    Leaves(u32, String),
    /// The test is about to kill this process; nothing that it does is forbidden before it is dead.
    Killing(u32),
    /// This process is stopped.
    Stopped(u32),
    /// It is about to go on.
    GoesOn(u32),
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asks(process, id) => write!(f, "asks {process} {id}"),
            Self::Enters(process, id) => write!(f, "enters {process} {id}"),
            Self::Runs(process, id) => write!(f, "runs {process} {id}"),
            Self::Returned(process, id) => write!(f, "returned {process} {id}"),
            Self::Leaves(process, id) => write!(f, "leaves {process} {id}"),
            Self::Killing(process) => write!(f, "killing {process} -"),
            Self::Stopped(process) => write!(f, "stopped {process} -"),
            Self::GoesOn(process) => write!(f, "goes-on {process} -"),
        }
    }
}

impl Move {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (word, process, id) = (words.next()?, words.next()?.parse().ok()?, words.next()?.to_owned());
        Some(match word {
            "asks" => Self::Asks(process, id),
            "enters" => Self::Enters(process, id),
            "runs" => Self::Runs(process, id),
            "returned" => Self::Returned(process, id),
            "leaves" => Self::Leaves(process, id),
            "killing" => Self::Killing(process),
            "stopped" => Self::Stopped(process),
            "goes-on" => Self::GoesOn(process),
            _ => return None,
        })
    }
}

/// Where processes meet: a folder with a database and a log.
#[derive(Debug)]
pub struct Arena {
    folder: PathBuf,
    log: File,
}

impl Arena {
    /// In this folder.
    pub fn new(folder: &Path) -> Self {
        let log = OpenOptions::new().append(true).create(true).open(folder.join("moves")).unwrap();
        Self { folder: folder.to_owned(), log }
    }

    /// Logs a move.
    pub fn log(&self, what: &Move) {
        (&self.log).write_all(format!("{what}\n").as_bytes()).unwrap();
    }

    /// All that was logged.
    pub fn moves(&self) -> Vec<Move> {
        let text = std::fs::read_to_string(self.folder.join("moves")).unwrap();
        text.lines().map(|line| Move::parse(line).expect("a line that `Arena` wrote")).collect()
    }

    /// The name of a run.
    pub fn id(number: usize) -> String {
        format!("order-{number}")
    }

    /// What a run comes to.
    pub fn value(id: &str) -> u64 {
        (0..STEPS).map(|step| made(id, step)).sum()
    }
}

fn made(id: &str, step: u32) -> u64 {
    id.bytes().map(u64::from).sum::<u64>() * u64::from(step + 1)
}

fn log(what: impl FnOnce(u32) -> Move) {
    durable::resource::<Arena>().log(&what(number()));
}

#[step]
fn part(id: &str, step: u32) -> u64 {
    log(|process| Move::Runs(process, format!("{id}/{step}")));
    made(id, step)
}

#[workflow]
fn contested(id: String) -> u64 {
    log(|process| Move::Enters(process, id.clone()));
    let mut sum = 0;
    for step in 0..STEPS {
        sum += part(&id, step);
        log(|process| Move::Returned(process, format!("{id}/{step}")));
    }
    log(|process| Move::Leaves(process, id.clone()));
    sum
}

/// Asks for a run as every second caller does, by its id alone, or with its arguments where nobody has started it.
fn ask(engine: &Engine, id: &str, by_id: bool) -> Result<u64, RunError<std::convert::Infallible>> {
    if by_id {
        let _current = engine.enter();
        match contested::resume(id) {
            Err(RunError::Engine(Error::UnknownRun { .. })) => {}
            other => return other,
        }
    }
    contested::durable(id, id.to_owned()).on(engine).run()
}

/// What a racer does: each of its threads asks for all runs, and begins with another one.
pub fn race(folder: &Path, database: &str, durability: Durability, threads: usize, runs: usize) {
    let builder = Engine::builder().with(Arena::new(folder)).durability(durability);
    let engine = builder.open(folder.join(database)).unwrap();
    let (arena, process) = (Arena::new(folder), number());
    thread::scope(|scope| {
        for thread in 0..threads {
            let (engine, arena) = (&engine, &arena);
            scope.spawn(move || {
                for turn in 0..runs {
                    let id = Arena::id((turn + thread * runs / threads) % runs);
                    arena.log(&Move::Asks(process, id.clone()));
                    assert_eq!(ask(engine, &id, thread % 2 == 1).unwrap(), Arena::value(&id), "{id}");
                }
            });
        }
    });
}

/// What a log shows.
#[derive(Debug, Default)]
pub struct Seen {
    /// Runs that more than one process had asked for before they had come to their end.
    pub races: u64,
    /// Runs that were taken over from a process that was killed.
    pub taken_over: u64,
    /// Stops of a process that had a run which another one asked for and did not get before it went on.
    pub suspensions: u64,
    /// What does not hold.
    pub violations: Vec<Violation>,
}

/// What is known of a run at a place in the log.
#[derive(Debug, Default)]
struct Run {
    asked: HashSet<u32>,
    executor: Option<u32>,
    left: bool,
    returned: HashSet<String>,
}

impl Run {
    /// Whether this process has it, and another one waits for it.
    fn is_kept_by(&self, process: u32) -> bool {
        self.executor == Some(process) && !self.left && self.asked.iter().any(|other| *other != process)
    }
}

/// Reads a log from its first line to its last: a run has one executor, until that is killed.
pub fn look(moves: &[Move]) -> Seen {
    let mut look = Look::default();
    for what in moves {
        look.at(what);
    }
    look.seen
}

/// A look at a log, so far.
#[derive(Default)]
struct Look {
    seen: Seen,
    runs: HashMap<String, Run>,
    killed: HashSet<u32>,
    stopped: HashSet<u32>,
}

impl Look {
    fn at(&mut self, what: &Move) {
        match what {
            Move::Asks(process, id) => self.asks(*process, id),
            Move::Enters(process, id) => self.enters(*process, id),
            Move::Runs(process, place) => {
                let (run, step) = self.acts(*process, place);
                if run.returned.contains(&step) {
                    self.seen.violations.push(Violation::Repeated(place.clone()));
                }
            }
            Move::Returned(process, place) => {
                let (run, step) = self.acts(*process, place);
                run.returned.insert(step);
            }
            Move::Leaves(process, id) => self.acts(*process, id).0.left = true,
            Move::Killing(process) => _ = self.killed.insert(*process),
            Move::Stopped(process) => _ = self.stopped.insert(*process),
            Move::GoesOn(process) => {
                let held = self.runs.values().any(|run| run.is_kept_by(*process));
                self.seen.suspensions += u64::from(self.stopped.remove(process) && held);
            }
        }
    }

    fn asks(&mut self, process: u32, id: &str) {
        let run = self.runs.entry(id.to_owned()).or_default();
        if run.left || !run.asked.insert(process) {
            return;
        }
        self.seen.races += u64::from(run.asked.len() == 2);
    }

    fn enters(&mut self, process: u32, id: &str) {
        let run = self.runs.entry(id.to_owned()).or_default();
        match run.executor.replace(process) {
            Some(first) if !self.killed.contains(&first) => {
                self.seen.violations.push(Violation::TwoExecutors(id.to_owned(), first, process));
            }
            Some(_) => self.seen.taken_over += 1,
            None => {}
        }
    }

    /// The run of which `place` is a step, or which it is; whoever acts in it must have it.
    fn acts(&mut self, process: u32, place: &str) -> (&mut Run, String) {
        let (id, step) = place.split_once('/').unwrap_or((place, ""));
        let run = self.runs.entry(id.to_owned()).or_default();
        if run.executor != Some(process) {
            let executor = run.executor.unwrap_or_default();
            self.seen.violations.push(Violation::TwoExecutors(id.to_owned(), executor, process));
        }
        (run, step.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(text: &str) -> Vec<Move> {
        text.split(", ").map(|line| Move::parse(line).unwrap()).collect()
    }

    #[track_caller]
    fn check(text: &str, violations: &[Violation]) -> Seen {
        let seen = look(&moves(text));
        assert_eq!(seen.violations, violations);
        seen
    }

    #[test]
    fn a_move_is_read_as_it_was_written() {
        let all = "asks 1 a, enters 1 a, runs 1 a/0, returned 1 a/0, leaves 1 a, killing 1 -, stopped 1 -, goes-on 1 -";
        let again: Vec<_> = moves(all).iter().map(Move::to_string).collect();
        assert_eq!(again.join(", "), all);
    }

    #[test]
    fn a_run_is_executed_by_one_process_until_that_is_killed() {
        let two = Violation::TwoExecutors("a".to_owned(), 1, 2);
        check("enters 1 a, enters 2 a", std::slice::from_ref(&two));
        check("enters 1 a, leaves 1 a, enters 2 a", &[two]);
        check("enters 1 a, enters 1 a", &[Violation::TwoExecutors("a".to_owned(), 1, 1)]);
        let seen = check("enters 1 a, killing 1 -, runs 1 a/0, enters 2 a, runs 2 a/0, leaves 2 a", &[]);
        assert_eq!(seen.taken_over, 1);
        let after = Violation::TwoExecutors("a".to_owned(), 2, 1);
        check("enters 1 a, killing 1 -, enters 2 a, runs 1 a/0", &[after]);
        let again = Violation::Repeated("a/0".to_owned());
        check("enters 1 a, runs 1 a/0, returned 1 a/0, killing 1 -, enters 2 a, runs 2 a/0", &[again]);
    }

    #[test]
    fn a_race_and_a_suspension_count_where_another_process_wants_the_run() {
        assert_eq!(check("asks 1 a, asks 1 a, enters 1 a, leaves 1 a, asks 2 a", &[]).races, 0);
        assert_eq!(check("asks 1 a, asks 2 a, asks 3 a, enters 1 a", &[]).races, 1);
        let alone = "asks 1 a, enters 1 a, stopped 1 -, goes-on 1 -";
        assert_eq!(check(alone, &[]).suspensions, 0);
        let wanted = "asks 1 a, enters 1 a, stopped 1 -, asks 2 a, goes-on 1 -, leaves 1 a";
        assert_eq!(check(wanted, &[]).suspensions, 1);
        let ended = "asks 2 a, enters 1 a, leaves 1 a, stopped 1 -, goes-on 1 -";
        assert_eq!(check(ended, &[]).suspensions, 0);
    }
}
