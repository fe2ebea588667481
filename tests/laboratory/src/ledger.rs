//! What a whole run of the laboratory did: each sweep appends one line to the file that the environment names,
//! and the sum of them is the run's verdict.
//! The one rule: nothing counts that no sweep wrote down. What was skipped is named and counts as nothing, and a
//! run that did less than its scale asks for has proved nothing, whatever it found.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The variable that names the file.
pub const LEDGER: &str = "DURABLE_LABORATORY_LEDGER";

/// What a sweep counts: its points are so many of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Unit {
    /// Places at which something was made to go wrong, of no kind that is asked for.
    #[default]
    Places,
    /// Operations of a workload at which the disk failed.
    IoErrors,
    /// Operations of a workload from which on the disk was full.
    FullDisks,
    /// Levels to which a real medium was filled.
    Media,
    /// Random programs.
    Programs,
    /// Damaged files.
    Files,
    /// Rows that were edited.
    Edits,
    /// Changed programs.
    Changes,
    /// Copies of a database in use.
    Copies,
    /// Power cuts of a kernel's ext4.
    Ext4Cuts,
    /// Power cuts of a kernel's xfs.
    XfsCuts,
    /// Runs that several processes reached for at once.
    Races,
    /// The same of processes in PID namespaces of their own.
    Namespaces,
    /// Stops of a process that owned a run which others wanted.
    Suspensions,
    /// Values that were stored, or refused.
    Values,
    /// Schedules of branches.
    Schedules,
    /// Databases that released versions wrote.
    Goldens,
    /// Inputs that a fuzzer made up.
    Inputs,
}

/// What an entry stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// `durable` was tried.
    Sweep,
    /// The right form of something that is wrong on purpose: it must hold, and is not `durable`, so it counts as
    /// nothing.
    Beside,
    /// Something wrong was tried, and whether that was caught.
    Control {
        /// Whether it was.
        caught: bool,
    },
    /// Nothing was tried, for this reason.
    Skipped(String),
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The sweep's name.
    pub sweep: String,
    /// What it stands for.
    pub role: Role,
    /// What its points are.
    pub unit: Unit,
    /// How many there were.
    pub points: u64,
    /// Images of power cuts.
    pub images: u64,
    /// Killed processes.
    pub kills: u64,
    /// Calls that ended with a typed error.
    pub faults: u64,
    /// What does not hold.
    pub broken: Broken,
}

/// Broken promises, by what they mean to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Broken {
    /// Acknowledged, and gone.
    pub lost: u64,
    /// Done again, or by two.
    pub repeated: u64,
    /// Another value or another row, with no error that fits.
    pub wrong: u64,
    /// Ended by a panic.
    pub panics: u64,
}

impl Broken {
    fn is_none(self) -> bool {
        self == Self::default()
    }

    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.repeated += other.repeated;
        self.wrong += other.wrong;
        self.panics += other.panics;
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, repeated, wrong, panics } = self;
        write!(f, "{lost} lost, {repeated} repeated, {wrong} silently wrong, {panics} panics")
    }
}

impl Entry {
    /// Appends itself to the file that the environment names, if it names one.
    pub(crate) fn write(&self) {
        let Some(path) = std::env::var_os(LEDGER).filter(|path| !path.is_empty()) else { return };
        let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
        // One write of one line, so that sweeps of threads and processes do not mix.
        file.write_all(format!("{}\n", serde_json::to_string(self).unwrap()).as_bytes()).unwrap();
    }
}

/// One line of the table: what is counted, how, and how much of it a run must have done.
struct Line {
    name: &'static str,
    count: fn(&Entry) -> u64,
    /// The entries that it is about.
    unit: Option<Unit>,
    /// So much at scale 10, and in proportion at others.
    at_ten: u64,
    /// So many sweeps at any scale.
    sweeps: usize,
}

const fn line(name: &'static str, unit: Unit, at_ten: u64, sweeps: usize) -> Line {
    Line { name, count: |entry| entry.points, unit: Some(unit), at_ten, sweeps }
}

