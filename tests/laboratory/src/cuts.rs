//! Power cuts all along a trace: at each point, what the disk may hold then is drawn and given to a judge.
//! Nothing here knows what the files mean.

use std::fmt;

use crate::checker::{Tally, Violation};
use crate::dice::Dice;
use crate::image::{Image, Loss};
use crate::notes::Note;
use crate::recorder::{Event, Trace};

/// Where the power went, and what it took.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// After so many events.
    pub after: usize,
    /// Of so many.
    pub of: usize,
    /// How the image was drawn.
    pub loss: Loss,
    /// And from which seed.
    pub seed: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut after event {} of {}, loss {:?}, seed {}", self.after, self.of, self.loss, self.seed)
    }
}

/// How many images of a trace are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    /// The first cut is after so many events.
    pub from: usize,
    /// Every so many events there is a cut.
    pub every: usize,
    /// So many images are drawn at each.
    pub times: u64,
}

/// Cuts `trace` again and again, and counts what `judge` says to each image and to what had been noted by
/// then. The losses take turns.
pub fn cut_all_along(
    trace: &Trace,
    draws: Draws,
    tally: &mut Tally,
    mut judge: impl FnMut(Cut, &Image, &[Note]) -> Vec<Violation>,
) {
    let mut disk = trace.before.clone();
    let mut notes = Vec::new();
    for after in 0..=trace.events.len() {
        if after >= draws.from && (after - draws.from).is_multiple_of(draws.every) {
            tally.points += 1;
            for seed in 0..draws.times {
                let turn = (after / draws.every) as u64 + seed;
                let loss = Loss::ALL[usize::try_from(turn % Loss::ALL.len() as u64).unwrap_or(0)];
                let cut = Cut { after, of: trace.events.len(), loss, seed };
                let image = disk.draw(loss, &mut Dice::new(seed ^ ((after as u64) << 32)));
                tally.images += 1;
                let violations = judge(cut, &image, &notes);
                tally.add(cut, violations);
            }
        }
        let Some(event) = trace.events.get(after) else { break };
        disk.apply(event);
        if let Event::Said(note) = event {
            notes.push(note.clone());
        }
    }
}
