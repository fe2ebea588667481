//! What the log of a workload and its database must agree on, whatever went wrong in between. Each thing that
//! does not hold is a violation with its evidence.
//! Knows nothing of faults: it is shown what was noted, what is recorded, and what came out.

use std::collections::{HashMap, HashSet};
use std::fmt;

use durable::Engine;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ledger::{Broken, Entry, Role, Unit};
use crate::notes::Note;
use crate::workloads::AGAIN;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Violation {
    /// A body ran again after its step had returned.
    Repeated(String),
    /// A step returned what another execution had made than before.
    Changed(String, u64, u64),
    /// A step returned, and its result is not recorded, or another one is.
    Lost(String, u64, Option<u64>),
    /// A caller was told that it is not recorded and went another way, and it is.
    Recorded(String),
    /// A body ran more than once in one process.
    RanTwice(String),
    /// Two processes executed a run, and the first of them lived.
    TwoExecutors(String, u32, u32),
    /// The workload came to another result.
    Wrong(u64, u64),
    /// What is recorded is not what the model tells.
    Unlike(String),
    /// A fault that is none of the typed ones, or where there must be none.
    Untyped(String),
    /// Something panicked.
    Panicked(String),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repeated(name) => write!(f, "the body of `{name}` ran again after the step had returned"),
            Self::Changed(name, first, then) => {
                write!(f, "`{name}` returned the value of execution {first}, and later that of {then}")
            }
            Self::Lost(name, ticket, None) => {
                write!(f, "`{name}` returned the value of execution {ticket}, and none is recorded")
            }
            Self::Lost(name, ticket, Some(other)) => {
                write!(
                    f,
                    "`{name}` returned the value of execution {ticket}, and that of {other} is recorded"
                )
            }
            Self::Recorded(name) => {
                write!(f, "`{name}` was said not to be recorded, was compensated, and is recorded")
            }
            Self::RanTwice(name) => write!(f, "the body of `{name}` ran twice in one process"),
            Self::TwoExecutors(id, first, second) => {
                write!(f, "process {second} executed {id:?}, which process {first} had, and that one lived")
            }
            Self::Wrong(expected, found) => {
                write!(f, "the result is {found}, and that of an undisturbed run is {expected}")
            }
            Self::Unlike(difference) => f.write_str(difference),
            Self::Untyped(error) => write!(f, "a fault where none may be: {error}"),
            Self::Panicked(message) => write!(f, "a panic: {message}"),
        }
    }
}

/// What the notes alone say.
pub fn check_notes(notes: &[Note]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut acknowledged: HashMap<&str, u64> = HashMap::new();
    let mut ran = HashSet::new();
    for note in notes {
        match note {
            Note::Start => ran.clear(),
            Note::Effect(name, _) => {
                if acknowledged.contains_key(name.as_str()) {
                    violations.push(Violation::Repeated(name.clone()));
                }
                if !ran.insert(name) && !name.starts_with(AGAIN) {
                    violations.push(Violation::RanTwice(name.clone()));
                }
            }
            Note::Acknowledged(name, ticket) => {
                let first = *acknowledged.entry(name).or_insert(*ticket);
                if first != *ticket {
                    violations.push(Violation::Changed(name.clone(), first, *ticket));
                }
            }
        }
    }
    violations
}

/// What the notes say against what is recorded.
pub fn check_records(notes: &[Note], engine: &Engine) -> Result<Vec<Violation>, durable::Error> {
    let mut recorded = HashMap::new();
    for run in engine.runs() {
        for step in engine.steps(run?.id)? {
            let value: Value = serde_json::from_str(&step.output).unwrap();
            if let (Some(name), Some(ticket)) = (value["name"].as_str(), value["ticket"].as_u64()) {
                recorded.insert(name.to_owned(), ticket);
            }
        }
    }
    let acknowledged: HashMap<_, _> = notes
        .iter()
        .filter_map(|note| match note {
            Note::Acknowledged(name, ticket) => Some((name, *ticket)),
            _ => None,
        })
        .collect();
    let lost = acknowledged.into_iter().filter_map(|(name, ticket)| {
        let found = recorded.get(name).copied();
        (found != Some(ticket)).then(|| Violation::Lost(name.clone(), ticket, found))
    });
    Ok(lost.collect())
}

/// What a sweep did and found; it prints itself, and writes itself into the ledger.
#[derive(Debug, Default)]
pub struct Tally {
    /// The sweep.
    pub name: String,
    /// What its points are.
    pub unit: Unit,
    /// Places at which something was made to go wrong.
    pub points: u64,
    /// Images that were opened.
    pub images: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Calls that ended with a typed fault.
    pub faults: u64,
    /// What does not hold, with where it was seen.
    pub violations: Vec<(String, Violation)>,
}

