//! What a store may be asked after a commit of unknown fate (P8), below the engine, whose own next write would
//! hide it: a caller that looks, with an operation that writes nothing, must not see a state that a power cut
//! can take back. It starts runs; where a start fails it looks, and compensates if the run is not there.

use durable::store::sqlite::SqliteStore;
use durable::store::{Answer, Op, Start, StepStore as _};
use durable::{Timestamp, WorkflowId};
use durable_laboratory::{
    Cause, DATABASE, Done, Draws, Fault, Image, Note, Recorder, Spell, Tally, Violation, World,
    cut_all_along, materialise, scale,
};

/// So many runs are started.
const RUNS: u64 = 6;

/// The run that is there from the beginning.
const FIRST: &str = "first";

fn start(store: &mut SqliteStore, id: &str) -> Result<Answer, durable::store::StoreError> {
    let op = Op::Start(Start {
        id: WorkflowId::new(id).unwrap(),
        name: "w".to_owned(),
        input: "null".to_owned(),
        owner: Some(store.owner()),
        wake_at: None,
        deadline: None,
        version: None,
        parent: None,
        // A start of its own each time, so that a second one is refused.
        nonce: id.bytes().map(u64::from).sum(),
        seed: 1,
        fingerprint: 1,
        at: Timestamp::from_millis(0),
    });
    store.apply(&[op]).map(|mut answers| answers.pop().unwrap())
}

/// Looks for a run once the store has answered something that writes nothing; `None` if it cannot.
fn look(store: &mut SqliteStore, id: &str) -> Option<bool> {
    store.apply(&[]).ok()?;
    let run = store.reader().ok()?.run(&WorkflowId::new(id).unwrap()).ok()?;
    Some(run.is_some())
}

fn name(k: u64) -> String {
    format!("run{k}")
}

fn judge(image: &Image, notes: &[Note]) -> Vec<Violation> {
    let folder = tempfile::tempdir().unwrap();
    materialise(image, folder.path());
    let _recorder = Recorder::watch(folder.path());
    let store = match SqliteStore::open(&folder.path().join(DATABASE)) {
        Ok(store) => store,
        Err(error) => return vec![Violation::Untyped(error.to_string())],
    };
    let mut reader = store.reader().unwrap();
    let mut violations = Vec::new();
    for note in notes {
        let Note::Acknowledged(what, k) = note else { continue };
        match (what.as_str(), reader.run(&WorkflowId::new(name(*k)).unwrap())) {
            (_, Err(error)) => violations.push(Violation::Untyped(error.to_string())),
            ("started", Ok(None)) => violations.push(Violation::Lost(name(*k), *k, None)),
            ("compensated", Ok(Some(_))) => violations.push(Violation::Recorded(name(*k))),
            _ => {}
        }
    }
    violations
}

fn sweep(done: Done) {
    let mut tally = Tally::new(format!("a look after a commit of unknown fate, {done:?} done"));
    for at in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::watch(folder.path());
        let mut store = SqliteStore::open(&folder.path().join(DATABASE)).unwrap();
        // As the engine has one: the log is not recovered while the writer changes its connection.
        let _reader = store.reader().unwrap();
        start(&mut store, FIRST).unwrap();
        let world = World::traced(Vec::new(), &recorder);
        recorder.plan(Fault {
            at: recorder.operations() + at,
            spell: Spell::Once,
            cause: Cause::Broken,
            done,
        });
        for k in 0..RUNS {
            match start(&mut store, &name(k)) {
                Ok(answer) => {
                    assert!(matches!(answer, Answer::Started(_)));
                    world.acknowledged("started", k);
                }
                Err(_) => match look(&mut store, &name(k)) {
                    Some(true) => world.acknowledged("started", k),
                    Some(false) => world.acknowledged("compensated", k),
                    None => break,
                },
            }
        }
        let Some(after) = recorder.struck_after() else { break };
        tally.faults += 1;
        let mut part = Tally::default();
        let draws = Draws { from: after, every: 1, times: 2 * scale() };
        cut_all_along(&recorder.trace(), draws, &mut part, |_, image, notes| judge(image, notes));
        for (place, violation) in std::mem::take(&mut part.violations) {
            tally.add(format!("operation {at} fails; {place}"), vec![violation]);
        }
        tally.merge(part);
    }
    tally.finish();
}

#[test]
fn a_look_after_a_commit_that_did_nothing_is_not_taken_back() {
    sweep(Done::Nothing);
}

#[test]
fn a_look_after_a_commit_that_was_done_by_half_is_not_taken_back() {
    sweep(Done::Half);
}

#[test]
fn a_look_after_a_commit_that_was_done_is_not_taken_back() {
    sweep(Done::All);
}
