//! The names of things: workflows, positions, steps, and the places in the source that they come from.
//! A `WorkflowId` can only be made by its constructor, a `StepKey` only from a name and a `Position`, so
//! whatever reaches the store has been checked once, here.
//! Knows no store, no run and no JSON.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The longest workflow id, in bytes of UTF-8.
pub const WORKFLOW_ID_BYTES_MAX: usize = 255;

/// The caller's name for one execution of a workflow: `"order-123"`.
///
/// 1 to [`WORKFLOW_ID_BYTES_MAX`] bytes of UTF-8 without control characters and without the marks that
/// change the direction of text. It is compared byte for byte and never trimmed; quotes, SQL and emoji are
/// plain text.
///
/// # Examples
/// ```
/// # use durable_core::{WorkflowId, InvalidId};
/// let id = WorkflowId::new("order-123")?;
/// assert_eq!(id.as_str(), "order-123");
/// assert!(WorkflowId::new("").is_err());
/// # Ok::<(), InvalidId>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkflowId(Arc<str>);

/// Why a text cannot be a [`WorkflowId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// The text has no byte.
    #[error("a workflow id cannot be empty; give each run a name of its own, such as \"order-123\"")]
    Empty,
    /// The text is longer than [`WORKFLOW_ID_BYTES_MAX`] bytes.
    #[error("a workflow id has at most {WORKFLOW_ID_BYTES_MAX} bytes, this one has {bytes}: {start:?}…")]
    TooLong {
        /// The length that was given, in bytes.
        bytes: usize,
        /// The first characters of the text.
        start: String,
    },
    /// The text has a control character, or a mark that changes the direction of text.
    #[error(
        "a workflow id cannot hold the character {character:?} (at byte {at} of {id:?}): it would not show in logs"
    )]
    Character {
        /// The character that was refused.
        character: char,
        /// Where it stands, in bytes from the start.
        at: usize,
        /// The whole text.
        id: String,
    },
}

impl WorkflowId {
    /// Checks `id` and keeps it as it is.
    pub fn new(id: impl AsRef<str>) -> Result<Self, InvalidId> {
        let id = id.as_ref();
        if id.is_empty() {
            return Err(InvalidId::Empty);
        }
        if id.len() > WORKFLOW_ID_BYTES_MAX {
            return Err(InvalidId::TooLong { bytes: id.len(), start: id.chars().take(40).collect() });
        }
        match id.char_indices().find(|(_, c)| c.is_control() || turns_text(*c)) {
            Some((at, character)) => Err(InvalidId::Character { character, at, id: id.to_owned() }),
            None => Ok(Self(id.into())),
        }
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `c` changes the direction of the text around it (Unicode UAX #9, and the CVE-2021-42574 list).
fn turns_text(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl AsRef<str> for WorkflowId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WorkflowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Where an operation stands in its run: the path of sequence numbers that leads to it.
///
/// `3` is the fourth operation of the workflow; `1.0.2` is the third one in branch 0 of the parallel
/// construct (or the inline child) at position `1`. Numbers stand at even places of the path, branches at odd
/// ones, so the length is always odd. Positions order as the program meets them: `1 < 1.0.0 < 1.0.1 < 1.1.0 <
/// 2`.
#[derive(Clone)]
pub struct Position(Path);

/// The path of a position: the short ones, which most are, need no memory of their own.
#[derive(Clone)]
enum Path {
    /// In the root scope.
    Root([u32; 1]),
    /// In a branch of it.
    Branch([u32; 3]),
    /// In a scope below that.
    Deep(Box<[u32]>),
}

impl Position {
    /// The position with this path, or `None` if its length is not odd.
    pub fn new(path: impl AsRef<[u32]>) -> Option<Self> {
        let (number, scope) = path.as_ref().split_last()?;
        scope.len().is_multiple_of(2).then(|| Self::within(scope, *number))
    }

    /// The position with this number in the scope with this path, whose length is even.
    pub(crate) fn within(scope: &[u32], number: u32) -> Self {
        debug_assert!(scope.len().is_multiple_of(2), "{scope:?} is the path of a scope");
        Self(match *scope {
            [] => Path::Root([number]),
            [around, branch] => Path::Branch([around, branch, number]),
            _ => Path::Deep(scope.iter().copied().chain([number]).collect()),
        })
    }

    /// The path of numbers.
    pub fn path(&self) -> &[u32] {
        match &self.0 {
            Path::Root(path) => path,
            Path::Branch(path) => path,
            Path::Deep(path) => path,
        }
    }

    /// The path of the scope that this position was numbered in: empty for the root scope.
    pub fn scope(&self) -> &[u32] {
        let path = self.path();
        &path[..path.len() - 1]
    }

    /// The number of this position in its scope.
    pub fn number(&self) -> u32 {
        let path = self.path();
        path[path.len() - 1]
    }

    /// Whether this position lies in a scope below `other`.
    pub fn is_below(&self, other: &Position) -> bool {
        self.path().len() > other.path().len() && self.path().starts_with(other.path())
    }

    /// The bytes that the store keeps: each number as four bytes, most significant first, so that bytes
    /// order as positions do.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.path().iter().flat_map(|n| n.to_be_bytes()).collect()
    }

    /// The position that [`Position::to_bytes`] made these bytes from; `None` for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks::<4>();
        let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
        let path = match numbers {
            [a] => Path::Root([number(a)]),
            [a, b, c] => Path::Branch([a, b, c].map(number)),
            _ => Path::Deep(numbers.iter().map(number).collect()),
        };
        (rest.is_empty() && numbers.len() % 2 == 1).then_some(Self(path))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Dotted(self.path()).fmt(f)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Position").field(&self.path()).finish()
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Eq for Position {}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        self.path().cmp(other.path())
    }
}

impl Hash for Position {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path().hash(state);
    }
}

/// A path as text: its numbers with dots between.
struct Dotted<'p>(&'p [u32]);

