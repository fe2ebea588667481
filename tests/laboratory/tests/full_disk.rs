//! A disk that is full from every operation of five workloads on (P7): the call ends with a typed error, loses
//! nothing, reads go on, and work goes on in the same process once there is space again.

use durable_laboratory::{Cause, Done, Fault, Spell, Tally, Trial, Unit, Workload, scale, strike};

/// The operations that create the database and make the first turns of the loop.
const FIRST_TURNS: u64 = 60;

fn sweep(workload: Workload) {
    let trial = Trial::of(workload);
    let mut tally = Tally::of(Unit::FullDisks, format!("a full disk, {}", workload.name()));
    for at in 1.. {
        // The turns of the loop are alike: the short run takes every fourth operation of them.
        if workload == Workload::Looping && scale() < 4 && at > FIRST_TURNS && at % 4 != 1 {
            continue;
        }
        // The last write that finds space may find it for half of its bytes.
        let done = if at % 3 < 2 { Done::Nothing } else { Done::Half };
        let struck = strike(trial, Fault { at, spell: Spell::ForEver, cause: Cause::Full, done });
        tally.points += 1;
        tally.faults += struck.faults;
        tally.add(format!("full from operation {at} on, {done:?} of it done"), struck.violations);
        if struck.after.is_none() {
            break;
        }
    }
    tally.finish();
}

#[test]
fn a_full_disk_loses_nothing_of_a_sequence() {
    sweep(Workload::Sequential);
}

#[test]
fn a_full_disk_loses_nothing_of_a_loop() {
    sweep(Workload::Looping);
}

#[test]
fn a_full_disk_loses_nothing_of_threads() {
    sweep(Workload::Parallel);
}

#[test]
fn a_full_disk_loses_nothing_of_futures() {
    sweep(Workload::Concurrent);
}

#[test]
fn a_full_disk_loses_nothing_of_nested_children() {
    sweep(Workload::Nested);
}
