// Every option of a step, and attributes beside it.
use durable::step;

#[step(name = "charge-card", retries = 1_000_000, backoff = "100ms", retry_if = errors::is_transient, strict)]
fn charge(cents: u64, mut card: String, (a, b): (u8, u8)) -> Result<String, String> {
    card.push('x');
    Ok(format!("{card}{cents}{a}{b}"))
}

mod errors {
    pub fn is_transient(error: &str) -> bool {
        error.is_empty()
    }
}

#[step(retries = 2, backoff = "1s..8760h", timeout = "5m", args = ignore)]
async fn ship(order: String) -> anyhow::Result<u64> {
    Ok(u64::try_from(order.len())?)
}

#[step(timeout = "1h")]
async fn notify() -> std::io::Result<()> {
    Ok(())
}

#[step(at_most_once, timeout = "1m")]
async fn wire(cents: u64) -> Result<u64, durable::StepFailed> {
    Ok(cents)
}

#[step(args = record, crate = ::durable)]
fn pack(order: &str, _: u64, boxes: Vec<u8>) -> usize {
    order.len() + boxes.len()
}

#[step(crate = "durable")]
#[must_use]
#[inline]
#[cfg(all())]
#[tracing::instrument]
fn attributes(order: u64) -> bool {
    #![allow(unused_variables)]
    let unused = 1;
    order > 0
}

#[step]
fn arguments(#[cfg(all())] gift: bool, #[cfg(any())] never: bool, #[allow(unused_variables)] order: u64) -> bool {
    gift
}

struct Till;

impl Till {
    #[step(retries = 1)]
    fn charge(&self, cents: u64) -> Result<u64, String> {
        Ok(cents)
    }
}

fn main() {
    // Outside a run a strict step is an error.
    let _: fn(u64, String, (u8, u8)) -> Result<String, String> = charge;
    assert_eq!((pack("a", 1, vec![1]), attributes(1), arguments(true, 2)), (2, true, true));
    assert_eq!(Till.charge(1), Ok(1));
    let _futures = (ship("a".into()), notify(), wire(1));
}
