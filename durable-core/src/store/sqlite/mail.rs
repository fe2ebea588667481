//! Messages and events in SQLite, and whom they wake.

use rusqlite::{Connection, OptionalExtension, ToSql, params};

use super::failure::OpError;
use super::steps::{insert_step, mark, recorded};
use super::{AT, DROP_ONE, POSITIONS, load, load_at, save};
use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};
use crate::store::row::{
    event_columns, event_params, message_columns, message_params, read_event, read_message, read_step,
    step_columns,
};
use crate::store::{
    Act, Answer, Awaits, DropMessage, Effect, EventRecord, Message, MessageRecord, Publish, Record,
    RunRecord, StepRecord, Token, transition,
};

/// The outcome goes first: whoever may not record it must have no effect either.
pub(super) fn act(connection: &Connection, op: &Act) -> Result<Answer, OpError> {
    let Record { id, step, .. } = &op.record;
    if !insert_step(connection, &op.record)? {
        return recorded(connection, &op.record);
    }
    let done = match &op.effect {
        Effect::Deliver(send) => self::send(connection, send)?,
        Effect::Publish(publish) => put_event(connection, publish)?,
        Effect::Receive(number) => receive(connection, *number, &op.record)?,
        Effect::Decide(winner) => {
            put_back(connection, id, |position| transition::has_lost(position, &step.position, *winner))?;
            Answer::Done
        }
    };
    if done == Answer::Done {
        return mark(connection, &op.record);
    }
    connection.prepare_cached(DROP_ONE)?.execute(params![id.as_str(), step.position.to_bytes()])?;
    Ok(done)
}

const IS_SENT: &str = "select 1 from messages where workflow_id = ?1 and key = ?2";
const LAST_NUMBER: &str = "select coalesce(max(number), 0) from messages";

const SAVE_MESSAGE: &str = concat!(
    "insert or replace into messages (",
    message_columns!(),
    ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
);

pub(super) fn send(connection: &Connection, op: &Message) -> Result<Answer, OpError> {
    if connection.prepare_cached(IS_SENT)?.exists(params![op.to.as_str(), op.key])? {
        return Ok(Answer::Done);
    }
    let to = load(connection, &op.to)?;
    if let Some(refusal) = transition::refuses_mail(to.as_ref()) {
        return Ok(refusal);
    }
    let last: i64 = connection.prepare_cached(LAST_NUMBER)?.query_row([], |row| row.get(0))?;
    save_message(connection, &transition::message(op, last + 1))?;
    if let Some(run) = to {
        wake(connection, run, &Token::of_topic(&op.topic), op.at)?;
    }
    Ok(Answer::Done)
}

fn save_message(connection: &Connection, message: &MessageRecord) -> Result<(), OpError> {
    let mut statement = connection.prepare_cached(SAVE_MESSAGE)?;
    message_params(message, |params| statement.execute(params))?;
    Ok(())
}

const MESSAGE: &str = concat!("select ", message_columns!(), " from messages where number = ?1");

fn receive(connection: &Connection, number: i64, record: &Record) -> Result<Answer, OpError> {
    match message_at(connection, MESSAGE, params![number])? {
        Some(mut message) if message.workflow == record.id && message.received.is_none() => {
            message.received = Some(record.step.position.clone());
            save_message(connection, &message)?;
            Ok(Answer::Done)
        }
        _ => Ok(Answer::Lost),
    }
}

const DROP_MESSAGE: &str = "delete from messages where workflow_id = ?1 and key = ?2 and received is null";

/// Asks nothing of the row but its key, so that a damaged message can be dropped. Nobody executes the run, so nobody
/// has read the message and is about to receive another one that got its number.
pub(super) fn drop_message(connection: &Connection, op: &DropMessage) -> Result<Answer, OpError> {
    if !connection.prepare_cached(AT)?.exists(params![op.id.as_str(), op.expected.0])? {
        return Ok(Answer::Lost);
    }
    let dropped = connection.prepare_cached(DROP_MESSAGE)?.execute(params![op.id.as_str(), op.key])?;
    let is_received =
        dropped == 0 && connection.prepare_cached(IS_SENT)?.exists(params![op.id.as_str(), op.key])?;
    Ok(if is_received { Answer::Exists } else { Answer::Dropped(dropped as u64) })
}

fn message_at(
    connection: &Connection,
    sql: &str,
    params: &[&dyn ToSql],
) -> Result<Option<MessageRecord>, OpError> {
    let row = connection.prepare_cached(sql)?.query_row(params, |row| Ok(read_message(row))).optional()?;
    Ok(row.transpose()?)
}

