//! The rows of the two tables: their columns, and the checksum that tells a rotten or edited row.
//! SQLite does not see rot in values: of 4,000 single-bit flips 2,611 went unnoticed by `integrity_check` in
//! our study, so each row carries a hash of all its columns.

mod mail;

use std::fmt::Display;

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Row, ToSql, params};

use super::{
    CorruptRow, Epoch, Kind, OwnerId, RunRecord, RunStatus, StepRecord, StepRow, StepStatus, Token, Wanted,
};
use crate::clock::Timestamp;
use crate::fingerprint::hash;
use crate::key::{Position, WorkflowId};

/// The columns of `workflows`, in the order of [`run_params`] and [`read_run`].
macro_rules! run_columns {
    () => {
        "id, name, status, input, output, error, created, updated, owner, epoch, parent, recoveries, nonce, seed, \
         fingerprint, escaped, checksum, wake_at, wanted, awaits, begins, deadline, version"
    };
}

/// The columns of `steps` behind the workflow's id, in the order of [`step_params`] and [`read_step`].
macro_rules! step_columns {
    () => {
        "position, step_key, kind, scope, status, output, args_fingerprint, args, site, attempts, started, \
         timestamp, epoch, build, checksum"
    };
}

pub(super) use mail::{
    event_columns, event_params, message_columns, message_params, read_event, read_message,
};
pub(super) use {run_columns, step_columns};

/// So many columns [`run_columns`] has.
const RUN_COLUMNS: usize = 23;

/// So many columns [`step_columns`] has, the checksum last.
const STEP_COLUMNS: usize = 15;

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
    let awaits = run.awaits.as_ref().map(|token| &*token.0);
    let begins = run.begins.map(Timestamp::as_millis);
    let deadline = run.deadline.map(Timestamp::as_millis);
    with_checksum(columns, params![wake_at, wanted, awaits, begins, deadline, run.version], false, with)
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
    with_checksum(columns, &[], step.edited, with)
}

/// Calls `with` with `columns`, their checksum, and the columns that came `later` to the table: they are hashed
/// where they are not null, so that a row from before them keeps its checksum. A row that is `edited` has none.
fn with_checksum<R>(
    columns: &[&dyn ToSql],
    later: &[&dyn ToSql],
    edited: bool,
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
    let checksum = (!edited).then(|| hash(&bytes).cast_signed());
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
    match value {
        ValueRef::Null => bytes.extend_from_slice(&header(0, 0)),
        ValueRef::Integer(n) => put_number(bytes, 1, n.to_le_bytes()),
        ValueRef::Real(x) => put_number(bytes, 2, x.to_bits().to_le_bytes()),
        ValueRef::Text(text) => put_bytes(bytes, 3, text),
        ValueRef::Blob(blob) => put_bytes(bytes, 4, blob),
    }
}

/// One write for each number, as most columns are numbers and each row of a history has them hashed.
fn put_number(bytes: &mut Vec<u8>, tag: u8, number: [u8; 8]) {
    let mut all = [0; 17];
    all[..9].copy_from_slice(&header(tag, number.len()));
    all[9..].copy_from_slice(&number);
    bytes.extend_from_slice(&all);
}

fn put_bytes(bytes: &mut Vec<u8>, tag: u8, content: &[u8]) {
    bytes.extend_from_slice(&header(tag, content.len()));
    bytes.extend_from_slice(content);
}

fn header(tag: u8, len: usize) -> [u8; 9] {
    let mut header = [tag; 9];
    header[1..].copy_from_slice(&(len as u64).to_le_bytes());
    header
}

/// Adds the value of a column that came later, unless it is null.
fn put_later(bytes: &mut Vec<u8>, index: usize, value: ValueRef<'_>) {
    if value != ValueRef::Null {
        bytes.extend_from_slice(&(index as u64).to_le_bytes());
        put(bytes, value);
    }
}

/// The columns of a row.
fn columns<'r, const N: usize>(row: &'r Row<'_>) -> Result<[ValueRef<'r>; N], String> {
    let mut columns = [ValueRef::Null; N];
    for (i, column) in columns.iter_mut().enumerate() {
        *column = row.get_ref(i).map_err(|error| error.to_string())?;
    }
    Ok(columns)
}

