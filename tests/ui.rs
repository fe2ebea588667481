//! What a user of the macros sees: the compiler's text for every mistake, and what compiles beside it.
//!
//! One mistake per file, in a folder named by its subject; `pass` shows the nearest forms that are right.
//! `tests/tidy.rs` holds the files to their form.
//! After a change, `TRYBUILD=overwrite cargo test --test ui` writes the `.stderr` files; read each before it
//! is committed.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of mistakes.
const GROUPS: [&str; 4] = ["step", "workflow", "determinism", "types"];

fn cases(group: &str) -> Vec<PathBuf> {
    let folder = Path::new("tests/ui").join(group);
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.extension() == Some(OsStr::new("rs"))).collect()
}

#[test]
fn every_mistake_is_reported_as_it_was_and_every_right_form_compiles() {
    let tests = trybuild::TestCases::new();
    tests.pass("tests/ui/pass/*.rs");
    for group in GROUPS {
        tests.compile_fail(format!("tests/ui/{group}/*.rs"));
    }
}

// Ui tests that are found by no pattern pass in silence.
#[test]
fn every_group_has_cases_and_a_form_that_is_right() {
    for group in GROUPS {
        assert!(cases(group).len() >= 15, "{group}: {} cases", cases(group).len());
        assert!(Path::new("tests/ui/pass").join(group).with_extension("rs").exists(), "{group}");
    }
}
