//! Runs that nobody executes: which of them can be taken up and when, and what is asked of runs from outside.

use super::*;
use crate::store::{Ask, Candidate, Reopen, Wanted};

pub(super) fn ask(id: &str, wanted: Wanted, dead: Option<&str>) -> Op {
    Op::Ask(Ask { id: workflow(id), wanted, dead: dead.map(owner), at: at(6) })
}

pub(super) fn reopen(id: &str) -> Op {
    Op::Reopen(Reopen { id: workflow(id), at: at(7) })
}

pub(super) fn wait(id: &str, epoch: Epoch, until: i64) -> Op {
    let (id, wake_at) = (workflow(id), Some(at(until)));
    Op::Release(Release { id, epoch, panicked: None, wake_at, awaits: None, at: at(5) })
}

/// A start that nobody executes before `until`, by the run `parent`.
pub(super) fn start_later(id: &str, until: Option<i64>, parent: Option<&str>) -> Op {
    let Op::Start(start) = start(id, 1) else { unreachable!() };
    let owner = until.is_none().then(|| owner("first"));
    Op::Start(Start { owner, wake_at: until.map(at), parent: parent.map(workflow), ..start })
}

fn ids(candidates: impl IntoIterator<Item = Candidate>) -> Vec<String> {
    candidates.into_iter().map(|run| format!("{} of {}", run.name, run.id)).collect()
}

impl Bench {
    /// What can be read of runs that can be taken up.
    pub(super) fn dump_waiting(&mut self) -> String {
        let due = self.reader.due(at(i64::MAX), None, u32::MAX).unwrap();
        let next = self.reader.next_due(at(i64::MIN)).unwrap();
        assert_eq!(next, due.first().map(|(at, _)| *at));
        let mut owners = self.reader.owners().unwrap();
        owners.sort_by(|a, b| a.0.cmp(&b.0));
        let expired = self.reader.expired(at(25), u32::MAX).unwrap();
        let deadline = self.reader.next_deadline(at(25)).unwrap();
        let mut all = format!("{due:?} {owners:?} {expired:?} {deadline:?}");
        for owner in owners.iter().map(Some).chain([None]) {
            let runs = self.reader.interrupted(owner, None, u32::MAX).unwrap();
            let wanted = owner.map(|owner| self.reader.wanted(owner).unwrap());
            write!(all, " {owner:?}: {runs:?} {wanted:?}").unwrap();
        }
        all
    }

    fn state(&mut self, id: &str) -> (RunStatus, bool, Option<Timestamp>, Option<Wanted>) {
        let run = self.run(id);
        (run.status, run.owner.is_some(), run.wake_at, run.wanted)
    }
}

#[test]
fn waiting_runs_are_given_in_the_order_in_which_they_are_due() {
    each_store(|bench| {
        for (id, until) in [("a", 30), ("B", 10), ("ä", 20), ("👩‍🚀", 20)] {
            assert!(matches!(bench.apply(start_later(id, Some(until), None)), Answer::Started(_)));
        }
        let due = |bench: &mut Bench, until, limit| {
            ids(bench.reader.due(at(until), None, limit).unwrap().into_iter().map(|(_, run)| run))
        };
        assert_eq!(due(bench, 20, 9), ["fulfil of B", "fulfil of ä", "fulfil of 👩‍🚀"]);
        assert_eq!(due(bench, 99, 1), ["fulfil of B"]);
        let after = (at(20), workflow("ä"));
        let rest = bench.reader.due(at(30), Some(&after), 9).unwrap();
        assert_eq!(ids(rest.into_iter().map(|(_, run)| run)), ["fulfil of 👩‍🚀", "fulfil of a"]);
        assert_eq!(bench.reader.next_due(at(10)).unwrap(), Some(at(20)));
        assert_eq!(bench.reader.next_due(at(30)).unwrap(), None);
        let epoch = bench.run("B").epoch;
        assert!(matches!(bench.apply(claim_from("B", epoch, None, &[], 0)), Answer::Claimed(_)));
        assert_eq!(due(bench, 10, 9), [""; 0], "whoever takes it up has it");
    });
}

#[test]
fn the_runs_of_an_owner_are_found_by_it() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(start("B", 1));
        bench.apply(start("ä", 1));
        let other = bench.run("ä").epoch;
        bench.apply(claim("ä", other, &[], 1));
        assert_eq!(bench.reader.owners().unwrap(), [owner("first"), owner("second")]);
        let of = |bench: &mut Bench, name: Option<&str>, after: Option<&str>, limit| {
            let (name, after) = (name.map(owner), after.map(workflow));
            ids(bench.reader.interrupted(name.as_ref(), after.as_ref(), limit).unwrap())
        };
        assert_eq!(of(bench, Some("first"), None, 9), ["fulfil of B", "fulfil of a"]);
        assert_eq!(of(bench, Some("first"), None, 1), ["fulfil of B"]);
        assert_eq!(of(bench, Some("first"), Some("B"), 9), ["fulfil of a"]);
        assert_eq!(of(bench, None, None, 9), [""; 0]);
        bench.apply(release("a", epoch, None));
        let waits = bench.run("B").epoch;
        bench.apply(wait("B", waits, 50));
        assert_eq!(of(bench, None, None, 9), ["fulfil of a"], "the other one waits");
        assert_eq!(bench.reader.owners().unwrap(), [owner("second")]);
    });
}

