//! Each example proves its point: crashed and run again, it does what is left and nothing twice.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use durable::Engine;
use tempfile::TempDir;

/// What `std::process::abort` ends a process with.
const SIGABRT: i32 = 6;

/// How an example ended.
#[derive(Debug, PartialEq)]
enum End {
    Well,
    Crashed,
    Refused,
}

/// The program of an example, which `cargo test` builds before it runs tests.
#[track_caller]
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples").join(example);
    assert!(program.exists(), "{} is missing: `cargo build --examples` makes it", program.display());
    program
}

/// Runs an example in `folder` with these arguments and this input; what it printed, and how it ended.
#[track_caller]
fn run(folder: &TempDir, example: &str, args: &[&str], input: &str) -> (Vec<String>, End) {
    let mut command = Command::new(program(example));
    command.args(args).current_dir(folder).env("ONBOARDING_SPEED", "100").env_remove("DURABLE_DB");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, .. } = child.wait_with_output().unwrap();
    let end = match (status.success(), status.signal()) {
        (true, _) => End::Well,
        (false, Some(SIGABRT)) => End::Crashed,
        _ => End::Refused,
    };
    (String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect(), end)
}

/// The lines of a crash, and those of the run after it.
#[track_caller]
fn crash_and_run(example: &str) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let (crashed, end) = run(&folder, example, &["crash"], "");
    assert_eq!(end, End::Crashed, "{example}: {crashed:?}");
    let (resumed, end) = run(&folder, example, &[], "");
    assert_eq!(end, End::Well, "{example}: {resumed:?}");
    (crashed, resumed)
}

fn lines_with<'l>(lines: &'l [String], start: &str) -> Vec<&'l String> {
    lines.iter().filter(|line| line.starts_with(start)).collect()
}

#[test]
fn an_order_is_not_charged_twice() {
    let (crashed, resumed) = crash_and_run("order");
    assert_eq!(lines_with(&crashed, "charge: 4200 cents").len(), 1);
    let expected = [
        "already recorded: charge_0 = \"receipt for lamp\"",
        "ship: lamp",
        "done: parcel with the lamp and receipt for lamp",
    ];
    assert_eq!(resumed[..3], expected);
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
    let recorded = ["download_0.0.0", "download_0.1.0", "sleep_1"];
    for (line, key) in resumed.iter().zip(recorded) {
        assert!(line.starts_with(&format!("already recorded: {key} = ")), "{line}");
    }
    assert_eq!(resumed[recorded.len()..], ["upload: 8 bytes", "done: report: 8 bytes"]);
}

#[test]
fn a_saga_undoes_the_rest_and_nothing_twice() {
    let (crashed, resumed) = crash_and_run("saga");
    assert_eq!(lines_with(&crashed, "cancel: "), ["cancel: car"]);
    assert_eq!(lines_with(&resumed, "already recorded: ").len(), 4);
    assert_eq!(resumed[4..], ["cancel: flight", "given up: the hotel is full; 2 bookings were undone"]);
}

#[test]
fn reminders_ring_once_after_the_crash() {
    let (crashed, resumed) = crash_and_run("reminders");
    assert_eq!(crashed, ["all three sleep: the process aborts"]);
    let mut rung: Vec<_> = lines_with(&resumed, "ring: ");
    rung.sort();
    assert_eq!(rung, ["ring: bread", "ring: call", "ring: tea"]);
    assert_eq!(lines_with(&resumed, "done: ").len(), 3);
}

#[test]
fn an_approval_waits_in_the_database_for_whoever_decides() {
    let folder = tempfile::tempdir().unwrap();
    let say = |args: &[&str]| {
        let (lines, end) = run(&folder, "approval", args, "");
        assert_eq!(end, End::Well, "{args:?}: {lines:?}");
        lines
    };
    assert_eq!(say(&["ask", "boat"]), ["may the boat be bought?"]);
    assert_eq!(say(&["ask", "lamp"]), ["may the lamp be bought?"]);
    assert_eq!(
        say(&[]),
        ["boat: running, may the boat be bought?", "lamp: running, may the lamp be bought?"]
    );
    assert_eq!(say(&["approve", "lamp"]), ["ordering the lamp", "the lamp is ordered"]);
    assert_eq!(say(&["refuse", "boat"]), ["the boat was refused"]);
    assert_eq!(say(&[])[1], "lamp: completed, the lamp is ordered");
}

