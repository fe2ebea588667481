//! Each example proves its point: crashed and run again, it does what is left and nothing twice.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The program of an example, which cargo builds before it runs tests.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join("examples").join(example)
}

/// Runs an example in `folder` with these arguments and this input; what it printed, and whether it ended
/// well.
#[track_caller]
fn run(folder: &TempDir, example: &str, args: &[&str], input: &str) -> (Vec<String>, bool) {
    let mut command = Command::new(program(example));
    command.args(args).current_dir(folder).env("ONBOARDING_SPEED", "100").env_remove("DURABLE_DB");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    (String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect(), status.success())
}

/// The lines of a crash, and those of the run after it.
#[track_caller]
fn crash_and_run(example: &str) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (crashed, well) = run(&folder, example, &["crash"], "");
    assert!(!well, "{example} did not crash");
    let (resumed, well) = run(&folder, example, &[], "");
    assert!(well, "{example} did not end: {resumed:?}");
    (crashed, resumed)
}

fn lines_with<'l>(lines: &'l [String], start: &str) -> Vec<&'l String> {
    lines.iter().filter(|line| line.starts_with(start)).collect()
}

#[test]
fn an_order_is_not_charged_twice() {
    let (crashed, resumed) = crash_and_run("order");
    assert_eq!(lines_with(&crashed, "charge: 4200 cents").len(), 1);
    assert_eq!(resumed[..2], ["ship: lamp", "done: parcel with the lamp and receipt for lamp"]);
    assert_eq!(resumed.last().unwrap(), "failed as it should: there is no stock of nothing");
}

#[test]
fn a_batch_goes_on_with_the_item_that_was_not_done() {
    let (crashed, resumed) = crash_and_run("batch");
    assert_eq!(lines_with(&crashed, "item ").len(), 11);
    assert_eq!(resumed[..2], ["10 of 20 items are recorded", "item 10: processed"]);
    assert_eq!(resumed.last().unwrap(), "sum of squares: 2470");
}

#[test]
fn a_fan_out_renders_each_page_that_is_not_recorded() {
    let (_, resumed) = crash_and_run("fan_out");
    let recorded: usize = resumed[0].split(' ').next().unwrap().parse().unwrap();
    assert_eq!(lines_with(&resumed, "page ").len(), 12 - recorded);
    assert_eq!(resumed.last().unwrap(), "the book has 98 characters");
}

#[test]
fn a_pipeline_uploads_what_was_downloaded_before() {
    let (crashed, resumed) = crash_and_run("async_pipeline");
    assert_eq!(lines_with(&crashed, "download: ").len(), 2);
    assert_eq!(resumed, ["upload: 8 bytes", "done: report: 8 bytes"]);
}

#[test]
fn a_saga_undoes_the_rest_and_nothing_twice() {
    let (crashed, resumed) = crash_and_run("saga");
    assert_eq!(lines_with(&crashed, "cancel: "), ["cancel: car"]);
    assert_eq!(resumed, ["cancel: flight", "given up: the hotel is full; 2 bookings were undone"]);
}

#[test]
fn the_quickstart_runs_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = run(&folder, "quickstart", &[], "");
    let (second, _) = run(&folder, "quickstart", &[], "");
    assert_eq!(first.len(), 3);
    assert_eq!(second, first[2..]);
}

const CACHED: &str = "already completed, cached result";

/// The employee that an onboarding was done for.
fn employee(lines: &[String]) -> &str {
    lines.last().and_then(|line| line.strip_prefix("Done: employee ")).unwrap().split(' ').next().unwrap()
}

#[test]
fn an_onboarding_resumes_after_its_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (crashed, well) = run(&folder, "onboarding", &["crash"], "");
    assert!(!well && crashed.last().unwrap().contains("the process aborts"), "{crashed:?}");
    let (resumed, well) = run(&folder, "onboarding", &["run"], "");
    assert!(well);
    assert_eq!(resumed.iter().filter(|line| line.contains(CACHED)).count(), 2, "{resumed:?}");
    let (again, _) = run(&folder, "onboarding", &[], "");
    assert_eq!(again.iter().filter(|line| line.contains(CACHED)).count(), 4);
    assert_eq!(employee(&again), employee(&resumed));
}

#[test]
fn the_menu_of_the_onboarding_works_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let (_, well) = run(&folder, "onboarding", &[], "2\n");
    assert!(!well, "2 crashes");
    let (lines, well) = run(&folder, "onboarding", &[], "7\n1\n3\n3\n4\n");
    assert!(well);
    assert!(lines.iter().any(|line| line == "There is no choice \"7\": type 1, 2, 3 or 4."));
    assert!(lines.iter().any(|line| line.starts_with("Done: employee GRACE-")));
    let forgotten = |line: &&String| line.contains("forget");
    let forgotten: Vec<_> = lines.iter().filter(forgotten).collect();
    assert_eq!(forgotten.len(), 1, "the second time there is nothing to forget: {forgotten:?}");
}

#[test]
fn an_unknown_argument_of_the_onboarding_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, well) = run(&folder, "onboarding", &["dance"], "");
    assert!(!well && lines.is_empty());
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
