//! What a durable future costs in memory: a bounded number of bytes on top of its body, however deep the
//! calls nest. An `async fn` that took the body as an argument would hold it twice, and each level of nesting
//! would double that again.

use durable::{StepFailed, step, workflow};

/// What a step's future adds to its body, at most.
const STEP_BYTES_MAX: usize = 200;

/// What a workflow's future adds to its body, at most.
const WORKFLOW_BYTES_MAX: usize = 200;

const PAYLOAD: usize = 256;

type Payload = [u8; PAYLOAD];

async fn plain(payload: Payload) -> usize {
    std::future::ready(()).await;
    payload.len()
}

#[step]
async fn small(payload: Payload) -> usize {
    std::future::ready(()).await;
    payload.len()
}

#[step(retries = 3, timeout = "30s")]
async fn with_options(payload: Payload) -> Result<usize, StepFailed> {
    std::future::ready(()).await;
    Ok(payload.len())
}

#[workflow]
async fn of_one_step(payload: Vec<u8>) -> usize {
    small([payload[0]; PAYLOAD]).await
}

async fn plain_of_one_step(payload: Vec<u8>) -> usize {
    plain([payload[0]; PAYLOAD]).await
}

#[workflow]
async fn of_children(payload: Vec<u8>) -> usize {
    of_one_step(payload.clone()).await + of_one_step(payload).await
}

async fn plain_of_children(payload: Vec<u8>) -> usize {
    plain_of_one_step(payload.clone()).await + plain_of_one_step(payload).await
}

#[expect(clippy::needless_pass_by_value, reason = "a future is made to be measured")]
fn size<F: Future>(future: F) -> usize {
    size_of_val(&future)
}

#[track_caller]
fn check(durable: usize, plain: usize, added_max: usize) {
    let added = durable - plain;
    assert!(added <= added_max, "{durable} bytes are {added} more than the {plain} of the plain one");
}

#[test]
fn a_step_adds_little_to_its_body() {
    check(size(small([0; PAYLOAD])), size(plain([0; PAYLOAD])), STEP_BYTES_MAX);
}

#[test]
fn a_retried_step_keeps_its_arguments_for_the_next_attempt() {
    check(size(with_options([0; PAYLOAD])), size(plain([0; PAYLOAD])), PAYLOAD + STEP_BYTES_MAX);
}

#[test]
fn a_workflow_adds_little_to_its_body() {
    let plain = size(plain_of_one_step(Vec::new()));
    check(size(of_one_step(Vec::new())), plain, STEP_BYTES_MAX + WORKFLOW_BYTES_MAX);
}

#[test]
fn nested_workflows_add_up_and_do_not_multiply() {
    let plain = size(plain_of_children(Vec::new()));
    check(size(of_children(Vec::new())), plain, STEP_BYTES_MAX + 2 * WORKFLOW_BYTES_MAX);
}

#[test]
fn a_run_is_a_pointer() {
    assert!(size(of_children::durable("x", Vec::new()).run()) <= 2 * size_of::<usize>());
}
