//! Rows that were edited by hand or have rotted (the table of bad input): each column of a row is set to each of
//! many values. With its checksum left alone the run is refused with a typed error, and the other runs of the
//! file go on; with the checksum set to null the edit is meant, and comes to a value or a typed error. Neither
//! panics.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use durable::store::StoreError;
use durable::{Engine, Error};
use durable_laboratory::{
    DATABASE, ENDED, Image, Recorder, STOPPED, Tally, Unit, Violation, World, go_on, golden_engine,
    golden_images, golden_value, materialise, message,
};
use rusqlite::Connection;

/// SQL for what a column may hold that it should not.
const VALUES: [&str; 14] = [
    "null",
    "''",
    "'x'",
    "'\"x\"'",
    "'null'",
    "'{'",
    "'a' || char(8238) || 'b'",
    "-1",
    "9223372036854775807",
    "1.5",
    "x''",
    "x'00000001'",
    "x'80ff'",
    "replace(hex(zeroblob(500)), '00', '[')",
];

/// Columns that say which row it is: another value makes it another row, so the old one is gone.
const NAMES: [&str; 3] = ["id", "workflow_id", "position"];

/// Whether an error says that a run cannot be gone on with as it is recorded.
fn is_typed(error: &Error) -> bool {
    let is_of_a_row = |error: &StoreError| !matches!(error, StoreError::Unknown { .. });
    match error {
        Error::Read(source) | Error::Store { source, .. } => is_of_a_row(source),
        Error::Divergence(_)
        | Error::Undecodable { .. }
        | Error::InputMismatch(_)
        | Error::UnknownRun { .. }
        | Error::UnknownStep { .. }
        | Error::InvalidId(_)
        | Error::Live { .. }
        // What a new run is told where the steps of an old one were left without their run.
        | Error::LostOwnership { .. } => true,
        _ => false,
    }
}

#[derive(Default)]
struct Counts {
    edits: u64,
    refused: u64,
    accepted: u64,
    wrong: Vec<String>,
}

/// Reads what there is of a run, and goes on with it.
fn use_run(engine: &Engine, id: &str) -> Result<String, Error> {
    engine.run(id)?;
    engine.steps(id)?;
    go_on(engine, id)
}

/// Makes one edit, if the table takes it, and opens the file.
fn judge(image: &Image, edit: &str, meant: bool, is_name: bool, counts: &mut Counts) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    materialise(image, folder.path());
    let _recorder = Recorder::watch(folder.path());
    let path = folder.path().join(DATABASE);
    if !apply(&path, edit) {
        return Ok(());
    }
    counts.edits += 1;
    let engine = golden_engine(World::default(), &path).map_err(|error| error.to_string())?;
    for run in engine.runs() {
        if let Err(error) = run {
            is_typed(&error).then_some(()).ok_or(format!("listing: {error}"))?;
        }
    }
    match use_run(&engine, STOPPED) {
        Ok(value) if meant || (is_name && value == golden_value(STOPPED)) => counts.accepted += 1,
        Ok(value) => return Err(format!("it came to {value}")),
        Err(error) if is_typed(&error) => counts.refused += 1,
        Err(error) => return Err(format!("not typed: {error:?}")),
    }
    let other = use_run(&engine, ENDED).map_err(|error| format!("the other run: {error}"))?;
    if other == golden_value(ENDED) { Ok(()) } else { Err(format!("the other run came to {other}")) }
}

/// Whether a row was changed.
fn apply(path: &Path, edit: &str) -> bool {
    Connection::open(path).unwrap().execute(edit, []).is_ok_and(|rows| rows > 0)
}

fn columns(image: &Image, table: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    materialise(image, folder.path());
    let database = Connection::open(folder.path().join(DATABASE)).unwrap();
    let mut names = database.prepare("select name from pragma_table_info(?1)").unwrap();
    names.query_map([table], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[test]
fn an_edited_row_is_refused_unless_the_edit_is_meant() {
    let (_, image) = golden_images(1).into_iter().find(|(name, _)| name == "closed").unwrap();
    let mut counts = Counts::default();
    for (table, name, keys) in [
        ("workflows", "id", vec![""]),
        ("steps", "workflow_id", vec!["golden_step_0", "golden_values_1", "golden_failure_2", "sleep_8"]),
    ] {
        for column in columns(&image, table) {
            for (value, key) in VALUES.iter().flat_map(|value| keys.iter().map(move |key| (value, key))) {
                let row = if key.is_empty() { String::new() } else { format!(" and step_key = '{key}'") };
                for meant in [false, true] {
                    // A sleep that is meant to last for ever does.
                    let for_ever = meant && key.starts_with("sleep") && column == "output";
                    if for_ever || (column == "checksum" && (meant || *value == "null")) {
                        continue;
                    }
                    let null = if meant { ", checksum = null" } else { "" };
                    let edit = format!(
                        "update {table} set {column} = {value}{null} where {name} = '{STOPPED}'{row} and {column} is not {value}"
                    );
                    let is_name = NAMES.contains(&&*column);
                    let judged =
                        catch_unwind(AssertUnwindSafe(|| judge(&image, &edit, meant, is_name, &mut counts)));
                    let judged = judged.unwrap_or_else(|panic| Err(format!("a panic: {}", message(&*panic))));
                    counts.wrong.extend(judged.err().map(|what| format!("{edit}: {what}")));
                }
            }
        }
    }
    let Counts { edits, refused, accepted, wrong } = counts;
    println!("edited rows: {edits} edits, {refused} refused, {accepted} accepted, {} wrong", wrong.len());
    assert!(edits > 500, "{edits} edits");
    let mut tally = Tally::of(Unit::Edits, "edited rows");
    (tally.points, tally.faults) = (edits, refused);
    for what in wrong {
        tally.add("an edited row", vec![Violation::Unlike(what)]);
    }
    tally.finish();
}
