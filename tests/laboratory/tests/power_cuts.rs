//! Power cuts at every point of five workloads (P4): nothing that was acknowledged is lost, and no file is
//! left that cannot be opened; and at points of the recovery, which is cut as well.

use durable_laboratory::{Dice, Disk, Draws, Loss, Tally, Trial, Workload, cut_all_along, notes_of, scale};

/// Of so many images one is recovered under a second power cut.
const CUT_AGAIN_EVERY: u64 = 4;

fn sweep(workload: Workload) {
    let trial = Trial::of(workload);
    let trace = trial.record();
    let mut again = Tally::new(format!("power cuts in the recovery, {}", workload.name()));
    let mut tally = Tally::new(format!("power cuts, {}", workload.name()));
    let mut count = 0;
    // The loop is long and its turns are alike.
    let times = if workload == Workload::Looping { scale().div_ceil(4) } else { scale() * 4 };
    let every = if workload == Workload::Looping && scale() < 4 { 4 } else { 1 };
    cut_all_along(&trace, Draws { from: 0, every, times }, &mut tally, |cut, image, notes| {
        let recovery = trial.recover(image, notes);
        count += 1;
        if count % CUT_AGAIN_EVERY == 0 {
            let mut dice = Dice::new(count);
            let events = &recovery.trace.events;
            let after = usize::try_from(dice.below(events.len() as u64 + 1)).unwrap();
            let loss = Loss::ALL[usize::try_from(dice.below(4)).unwrap()];
            let image = Disk::after(&recovery.trace, after).draw(loss, &mut dice);
            let mut first = recovery.trace.clone();
            first.events.truncate(after);
            again.points += 1;
            again.images += 1;
            let second = trial.recover(&image, &notes_of(&first, notes));
            again.add(
                format!("{cut}, then after event {after}, loss {loss:?}, seed {count}"),
                second.violations,
            );
        }
        recovery.violations
    });
    tally.finish();
    again.finish();
}

#[test]
fn a_power_cut_loses_nothing_of_a_sequence() {
    sweep(Workload::Sequential);
}

#[test]
fn a_power_cut_loses_nothing_of_a_loop() {
    sweep(Workload::Looping);
}

#[test]
fn a_power_cut_loses_nothing_of_threads() {
    sweep(Workload::Parallel);
}

#[test]
fn a_power_cut_loses_nothing_of_futures() {
    sweep(Workload::Concurrent);
}

#[test]
fn a_power_cut_loses_nothing_of_nested_children() {
    sweep(Workload::Nested);
}
