//! The rows of the two tables: their columns, and the checksum that tells a rotten or edited row.
//! SQLite does not see rot in values: of 4,000 single-bit flips 2,611 went unnoticed by `integrity_check` in
//! our study, so each row carries a hash of all its columns.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Row, ToSql, params};

use super::{CorruptRow, Epoch, Kind, OwnerId, RunRecord, RunStatus, StepRecord, StepStatus, Wanted};
use crate::clock::Timestamp;
use crate::fingerprint::hash;
use crate::key::{Position, StepKey, WorkflowId};

/// The columns of `workflows`, in the order of [`run_params`] and [`read_run`].
macro_rules! run_columns {
    () => {
        "id, name, status, input, output, error, created, updated, owner, epoch, parent, recoveries, nonce, seed, \
         fingerprint, escaped, checksum, wake_at, wanted"
    };
}

/// The columns of `steps`, in the order of [`step_params`] and [`read_step`].
macro_rules! step_columns {
    () => {
        "workflow_id, position, step_key, kind, scope, status, output, args_fingerprint, args, site, attempts, started, \
         timestamp, epoch, build, checksum"
    };
}

pub(super) use {run_columns, step_columns};

/// So many columns `workflows` has before its checksum.
const RUN_HASHED: usize = 16;

/// So many columns `workflows` has after its checksum.
const RUN_LATER: usize = 2;

/// So many columns `steps` has before its checksum.
const STEP_HASHED: usize = 15;

/// Calls `with` with the values of a row of `workflows`.
pub(super) fn run_params<R>(run: &RunRecord, with: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
    let owner = run.owner.as_ref().map(|owner| &*owner.0);
    let parent = run.parent.as_ref().map(WorkflowId::as_str);
    let (nonce, seed) = (run.nonce.cast_signed(), run.seed.cast_signed());
    let columns = params![
        run.id.as_str(),
        run.name,
        status_of_run(run.status),
        run.input,
        run.output,
        run.error,
        run.created.as_millis(),
        run.updated.as_millis(),
        owner,
        run.epoch.0,
        parent,
        run.recoveries,
        nonce,
        seed,
        run.fingerprint.cast_signed(),
        run.escaped,
    ];
    let wake_at = run.wake_at.map(Timestamp::as_millis);
    let wanted = run.wanted.map(|wanted| word_of(wanted, &WANTED));
    with_checksum(columns, params![wake_at, wanted], with)
}

/// Calls `with` with the values of a row of `steps`.
pub(super) fn step_params<R>(id: &WorkflowId, step: &StepRecord, with: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
    let key = step.key();
    let columns = params![
        id.as_str(),
        step.position.to_bytes(),
        key.as_str(),
        kind(step.kind),
        step.scope,
        status_of_step(step.status),
        step.output,
        step.args_fingerprint.map(u64::cast_signed),
        step.args,
        step.site,
        step.attempts,
        step.started.as_millis(),
        step.timestamp.as_millis(),
        step.epoch.0,
        step.build.cast_signed(),
    ];
    with_checksum(columns, &[], with)
}

/// Calls `with` with `columns`, their checksum, and the columns that came `later` to the table: they are hashed
/// where they are not null, so that a row from before them keeps its checksum.
fn with_checksum<R>(
    columns: &[&dyn ToSql],
    later: &[&dyn ToSql],
    with: impl FnOnce(&[&dyn ToSql]) -> R,
) -> R {
    let mut bytes = Vec::with_capacity(ROW_BYTES);
    for column in columns {
        if let Ok(value) = column.to_sql() {
            put(&mut bytes, value_of(&value));
        }
    }
    for (index, column) in later.iter().enumerate() {
        if let Ok(value) = column.to_sql() {
            put_later(&mut bytes, index, value_of(&value));
        }
    }
    let checksum = hash(&bytes).cast_signed();
    let mut all = columns.to_vec();
    all.push(&checksum);
    all.extend_from_slice(later);
    with(&all)
}

