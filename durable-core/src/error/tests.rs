//! Every error, as a user reads it.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::key::{Position, StepKey};
use crate::store::CorruptRow;

fn id() -> WorkflowId {
    WorkflowId::new("order-7").unwrap()
}

const SITE: Site = Site { file: "src/orders.rs", line: 12 };

fn operation(name: &str, kind: &'static str) -> Operation {
    Operation::new(name, kind, &SITE)
}

fn position(path: &[u32]) -> Position {
    Position::new(path).unwrap()
}

#[track_caller]
fn check(error: impl Into<Error>, text: &str) {
    let error: Error = error.into();
    assert_eq!(error.to_string(), text);
}

fn divergence(difference: Difference) -> Error {
    Error::Divergence(Box::new(Divergence {
        workflow: id(),
        position: position(&[1]),
        recorded: operation("charge", "step"),
        age: Duration::from_hours(3),
        found: operation("ship", "step"),
        difference,
    }))
}

#[test]
fn a_run_without_a_runtime_is_for_another_engine() {
    check(
        Error::RuntimeShutDown { workflow: id() },
        "workflow \"order-7\" is not executed here: the tokio runtime that would poll it has shut down; another engine \
         can start it, or go on with it",
    );
}

#[test]
fn a_divergence_names_both_sides_and_what_to_do() {
    let give_up = "or give up what comes from there on with `Engine::rewind(\"order-7\", \"charge_1\")`, or the whole \
                   run with `Engine::reset(\"order-7\")`";
    let remedies = format!(
        "If you changed the code, keep the old way for such runs: `if durable::patched(\"…\") {{ new }} else {{ old }}`; \
         or run the build that recorded it, {give_up}"
    );
    let sides = "workflow \"order-7\" is not what was recorded: position 1 was recorded as step `charge` \
                 (src/orders.rs:12) 3 h ago, but this run calls step `ship` (src/orders.rs:12) there";
    check(
        divergence(Difference::Operation { nearest: None }),
        &format!(
            "{sides}; the code changed, or a branch depends on time, randomness, map order or the environment. {remedies}"
        ),
    );
    let nearest = Some(StepKey::new("ship", &position(&[2])));
    check(
        divergence(Difference::Operation { nearest }),
        &format!(
            "{sides}; it was recorded as ship_2: an operation seems to have been inserted or removed before it. {remedies}"
        ),
    );
    check(
        divergence(Difference::Arguments),
        &format!(
            "workflow \"order-7\" is not what was recorded: step `ship` (src/orders.rs:12) at position 1 was recorded 3 h \
             ago by this same build with other arguments; they depend on time, randomness, map order or the environment. \
             Sort what the steps are called for, {give_up}"
        ),
    );
    let decided = "workflow \"order-7\" is not what was recorded: step `ship` (src/orders.rs:12) at position 1 was decided by \
                   branch 2 3 h ago, ";
    check(
        divergence(Difference::Decision { branch: 2, branches: 2 }),
        &format!("{decided}but this run has no such branch among its 2; the code changed. {remedies}"),
    );
    check(
        divergence(Difference::Decision { branch: 2, branches: 3 }),
        &format!(
            "{decided}by an error, but that branch of this run returns none; the code changed. {remedies}"
        ),
    );
}

#[test]
fn a_step_that_was_interrupted_says_so() {
    let failed = StepFailed::new(crate::FailureKind::Interrupted, "charge_0", "nobody knows", 0);
    assert!(failed.is_interrupted());
    assert_eq!(failed.to_string(), "step `charge_0` was interrupted: nobody knows");
}

