//! Commits of unknown fate (P8): at every operation of a run of 20 steps the disk fails once, and what it did
//! all the same is nothing, half or all. The process goes on, looks, and acts on what it sees; then the power
//! goes at any moment after the error, with what was pending at a failed sync in doubt for ever. Neither a
//! body nor a result may have rested on the word of the connection that failed.

use durable_laboratory::{
    Cause, Done, Draws, Fault, Spell, Tally, Trial, Workload, cut_all_along, scale, strike,
};

/// Of so many events after an error one is a power cut, in the short run.
const CUT_EVERY: u64 = 16;

fn sweep(workload: Workload, done: Done) {
    let trial = Trial::of(workload);
    let mut tally = Tally::new(format!("commits of unknown fate, {done:?} done, {}", workload.name()));
    for at in 1.. {
        let struck = strike(trial, Fault { at, spell: Spell::Once, cause: Cause::Broken, done });
        let Some(after) = struck.after else { break };
        tally.faults += struck.faults;
        tally.add(format!("operation {at} fails"), struck.violations);
        let every = CUT_EVERY.div_ceil(scale());
        let draws = Draws {
            // Each fault has its cuts at other places.
            from: after + usize::try_from(at % every).unwrap(),
            every: usize::try_from(every).unwrap(),
            times: scale().div_ceil(CUT_EVERY),
        };
        let mut part = Tally::default();
        cut_all_along(&struck.trace, draws, &mut part, |_, image, notes| {
            trial.recover(image, notes).violations
        });
        for (place, violation) in std::mem::take(&mut part.violations) {
            tally.add(format!("operation {at} fails; {place}"), vec![violation]);
        }
        tally.merge(part);
    }
    tally.finish();
}

#[test]
fn a_failed_operation_that_did_nothing_is_not_believed() {
    sweep(Workload::Sequential, Done::Nothing);
}

#[test]
fn a_failed_operation_that_was_done_by_half_is_not_believed() {
    sweep(Workload::Sequential, Done::Half);
}

#[test]
fn a_failed_operation_that_was_done_is_not_believed() {
    sweep(Workload::Sequential, Done::All);
}

#[test]
fn a_failed_operation_of_nested_children_is_not_believed() {
    sweep(Workload::Nested, Done::Nothing);
}
