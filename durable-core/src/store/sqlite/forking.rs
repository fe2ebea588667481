//! The copy of a run up to a position. Each row is read and written anew, since its checksum covers the id of its
//! run; what is damaged before the position refuses the fork, what is damaged after it does not matter.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};

use super::failure::OpError;
use super::steps::STEP;
use super::{load, load_at, next_epoch, save};
use crate::key::Position;
use crate::store::row::{read_step, step_columns, step_params};
use crate::store::{Answer, Fork, StepRecord, transition};

/// What may be copied. All that is no blob comes before, and is told as damaged.
const BEFORE: &str = concat!(
    "select ",
    step_columns!(),
    " from steps where workflow_id = ?1 and position < ?2 order by position"
);

const COPY: &str = concat!(
    "insert into steps (workflow_id, ",
    step_columns!(),
    ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)"
);

const COUNT: &str = "select count(*) from steps where workflow_id = ?1";

pub(super) fn fork(connection: &Connection, op: &Fork) -> Result<Answer, OpError> {
    let Some(run) = load_at(connection, &op.id, op.expected)? else { return Ok(Answer::Lost) };
    if let Some(found) = load(connection, &op.to)? {
        let is_same = transition::is_fork(&found, &run, op);
        let copied = if is_same { copied_before(connection, op)? } else { None };
        return Ok(copied.map_or(Answer::Exists, Answer::Forked));
    }
    save(connection, &transition::fork(&run, op, next_epoch(connection)?))?;
    let mut copy = connection.prepare_cached(COPY)?;
    let mut copied = 0;
    each_copied(connection, op, |step| {
        copied += step_params(&op.to, &step, |params| copy.execute(params))? as u64;
        Ok(true)
    })?;
    Ok(Answer::Forked(copied))
}

/// How many steps the fork has, if it has what this fork copies and nothing else.
fn copied_before(connection: &Connection, op: &Fork) -> Result<Option<u64>, OpError> {
    let mut stored = connection.prepare_cached(STEP)?;
    let mut same = 0;
    let all_same = each_copied(connection, op, |step| {
        let mut rows = stored.query(params![op.to.as_str(), step.position.to_bytes()])?;
        let found = rows.next()?.map(|row| read_step(&op.to, row)).transpose()?;
        same += 1;
        Ok(found.as_ref() == Some(&step))
    })?;
    let count: i64 = connection.prepare_cached(COUNT)?.query_row([op.to.as_str()], |row| row.get(0))?;
    Ok((all_same && count.cast_unsigned() == same).then_some(same))
}

/// Shows `each` the rows that the fork copies, as long as it says so; whether it always did.
fn each_copied(
    connection: &Connection,
    op: &Fork,
    mut each: impl FnMut(StepRecord) -> Result<bool, OpError>,
) -> Result<bool, OpError> {
    let mut statement = connection.prepare_cached(BEFORE)?;
    let mut rows = statement.query(params![op.id.as_str(), op.from.to_bytes()])?;
    while let Some(row) = rows.next()? {
        let position = match row.get_ref(0)? {
            ValueRef::Blob(bytes) => Position::from_bytes(bytes),
            _ => None,
        };
        // Not read, as it may be damaged: it is not copied.
        if position.is_some_and(|position| transition::is_rewound(&position, &op.from)) {
            continue;
        }
        let step = transition::forked(read_step(&op.id, row)?, op);
        if let Some(step) = step
            && !each(step)?
        {
            return Ok(false);
        }
    }
    Ok(true)
}
