//! The runs that fit a filter, page by page in the order of their ids. The parent has an index and the ids are the
//! primary key; all else is compared row by row, so each read goes through a bounded number of rows and says where
//! it came to, whether it found anything or not.

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::clock::Timestamp;
use crate::key::WorkflowId;
use crate::store::RunRecord;
use crate::store::filter::{Filter, Listed};
use crate::store::row::{read_run, run_columns, status_of_run};

/// So many rows one read goes through at most, if it has to look at each.
/// In this crate's own tests there are few runs.
const ROWS_MAX: u32 = if cfg!(test) { 2 } else { 10_000 };

/// So many bytes of inputs, values and errors a page has, but for its last row.
const BYTES_MAX: usize = 4 << 20;

/// Ids are given as bytes: a rotten one may be no text.
macro_rules! ids {
    () => {
        "id >= cast(?1 as text) and id < cast(?2 as text)"
    };
}

const NTH: &str = concat!("select id from workflows where ", ids!(), " order by id limit 1 offset ?3");

macro_rules! fitting {
    ($parent:literal) => {
        concat!(
            "select ",
            run_columns!(),
            " from workflows where ",
            ids!(),
            " and ",
            $parent,
            " and (?4 is null or instr(?4, '|' || status || '|')) and (?5 is null or name = ?5) \
             and (?6 is null or created >= ?6) and (?7 is null or created < ?7) \
             and (?8 is null or updated >= ?8) and (?9 is null or updated < ?9) \
             and (?10 = 0 or wake_at is not null) order by id limit ?11"
        )
    };
}

const FITTING: &str = fitting!("?3 is null");
const FITTING_OF_PARENT: &str = fitting!("parent = ?3");

pub(super) fn runs(
    connection: &Connection,
    filter: &Filter,
    after: Option<&[u8]>,
    limit: u32,
) -> Result<Listed, rusqlite::Error> {
    let prefix = filter.id_prefix.as_bytes();
    // The text that comes next after another one is that with a zero behind it; no text has the byte 255.
    let from = after.map_or_else(Vec::new, successor).max(prefix.to_vec());
    let end = [prefix, &[0xff]].concat();
    let looked_at = if filter.is_looked_up() { None } else { nth(connection, &from, &end)? };
    let to = looked_at.as_deref().map_or(end, successor);
    let mut listed = fitting(connection, filter, [&from, &to], limit)?;
    if limit == 0 {
        listed.next = Some(after.unwrap_or_default().to_vec());
    }
    listed.next = listed.next.or(looked_at);
    Ok(listed)
}

fn successor(id: &[u8]) -> Vec<u8> {
    [id, &[0]].concat()
}

/// The id of the last row that one read goes through, if there are so many.
fn nth(connection: &Connection, from: &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(NTH)?;
    statement.query_row(params![from, end, ROWS_MAX - 1], |row| Ok(id_of(row))).optional()
}

fn id_of(row: &Row<'_>) -> Vec<u8> {
    match row.get_ref(0) {
        Ok(ValueRef::Text(id) | ValueRef::Blob(id)) => id.to_vec(),
        _ => Vec::new(),
    }
}

/// The rows between two ids that fit; if the page is full, its last id.
fn fitting(
    connection: &Connection,
    filter: &Filter,
    [from, to]: [&[u8]; 2],
    limit: u32,
) -> Result<Listed, rusqlite::Error> {
    let parent = filter.parent.as_ref().map(WorkflowId::as_str);
    let words = filter.statuses.iter().map(|status| format!("{}|", status_of_run(*status)));
    let statuses = (!filter.statuses.is_empty()).then(|| format!("|{}", words.collect::<String>()));
    let millis = |at: Option<Timestamp>| at.map(Timestamp::as_millis);
    let Filter { created, updated, .. } = filter;
    let mut statement =
        connection.prepare_cached(if parent.is_some() { FITTING_OF_PARENT } else { FITTING })?;
    let mut rows = statement.query(params![
        from,
        to,
        parent,
        statuses,
        filter.name,
        millis(created.from),
        millis(created.before),
        millis(updated.from),
        millis(updated.before),
        filter.is_waiting,
        limit,
    ])?;
    let (mut runs, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let run = read_run(row);
        bytes += run.as_ref().map_or(0, size);
        runs.push(run);
        if runs.len() == limit as usize || bytes >= BYTES_MAX {
            return Ok(Listed { runs, next: Some(id_of(row)) });
        }
    }
    Ok(Listed { runs, next: None })
}

/// The bytes of what can be large in a row.
fn size(run: &RunRecord) -> usize {
    let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    run.input.len() + len(&run.output) + len(&run.error)
}
