//! An expansion raises no lint in the user's crate: this file compiles, and passes clippy, with all of them
//! denied. It grows with each report. What is allowed here is what these functions, not their expansions,
//! would be told.
#![deny(
    warnings,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    single_use_lifetimes,
    rust_2018_idioms,
    rust_2024_compatibility,
    clippy::all,
    clippy::pedantic,
    clippy::nursery,
    clippy::unwrap_used,
    clippy::panic
)]
#![expect(clippy::redundant_pub_crate, reason = "it contradicts `unreachable_pub`")]

use durable::{Engine, step, workflow};

/// What was bought.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Order {
    /// How much of it.
    pub count: u32,
}

/// What a step returns.
pub type OrderResult<T> = Result<T, String>;

mod steps {
    use durable::step;

    use super::{Order, OrderResult};

    #[step]
    pub(crate) fn borrowed(order: &Order, _note: &str, (a, b): (u32, u32), mut sum: u32) -> OrderResult<u32> {
        sum += order.count + a + b;
        if sum == 0 {
            return Err("nothing".to_owned());
        }
        Ok(sum)
    }

    #[step(retries = 2, timeout = "30s")]
    pub(crate) async fn retried(order: Order, mut count: u32, _unused: String) -> std::io::Result<u32> {
        count += order.count;
        std::future::ready(Ok(count)).await
    }

    #[step(args = record)]
    #[must_use]
    pub(crate) fn recorded(n: u32, _unit: ()) -> u32 {
        n
    }

    #[step]
    pub(crate) fn unit() {}

    #[step]
    pub(crate) async fn early(n: u32) -> OrderResult<u32> {
        if n > 1 {
            return Ok(n);
        }
        std::future::ready(()).await;
        Err("small".to_owned())
    }
}

impl Order {
    /// A method.
    #[step]
    #[must_use]
    pub fn doubled(&self) -> u32 {
        self.count * 2
    }

    /// A method by value.
    #[step]
    #[must_use]
    pub fn more(mut self) -> Self {
        self.count += 1;
        self
    }
}

/// A plain workflow.
///
/// # Errors
/// If there is nothing.
#[workflow]
pub fn plain(order: Order, (a, b): (u32, u32), _note: String) -> OrderResult<u32> {
    steps::unit();
    let sum = steps::borrowed(&order, "n", (a, b), 1)?;
    Ok(sum + steps::recorded(order.doubled(), ()) + order.more().count)
}

/// An async workflow.
///
/// # Errors
/// If it is small.
#[workflow(entry = Asynchronous)]
pub async fn asynchronous(mut n: u32) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    n += steps::retried(Order { count: n }, 1, String::new()).await?;
    Ok(steps::early(n).await?)
}

/// Races, and what has to succeed.
///
/// # Errors
/// If it is small.
#[workflow]
pub async fn racing(n: u32) -> OrderResult<u32> {
    let raced = durable::race!(steps::early(n), std::future::pending())?;
    let (a, b) = durable::try_join!(steps::early(n), async { Ok(steps::recorded(n, ())) })?;
    let selected = durable::select! {
        early = steps::early(n) => early?,
        (left, right) = std::future::ready((a, b)) => {
            left + right
        }
        () = std::future::pending::<()>() => return Err("never".to_owned()),
    };
    Ok(raced + a + b + selected)
}

/// An old workflow.
#[workflow]
#[deprecated]
pub fn old() {}

#[workflow]
fn private(id: u32) -> u32 {
    id
}

#[test]
fn expansions_run_as_they_are_linted() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::in_memory()?;
    let sum = plain::durable("plain", Order { count: 1 }, (2, 3), String::new()).on(&engine).run();
    assert!(matches!(sum, Ok(11)), "{sum:?}");
    assert_eq!(private::durable("private", 7).on(&engine).run()?, 7);
    let future = Asynchronous::durable("async", 3).on(&engine).run();
    assert!(matches!(smol::block_on(future), Ok(7)));
    assert_eq!(smol::block_on(racing::durable("racing", 3).on(&engine).run())?, 12);
    Ok(())
}
