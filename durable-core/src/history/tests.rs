//! What a history tells of recorded steps by their paths, and the outputs that it reads again.

use super::*;
use crate::clock::Timestamp;
use crate::store::memory::MemoryStore;
use crate::store::{Answer, Claim, Epoch, Op, OwnerId, Record, Start, StepRecord, StepStore};

/// A step at this path.
fn step(path: &[u32], kind: Kind, status: StepStatus, output: &str) -> StepRecord {
    StepRecord {
        position: Position::new(path).unwrap(),
        name: "work".into(),
        kind,
        scope: None,
        status,
        output: output.into(),
        args_fingerprint: None,
        args: None,
        site: "a.rs:1".into(),
        attempts: 1,
        started: Timestamp::from_millis(0),
        timestamp: Timestamp::from_millis(0),
        epoch: Epoch(1),
        build: 0,
        edited: false,
    }
}

/// A history of steps `path: status`, where a path of an inline child ends in `c`, one of a step that runs
/// at most once in `o`, one of a race in `r` and the
/// branch that decided it, and one of a stream's next branch in `n`, that branch, `@` and the stream.
fn history(steps: &[(&str, StepStatus)]) -> History {
    let mut history = History::with_room(1_000);
    for (path, status) in steps {
        let (path, next) = path.split_once('@').map_or((*path, None), |(path, of)| (path, Some(of)));
        let (path, kind, output) = match path.split_once(['r', 'n']) {
            Some((path, branch)) => (path, if next.is_some() { Kind::Next } else { Kind::Race }, branch),
            None if path.ends_with('c') => (path.trim_end_matches('c'), Kind::Child, "null"),
            None if path.ends_with('o') => (path.trim_end_matches('o'), Kind::Once, "null"),
            None => (path, Kind::Step, "null"),
        };
        let args = next.map(|of| format!("[\"{of}\"]"));
        history.push(&StepRecord { args, ..step(position(path).path(), kind, *status, output) }.as_row());
    }
    history
}

fn position(text: &str) -> Position {
    let path: Vec<u32> = text.split('.').map(|n| n.parse().unwrap()).collect();
    Position::new(path).unwrap()
}

use StepStatus::{Completed as Ok, Failed as Bad};

#[track_caller]
fn check_escaped(steps: &[(&str, StepStatus)], expected: &[&str]) {
    let escaped: Vec<_> = history(steps).escaped().iter().map(ToString::to_string).collect();
    assert_eq!(escaped, expected);
}

#[test]
fn the_failure_that_escaped_is_the_one_that_nothing_came_after() {
    check_escaped(&[("0", Ok), ("1", Bad)], &["1"]);
    check_escaped(&[("0", Bad), ("1", Ok)], &[]);
    check_escaped(&[("0", Bad), ("1", Bad)], &["1"]);
    check_escaped(&[], &[]);
}

#[test]
fn branches_do_not_come_after_one_another() {
    check_escaped(&[("0.0.0", Bad), ("0.1.0", Ok), ("0.1.1", Ok)], &["0.0.0"]);
    check_escaped(&[("0.0.0", Bad), ("0.0.1", Ok), ("0.1.0", Bad)], &["0.1.0"]);
    check_escaped(&[("0.0.0", Bad), ("1", Ok)], &[]);
}

#[test]
fn a_failed_child_is_dropped_with_what_failed_in_it() {
    check_escaped(&[("0c", Bad), ("0.0.0", Ok), ("0.0.1", Bad)], &["0", "0.0.1"]);
    check_escaped(&[("0c", Ok), ("0.0.0", Bad)], &[]);
    check_escaped(&[("0.0.0", Bad)], &["0.0.0"]);
}

#[test]
fn a_failure_takes_with_it_the_races_that_it_decided() {
    check_escaped(&[("0r1", Ok), ("0.0.0", Bad), ("0.1.0", Ok), ("0.1.1", Bad)], &["0", "0.1.1"]);
    check_escaped(&[("0r1", Ok), ("0.0.0", Bad), ("0.1.0", Ok)], &[]);
    check_escaped(&[("0r1", Ok), ("0.1.0", Bad), ("1", Ok)], &[]);
    check_escaped(&[("0r1", Bad), ("0.0.0", Bad)], &["0"]);
}

#[test]
fn races_within_races_are_asked_one_and_all() {
    check_escaped(&[("0r0", Ok), ("0.0.0r1", Ok), ("0.0.0.1.0", Bad)], &["0", "0.0.0", "0.0.0.1.0"]);
    check_escaped(&[("0r0", Ok), ("0.0.0r0", Ok), ("0.0.0.1.0", Bad)], &[]);
    check_escaped(&[("0r1", Ok), ("0.0.0r1", Ok), ("0.0.0.1.0", Bad)], &[]);
    check_escaped(&[("0r0", Ok), ("0.0.0c", Ok), ("0.0.0.0.0", Bad)], &[]);
    check_escaped(&[("0c", Bad), ("0.0.0r1", Ok), ("0.0.0.1.0", Bad)], &["0", "0.0.0", "0.0.0.1.0"]);
}

