//! The reads of the SQLite store, on a connection of their own, which never waits for a writer's sync.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::failure::{failed_read, unavailable};
use super::{listing, load, mail};
use crate::clock::Timestamp;
use crate::key::{Position, StepKey, WorkflowId};
use crate::owner::Owners;
use crate::store::row::{pass_step, step_columns, wanted_of};
use crate::store::{
    Candidate, CorruptRow, Epoch, EventRecord, Filter, Listed, MessageRecord, OwnerId, Ownership, RunRecord,
    StepReader, StepRow, StoreError, Wanted,
};

/// The part that reads. Each read is one statement, so it sees one state of the database.
#[derive(Debug)]
pub(super) struct SqliteReader {
    pub(super) connection: Connection,
    pub(super) owners: Owners,
    pub(super) owner: OwnerId,
}

const OWNERSHIP: &str = "select epoch, owner from workflows where id = ?1";

const POSITION: &str = "select position from steps where workflow_id = ?1 and step_key = ?2";

const STEPS: &str = concat!(
    "select ",
    step_columns!(),
    " from steps where workflow_id = ?1 and position > ?2 order by position"
);

const DUE: &str = "select id, name, wake_at from workflows where wake_at <= ?1 and (wake_at, id) > (?2, ?3) \
                   order by wake_at, id limit ?4";

const NEXT_DUE: &str = "select min(wake_at) from workflows where wake_at > ?1";

const EXPIRED: &str = "select id from workflows where status = 'RUNNING' and deadline <= ?1 \
                       and wanted is not 'CANCEL' order by deadline, id limit ?2";

const NEXT_DEADLINE: &str = "select min(deadline) from workflows where status = 'RUNNING' and deadline > ?1";

/// One owner after another, each found in the index: there may be many runs of each.
const NEXT_OWNER: &str = "select min(owner) from workflows where status = 'RUNNING' and owner > ?1";

const INTERRUPTED: &str = "select id, name, wake_at from workflows where status = 'RUNNING' and owner is ?1 \
                           and wake_at is null and id > ?2 order by id limit ?3";

const VERSION: &str = "pragma data_version";

const WANTED: &str = "select id, wanted from workflows where wanted is not null and owner = ?1";

impl SqliteReader {
    fn candidates(
        &self,
        sql: &str,
        params: &[&dyn ToSql],
    ) -> Result<Vec<(Timestamp, Candidate)>, StoreError> {
        let rows = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let row = |row: &rusqlite::Row<'_>| {
                let (id, name, wake_at): (String, String, Option<i64>) =
                    (row.get(0)?, row.get(1)?, row.get(2)?);
                let wake_at = Timestamp::from_millis(wake_at.unwrap_or_default());
                // An id that is none belongs to a row that cannot be read: whoever lists the runs is told.
                Ok(WorkflowId::new(id).ok().map(|id| (wake_at, Candidate { id, name })))
            };
            statement.query_map(params, row)?.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()
        };
        let rows: Result<_, rusqlite::Error> = rows();
        rows.map_err(|error| unavailable("look for runs to take up", &error))
    }

    /// The time that `sql` finds after `after`.
    fn first_time(&self, sql: &str, after: Timestamp, action: &str) -> Result<Option<Timestamp>, StoreError> {
        let first = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row([after.as_millis()], |row| row.get::<_, Option<i64>>(0))
        };
        Ok(first().map_err(|error| unavailable(action, &error))?.map(Timestamp::from_millis))
    }
}

impl StepReader for SqliteReader {
    fn run(&mut self, id: &WorkflowId) -> Result<Option<RunRecord>, StoreError> {
        load(&self.connection, id).map_err(|error| failed_read("a run", error))
    }

