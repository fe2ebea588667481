//! Branches under every schedule (P12): three branches with two steps each take their turns in each of the 90
//! orders there are, on threads and in futures. The run is stopped after each number of steps, and resumed under
//! another order: every step has the key and the value that it has in a run of its own, and none runs twice.
//! The turns are those of the branches' calls; what threads do within a call is left to the system.

use std::panic::resume_unwind;
use std::sync::{Arc, Condvar, Mutex};
use std::task::Poll;

use durable::{Engine, Error, RunError, step, workflow};
use durable_laboratory::{Dice, Tally, Unit, Violation, scale};

const BRANCHES: [char; 3] = ['a', 'b', 'c'];

/// So many steps each branch has.
const STEPS: usize = 2;

/// So many orders a stopped run is resumed under, times the scale.
const RESUMES: u64 = 2;

/// All orders in which the branches can take their turns.
fn orders(begun: String, all: &mut Vec<String>) {
    if begun.len() == BRANCHES.len() * STEPS {
        all.push(begun);
        return;
    }
    for branch in BRANCHES {
        if begun.matches(branch).count() < STEPS {
            orders(format!("{begun}{branch}"), all);
        }
    }
}

/// Whose turn it is, and what ran.
#[derive(Default)]
struct Table {
    order: Vec<char>,
    turn: usize,
    /// After so many turns everybody stops.
    stop: usize,
    ran: Vec<String>,
}

#[derive(Clone, Default)]
struct Turns(Arc<(Mutex<Table>, Condvar)>);

/// What a branch is to do.
enum Go {
    Now,
    Later,
    Stop,
}

impl Table {
    fn asks(&self, branch: char) -> Go {
        match self.order.get(self.turn) {
            _ if self.turn >= self.stop => Go::Stop,
            Some(next) if *next != branch => Go::Later,
            _ => Go::Now,
        }
    }
}

impl Turns {
    /// Runs `act` when it is the turn of `branch`.
    fn pass(&self, branch: char, act: impl FnOnce() -> String) -> String {
        let (table, moved) = &*self.0;
        let mut turns = table.lock().unwrap();
        loop {
            match turns.asks(branch) {
                Go::Now => break,
                Go::Later => turns = moved.wait(turns).unwrap(),
                Go::Stop => {
                    drop(turns);
                    resume_unwind(Box::new("stopped"));
                }
            }
        }
        drop(turns);
        let value = act();
        self.moved();
        value
    }

    /// The same without blocking.
    async fn reach(&self, branch: char) {
        std::future::poll_fn(|context| {
            // The table is free again before anybody stops.
            let go = self.0.0.lock().unwrap().asks(branch);
            match go {
                Go::Now => Poll::Ready(()),
                Go::Later => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                Go::Stop => resume_unwind(Box::new("stopped")),
            }
        })
        .await;
    }

    fn moved(&self) {
        self.0.0.lock().unwrap().turn += 1;
        self.0.1.notify_all();
    }
}

#[step]
fn called(name: &str) -> String {
    durable::resource::<Turns>().0.0.lock().unwrap().ran.push(name.to_owned());
    name.to_owned()
}

#[step]
async fn polled(name: &str) -> String {
    durable::resource::<Turns>().0.0.lock().unwrap().ran.push(name.to_owned());
    name.to_owned()
}

fn branch(name: char) -> String {
    let turns = durable::resource::<Turns>();
    (1..=STEPS).map(|step| turns.pass(name, || called(&format!("{name}{step}")))).collect()
}

async fn branch_polled(name: char) -> String {
    let turns = durable::resource::<Turns>();
    let mut all = String::new();
    for step in 1..=STEPS {
        turns.reach(name).await;
        all += &polled(&format!("{name}{step}")).await;
        turns.moved();
    }
    all
}

#[workflow]
fn mapped() -> String {
    durable::map(BRANCHES, BRANCHES.len(), branch).concat()
}

