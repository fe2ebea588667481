//! A program finds the workflows of a library that it links, also those that it does not name.

use durable::{Engine, Error, workflow};
use library::quadruple;

#[workflow(name = "twin")]
fn own() -> u32 {
    1
}

#[test]
fn a_workflow_of_a_library_runs_under_its_name() {
    let engine = Engine::builder().register::<quadruple>().in_memory();
    // The library's own `twin` and ours share a name, and the library's is found although nothing here names
    // it.
    let Err(Error::DuplicateWorkflow { name, first, second }) = engine else { panic!("{engine:?}") };
    assert_eq!(name, "twin");
    let text = Error::DuplicateWorkflow { name, first, second }.to_string();
    assert!(
        text.contains("tests/library/src/lib.rs:") && text.contains("tests/library/tests/linked.rs:"),
        "{text}"
    );
    assert!(text.contains("#[workflow(name = \"…\")]"), "{text}");
    assert_eq!((own(), quadruple(2), library::unused()), (1, 8, 1));
}