/// What a run must have done. Every operation of five workloads is five sweeps; how many operations there are
/// is theirs to know.
const LINES: [Line; 21] = [
    Line { name: "processes killed", count: |entry| entry.kills, unit: None, at_ten: 10_000, sweeps: 20 },
    Line {
        name: "images of power cuts",
        count: |entry| entry.images,
        unit: None,
        at_ten: 20_000,
        sweeps: 10,
    },
    line("operations at which the disk failed", Unit::IoErrors, 0, 10),
    line("operations from which on it was full", Unit::FullDisks, 0, 5),
    line("real media filled to a level", Unit::Media, 60, 3),
    line("power cuts of a kernel, ext4", Unit::Ext4Cuts, 25, 1),
    line("power cuts of a kernel, xfs", Unit::XfsCuts, 25, 1),
    line("random programs", Unit::Programs, 1_000, 1),
    line("changed programs", Unit::Changes, 0, 1),
    line("damaged files", Unit::Files, 10_000, 1),
    line("edited rows", Unit::Edits, 0, 1),
    line("inputs that a fuzzer made up", Unit::Inputs, 0, 2),
    line("copies of a database in use", Unit::Copies, 200, 2),
    line("databases of released versions", Unit::Goldens, 0, 1),
    line("runs that processes raced for", Unit::Races, 10_000, 1),
    line("runs raced for in PID namespaces", Unit::Namespaces, 1_000, 1),
    line("suspensions of an owner", Unit::Suspensions, 200, 1),
    line("values", Unit::Values, 100_000, 1),
    line("schedules of branches", Unit::Schedules, 5_000, 4),
    line("other places", Unit::Places, 0, 0),
    Line {
        name: "calls that ended with a typed error",
        count: |entry| entry.faults,
        unit: None,
        at_ten: 0,
        sweeps: 0,
    },
];

/// The negative controls that a run must have caught; those of a kernel, which may be skipped, come on top.
const CONTROLS: usize = 12;

/// The sum of a ledger, at the scale of its run.
#[derive(Debug)]
pub struct Sum {
    entries: Vec<Entry>,
    scale: u64,
}

impl Sum {
    /// Of the ledger in this file; of none if there is no such file.
    pub fn of(file: &Path, scale: u64) -> Self {
        let text = fs::read_to_string(file).unwrap_or_default();
        let entries = text.lines().map(|line| serde_json::from_str(line).expect("a line of the ledger"));
        Self { entries: entries.collect(), scale }
    }