#[workflow]
fn scoped() -> String {
    durable::scope(|scope| {
        let all = BRANCHES.map(|name| scope.spawn(move || branch(name)));
        all.map(durable::Branch::join).concat()
    })
}

#[workflow]
fn joined() -> String {
    let (a, (b, c)) = durable::join(|| branch('a'), || durable::join(|| branch('b'), || branch('c')));
    a + &b + &c
}

#[workflow]
async fn futures() -> String {
    let (a, b, c) = durable::join!(branch_polled('a'), branch_polled('b'), branch_polled('c'));
    a + &b + &c
}

/// A construct by its name, and how it is run.
type Construct = (&'static str, fn(&Engine) -> Result<String, RunError<std::convert::Infallible>>);

const CONSTRUCTS: [Construct; 4] = [
    ("map", |engine| mapped::durable("run").on(engine).run()),
    ("scope", |engine| scoped::durable("run").on(engine).run()),
    ("join in join", |engine| joined::durable("run").on(engine).run()),
    ("join! of futures", |engine| smol::block_on(futures::durable("run").on(engine).run())),
];

const RESULT: &str = "a1a2b1b2c1c2";

struct Bench {
    engine: Engine,
    turns: Turns,
}

impl Bench {
    fn new() -> Self {
        let turns = Turns::default();
        Self { engine: Engine::builder().with(turns.clone()).seed(1).in_memory().unwrap(), turns }
    }

    fn run(&self, construct: Construct, order: &str, stop: usize) -> Option<String> {
        {
            let mut table = self.turns.0.0.lock().unwrap();
            (table.order, table.turn, table.stop) = (order.chars().collect(), 0, stop);
        }
        match construct.1(&self.engine) {
            Ok(value) => Some(value),
            Err(RunError::Engine(Error::Panicked { .. })) => None,
            Err(other) => panic!("{}: {order}: {other}", construct.0),
        }
    }

    fn rows(&self) -> Vec<String> {
        let steps = self.engine.steps("run").unwrap();
        steps.iter().map(|step| format!("{} {}", step.key(), step.output)).collect()
    }
}

fn sweep(construct: Construct) {
    let mut all = Vec::new();
    orders(String::new(), &mut all);
    assert_eq!(all.len(), 90);
    let alone = Bench::new();
    assert_eq!(alone.run(construct, &all[0], usize::MAX).as_deref(), Some(RESULT));
    let expected = alone.rows();
    let mut tally = Tally::of(Unit::Schedules, format!("{} under every schedule", construct.0));
    let mut dice = Dice::new(0);
    for live in &all {
        for stop in 0..=live.len() {
            for _ in 0..RESUMES * scale() {
                let bench = Bench::new();
                let stopped = bench.run(construct, live, stop);
                assert!(stopped.is_none() || stop == live.len(), "{live}, {stop}");
                let again = &all[usize::try_from(dice.below(all.len() as u64)).unwrap()];
                let value = bench.run(construct, again, usize::MAX);
                let place = format!("{live} up to {stop}, then {again}");
                tally.points += 1;
                let mut ran = bench.turns.0.0.lock().unwrap().ran.clone();
                ran.sort();
                let right = value.as_deref() == Some(RESULT) && bench.rows() == expected;
                if !right || ran.concat() != RESULT {
                    let seen = format!("{value:?}, {:?}, {ran:?}", bench.rows());
                    tally.add(place, vec![Violation::Unlike(seen)]);
                }
            }
        }
    }
    tally.finish();
}

#[test]
fn branches_of_a_map_take_the_same_keys_under_every_schedule() {
    sweep(CONSTRUCTS[0]);
}

#[test]
fn branches_of_a_scope_take_the_same_keys_under_every_schedule() {
    sweep(CONSTRUCTS[1]);
}

#[test]
fn branches_of_nested_joins_take_the_same_keys_under_every_schedule() {
    sweep(CONSTRUCTS[2]);
}

#[test]
fn futures_take_the_same_keys_under_every_schedule() {
    sweep(CONSTRUCTS[3]);
}
