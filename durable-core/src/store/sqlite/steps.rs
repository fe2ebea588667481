//! The outcomes of operations in SQLite: one statement records one, and tells whether it may be recorded.

use rusqlite::{Connection, OptionalExtension, params};

use super::failure::OpError;
use super::load_at;
use crate::store::row::{read_step, step_columns, step_params};
use crate::store::{Answer, Record, RunRecord, transition};

macro_rules! record_where {
    ($more:literal) => {
        concat!(
            "insert into steps (workflow_id, ",
            step_columns!(),
            ") select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16 \
             where exists (select 1 from workflows where id = ?1 and epoch = ?14 and owner is not null",
            $more,
            ") on conflict do nothing"
        )
    };
}

/// One statement: it inserts nothing unless the run is owned by the epoch that the step carries, and nothing is
/// asked of it or the record is shielded from that.
const RECORD: &str = record_where!(" and wanted is null");
const RECORD_SHIELDED: &str = record_where!("");

/// What became of a step takes the place of the row that says that it had begun.
const REPLACE: &str = concat!(
    "insert or replace into steps (workflow_id, ",
    step_columns!(),
    ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
);

pub(super) const STEP: &str =
    concat!("select ", step_columns!(), " from steps where workflow_id = ?1 and position = ?2");

pub(super) fn record(connection: &Connection, op: &Record) -> Result<Answer, OpError> {
    if insert_step(connection, op)? { mark(connection, op) } else { recorded(connection, op) }
}

/// Whether the step was inserted now.
pub(super) fn insert_step(connection: &Connection, op: &Record) -> Result<bool, OpError> {
    let mut statement = connection.prepare_cached(if op.is_shielded { RECORD_SHIELDED } else { RECORD })?;
    Ok(step_params(&op.id, &op.step, |params| statement.execute(params))? == 1)
}

/// The answer to a record that has inserted nothing.
pub(super) fn recorded(connection: &Connection, op: &Record) -> Result<Answer, OpError> {
    let owned = load_at(connection, &op.id, op.step.epoch)?.filter(|run| run.owner.is_some());
    let Some(RunRecord { wanted, .. }) = owned else { return Ok(Answer::Fenced) };
    let wanted = wanted.filter(|_| !op.is_shielded);
    let mut statement = connection.prepare_cached(STEP)?;
    let at = params![op.id.as_str(), op.step.position.to_bytes()];
    let recorded = statement.query_row(at, |row| Ok(read_step(&op.id, row))).optional()?.transpose()?;
    match (recorded, wanted) {
        (Some(begun), _) if transition::completes(&begun, &op.step) => {
            let mut statement = connection.prepare_cached(REPLACE)?;
            step_params(&op.id, &op.step, |params| statement.execute(params))?;
            mark(connection, op)
        }
        (_, Some(wanted)) => Ok(Answer::Wanted(wanted)),
        (Some(recorded), None) => match transition::record_again(&recorded, &op.step) {
            Answer::Done => mark(connection, op),
            answer => Ok(answer),
        },
        (None, None) => Ok(Answer::Fenced),
    }
}

const MARK: &str = concat!(
    "insert into steps (workflow_id, ",
    step_columns!(),
    ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) on conflict do nothing"
);

/// Adds what a recorded outcome rests on.
pub(super) fn mark(connection: &Connection, op: &Record) -> Result<Answer, OpError> {
    if !op.markers.is_empty() {
        let mut statement = connection.prepare_cached(MARK)?;
        for marker in &op.markers {
            step_params(&op.id, marker, |params| statement.execute(params))?;
        }
    }
    Ok(Answer::Done)
}
