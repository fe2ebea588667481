//! The conformance suite: what `store` promises, asked of every store, and random programs of ops whose
//! answers and reads must be those of the store in memory, which is the specification.

use super::memory::MemoryStore;
use super::sqlite::SqliteStore;
use super::{
    Answer, Claim, End, Epoch, Finish, Kind, Op, OwnerId, Record, Release, Reset, Rewind, RunRecord,
    RunStatus, Start, StepReader, StepRecord, StepStatus, StepStore,
};
use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};

/// A store to ask, with what must outlive it.
struct Subject {
    reader: Box<dyn StepReader>,
    store: Box<dyn StepStore>,
    _folder: tempfile::TempDir,
}

type Open = fn(&tempfile::TempDir) -> Box<dyn StepStore>;

/// One of every store, empty.
fn subjects() -> Vec<Subject> {
    let stores: [Open; 2] = [
        |_| Box::new(MemoryStore::default()),
        |folder| Box::new(SqliteStore::open(&folder.path().join("contract.db")).unwrap()),
    ];
    let subject = |open: &Open| {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder);
        Subject { reader: store.reader().unwrap(), store, _folder: folder }
    };
    stores.iter().map(subject).collect()
}

impl Subject {
    fn apply(&mut self, op: Op) -> Answer {
        self.store.apply(&[op]).unwrap().pop().unwrap()
    }

    fn run(&mut self, name: &str) -> Option<RunRecord> {
        self.reader.run(&id(name)).unwrap()
    }

    /// The positions of the recorded steps.
    fn positions(&mut self, name: &str) -> Vec<String> {
        self.reader
            .steps(&id(name), None, u32::MAX)
            .unwrap()
            .iter()
            .map(|step| step.position.to_string())
            .collect()
    }

    fn started(&mut self, name: &str) -> Epoch {
        match self.apply(start(name, "me", 1)) {
            Answer::Started(epoch) => epoch,
            other => panic!("{other:?}"),
        }
    }
}

fn id(name: &str) -> WorkflowId {
    WorkflowId::new(name).unwrap()
}

fn owner(name: &str) -> OwnerId {
    OwnerId(name.into())
}

fn position(text: &str) -> Position {
    Position::new(text.split('.').map(|n| n.parse().unwrap()).collect::<Vec<u32>>()).unwrap()
}

const AT: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn start(name: &str, by: &str, nonce: u64) -> Op {
    Op::Start(Start {
        id: id(name),
        name: "work'flow\"".into(),
        input: "[\"\\u0000 👩‍🚀\"]".into(),
        owner: owner(by),
        parent: Some(id("parent")),
        nonce,
        seed: u64::MAX,
        fingerprint: 1 << 63,
        at: AT,
    })
}

fn claim(name: &str, expected: Epoch, drop: &[&str], interrupted: bool) -> Op {
    let drop = drop.iter().map(|at| position(at)).collect();
    Op::Claim(Claim { id: id(name), expected, owner: owner("you"), drop, interrupted, at: AT })
}

fn step(at: &str, epoch: Epoch, output: &str) -> StepRecord {
    StepRecord {
        position: position(at),
        name: "st_ep_7".into(),
        kind: Kind::Step,
        scope: (at.len() > 1).then(|| "join".into()),
        status: StepStatus::Completed,
        output: output.into(),
        args_fingerprint: Some(u64::MAX),
        args: None,
        site: "src/a.rs:1".into(),
        attempts: 1,
        started: AT,
        timestamp: AT,
        epoch,
        build: u64::MAX,
        edited: false,
    }
}

fn record(name: &str, at: &str, epoch: Epoch, output: &str) -> Op {
    Op::Record(Record { id: id(name), step: step(at, epoch, output) })
}

fn finish(name: &str, epoch: Epoch, end: End) -> Op {
    Op::Finish(Finish { id: id(name), epoch, end, at: AT })
}

fn release(name: &str, epoch: Epoch, panicked: Option<&str>) -> Op {
    Op::Release(Release { id: id(name), epoch, panicked: panicked.map(str::to_owned), at: AT })
}

