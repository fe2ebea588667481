//! What opening a database says when the disk fails under it.

use durable_laboratory::{Cause, Done, Fault, Spell, Tally, Trial, Violation, Workload, strike};

// Bug: an I/O error in the last part of creating a database was reported as a file system that cannot hold
// one, "use a local disk". Cause: `pragma journal_mode = wal` commits after its row, and the row was read
// without going on to the end of the statement, as rusqlite's pragma functions do. Fix: it is stepped to its
// end.
#[test]
fn a_disk_that_fails_while_the_log_is_switched_on_is_not_an_unfit_file_system() {
    let trial = Trial::of(Workload::Sequential);
    let mut tally = Tally::new("I/O errors while a database is created");
    for at in 1..=20 {
        let fault = Fault { at, spell: Spell::Once, cause: Cause::Broken, done: Done::Nothing };
        let struck = strike(trial, fault);
        tally.points += 1;
        tally.faults += struck.faults;
        tally.add(format!("operation {at} fails"), struck.violations);
    }
    assert!(!tally.violations.iter().any(|(_, violation)| matches!(violation, Violation::Panicked(_))));
    tally.finish();
}