impl fmt::Display for Dotted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, n) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            write!(f, "{n}")?;
        }
        Ok(())
    }
}

/// The name of one operation of one run, for people and queries: `<name>_<position>`, as `ship_1` or
/// `provision_laptop_1.0.0`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StepKey(Arc<str>);

impl StepKey {
    /// The key of the operation `name` at `position`.
    pub fn new(name: &str, position: &Position) -> Self {
        Self::at(name, position.path())
    }

    /// The key of the operation `name` at the position with this path.
    pub(crate) fn at(name: &str, path: &[u32]) -> Self {
        Self(format!("{name}_{}", Dotted(path)).into())
    }

    /// The same text, shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The key as the `step_key` column holds it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A place in the source: where a step is declared, or where a parallel construct is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// The file, as the compiler names it.
    pub file: &'static str,
    /// The line, from 1.
    pub line: u32,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(path: &[u32]) -> Position {
        Position::new(path).unwrap()
    }

    #[test]
    fn bytes_of_positions_order_as_positions_do() {
        let sorted =
            [&[0][..], &[1], &[1, 0, 0], &[1, 0, 1], &[1, 0, 1, 0, 7], &[1, 1, 0], &[2], &[256], &[70_000]];
        for (a, b) in sorted.iter().zip(&sorted[1..]) {
            let (a, b) = (position(a), position(b));
            assert!(a < b && a.to_bytes() < b.to_bytes(), "{a} < {b}");
            assert_eq!(Position::from_bytes(&a.to_bytes()), Some(a));
        }
    }

    #[test]
    fn bytes_that_are_no_position_are_refused() {
        for bytes in [&[][..], &[0], &[0; 5], &[0; 8]] {
            assert_eq!(Position::from_bytes(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_position_knows_its_scope() {
        let p = position(&[1, 0, 2]);
        assert_eq!((p.scope(), p.number(), p.to_string()), (&[1, 0][..], 2, "1.0.2".to_owned()));
        assert!(p.is_below(&position(&[1])) && !p.is_below(&p) && !p.is_below(&position(&[1, 0, 1])));
        assert_eq!(StepKey::new("ship", &p).as_str(), "ship_1.0.2");
    }

    #[test]
    fn ids_are_kept_as_they_are_or_refused() {
        for id in ["order-123", " a ", "'; drop table steps; --", "👩‍🚀", "\"", &"x".repeat(255)] {
            let kept = WorkflowId::new(id).unwrap();
            assert_eq!((kept.as_str(), kept.as_ref()), (id, id));
        }
        for id in ["", "a\0b", "a\nb", "a\u{202e}b", "\u{7f}", &"x".repeat(256), &"x".repeat(10_240)] {
            assert!(WorkflowId::new(id).is_err(), "{id:?}");
        }
    }
}
