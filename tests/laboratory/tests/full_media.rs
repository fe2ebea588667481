//! Full disks that are real (P7), filled to one level after another: a file system in memory that is grown again, an
//! ext4 on which a filler is removed, and a process whose files may not grow (`RLIMIT_FSIZE`) until they may. The call
//! ends with a typed error, nothing is lost, reads go on, and the same process goes on once there is space.
//! To mount takes root; where that cannot be it says why, and counts as skipped.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

use durable_laboratory::{
    Dice, LoopDisk, Memory, Struck, Tally, Trial, Unit, Violation, Workload, World, amount, builder, cram,
};

/// So many levels for each workload in the short run, and at scale 10; the loop has more space to go through.
const LEVELS: (u64, u64) = (2, 5);
const LEVELS_OF_THE_LOOP: (u64, u64) = (20, 20);

/// Enough for every workload.
const DISK_BYTES: u64 = 24 << 20;

/// The least that a file system in memory can be.
const PAGE_BYTES: u64 = 4096;

/// How much space an undisturbed run takes: all of its files, and the largest.
fn needed(trial: Trial) -> (u64, u64) {
    let folder = tempfile::tempdir().unwrap();
    let engine = builder(World::default()).open(folder.path().join(durable_laboratory::DATABASE)).unwrap();
    trial.workload.run(&engine).unwrap();
    let sizes: Vec<u64> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
    (sizes.iter().sum(), sizes.into_iter().max().unwrap())
}

/// Fills a medium to levels all along what each workload needs; `try_level` is told how many bytes are left.
fn sweep(
    name: &str,
    of_the_largest: bool,
    mut try_level: impl FnMut(Trial, u64) -> Result<(u64, Vec<Violation>), String>,
) {
    let mut tally = Tally::of(Unit::Media, format!("a full disk that is real, {name}"));
    let mut struck = 0;
    for workload in Workload::ALL {
        let trial = Trial::of(workload);
        let (all, largest) = needed(trial);
        let needed = if of_the_largest { largest } else { all };
        let (short, at_ten) = if workload == Workload::Looping { LEVELS_OF_THE_LOOP } else { LEVELS };
        let levels = amount(short, at_ten);
        for level in 0..levels {
            let left = needed * level / levels + Dice::new(level).below(needed / levels);
            let (faults, violations) = match try_level(trial, left) {
                Ok(found) => found,
                Err(reason) => return tally.skip(&reason),
            };
            tally.points += 1;
            tally.faults += faults;
            struck += u64::from(faults > 0);
            tally.add(format!("{}, {left} bytes left of {needed}", workload.name()), violations);
        }
    }
    println!("{}: full at {struck} of {} levels", tally.name, tally.points);
    assert!(struck > tally.points / 2, "the media were not full");
    tally.finish();
}

fn found(struck: Struck) -> (u64, Vec<Violation>) {
    (struck.faults, struck.violations)
}

#[test]
fn a_memory_that_is_full_loses_nothing_and_is_used_again_when_it_has_grown() {
    sweep("memory that is grown", false, |trial, left| {
        let memory = Memory::new(left.max(PAGE_BYTES))?;
        let struck = cram(trial, memory.mounted(), || memory.grow(DISK_BYTES).unwrap());
        Ok(found(struck))
    });
}

#[test]
fn a_disk_that_is_full_loses_nothing_and_is_used_again_when_a_file_is_gone() {
    let disk = LoopDisk::new("ext4", DISK_BYTES);
    sweep("ext4 from which a file is removed", false, |trial, left| {
        let disk = disk.as_ref().map_err(Clone::clone)?;
        let folder = disk.mounted().join("runs");
        fs::create_dir(&folder).unwrap();
        let filler = disk.fill(left);
        let struck = cram(trial, &folder, || fs::remove_file(filler).unwrap());
        fs::remove_dir_all(folder).unwrap();
        Ok(found(struck))
    });
}

#[test]
fn files_that_may_not_grow_lose_nothing_and_are_used_again_when_they_may() {
    sweep("files that may not grow", true, |trial, left| {
        let folder = tempfile::tempdir().unwrap();
        Ok(limited(trial, folder.path(), left))
    });
}

/// The limit is one of a whole process.
fn limited(trial: Trial, folder: &Path, bytes: u64) -> (u64, Vec<Violation>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limited"));
    let output = command.arg(folder).args([trial.workload.name(), &bytes.to_string()]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        (0, vec![Violation::Panicked(format!("{}: {said}", output.status))])
    })
}
