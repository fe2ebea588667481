//! SIGKILL at random microseconds (P1, P3): processes run a workload on the system's own files, with nothing of the
//! laboratory below SQLite, and are killed at any moment between their first word and their end; the next one goes on
//! with what is left. Each durability takes its turn, since a kill must lose nothing of any. `kills.rs` strikes at file
//! operations, this one at all that lies between them.
//! How long a process lives before it is killed is drawn; what must hold rests on no time.

use std::time::Duration;

use durable_laboratory::{DURABILITIES, Dice, Ended, Tally, Trial, Victim, Violation, Workload, amount};

const PROGRAM: &str = env!("CARGO_BIN_EXE_victim");

/// So many kills of each workload in the short run, and at scale 10.
const KILLS: (u64, u64) = (100, 2_000);

/// So many kills one folder takes, before it is left to end.
const KILLS_IN_TURN: u64 = 20;

/// How long the processes of a storm live at most, in microseconds: as long as this machine takes, and half as long
/// again, so that a third of them end unharmed. It is found as the storm goes.
struct Reach(u64);

impl Reach {
    const LEAST: u64 = 64;

    fn draw(&self, dice: &mut Dice) -> Duration {
        Duration::from_micros(dice.below(self.0) + 1)
    }

    fn learn(&mut self, ended: &Ended) {
        match ended {
            Ended::Killed => self.0 += self.0 / 8,
            _ => self.0 = Self::LEAST.max(self.0 - self.0 / 4),
        }
    }
}

fn sweep(workload: Workload) {
    let trial = Trial::of(workload);
    let mut tally = Tally::new(format!("kills at random microseconds, {}", workload.name()));
    let all = amount(KILLS.0, KILLS.1);
    let (mut dice, mut reach, mut under_way) = (Dice::new(0), Reach(1_000), 0);
    while tally.kills < all {
        let victim = Victim::new(PROGRAM, trial);
        let (durability, _) = DURABILITIES[usize::try_from(tally.points % 4).unwrap()];
        let mut noted = 0;
        for _ in 0..KILLS_IN_TURN.min(all - tally.kills) {
            let ended = victim.run_for(reach.draw(&mut dice), durability);
            reach.learn(&ended);
            match ended {
                Ended::Killed => tally.kills += 1,
                Ended::Unharmed => break,
                Ended::Otherwise(said) => tally.add("killed at random", vec![Violation::Untyped(said)]),
            }
            // One note says that a process began; all others are of its workload.
            let before = std::mem::replace(&mut noted, victim.notes().len());
            under_way += u64::from(noted > before + 1);
        }
        tally.points += 1;
        let place = format!("folder {}, {durability}, at any microsecond below {}", tally.points, reach.0);
        tally.add(place, victim.judge());
    }
    println!("{}: {under_way} of {all} kills while the workflow was under way", tally.name);
    assert!(under_way > all / 20, "{}: the kills came too early", tally.name);
    tally.finish();
}

#[test]
fn a_kill_at_any_microsecond_loses_nothing_of_a_sequence() {
    sweep(Workload::Sequential);
}

#[test]
fn a_kill_at_any_microsecond_loses_nothing_of_a_loop() {
    sweep(Workload::Looping);
}

#[test]
fn a_kill_at_any_microsecond_loses_nothing_of_threads() {
    sweep(Workload::Parallel);
}

#[test]
fn a_kill_at_any_microsecond_loses_nothing_of_futures() {
    sweep(Workload::Concurrent);
}

#[test]
fn a_kill_at_any_microsecond_loses_nothing_of_nested_children() {
    sweep(Workload::Nested);
}