#[test]
fn a_fleet_sends_each_ship_once() {
    let (crashed, resumed) = crash_and_run("fleet");
    let mut arrived = lines_with(&crashed, "ship ");
    assert_eq!(arrived.pop().unwrap(), "ship 4: the process aborts");
    arrived.extend(lines_with(&resumed, "ship "));
    arrived.sort();
    assert_eq!(
        arrived,
        (0..8).map(|ship| format!("ship {ship}: arrived")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(resumed[0], "9 runs are stored");
    assert_eq!(resumed.last().unwrap(), "the fleet brought 2800 tons");
}

#[test]
fn a_run_moves_to_the_process_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    let expected = [
        "process one: preparing lamp",
        "process one: dies before it ships",
        "process two: ships the parcel with the lamp",
        "done: parcel with the lamp, shipped",
    ];
    assert_eq!(run(&folder, "two_processes", &[], ""), (expected.map(str::to_owned).to_vec(), End::Well));
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
const CREATED: &str = "  create employee   [#########################] done: ";

fn lines_of<'l>(lines: &'l [String], part: &str) -> Vec<&'l String> {
    lines.iter().filter(|line| line.contains(part)).collect()
}

#[test]
fn an_onboarding_resumes_after_its_crash_with_the_same_employee() {
    let folder = tempfile::tempdir().unwrap();
    let (crashed, end) = run(&folder, "onboarding", &["crash"], "");
    assert_eq!(end, End::Crashed);
    assert!(crashed.last().unwrap().contains("the process aborts"), "{crashed:?}");
    let employee = crashed.iter().find_map(|line| line.strip_prefix(CREATED)).unwrap();

    // The crash fell into the parallel part: one branch is recorded, the other is not.
    let recorded = Engine::open(folder.path().join("onboarding.db")).unwrap().steps("onboarding-grace");
    let keys: Vec<_> = recorded.unwrap().iter().map(|step| step.key().to_string()).collect();
    assert_eq!(keys, ["create_employee_0", "setup_access_1.1.0"]);

    let (resumed, end) = run(&folder, "onboarding", &["run"], "");
    assert_eq!(end, End::Well);
    assert_eq!(lines_of(&resumed, CACHED).len(), 2, "{resumed:?}");
    assert_eq!(lines_of(&resumed, "done: ").len(), 2, "{resumed:?}");
    assert!(resumed.last().unwrap().starts_with(&format!("Done: employee {employee} ")), "{resumed:?}");

    let (again, _) = run(&folder, "onboarding", &[], "");
    assert_eq!(lines_of(&again, CACHED).len(), 4);
    assert_eq!(again.last(), resumed.last());
}

#[test]
fn an_onboarding_that_is_done_cannot_crash_until_it_is_reset() {
    let folder = tempfile::tempdir().unwrap();
    run(&folder, "onboarding", &["run"], "");
    let (lines, end) = run(&folder, "onboarding", &["crash"], "");
    assert_eq!(end, End::Well);
    assert_eq!(lines_of(&lines, "reset first").len(), 1, "{lines:?}");
    assert_eq!(run(&folder, "onboarding", &["reset"], "").1, End::Well);
    assert_eq!(run(&folder, "onboarding", &["crash"], "").1, End::Crashed);
}

#[test]
fn the_menu_of_the_onboarding_works_from_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(&folder, "onboarding", &[], "2\n").1, End::Crashed);
    let (lines, end) = run(&folder, "onboarding", &[], "7\n1\n3\n3\n4\n1\n");
    assert_eq!(end, End::Well);
    assert_eq!(lines_of(&lines, "There is no choice \"7\": type 1, 2, 3 or 4.").len(), 1);
    assert_eq!(lines_of(&lines, "Done: employee GRACE-").len(), 1, "4 ends it: {lines:?}");
    let forgotten = lines_of(&lines, "forget");
    assert_eq!(forgotten.len(), 1, "the second time there is nothing to forget: {forgotten:?}");
}

#[test]
fn the_bare_onboarding_runs_once_where_nobody_chooses() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, end) = run(&folder, "onboarding", &[], "");
    assert_eq!(end, End::Well);
    assert_eq!(lines_of(&lines, "done: ").len(), 4, "{lines:?}");
    assert!(!lines.concat().contains('\x1b'), "a pipe is not drawn on");
}

#[test]
fn an_unknown_argument_of_the_onboarding_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, end) = run(&folder, "onboarding", &["dance"], "");
    assert_eq!((lines, end), (vec![], End::Refused));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}
