//! Power cuts of a real kernel (P5): a file system on a loop device is shut down while a process works on it,
//! with nothing of what is pending written, and mounted again. What was acknowledged is there, and the run goes
//! on. It takes root, `mkfs` and `mount`; where they are missing it says why, and counts as skipped.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

use durable_laboratory::{
    DATABASE, Dice, LoopDisk, Tally, Trial, Unit, Violation, Workload, World, amount, builder, cut_power,
    read_notes,
};

/// So many power cuts in the short run, and at scale 10.
const CYCLES: (u64, u64) = (25, 100);

/// Enough for each of the file systems.
const DISK_BYTES: u64 = 320 << 20;

/// A disk whose power can be cut. A system that mounts and cannot shut down proves nothing.
fn disk(kind: &str) -> Result<LoopDisk, String> {
    let disk = LoopDisk::new(kind, DISK_BYTES)?;
    let shut_down = cut_power(&disk.mounted()).map_err(|error| format!("shutting down: {error}"));
    disk.unmount()?;
    shut_down?;
    disk.mount()?;
    Ok(disk)
}

/// One power cut, and whether it ended the process; what does not hold.
fn cycle(disk: &LoopDisk, trial: Trial, cycle: u64, durability: &str, tally: &mut Tally) -> Vec<Violation> {
    let notes = disk.beside(&format!("notes-{cycle}"));
    let folder = disk.mounted().join(format!("cycle-{cycle}"));
    fs::create_dir(&folder).unwrap();
    // The folder itself is not what is tested.
    fs::File::open(disk.mounted()).unwrap().sync_all().unwrap();
    let after = Dice::new(cycle).below(350) + 2;
    let mut unplugged = Command::new(env!("CARGO_BIN_EXE_unplugged"));
    unplugged.args([&folder, &notes]).args([trial.workload.name(), &after.to_string(), durability]);
    // However it ended: by a fault, or killed by a page that could not be read.
    tally.faults += u64::from(!unplugged.output().unwrap().status.success());
    // What was noted once the power was going is after the end of that world: a sync that is under way when the
    // shutdown comes was seen to be answered with success and dropped (ext4 of Linux 6.18; xfs lost the like).
    fs::rename(notes.with_extension("before"), &notes).unwrap();
    disk.unmount().unwrap();
    disk.mount().unwrap();
    trial.judge(|| {
        let engine = builder(World::kept(&notes)).open(folder.join(DATABASE))?;
        let result = trial.workload.run(&engine)?;
        trial.check(&engine, result, &read_notes(Path::new(&notes)))
    })
}

/// Cuts the power of such a file system again and again; nothing if there is none.
fn sweep(kind: &str, durability: &str) -> Option<Tally> {
    let unit = if kind == "xfs" { Unit::XfsCuts } else { Unit::Ext4Cuts };
    let mut tally = Tally::of(unit, format!("power cuts of a real kernel, {kind}, synchronous {durability}"));
    let disk = disk(kind).map_err(|reason| tally.skip(&reason)).ok()?;
    let cycles = if durability == "normal" { 2 } else { amount(CYCLES.0, CYCLES.1) };
    for number in 0..cycles {
        let trial = Trial::of(Workload::Looping);
        tally.points += 1;
        let violations = cycle(&disk, trial, number, durability, &mut tally);
        tally.add(format!("cycle {number}"), violations);
    }
    Some(tally)
}

#[test]
fn a_power_cut_of_the_kernel_loses_nothing_on_ext4() {
    if let Some(tally) = sweep("ext4", "extra") {
        tally.finish();
    }
}

#[test]
fn a_power_cut_of_the_kernel_loses_nothing_on_xfs() {
    if let Some(tally) = sweep("xfs", "extra") {
        tally.finish();
    }
}

// Negative control: with `synchronous=NORMAL` commits are not waited for, and the same power cut takes them.
#[test]
fn a_power_cut_of_the_kernel_takes_what_was_not_synced() {
    for kind in ["ext4", "xfs"] {
        if let Some(tally) = sweep(kind, "normal") {
            tally
                .must_catch(|violation| matches!(violation, Violation::Repeated(_) | Violation::Changed(..)));
        }
    }
}