#[test]
fn what_is_asked_of_an_owner_stands_until_it_heeds_it_and_nothing_is_recorded_meanwhile() {
    for (wanted, status) in [(Wanted::Cancel, RunStatus::Cancelled), (Wanted::Pause, RunStatus::Paused)] {
        each_store(|bench| {
            let epoch = bench.started_with(&[&[0]]);
            assert_eq!(bench.apply(ask("a", wanted, None)), Answer::Asked(vec![workflow("a")]));
            assert_eq!(bench.state("a"), (RunStatus::Running, true, None, Some(wanted)));
            assert_eq!(bench.reader.wanted(&owner("first")).unwrap(), [(workflow("a"), wanted)]);
            assert_eq!(bench.apply(record("a", epoch, &[1], "1")), Answer::Wanted(wanted));
            assert_eq!(bench.apply(once("a", epoch, &[1], 0)), Answer::Wanted(wanted));
            assert_eq!(bench.apply(finish("a", epoch, End::Asked(wanted))), Answer::Done);
            assert_eq!(bench.state("a"), (status, false, None, None));
            assert_eq!(bench.apply(ask("a", wanted, None)), Answer::Done, "it is so already");
            assert_eq!(bench.apply(reopen("a")), Answer::Done);
            assert_eq!(bench.state("a"), (RunStatus::Running, false, Some(at(7)), None));
            assert_eq!(bench.positions("a"), ["0"]);
        });
    }
}

/// It has happened, and is never to happen again.
#[test]
fn what_became_of_a_step_that_had_begun_is_recorded_although_something_is_wanted() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(once("a", epoch, &[0], 0));
        bench.apply(ask("a", Wanted::Cancel, None));
        let once_more = [once("a", epoch, &[0], 1)];
        assert_eq!(bench.store.apply(&once_more).unwrap(), [Answer::Done]);
        assert_eq!(bench.reader.steps(&workflow("a"), None, 9).unwrap()[0].status, StepStatus::Completed);
        assert_eq!(bench.state("a"), (RunStatus::Running, true, None, Some(Wanted::Cancel)));
        bench.apply(finish("a", epoch, End::Asked(Wanted::Cancel)));
        assert_eq!(bench.apply(once("a", epoch, &[0], 1)), Answer::Fenced, "nobody owns it");
    });
}

/// A record that is made whatever is asked of its run.
pub(super) fn record_shielded(id: &str, epoch: Epoch, path: &[u32], output: &str) -> Op {
    let Op::Record(record) = record(id, epoch, path, output) else { unreachable!() };
    Op::Record(Record { is_shielded: true, ..record })
}

#[test]
fn a_shielded_record_is_made_whatever_is_asked() {
    for wanted in [Wanted::Cancel, Wanted::Pause] {
        each_store(|bench| {
            let epoch = bench.started_with(&[&[0]]);
            bench.apply(ask("a", wanted, None));
            assert_eq!(bench.apply(record_shielded("a", epoch, &[1], "1")), Answer::Done);
            assert_eq!(
                bench.apply(record_shielded("a", epoch, &[1], "2")),
                Answer::Fenced,
                "another outcome"
            );
            assert_eq!(bench.apply(record("a", epoch, &[2], "1")), Answer::Wanted(wanted));
            assert_eq!(bench.apply(record_shielded("a", STALE, &[2], "1")), Answer::Fenced);
            assert_eq!(bench.positions("a"), ["0", "1"]);
            assert_eq!(bench.run("a").wanted, Some(wanted), "it stands");
            bench.apply(finish("a", epoch, End::Asked(wanted)));
            assert_eq!(bench.apply(record_shielded("a", epoch, &[2], "1")), Answer::Fenced, "nobody owns it");
        });
    }
}

#[test]
fn a_run_that_is_given_up_heeds_what_was_asked_of_it() {
    for (wanted, status) in [(Wanted::Cancel, RunStatus::Cancelled), (Wanted::Pause, RunStatus::Paused)] {
        let given_up: [fn(Epoch) -> Op; 3] = [
            |epoch| release("a", epoch, Some("boom")),
            |epoch| wait("a", epoch, 9),
            |_| disown("a", "first"),
        ];
        for give_up in given_up {
            each_store(|bench| {
                let epoch = bench.started_with(&[]);
                bench.apply(ask("a", wanted, None));
                let op = give_up(epoch);
                bench.store.apply(&[op]).unwrap();
                assert_eq!(bench.state("a"), (status, false, None, None));
            });
        }
    }
}

