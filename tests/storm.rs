//! A storm over processes that share one file and look after its runs: they are killed, stopped and started
//! again, and in the end each run has come to its result, and nothing that was acknowledged ran again. The test
//! is also the program of its child processes, which it starts with a role.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

#[path = "support/actors.rs"]
mod actors;

use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::Duration;

use actors::{Actor, Place, hear, role, say};
use durable::store::Kind;
use durable::{Engine, Event, RunStatus, StepFailed, Topic, step, workflow};

const PROCESSES: usize = 4;
const KINDS: usize = 7;

/// So many times the runs and the blows of a short storm: `DURABLE_STORM=3 cargo test --test storm` is a long one.
fn scale() -> usize {
    std::env::var("DURABLE_STORM").map_or(1, |scale| scale.parse().unwrap())
}

fn runs() -> usize {
    10 * KINDS * scale()
}

fn blows() -> usize {
    40 * scale()
}

/// So many effects are waited for between two blows.
const EFFECTS_PER_BLOW: usize = 12;

/// A stopped process may stand in the others' way, so it goes on after so many looks at the latest.
const LOOKS_MAX: usize = 20_000;

fn note(what: &str, name: &str) {
    durable::resource::<Place>().note(&format!("{what}|{name}|{}", std::process::id()));
}

#[step]
fn work(name: &str) -> usize {
    note("enter", name);
    thread::yield_now();
    note("leave", name);
    name.len()
}

#[step]
async fn work_polled(name: &str) -> usize {
    note("enter", name);
    thread::yield_now();
    note("leave", name);
    name.len()
}

/// Calls a step, and notes that it was acknowledged.
fn acknowledged(name: &str) -> usize {
    let made = work(name);
    note("ack", name);
    made
}

#[workflow]
fn sequence(id: String) -> usize {
    (0..5).map(|n| acknowledged(&format!("{id}/{n}"))).sum()
}

#[workflow]
fn sleeps(id: String) -> usize {
    let first = acknowledged(&format!("{id}/0"));
    durable::sleep(Duration::from_millis(1_100)); // long enough to be unloaded
    first + acknowledged(&format!("{id}/1"))
}

#[workflow]
async fn polled(id: String) -> usize {
    let (left, right) = (format!("{id}/0"), format!("{id}/1"));
    let (left, right) = durable::join!(work_polled(&left), work_polled(&right));
    note("ack", &format!("{id}/0"));
    note("ack", &format!("{id}/1"));
    left + right
}

#[workflow]
fn family(id: String) -> usize {
    let children: Vec<_> = (0..3)
        .map(|n| sequence::start(format!("{id}-child{n}"), format!("{id}-child{n}")).unwrap())
        .collect();
    children.iter().map(|child| child.wait().unwrap()).sum()
}

const WORD: Topic<String> = Topic::new("word");
const LAST: Event<usize> = Event::new("last");

/// How many messages one run sends to another, and gets from it.
const WORDS: usize = 3;

/// Answers each word.
#[workflow]
fn answers(id: String, to: String) -> usize {
    let mut made = 0;
    for _ in 0..WORDS {
        let word = durable::recv(WORD, Duration::MAX).unwrap();
        made = acknowledged(&format!("{id}/{word}"));
        durable::send(&to, WORD, word).unwrap();
    }
    durable::set_event(LAST, made);
    made
}

#[workflow]
fn asks(id: String) -> usize {
    let other = answers::start(format!("{id}-other"), format!("{id}-other"), id.clone()).unwrap();
    for n in 0..WORDS {
        durable::send(other.id(), WORD, format!("word{n}")).unwrap();
        let answer = durable::recv(WORD, Duration::MAX).unwrap();
        assert_eq!(answer, format!("word{n}"), "in the order in which they were sent");
        acknowledged(&format!("{id}/{n}"));
    }
    durable::get_event(other.id(), LAST, Duration::MAX).unwrap().unwrap() + other.wait().unwrap()
}

#[step(at_most_once)]
fn once(name: &str) -> Result<usize, StepFailed> {
    note("once", name);
    thread::yield_now();
    Ok(name.len())
}

/// How many of its steps were interrupted, and how many ended.
#[workflow]
fn at_most_once(id: String) -> usize {
    let ended = (0..4).filter(|n| once(&format!("{id}/{n}")).is_ok()).count();
    acknowledged(&format!("{id}/last"));
    ended
}

#[workflow]
async fn races(id: String) -> usize {
    let mut made = 0;
    for n in 0..3 {
        let (left, right) = (format!("{id}/{n}left"), format!("{id}/{n}right"));
        let name = durable::race!(
            async {
                work_polled(&left).await;
                left.clone()
            },
            async {
                work_polled(&right).await;
                right.clone()
            }
        );
        note("ack", &name);
        made += name.len();
    }
    made
}

fn id(n: usize) -> String {
    let kind = ["sequence", "sleeps", "polled", "family", "asks", "at_most_once", "races"][n % KINDS];
    format!("{kind}{n}")
}

fn start(engine: &Engine, n: usize) {
    let id = id(n);
    match n % KINDS {
        0 => drop(sequence::durable(&id, id.clone()).on(engine).start().unwrap()),
        1 => drop(sleeps::durable(&id, id.clone()).on(engine).start().unwrap()),
        2 => drop(actors::block_on(polled::durable(&id, id.clone()).on(engine).start()).unwrap()),
        3 => drop(family::durable(&id, id.clone()).on(engine).start().unwrap()),
        4 => drop(asks::durable(&id, id.clone()).on(engine).start().unwrap()),
        5 => drop(at_most_once::durable(&id, id.clone()).on(engine).start().unwrap()),
        _ => drop(actors::block_on(races::durable(&id, id.clone()).on(engine).start()).unwrap()),
    }
}

