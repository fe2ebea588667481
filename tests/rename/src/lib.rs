//! A crate that has `durable` under another name, on an older edition: expansions find it by the option
//! `crate`. Some functions come from a `macro_rules!` of ours, whose tokens are not all from one place.
//! It knows the public names alone.

#![cfg(test)]

use again::{step, workflow, Engine};

#[step(crate = again, retries = 1)]
fn doubled(n: u32) -> Result<u32, String> {
    n.checked_mul(2).ok_or_else(|| "too much".to_owned())
}

#[step(crate = "again")]
async fn halved(n: u32) -> u32 {
    std::future::ready(n / 2).await
}

#[workflow(crate = ::again)]
async fn both(n: u32) -> Result<u32, String> {
    #[again::allow(clock)]
    let _start = std::time::Instant::now();
    let (half, other_half) =
        again::join!(halved(n), async { again::race!(halved(n), std::future::pending()) });
    doubled(half + other_half)
}

macro_rules! sum {
    ($workflow:ident, $step:ident, $number:ty) => {
        #[step(crate = again)]
        fn $step((a, b): ($number, $number)) -> $number {
            a + b
        }

        #[workflow(crate = again)]
        fn $workflow(numbers: ($number, $number), (c, d): ($number, $number)) -> Result<$number, String> {
            doubled($step(numbers) + $step((c, d)))
        }
    };
}

sum!(total, added, u32);

#[test]
fn a_renamed_dependency_is_found_by_the_crate_option() {
    let engine = Engine::in_memory().unwrap();
    let future = both::durable("both", 8).on(&engine).run();
    assert_eq!(again::__private::doc::block_on(future).unwrap(), 16);
    assert_eq!(total::durable("total", (1, 2), (3, 4)).on(&engine).run().unwrap(), 20);
}
