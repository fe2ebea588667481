//! What runs tell each other and the outside: messages, each received once, and events, values that a run
//! publishes. And what a run that nobody executes waits for. Knows no store.

use std::fmt;

use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};

/// One row of `messages`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageRecord {
    /// Its place among all messages of the store: later ones have higher numbers.
    pub number: i64,
    /// The run that it was sent to.
    pub workflow: WorkflowId,
    /// What it is about.
    pub topic: String,
    /// What tells it from all others of its run: a key of the sender's, or a random one.
    pub key: String,
    /// The value, as JSON.
    pub value: String,
    /// When it was sent.
    pub timestamp: Timestamp,
    /// The operation of the run that has received it; `None` as long as it waits.
    pub received: Option<Position>,
    /// The row was edited by hand: its checksum was set to null.
    pub edited: bool,
}

/// One row of `events`: the value that a run published last under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRecord {
    /// The run that published it.
    pub workflow: WorkflowId,
    /// The event's name.
    pub name: String,
    /// The value, as JSON.
    pub value: String,
    /// When it was published.
    pub timestamp: Timestamp,
    /// The row was edited by hand: its checksum was set to null.
    pub edited: bool,
}

/// What a run waits for that nobody executes meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaits {
    /// A message of its own about this.
    Message {
        /// The topic.
        topic: String,
    },
    /// The end of this run.
    End {
        /// The run.
        of: WorkflowId,
    },
    /// An event of this run, or its end.
    Event {
        /// The run.
        of: WorkflowId,
        /// The event's name.
        name: String,
    },
}

impl Awaits {
    /// What stands in the `awaits` column.
    pub(super) fn token(&self) -> Token {
        match self {
            Self::Message { topic } => Token::of_topic(topic),
            Self::Event { of, .. } | Self::End { of } => Token::of_run(of),
        }
    }
}

/// The `awaits` column of `workflows`: what wakes the run, as `topic/approval` or `run/order-7`. All that happens
/// to another run has one token, so a run may be woken by something else of it, and waits again then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(pub(super) String);

impl Token {
    /// Of a message about `topic`, for the run that has it.
    pub(super) fn of_topic(topic: &str) -> Self {
        Self(format!("topic/{topic}"))
    }

    /// The run that something is to happen to.
    pub(super) fn run(&self) -> Option<WorkflowId> {
        WorkflowId::new(self.0.strip_prefix("run/")?).ok()
    }

    /// Of what happens to the run `id`.
    pub(super) fn of_run(id: &WorkflowId) -> Self {
        Self(format!("run/{id}"))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
