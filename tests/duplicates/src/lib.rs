//! A program with two workflows of one name. It is a crate of its own, because every engine of such a program
//! is refused.

#![cfg(test)]

use durable::{Engine, Error, RunError, workflow};

mod orders {
    use super::workflow;

    #[workflow]
    pub(crate) fn close(id: u32) -> u32 {
        id
    }
}

mod accounts {
    use super::workflow;

    #[workflow(name = "close", entry = Close)]
    pub(crate) async fn close_account(id: u64) -> u64 {
        id
    }
}

/// The line of this file where a function is declared.
fn line_of(declaration: &str) -> u32 {
    let line = include_str!("lib.rs").lines().position(|line| line.contains(declaration)).unwrap();
    u32::try_from(line + 1).unwrap()
}

fn check(refused: &Error) {
    let Error::DuplicateWorkflow { name, first, second } = &refused else { panic!("{refused}") };
    assert_eq!(name, "close");
    assert!(first.file.ends_with("duplicates/src/lib.rs") && second.file == first.file, "{refused}");
    let lines = (line_of("fn close("), line_of("fn close_account("));
    assert_eq!((first.line, second.line), lines, "in the order of the file, whatever the linker's");
    let (first, second) = (first.to_string(), second.to_string());
    assert_eq!(
        refused.to_string(),
        format!("two workflows are named `close`: {first} and {second}; give one #[workflow(name = \"…\")]")
    );
}

#[test]
fn an_engine_is_refused_with_both_places() {
    check(&Engine::in_memory().unwrap_err());
}

#[test]
fn registering_one_of_them_does_not_choose_it() {
    check(&Engine::builder().register::<orders::close>().in_memory().unwrap_err());
    check(&Engine::builder().register::<accounts::Close>().in_memory().unwrap_err());
}

#[test]
fn no_entry_point_finds_an_engine_and_plain_calls_go_on() {
    let refused = orders::close::run_durable("x", 1).unwrap_err();
    assert!(matches!(refused, RunError::Engine(Error::NoEngine)), "{refused}");
    assert_eq!(orders::close(1), 1);
    assert_eq!(durable::__private::doc::block_on(accounts::close_account(2)), 2);
}
