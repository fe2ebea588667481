//! A line of the table: the same work by every engine, in turns, and what came of it.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Programs, ROUNDS, title};

/// Longer than this no measurement may take; the table says which did.
const PATIENCE: Duration = Duration::from_mins(2);

/// One engine in a line. An engine that is slow does less, which the table says.
pub(crate) struct Entry {
    pub(crate) who: &'static str,
    runs: u32,
    steps: u32,
    warm: u32,
    /// Why it cannot do this.
    cannot: Option<&'static str>,
}

impl Entry {
    pub(crate) const fn new(who: &'static str, runs: u32, steps: u32) -> Self {
        Self { who, runs, steps, warm: 0, cannot: None }
    }

    pub(crate) const fn cannot(who: &'static str, why: &'static str) -> Self {
        Self { who, runs: 0, steps: 0, warm: 0, cannot: Some(why) }
    }

    /// After so many steps that are not measured.
    pub(crate) const fn after(mut self, warm: u32) -> Self {
        self.warm = warm;
        self
    }

    fn amount(&self) -> String {
        match (self.runs, self.steps) {
            (1, steps) => format!("{steps}"),
            (runs, 0) => format!("{runs}"),
            (runs, steps) => format!("{runs} x {steps}"),
        }
    }
}

/// One line of the table, which has a row for each engine.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) work: &'static str,
    /// What is counted.
    pub(crate) unit: &'static str,
    /// At full durability, or as the engines come.
    pub(crate) full: bool,
    pub(crate) entries: &'static [Entry],
}

/// What an engine did, round by round.
#[derive(Default)]
struct Results {
    /// Units a second, or bytes; `None` where it failed.
    each: Vec<Option<f64>>,
    cpu_us: Vec<f64>,
    failures: Vec<String>,
}

impl Line {
    pub(crate) fn print(&self, programs: &Programs) {
        let recorded = self.record(programs);
        let mut results: Vec<Results> = self.entries.iter().map(|_| Results::default()).collect();
        for round in 0..ROUNDS {
            let mut turn: Vec<_> = self.entries.iter().zip(&mut results).collect();
            // Who is first changes, so that nobody always comes after the same one's load.
            if round % 2 == 1 {
                turn.reverse();
            }
            for (entry, results) in turn.into_iter().filter(|(entry, _)| entry.cannot.is_none()) {
                self.measure(programs, entry, recorded.get(entry.who).map(TempDir::path), results);
            }
        }
        for (entry, of_entry) in self.entries.iter().zip(&results) {
            println!("| {} | {} | {}", self.name, title(entry.who), self.row(entry, of_entry, &results[0]));
        }
    }

    /// The folders in which a workflow waits to be gone on with. SQLite alone reads what durable wrote.
    fn record(&self, programs: &Programs) -> HashMap<&'static str, TempDir> {
        let mut folders = HashMap::new();
        for entry in self.entries.iter().filter(|entry| self.work == "replay" && entry.cannot.is_none()) {
            let who = if entry.who == "raw" { "durable" } else { entry.who };
            let folder = tempfile::tempdir_in(".").expect("a folder");
            let said = run(self.command(programs, who, "record", entry, folder.path()));
            assert_eq!(said.as_deref(), Ok("recorded"), "{who}");
            folders.insert(entry.who, folder);
        }
        folders
    }

    fn command(&self, programs: &Programs, who: &str, work: &str, entry: &Entry, folder: &Path) -> Command {
        let mut command = programs.of(who);
        command.arg(work).arg(folder).arg(if self.full { "full" } else { "shipped" });
        command.args([entry.runs, entry.steps, entry.warm].map(|number| number.to_string()));
        command
    }

    fn measure(&self, programs: &Programs, entry: &Entry, recorded: Option<&Path>, results: &mut Results) {
        let folder = tempfile::tempdir_in(".").expect("a folder");
        if let Some(recorded) = recorded {
            copy(recorded, folder.path());
        }
        let said = run(self.command(programs, entry.who, self.work, entry, folder.path()));
        let numbers = said.and_then(|said| {
            let numbers: Vec<f64> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
            <[f64; 2]>::try_from(numbers).map_err(|_| said)
        });
        match numbers {
            Ok([bytes, _]) if self.unit == "bytes" => results.each.push(Some(bytes)),
            Ok([wall_ns, cpu_ns]) => {
                let count =
                    f64::from(if self.unit == "steps" { entry.runs * entry.steps } else { entry.runs });
                results.each.push(Some(count * 1e9 / wall_ns));
                results.cpu_us.push(cpu_ns / 1e3 / count);
            }
            Err(failure) => {
                results.each.push(None);
                results.failures.push(failure);
            }
        }
    }

    /// The rest of a row: how much, how fast, of raw, at what cost.
    fn row(&self, entry: &Entry, results: &Results, raw: &Results) -> String {
        if let Some(why) = entry.cannot {
            return format!("- | {why} | - | - |");
        }
        let done: Vec<f64> = results.each.iter().copied().flatten().collect();
        let (spread, cpu) = (spread(done, 0), median(results.cpu_us.clone()));
        let unit = if self.unit == "bytes" { "bytes, not a rate" } else { self.unit };
        let failed = results.failures.first().map_or_else(String::new, |first| {
            format!("; {} of {ROUNDS} rounds failed: {first}", results.failures.len())
        });
        let ratios = results.each.iter().zip(&raw.each).filter_map(|(own, raw)| Some((*own)? / (*raw)?));
        let ratio = if self.unit == "bytes" { "-".to_owned() } else { spread_of_ratios(ratios.collect()) };
        let cpu = cpu.map_or_else(|| "-".to_owned(), |cpu| format!("{cpu:.0}"));
        format!("{} | {spread} {unit}{failed} | {ratio} | {cpu} |", entry.amount())
    }
}

/// Copies what a process left behind, so that each that goes on with it finds the same.
fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

fn spread_of_ratios(ratios: Vec<f64>) -> String {
    let digits = if ratios.iter().all(|ratio| *ratio < 0.1) { 4 } else { 2 };
    spread(ratios, digits)
}

fn spread(mut numbers: Vec<f64>, digits: usize) -> String {
    numbers.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (numbers.first().copied(), numbers.last().copied()) else {
        return "-".to_owned();
    };
    let median = numbers[numbers.len() / 2];
    format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

/// The last line that a measurement prints, or why there is none.
pub(crate) fn run(mut command: Command) -> Result<String, String> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let texts = [child.stdout.take().map(read), child.stderr.take().map(read)];
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status,
            None if start.elapsed() > PATIENCE => {
                child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
                return Err(format!("it took more than {} s", PATIENCE.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let [said, failure] = texts.map(|text| text.and_then(|text| text.join().ok()).unwrap_or_default());
    if status.success() {
        Ok(said.lines().last().unwrap_or_default().to_owned())
    } else {
        Err(reason(&failure))
    }
}

fn read(mut from: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read is not there.
        _ = from.read_to_string(&mut text);
        text
    })
}

/// The message of the first panic, short.
fn reason(failure: &str) -> String {
    let mut lines = failure.lines().skip_while(|line| !line.contains(" panicked at "));
    let message = lines.nth(1).unwrap_or("it ended early");
    let locked = message.contains("database is locked").then_some("`database is locked`");
    locked.map_or_else(|| message.chars().take(90).collect(), str::to_owned)
}
