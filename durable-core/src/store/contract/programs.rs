//! Random programs of ops, on which all stores agree; a program that fails prints the seed that it came from.

use super::background::{ask, record_shielded, reopen, start_later, wait};
use super::forking::fork;
use super::mail::{about, act, await_it, event_of, message, publish, send};
use super::*;
use crate::store::{Awaits, Effect, Wanted};

/// Numbers that follow from a seed alone: splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// An op that mostly fits the runs as `reader` has them.
    fn op(&mut self, reader: &mut dyn StepReader) -> Op {
        let id = self.one_of(&IDS);
        let run = reader.run(&workflow(id)).unwrap();
        let owner = run.as_ref().and_then(|run| run.owner.as_ref()).map(|owner| owner.0.to_string());
        let epoch = match (run, self.below(8)) {
            (_, 0) => STALE,
            (Some(run), 1) => Epoch(run.epoch.0 - 1),
            (Some(run), _) => run.epoch,
            (None, _) => return self.start(id),
        };
        let path = self.one_of(&TREE);
        match self.below(27) {
            0 => start(id, self.below(3) as u64),
            1 | 2 => {
                let drop = [path, self.one_of(&TREE)];
                let from = if self.below(8) == 0 { Some("first") } else { owner.as_deref() };
                claim_from(id, epoch, from, &drop[..self.below(3)], self.one_of(&[0, 1]))
            }
            3 => completed(id, epoch, self.one_of(&["1", "2"])),
            4 => finish(id, epoch, End::Failed("1".into())),
            5 => finish(id, epoch, End::Halted { fault: "1".into(), escaped: true }),
            6 if self.below(4) == 0 => disown(id, self.one_of(&["first", "second"])),
            6 => release(id, epoch, self.one_of(&[None, Some("boom")])),
            7 => rewind(id, epoch, path),
            8 => reset(id, epoch),
            9 => ask(id, self.one_of(&[Wanted::Cancel, Wanted::Pause]), self.one_of(&[None, Some("first")])),
            10 => reopen(id),
            11 => wait(id, epoch, self.one_of(&[10, 20])),
            12 => finish(id, epoch, End::Asked(self.one_of(&[Wanted::Cancel, Wanted::Pause]))),
            13 if self.below(2) == 0 => {
                let (to, changed) = (self.one_of(&IDS), self.one_of(&TREE));
                let nonce = self.below(3) as u64;
                fork(id, epoch, to, path, nonce, self.one_of(&[None, Some((changed, "3"))]))
            }
            13 => await_it(id, epoch, self.awaits()),
            14 => send(id, self.topic(), self.one_of(&["k1", "k2", "k3", "k4"]), "1"),
            15 => Op::Publish(publish(id, epoch, "progress", self.one_of(&["1", "2"]))),
            16..19 => {
                let effect = self.effect(id, epoch, reader);
                act(id, epoch, path, effect)
            }
            19 | 20 => once(id, epoch, self.one_of(&[path, &[300]]), self.one_of(&[0, 1])),
            21 => marked(id, epoch, path),
            22 => record_shielded(id, epoch, path, self.one_of(&["1", "2"])),
            _ => record(id, epoch, path, self.one_of(&["1", "2"])),
        }
    }

    fn topic(&mut self) -> &'static str {
        self.one_of(&["approval", "paid"])
    }

    fn awaits(&mut self) -> Awaits {
        if self.below(2) == 0 { about(self.topic()) } else { event_of(self.one_of(&IDS), "progress") }
    }

    fn effect(&mut self, id: &str, epoch: Epoch, reader: &mut dyn StepReader) -> Effect {
        let next = reader.message(&workflow(id), self.topic()).unwrap();
        match (self.below(4), next) {
            (3, _) => Effect::Decide(self.one_of(&[0, 1])),
            (0, _) => {
                let key = self.one_of(&["k1", "k5", "k6", "k7", "k8"]);
                Effect::Deliver(message(self.one_of(&IDS), self.topic(), key, "1"))
            }
            (1, _) => Effect::Publish(publish(id, epoch, "progress", self.one_of(&["1", "2"]))),
            (_, Some(message)) => Effect::Receive(message.number),
            (_, None) => Effect::Receive(1),
        }
    }
}

impl Draws {
    fn start(&mut self, id: &str) -> Op {
        match self.below(3) {
            0 => start_later(id, self.one_of(&[None, Some(10), Some(20)]), Some(self.one_of(&IDS))),
            nonce => {
                let Op::Start(start) = start(id, nonce as u64) else { unreachable!() };
                Op::Start(Start { deadline: self.one_of(&[None, Some(at(20)), Some(at(30))]), ..start })
            }
        }
    }
}

/// Prints the seed of the program that failed.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "whoever repairs it needs the seed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the program of seed {} failed", self.0);
        }
    }
}

/// The memory store gets each op alone and twice, the SQLite store gets them in batches.
#[cfg(feature = "sqlite")]
#[test]
fn random_programs_mean_the_same_in_every_store_and_in_batches() {
    const PROGRAMS: u64 = 12;
    const OPS: usize = 120;
    for seed in 0..PROGRAMS {
        let (mut draws, _shown) = (Draws(seed), Seed(seed));
        let (mut memory, mut sqlite) = (Bench::memory(), Bench::sqlite());
        let mut left = OPS;
        while left > 0 {
            let size = (1 + draws.below(8)).min(left);
            left -= size;
            let (mut ops, mut answers) = (Vec::new(), Vec::new());
            for _ in 0..size {
                let op = draws.op(&mut *memory.reader);
                answers.push(memory.apply(op.clone()));
                ops.push(op);
            }
            assert_eq!(sqlite.store.apply(&ops).unwrap(), answers, "{ops:#?}");
            assert_eq!(sqlite.dump(), memory.dump(), "after {ops:#?}");
        }
        memory.check_filters();
        sqlite.check_filters();
    }
}

#[test]
fn random_programs_mean_the_same_one_by_one_and_in_batches() {
    for seed in 100..200 {
        let (mut draws, _shown) = (Draws(seed), Seed(seed));
        let (mut alone, mut batched) = (Bench::memory(), Bench::memory());
        let (mut ops, mut answers) = (Vec::new(), Vec::new());
        for _ in 0..60 {
            let op = draws.op(&mut *alone.reader);
            answers.push(alone.apply(op.clone()));
            ops.push(op);
        }
        assert_eq!(batched.store.apply(&ops).unwrap(), answers);
        assert_eq!(batched.dump(), alone.dump());
    }
}