    fn ownership(&mut self, id: &WorkflowId) -> Result<Option<Ownership>, StoreError> {
        let read = |row: &rusqlite::Row<'_>| {
            let owner: Option<String> = row.get(1)?;
            Ok(Ownership { epoch: Epoch(row.get(0)?), owner: owner.map(|owner| OwnerId(owner.into())) })
        };
        let rows = || self.connection.prepare_cached(OWNERSHIP)?.query_row([id.as_str()], read).optional();
        rows().map_err(|error| unavailable("read who owns a run", &error))
    }

    fn runs(&mut self, filter: &Filter, after: Option<&[u8]>, limit: u32) -> Result<Listed, StoreError> {
        let listed = listing::runs(&self.connection, filter, after, limit);
        listed.map_err(|error| unavailable("read the runs", &error))
    }

    fn position(&mut self, id: &WorkflowId, key: &str) -> Result<Option<Position>, StoreError> {
        // What is no blob is no position either: a key leads nowhere there.
        let read = |row: &rusqlite::Row<'_>| Ok(row.get::<_, Vec<u8>>(0).ok());
        let row = || self.connection.prepare_cached(POSITION)?.query_row([id.as_str(), key], read).optional();
        let bytes = row().map_err(|error| unavailable("find a step", &error))?;
        Ok(bytes.flatten().and_then(|bytes| Position::from_bytes(&bytes)))
    }

    fn inspect(
        &mut self,
        id: &WorkflowId,
        after: Option<&Position>,
        visit: &mut dyn FnMut(Result<StepRow<'_>, CorruptRow>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let passed = pass(&self.connection, id, after, visit);
        passed.map_err(|error| unavailable("read the steps of a run", &error))
    }

    fn tell(&mut self, waits: &[(WorkflowId, WorkflowId)]) {
        // No id has a tab or a line break in it.
        let lines = waits.iter().map(|(waiter, target)| format!("{waiter}\t{target}\n"));
        // Where it cannot be told, a circle over processes is not found: nothing else rests on it.
        _ = self.owners.tell(&self.owner, &lines.collect::<String>());
    }

    fn told(&mut self) -> Vec<(WorkflowId, WorkflowId)> {
        self.owners.told(&self.owner).iter().flat_map(|text| waits_in(text)).collect()
    }

    fn due(
        &mut self,
        until: Timestamp,
        after: Option<&(Timestamp, WorkflowId)>,
        limit: u32,
    ) -> Result<Vec<(Timestamp, Candidate)>, StoreError> {
        let (at, id) = after.map_or((i64::MIN, ""), |(at, id)| (at.as_millis(), id.as_str()));
        self.candidates(DUE, params![until.as_millis(), at, id, limit])
    }

    fn next_due(&mut self, until: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.first_time(NEXT_DUE, until, "look for the next run that is due")
    }

    fn expired(&mut self, now: Timestamp, limit: u32) -> Result<Vec<WorkflowId>, StoreError> {
        let ids = || {
            let mut statement = self.connection.prepare_cached(EXPIRED)?;
            let ids = statement.query_map(params![now.as_millis(), limit], |row| row.get::<_, String>(0))?;
            ids.collect::<Result<Vec<_>, _>>()
        };
        let ids = ids().map_err(|error| unavailable("look for runs whose deadline has passed", &error))?;
        Ok(ids.into_iter().filter_map(|id| WorkflowId::new(id).ok()).collect())
    }

    fn next_deadline(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.first_time(NEXT_DEADLINE, now, "look for the next deadline")
    }

    fn owners(&mut self) -> Result<Vec<OwnerId>, StoreError> {
        let mut owners: Vec<OwnerId> = Vec::new();
        let next = |after: &str| {
            self.connection
                .prepare_cached(NEXT_OWNER)?
                .query_row([after], |row| row.get::<_, Option<String>>(0))
        };
        loop {
            let after = owners.last().map_or("", |owner| &owner.0);
            match next(after).map_err(|error| unavailable("look for the owners of runs", &error))? {
                Some(owner) => owners.push(OwnerId(owner.into())),
                None => return Ok(owners),
            }
        }
    }

    fn interrupted(
        &mut self,
        owner: Option<&OwnerId>,
        after: Option<&WorkflowId>,
        limit: u32,
    ) -> Result<Vec<Candidate>, StoreError> {
        let (owner, after) = (owner.map(|owner| &*owner.0), after.map_or("", WorkflowId::as_str));
        let runs = self.candidates(INTERRUPTED, params![owner, after, limit])?;
        Ok(runs.into_iter().map(|(_, candidate)| candidate).collect())
    }

    fn wanted(&mut self, owner: &OwnerId) -> Result<Vec<(WorkflowId, Wanted)>, StoreError> {
        let rows = || {
            let mut statement = self.connection.prepare_cached(WANTED)?;
            let rows = statement
                .query_map([&*owner.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
            rows.collect::<Result<Vec<_>, _>>()
        };
        let rows = rows().map_err(|error| unavailable("look for what is wanted of runs", &error))?;
        let wanted = |(id, word): (String, String)| WorkflowId::new(id).ok().zip(wanted_of(&word));
        Ok(rows.into_iter().filter_map(wanted).collect())
    }

    fn message(&mut self, id: &WorkflowId, topic: &str) -> Result<Option<MessageRecord>, StoreError> {
        mail::next_message(&self.connection, id, topic).map_err(|error| failed_read("a message", error))
    }

    fn messages(&mut self, id: &WorkflowId) -> Result<Vec<MessageRecord>, StoreError> {
        mail::messages(&self.connection, id).map_err(|error| failed_read("the messages of a run", error))
    }

    fn event(&mut self, id: &WorkflowId, name: &str) -> Result<Option<EventRecord>, StoreError> {
        mail::event(&self.connection, id, name).map_err(|error| failed_read("an event", error))
    }

    fn events(&mut self, id: &WorkflowId) -> Result<Vec<EventRecord>, StoreError> {
        mail::events(&self.connection, id).map_err(|error| failed_read("the events of a run", error))
    }

    fn version(&mut self) -> Result<u64, StoreError> {
        let version = || self.connection.prepare_cached(VERSION)?.query_row([], |row| row.get::<_, i64>(0));
        version()
            .map(i64::cast_unsigned)
            .map_err(|error| unavailable("ask whether anything was committed", &error))
    }

    fn death_of(&self, owner: &OwnerId) -> Option<Box<dyn FnOnce() + Send>> {
        let (owners, owner) = (self.owners.clone(), owner.clone());
        Some(Box::new(move || owners.await_death(&owner)))
    }

    fn lives(&mut self, owner: &OwnerId) -> Result<bool, StoreError> {
        self.owners.lives(owner).map_err(|error| StoreError::Unavailable {
            action: format!("ask whether the owner {owner} lives"),
            reason: error.to_string(),
        })
    }
}

/// The waits that an owner has told. A line without its end is half of one, as a full disk or a look at the wrong
/// moment leaves it, and would name another run.
fn waits_in(text: &str) -> impl Iterator<Item = (WorkflowId, WorkflowId)> {
    text.split_inclusive('\n').filter_map(|line| {
        let (waiter, target) = line.strip_suffix('\n')?.split_once('\t')?;
        WorkflowId::new(waiter).ok().zip(WorkflowId::new(target).ok())
    })
}

fn pass(
    connection: &Connection,
    id: &WorkflowId,
    after: Option<&Position>,
    visit: &mut dyn FnMut(Result<StepRow<'_>, CorruptRow>) -> ControlFlow<()>,
) -> Result<(), rusqlite::Error> {
    let mut statement = connection.prepare_cached(STEPS)?;
    let mut rows = match after {
        Some(position) => statement.query(params![id.as_str(), position.to_bytes()])?,
        // Before every value, so that what stands there and is no position is not passed over.
        None => statement.query(params![id.as_str(), f64::NEG_INFINITY])?,
    };
    let (mut bytes, mut last) = (Vec::new(), after.cloned());
    while let Some(row) = rows.next()? {
        let step = pass_step(id, row, &mut bytes).and_then(|step| in_order(id, step, last.as_ref()));
        if let Ok(step) = &step {
            last = Some(step.position.clone());
        }
        if visit(step).is_break() {
            break;
        }
    }
    Ok(())
}

/// Pages of the table that stand in each other's place pass the checksum of every row.
fn in_order<'r>(
    id: &WorkflowId,
    step: StepRow<'r>,
    last: Option<&Position>,
) -> Result<StepRow<'r>, CorruptRow> {
    if last.is_none_or(|last| *last < step.position) {
        return Ok(step);
    }
    let reason = "it comes after a later one: the table is damaged, restore a backup".to_owned();
    let key = format!("{id}, {}", StepKey::new(step.name, &step.position));
    Err(CorruptRow { table: "steps", key, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_tells_of_no_wait() {
        let told = |text| waits_in(text).map(|(one, other)| format!("{one} {other}")).collect::<Vec<_>>();
        assert_eq!(told("order 1\torder 2\norder 1\torder 23\n"), ["order 1 order 2", "order 1 order 23"]);
        assert_eq!(told("order 1\torder 2\norder 1\torder 2"), ["order 1 order 2"]);
        assert_eq!(told("order 1\t\n\torder 2\norder\n"), [""; 0]);
    }
}