fn rewind(name: &str, expected: Epoch, from: &str) -> Op {
    Op::Rewind(Rewind { id: id(name), expected, from: position(from), at: AT })
}

fn reset(name: &str, expected: Epoch) -> Op {
    Op::Reset(Reset { id: id(name), expected })
}

#[test]
fn a_started_run_reads_back_as_it_was_written() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        let run = subject.run("a").unwrap();
        assert_eq!((run.status, run.owner, run.epoch), (RunStatus::Running, Some(owner("me")), epoch));
        assert_eq!((run.name.as_str(), run.input.as_str()), ("work'flow\"", "[\"\\u0000 👩‍🚀\"]"));
        assert_eq!(
            (run.nonce, run.seed, run.fingerprint, run.parent),
            (1, u64::MAX, 1 << 63, Some(id("parent")))
        );
        assert_eq!((run.created, run.updated, run.recoveries, run.edited), (AT, AT, 0, false));
        assert_eq!(subject.run("b"), None);
    }
}

#[test]
fn an_id_is_started_once() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        assert_eq!(subject.apply(start("a", "me", 1)), Answer::Started(epoch), "the same start, asked again");
        assert_eq!(subject.apply(start("a", "me", 2)), Answer::Exists);
        assert_eq!(subject.apply(start("a", "you", 1)), Answer::Exists);
    }
}

#[test]
fn only_the_current_epoch_records() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        assert_eq!(subject.apply(record("a", "0", epoch, "1")), Answer::Done);
        assert_eq!(subject.apply(record("a", "0", epoch, "1")), Answer::Done, "the same record, asked again");
        assert_eq!(
            subject.apply(record("a", "0", epoch, "2")),
            Answer::Fenced,
            "another record at the same position"
        );
        let Answer::Claimed(later) = subject.apply(claim("a", epoch, &[], true)) else { panic!() };
        assert!(later > epoch);
        assert_eq!(subject.apply(record("a", "1", epoch, "1")), Answer::Fenced);
        assert_eq!(subject.apply(finish("a", epoch, End::Completed("1".into()))), Answer::Fenced);
        assert_eq!(subject.apply(release("a", epoch, None)), Answer::Fenced);
        assert_eq!(subject.apply(claim("a", epoch, &[], true)), Answer::Lost);
        assert_eq!(subject.apply(rewind("a", epoch, "0")), Answer::Lost);
        assert_eq!(subject.apply(reset("a", epoch)), Answer::Lost);
        assert_eq!(subject.apply(record("a", "1", later, "1")), Answer::Done);
        assert_eq!(subject.apply(record("nobody", "0", later, "1")), Answer::Fenced);
        assert_eq!(subject.positions("a"), ["0", "1"]);
    }
}

#[test]
fn steps_read_back_as_they_were_written_in_the_order_of_their_positions() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        for at in ["2", "1.1.0", "0", "1.0.0", "1", "300", "1.0.1.0.5", "70000"] {
            subject.apply(record("a", at, epoch, "\"it's\\u0000\""));
        }
        let order = ["0", "1", "1.0.0", "1.0.1.0.5", "1.1.0", "2", "300", "70000"];
        assert_eq!(subject.positions("a"), order);
        let read = subject.reader.steps(&id("a"), None, u32::MAX).unwrap();
        assert_eq!(read[4], step("1.1.0", epoch, "\"it's\\u0000\""));
        assert_eq!(read[4].key().as_str(), "st_ep_7_1.1.0");
        let page = subject.reader.steps(&id("a"), Some(&position("1.0.1.0.5")), 2).unwrap();
        assert_eq!(page.iter().map(|step| step.position.to_string()).collect::<Vec<_>>(), ["1.1.0", "2"]);
    }
}

