//! Processes that are killed: how one is started, what it does, and what its folder holds when it is gone.
//! The one rule: what a process leaves is judged by another one, which has only its folder.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use durable::store::Durability;
use tempfile::TempDir;

use crate::checker::Violation;
use crate::notes::{Note, World, read};
use crate::recorder::{Done, Fault, Recorder};
use crate::trial::{DATABASE, Trial};
use crate::workloads::{Workload, builder};

/// The log of all processes of a folder.
const NOTES: &str = "notes";

/// The word by which a process is told that it is killed from outside.
pub const ALONE: &str = "alone";

/// The signal that cannot be caught.
const SIGKILL: i32 = libc::SIGKILL;

/// A folder in which processes run a workload.
#[derive(Debug)]
pub struct Victim {
    program: PathBuf,
    trial: Trial,
    folder: TempDir,
}

/// How a process ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was killed.
    Killed,
    /// It came to the end of its workload.
    Unharmed,
    /// Neither; what it said.
    Otherwise(String),
}

impl Ended {
    fn of(output: &Output) -> Self {
        match output.status.signal() {
            Some(SIGKILL) => Self::Killed,
            None if output.status.success() => Self::Unharmed,
            _ => Self::Otherwise(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Victim {
    /// A new folder; `program` is the victim's binary.
    pub fn new(program: &str, trial: Trial) -> Self {
        Self { program: program.into(), trial, folder: tempfile::tempdir().unwrap() }
    }

    /// The same with a copy of the folder.
    #[must_use = "the copy is gone when it is dropped"]
    pub fn copy(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(self.folder.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        Self { program: self.program.clone(), trial: self.trial, folder }
    }

    /// The fault that kills at operation `at`, with half of its bytes written or none.
    pub fn kill(at: u64, half: bool) -> Fault {
        Fault::kill(at, if half { Done::Half } else { Done::Nothing })
    }

    /// Starts a process that goes on with the folder, to be killed at this operation.
    pub fn run(&self, kill: Option<(u64, bool)>) -> Ended {
        let mut command = self.command();
        if let Some((at, half)) = kill {
            command.arg(at.to_string()).arg(if half { "half" } else { "nothing" });
        }
        Ended::of(&command.output().unwrap())
    }

    /// Starts a process that goes on with the folder on the system's own files, and kills it so long after it
    /// began, if it has not ended by then.
    pub fn run_for(&self, time: Duration, durability: &str) -> Ended {
        let mut command = self.command();
        command.args([ALONE, durability]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut says = child.stdout.take().unwrap();
        thread::scope(|threads| {
            let (ends, ended) = channel::<()>();
            // One byte says that it begins, and nothing more is said until its end.
            if says.read_exact(&mut [0]).is_ok() {
                threads.spawn(move || {
                    _ = says.read_to_end(&mut Vec::new());
                    drop(ends);
                });
                // When it is killed is left to chance: the fault is the time itself.
                _ = ended.recv_timeout(time);
            }
            child.kill().unwrap();
            Ended::of(&child.wait_with_output().unwrap())
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(self.folder.path()).arg(self.trial.workload.name());
        command
    }

    /// What the processes of the folder have noted so far.
    pub fn notes(&self) -> Vec<Note> {
        read(&self.folder.path().join(NOTES))
    }

    /// What a process does that is killed from outside, without anything of ours below SQLite.
    pub fn live_alone(
        folder: &Path,
        workload: Workload,
        durability: Durability,
    ) -> Result<(), durable::Error> {
        std::io::stdout().write_all(b"!").and_then(|()| std::io::stdout().flush()).expect("somebody listens");
        let builder = builder(World::kept(&folder.join(NOTES))).durability(durability);
        let engine = builder.open(folder.join(DATABASE))?;
        workload.run(&engine).map(|_| ())
    }

    /// What such a process does: the number of its operations, once it has come to its end.
    pub fn live(folder: &Path, workload: Workload, kill: Option<Fault>) -> Result<u64, durable::Error> {
        let recorder = Recorder::watch(folder);
        if let Some(fault) = kill {
            recorder.plan(fault);
        }
        let engine = builder(World::kept(&folder.join(NOTES))).open(folder.join(DATABASE))?;
        workload.run(&engine)?;
        drop(engine);
        Ok(recorder.operations())
    }

    /// Goes on with the folder in this process, to the end, and judges all that happened there.
    pub fn judge(&self) -> Vec<Violation> {
        let (folder, trial) = (self.folder.path(), self.trial);
        let _recorder = Recorder::watch(folder);
        trial.judge(|| {
            let engine = builder(World::kept(&folder.join(NOTES))).open(folder.join(DATABASE))?;
            let result = trial.workload.run(&engine)?;
            trial.check(&engine, result, &read(&folder.join(NOTES)))
        })
    }
}
