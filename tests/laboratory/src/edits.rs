//! Edits of rows that a fuzzer makes up: any column of any row takes any value that SQLite can hold, rows go, and
//! rows come twice. Knows the tables by asking the database, so a later schema is edited too.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::bytes::Bytes;

/// The most edits of one input.
const EDITS_MAX: usize = 16;

/// The most bytes of a text that repeats one byte.
const REPEATS_MAX: usize = 20_000;

/// A table, and the columns that tell its rows apart.
struct Table {
    name: String,
    columns: Vec<String>,
    keys: String,
}

/// Makes the edits in `input`; whether any of them touches a checksum, as one does that is meant to count.
pub(crate) fn apply(path: &Path, input: &[u8]) -> bool {
    let database = Connection::open(path).expect("a golden database");
    database.pragma_update(None, "ignore_check_constraints", true).expect("a pragma");
    let tables = tables(&database);
    let (mut bytes, mut meant) = (Bytes::of(input), false);
    for _ in 0..EDITS_MAX {
        if bytes.is_empty() {
            break;
        }
        let table = &tables[usize::from(bytes.byte()) % tables.len()];
        meant |= edit(&database, table, &mut bytes);
    }
    meant
}

fn tables(database: &Connection) -> Vec<Table> {
    let names = rows(database, "select name from sqlite_schema where type = 'table' order by name", []);
    let of_name = |name: String| {
        let columns = rows(database, "select name from pragma_table_info(?1)", [&name]);
        let keys = rows(database, "select name from pragma_table_info(?1) where pk > 0 order by pk", [&name]);
        let keys = if keys.is_empty() { "rowid".to_owned() } else { keys.join(", ") };
        Table { name, columns, keys }
    };
    names.into_iter().map(of_name).collect()
}

fn rows<P: rusqlite::Params>(database: &Connection, sql: &str, params: P) -> Vec<String> {
    let mut statement = database.prepare_cached(sql).expect("a query");
    let rows = statement.query_map(params, |row| row.get(0)).expect("rows");
    rows.map(|row| row.expect("a text")).collect()
}

/// One edit, which the database may refuse; whether it touches a checksum.
fn edit(database: &Connection, table: &Table, bytes: &mut Bytes<'_>) -> bool {
    let Table { name, columns, keys } = table;
    let (how, row) = (bytes.byte(), bytes.byte());
    let column = &columns[usize::from(bytes.byte()) % columns.len()];
    let (value, params) = value(table, column, bytes);
    let has_checksum = columns.iter().any(|column| column == "checksum");
    let meant = has_checksum && how & 0x80 != 0 && column != "checksum";
    let this = format!(
        "({keys}) = (select {keys} from {name} order by {keys} limit 1 offset {row} % (select count(*) from {name}))"
    );
    let sql = match how & 7 {
        6 => format!("delete from {name} where {this}"),
        7 => {
            let of = |other: &String| match other {
                other if other == column => value.clone(),
                other if meant && other == "checksum" => "null".to_owned(),
                other => other.clone(),
            };
            let values: Vec<_> = columns.iter().map(of).collect();
            format!("insert or replace into {name} select {} from {name} where {this}", values.join(", "))
        }
        _ => {
            let null = if meant { ", checksum = null" } else { "" };
            format!("update or replace {name} set {column} = {value}{null} where {this}")
        }
    };
    // A constraint that cannot be switched off refuses some.
    let takes = if how & 7 == 6 { Vec::new() } else { params };
    _ = database.execute(&sql, params_from_iter(takes));
    meant || column == "checksum"
}

/// SQL for a value, and what it takes.
fn value(table: &Table, column: &str, bytes: &mut Bytes<'_>) -> (String, Vec<Value>) {
    let kind = bytes.byte();
    let sql = match kind & 7 {
        0 => return ("null".into(), vec![]),
        1 => return ("?".into(), vec![Value::Integer(i64::from_le_bytes(bytes.word()))]),
        2 => return ("?".into(), vec![Value::Real(f64::from_le_bytes(bytes.word()))]),
        3 => "cast(? as text)".to_owned(),
        4 => "?".to_owned(),
        5 => {
            // The value as it is, but for some bytes in it.
            let (from, cut) = (bytes.byte(), bytes.byte() & 15);
            let kind = if kind & 8 == 0 { "text" } else { "blob" };
            format!(
                "cast(substr(cast({column} as blob), 1, {from}) || ? || substr(cast({column} as blob), {from} + 1 + {cut}) as {kind})"
            )
        }
        6 => {
            let (name, keys, row) = (&table.name, &table.keys, bytes.byte());
            let other = format!(
                "select {column} from {name} order by {keys} limit 1 offset {row} % (select count(*) from {name})"
            );
            return (format!("({other})"), vec![]);
        }
        _ => {
            let (with, count) = (bytes.byte(), bytes.number(2) % REPEATS_MAX);
            return ("cast(? as text)".into(), vec![Value::Blob(vec![with; count])]);
        }
    };
    let count = usize::from(bytes.byte());
    (sql, vec![Value::Blob(bytes.some(count).to_vec())])
}
