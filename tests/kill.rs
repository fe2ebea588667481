//! Kills a real process with SIGKILL before and after each of its writes to the store, runs it again until it
//! is done, and compares with a process that was never killed: the same result, the same steps, and no step
//! that ran again after it had returned.
//!
//! The child is this test binary itself, told by the environment which workflow to run and at which write to
//! die.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use durable::store::sqlite::SqliteStore;
use durable::store::{Answer, Op, OwnerId, StepReader, StepStore, StoreError};
use durable::{Engine, Event, StepFailed, Topic, step, workflow};

/// Where effects and acknowledgements go: outside the database, one line each, appended.
struct Effects(PathBuf);

fn log(line: &str) {
    let mut file =
        OpenOptions::new().append(true).create(true).open(&durable::resource::<Effects>().0).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The step has returned to the workflow.
fn acknowledge<T>(name: &str, value: T) -> T {
    log(&format!("ack {name}"));
    value
}

#[step]
fn effect(name: &str) -> u64 {
    log(&format!("effect {name}"));
    name.bytes().map(u64::from).sum()
}

#[step]
async fn effect_async(name: &str) -> u64 {
    smol::future::yield_now().await;
    log(&format!("effect {name}"));
    name.bytes().map(u64::from).sum()
}

#[step(retries = 1, backoff = "1ms")]
fn failing(name: &str) -> Result<u64, String> {
    log(&format!("effect {name}"));
    Err(format!("{name} failed"))
}

fn run(name: &str) -> u64 {
    acknowledge(name, effect(name))
}

#[workflow]
fn sequential() -> u64 {
    let handled = failing("handled").unwrap_or_else(|_| run("instead"));
    run("a") + run("b") * handled
}

#[workflow]
fn looping() -> Vec<u64> {
    (0..6).map(|i| run(&format!("turn{i}"))).collect()
}

#[workflow]
fn parallel() -> u64 {
    let (a, b) = durable::join(|| run("a1") + run("a2"), || run("b1") + run("b2"));
    a * b + durable::map(0..3, 2, |i| run(&format!("m{i}"))).iter().sum::<u64>()
}

#[workflow]
async fn concurrent() -> u64 {
    let one = async { acknowledge("x", effect_async("x").await) + acknowledge("y", effect_async("y").await) };
    let (a, b) = durable::join!(one, async { acknowledge("z", effect_async("z").await) });
    a + b + acknowledge("end", effect_async("end").await)
}

#[workflow]
fn patching() -> u64 {
    let turn = |i: u32| {
        let new = durable::patched("turn");
        u64::from(new) * run(&format!("turn{i}"))
    };
    let sum: u64 = (0..4).map(turn).sum();
    let (a, b) = durable::join(|| durable::patched("a"), || u64::from(durable::patched("b")) * run("b"));
    sum + u64::from(a) * b + run("last") * u64::from(durable::patched("last"))
}

#[workflow]
fn child(name: String) -> u64 {
    run(&format!("{name}1")) + run(&format!("{name}2"))
}

#[workflow]
fn nested() -> u64 {
    let inline = child("inline".into());
    let own = child::run_durable("own-run", "own".into()).unwrap();
    inline + own + run("last")
}

const WORD: Topic<String> = Topic::new("word");
const SUM: Event<u64> = Event::new("sum");

/// Answers each of three words with its sum, and publishes the last.
#[workflow]
fn answers(to: String) -> u64 {
    let mut last = 0;
    for n in 0..3 {
        let word = durable::recv(WORD, Duration::MAX).unwrap();
        last = run(&format!("{word}{n}"));
        durable::send(&to, WORD, format!("{word} {last}")).unwrap();
    }
    durable::set_event(SUM, last);
    last
}

/// Talks to a run that it has started in the background.
#[workflow]
fn asks() -> Vec<String> {
    let other = answers::start("other-run", "run".into()).unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        durable::send(other.id(), WORD, "w".to_owned()).unwrap();
        answers.push(durable::recv(WORD, Duration::MAX).unwrap());
    }
    answers.push(durable::get_event(other.id(), SUM, Duration::MAX).unwrap().unwrap().to_string());
    answers.push(other.wait().unwrap().to_string());
    answers
}

/// Branches of which timing decides, though it decides the same each time.
#[workflow]
async fn racing() -> Result<u64, String> {
    let one = async |name: &'static str| acknowledge(name, effect_async(name).await);
    let won = durable::race!(std::future::pending(), async { one("r1").await + one("r2").await });
    let failed = async {
        let handled = failing("f");
        one("after f").await;
        handled
    };
    let both = durable::try_join!(failed, std::future::pending::<Result<u64, String>>());
    let mut sum = won + u64::from(both.is_err());
    let mut stream = durable::unordered(["u0", "u1", "u2"].map(one), 1);
    while let Some((index, value)) = stream.next().await {
        sum = sum * 3 + value + run(&format!("after u{index}"));
    }
    Ok(sum)
}

