//! The rows of `messages` and `events`.

use rusqlite::{Row, ToSql, params};

use super::{ROW_BYTES, check, columns, get, said, text_or_hex, with_checksum};
use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};
use crate::store::{CorruptRow, EventRecord, MessageRecord};

/// The columns of `messages`, in the order of [`message_params`] and [`read_message`].
macro_rules! message_columns {
    () => {
        "number, workflow_id, topic, key, value, timestamp, received, checksum"
    };
}

/// The columns of `events`, in the order of [`event_params`] and [`read_event`].
macro_rules! event_columns {
    () => {
        "workflow_id, name, value, timestamp, checksum"
    };
}

pub(in crate::store) use {event_columns, message_columns};

/// Calls `with` with the values of a row of `messages`.
pub(in crate::store) fn message_params<R>(
    message: &MessageRecord,
    with: impl FnOnce(&[&dyn ToSql]) -> R,
) -> R {
    let columns = params![
        message.number,
        message.workflow.as_str(),
        message.topic,
        message.key,
        message.value,
        message.timestamp.as_millis(),
        message.received.as_ref().map(Position::to_bytes),
    ];
    with_checksum(columns, &[], false, with)
}

/// Reads a row of `messages`.
pub(in crate::store) fn read_message(row: &Row<'_>) -> Result<MessageRecord, CorruptRow> {
    decode_message(row).map_err(|reason| {
        let number = row.get::<_, i64>(0).map_or_else(|_| text_or_hex(row, 0), |number| number.to_string());
        CorruptRow { table: "messages", key: format!("{}, {number}", text_or_hex(row, 1)), reason }
    })
}

fn decode_message(row: &Row<'_>) -> Result<MessageRecord, String> {
    let columns = columns::<8>(row)?;
    let [hashed @ .., checksum] = &columns;
    let edited = check(hashed, *checksum, &[], &mut Vec::with_capacity(ROW_BYTES))?;
    let received = columns[6].as_blob_or_null().map_err(said)?;
    let position = |bytes| Position::from_bytes(bytes).ok_or("the position that has received it is none");
    Ok(MessageRecord {
        number: get(row, 0)?,
        workflow: WorkflowId::new(get::<String>(row, 1)?).map_err(said)?,
        topic: get(row, 2)?,
        key: get(row, 3)?,
        value: get(row, 4)?,
        timestamp: Timestamp::from_millis(get(row, 5)?),
        received: received.map(position).transpose()?,
        edited,
    })
}

/// Calls `with` with the values of a row of `events`.
pub(in crate::store) fn event_params<R>(event: &EventRecord, with: impl FnOnce(&[&dyn ToSql]) -> R) -> R {
    let columns = params![event.workflow.as_str(), event.name, event.value, event.timestamp.as_millis()];
    with_checksum(columns, &[], false, with)
}

/// Reads a row of `events`.
pub(in crate::store) fn read_event(row: &Row<'_>) -> Result<EventRecord, CorruptRow> {
    decode_event(row).map_err(|reason| {
        let key = format!("{}, {}", text_or_hex(row, 0), text_or_hex(row, 1));
        CorruptRow { table: "events", key, reason }
    })
}

fn decode_event(row: &Row<'_>) -> Result<EventRecord, String> {
    let columns = columns::<5>(row)?;
    let [hashed @ .., checksum] = &columns;
    let edited = check(hashed, *checksum, &[], &mut Vec::with_capacity(ROW_BYTES))?;
    Ok(EventRecord {
        workflow: WorkflowId::new(get::<String>(row, 0)?).map_err(said)?,
        name: get(row, 1)?,
        value: get(row, 2)?,
        timestamp: Timestamp::from_millis(get(row, 3)?),
        edited,
    })
}
