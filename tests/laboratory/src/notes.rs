//! What a workload says of itself outside its database: which bodies ran, and what its steps returned to it.
//! The one rule: a note is kept before the workload goes on, in the trace, in a file, or in both; so the log
//! of a process that is killed is complete.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, PoisonError};

use crate::recorder::Recorder;

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A process began, or called the workload again after a fault.
    Start,
    /// A body ran, under this name, and is known by a ticket that no other execution has.
    Effect(String, u64),
    /// A step returned to the workflow what the execution with this ticket made.
    Acknowledged(String, u64),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => f.write_str("start 0"),
            Self::Effect(name, ticket) => write!(f, "effect {ticket} {name}"),
            Self::Acknowledged(name, ticket) => write!(f, "acknowledged {ticket} {name}"),
        }
    }
}

impl Note {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let (ticket, name) = rest.split_once(' ').unwrap_or((rest, ""));
        let (ticket, name) = (ticket.parse().ok()?, name.to_owned());
        match word {
            "start" => Some(Self::Start),
            "effect" => Some(Self::Effect(name, ticket)),
            "acknowledged" => Some(Self::Acknowledged(name, ticket)),
            _ => None,
        }
    }
}

/// All that was noted, of earlier processes too. A resource of the engine that runs a workload.
#[derive(Debug, Default)]
pub struct World {
    notes: Mutex<Vec<Note>>,
    trace: Option<Recorder>,
    file: Option<PathBuf>,
    /// Who is told of a note, and of which.
    alarm: Option<(usize, Sender<()>)>,
}

impl World {
    /// A world in memory, after these notes of earlier ones.
    pub fn after(notes: Vec<Note>) -> Self {
        let world = Self { notes: Mutex::new(notes), ..Self::default() };
        world.note(Note::Start);
        world
    }

    /// Its notes stand in the recorder's trace too.
    pub fn traced(notes: Vec<Note>, recorder: &Recorder) -> Self {
        let world = Self { notes: Mutex::new(notes), trace: Some(recorder.clone()), ..Self::default() };
        world.note(Note::Start);
        world
    }

    /// Its notes stand in this file, after those of earlier processes.
    pub fn kept(file: &Path) -> Self {
        let world = Self { notes: Mutex::new(read(file)), file: Some(file.to_owned()), ..Self::default() };
        world.note(Note::Start);
        world
    }

    /// Tells somebody when there are so many notes.
    #[must_use = "the world is made anew"]
    pub fn telling(self, count: usize, whom: Sender<()>) -> Self {
        Self { alarm: Some((count, whom)), ..self }
    }

    /// A body runs; its ticket.
    pub(crate) fn effect(&self, name: &str) -> u64 {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // The place in the log is a number that no other execution gets, whatever process it runs in.
        let ticket = notes.len() as u64;
        self.keep(&mut notes, Note::Effect(name.to_owned(), ticket));
        ticket
    }

    /// A step has returned.
    pub fn acknowledged(&self, name: &str, ticket: u64) {
        self.note(Note::Acknowledged(name.to_owned(), ticket));
    }

    /// How often the body of this name ran.
    pub(crate) fn effects_of(&self, name: &str) -> usize {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().filter(|note| matches!(note, Note::Effect(other, _) if other == name)).count()
    }

    /// All that was noted.
    pub fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, note: Note) {
        self.keep(&mut self.notes.lock().unwrap_or_else(PoisonError::into_inner), note);
    }

    fn keep(&self, notes: &mut Vec<Note>, note: Note) {
        if let Some(trace) = &self.trace {
            trace.say(note.clone());
        }
        if let Some(path) = &self.file {
            let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
            // One write of one line, which a kill leaves whole or out.
            file.write_all(format!("{note}\n").as_bytes()).unwrap();
        }
        notes.push(note);
        if let Some((_, whom)) = self.alarm.as_ref().filter(|(count, _)| *count == notes.len()) {
            // Nobody listens any more: nobody is to be told.
            let _ = whom.send(());
        }
    }
}

/// The notes in a file; none if there is no such file.
pub fn read(file: &Path) -> Vec<Note> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| Note::parse(line).expect("a line that `World` wrote")).collect()
}
