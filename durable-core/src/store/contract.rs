//! The conformance suite of stores: what each op answers, what is read after it, and `programs` on which all
//! stores agree. Cases are stated on ops and reads alone, so that a new store proves itself by one line in
//! `each_store`. Knows nothing of how a store keeps its rows.

use std::fmt::Write as _;
use std::ops::ControlFlow;

use super::memory::MemoryStore;
use super::{
    Answer, Claim, CorruptRow, Disown, End, Epoch, Filter, Finish, Kind, Op, OwnerId, Record, Release, Reset,
    Rewind, RunRecord, RunStatus, Start, StepReader, StepRecord, StepRow, StepStatus, StepStore,
};
use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};

mod background;
mod forking;
mod listing;
mod mail;
mod programs;

/// A store under test, with a reader of it.
struct Bench {
    name: &'static str,
    store: Box<dyn StepStore>,
    reader: Box<dyn StepReader>,
    #[cfg(feature = "sqlite")]
    _folder: Option<tempfile::TempDir>,
}

impl Bench {
    fn memory() -> Self {
        let store = MemoryStore::default();
        let reader = store.reader().unwrap();
        Self {
            name: "memory",
            store: Box::new(store),
            reader,
            #[cfg(feature = "sqlite")]
            _folder: None,
        }
    }

    #[cfg(feature = "sqlite")]
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = super::sqlite::SqliteStore::open(&folder.path().join("a.db")).unwrap();
        let reader = store.reader().unwrap();
        Self { name: "sqlite", store: Box::new(store), reader, _folder: Some(folder) }
    }

    /// Applies `op` alone, and once more: the second time changes nothing.
    #[track_caller]
    fn apply(&mut self, op: Op) -> Answer {
        let ops = [op];
        let answer = self.store.apply(&ops).unwrap().pop().unwrap();
        let once = self.dump();
        self.store.apply(&ops).unwrap();
        assert_eq!(self.dump(), once, "{}: {ops:?} is applied once", self.name);
        answer
    }

    /// Everything that can be read, for comparison.
    fn dump(&mut self) -> String {
        let mut all = String::new();
        let runs = self.runs();
        for run in runs {
            assert_eq!(self.reader.run(&run.id).unwrap().as_ref(), Some(&run));
            let ownership = self.reader.ownership(&run.id).unwrap().unwrap();
            assert_eq!((ownership.epoch, &ownership.owner), (run.epoch, &run.owner));
            writeln!(all, "{run:?}").unwrap();
        }
        for id in IDS {
            for step in self.reader.steps(&workflow(id), None, u32::MAX).unwrap() {
                writeln!(all, "{id}: {step:?}").unwrap();
            }
        }
        all.push_str(&self.dump_mail());
        all.push_str(&self.dump_waiting());
        all
    }

    /// All runs.
    fn runs(&mut self) -> Vec<RunRecord> {
        let runs = self.reader.runs(&Filter::all(), None, u32::MAX).unwrap().runs;
        runs.into_iter().map(Result::unwrap).collect()
    }

    fn run(&mut self, id: &str) -> RunRecord {
        self.reader.run(&workflow(id)).unwrap().unwrap()
    }

    fn positions(&mut self, id: &str) -> Vec<String> {
        let steps = self.reader.steps(&workflow(id), None, u32::MAX).unwrap();
        steps.iter().map(|step| step.position.to_string()).collect()
    }

    /// Starts "a", and records steps at `paths`.
    #[track_caller]
    fn started_with(&mut self, paths: &[&[u32]]) -> Epoch {
        let Answer::Started(epoch) = self.apply(start("a", 1)) else { panic!("{}: not started", self.name) };
        for path in paths {
            assert_eq!(self.apply(record("a", epoch, path, "1")), Answer::Done);
        }
        epoch
    }
}

#[track_caller]
fn each_store(check: impl Fn(&mut Bench)) {
    check(&mut Bench::memory());
    #[cfg(feature = "sqlite")]
    check(&mut Bench::sqlite());
}

