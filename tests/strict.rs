//! A strict engine: while one of its runs lives, a step that no run knows is an error. It is so for
//! the whole process, so this is the only test of its binary.

use durable::{Engine, FailureKind, StepFailed, step, workflow};

#[step]
fn anywhere() -> Result<u32, StepFailed> {
    Ok(1)
}

#[workflow(allow(thread))]
fn straying() -> Result<u32, StepFailed> {
    let known = anywhere()?;
    let strayed = std::thread::spawn(anywhere).join().unwrap_or(Ok(0));
    match strayed {
        Err(failed) if failed.kind() == FailureKind::Unowned => Ok(known + 10),
        _ => Ok(known),
    }
}

#[test]
fn a_strict_engine_refuses_a_step_on_a_thread_that_no_run_knows() {
    let lenient = Engine::in_memory().unwrap();
    assert_eq!(straying::durable("x").on(&lenient).run().unwrap(), 1, "a plain call, with a warning");
    assert_eq!(lenient.steps("x").unwrap().len(), 1);
    let strict = Engine::builder().strict(true).in_memory().unwrap();
    assert_eq!(straying::durable("x").on(&strict).run().unwrap(), 11);
    assert_eq!(anywhere().unwrap(), 1, "no strict run lives any more");
}
