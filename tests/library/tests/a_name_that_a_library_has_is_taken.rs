//! A workflow of a library is listed though nothing names it, once its crate is linked: its name cannot be
//! given again.

use durable::{Engine, Error, workflow};
use library as _;

#[workflow]
fn hidden_in_the_library() {}

#[test]
fn a_name_that_a_library_has_is_taken() {
    let refused = Engine::in_memory().unwrap_err();
    let Error::DuplicateWorkflow { name, first, second } = &refused else { panic!("{refused}") };
    assert_eq!(name, "hidden_in_the_library");
    let mut files = [first.file, second.file].map(|file| file.rsplit('/').next().unwrap_or_default());
    files.sort_unstable();
    assert_eq!(files, ["a_name_that_a_library_has_is_taken.rs", "lib.rs"]);
    // A plain call asks no engine.
    hidden_in_the_library();
}