/// All ids that the suite uses; some order otherwise as text than as bytes, some are SQL.
const IDS: [&str; 5] = ["a", "B", "a'--", "ä", "👩‍🚀"];

const STALE: Epoch = Epoch(i64::MAX);

fn workflow(id: &str) -> WorkflowId {
    WorkflowId::new(id).unwrap()
}

fn position(path: &[u32]) -> Position {
    Position::new(path).unwrap()
}

fn owner(name: &str) -> OwnerId {
    OwnerId(name.into())
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn start(id: &str, nonce: u64) -> Op {
    Op::Start(Start {
        id: workflow(id),
        name: "fulfil".into(),
        input: "[1]".into(),
        owner: Some(owner("first")),
        wake_at: None,
        deadline: None,
        version: None,
        parent: None,
        nonce,
        seed: u64::MAX,
        fingerprint: 7,
        at: at(1),
    })
}

/// A claim by "second" of a run that "first" had when it was read.
fn claim(id: &str, expected: Epoch, drop: &[&[u32]], recoveries: u32) -> Op {
    claim_from(id, expected, Some("first"), drop, recoveries)
}

fn claim_from(id: &str, expected: Epoch, from: Option<&str>, drop: &[&[u32]], recoveries: u32) -> Op {
    let drop = drop.iter().map(|path| position(path)).collect();
    let (from, owner) = (from.map(owner), owner("second"));
    Op::Claim(Claim { id: workflow(id), expected, from, owner, drop, recoveries, at: at(2) })
}

fn record(id: &str, epoch: Epoch, path: &[u32], output: &str) -> Op {
    let step = StepRecord {
        position: position(path),
        name: "ship".into(),
        kind: Kind::Step,
        scope: (path.len() > 1).then(|| "join".into()),
        status: StepStatus::Completed,
        output: output.into(),
        args_fingerprint: Some(u64::MAX),
        args: None,
        site: "src/orders.rs:12".into(),
        attempts: 1,
        started: at(-1),
        timestamp: at(3),
        epoch,
        build: 1 << 63,
        edited: false,
    };
    Op::Record(Record { id: workflow(id), step, markers: Vec::new(), is_shielded: false })
}

fn finish(id: &str, epoch: Epoch, end: End) -> Op {
    Op::Finish(Finish { id: workflow(id), epoch, end, at: at(4) })
}

fn completed(id: &str, epoch: Epoch, output: &str) -> Op {
    finish(id, epoch, End::Completed(output.into()))
}

fn release(id: &str, epoch: Epoch, panicked: Option<&str>) -> Op {
    Op::Release(Release {
        id: workflow(id),
        epoch,
        panicked: panicked.map(Into::into),
        wake_at: None,
        awaits: None,
        at: at(5),
    })
}

fn disown(id: &str, name: &str) -> Op {
    Op::Disown(Disown { id: workflow(id), owner: owner(name), wake_at: None, at: at(7) })
}

fn rewind(id: &str, expected: Epoch, from: &[u32]) -> Op {
    Op::Rewind(Rewind { id: workflow(id), expected, from: position(from), at: at(6) })
}

fn reset(id: &str, expected: Epoch) -> Op {
    Op::Reset(Reset { id: workflow(id), expected, at: at(8) })
}

#[test]
fn a_started_run_is_owned_and_reads_back_as_it_was_given() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let run = bench.run("a");
        assert_eq!((run.id.as_str(), run.name.as_str(), run.input.as_str()), ("a", "fulfil", "[1]"));
        assert_eq!((run.status, run.owner, run.epoch), (RunStatus::Running, Some(owner("first")), epoch));
        assert_eq!((run.nonce, run.seed, run.fingerprint), (1, u64::MAX, 7));
        assert_eq!((run.created, run.updated, run.recoveries, run.edited), (at(1), at(1), 0, false));
        assert_eq!((run.output, run.error, run.parent), (None, None, None));
        assert_eq!(bench.reader.run(&workflow("b")).unwrap(), None);
        assert_eq!(bench.reader.ownership(&workflow("b")).unwrap(), None);
    });
}