#[step(at_most_once)]
fn once(name: &str) -> Result<(), StepFailed> {
    log(&format!("effect {name}"));
    Ok(())
}

#[step(at_most_once)]
async fn once_async(name: &str) -> Result<(), StepFailed> {
    log(&format!("effect {name}"));
    Ok(())
}

#[workflow]
fn once_inside(name: String) -> bool {
    acknowledge(&name, once(&name)).is_ok()
}

/// Which of its steps have ended, and which were interrupted.
#[workflow]
async fn at_most_once() -> Vec<bool> {
    let first = acknowledge("w0", once_async("w0").await).is_ok();
    let (second, third) = durable::join(|| once_inside("w1".into()), || once_inside("w2".into()));
    let mapped = durable::map(["w3", "w4"], 2, |name| acknowledge(name, once(name)).is_ok());
    [first, second, third].into_iter().chain(mapped).collect()
}

const WORKFLOWS: [&str; 8] =
    ["sequential", "looping", "parallel", "concurrent", "racing", "patching", "nested", "asks"];

/// Runs the workflow to its end, and says what it returned.
fn call(workflow: &str) -> String {
    match workflow {
        "sequential" => sequential::run_durable("run").unwrap().to_string(),
        "looping" => format!("{:?}", looping::run_durable("run").unwrap()),
        "parallel" => parallel::run_durable("run").unwrap().to_string(),
        "asks" => format!("{:?}", asks::run_durable("run").unwrap()),
        "patching" => patching::run_durable("run").unwrap().to_string(),
        "at_most_once" => format!("{:?}", smol::block_on(at_most_once::run_durable("run")).unwrap()),
        "concurrent" => smol::block_on(concurrent::run_durable("run")).unwrap().to_string(),
        "racing" => smol::block_on(racing::run_durable("run")).unwrap().to_string(),
        _ => nested::run_durable("run").unwrap().to_string(),
    }
}

/// A store that kills its process before or after the commit that has the `at`-th write.
struct Deadly {
    inner: SqliteStore,
    writes: u32,
    at: Option<(u32, When)>,
    count: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    Before,
    After,
}

impl Deadly {
    fn die_if(&self, ops: &[Op], now: When) {
        let writes = self.writes + 1..=self.writes + u32::try_from(ops.len()).unwrap();
        if self.at.is_some_and(|(at, when)| when == now && writes.contains(&at)) {
            Command::new("kill").args(["-KILL", &std::process::id().to_string()]).status().unwrap();
            loop {
                std::thread::park();
            }
        }
    }
}

impl StepStore for Deadly {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        self.die_if(ops, When::Before);
        let answers = self.inner.apply(ops);
        self.die_if(ops, When::After);
        self.writes += u32::try_from(ops.len()).unwrap();
        fs::write(&self.count, self.writes.to_string()).unwrap();
        answers
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.inner.reader()
    }

    fn owner(&self) -> OwnerId {
        self.inner.owner()
    }
}

/// Not a test of its own: what a child process does.
#[test]
fn child_process() {
    let Ok(folder) = std::env::var("KILL_FOLDER").map(PathBuf::from) else { return };
    let at = std::env::var("KILL_AT").ok().map(|at| {
        let (write, when) = at.split_once(' ').unwrap();
        (write.parse().unwrap(), if when == "before" { When::Before } else { When::After })
    });
    let store = Deadly {
        inner: SqliteStore::open(&folder.join("runs.db")).unwrap(),
        writes: 0,
        at,
        count: folder.join("writes"),
    };
    let engine =
        Engine::builder().with(Effects(folder.join("effects"))).seed(1).recover(true).store(store).unwrap();
    let _entered = engine.enter();
    let result = call(&std::env::var("KILL_WORKFLOW").unwrap());
    fs::write(folder.join("result"), result).unwrap();
}

fn spawn(folder: &Path, workflow: &str, at: Option<(u32, When)>) -> ExitStatus {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "child_process", "--quiet"])
        .env("KILL_FOLDER", folder)
        .env("KILL_WORKFLOW", workflow);
    if let Some((write, when)) = at {
        child.env("KILL_AT", format!("{write} {}", if when == When::Before { "before" } else { "after" }));
    }
    child.output().unwrap().status
}

/// What a finished folder holds: the result, the recorded steps, the effects.
fn read(folder: &Path) -> (String, Vec<String>, Vec<String>) {
    let engine = Engine::open(folder.join("runs.db")).unwrap();
    let mut steps = Vec::new();
    for run in engine.runs() {
        let id = run.unwrap().id;
        steps.extend(
            engine.steps(&id).unwrap().iter().map(|step| format!("{id} {} {}", step.key(), step.output)),
        );
    }
    let effects = fs::read_to_string(folder.join("effects")).unwrap();
    (fs::read_to_string(folder.join("result")).unwrap(), steps, effects.lines().map(str::to_owned).collect())
}

