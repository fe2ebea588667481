// What the lint lets be: the durable way, a step, an item, a look-alike, and what is allowed.
use durable::{join, step, workflow};
use std::time::{Duration, Instant, SystemTime};

#[step]
fn read() -> Option<Vec<u8>> {
    let _ = (SystemTime::now(), std::env::var("ORDERS"));
    std::thread::sleep(Duration::ZERO);
    std::fs::read("orders.json").ok()
}

struct Clock;

impl Clock {
    fn now() -> u64 {
        7
    }
}

#[workflow]
fn durable_ways() -> u64 {
    fn helper() -> Instant {
        Instant::now()
    }
    let _: u64 = durable::random();
    let _ = (durable::now(), durable::uuid());
    let (a, b) = join(read, read);
    durable::sleep(Duration::ZERO);
    let _ = (a, b, ["a", "b"].join(", "), "Instant::now()", helper as fn() -> Instant);
    Clock::now()
}

#[workflow]
async fn durable_branches() -> (u8, Vec<u8>) {
    let (a, _) = durable::join!(std::future::ready(1), std::future::ready(2));
    (a, durable::future::join_all([std::future::ready(3)]).await)
}

#[workflow]
async fn durable_races() -> Result<u8, String> {
    let ready = |n: u8| std::future::ready(Ok::<_, String>(n));
    let raced = durable::race!(ready(1), ready(2))?;
    let (a, b) = durable::try_join!(ready(3), ready(4))?;
    let late = durable::timeout(Duration::ZERO, ready(5)).await.is_err();
    let mut stream = durable::unordered([ready(6), ready(7)], 2);
    let selected = durable::select! {
        next = stream.next() => next.map_or(Ok(0), |(_, n)| n)?,
        none = std::future::ready(()) => { let () = none; 0 }
    };
    Ok(raced + a + b + u8::from(late) + selected)
}

#[workflow]
fn off_until_denied() -> bool {
    std::fs::read("orders.json").is_ok() || std::env::var("ORDERS").is_ok()
}

#[workflow(allow(clock, random))]
fn allowed() -> bool {
    let later: SystemTime = SystemTime::now();
    #[durable::allow(thread, concurrency)]
    let _ = std::thread::spawn(|| 1).join();
    later > SystemTime::UNIX_EPOCH
}

#[workflow]
fn allowed_here() {
    let mut start = None;
    #[durable::allow(clock)]
    if start.is_none() {
        start = Some(Instant::now());
    }
    #[durable::allow(clock)]
    let _ = start.map(|start| Instant::now() - start);
}

fn main() {}