#[test]
fn a_start_of_a_taken_id_is_known_by_its_nonce() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        assert_eq!(bench.apply(start("a", 1)), Answer::Started(epoch), "the same one, again");
        assert_eq!(bench.apply(start("a", 2)), Answer::Exists);
        bench.apply(completed("a", epoch, "1"));
        assert_eq!(bench.apply(start("a", 1)), Answer::Exists, "it has ended since");
    });
}

#[test]
fn a_claim_takes_the_run_up_and_drops_what_it_names() {
    each_store(|bench| {
        let first = bench.started_with(&[&[0], &[1], &[2]]);
        bench.apply(release("a", first, Some("boom")));
        let claim = claim_from("a", first, None, &[&[1], &[9]], 1);
        let Answer::Claimed(second) = bench.apply(claim) else { panic!() };
        assert!(second > first);
        assert_eq!(bench.positions("a"), ["0", "2"]);
        let run = bench.run("a");
        assert_eq!((run.owner, run.epoch, run.recoveries), (Some(owner("second")), second, 1));
        assert_eq!((run.status, run.error, run.updated), (RunStatus::Running, None, at(2)));
        assert_eq!((run.created, run.nonce), (at(1), 1), "it is still the same run");
    });
}

#[test]
fn a_claim_says_how_often_the_run_was_taken_up() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let Answer::Claimed(epoch) = bench.apply(claim("a", epoch, &[], 3)) else { panic!() };
        bench.apply(finish("a", epoch, End::Failed("\"no\"".into())));
        assert_eq!(bench.run("a").recoveries, 3);
        bench.apply(claim_from("a", epoch, None, &[], 0));
        assert_eq!((bench.run("a").recoveries, bench.run("a").error), (0, None));
    });
}

/// Bug: a run that had ended between a look at it and the claim was opened again and run to the same end.
/// Cause: its epoch was the same. Fix: its owner, who was seen to be dead by then, has to be the same too.
#[test]
fn a_run_that_ended_since_it_was_read_is_not_claimed() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0]]);
        bench.apply(completed("a", epoch, "1"));
        let before = bench.dump();
        assert_eq!(bench.apply(claim("a", epoch, &[], 1)), Answer::Lost);
        assert_eq!(bench.dump(), before);
    });
}

#[test]
fn a_run_can_be_disowned_by_its_owner_alone() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0]]);
        let before = bench.dump();
        assert_eq!(bench.apply(disown("a", "second")), Answer::Fenced);
        assert_eq!(bench.apply(disown("B", "first")), Answer::Fenced);
        assert_eq!(bench.dump(), before);
        assert_eq!(bench.apply(disown("a", "first")), Answer::Done);
        let run = bench.run("a");
        assert_eq!((run.owner, run.status, run.epoch), (None, RunStatus::Running, epoch));
        assert_eq!(bench.apply(record("a", epoch, &[1], "1")), Answer::Fenced, "nobody owns it");
        assert_eq!(bench.positions("a"), ["0"]);
    });
}

#[test]
fn a_step_is_found_by_its_key() {
    each_store(|bench| {
        bench.started_with(&[&[0], &[1, 0, 2]]);
        let mut find = |id: &str, key: &str| bench.reader.position(&workflow(id), key).unwrap();
        assert_eq!(find("a", "ship_1.0.2"), Some(position(&[1, 0, 2])));
        assert_eq!((find("a", "ship_1"), find("a", "pay_0"), find("B", "ship_0")), (None, None, None));
    });
}

