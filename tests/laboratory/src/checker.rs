//! What the log of a workload and its database must agree on, whatever went wrong in between. Each thing that
//! does not hold is a violation with its evidence.
//! Knows nothing of faults: it is shown what was noted, what is recorded, and what came out.

use std::collections::{HashMap, HashSet};
use std::fmt;

use durable::Engine;
use serde_json::Value;

use crate::notes::Note;
use crate::workloads::AGAIN;

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What a sweep did and found; it prints itself.
#[derive(Debug, Default)]
pub struct Tally {
    /// The sweep.
    pub name: String,
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

    fn count(&self, of: fn(&Violation) -> bool) -> usize {
        self.violations.iter().filter(|(_, violation)| of(violation)).count()
    }

    /// Prints the counts, and fails if anything does not hold.
    #[track_caller]
    pub fn finish(&self) {
        println!("{self}");
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
        let (place, what) = caught.unwrap_or_else(|| panic!("{} was not caught", self.name));
        println!("caught: {}: {place}: {what}", self.name);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lost = self.count(|v| matches!(v, Violation::Lost(..) | Violation::Changed(..)));
        let repeated = self.count(|v| matches!(v, Violation::Repeated(_) | Violation::RanTwice(_)));
        let wrong = self.count(|violation| {
            use Violation::{Recorded, Unlike, Untyped, Wrong};
            matches!(violation, Wrong(..) | Untyped(_) | Recorded(_) | Unlike(_))
        });
        let panics = self.count(|v| matches!(v, Violation::Panicked(_)));
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
