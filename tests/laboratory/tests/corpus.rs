//! The corpus of the fuzz targets, replayed: what a fuzzer once found interesting, or wrong, is tried in every run on
//! the stable toolchain. `fuzz/README.md` tells how more of it is found.

use std::fs;
use std::path::Path;

use durable_laboratory::{Finding, Tally, Unit, Violation, fuzz_open, fuzz_rows};

fn replay(target: &str, fuzz: fn(&[u8]) -> Result<(), Finding>) -> Tally {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut tally = Tally::of(Unit::Inputs, format!("corpus of the fuzz target `{target}`"));
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        tally.points += 1;
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let found = fuzz(&fs::read(&path).unwrap()).err();
        tally.add(name, found.map(Violation::Unlike).into_iter().collect());
    }
    assert!(tally.points > 50, "{} inputs", tally.points);
    tally
}

// One test for both, since a panic of any thread counts as found.
#[test]
fn files_and_rows_that_a_fuzzer_made_up_are_refused_or_mean_what_they_meant() {
    let tallies = [replay("open", fuzz_open), replay("rows", fuzz_rows)];
    tallies.iter().for_each(Tally::finish);
}