#[test]
fn an_op_at_a_stale_epoch_changes_nothing() {
    each_store(|bench| {
        let old = bench.started_with(&[&[0]]);
        let Answer::Claimed(_) = bench.apply(claim("a", old, &[], 1)) else { panic!() };
        let before = bench.dump();
        for (op, answer) in [
            (claim("a", old, &[&[0]], 1), Answer::Lost),
            (record("a", old, &[1], "1"), Answer::Fenced),
            (record("a", old, &[0], "1"), Answer::Fenced),
            (completed("a", old, "1"), Answer::Fenced),
            (release("a", old, None), Answer::Fenced),
            (rewind("a", old, &[0]), Answer::Lost),
            (reset("a", old), Answer::Lost),
        ] {
            assert_eq!(bench.apply(op), answer);
            assert_eq!(bench.dump(), before);
        }
    });
}

#[test]
fn an_op_on_a_run_that_is_not_there_changes_nothing() {
    each_store(|bench| {
        for (op, answer) in [
            (claim("a", Epoch(0), &[], 1), Answer::Lost),
            (record("a", Epoch(0), &[0], "1"), Answer::Fenced),
            (completed("a", Epoch(0), "1"), Answer::Fenced),
            (release("a", Epoch(0), None), Answer::Fenced),
            (rewind("a", Epoch(0), &[0]), Answer::Lost),
            (reset("a", Epoch(0)), Answer::Lost),
        ] {
            let nothing = bench.dump();
            assert_eq!(bench.apply(op), answer);
            assert_eq!(bench.dump(), nothing);
        }
    });
}

#[test]
fn a_recorded_step_reads_back_as_it_was_given_and_stays() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let Op::Record(given) = record("a", epoch, &[1, 0, 2], "{\"a\":\"ä\\u0000\"}") else { panic!() };
        assert_eq!(bench.apply(Op::Record(given.clone())), Answer::Done);
        let recorded = bench.reader.steps(&workflow("a"), None, 9).unwrap();
        assert_eq!(recorded, std::slice::from_ref(&given.step));
        assert_eq!(bench.apply(record("a", epoch, &[1, 0, 2], "2")), Answer::Fenced, "another outcome");
        assert_eq!(bench.reader.steps(&workflow("a"), None, 9).unwrap(), [given.step]);
    });
}

/// A record of a step that runs at most once, after so many attempts.
fn once(id: &str, epoch: Epoch, path: &[u32], attempts: u32) -> Op {
    let Op::Record(record) = record(id, epoch, path, "1") else { unreachable!() };
    let status = if attempts == 0 { StepStatus::Failed } else { StepStatus::Completed };
    let step = StepRecord { kind: Kind::Once, attempts, status, ..record.step };
    Op::Record(Record { step, ..record })
}

/// A record of the step at `path` with a marker before it and one in another branch.
fn marked(id: &str, epoch: Epoch, path: &[u32]) -> Op {
    let Op::Record(record) = record(id, epoch, path, "1") else { unreachable!() };
    let marker = |path: &[u32]| StepRecord {
        kind: Kind::Patch,
        position: position(path),
        name: "p".into(),
        ..record.step.clone()
    };
    Op::Record(Record { markers: vec![marker(&[0]), marker(&[7, 1, 0])], ..record })
}

#[test]
fn an_outcome_is_recorded_together_with_the_markers_that_it_rests_on() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        assert_eq!(bench.apply(marked("a", epoch, &[9])), Answer::Done);
        assert_eq!(bench.positions("a"), ["0", "7.1.0", "9"]);
        let steps = bench.reader.steps(&workflow("a"), None, 9).unwrap();
        assert_eq!((steps[0].kind, steps[0].key().as_str()), (Kind::Patch, "p_0"));
        assert_eq!(bench.apply(marked("a", epoch, &[10])), Answer::Done, "they are there already");
        assert_eq!(bench.positions("a"), ["0", "7.1.0", "9", "10"]);
    });
}

