// Everything that a durable function can return.
use durable::{StepFailed, step, workflow};
use std::error::Error;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
enum Declined {
    Card,
}

#[derive(Debug)]
struct Rebuilt(StepFailed);

impl From<StepFailed> for Rebuilt {
    fn from(failed: StepFailed) -> Self {
        Self(failed)
    }
}

impl std::fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

type Outcome<T> = Result<T, Declined>;
type OrderResult<T> = Result<T, Rebuilt>;

#[step]
fn serde_error() -> Result<Vec<u8>, Declined> {
    Err(Declined::Card)
}

#[step]
fn alias_of_any_name() -> Outcome<u64> {
    Ok(1)
}

#[step]
fn boxed_error() -> Result<u64, Box<dyn Error + Send + Sync>> {
    Ok("1".parse()?)
}

#[step(retries = 3)]
fn anyhow_error() -> anyhow::Result<u64> {
    Ok("1".parse()?)
}

#[step(timeout = "1s")]
async fn rebuilt_error() -> Result<(), Rebuilt> {
    Ok(())
}

#[step]
fn io_error() -> std::io::Result<Option<f64>> {
    Ok(None)
}

#[step]
fn generic_error<E: From<StepFailed> + std::fmt::Display>(error: Option<E>) -> Result<u64, E> {
    error.map_or(Ok(1), Err)
}

#[workflow]
fn alias_that_says_so() -> OrderResult<u64> {
    Ok(1)
}

#[workflow]
async fn boxed() -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(())
}

#[workflow]
fn tuple(order: Option<(u8, String)>) -> Option<(u8, String)> {
    order
}

fn main() {}
