//! SIGKILL at every file operation of five workloads, and at every operation of the recovery (P1, P2, P3):
//! what a process was told is never done again, and the next one ends as if nothing had been.

use durable_laboratory::{Dice, Ended, Tally, Trial, Victim, Violation, Workload, scale};

const PROGRAM: &str = env!("CARGO_BIN_EXE_victim");

/// So many recoveries of each workload are killed at each of their operations, times the scale.
const RECOVERIES: u64 = 1;

/// So many folders of each workload are stormed, times the scale.
const STORMS: u64 = 14;

/// So many kills one folder takes at most: each leaves at least nothing behind.
const KILLS_MAX: u64 = 1_000;

/// Runs a process until it is killed; whether it was.
fn run(victim: &Victim, kill: (u64, bool), place: &str, tally: &mut Tally) -> bool {
    match victim.run(Some(kill)) {
        Ended::Killed => {
            tally.kills += 1;
            true
        }
        Ended::Unharmed => false,
        Ended::Otherwise(said) => {
            tally.add(place, vec![Violation::Untyped(said)]);
            false
        }
    }
}

/// Kills at every operation in turn until a process ends unharmed; how many operations there were.
fn kill_everywhere(trial: Trial, new: impl Fn() -> Victim, place: &str, tally: &mut Tally) -> u64 {
    for at in 1.. {
        // Half a write is a thing of its own only for writes, which are most operations.
        for half in [false, true] {
            if half && trial.workload == Workload::Looping && at % 16 != 0 {
                continue;
            }
            let victim = new();
            let place = format!("{place}killed at operation {at}{}", if half { ", half-way" } else { "" });
            let killed = run(&victim, (at, half), &place, tally);
            tally.points += 1;
            tally.add(place, victim.judge());
            if !killed {
                return at - 1;
            }
        }
    }
    0
}

fn sweep(workload: Workload) {
    let trial = Trial::of(workload);
    let name = workload.name();
    let mut tally = Tally::new(format!("kills at every operation, {name}"));
    let operations = kill_everywhere(trial, || Victim::new(PROGRAM, trial), "", &mut tally);
    tally.finish();

    // A recovery is the shorter the later the first kill was; those of the loop begin late in a short run.
    let mut tally = Tally::new(format!("kills at every operation of the recovery, {name}"));
    let recoveries = RECOVERIES * scale();
    for i in 1..=recoveries {
        let share = if workload == Workload::Looping { 20 } else { 2 };
        let first = operations - operations * i / (recoveries * share);
        let killed = Victim::new(PROGRAM, trial);
        let place = format!("killed at operation {first}, then ");
        // Threads share their commits as timing has it, so one run may have fewer operations than another.
        if !run(&killed, (first, false), &place, &mut tally) {
            assert!(workload == Workload::Parallel, "{place}not at all");
            continue;
        }
        kill_everywhere(trial, || killed.copy(), &place, &mut tally);
    }
    tally.finish();

    let mut tally = Tally::new(format!("a storm of kills, {name}"));
    for seed in 0..STORMS * scale() {
        let mut dice = Dice::new(seed);
        let victim = Victim::new(PROGRAM, trial);
        let place = format!("storm of seed {seed}");
        // A third of the loop, so that one folder takes many kills and yet comes to an end.
        let reach = if workload == Workload::Looping { operations / 3 } else { 40 };
        let mut kills = 0;
        while run(&victim, (dice.below(reach) + 1, dice.coin()), &place, &mut tally) {
            kills += 1;
            assert!(kills < KILLS_MAX, "{name}: {place} makes no progress");
        }
        tally.points += 1;
        tally.add(place, victim.judge());
    }
    tally.finish();
}

#[test]
fn a_kill_loses_nothing_of_a_sequence() {
    sweep(Workload::Sequential);
}

#[test]
fn a_kill_loses_nothing_of_a_loop() {
    sweep(Workload::Looping);
}

#[test]
fn a_kill_loses_nothing_of_threads() {
    sweep(Workload::Parallel);
}

#[test]
fn a_kill_loses_nothing_of_futures() {
    sweep(Workload::Concurrent);
}

#[test]
fn a_kill_loses_nothing_of_nested_children() {
    sweep(Workload::Nested);
}
