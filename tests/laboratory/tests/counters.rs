//! The negative control of positions: a counter that parallel branches share numbers their steps by the
//! scheduler, so a replay under another schedule takes one step's result for another's. Every schedule of two
//! branches with two steps each is played; counters of one branch each, and `durable::join`, hold under all.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

use durable::{Engine, step, workflow};
use durable_laboratory::{Tally, Violation};

/// The ways in which two branches can take two turns each.
const SCHEDULES: [&str; 6] = ["aabb", "abab", "abba", "baab", "baba", "bbaa"];

/// A miniature of an engine: it numbers the operations of a program, and gives back what is recorded.
struct Miniature {
    shares_counter: bool,
    recorded: BTreeMap<String, String>,
}

impl Miniature {
    /// Plays a schedule: what each step returned, by its own name.
    fn play(&mut self, schedule: &str) -> BTreeMap<String, String> {
        let (mut counters, mut turns) = (BTreeMap::new(), BTreeMap::new());
        let mut returned = BTreeMap::new();
        for branch in schedule.chars() {
            let turn: &mut u32 = turns.entry(branch).or_default();
            *turn += 1;
            let step = format!("{branch}{turn}");
            let counter: &mut u32 =
                counters.entry(if self.shares_counter { ' ' } else { branch }).or_default();
            let position =
                if self.shares_counter { counter.to_string() } else { format!("{branch}.{counter}") };
            *counter += 1;
            returned.insert(step.clone(), self.recorded.entry(position).or_insert(step).clone());
        }
        returned
    }
}

/// Records under each schedule, replays under each, and compares.
fn sweep(shares_counter: bool) -> Tally {
    let mut tally = Tally::new(if shares_counter {
        "a counter that branches share"
    } else {
        "a counter for each branch"
    });
    for live in SCHEDULES {
        for replay in SCHEDULES {
            let mut engine = Miniature { shares_counter, recorded: BTreeMap::new() };
            let (first, again) = (engine.play(live), engine.play(replay));
            tally.points += 1;
            for (step, value) in first {
                if again[&step] != value {
                    let number = |value: &str| u64::from(value.as_bytes()[1] - b'0');
                    let changed = Violation::Changed(step.clone(), number(&value), number(&again[&step]));
                    let place = format!(
                        "recorded as {live}, replayed as {replay}: `{step}` got that of `{}`",
                        again[&step]
                    );
                    tally.add(place, vec![changed]);
                }
            }
        }
    }
    tally
}

#[test]
fn a_counter_that_branches_share_is_caught() {
    sweep(true).must_catch(|violation| matches!(violation, Violation::Changed(..)));
    sweep(false).finish_beside();
}

/// Lets branches go on in the order of a schedule.
struct Turnstile {
    schedule: Vec<char>,
    turn: Mutex<usize>,
    moved: Condvar,
}

impl Turnstile {
    fn of(schedule: &str) -> Self {
        Self { schedule: schedule.chars().collect(), turn: Mutex::new(0), moved: Condvar::new() }
    }

    /// Runs `act` once it is the turn of `branch`.
    fn pass(&self, branch: char, act: impl FnOnce()) {
        let turn = self.turn.lock().unwrap();
        let mut turn = self
            .moved
            .wait_while(turn, |turn| self.schedule.get(*turn).is_some_and(|next| *next != branch))
            .unwrap();
        act();
        *turn += 1;
        self.moved.notify_all();
    }
}

#[step]
fn named(name: &str) -> String {
    name.to_owned()
}

fn branch(name: char) -> Vec<String> {
    let turnstile = durable::resource::<Turnstile>();
    let mut returned = Vec::new();
    for turn in 1..=2 {
        turnstile.pass(name, || returned.push(named(&format!("{name}{turn}"))));
    }
    returned
}

#[workflow]
fn two_branches() -> (Vec<String>, Vec<String>) {
    durable::join(|| branch('a'), || branch('b'))
}

#[test]
fn branches_of_a_join_take_the_same_keys_under_every_schedule() {
    let mut tally = Tally::new("durable::join under every schedule");
    for schedule in SCHEDULES {
        let engine = Engine::builder().with(Turnstile::of(schedule)).in_memory().unwrap();
        let returned = two_branches::durable("run").on(&engine).run().unwrap();
        assert_eq!(returned, (vec!["a1".to_owned(), "a2".into()], vec!["b1".into(), "b2".into()]));
        let steps = engine.steps("run").unwrap();
        let rows: Vec<_> = steps.iter().map(|step| format!("{} {}", step.key(), step.output)).collect();
        let expected =
            ["named_0.0.0 \"a1\"", "named_0.0.1 \"a2\"", "named_0.1.0 \"b1\"", "named_0.1.1 \"b2\""];
        assert_eq!(rows, expected, "{schedule}");
        tally.points += 1;
    }
    tally.finish();
}
