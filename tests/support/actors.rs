//! Tests with processes: each is also the program of its child processes, which it starts with a role, and
//! which meet at a place: a database, and a log of effects.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic, in its helpers too")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;

const ROLE: &str = "DURABLE_TEST_ROLE";
const FOLDER: &str = "DURABLE_TEST_FOLDER";

/// Where the processes of a test meet: the database, and a log of what the bodies of steps did.
#[derive(Clone)]
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn database(&self) -> PathBuf {
        self.0.join("runs.db")
    }

    /// One write of one line, which the system keeps whole.
    pub(crate) fn note(&self, effect: &str) {
        let mut log = OpenOptions::new().append(true).create(true).open(self.0.join("effects")).unwrap();
        log.write_all(format!("{effect}\n").as_bytes()).unwrap();
    }

    /// Counts the effects that are noted from now on.
    pub(crate) fn follow(&self) -> Follower {
        let mut log = fs::File::open(self.0.join("effects")).unwrap();
        log.seek(SeekFrom::End(0)).unwrap();
        Follower { log, count: 0 }
    }

    pub(crate) fn effects(&self) -> Vec<String> {
        fs::read_to_string(self.0.join("effects")).unwrap().lines().map(Into::into).collect()
    }
}

/// Counts the effects that are noted, reading each of them once however often it is asked.
pub(crate) struct Follower {
    log: fs::File,
    count: usize,
}

impl Follower {
    pub(crate) fn count(&mut self) -> usize {
        let mut added = String::new();
        self.log.read_to_string(&mut added).unwrap();
        self.count += added.matches('\n').count();
        self.count
    }
}

/// The role that this process was started with, and its place.
pub(crate) fn role() -> Option<(String, Place)> {
    let folder = std::env::var_os(FOLDER)?;
    Some((std::env::var(ROLE).unwrap(), Place(folder.into())))
}

/// Says `line` to the test that started this process.
pub(crate) fn say(line: &str) {
    // With a line break before it, since the test harness has not ended its own line.
    std::io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}

/// Waits for the next line from the test that started this process.
pub(crate) fn hear() {
    std::io::stdin().lines().next().unwrap().unwrap();
}

/// A process in a role; killed at the end of the test, however it ends.
pub(crate) struct Actor {
    child: Child,
    hears: Option<ChildStdin>,
    says: BufReader<ChildStdout>,
}

impl Actor {
    pub(crate) fn start(test: &str, role: &str, folder: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env(ROLE, role).env(FOLDER, folder);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (hears, says) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, hears, says }
    }

    /// Blocks until the process says `line`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, line: &str) {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|last| last != line) {
            match self.says.by_ref().lines().next() {
                Some(said) => heard.push(said.unwrap()),
                None => panic!("the process ended without saying {line:?}: {heard:#?}"),
            }
        }
    }

    /// Blocks until the process says one of two lines; whether it was the first.
    pub(crate) fn says_first(&mut self, first: &str, second: &str) -> bool {
        let mut lines = self.says.by_ref().lines().map(Result::unwrap);
        lines.find(|line| line == first || line == second).unwrap() == first
    }

    /// The line with which its run ended.
    pub(crate) fn last_words(&mut self) -> String {
        self.says.by_ref().lines().map(Result::unwrap).find(|line| line.contains(" ended: ")).unwrap()
    }

    pub(crate) fn tell(&mut self) {
        self.tell_line("");
    }

    /// Whoever hears for the process hears it, also once that is dead.
    pub(crate) fn tell_line(&mut self, line: &str) {
        self.hears.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Tells no more, so whoever hears for the process comes to the end.
    pub(crate) fn leave(&mut self) {
        self.hears = None;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Sends SIGSTOP, and waits until the system has stopped the process.
    pub(crate) fn stop(&self) {
        self.signal("-STOP");
        let stat = format!("/proc/{}/stat", self.child.id());
        while cfg!(target_os = "linux") {
            let stat = fs::read_to_string(&stat).unwrap();
            match stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next()) {
                Some('T') => return,
                Some('Z' | 'X') => panic!("a process ended where it was to be stopped"),
                _ => thread::yield_now(),
            }
        }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Runs `future` to its end on this thread.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    durable::__private::doc::block_on(future)
}