fn wait(engine: &Engine, n: usize) -> usize {
    let id = id(n);
    match n % KINDS {
        0 => engine.handle::<sequence>(&id).unwrap().unwrap().wait().unwrap(),
        1 => engine.handle::<sleeps>(&id).unwrap().unwrap().wait().unwrap(),
        2 => engine.handle::<polled>(&id).unwrap().unwrap().wait().unwrap(),
        3 => engine.handle::<family>(&id).unwrap().unwrap().wait().unwrap(),
        4 => engine.handle::<asks>(&id).unwrap().unwrap().wait().unwrap(),
        5 => engine.handle::<at_most_once>(&id).unwrap().unwrap().wait().unwrap(),
        _ => engine.handle::<races>(&id).unwrap().unwrap().wait().unwrap(),
    }
}

fn serve(place: &Place) {
    let engine = Engine::builder().with(place.clone()).recover(true).open(place.database()).unwrap();
    (0..runs()).for_each(|n| start(&engine, n));
    (0..runs()).for_each(|n| _ = wait(&engine, n));
    say("all have ended");
    // A process that is gone cannot be stopped: this one stays until the last blow has been dealt.
    hear();
}

/// Waits until the log of effects has grown, or for some looks: a process that was stopped may hold the others
/// up.
fn wait_for_effects(place: &Place) {
    let mut log = place.follow();
    for _ in 0..LOOKS_MAX {
        if log.count() >= EFFECTS_PER_BLOW {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn processes_that_are_killed_and_stopped_bring_every_run_to_its_end() {
    const TEST: &str = "processes_that_are_killed_and_stopped_bring_every_run_to_its_end";
    if let Some((_, place)) = role() {
        return serve(&place);
    }
    let folder = tempfile::tempdir().unwrap();
    let place = Place(folder.path().to_owned());
    place.note("begin|storm|0");
    let start = || Actor::start(TEST, "serve", &place.0);
    let mut actors: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for blow in 0..blows() {
        wait_for_effects(&place);
        let struck = blow * 7 % PROCESSES;
        if blow % 3 == 0 {
            actors[struck].stop();
            wait_for_effects(&place);
            actors[struck].signal("-CONT");
        } else {
            actors[struck].kill();
            actors[struck] = start();
        }
    }
    for actor in &mut actors {
        actor.wait_for("all have ended");
        actor.tell();
    }
    check(&place);
}

fn check(place: &Place) {
    let engine = Engine::open(place.database()).unwrap();
    let runs: Vec<_> = engine.runs().map(Result::unwrap).collect();
    // A family has three children, and who asks has started who answers.
    assert_eq!(runs.len(), self::runs() + self::runs() / KINDS * 4);
    assert!(runs.iter().all(|run| run.status == RunStatus::Completed && run.owner.is_none()));
    let (mut inside, mut acknowledged): (HashMap<String, String>, HashSet<String>) = Default::default();
    let mut once = HashSet::new();
    let effects = place.effects();
    let mut repeated = 0;
    for effect in &effects {
        let [what, name, process] = effect.split('|').collect::<Vec<_>>()[..] else { unreachable!() };
        match what {
            "enter" => {
                assert!(!acknowledged.contains(name), "{name} ran again after it was acknowledged");
                repeated += usize::from(inside.insert(name.to_owned(), process.to_owned()).is_some());
            }
            // Who left has entered last: nobody else was inside meanwhile.
            "leave" => assert_eq!(inside[name], process, "{name} was executed by two at once"),
            "ack" => _ = acknowledged.insert(name.to_owned()),
            "once" => assert!(once.insert(name.to_owned()), "{name} took effect twice"),
            _ => {}
        }
    }
    let messages = check_messages(&engine);
    let interrupted = self::runs() / KINDS * 4 - once.len();
    println!(
        "storm: {} blows on {PROCESSES} processes, {} runs, {} steps acknowledged, {repeated} repeated before that, 0 lost; \
         {messages} messages received once; {} effects at most once, and at least {interrupted} steps interrupted",
        blows(),
        runs.len(),
        acknowledged.len(),
        once.len()
    );
}

/// Each message was sent once and received once, by an operation that recorded it; how many there are.
fn check_messages(engine: &Engine) -> usize {
    let mut count = 0;
    for run in engine.runs().map(Result::unwrap).filter(|run| ["asks", "answers"].contains(&&*run.name)) {
        let messages = engine.messages(&run.id).unwrap();
        let values: Vec<_> = messages.iter().map(|message| message.value.clone()).collect();
        assert_eq!(values, (0..WORDS).map(|n| format!("\"word{n}\"")).collect::<Vec<_>>(), "{}", run.id);
        let steps = engine.steps(&run.id).unwrap();
        let received = steps.iter().filter(|step| step.kind == Kind::Receive);
        let received: Vec<_> = received.map(|step| (Some(step.position.clone()), &*step.output)).collect();
        let sent: Vec<_> = values.iter().map(|value| format!("[{value}]")).collect();
        let sent: Vec<_> =
            messages.iter().map(|message| message.received.clone()).zip(sent.iter().map(|s| &**s)).collect();
        assert_eq!(received, sent, "{}", run.id);
        count += messages.len();
    }
    count
}