/// An acknowledged step does not run again, and nothing is left out.
#[track_caller]
fn check_effects(effects: &[String], unkilled: &[String]) {
    for (i, line) in effects.iter().enumerate() {
        if let Some(name) = line.strip_prefix("effect ") {
            let acknowledged = effects[..i].contains(&format!("ack {name}"));
            assert!(!acknowledged, "`{name}` ran again after it had returned: {effects:?}");
        }
    }
    for line in unkilled {
        assert!(effects.contains(line), "`{line}` is missing: {effects:?}");
    }
}

fn check(workflow: &str) {
    let unkilled = tempfile::tempdir().unwrap();
    assert!(spawn(unkilled.path(), workflow, None).success());
    let writes: u32 = fs::read_to_string(unkilled.path().join("writes")).unwrap().parse().unwrap();
    let (result, steps, effects) = read(unkilled.path());
    assert!(writes >= 5, "{workflow} writes {writes} times");
    for write in 1..=writes {
        for when in [When::Before, When::After] {
            let folder = tempfile::tempdir().unwrap();
            let killed = spawn(folder.path(), workflow, Some((write, when)));
            // How often those are unloaded that wait for each other depends on their timing.
            let is_over = workflow == "asks" && killed.success();
            assert!(is_over || killed.signal() == Some(9), "{workflow} was killed {when:?} write {write}");
            assert!(spawn(folder.path(), workflow, None).success());
            let after = read(folder.path());
            assert_eq!((&after.0, &after.1), (&result, &steps), "{workflow} killed {when:?} write {write}");
            check_effects(&after.2, &effects);
        }
    }
}

#[test]
fn a_process_killed_at_any_write_ends_as_if_it_had_not_been() {
    WORKFLOWS.into_iter().for_each(check);
}

/// Kills the child again and again, each time one write later, on one and the same database.
#[test]
fn a_process_killed_at_every_write_in_turn_gets_to_its_end() {
    for workflow in WORKFLOWS {
        let unkilled = tempfile::tempdir().unwrap();
        assert!(spawn(unkilled.path(), workflow, None).success());
        let (result, steps, effects) = read(unkilled.path());
        let folder = tempfile::tempdir().unwrap();
        let mut kills = 0;
        // Two claims, of a run and of the one that it waits for, and one record: the least that makes
        // progress.
        while spawn(folder.path(), workflow, Some((4, When::Before))).signal() == Some(9) {
            kills += 1;
            assert!(kills < 100, "{workflow} makes no progress");
        }
        let after = read(folder.path());
        assert_eq!((&after.0, &after.1), (&result, &steps), "{workflow} after {kills} kills");
        assert!(kills >= 2, "{workflow}");
        check_effects(&after.2, &effects);
    }
}

/// No effect twice, and none is said to have ended that is missing.
#[track_caller]
fn check_at_most_once(folder: &Path, killed: &str) {
    let (result, steps, effects) = read(folder);
    for (i, ended) in result.trim_matches(['[', ']']).split(", ").enumerate() {
        let effect = format!("effect w{i}");
        let count = effects.iter().filter(|line| **line == effect).count();
        let interrupted = steps.iter().filter(|step| step.contains("interrupted")).count();
        assert!(count <= 1, "{effect} is there {count} times, {killed}: {effects:?}");
        assert!(ended == "false" || count == 1, "{effect} is missing, {killed}: {result}, {effects:?}");
        assert_eq!(result.matches("false").count(), interrupted, "{killed}: {result}, {steps:?}");
    }
    check_effects(&effects, &[]);
}

#[test]
fn a_process_killed_at_any_write_has_no_effect_twice_where_a_step_runs_at_most_once() {
    let unkilled = tempfile::tempdir().unwrap();
    assert!(spawn(unkilled.path(), "at_most_once", None).success());
    let writes: u32 = fs::read_to_string(unkilled.path().join("writes")).unwrap().parse().unwrap();
    assert!(writes >= 14, "a start, two for each of five steps, two children, an end: {writes}");
    let mut interrupted = 0;
    for write in 1..=writes {
        for when in [When::Before, When::After] {
            let folder = tempfile::tempdir().unwrap();
            let killed = spawn(folder.path(), "at_most_once", Some((write, when)));
            assert_eq!(killed.signal(), Some(9), "killed {when:?} write {write}");
            assert!(spawn(folder.path(), "at_most_once", None).success());
            check_at_most_once(folder.path(), &format!("killed {when:?} write {write}"));
            interrupted += u32::from(read(folder.path()).0.contains("false"));
        }
    }
    assert!(interrupted >= 5, "each of five steps was interrupted once: {interrupted}");
}

#[test]
fn a_process_killed_at_every_write_in_turn_has_no_effect_twice_where_a_step_runs_at_most_once() {
    for at in [(3, When::Before), (2, When::After)] {
        let folder = tempfile::tempdir().unwrap();
        let mut kills = 0;
        while spawn(folder.path(), "at_most_once", Some(at)).signal() == Some(9) {
            kills += 1;
            assert!(kills < 100, "it makes no progress");
        }
        assert!(kills >= 4, "{kills}");
        check_at_most_once(folder.path(), &format!("after {kills} kills at {at:?}"));
    }
}
