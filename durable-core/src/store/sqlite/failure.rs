//! What SQLite's errors mean for a batch, and for the connection that it ran on.

use rusqlite::ErrorCode;

use crate::store::{CorruptRow, StoreError};

/// Why a batch was not applied, and whether its connection can be used again.
pub(super) struct Failure {
    pub(super) error: StoreError,
    pub(super) keeps_connection: bool,
}

/// Whether an error says only that another process was at work.
pub(super) fn is_harmless(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Whether an error is of one statement and its values, <https://sqlite.org/rescode.html>: not of the disk,
/// the memory, the file or another process.
pub(super) fn is_of_one_statement(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
    let code = error.sqlite_error_code();
    code.is_none_or(|code| matches!(code, ConstraintViolation | ParameterOutOfRange | TooBig | TypeMismatch))
}

/// What an error means after which nothing is committed.
pub(super) fn unavailable(action: &str, error: &rusqlite::Error) -> StoreError {
    let reason = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Fatal { reason },
        _ => StoreError::Unavailable { action: action.to_owned(), reason },
    }
}

pub(super) enum OpError {
    Sqlite(rusqlite::Error),
    Corrupt(CorruptRow),
}

impl From<rusqlite::Error> for OpError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<CorruptRow> for OpError {
    fn from(row: CorruptRow) -> Self {
        Self::Corrupt(row)
    }
}

pub(super) fn failed_read(what: &str, error: OpError) -> StoreError {
    match error {
        OpError::Corrupt(row) => row.into(),
        OpError::Sqlite(error) => unavailable(&format!("read {what}"), &error),
    }
}
