//! Forks: what of a run is copied, that the run stays as it is, and when the id counts as taken.

use super::*;
use crate::store::Fork;

pub(super) fn fork(
    id: &str,
    expected: Epoch,
    to: &str,
    from: &[u32],
    nonce: u64,
    changed: Option<(&[u32], &str)>,
) -> Op {
    let changed = changed.map(|(path, output)| (position(path), output.to_owned()));
    let (id, to, from) = (workflow(id), workflow(to), position(from));
    Op::Fork(Fork { id, expected, to, from, changed, nonce, at: at(8) })
}

impl Bench {
    /// The steps of `id`, as if they were those of any run.
    fn steps(&mut self, id: &str) -> Vec<StepRecord> {
        self.reader.steps(&workflow(id), None, u32::MAX).unwrap()
    }

    fn dump_of(&mut self, id: &str) -> String {
        format!("{:?} {:?}", self.run(id), self.steps(id))
    }
}

#[test]
fn a_fork_has_what_a_rewind_would_keep_and_leaves_the_run_as_it_is() {
    for from in TREE.into_iter().chain([&[0, 0, 0][..], &[1, 0, 7], &[300]]) {
        each_store(|bench| {
            let epoch = bench.started_with(&TREE);
            let before = bench.dump_of("a");
            let steps = bench.steps("a");
            let answer = bench.apply(fork("a", epoch, "ä", from, 9, None));
            assert_eq!(bench.dump_of("a"), before);
            let copied = bench.steps("ä");
            assert_eq!(answer, Answer::Forked(copied.len() as u64));
            bench.apply(rewind("a", epoch, from));
            assert_eq!(copied, bench.steps("a"), "{}: from {from:?}", bench.name);
            assert!(copied.iter().all(|step| steps.contains(step)), "whole rows, with who recorded them");
        });
    }
}

#[test]
fn a_fork_is_a_run_that_began_as_its_original_and_that_nobody_executes() {
    for end in [None, Some(End::Completed("1".into())), Some(End::Asked(crate::store::Wanted::Cancel))] {
        each_store(|bench| {
            let epoch = bench.started_with(&[&[0], &[1]]);
            if let Some(end) = end.clone() {
                bench.apply(finish("a", epoch, end));
            }
            bench.apply(fork("a", epoch, "B", &[1], 9, None));
            let (of, run) = (bench.run("a"), bench.run("B"));
            assert_eq!((&run.name, &run.input, run.seed, run.fingerprint), (&of.name, &of.input, of.seed, 7));
            assert_eq!((run.created, run.updated, run.nonce), (at(1), at(8), 9));
            assert_eq!((run.status, run.owner.clone(), run.wake_at), (RunStatus::Running, None, None));
            assert_eq!((run.output.clone(), run.error.clone(), run.parent.clone()), (None, None, None));
            assert!(run.epoch > of.epoch, "an epoch of its own");
            let Answer::Claimed(own) = bench.apply(claim_from("B", run.epoch, None, &[], 0)) else {
                panic!()
            };
            assert_eq!(bench.apply(record("B", own, &[1], "2")), Answer::Done);
            assert_eq!(bench.steps("a").last().unwrap().output, "1");
        });
    }
}

#[test]
fn a_fork_can_say_how_a_step_ended_that_had_only_begun() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(once("a", epoch, &[0], 0));
        bench.apply(record("a", epoch, &[1], "1"));
        bench.apply(fork("a", epoch, "B", &[1], 9, Some((&[0], "7"))));
        let step = bench.steps("B").remove(0);
        assert_eq!((step.status, &*step.output, step.attempts), (StepStatus::Completed, "7", 1));
    });
}

#[test]
fn a_fork_can_change_what_a_copied_step_returned() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let Op::Record(Record { id, step, markers, is_shielded }) = record("a", epoch, &[0], "1") else {
            unreachable!()
        };
        let failed = StepRecord { status: StepStatus::Failed, ..step };
        bench.apply(Op::Record(Record { id, step: failed.clone(), markers, is_shielded }));
        bench.apply(record("a", epoch, &[1], "1"));
        bench.apply(fork("a", epoch, "B", &[2], 9, Some((&[0], "{\"a\":2}"))));
        let steps = bench.steps("B");
        let (status, output) = (StepStatus::Completed, "{\"a\":2}".into());
        assert_eq!(steps[0], StepRecord { status, output, edited: true, ..failed });
        assert_eq!(steps[1], bench.steps("a")[1]);
    });
}

#[test]
fn the_same_fork_again_is_the_same_fork_until_it_runs() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0], &[1], &[2]]);
        let first = Some((&[1][..], "5"));
        assert_eq!(bench.apply(fork("a", epoch, "B", &[2], 9, first)), Answer::Forked(2));
        assert_eq!(
            bench.apply(fork("a", epoch, "B", &[2], 10, first)),
            Answer::Forked(2),
            "by another caller"
        );
        assert_eq!(bench.run("B").nonce, 9);
        for (from, changed) in
            [(1, first), (2, None), (2, Some((&[0][..], "6"))), (2, Some((&[1], "6"))), (3, first)]
        {
            let other = fork("a", epoch, "B", &[from], 9, changed);
            assert_eq!(bench.apply(other), Answer::Exists, "another fork");
        }
        let own = bench.run("B").epoch;
        assert!(matches!(bench.apply(claim_from("B", own, None, &[], 0)), Answer::Claimed(_)));
        assert_eq!(bench.apply(fork("a", epoch, "B", &[2], 9, first)), Answer::Exists, "it runs");
    });
}

#[test]
fn a_fork_of_nothing_or_to_a_taken_id_changes_nothing() {
    each_store(|bench| {
        let epoch = bench.started_with(&[&[0]]);
        bench.apply(start("B", 1));
        bench.apply(release("a", epoch, None));
        let before = bench.dump();
        for (op, answer) in [
            (fork("a", epoch, "B", &[0], 9, None), Answer::Exists),
            (fork("a", epoch, "a", &[0], 9, None), Answer::Exists),
            (fork("a", epoch, "a", &[1], 1, None), Answer::Exists),
            (fork("a", STALE, "ä", &[0], 9, None), Answer::Lost),
            (fork("ä", epoch, "a'--", &[0], 9, None), Answer::Lost),
        ] {
            assert_eq!(bench.apply(op), answer);
            assert_eq!(bench.dump(), before);
        }
    });
}