#[test]
fn what_only_timing_would_order_names_both_operations() {
    let unstructured = |how| {
        let (first, second) = (operation("a", "step"), operation("b", "step"));
        Error::Unstructured(Box::new(Unstructured { workflow: id(), first, second, how }))
    };
    check(
        unstructured(Overlap::Running),
        "workflow \"order-7\": step `b` (src/orders.rs:12) began while step `a` (src/orders.rs:12) was still running in \
         the same scope, so the scheduler would decide their order; run them with durable::join, scope or map, or \
         durable::join!, join_all or future::map, or where the first to end decides, with durable::race! or select!",
    );
    check(
        unstructured(Overlap::Dropped),
        "workflow \"order-7\": step `a` (src/orders.rs:12) was dropped before it ended (select, timeout), then step `b` \
         (src/orders.rs:12) was called, so timing would decide what a replay does; let it end, or race with durable::race! or select!",
    );
    check(
        unstructured(Overlap::Moved),
        "workflow \"order-7\": step `a` (src/orders.rs:12) began in one scope and was polled in another (a spawned task, \
         another branch); await it where it was called, or make it a branch with durable::join!, join_all or future::map",
    );
}

#[test]
fn a_fault_of_the_store_says_what_was_committed() {
    let store = |source| Error::store(&id(), source);
    check(
        store(StoreError::Unavailable { action: "commit a batch of 1".into(), reason: "disk full".into() }),
        "workflow \"order-7\" stopped: the store could not commit a batch of 1: disk full; nothing was committed",
    );
    check(
        store(StoreError::Unknown { reason: "disk I/O error".into() }),
        "workflow \"order-7\" stopped: the store could not tell whether a commit went through: disk I/O error; what is \
         recorded is read again on the next call",
    );
    let row = CorruptRow {
        table: "steps",
        key: "order-7, charge_0".into(),
        reason: "its checksum does not fit".into(),
    };
    check(
        store(StoreError::Corrupt(row)),
        "workflow \"order-7\" stopped: the row \"order-7, charge_0\" of table steps cannot be read: its checksum does not fit",
    );
}

#[test]
fn a_call_that_is_refused_says_what_to_call() {
    check(
        Error::NoEngine,
        "no engine to run on: call `durable::open(path)` first, name one with `.on(&engine)`, enter one with \
         `engine.enter()`, or set $DURABLE_DB to the path of the database",
    );
    check(
        Error::GlobalEngineIsSet,
        "this process has a global engine already; `durable::open` and `durable::set_global` can be called once",
    );
    let (first, second) = (SITE, Site { file: "src/accounts.rs", line: 3 });
    check(
        Error::DuplicateWorkflow { name: "close".into(), first, second },
        "two workflows are named `close`: src/orders.rs:12 and src/accounts.rs:3; give one #[workflow(name = \"…\")]",
    );
    check(Error::UnknownRun { workflow: id() }, "there is no run \"order-7\"; start it with `run_durable`");
    check(
        Error::UnknownStep { workflow: id(), step: "ship_9".into() },
        "workflow \"order-7\" has no recorded step \"ship_9\"; `Engine::steps` lists them",
    );
    check(
        Error::Live { workflow: id() },
        "workflow \"order-7\" is running; it can be reset, rewound or deleted, or lose a message, once it has stopped",
    );
    let refused = |refused| Error::ForkRefused(Box::new(refused));
    let (workflow, taken) = (id(), WorkflowId::new("order-8").unwrap());
    check(
        refused(ForkRefused::Taken { workflow, taken }),
        "workflow \"order-7\" cannot be forked to \"order-8\": there is such a run; name another id, or `Engine::reset` it",
    );
    check(
        refused(ForkRefused::NotCopied { workflow: id(), step: "ship_1".into(), from: "ship_1".into() }),
        "workflow \"order-7\" cannot be forked from \"ship_1\" with another output of \"ship_1\": that step is not copied, \
         for it is not before the other one; fork from a later step",
    );
    check(
        refused(ForkRefused::Output {
            workflow: id(),
            step: "pay_0".into(),
            reason: "it is no JSON: …".into(),
        }),
        "workflow \"order-7\" cannot be forked with another output of \"pay_0\": it is no JSON: …",
    );
    check(
        Error::MissingResource { type_name: "app::Mailer" },
        "the engine has no resource of type `app::Mailer`; give it one with `Engine::builder().with(value)`",
    );
    check(
        Error::Forked { opened_by: 7 },
        "this process was forked from the one that opened the engine (process 7); fork before an engine is opened, or start another program",
    );
}

