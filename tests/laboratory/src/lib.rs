//! The fault laboratory of `durable`: what breaks disks and processes, and what checks that nothing is lost.
//!
//! A [`Recorder`] watches a folder through a SQLite file system of its own; it counts, fails, kills and
//! records. A [`Workload`] runs in a [`World`] that keeps what it says of itself, in one order with what its
//! database does. From a recorded trace, [`Disk`] draws what a power cut may leave. The checker compares.
//! Nothing of `durable` knows of it: the file system is the default one of the process.

mod arena;
mod bytes;
mod checker;
mod cuts;
mod dice;
mod edits;
mod faults;
mod fuzzing;
mod golden;
mod image;
mod ledger;
#[cfg(target_os = "linux")]
mod media;
mod model;
mod notes;
mod programs;
mod recorder;
mod scale;
mod shapes;
mod trial;
mod vfs;
mod victim;
mod workloads;

pub use arena::{Arena, Move, RACER, Seen, look, race};
pub use checker::{Tally, Violation, check_notes, check_records};
pub use cuts::{Cut, Draws, cut_all_along};
pub use dice::Dice;
pub use faults::{Struck, cram, strike};
pub use fuzzing::{Finding, fuzz_open, fuzz_rows};
pub use golden::{
    ENDED, GOLDEN_EVENT, GOLDEN_TOPIC, STOPPED, from_text, go_on, golden_engine, golden_folder,
    golden_images, golden_value, make_golden, to_text,
};
pub use image::{Disk, Image, Loss, files, left_alone, materialise};
pub use ledger::{Broken, Entry, LEDGER, Role, Sum, Unit};
#[cfg(target_os = "linux")]
pub use media::{LoopDisk, Memory};
pub use model::{Records, expected, recorded};
pub use notes::{Note, World, read as read_notes};
pub use programs::Node;
pub use recorder::{Cause, Done, Event, Fault, FileId, Operation, Recorder, Spell, Trace};
pub use scale::{SEED, VARIABLE, amount, scale, seeds};
pub use shapes::{Odd, Shape, Shaped, Variant};
pub use trial::{DATABASE, Recovery, Trial, message, notes_of};
#[cfg(target_os = "linux")]
pub use vfs::{cut_power, fork, limit_files, with_faked_locks};
pub use victim::{ALONE, Ended, Victim};
pub use workloads::{AGAIN, DURABILITIES, ID, Made, Refused, Workload, builder, durability};
