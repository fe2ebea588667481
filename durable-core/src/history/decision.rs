//! What is recorded of a construct that timing decides: which of its branches it was, read once from its row.
//! Knows no scopes.

use crate::outcome::{Json, Undecodable, decode_input};
use crate::store::StepRow;

/// The decision of a race, or of a stream for its next branch.
#[derive(Debug)]
pub(crate) struct Decision {
    branch: Result<u32, Undecodable>,
    /// The path of the stream's position.
    of: Option<Box<[u32]>>,
}

impl Decision {
    /// What `row` says, if it is of such a construct.
    pub(super) fn read(row: &StepRow<'_>) -> Option<Self> {
        row.kind.is_decision().then(|| Self {
            branch: decode_input(Json::<u32>::NEW, row.output).map(|(branch, _)| branch),
            of: row.args.and_then(|args| {
                let ((of,), _) = decode_input(Json::<(String,)>::NEW, args).ok()?;
                of.split('.').map(|number| number.parse().ok()).collect()
            }),
        })
    }

    /// The branch that was it, if its row can be read.
    pub(crate) fn branch(&self) -> Result<u32, Undecodable> {
        self.branch.clone()
    }

    /// Whether it was this branch.
    pub(super) fn is(&self, branch: u32) -> bool {
        matches!(self.branch, Ok(decided) if decided == branch)
    }

    /// The path of the stream's position whose next branch it was; none of a race.
    pub(crate) fn of(&self) -> Option<&[u32]> {
        self.of.as_deref()
    }
}