#[test]
fn a_failure_of_a_stream_counts_from_where_its_branch_came_out() {
    let steps = [("0.0.0", Bad), ("0.1.0", Bad), ("0.2.0", Bad), ("1n1@0", Ok), ("2", Ok), ("3n0@0", Ok)];
    check_escaped(&steps, &["0.0.0", "3"]);
    check_escaped(&[&steps[..], &[("4", Ok)]].concat(), &[]);
    // Out of a timeout around it, and of one that it lost.
    check_escaped(&[("0.1.0", Bad), ("1r0", Ok), ("1.0.0n1@0", Ok)], &["0.1.0", "1", "1.0.0"]);
    check_escaped(&[("0.1.0", Bad), ("1r1", Ok), ("1.0.0n1@0", Ok)], &[]);
    check_escaped(&[("0.1.0", Bad), ("1r1", Ok), ("1.0.0n1@0", Ok), ("2n1@0", Ok)], &["0.1.0", "2"]);
    // Of two streams.
    check_escaped(&[("0.1.0", Bad), ("1.1.0", Bad), ("2n1@1", Ok), ("3n0@0", Ok)], &[]);
    // Rows that were edited, in a circle.
    check_escaped(&[("0.0.0n0@1", Bad), ("1.0.0n0@0", Bad)], &[]);
}

#[test]
fn what_lies_in_a_branch_that_lost_is_not_left_over() {
    let history =
        history(&[("0", Ok), ("1r1", Ok), ("1.0.0", Ok), ("1.1.0", Ok), ("1.1.1", Ok), ("1.2.0.0.0", Ok)]);
    history.reach(&[0]);
    history.reach(&[1]);
    history.pass_over(&[1], |branch| branch == 1);
    assert_eq!(
        history.unreached().iter().map(StepKey::as_str).collect::<Vec<_>>(),
        ["work_1.1.0", "work_1.1.1"]
    );
}

#[test]
fn what_is_forgotten_leaves_the_decisions_of_the_others() {
    let mut history = history(&[("0", Ok), ("1r1", Ok), ("2r0", Ok), ("3", Ok), ("4r7", Ok)]);
    history.remove(&[position("0"), position("2")]);
    let decided = history.all().map(|step| step.decision()?.branch().ok()).collect::<Vec<_>>();
    assert_eq!(decided, [Some(1), None, Some(7)]);
}

#[test]
fn what_runs_at_most_once_is_not_dropped() {
    check_escaped(&[("0", Ok), ("1o", Bad)], &[]);
    check_escaped(&[("0.0.0o", Bad), ("0.1.0", Bad)], &["0.1.0"]);
    check_escaped(&[("0", Bad), ("1o", Bad)], &[]);
    check_escaped(&[("0c", Bad), ("0.0.0o", Bad)], &["0"]);
}

#[test]
fn what_lies_in_a_reached_child_is_not_left_over() {
    let history = history(&[("0c", Ok), ("0.0.0", Ok), ("1", Ok), ("2", Ok)]);
    history.reach(&[0]);
    history.reach(&[2]);
    assert_eq!(history.unreached().iter().map(StepKey::as_str).collect::<Vec<_>>(), ["work_1"]);
}

#[test]
fn what_comes_after_a_position_stands_in_its_scope() {
    let history = history(&[("1", Ok), ("2.0.0", Ok), ("2.0.3", Ok), ("2.1.0", Ok), ("4.0.7", Ok)]);
    let after =
        |path: &[u32]| history.first_after(path).map(|step| Position::new(step.path()).unwrap().to_string());
    assert_eq!(after(&[0]).as_deref(), Some("1"));
    assert_eq!(after(&[2]).as_deref(), Some("4.0.7"));
    assert_eq!(after(&[2, 0, 0]).as_deref(), Some("2.0.3"));
    assert_eq!((after(&[2, 0, 3]), after(&[2, 1, 0]), after(&[4]), after(&[5])), (None, None, None, None));
}

// The numbers of other scopes do not count, however high they are.
#[test]
fn what_stands_in_earlier_scopes_comes_before_a_position() {
    let history = history(&[("0.0.5", Ok), ("1.0.1", Ok), ("1.1.0", Ok)]);
    let after =
        |path: &[u32]| history.first_after(path).map(|step| Position::new(step.path()).unwrap().to_string());
    assert_eq!(after(&[1, 0, 0]).as_deref(), Some("1.0.1"));
    assert_eq!(after(&[1, 0, 1]), None);
}

