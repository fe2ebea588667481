//! Why a fork was refused: what was asked, and what to do.

use crate::key::WorkflowId;

/// Why a run was not forked. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForkRefused {
    /// There is a run with the new id, and it is not this fork before it ran.
    #[error(
        "workflow {workflow:?} cannot be forked to {taken:?}: there is such a run; name another id, or `Engine::reset` it"
    )]
    Taken {
        /// The run that was to be forked.
        workflow: WorkflowId,
        /// The id that was given for the fork.
        taken: WorkflowId,
    },
    /// The step that is to have another output is not one of those that are copied.
    #[error(
        "workflow {workflow:?} cannot be forked from {from:?} with another output of {step:?}: that step is not copied, for it is not before \
         the other one; fork from a later step"
    )]
    NotCopied {
        /// The run.
        workflow: WorkflowId,
        /// The step whose output was to be another one.
        step: String,
        /// The first step that is not copied.
        from: String,
    },
    /// The other output cannot be stored.
    #[error("workflow {workflow:?} cannot be forked with another output of {step:?}: {reason}")]
    Output {
        /// The run.
        workflow: WorkflowId,
        /// The step whose output was to be another one.
        step: String,
        /// `it is no JSON: …`, or how many bytes it has.
        reason: String,
    },
}
