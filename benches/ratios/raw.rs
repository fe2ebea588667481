//! The limit: the same rows in the same table of the same file, written and read by SQLite alone.

use std::path::Path;

use durable::{Durability, Engine};
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::machine::{Cost, cost_of};
use crate::workloads::{FILE, OUTPUT};

const INSERT: &str = "insert into steps (workflow_id, position, step_key, kind, scope, status, output, args_fingerprint, args, \
     site, attempts, started, timestamp, epoch, build, checksum) \
     values ('run', ?1, ?2, 'step', null, 'COMPLETED', ?3, 1, null, 'benches/ratios/workloads.rs:1', 1, 1, 1, 1, 1, 1)";

/// A database with our schema and the log that the engine uses.
fn open(folder: &Path, durability: Durability) -> Connection {
    drop(Engine::builder().durability(durability).open(folder.join(FILE)).unwrap());
    let connection = Connection::open(folder.join(FILE)).unwrap();
    connection.pragma_update(None, "synchronous", durability.to_string()).unwrap();
    connection
}

fn insert(connection: &Connection, numbers: std::ops::Range<u32>) {
    let mut statement = connection.prepare_cached(INSERT).unwrap();
    for number in numbers {
        statement.execute(params![number.to_be_bytes(), format!("step_{number}"), OUTPUT]).unwrap();
    }
}

/// One insert in each commit, after `warm` of them that are not measured.
pub(crate) fn one_by_one(folder: &Path, warm: u32, steps: u32, durability: Durability) -> Cost {
    let connection = open(folder, durability);
    insert(&connection, 0..warm);
    cost_of(|| insert(&connection, warm..warm + steps))
}

/// Commits of `batch` inserts each.
pub(crate) fn batches(folder: &Path, steps: u32, batch: u32, durability: Durability) -> Cost {
    let connection = open(folder, durability);
    cost_of(|| {
        for start in (0..steps).step_by(batch as usize) {
            connection.execute_batch("begin immediate").unwrap();
            insert(&connection, start..(start + batch).min(steps));
            connection.execute_batch("commit").unwrap();
        }
    })
}

/// One scan of the rows, with their JSON decoded.
pub(crate) fn scan(folder: &Path) -> Cost {
    let connection = Connection::open(folder.join(FILE)).unwrap();
    cost_of(|| {
        let mut statement =
            connection.prepare("select * from steps where workflow_id = 'run' order by position").unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut decoded = 0_usize;
        while let Some(row) = rows.next().unwrap() {
            let output: String = row.get("output").unwrap();
            decoded += usize::from(serde_json::from_str::<Value>(&output).unwrap().is_string());
        }
        assert!(decoded > 0);
    })
}
