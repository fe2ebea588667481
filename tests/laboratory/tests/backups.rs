//! Backups of a database in use (P20): while a workload runs, its file is copied again and again, by
//! `VACUUM INTO` and by SQLite's backup interface in turn. Each copy opens, is whole, holds every step that had
//! returned before the copy began, and goes on to the right end without running any of those again.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use durable_laboratory::{
    DATABASE, Image, Note, Recorder, Tally, Trial, Unit, Violation, Workload, World, builder, scale,
};
use rusqlite::Connection;
use rusqlite::backup::Backup;

/// So many copies are taken of each workload, times the scale.
const COPIES: usize = 100;

/// So many pages the backup interface copies at once: a commit in between makes it begin anew.
const PAGES_AT_ONCE: i32 = 20;

fn vacuum(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let database = Connection::open(from)?;
    database.execute("vacuum into ?1", [to.to_str()]).map(|_| ())
}

fn back_up(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let (from, mut to) = (Connection::open(from)?, Connection::open(to)?);
    Backup::new(&from, &mut to)?.run_to_completion(PAGES_AT_ONCE, Duration::ZERO, None)
}

/// What is wrong with the file itself.
fn integrity(path: &Path) -> Option<Violation> {
    let database = Connection::open(path).unwrap();
    let said: String = database.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    (said != "ok").then_some(Violation::Untyped(said))
}

/// The copies that were taken in one run, with what had been noted before each.
fn copies_of_a_run(trial: Trial, left: usize) -> Vec<(&'static str, Vec<Note>, Image, Option<Violation>)> {
    let (folder, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (recorder, _unsynced) = (Recorder::watch(folder.path()), Recorder::watch(target.path()));
    let path = folder.path().join(DATABASE);
    let engine = builder(World::traced(Vec::new(), &recorder)).open(&path).unwrap();
    let mut copies = Vec::new();
    thread::scope(|threads| {
        let running = threads.spawn(|| trial.workload.run(&engine).unwrap());
        while copies.len() < left && !running.is_finished() {
            let notes = recorder.notes();
            let to = target.path().join(format!("{}.db", copies.len()));
            let (way, came) = if copies.len() % 2 == 0 {
                ("vacuum into", vacuum(&path, &to))
            } else {
                ("backup", back_up(&path, &to))
            };
            let broken = match came {
                Ok(()) => integrity(&to),
                Err(error) => Some(Violation::Untyped(error.to_string())),
            };
            let bytes = fs::read(&to).unwrap_or_default();
            copies.push((way, notes, Image::from([(DATABASE.to_owned(), bytes)]), broken));
        }
        assert_eq!(running.join().unwrap(), trial.expected);
    });
    copies
}

fn sweep(workload: Workload) {
    let trial = Trial::of(workload);
    let mut tally = Tally::of(Unit::Copies, format!("copies of a database in use, {}", workload.name()));
    let all = COPIES * usize::try_from(scale()).unwrap();
    let (mut taken, mut after_steps) = (0, 0);
    while taken < all {
        for (way, notes, image, broken) in copies_of_a_run(trial, all - taken) {
            taken += 1;
            tally.points += 1;
            after_steps += usize::from(notes.iter().any(|note| matches!(note, Note::Acknowledged(..))));
            let place = format!("{way}, copy {taken}, after {} notes", notes.len());
            tally.add(&place, broken.into_iter().collect());
            tally.add(&place, trial.recover(&image, &notes).violations);
        }
    }
    println!("{}: {after_steps} of {taken} copies had steps to keep", tally.name);
    assert!(after_steps > taken / 5, "the copies were taken too early");
    tally.finish();
}

#[test]
fn a_copy_of_a_loop_in_use_holds_all_that_was_acknowledged() {
    sweep(Workload::Looping);
}

#[test]
fn a_copy_of_threads_in_use_holds_all_that_was_acknowledged() {
    sweep(Workload::Parallel);
}

// Negative control: the file alone, without what its log still holds.
#[test]
fn a_copy_of_the_file_without_its_log_is_caught() {
    let trial = Trial::of(Workload::Sequential);
    let mut tally = Tally::new("copies of the file without its log");
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::watch(folder.path());
    let path = folder.path().join(DATABASE);
    let engine = builder(World::traced(Vec::new(), &recorder)).open(&path).unwrap();
    trial.workload.run(&engine).unwrap();
    tally.points += 1;
    let image = Image::from([(DATABASE.to_owned(), fs::read(&path).unwrap())]);
    tally.add("the file alone", trial.recover(&image, &recorder.notes()).violations);
    tally.must_catch(|violation| matches!(violation, Violation::Repeated(_) | Violation::Changed(..)));
}