#[test]
fn an_end_of_a_run_says_what_becomes_of_it() {
    check(
        Error::LostOwnership { workflow: id() },
        "workflow \"order-7\" is owned by another process now; this execution stopped and recorded nothing more",
    );
    check(
        Error::Panicked { workflow: id(), message: "index out of bounds".into() },
        "workflow \"order-7\" panicked: index out of bounds; it is interrupted and can be run again",
    );
    let failed = StepFailed::new(crate::FailureKind::Panic, "wire_1", "no route", 1);
    check(
        Error::FailedForGood { workflow: id(), failed: Box::new(failed) },
        "step `wire_1` of workflow \"order-7\" runs at most once and failed, and its type cannot hold that: step `wire_1` \
         panicked: no route; return a `Result` with an error that is `From<StepFailed>` to go on from here, have it run \
         again with `Engine::rewind(\"order-7\", \"wire_1\")`, or say what it returned with `Engine::fork_with`",
    );
    check(
        Error::TooManySteps { workflow: id(), steps_max: 1_000_000 },
        "workflow \"order-7\" has recorded 1000000 steps, the most that one run may have; split it into workflows of their own",
    );
    check(
        Error::ForeignSpawn { workflow: id(), site: SITE },
        "workflow \"order-7\": `spawn` at src/orders.rs:12 was called from inside another branch; branches are numbered by \
         the closure of `durable::scope` alone",
    );
    let chain = vec![id(), WorkflowId::new("b").unwrap(), id()];
    check(
        Error::WaitsForItself { workflow: id(), chain },
        "workflow \"order-7\" would wait for itself: \"order-7\" -> \"b\" -> \"order-7\"",
    );
}

#[test]
fn values_that_cannot_go_in_or_out_are_named_with_their_step() {
    let (workflow, step, site) = (id(), "charge_0".to_owned(), SITE);
    let source = Arc::new(Unstorable::NotFinite { type_name: "f64" });
    check(
        Error::Unstorable { workflow, step, site, source },
        "step `charge_0` of workflow \"order-7\" (src/orders.rs:12) failed: a value of type `f64` cannot be stored: it \
         holds NaN or an infinity, which JSON has no number for; return an `Option` or an enum that says what it means; \
         nothing was recorded",
    );
    let (workflow, step, site) = (id(), "charge_0".to_owned(), SITE);
    let source = Arc::new(Undecodable::Json { type_name: "u32", reason: "expected u32".into() });
    check(
        Error::Undecodable { workflow, step, site, source },
        "step `charge_0` of workflow \"order-7\" (src/orders.rs:12) cannot be replayed: what is stored cannot be read as \
         `u32`: expected u32; if the type has changed, give new fields `#[serde(default)]` and keep the names of old ones \
         as `alias`; or run the build that recorded it, or drop it with `Engine::rewind`",
    );
    let (workflow, key, site) = (id(), "event-77".to_owned(), SITE);
    let source = Arc::new(Undecodable::Json { type_name: "u32", reason: "expected u32".into() });
    check(
        Error::UndecodableMessage { workflow, topic: "paid", key, site, source },
        "the next message about `paid` of workflow \"order-7\" cannot be received at src/orders.rs:12: what is stored \
         cannot be read as `u32`: expected u32; if the type has changed, give new fields `#[serde(default)]` and keep the \
         names of old ones as `alias`; or drop the message with `Engine::drop_message(\"order-7\", \"event-77\")`, and try \
         the run again",
    );
    check(
        Error::MessageReceived { workflow: id(), key: "event-77".into() },
        "message \"event-77\" of workflow \"order-7\" was received; `Engine::rewind` to that step gives it back",
    );
    let mismatch = InputMismatch {
        workflow: id(),
        recorded_name: "fulfil".into(),
        recorded_input: "[1]".into(),
        found_name: "fulfil".into(),
        found_input: format!("[\"{}\"]", "x".repeat(500)),
    };
    let text = Error::InputMismatch(Box::new(mismatch)).to_string();
    assert!(
        text.starts_with("workflow \"order-7\" was started as `fulfil` with the input [1], not with [\"xxx"),
        "{text}"
    );
    assert!(
        text.contains("x…; go on with the stored input by `fulfil::resume(id)`") && text.len() < 400,
        "{text}"
    );
}