pub(super) fn publish(connection: &Connection, op: &Publish) -> Result<Answer, OpError> {
    match load_at(connection, &op.id, op.epoch)?.filter(|run| run.owner.is_some()) {
        Some(_) => put_event(connection, op),
        None => Ok(Answer::Fenced),
    }
}

const SAVE_EVENT: &str =
    concat!("insert or replace into events (", event_columns!(), ") values (?1, ?2, ?3, ?4, ?5)");

fn put_event(connection: &Connection, op: &Publish) -> Result<Answer, OpError> {
    let mut statement = connection.prepare_cached(SAVE_EVENT)?;
    event_params(&transition::event(op), |params| statement.execute(params))?;
    wake_all(connection, &Token::of_run(&op.id), op.at)?;
    Ok(Answer::Done)
}

fn wake(connection: &Connection, mut run: RunRecord, token: &Token, at: Timestamp) -> Result<(), OpError> {
    if transition::wake(&mut run, token, at) {
        save(connection, &run)?;
    }
    Ok(())
}

const AWAITING: &str = "select id from workflows where awaits = ?1 order by id";

/// Has those taken up that wait for what has happened now.
pub(super) fn wake_all(connection: &Connection, token: &Token, at: Timestamp) -> Result<(), OpError> {
    let mut statement = connection.prepare_cached(AWAITING)?;
    let ids = statement.query_map([&token.0], |row| row.get::<_, String>(0))?;
    for id in ids.collect::<Result<Vec<_>, _>>()?.into_iter().filter_map(|id| WorkflowId::new(id).ok()) {
        // A row that cannot be read is nobody's business here: whoever takes it up is told.
        if let Ok(Some(run)) = load(connection, &id) {
            wake(connection, run, token, at)?;
        }
    }
    Ok(())
}

/// Tells those who wait for `run` if it has ended.
pub(super) fn tell_of_end(connection: &Connection, run: &RunRecord, at: Timestamp) -> Result<(), OpError> {
    if run.is_over() { wake_all(connection, &Token::of_run(&run.id), at) } else { Ok(()) }
}

/// Whether what the run `id` would wait for is there already.
pub(super) fn is_there(connection: &Connection, id: &WorkflowId, awaits: &Awaits) -> Result<bool, OpError> {
    match awaits {
        Awaits::Message { topic } => Ok(next_message(connection, id, topic)?.is_some()),
        // Who waits for itself is taken up, and told so.
        Awaits::End { of } => Ok(load(connection, of)?.as_ref().is_none_or(RunRecord::is_over)
            || RunRecord::circle(id, of, |id| load(connection, id))?.is_some()),
        Awaits::Event { of, name } => Ok(event(connection, of, name)?.is_some()
            || load(connection, of)?.as_ref().is_none_or(RunRecord::is_over)),
    }
}

const NEXT: &str = concat!(
    "select ",
    message_columns!(),
    " from messages where workflow_id = ?1 and topic = ?2 and received is null order by number limit 1"
);

pub(super) fn next_message(
    connection: &Connection,
    id: &WorkflowId,
    topic: &str,
) -> Result<Option<MessageRecord>, OpError> {
    message_at(connection, NEXT, params![id.as_str(), topic])
}

const MESSAGES: &str =
    concat!("select ", message_columns!(), " from messages where workflow_id = ?1 order by number");

pub(super) fn messages(connection: &Connection, id: &WorkflowId) -> Result<Vec<MessageRecord>, OpError> {
    let mut statement = connection.prepare_cached(MESSAGES)?;
    let rows = statement.query_map([id.as_str()], |row| Ok(read_message(row)))?;
    rows.map(|row| Ok(row??)).collect()
}

const EVENT: &str = concat!("select ", event_columns!(), " from events where workflow_id = ?1 and name = ?2");

pub(super) fn event(
    connection: &Connection,
    id: &WorkflowId,
    name: &str,
) -> Result<Option<EventRecord>, OpError> {
    let row = connection
        .prepare_cached(EVENT)?
        .query_row(params![id.as_str(), name], |row| Ok(read_event(row)))
        .optional()?;
    Ok(row.transpose()?)
}

const EVENTS: &str =
    concat!("select ", event_columns!(), " from events where workflow_id = ?1 order by name");

pub(super) fn events(connection: &Connection, id: &WorkflowId) -> Result<Vec<EventRecord>, OpError> {
    let mut statement = connection.prepare_cached(EVENTS)?;
    let rows = statement.query_map([id.as_str()], |row| Ok(read_event(row)))?;
    rows.map(|row| Ok(row??)).collect()
}