    fn sweeps(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.role == Role::Sweep)
    }

    /// All that must hold.
    fn held(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| matches!(entry.role, Role::Sweep | Role::Beside))
    }

    fn controls(&self) -> impl Iterator<Item = (&Entry, bool)> {
        self.entries.iter().filter_map(|entry| match entry.role {
            Role::Control { caught } => Some((entry, caught)),
            _ => None,
        })
    }

    fn skipped(&self) -> impl Iterator<Item = (&Entry, &str)> {
        self.entries.iter().filter_map(|entry| match &entry.role {
            Role::Skipped(reason) => Some((entry, reason.as_str())),
            _ => None,
        })
    }

    /// How many sweeps counted something for a line, and how much.
    fn counted(&self, line: &Line) -> (usize, u64) {
        let of_line = |entry: &&Entry| line.unit.is_none_or(|unit| unit == entry.unit);
        let counts = self.sweeps().filter(of_line).map(line.count).filter(|count| *count > 0);
        counts.fold((0, 0), |(sweeps, sum), count| (sweeps + 1, sum + count))
    }

    fn at_least(&self, line: &Line) -> u64 {
        line.at_ten * self.scale / 10
    }

    /// What the run did not do and should have. A sweep that was skipped leaves its whole line open.
    fn missing(&self) -> Vec<String> {
        let mut missing = Vec::new();
        for line in &LINES {
            let (sweeps, count) = self.counted(line);
            let was_skipped = self.skipped().any(|(entry, _)| Some(entry.unit) == line.unit);
            if !was_skipped && (sweeps < line.sweeps || count < self.at_least(line)) {
                let asked = format!("{} sweeps with {} are asked for", line.sweeps, self.at_least(line));
                missing.push(format!("{}: {sweeps} sweeps with {count}, and {asked}", line.name));
            }
        }
        let controls = self.controls().count();
        if controls < CONTROLS {
            missing.push(format!("{controls} negative controls, and {CONTROLS} are asked for"));
        }
        missing
    }

    fn broken(&self) -> Broken {
        let mut sum = Broken::default();
        self.held().for_each(|entry| sum.add(entry.broken));
        sum
    }

    /// Whether all was tried that the scale asks for, every promise held, and every control was caught.
    pub fn holds(&self) -> bool {
        self.broken().is_none() && self.missing().is_empty() && self.controls().all(|(_, caught)| caught)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<40} {:>7} {:>12} {:>12}", "what was done", "sweeps", "count", "at least")?;
        for line in &LINES {
            let (sweeps, count) = self.counted(line);
            let least = if line.at_ten == 0 { "-".to_owned() } else { self.at_least(line).to_string() };
            writeln!(f, "{:<40} {sweeps:>7} {count:>12} {least:>12}", line.name)?;
        }
        for (entry, reason) in self.skipped() {
            writeln!(f, "skipped: {}: {reason}", entry.sweep)?;
        }
        for what in self.missing() {
            writeln!(f, "too little: {what}")?;
        }
        for entry in self.held().filter(|entry| !entry.broken.is_none()) {
            writeln!(f, "broken: {}: {}", entry.sweep, entry.broken)?;
        }
        for (entry, _) in self.controls().filter(|(_, caught)| !caught) {
            writeln!(f, "not caught: {}", entry.sweep)?;
        }
        let caught = self.controls().filter(|(_, caught)| *caught).count();
        write!(
            f,
            "{} at scale {}: {}; {caught} of {} negative controls caught, {} sweeps skipped",
            if self.holds() { "every promise held" } else { "NOT PROVED" },
            self.scale,
            self.broken(),
            self.controls().count(),
            self.skipped().count(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(role: Role, unit: Unit, points: u64) -> Entry {
        let broken = Broken::default();
        Entry { sweep: "a".into(), role, unit, points, images: 0, kills: 0, faults: 0, broken }
    }

    /// A run that did all that is asked for.
    fn whole() -> Sum {
        let mut entries: Vec<_> = LINES
            .iter()
            .filter_map(|line| Some((line, line.unit?)))
            .flat_map(|(line, unit)| vec![entry(Role::Sweep, unit, line.at_ten.max(1)); line.sweeps])
            .collect();
        for _ in 0..20 {
            let kills = Entry { kills: 500, images: 1_000, ..entry(Role::Sweep, Unit::Places, 1) };
            entries.push(kills);
        }
        entries.extend(vec![entry(Role::Control { caught: true }, Unit::Places, 1); CONTROLS]);
        Sum { entries, scale: 10 }
    }

    #[test]
    fn a_run_holds_if_it_did_all_and_nothing_is_broken() {
        let sum = whole();
        assert!(sum.holds(), "{sum}");
        assert!(
            sum.to_string().contains("0 lost, 0 repeated, 0 silently wrong, 0 panics; 12 of 12"),
            "{sum}"
        );
    }

    #[test]
    fn a_run_that_did_too_little_or_broke_something_proves_nothing() {
        let broken = |change: fn(&mut Sum)| {
            let mut sum = whole();
            change(&mut sum);
            assert!(!sum.holds(), "{sum}");
            sum.to_string()
        };
        assert!(broken(|sum| sum.scale = 100).contains("too little: processes killed"));
        assert!(broken(|sum| sum.entries.retain(|entry| entry.unit != Unit::Races)).contains("too little"));
        assert!(broken(|sum| sum.entries[0].broken.lost = 1).contains("broken: a: 1 lost"));
        let beside = broken(|sum| {
            let broken = Broken { wrong: 1, ..Broken::default() };
            sum.entries.push(Entry { broken, ..entry(Role::Beside, Unit::Races, 1) });
        });
        assert!(beside.contains("broken: a: 0 lost, 0 repeated, 1 silently wrong"), "{beside}");
        let caught = broken(|sum| sum.entries.push(entry(Role::Control { caught: false }, Unit::Places, 1)));
        assert!(caught.contains("not caught: a"), "{caught}");
    }

    #[test]
    fn what_was_skipped_is_named_and_counts_as_nothing() {
        let mut sum = whole();
        sum.entries.retain(|entry| entry.unit != Unit::XfsCuts);
        assert!(!sum.holds(), "{sum}");
        sum.entries.push(entry(Role::Skipped("no mkfs".into()), Unit::XfsCuts, 0));
        assert!(sum.holds() && sum.to_string().contains("skipped: a: no mkfs"), "{sum}");
        assert!(sum.to_string().ends_with("1 sweeps skipped"), "{sum}");
    }
}