/// Whether the row was edited by hand; an error if it is not what was written. `bytes` are hashed before the
/// columns, which are added to them.
fn check(
    hashed: &[ValueRef<'_>],
    recorded: ValueRef<'_>,
    later: &[ValueRef<'_>],
    bytes: &mut Vec<u8>,
) -> Result<bool, String> {
    let recorded = match recorded {
        ValueRef::Null => return Ok(true),
        ValueRef::Integer(checksum) => checksum,
        _ => return Err("its checksum is no number".to_owned()),
    };
    for value in hashed {
        put(bytes, *value);
    }
    for (i, value) in later.iter().enumerate() {
        put_later(bytes, i, *value);
    }
    if hash(bytes).cast_signed() == recorded {
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
    let columns = columns::<RUN_COLUMNS>(row)?;
    let [hashed @ .., checksum, wake_at, wanted, awaits, begins, deadline, version] = &columns;
    let later = [*wake_at, *wanted, *awaits, *begins, *deadline, *version];
    let edited = check(hashed, *checksum, &later, &mut Vec::with_capacity(ROW_BYTES))?;
    let id = |text: String| WorkflowId::new(text).map_err(|refused| refused.to_string());
    Ok(RunRecord {
        id: id(get(row, 0)?)?,
        name: get(row, 1)?,
        status: one_of(columns[2], &RUN_STATUSES)?,
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
        wanted: text_or_null(*wanted)?.map(|word| known(word, &WANTED)).transpose()?,
        awaits: get::<Option<String>>(row, 19)?.map(Token),
        begins: get::<Option<i64>>(row, 20)?.map(Timestamp::from_millis),
        deadline: get::<Option<i64>>(row, 21)?.map(Timestamp::from_millis),
        version: get(row, 22)?,
        edited,
    })
}

/// Reads a row of `steps`, of the run `id`.
pub(super) fn read_step(id: &WorkflowId, row: &Row<'_>) -> Result<StepRecord, CorruptRow> {
    pass_step(id, row, &mut Vec::with_capacity(ROW_BYTES)).map(StepRow::into_record)
}

/// Reads a row of `steps`, of the run `id`, without keeping it. `bytes` is room for what is hashed.
pub(super) fn pass_step<'r>(
    id: &WorkflowId,
    row: &'r Row<'_>,
    bytes: &mut Vec<u8>,
) -> Result<StepRow<'r>, CorruptRow> {
    decode_step(id, row, bytes).map_err(|reason| {
        let key = format!("{id}, {}", text_or_hex(row, 1));
        CorruptRow { table: "steps", key, reason }
    })
}

fn decode_step<'r>(id: &WorkflowId, row: &'r Row<'_>, bytes: &mut Vec<u8>) -> Result<StepRow<'r>, String> {
    let columns = columns::<STEP_COLUMNS>(row)?;
    let [hashed @ .., checksum] = &columns;
    bytes.clear();
    put(bytes, ValueRef::Text(id.as_str().as_bytes()));
    let edited = check(hashed, *checksum, &[], bytes)?;
    let position = columns[0].as_blob().map_err(said)?;
    let position = Position::from_bytes(position).ok_or("its position is none")?;
    let name = name_in(text(columns[1])?, &position).ok_or("its key does not end in its position")?;
    Ok(StepRow {
        position,
        name,
        kind: one_of(columns[2], &KINDS)?,
        scope: text_or_null(columns[3])?,
        status: one_of(columns[4], &STEP_STATUSES)?,
        output: text(columns[5])?,
        args_fingerprint: columns[6].as_i64_or_null().map_err(said)?.map(i64::cast_unsigned),
        args: text_or_null(columns[7])?,
        site: text(columns[8])?,
        attempts: integer(columns[9])?.try_into().map_err(said)?,
        started: Timestamp::from_millis(integer(columns[10])?),
        timestamp: Timestamp::from_millis(integer(columns[11])?),
        epoch: Epoch(integer(columns[12])?),
        build: integer(columns[13])?.cast_unsigned(),
        edited,
    })
}

/// The name in `key`, a key at `position`; `None` if it is none.
fn name_in<'k>(key: &'k str, position: &Position) -> Option<&'k str> {
    let mut numbers = position.path().iter().enumerate().rev();
    numbers.try_fold(key, |key, (i, number)| {
        without_number(key, *number)?.strip_suffix(if i == 0 { '_' } else { '.' })
    })
}

/// `text` without the decimal `number` that it ends in.
fn without_number(text: &str, number: u32) -> Option<&str> {
    let (mut text, mut left) = (text, number);
    loop {
        text = text.strip_suffix(char::from_digit(left % 10, 10)?)?;
        left /= 10;
        if left == 0 {
            return Some(text);
        }
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}

fn text(value: ValueRef<'_>) -> Result<&str, String> {
    value.as_str().map_err(said)
}

fn text_or_null(value: ValueRef<'_>) -> Result<Option<&str>, String> {
    value.as_str_or_null().map_err(said)
}

fn integer(value: ValueRef<'_>) -> Result<i64, String> {
    value.as_i64().map_err(said)
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

/// A step that has begun is read as a failed one: whether it is under way is no matter of its row.
const STEP_STATUSES: [(&str, StepStatus); 3] =
    [("COMPLETED", StepStatus::Completed), ("FAILED", StepStatus::Failed), ("FAILED", StepStatus::Begun)];

const KINDS: [(&str, Kind); 14] = [
    ("step", Kind::Step),
    ("once", Kind::Once),
    ("patch", Kind::Patch),
    ("child", Kind::Child),
    ("workflow", Kind::Workflow),
    ("sleep", Kind::Sleep),
    ("start", Kind::Start),
    ("send", Kind::Message),
    ("receive", Kind::Receive),
    ("set_event", Kind::SetEvent),
    ("get_event", Kind::GetEvent),
    ("race", Kind::Race),
    ("try_join", Kind::TryJoin),
    ("next", Kind::Next),
];

fn one_of<T: Copy>(value: ValueRef<'_>, words: &[(&str, T)]) -> Result<T, String> {
    known(text(value)?, words)
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

pub(super) fn status_of_run(status: RunStatus) -> &'static str {
    word_of(status, &RUN_STATUSES)
}

fn status_of_step(status: StepStatus) -> &'static str {
    word_of(status, &STEP_STATUSES)
}

fn kind(kind: Kind) -> &'static str {
    word_of(kind, &KINDS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::StepKey;

    fn position(path: &[u32]) -> Position {
        Position::new(path).unwrap()
    }

    #[test]
    fn the_name_in_a_key_is_what_stands_before_its_position() {
        for (name, path) in [("ship", &[0][..]), ("a_b", &[1, 0, 2]), ("", &[10, 200, 3_000]), ("n_1", &[7])]
        {
            let key = StepKey::new(name, &position(path));
            assert_eq!(name_in(key.as_str(), &position(path)), Some(name), "{key}");
        }
        for (key, path) in
            [("ship_0", &[1][..]), ("ship_10", &[0]), ("ship_1.0.2", &[0, 0, 2]), ("ship", &[0]), ("_", &[0])]
        {
            assert_eq!(name_in(key, &position(path)), None, "{key}");
        }
    }
}