#[test]
fn an_outcome_that_is_refused_leaves_no_marker() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[9]]);
        let before = bench.dump();
        assert_eq!(bench.apply(marked("a", STALE, &[10])), Answer::Fenced);
        let Op::Record(Record { id, step, markers, is_shielded }) = marked("a", epoch, &[9]) else {
            panic!()
        };
        let step = StepRecord { output: "2".into(), ..step };
        assert_eq!(bench.apply(Op::Record(Record { id, step, markers, is_shielded })), Answer::Fenced);
        assert_eq!(bench.dump(), before);
    });
}

#[test]
fn the_outcome_of_a_step_that_had_begun_brings_its_markers_too() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(once("a", epoch, &[9], 0));
        let Op::Record(Record { markers, .. }) = marked("a", epoch, &[9]) else { panic!() };
        let Op::Record(ended) = once("a", epoch, &[9], 1) else { panic!() };
        assert_eq!(bench.apply(Op::Record(Record { markers, ..ended })), Answer::Done);
        assert_eq!(bench.positions("a"), ["0", "7.1.0", "9"]);
    });
}

#[test]
fn what_became_of_a_step_takes_the_place_of_the_record_that_it_began() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0]]);
        let ended = once("a", epoch, &[1], 1);
        let Op::Record(Record { step, .. }) = &ended else { panic!() };
        assert_eq!(bench.apply(once("a", epoch, &[1], 0)), Answer::Done);
        assert_eq!(bench.positions("a"), ["0", "1"]);
        assert_eq!(bench.apply(ended.clone()), Answer::Done);
        assert_eq!(bench.reader.steps(&workflow("a"), None, 9).unwrap()[1], *step);
        let before = bench.dump();
        for other in [once("a", epoch, &[1], 0), once("a", epoch, &[1], 2), record("a", epoch, &[1], "1")] {
            assert_eq!(bench.apply(other), Answer::Fenced, "one outcome is all there is");
        }
        assert_eq!(bench.dump(), before);
    });
}

#[test]
fn nothing_else_takes_the_place_of_the_record_that_a_step_began() {
    each_store(|bench| {
        let old = bench.started_with(&[&[0]]);
        bench.apply(once("a", old, &[1], 0));
        assert_eq!(bench.apply(record("a", old, &[1], "1")), Answer::Fenced, "an outcome of another kind");
        assert_eq!(
            bench.apply(once("a", old, &[0], 1)),
            Answer::Fenced,
            "an outcome in the place of another"
        );
        let Op::Record(Record { id, step, markers, is_shielded }) = once("a", old, &[1], 1) else { panic!() };
        let step = StepRecord { name: "pay".into(), ..step };
        assert_eq!(
            bench.apply(Op::Record(Record { id, step, markers, is_shielded })),
            Answer::Fenced,
            "of another step"
        );
        let Answer::Claimed(new) = bench.apply(claim("a", old, &[], 1)) else { panic!() };
        let before = bench.dump();
        for epoch in [old, new] {
            assert_eq!(bench.apply(once("a", epoch, &[1], 1)), Answer::Fenced, "whoever began it is gone");
        }
        assert_eq!(bench.dump(), before);
    });
}

#[test]
fn a_run_that_nobody_owns_records_nothing() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        assert_eq!(bench.apply(release("a", epoch, None)), Answer::Done);
        assert_eq!(bench.apply(record("a", epoch, &[0], "1")), Answer::Fenced);
        assert_eq!(bench.apply(completed("a", epoch, "1")), Answer::Fenced);
        assert_eq!(bench.positions("a"), [""; 0]);
    });
}