fn value_of<'v>(value: &'v rusqlite::types::ToSqlOutput<'_>) -> ValueRef<'v> {
    match value {
        rusqlite::types::ToSqlOutput::Borrowed(value) => *value,
        rusqlite::types::ToSqlOutput::Owned(value) => value.into(),
        _ => ValueRef::Null,
    }
}

/// The bytes of an ordinary row, as they are hashed.
const ROW_BYTES: usize = 512;

/// Adds a value to what is hashed: its type, its length, its bytes.
fn put(bytes: &mut Vec<u8>, value: ValueRef<'_>) {
    let (tag, content): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(n) => (1, &n.to_le_bytes()),
        ValueRef::Real(x) => (2, &x.to_bits().to_le_bytes()),
        ValueRef::Text(text) => (3, text),
        ValueRef::Blob(blob) => (4, blob),
    };
    bytes.push(tag);
    bytes.extend_from_slice(&(content.len() as u64).to_le_bytes());
    bytes.extend_from_slice(content);
}

/// Adds the value of a column that came later, unless it is null.
fn put_later(bytes: &mut Vec<u8>, index: usize, value: ValueRef<'_>) {
    if value != ValueRef::Null {
        bytes.extend_from_slice(&(index as u64).to_le_bytes());
        put(bytes, value);
    }
}

/// Whether the row was edited by hand; an error if it is not what was written. It has `hashed` columns, its
/// checksum, and `later` more.
fn check(row: &Row<'_>, hashed: usize, later: usize) -> Result<bool, String> {
    let column = |i| row.get_ref(i).map_err(|error| error.to_string());
    let recorded = match column(hashed)? {
        ValueRef::Null => return Ok(true),
        ValueRef::Integer(checksum) => checksum,
        _ => return Err("its checksum is no number".to_owned()),
    };
    let mut bytes = Vec::with_capacity(ROW_BYTES);
    for i in 0..hashed {
        put(&mut bytes, column(i)?);
    }
    for i in 0..later {
        put_later(&mut bytes, i, column(hashed + 1 + i)?);
    }
    if hash(&bytes).cast_signed() == recorded {
        return Ok(false);
    }
    Err("its checksum does not fit; if you edited the row, set its checksum to null".to_owned())
}

/// Reads a row of `workflows`.
pub(super) fn read_run(row: &Row<'_>) -> Result<RunRecord, CorruptRow> {
    let corrupt = |reason| CorruptRow { table: "workflows", key: text_or_hex(row, 0), reason };
    decode_run(row).map_err(corrupt)
}

fn decode_run(row: &Row<'_>) -> Result<RunRecord, String> {
    let edited = check(row, RUN_HASHED, RUN_LATER)?;
    let wanted: Option<String> = get(row, 18)?;
    let id = |text: String| WorkflowId::new(text).map_err(|refused| refused.to_string());
    Ok(RunRecord {
        id: id(get(row, 0)?)?,
        name: get(row, 1)?,
        status: one_of(row, 2, &RUN_STATUSES)?,
        input: get(row, 3)?,
        output: get(row, 4)?,
        error: get(row, 5)?,
        created: Timestamp::from_millis(get(row, 6)?),
        updated: Timestamp::from_millis(get(row, 7)?),
        owner: get::<Option<String>>(row, 8)?.map(|owner| OwnerId(owner.into())),
        epoch: Epoch(get(row, 9)?),
        parent: get::<Option<String>>(row, 10)?.map(id).transpose()?,
        recoveries: get(row, 11)?,
        nonce: get::<i64>(row, 12)?.cast_unsigned(),
        seed: get::<i64>(row, 13)?.cast_unsigned(),
        fingerprint: get::<i64>(row, 14)?.cast_unsigned(),
        escaped: get(row, 15)?,
        wake_at: get::<Option<i64>>(row, 17)?.map(Timestamp::from_millis),
        wanted: wanted.map(|word| known(&word, &WANTED)).transpose()?,
        edited,
    })
}