#[test]
fn a_claim_drops_what_is_to_run_again_and_counts_recoveries() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        for at in ["0", "1", "2"] {
            subject.apply(record("a", at, epoch, "1"));
        }
        subject.apply(release("a", epoch, Some("boom")));
        assert_eq!(subject.run("a").unwrap().error.as_deref(), Some("boom"));
        assert_eq!(subject.apply(record("a", "3", epoch, "1")), Answer::Fenced, "nobody owns it");
        let Answer::Claimed(epoch) = subject.apply(claim("a", epoch, &["1", "7"], true)) else { panic!() };
        assert_eq!(subject.positions("a"), ["0", "2"]);
        let run = subject.run("a").unwrap();
        assert_eq!((run.recoveries, run.error, run.owner), (1, None, Some(owner("you"))));
        let Answer::Claimed(_) = subject.apply(claim("a", epoch, &[], false)) else { panic!() };
        assert_eq!(subject.run("a").unwrap().recoveries, 0);
    }
}

#[test]
fn a_run_ends_once_and_gives_up_its_owner() {
    let ends = [
        (End::Completed("1".into()), RunStatus::Completed, Some("1"), None),
        (End::Failed("\"e\"".into()), RunStatus::Failed, None, Some("\"e\"")),
        (End::Halted("diverged".into()), RunStatus::Halted, None, Some("diverged")),
    ];
    for mut subject in subjects() {
        for (i, (end, status, output, error)) in ends.iter().enumerate() {
            let name = format!("run{i}");
            let epoch = subject.started(&name);
            assert_eq!(subject.apply(finish(&name, epoch, end.clone())), Answer::Done);
            assert_eq!(
                subject.apply(finish(&name, epoch, end.clone())),
                Answer::Done,
                "the same end, asked again"
            );
            assert_eq!(subject.apply(finish(&name, epoch, End::Completed("2".into()))), Answer::Fenced);
            assert_eq!(subject.apply(release(&name, epoch, None)), Answer::Fenced);
            let run = subject.run(&name).unwrap();
            assert_eq!(
                (run.status, run.output.as_deref(), run.error.as_deref(), run.owner),
                (*status, *output, *error, None)
            );
        }
    }
}

#[test]
fn a_rewind_drops_what_comes_after_and_the_children_around() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        for at in ["0", "1", "1.0.0", "1.0.1", "1.0.1.0.0", "1.1.0", "2"] {
            subject.apply(record("a", at, epoch, "1"));
        }
        subject.apply(finish("a", epoch, End::Completed("1".into())));
        assert_eq!(subject.apply(rewind("a", epoch, "1.0.1.0.0")), Answer::Dropped(5));
        assert_eq!(subject.positions("a"), ["0", "1.0.0"]);
        let run = subject.run("a").unwrap();
        assert_eq!((run.status, run.output, run.owner), (RunStatus::Running, None, None));
        assert!(run.epoch > epoch);
    }
}

#[test]
fn a_reset_forgets_a_run_and_its_epochs_are_never_used_again() {
    for mut subject in subjects() {
        let epoch = subject.started("a");
        subject.apply(record("a", "0", epoch, "1"));
        subject.started("b");
        assert_eq!(subject.apply(reset("a", epoch)), Answer::Done);
        assert_eq!((subject.run("a"), subject.positions("a").len()), (None, 0));
        assert_eq!(subject.apply(reset("a", epoch)), Answer::Lost, "there is nothing left to forget");
        let again = subject.started("a");
        assert!(again > epoch);
        assert_eq!(
            subject.apply(record("a", "0", epoch, "1")),
            Answer::Fenced,
            "a writer from before the reset"
        );
        assert!(subject.positions("a").is_empty());
    }
}

