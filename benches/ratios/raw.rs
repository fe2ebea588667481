//! The limit: the same rows in the same table of the same file, written and read by SQLite alone.

use std::path::Path;

use durable::{Durability, Engine};
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::machine::{Cost, cost_of};
use crate::workloads::{FILE, OUTPUT};

const INSERT: &str = "insert into steps (workflow_id, position, step_key, kind, scope, status, output, args_fingerprint, args, \
     site, attempts, started, timestamp, epoch, build, checksum) \
     values (?4, ?1, ?2, 'step', null, 'COMPLETED', ?3, 1, null, 'benches/ratios/workloads.rs:1', 1, 1, 1, 1, 1, 1)";

/// A database with our schema and the log that the engine uses.
fn open(folder: &Path, durability: Durability) -> Connection {
    drop(Engine::builder().durability(durability).open(folder.join(FILE)).unwrap());
    let connection = Connection::open(folder.join(FILE)).unwrap();
    connection.pragma_update(None, "synchronous", durability.to_string()).unwrap();
    connection
}

/// Step `number` of a run.
fn insert(connection: &Connection, run: &str, number: u32) {
    let mut statement = connection.prepare_cached(INSERT).unwrap();
    statement.execute(params![number.to_be_bytes(), format!("work_{number}"), OUTPUT, run]).unwrap();
}

/// One insert in each commit, after `warm` of them that are not measured.
pub(crate) fn one_by_one(folder: &Path, warm: u32, steps: u32, durability: Durability) -> Cost {
    let connection = open(folder, durability);
    (0..warm).for_each(|number| insert(&connection, "warm", number));
    cost_of(|| (0..steps).for_each(|number| insert(&connection, "run", number)))
}

fn commit(connection: &Connection, work: impl FnOnce()) {
    connection.execute_batch("begin immediate").unwrap();
    work();
    connection.execute_batch("commit").unwrap();
}

/// The steps of runs that all go on at the same pace: each commit has the next one of each run.
pub(crate) fn in_step(folder: &Path, runs: u32, steps: u32) -> Cost {
    let connection = open(folder, Durability::Extra);
    let runs: Vec<_> = (0..runs).map(|run| format!("run {run}")).collect();
    cost_of(|| {
        for number in 0..steps {
            commit(&connection, || runs.iter().for_each(|run| insert(&connection, run, number)));
        }
    })
}

/// The steps of one run in one commit.
pub(crate) fn at_once(folder: &Path, steps: u32) -> Cost {
    let connection = open(folder, Durability::Extra);
    cost_of(|| commit(&connection, || (0..steps).for_each(|number| insert(&connection, "run", number))))
}

const START: &str = "insert into workflows (id, name, status, input, created, updated, owner, epoch, recoveries, nonce, seed, \
     fingerprint, escaped, checksum) values (?1, 'steps_async', 'RUNNING', '[3]', 1, 1, 'owner', ?2, 0, 1, 1, 1, 0, 1)";

const FINISH: &str = "update workflows set status = 'COMPLETED', output = '3', owner = null where id = ?1";

/// Runs of three steps, `group` at a time: their starts, their steps and their ends are five commits.
pub(crate) fn short(folder: &Path, runs: u32, group: u32) -> Cost {
    let connection = open(folder, Durability::Extra);
    cost_of(|| {
        for first in (0..runs).step_by(group as usize) {
            let ids: Vec<_> = (first..(first + group).min(runs)).map(|run| format!("run {run}")).collect();
            commit(&connection, || {
                let mut start = connection.prepare_cached(START).unwrap();
                for id in &ids {
                    start.execute(params![id, 1]).unwrap();
                }
            });
            for number in 0..3 {
                commit(&connection, || ids.iter().for_each(|id| insert(&connection, id, number)));
            }
            commit(&connection, || {
                let mut finish = connection.prepare_cached(FINISH).unwrap();
                for id in &ids {
                    finish.execute([id]).unwrap();
                }
            });
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
