//! The engine behind `durable`: positions, replay, the step store and its commits.
//! Use the `durable` crate; this one has no promises of its own about names.

mod clock;
mod key;
pub mod store;

pub use clock::Timestamp;
pub use key::{InvalidId, Position, Site, StepKey, WORKFLOW_ID_BYTES_MAX, WorkflowId};