#[test]
fn what_nobody_executes_is_as_it_was_asked_for_at_once() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        assert_eq!(bench.apply(ask("a", Wanted::Cancel, Some("first"))), Answer::Done, "its owner is dead");
        assert_eq!(bench.state("a"), (RunStatus::Cancelled, false, None, None));
        assert_eq!(bench.apply(record("a", epoch, &[0], "1")), Answer::Fenced);
        assert_eq!(bench.apply(ask("a", Wanted::Pause, None)), Answer::Lost);
        bench.apply(start_later("B", Some(20), None));
        assert_eq!(bench.apply(ask("B", Wanted::Pause, None)), Answer::Done);
        assert_eq!(bench.state("B"), (RunStatus::Paused, false, None, None));
        assert_eq!(bench.apply(ask("B", Wanted::Cancel, None)), Answer::Done);
        assert_eq!(bench.state("B"), (RunStatus::Cancelled, false, None, None));
        assert_eq!(bench.apply(ask("ä", Wanted::Cancel, None)), Answer::Lost, "there is none");
        assert_eq!(bench.apply(reopen("ä")), Answer::Lost);
    });
}

#[test]
fn who_is_to_end_is_not_paused_instead() {
    each_store(|bench| {
        bench.started_with(&[]);
        bench.apply(ask("a", Wanted::Pause, None));
        bench.apply(ask("a", Wanted::Cancel, None));
        bench.apply(ask("a", Wanted::Pause, None));
        assert_eq!(bench.run("a").wanted, Some(Wanted::Cancel));
    });
}

#[test]
fn an_end_is_kept_whatever_was_asked() {
    for (end, status) in
        [(End::Completed("1".into()), RunStatus::Completed), (End::Failed("1".into()), RunStatus::Failed)]
    {
        each_store(|bench| {
            let epoch = bench.started_with(&[]);
            bench.apply(ask("a", Wanted::Cancel, None));
            assert_eq!(bench.apply(finish("a", epoch, end.clone())), Answer::Done);
            assert_eq!(bench.state("a"), (status, false, None, None));
            assert_eq!(bench.apply(ask("a", Wanted::Cancel, None)), Answer::Lost);
            let reopens = if status == RunStatus::Failed { Answer::Done } else { Answer::Lost };
            assert_eq!(bench.apply(reopen("a")), reopens);
            assert_eq!(bench.run("a").status, status, "it stays what it is until it is taken up");
        });
    }
}

#[test]
fn a_cancelled_run_takes_those_with_it_that_it_has_started() {
    each_store(|bench| {
        bench.started_with(&[]);
        bench.apply(start_later("B", None, Some("a")));
        bench.apply(start_later("ä", Some(20), Some("B")));
        bench.apply(start_later("👩‍🚀", Some(20), None));
        let ends = bench.run("B").epoch;
        bench.apply(completed("B", ends, "1"));
        assert_eq!(bench.apply(ask("a", Wanted::Cancel, None)), Answer::Asked(vec![workflow("a")]));
        assert_eq!(bench.run("B").status, RunStatus::Completed);
        assert_eq!(bench.run("ä").status, RunStatus::Cancelled);
        assert_eq!(bench.run("👩‍🚀").status, RunStatus::Running);
    });
}

#[test]
fn runs_that_have_not_ended_by_their_deadline_are_found() {
    each_store(|bench| {
        let start = |id: &str, deadline| {
            let Op::Start(start) = start(id, 1) else { unreachable!() };
            Op::Start(Start { deadline: Some(at(deadline)), ..start })
        };
        for (id, deadline) in [("a", 30), ("B", 10), ("ä", 20), ("👩‍🚀", 20)] {
            assert!(matches!(bench.apply(start(id, deadline)), Answer::Started(_)));
        }
        let expired = |bench: &mut Bench, now, limit| {
            let ids = bench.reader.expired(at(now), limit).unwrap();
            ids.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(expired(bench, 9, 9), [""; 0]);
        assert_eq!(expired(bench, 20, 9), ["B", "ä", "👩‍🚀"]);
        assert_eq!(expired(bench, 20, 2), ["B", "ä"]);
        assert_eq!(bench.reader.next_deadline(at(10)).unwrap(), Some(at(20)));
        bench.apply(ask("B", Wanted::Cancel, None));
        assert_eq!(expired(bench, 10, 9), [""; 0], "it is asked to end");
        let epoch = bench.run("ä").epoch;
        bench.apply(completed("ä", epoch, "1"));
        bench.apply(ask("👩‍🚀", Wanted::Cancel, Some("first")));
        assert_eq!(expired(bench, 29, 9), [""; 0], "they have ended");
        assert_eq!(bench.reader.next_deadline(at(10)).unwrap(), Some(at(30)));
        bench.apply(ask("a", Wanted::Pause, Some("first")));
        assert_eq!(expired(bench, 99, 9), [""; 0], "a paused run has time");
        bench.apply(reopen("a"));
        assert_eq!(expired(bench, 99, 9), ["a"]);
        bench.apply(reopen("👩‍🚀"));
        assert_eq!(bench.run("👩‍🚀").deadline, None, "who opens it again does not want it to end");
    });
}

#[test]
fn a_commit_changes_the_version() {
    each_store(|bench| {
        let before = bench.reader.version().unwrap();
        assert_eq!(bench.reader.version().unwrap(), before);
        bench.apply(start("a", 1));
        assert_ne!(bench.reader.version().unwrap(), before);
    });
}