const RECEIVED: &str =
    concat!("select ", message_columns!(), " from messages where workflow_id = ?1 and received is not null");

/// Puts back what was received at the positions of the run `id` that `is_dropped` tells.
pub(super) fn put_back(
    connection: &Connection,
    id: &WorkflowId,
    is_dropped: impl Fn(&Position) -> bool,
) -> Result<(), OpError> {
    let mut statement = connection.prepare_cached(RECEIVED)?;
    let rows = statement.query_map([id.as_str()], |row| Ok(read_message(row)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    // A row that cannot be read stays as it is, for whoever edits it.
    for mut message in rows.into_iter().flatten() {
        if message.received.take_if(|position| is_dropped(position)).is_some() {
            save_message(connection, &message)?;
        }
    }
    Ok(())
}

const DECISIONS: &str =
    "select position from steps where workflow_id = ?1 and kind in ('race', 'try_join') order by position";

/// The races that these positions of the run `id` are the decisions of.
pub(super) fn decisions(
    connection: &Connection,
    id: &WorkflowId,
    is_dropped: impl Fn(&Position) -> bool,
) -> Result<Vec<Position>, OpError> {
    let decided = positions(connection, DECISIONS, id)?;
    Ok(decided.into_iter().filter(is_dropped).collect())
}

const RECEIVED_AT: &str =
    "select received from messages where workflow_id = ?1 and received is not null order by number";

const RECEIPTS: &str = concat!(
    "select ",
    step_columns!(),
    " from steps where workflow_id = ?1 and kind = 'receive' and output <> 'null' order by position"
);

const ONCE: &str = "select position from steps where workflow_id = ?1 and kind = 'once'";

/// The decisions of these races are gone: what a loser had received, and gave back when it lost, it takes again.
/// Where somebody else has it by now, the loser receives anew, unless that would run something again that runs at
/// most once. How many steps are dropped for that.
pub(super) fn receive_again(
    connection: &Connection,
    id: &WorkflowId,
    races: &[Position],
) -> Result<usize, OpError> {
    if races.is_empty() {
        return Ok(0);
    }
    let (received, all) = (positions(connection, RECEIVED_AT, id)?, positions(connection, POSITIONS, id)?);
    let once = positions(connection, ONCE, id)?;
    let mut dropped = Vec::new();
    for receipt in receipts(connection, id)? {
        let race = races.iter().find(|race| receipt.position.is_below(race));
        let Some(race) = race.filter(|_| !received.contains(&receipt.position)) else { continue };
        let waits = messages(connection, id)?.into_iter().filter(|message| message.received.is_none());
        if let Some(mut message) = { waits }.find(|message| transition::is_receipt(&receipt, message)) {
            message.received = Some(receipt.position.clone());
            save_message(connection, &message)?;
            continue;
        }
        let rests = |at: &&Position| transition::rests_on(at, &receipt.position, race);
        if !once.iter().any(|at| rests(&at)) {
            dropped.extend(all.iter().filter(rests).cloned());
        }
    }
    let (mut count, mut drop_one) = (0, connection.prepare_cached(DROP_ONE)?);
    for position in &dropped {
        count += drop_one.execute(params![id.as_str(), position.to_bytes()])?;
    }
    put_back(connection, id, |position| dropped.contains(position))?;
    Ok(count)
}

/// The receipts of a run that can be read; whoever replays it is told of the others.
fn receipts(connection: &Connection, id: &WorkflowId) -> Result<Vec<StepRecord>, OpError> {
    let mut statement = connection.prepare_cached(RECEIPTS)?;
    let rows = statement.query_map([id.as_str()], |row| Ok(read_step(id, row)))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().flatten().collect())
}

/// The positions that can be read of those that `sql` finds.
fn positions(connection: &Connection, sql: &str, id: &WorkflowId) -> Result<Vec<Position>, OpError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([id.as_str()], |row| Ok(row.get::<_, Vec<u8>>(0).ok()))?;
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(rows.into_iter().flatten().filter_map(|bytes| Position::from_bytes(&bytes)).collect())
}

const FORGET_MESSAGES: &str = "delete from messages where workflow_id = ?1";
const FORGET_EVENTS: &str = "delete from events where workflow_id = ?1";

pub(super) fn forget(connection: &Connection, id: &WorkflowId) -> Result<(), OpError> {
    connection.prepare_cached(FORGET_MESSAGES)?.execute([id.as_str()])?;
    connection.prepare_cached(FORGET_EVENTS)?.execute([id.as_str()])?;
    Ok(())
}
