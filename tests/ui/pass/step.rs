// Every place where a step can stand.
use durable::{Value, step};
use std::{borrow::Cow, fmt::Display, sync::Arc};

#[step]
fn free(cents: u64, names: &[String], label: &str) -> Result<u64, String> {
    if names.is_empty() {
        return Err(label.to_owned());
    }
    Ok(cents + label.parse::<u64>().map_err(|error| error.to_string())?)
}

#[step]
async fn asynchronous(cents: u64) -> Result<u64, String> {
    free(std::future::ready(cents).await, &[], "x")
}

#[step]
fn generic<T: Value + Clone, const N: usize>(all: [T; N], shown: impl Display) -> Vec<T>
where
    T: Send,
{
    let _ = shown.to_string();
    all.to_vec()
}

#[step]
fn patterns((a, b): (u64, u64), mut c: u64, [d, ..]: [u64; 3], _: u64, _e: u64) -> u64 {
    c += a + b;
    c + d
}

#[step]
fn functions(f: fn(&mut u64), g: impl FnOnce() -> u64, h: &dyn Fn(u64) -> u64) -> u64 {
    let mut n = g();
    f(&mut n);
    h(n)
}

#[step]
fn borrowed<'a>(a: &'a str, b: &'a str) -> Cow<'a, str> {
    Cow::Owned(format!("{a}{b}"))
}

#[step]
fn r#type() {}

#[step]
async fn recursive(n: u64) -> u64 {
    if n == 0 { 0 } else { Box::pin(recursive(n - 1)).await + 1 }
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Till(u64);

impl Till {
    #[step]
    fn by_reference(&self, cents: u64) -> u64 {
        self.0 + cents
    }

    #[step]
    fn by_value(mut self) -> Self {
        self.0 += 1;
        self
    }

    #[step]
    async fn shared(self: Arc<Self>) -> u64 {
        self.0
    }

    #[step]
    fn associated(cents: u64) -> Self {
        Self(cents)
    }
}

trait Gateway {
    async fn charge(&self, cents: u64) -> u64;

    fn fee(&self) -> u64;

    #[step]
    fn total(&self, cents: u64) -> u64 {
        cents + self.fee()
    }
}

impl Gateway for Till {
    #[step]
    async fn charge(&self, cents: u64) -> u64 {
        self.0 + cents
    }

    #[step]
    fn fee(&self) -> u64 {
        self.0
    }
}

fn main() {
    let till = Till::associated(1);
    assert_eq!(free(1, &["a".into()], "2"), Ok(3));
    assert_eq!(generic([1, 2], "x"), [1, 2]);
    assert_eq!(patterns((1, 2), 3, [4, 5, 6], 7, 8), 10);
    assert_eq!(functions(|n| *n += 1, || 1, &|n| n * 2), 4);
    assert_eq!(borrowed("a", "b"), "ab");
    r#type();
    assert_eq!((till.by_reference(1), till.total(1), till.clone().by_value().0), (2, 2, 2));
    let _futures = (asynchronous(1), recursive(2), till.charge(1), Arc::new(till.clone()).shared());
}