impl Tally {
    /// Of a sweep of this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Of a sweep of this name that counts these.
    pub fn of(unit: Unit, name: impl Into<String>) -> Self {
        Self { unit, ..Self::new(name) }
    }

    /// Adds what was seen at `place`.
    pub fn add(&mut self, place: impl fmt::Display, violations: Vec<Violation>) {
        self.violations.extend(violations.into_iter().map(|violation| (place.to_string(), violation)));
    }

    /// Takes in what a part of the sweep did.
    pub fn merge(&mut self, part: Self) {
        self.points += part.points;
        self.images += part.images;
        self.kills += part.kills;
        self.faults += part.faults;
        self.violations.extend(part.violations);
    }

    /// What does not hold, by what it means to a user.
    fn broken(&self) -> Broken {
        let mut broken = Broken::default();
        for (_, violation) in &self.violations {
            use Violation::{Changed, Lost, Panicked, RanTwice, Recorded, Repeated, TwoExecutors};
            use Violation::{Unlike, Untyped, Wrong};
            *match violation {
                Lost(..) | Changed(..) => &mut broken.lost,
                Repeated(_) | RanTwice(_) | TwoExecutors(..) => &mut broken.repeated,
                Wrong(..) | Untyped(_) | Recorded(_) | Unlike(_) => &mut broken.wrong,
                Panicked(_) => &mut broken.panics,
            } += 1;
        }
        broken
    }

    fn enter(&self, role: Role) {
        let Self { name, unit, points, images, kills, faults, .. } = self;
        let (sweep, broken) = (name.clone(), self.broken());
        let (unit, points, images, kills, faults) = (*unit, *points, *images, *kills, *faults);
        Entry { sweep, role, unit, points, images, kills, faults, broken }.write();
    }

    /// Prints the counts, and fails if anything does not hold.
    #[track_caller]
    pub fn finish(&self) {
        self.close(Role::Sweep);
    }

    /// The same of the right form of something that is wrong on purpose, which is not `durable`.
    #[track_caller]
    pub fn finish_beside(&self) {
        self.close(Role::Beside);
    }

    #[track_caller]
    fn close(&self, role: Role) {
        println!("{self}");
        self.enter(role);
        assert!(self.points > 0, "{}: nothing was tried", self.name);
        let shown: Vec<_> =
            self.violations.iter().take(10).map(|(place, what)| format!("{place}: {what}")).collect();
        assert!(shown.is_empty(), "{}:\n{}", self.name, shown.join("\n"));
    }

    /// Prints the counts and what was caught, and fails if nothing was.
    #[track_caller]
    pub fn must_catch(&self, is_meant: fn(&Violation) -> bool) {
        println!("{self}");
        let caught = self.violations.iter().find(|(_, violation)| is_meant(violation));
        self.enter(Role::Control { caught: caught.is_some() });
        let (place, what) = caught.unwrap_or_else(|| panic!("{} was not caught", self.name));
        println!("caught: {}: {place}: {what}", self.name);
    }

    /// Prints why nothing can be tried here.
    pub fn skip(&self, reason: &str) {
        println!("{}: skipped: {reason}", self.name);
        self.enter(Role::Skipped(reason.to_owned()));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { lost, repeated, wrong, panics } = self.broken();
        write!(
            f,
            "{}: {} points, {} images, {} kills, {} typed faults; {lost} lost, {repeated} repeated, \
             {wrong} wrong, {panics} panics",
            self.name, self.points, self.images, self.kills, self.faults
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn effect(ticket: u64) -> Note {
        Note::Effect("a".to_owned(), ticket)
    }

    fn acknowledged(ticket: u64) -> Note {
        Note::Acknowledged("a".to_owned(), ticket)
    }

    #[track_caller]
    fn check(notes: &[Note], violations: &[Violation]) {
        assert_eq!(check_notes(notes), violations);
    }

    #[test]
    fn a_body_may_run_again_in_another_process_until_its_step_returned() {
        check(&[effect(0), Note::Start, effect(1), acknowledged(1), Note::Start, acknowledged(1)], &[]);
        let repeated = Violation::Repeated("a".to_owned());
        check(&[effect(0), acknowledged(0), Note::Start, effect(1)], &[repeated]);
        check(&[effect(0), effect(1), acknowledged(1)], &[Violation::RanTwice("a".to_owned())]);
        let changed = Violation::Changed("a".to_owned(), 0, 1);
        check(&[effect(0), effect(1), acknowledged(0), acknowledged(1)][2..], &[changed]);
    }
}