#[test]
fn each_end_is_stored_and_gives_the_run_up() {
    let (value, error, fault) = (Some("1".to_owned()), Some("2".to_owned()), Some("3".to_owned()));
    for (end, status, output, error) in [
        (End::Completed("1".into()), RunStatus::Completed, value, None),
        (End::Failed("2".into()), RunStatus::Failed, None, error),
        (End::Halted { fault: "3".into(), escaped: false }, RunStatus::Halted, None, fault),
    ] {
        each_store(|bench| {
            let epoch = bench.started_with(&[]);
            assert_eq!(bench.apply(finish("a", epoch, end.clone())), Answer::Done);
            let run = bench.run("a");
            assert_eq!((run.status, &run.output, &run.error), (status, &output, &error));
            assert_eq!((run.owner, run.epoch, run.updated), (None, epoch, at(4)));
            assert_eq!(bench.apply(finish("a", epoch, end.clone())), Answer::Done, "the same end, again");
            assert_eq!(bench.apply(completed("a", epoch, "other")), Answer::Fenced);
            assert_eq!(bench.apply(release("a", epoch, None)), Answer::Fenced);
            assert_eq!(bench.apply(record("a", epoch, &[0], "1")), Answer::Fenced);
        });
    }
}

#[test]
fn a_released_run_keeps_its_epoch_and_the_first_panic() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0]]);
        assert_eq!(bench.apply(release("a", epoch, Some("boom"))), Answer::Done);
        assert_eq!(bench.apply(release("a", epoch, Some("again"))), Answer::Done);
        let run = bench.run("a");
        assert_eq!((run.status, run.owner, run.epoch), (RunStatus::Running, None, epoch));
        assert_eq!((run.error.as_deref(), run.updated), (Some("boom"), at(5)));
        assert_eq!(bench.positions("a"), ["0"]);
    });
}

/// Two branches below 1, an inline child in the first of them, and a root scope around them.
const TREE: [&[u32]; 9] =
    [&[0], &[1], &[1, 0, 0], &[1, 0, 1], &[1, 0, 1, 0, 0], &[1, 0, 1, 0, 1], &[1, 1, 0], &[2], &[256]];

#[track_caller]
fn check_rewind(from: &[u32], left: &[&str]) {
    each_store(|bench| {
        let epoch = bench.started_with(&TREE);
        bench.apply(finish("a", epoch, End::Halted { fault: "rot".into(), escaped: false }));
        let answer = bench.apply(rewind("a", epoch, from));
        assert_eq!(answer, Answer::Dropped((TREE.len() - left.len()) as u64));
        assert_eq!(bench.positions("a"), left);
        let run = bench.run("a");
        assert_eq!((run.status, run.error, run.owner), (RunStatus::Running, None, None));
        assert!(run.epoch > epoch, "whoever had read the run before lost it");
    });
}

#[test]
fn a_rewind_drops_what_comes_after_and_the_constructs_around() {
    check_rewind(&[0], &[]);
    check_rewind(&[1], &["0"]);
    check_rewind(&[1, 0, 1], &["0", "1.0.0"]);
    check_rewind(&[1, 0, 1, 0, 1], &["0", "1.0.0", "1.0.1.0.0"]);
    check_rewind(&[1, 1, 0], &["0", "1.0.0", "1.0.1", "1.0.1.0.0", "1.0.1.0.1"]);
    check_rewind(&[2], &["0", "1", "1.0.0", "1.0.1", "1.0.1.0.0", "1.0.1.0.1", "1.1.0"]);
    check_rewind(&[300], &["0", "1", "1.0.0", "1.0.1", "1.0.1.0.0", "1.0.1.0.1", "1.1.0", "2", "256"]);
}

#[test]
fn a_reset_forgets_the_run_and_no_other_and_its_epoch_is_not_used_again() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0]]);
        let Answer::Started(other) = bench.apply(start("B", 1)) else { panic!() };
        bench.apply(record("B", other, &[0], "1"));
        assert_eq!(bench.apply(reset("a", epoch)), Answer::Done);
        assert_eq!(bench.reader.run(&workflow("a")).unwrap(), None);
        assert_eq!((bench.positions("a").len(), bench.positions("B").len()), (0, 1));
        let Answer::Started(again) = bench.apply(start("a", 1)) else { panic!() };
        assert!(again > epoch && again > other);
        assert_eq!(bench.positions("a"), [""; 0]);
        assert_eq!(bench.apply(record("a", epoch, &[0], "1")), Answer::Fenced, "the old run is over");
    });
}