/// Reads a row of `steps`.
pub(super) fn read_step(row: &Row<'_>) -> Result<StepRecord, CorruptRow> {
    let corrupt = |reason| {
        let key = format!("{}, {}", text_or_hex(row, 0), text_or_hex(row, 2));
        CorruptRow { table: "steps", key, reason }
    };
    decode_step(row).map_err(corrupt)
}

fn decode_step(row: &Row<'_>) -> Result<StepRecord, String> {
    let edited = check(row, STEP_HASHED, 0)?;
    let position = Position::from_bytes(&get::<Vec<u8>>(row, 1)?).ok_or("its position is none")?;
    let key: String = get(row, 2)?;
    let name = key
        .strip_suffix(StepKey::new("", &position).as_str())
        .ok_or("its key does not end in its position")?;
    Ok(StepRecord {
        name: name.to_owned(),
        position,
        kind: one_of(row, 3, &KINDS)?,
        scope: get(row, 4)?,
        status: one_of(row, 5, &STEP_STATUSES)?,
        output: get(row, 6)?,
        args_fingerprint: get::<Option<i64>>(row, 7)?.map(i64::cast_unsigned),
        args: get(row, 8)?,
        site: get(row, 9)?,
        attempts: get(row, 10)?,
        started: Timestamp::from_millis(get(row, 11)?),
        timestamp: Timestamp::from_millis(get(row, 12)?),
        epoch: Epoch(get(row, 13)?),
        build: get::<i64>(row, 14)?.cast_unsigned(),
        edited,
    })
}

fn get<T: rusqlite::types::FromSql>(row: &Row<'_>, i: usize) -> Result<T, String> {
    row.get(i).map_err(|error| error.to_string())
}

/// The first column that a person can tell the row by.
fn text_or_hex(row: &Row<'_>, i: usize) -> String {
    match row.get_ref(i) {
        Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        Ok(value) => format!("({})", value.data_type()),
        Err(_) => format!("({})", Type::Null),
    }
}

const RUN_STATUSES: [(&str, RunStatus); 6] = [
    ("RUNNING", RunStatus::Running),
    ("COMPLETED", RunStatus::Completed),
    ("FAILED", RunStatus::Failed),
    ("HALTED", RunStatus::Halted),
    ("CANCELLED", RunStatus::Cancelled),
    ("PAUSED", RunStatus::Paused),
];

const WANTED: [(&str, Wanted); 2] = [("CANCEL", Wanted::Cancel), ("PAUSE", Wanted::Pause)];

const STEP_STATUSES: [(&str, StepStatus); 2] =
    [("COMPLETED", StepStatus::Completed), ("FAILED", StepStatus::Failed)];

const KINDS: [(&str, Kind); 5] = [
    ("step", Kind::Step),
    ("child", Kind::Child),
    ("workflow", Kind::Workflow),
    ("sleep", Kind::Sleep),
    ("start", Kind::Start),
];

fn one_of<T: Copy>(row: &Row<'_>, i: usize, words: &[(&str, T)]) -> Result<T, String> {
    let word = row.get_ref(i).map_err(|error| error.to_string())?;
    known(word.as_str().map_err(|error| error.to_string())?, words)
}

fn known<T: Copy>(word: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(known, _)| *known == word);
    found.map(|(_, value)| *value).ok_or_else(|| format!("it has the unknown word {word:?}"))
}

fn word_of<T: Copy + PartialEq>(value: T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

/// What this word asks for.
pub(super) fn wanted_of(word: &str) -> Option<Wanted> {
    known(word, &WANTED).ok()
}

fn status_of_run(status: RunStatus) -> &'static str {
    word_of(status, &RUN_STATUSES)
}

fn status_of_step(status: StepStatus) -> &'static str {
    word_of(status, &STEP_STATUSES)
}

fn kind(kind: Kind) -> &'static str {
    word_of(kind, &KINDS)
}