#[test]
fn runs_are_read_page_by_page() {
    for mut subject in subjects() {
        for name in ["b", "a", "d", "c", "é"] {
            subject.started(name);
        }
        let mut names = |after, limit| {
            let runs = subject.reader.runs(after, limit).unwrap();
            runs.into_iter().map(|run| run.unwrap().id.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(None, 2), ["a", "b"]);
        assert_eq!(names(Some("b"), 10), ["c", "d", "é"]);
    }
}

#[test]
fn a_store_lives_and_strangers_do_not() {
    for mut subject in subjects() {
        let own = subject.store.owner();
        assert!(subject.reader.lives(&own).unwrap());
        assert!(!subject.reader.lives(&owner("0123456789abcdef")).unwrap());
    }
}

/// A small generator, `SplitMix64`, so that a seed says all there is to know of a program.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.roll(from.len() as u64)).unwrap()]
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const PLACES: [&str; 8] = ["0", "1", "1.0.0", "1.0.1", "1.1.0", "2", "2.0.0.1.0", "3"];

fn random_op(dice: &mut Dice, epochs: i64) -> Op {
    let (name, at) = (dice.pick(&NAMES), dice.pick(&PLACES));
    // Mostly a recent epoch, so that most ops do something.
    let back = i64::try_from(dice.roll(3)).unwrap();
    let epoch = Epoch((epochs - back).max(0));
    match dice.roll(12) {
        0 | 1 => start(name, dice.pick(&["me", "you"]), dice.roll(2)),
        2 | 3 => claim(name, epoch, &[at], dice.roll(2) == 0),
        4..=7 => record(name, at, epoch, dice.pick(&["1", "2"])),
        8 => finish(
            name,
            epoch,
            if dice.roll(2) == 0 { End::Completed("1".into()) } else { End::Failed("2".into()) },
        ),
        9 => release(name, epoch, Some("boom").filter(|_| dice.roll(2) == 0)),
        10 => rewind(name, epoch, at),
        _ => reset(name, epoch),
    }
}

/// All that can be read of a store.
fn contents(subject: &mut Subject) -> Vec<(RunRecord, Vec<StepRecord>)> {
    let runs: Vec<_> = subject.reader.runs(None, u32::MAX).unwrap().into_iter().map(Result::unwrap).collect();
    runs.into_iter()
        .map(|run| (run.clone(), subject.reader.steps(&run.id, None, u32::MAX).unwrap()))
        .collect()
}

/// The epochs of an answer differ between stores only if an op did something else.
fn highest(answers: &[Answer], before: i64) -> i64 {
    answers.iter().fold(before, |highest, answer| match answer {
        Answer::Started(Epoch(epoch)) | Answer::Claimed(Epoch(epoch)) => highest.max(*epoch),
        _ => highest,
    })
}

#[test]
fn random_programs_mean_the_same_in_every_store_in_batches_or_one_by_one() {
    for seed in 0..60 {
        let (mut specification, mut one_by_one) = (subjects().remove(0), subjects().remove(1));
        let mut batched = subjects().remove(1);
        let (mut dice, mut epochs) = (Dice(seed), 0);
        for _ in 0..20 {
            let size = 1 + dice.roll(6);
            let ops: Vec<_> = (0..size).map(|_| random_op(&mut dice, epochs)).collect();
            let expected = specification.store.apply(&ops).unwrap();
            let singly: Vec<_> = ops.iter().map(|op| one_by_one.apply(op.clone())).collect();
            assert_eq!(singly, expected, "seed {seed}: {ops:?}");
            assert_eq!(batched.store.apply(&ops).unwrap(), expected, "seed {seed}: {ops:?}");
            epochs = highest(&expected, epochs);
        }
        let expected = contents(&mut specification);
        assert_eq!(contents(&mut one_by_one), expected, "seed {seed}");
        assert_eq!(contents(&mut batched), expected, "seed {seed}");
    }
}

#[test]
fn an_op_that_is_asked_twice_changes_a_store_once() {
    for seed in 100..140 {
        let (mut once, mut twice) = (subjects().remove(0), subjects().remove(0));
        let (mut dice, mut epochs) = (Dice(seed), 0);
        for _ in 0..60 {
            let op = random_op(&mut dice, epochs);
            let answer = once.apply(op.clone());
            assert_eq!(twice.apply(op.clone()), answer, "seed {seed}: {op:?}");
            twice.apply(op.clone());
            epochs = highest(&[answer], epochs);
            assert_eq!(contents(&mut twice), contents(&mut once), "seed {seed}: {op:?}");
        }
    }
}
