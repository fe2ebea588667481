//! The workflows of a library, from a crate that uses it.

use durable::{Engine, RunError, StepFailed};
use library::{Order, label, pack, reserve, send};

fn order() -> Order {
    Order { item: "lamp".into(), count: 2 }
}

library::pack_twice!(packed_here);

#[test]
fn they_run_and_resume_as_if_they_were_declared_here() {
    let engine = Engine::in_memory().unwrap();
    let _entered = engine.enter();
    let packed: Result<u32, RunError<StepFailed>> = pack::run_durable("pack", order());
    assert_eq!(packed.unwrap(), 3);
    assert_eq!(pack::resume("pack").unwrap(), 3);
    let sent = durable::__private::doc::block_on(send::durable("send", order()).run());
    assert_eq!(sent.unwrap(), "3 x lamp");
    let steps = engine.steps("send").unwrap();
    let keys: Vec<_> = steps.iter().map(|step| step.key().to_string()).collect();
    assert_eq!(keys, ["pack_0", "reserve_0.0.0", "label_1"]);
    assert!(steps[1].site.contains("library/src/lib.rs:"), "{}", steps[1].site);
    assert_eq!(packed_here::run_durable("here", order()).unwrap(), 6);
}

#[test]
fn they_are_plain_functions_outside_a_run() {
    assert_eq!(reserve(&order()).unwrap(), 2);
    assert_eq!(pack(order()).unwrap(), 3);
    assert_eq!(durable::__private::doc::block_on(label(&"lamp", 1)), "1 x lamp");
}
