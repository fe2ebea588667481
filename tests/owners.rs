//! One run has one live owner on a machine, whatever happens to the processes: they are real ones, stopped
//! and killed. The children are this test binary itself, told by the environment what to do.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use durable::store::RunStatus;
use durable::{Engine, Error, step, workflow};

/// The folder that a process works in.
struct Folder(PathBuf);

fn note(line: &str) {
    let path = durable::resource::<Folder>().0.join("effects");
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// Says that it has begun on stdout, then waits until its stdin ends.
#[step]
fn held() -> u32 {
    note("held");
    println!("\nbegun");
    std::io::stdout().flush().unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::id()
}

#[workflow]
fn holding() -> u32 {
    held()
}

#[step]
fn effect(id: u32, turn: u32) {
    note(&format!("{id} {turn}"));
}

#[workflow]
fn racing(id: u32) -> u32 {
    for turn in 0..3 {
        effect(id, turn);
    }
    id
}

fn open(folder: &Path) -> Engine {
    Engine::builder().with(Folder(folder.to_owned())).open(folder.join("runs.db")).unwrap()
}

const RACES: u32 = 20;

/// Not a test of its own: what a child process does.
#[test]
fn child_process() {
    let Ok(folder) = std::env::var("OWNERS_FOLDER").map(PathBuf::from) else { return };
    let engine = open(&folder);
    if std::env::var("OWNERS_TASK").unwrap() == "hold" {
        holding::durable("run").on(&engine).run().unwrap();
        return;
    }
    println!("\nbegun");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    for id in 0..RACES {
        assert_eq!(racing::durable(format!("race-{id}"), id).on(&engine).run().unwrap(), id);
    }
}

/// A child that has come to the point where it waits for its stdin to end.
fn spawn(folder: &Path, task: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child_process", "--nocapture"])
        .env("OWNERS_FOLDER", folder)
        .env("OWNERS_TASK", task);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let begun = BufReader::new(child.stdout.as_mut().unwrap()).lines().any(|line| line.unwrap() == "begun");
    assert!(begun);
    child
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn effects(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("effects")).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_run_belongs_to_its_process_until_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = spawn(folder.path(), "hold");
    let engine = open(folder.path());
    let lives = || {
        assert!(matches!(engine.reset("run"), Err(Error::Live { .. })));
        assert!(matches!(engine.rewind("run", "held_0"), Err(Error::Live { .. })));
        assert_eq!(engine.run("run").unwrap().unwrap().status, RunStatus::Running);
    };
    lives();
    signal(&child, "STOP");
    lives();
    signal(&child, "KILL");
    child.wait().unwrap();
    assert_eq!(engine.steps("run").unwrap().len(), 0);
    assert!(engine.reset("run").unwrap(), "its owner is gone, so it can be reset");
    assert_eq!(effects(folder.path()), ["held"]);
}

#[test]
fn a_second_process_waits_for_the_owner_and_takes_its_result() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = spawn(folder.path(), "hold");
    let (engine, stdin) = (open(folder.path()), child.stdin.take().unwrap());
    let waiter = std::thread::spawn(move || holding::durable("run").on(&engine).run().unwrap());
    drop(stdin);
    assert_eq!(waiter.join().unwrap(), child.id());
    assert!(child.wait().unwrap().success());
    assert_eq!(effects(folder.path()), ["held"], "the step ran once, in its owner");
}

#[test]
fn processes_that_race_for_the_same_ids_run_each_step_once() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let children: Vec<_> = (0..4).map(|_| spawn(folder.path(), "race")).collect();
    for mut child in children.into_iter().map(|mut child| {
        drop(child.stdin.take());
        child
    }) {
        assert!(child.wait().unwrap().success());
    }
    let mut seen = effects(folder.path());
    seen.sort();
    let mut expected: Vec<_> =
        (0..RACES).flat_map(|id| (0..3).map(move |turn| format!("{id} {turn}"))).collect();
    expected.sort();
    assert_eq!(seen, expected);
}

#[test]
fn a_dead_owner_leaves_its_file_and_the_next_to_open_sweeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = spawn(folder.path(), "hold");
    signal(&child, "KILL");
    child.wait().unwrap();
    let owners = || {
        let names = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.contains("-owner-")).count()
    };
    assert_eq!(owners(), 1);
    let engine = open(folder.path());
    assert_eq!(owners(), 1, "its own");
    drop(engine);
    assert_eq!(owners(), 0);
    File::open(folder.path().join("runs.db")).unwrap();
}
