//! A disk that fails at every operation of five workloads, once and for ever (P6): the call ends with a typed
//! error, reads what it can, and goes on in the same process and in the next once the disk works again.

use durable_laboratory::{Cause, Done, Fault, Spell, Tally, Trial, Unit, Workload, scale, strike};

/// The operations that create the database and make the first turns of the loop.
const FIRST_TURNS: u64 = 60;

fn sweep(workload: Workload) {
    let trial = Trial::of(workload);
    for (spell, remainder) in [(Spell::Once, 0), (Spell::ForEver, 2)] {
        let mut tally = Tally::of(Unit::IoErrors, format!("I/O errors, {spell:?}, {}", workload.name()));
        for at in 1.. {
            // The turns of the loop are alike: the short run takes every fourth operation of them.
            if workload == Workload::Looping && scale() < 4 && at > FIRST_TURNS && at % 4 != remainder {
                continue;
            }
            let done = [Done::Nothing, Done::Half, Done::All][usize::try_from(at % 3).unwrap()];
            let struck = strike(trial, Fault { at, spell, cause: Cause::Broken, done });
            tally.points += 1;
            tally.faults += struck.faults;
            tally.add(format!("operation {at} fails, {done:?} of it done"), struck.violations);
            if struck.after.is_none() {
                break;
            }
        }
        tally.finish();
    }
}

#[test]
fn an_io_error_loses_nothing_of_a_sequence() {
    sweep(Workload::Sequential);
}

#[test]
fn an_io_error_loses_nothing_of_a_loop() {
    sweep(Workload::Looping);
}

#[test]
fn an_io_error_loses_nothing_of_threads() {
    sweep(Workload::Parallel);
}

#[test]
fn an_io_error_loses_nothing_of_futures() {
    sweep(Workload::Concurrent);
}

#[test]
fn an_io_error_loses_nothing_of_nested_children() {
    sweep(Workload::Nested);
}
