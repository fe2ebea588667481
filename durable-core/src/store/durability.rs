//! How durable a commit is, and what the choice can lose. Knows no store.

use std::fmt;

/// What a commit waits for before it counts, and so what can be lost. A process that is killed loses nothing
/// in any of them; they differ in what the machine's failure can take.
///
/// SQLite's `synchronous` of the same name, in a database with a write-ahead log
/// (<https://sqlite.org/pragma.html#pragma_synchronous>).
///
/// # Examples
/// ```
/// use durable_core::{Durability, Engine};
/// let folder = tempfile::tempdir()?;
/// let engine = Engine::builder().durability(Durability::Normal).open(folder.path().join("runs.db"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The log is synced at each commit, and the folder too where a journal is removed: a power cut loses
    /// nothing that was acknowledged, on a disk that does what it says. The default.
    #[default]
    Extra,
    /// The log is synced at each commit: as [`Durability::Extra`] while the database has a write-ahead log,
    /// which the engine makes sure of.
    Full,
    /// The log is synced at checkpoints alone: a power cut, or a crash of the system, can lose the last steps
    /// that were acknowledged, and they run again. The database stays whole.
    Normal,
    /// Nothing is synced: a power cut can lose steps and damage the database. For data that can be made
    /// again.
    Off,
}

impl Durability {
    /// The word for it in SQLite.
    #[cfg(feature = "sqlite")]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Extra => "extra",
            Self::Full => "full",
            Self::Normal => "normal",
            Self::Off => "off",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