#[test]
fn only_steps_below_a_position_are_below_it() {
    let history = history(&[("1", Ok), ("2.0.0", Ok), ("3", Ok)]);
    assert!(history.first_below(&[1]).is_none());
    assert!(history.first_below(&[2]).is_some());
    assert!(history.first_below(&[3]).is_none());
}

fn id() -> WorkflowId {
    WorkflowId::new("a").unwrap()
}

/// A store of a run with `count` steps in branches of two, in which every third one failed; and the answer to
/// its start.
fn stored(count: u32) -> (MemoryStore, Epoch) {
    let mut store = MemoryStore::default();
    let start = Op::Start(Start {
        id: id(),
        name: "work".into(),
        input: "null".into(),
        owner: Some(OwnerId("owner".into())),
        wake_at: None,
        deadline: None,
        version: None,
        parent: None,
        nonce: 1,
        seed: 1,
        fingerprint: 1,
        at: Timestamp::from_millis(0),
    });
    let [Answer::Started(epoch)] = store.apply(&[start]).unwrap()[..] else { panic!() };
    for number in 0..count {
        let status = if number % 3 == 0 { Bad } else { Ok };
        let path = [0, number / 2, number % 2];
        let step = StepRecord { epoch, ..step(&path, Kind::Step, status, &output(&path)) };
        store
            .apply(&[Op::Record(Record { id: id(), step, markers: Vec::new(), is_shielded: false })])
            .unwrap();
    }
    (store, epoch)
}

/// Takes the run up, without the steps at `drop`.
fn claim(expected: Epoch, drop: Vec<Position>) -> Op {
    let (owner, at) = (OwnerId("owner".into()), Timestamp::from_millis(0));
    Op::Claim(Claim { id: id(), expected, from: Some(owner.clone()), owner, drop, recoveries: 1, at })
}

fn output(path: &[u32]) -> String {
    format!("\"{path:?}\"")
}

fn loaded(reader: &mut dyn StepReader, room: usize) -> History {
    let mut history = History::with_room(room);
    while history.load(&id(), reader).unwrap() {}
    history
}

/// The output of a step, as a run comes to it.
fn output_of(history: &History, path: &[u32], reader: &mut dyn StepReader) -> Result<String, StoreError> {
    let step = history.reach(path).unwrap();
    let text = step.output().map_or_else(|| history.read(&id(), step.number, reader), Result::Ok)?;
    assert_eq!(history.step_of(&text).path(), path);
    Result::Ok(text.as_str().to_owned())
}

#[test]
fn every_output_comes_to_its_own_step_wherever_it_has_to_be_read() {
    let count = 2 * u32::try_from(LOAD_ROWS).unwrap() + 7;
    let (store, _) = stored(count);
    let mut reader = store.reader().unwrap();
    for room in [0, 30_000, usize::MAX] {
        let history = loaded(&mut *reader, room);
        assert_eq!(history.len(), count as usize);
        for number in (0..count).step_by(2).chain((0..count).rev().filter(|number| number % 2 == 1)) {
            let path = [0, number / 2, number % 2];
            assert_eq!(output_of(&history, &path, &mut *reader).unwrap(), output(&path));
        }
        assert!(history.unreached().is_empty());
    }
}

#[test]
fn what_is_forgotten_leaves_the_outputs_of_the_others_where_they_belong() {
    for room in [0, 10_000, usize::MAX] {
        let (mut store, expected) = stored(1_000);
        let mut reader = store.reader().unwrap();
        let mut history = loaded(&mut *reader, room);
        let drop: Vec<_> = (0..1_000).step_by(7).map(|n| Position::new([0, n / 2, n % 2]).unwrap()).collect();
        history.remove(&drop);
        assert_eq!(history.len(), 1_000 - drop.len());
        assert!(matches!(store.apply(&[claim(expected, drop)]).unwrap()[..], [Answer::Claimed(_)]));
        for number in 0..1_000 {
            let path = [0, number / 2, number % 2];
            if number % 7 == 0 {
                assert!(history.reach(&path).is_none());
            } else {
                assert_eq!(output_of(&history, &path, &mut *reader).unwrap(), output(&path));
            }
        }
    }
}

#[test]
fn a_row_that_is_gone_by_the_time_it_is_read_is_an_error_that_names_it() {
    let (mut store, expected) = stored(10);
    let mut reader = store.reader().unwrap();
    let history = loaded(&mut *reader, 0);
    store.apply(&[claim(expected, vec![Position::new([0, 1, 0]).unwrap()])]).unwrap();
    let error = output_of(&history, &[0, 1, 0], &mut *reader).unwrap_err();
    let text = "the row \"a, work_0.1.0\" of table steps cannot be read: it is not what it was when the run was taken up";
    assert_eq!(error.to_string(), text);
}