#[test]
fn the_last_epoch_is_not_used_again_after_a_reset() {
    each_store(|bench| {
        let mut last = Epoch(0);
        for _ in 0..3 {
            let Answer::Started(epoch) = bench.apply(start("a", 1)) else { panic!() };
            assert!(epoch > last);
            last = epoch;
            bench.apply(reset("a", epoch));
        }
    });
}

#[test]
fn reads_come_in_pages_in_the_order_of_bytes() {
    each_store(|bench| {
        for id in IDS {
            bench.apply(start(id, 1));
        }
        let (mut ids, mut next) = (Vec::new(), Some(Vec::new()));
        while let Some(after) = next {
            let page = bench.reader.runs(&Filter::all(), Some(&after), 1).unwrap();
            assert!(page.runs.len() <= 1);
            ids.extend(page.runs.into_iter().map(|run| run.unwrap().id.as_str().to_owned()));
            next = page.next;
        }
        let mut sorted = IDS.to_vec();
        sorted.sort_unstable();
        assert_eq!(ids, sorted);
        assert_eq!(bench.reader.runs(&Filter::all(), None, 2).unwrap().runs.len(), 2);
        let nothing = bench.reader.runs(&Filter::all(), Some(b"a"), 0).unwrap();
        assert_eq!((nothing.runs, nothing.next), (vec![], Some(b"a".to_vec())));

        let epoch = bench.run("a").epoch;
        for path in TREE.iter().rev() {
            bench.apply(record("a", epoch, path, "1"));
        }
        let mut after = None;
        let mut seen = Vec::new();
        while let Some(last) = bench.reader.steps(&workflow("a"), after.as_ref(), 2).unwrap().last() {
            let page = bench.reader.steps(&workflow("a"), after.as_ref(), 2).unwrap();
            seen.extend(page.iter().map(|step| step.position.clone()));
            after = Some(last.position.clone());
        }
        assert_eq!(seen, TREE.map(position));
    });
}

/// A window of a history is a scan that breaks off.
#[test]
fn a_scan_passes_the_rows_in_order_until_it_is_told_to_break_off() {
    each_store(|bench| {
        bench.started_with(&TREE);
        let Answer::Started(other) = bench.apply(start("B", 1)) else { panic!() };
        bench.apply(record("B", other, &[1, 0, 9], "1"));
        let steps = bench.reader.steps(&workflow("a"), None, u32::MAX).unwrap();
        for (from, limit) in
            [(None, 1), (None, 4), (None, 99), (Some(&[1][..]), 3), (Some(&[1, 0, 7]), 99), (Some(&[256]), 1)]
        {
            let after = from.map(position);
            let mut passed = Vec::new();
            let mut pass = |row: StepRow<'_>| {
                passed.push(row.into_record());
                if passed.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            bench.reader.scan(&workflow("a"), after.as_ref(), &mut pass).unwrap();
            let later = steps.iter().filter(|step| after.as_ref().is_none_or(|after| step.position > *after));
            let later: Vec<_> = later.take(limit).cloned().collect();
            assert_eq!(passed, later, "{}: {from:?}", bench.name);
            let mut shown = Vec::new();
            let mut show = |row: Result<StepRow<'_>, CorruptRow>| {
                shown.push(row.unwrap().into_record());
                if shown.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            bench.reader.inspect(&workflow("a"), after.as_ref(), &mut show).unwrap();
            assert_eq!(shown, later, "{}: where every row can be read, an inspection is a scan", bench.name);
        }
    });
}

#[test]
fn the_own_owner_lives_and_a_name_that_nobody_has_does_not() {
    each_store(|bench| {
        let own = bench.store.owner();
        assert!(bench.reader.lives(&own).unwrap());
        assert!(!bench.reader.lives(&owner("nobody")).unwrap());
    });
}
