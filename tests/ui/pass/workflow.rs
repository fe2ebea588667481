// Every shape of a workflow.
use durable::workflow;
use std::borrow::Cow;

#[derive(serde::Serialize, serde::Deserialize)]
struct Order(u64);

#[workflow]
fn fulfil(order: Order, (a, b): (u8, u8), mut note: Cow<'static, str>) -> Result<u64, String> {
    note.to_mut().push('x');
    Ok(order.0 + u64::from(a) + u64::from(b))
}

#[workflow(name = "ship-order")]
async fn ship(id: u64) -> std::io::Result<u64> {
    std::future::ready(Ok(id)).await
}

#[workflow]
fn nothing() {}

mod taken {}

#[workflow(entry = Taken, allow(clock, io), deny(env))]
fn taken(#[allow(unused_variables)] sixteen: [u8; 16]) -> Option<String> {
    let _ = std::time::Instant::now();
    None
}

mod orders {
    /// Documented.
    #[durable::workflow]
    #[must_use]
    #[cfg(all())]
    pub(crate) fn cancel(order: u64) -> u64 {
        order
    }
}

use orders::cancel;

fn main() {
    #[workflow]
    fn local(order: Local) -> Local {
        order
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Local;

    let engine = durable::Engine::in_memory().unwrap();
    let fulfilled = fulfil::durable("a", Order(1), (2, 3), "n".into()).on(&engine).run();
    assert_eq!(fulfilled.unwrap(), 6);
    assert_eq!(cancel::durable("b", 4).on(&engine).run().unwrap(), 4);
    assert_eq!(cancel(4), 4);
    nothing::durable("c").on(&engine).run().unwrap();
    Taken::durable("d", [0; 16]).on(&engine).run().unwrap();
    local::durable("e", Local).on(&engine).run().unwrap();
    let _futures = (ship::run_durable("f", 7), ship::resume("f"), ship(7));
}
