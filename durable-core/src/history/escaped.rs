//! Which failures ended a run that failed: they are dropped when it is taken up again, together with what rests
//! on them. A failure that something came after was handled, one of a branch that has lost never came out.
//! Knows no store.

use std::collections::BTreeSet;

use super::{History, Recorded};
use crate::key::Position;
use crate::store::{Kind, StepStatus};

impl History {
    /// The failed steps that nothing came after, in their scope or in an outer one: the failure that escaped
    /// from the workflow, the children that it passed through, and the races that it decided. What lies in a
    /// completed child stays.
    pub(crate) fn escaped(&self) -> Vec<Position> {
        let failed = self.all().filter(|step| step.status() == StepStatus::Failed).map(Recorded::path);
        let mut escaped = BTreeSet::new();
        for path in failed.filter(|path| self.is_last(path) && self.came_out(path)) {
            escaped.insert(path);
            escaped.extend(
                self.around(path).filter(|(step, _)| step.decision().is_some()).map(|(step, _)| step.path()),
            );
        }
        escaped.into_iter().filter_map(Position::new).collect()
    }

    /// Whether nothing is recorded after the position with this path in its scope and in all outer ones.
    fn is_last(&self, path: &[u32]) -> bool {
        (0..path.len()).step_by(2).all(|depth| {
            let end = self.count(|other| other.get(..depth).unwrap_or(other) <= &path[..depth]);
            let last = end.checked_sub(1).map(|last| self.path(last));
            last.is_none_or(|last| {
                last[..depth.min(last.len())] != path[..depth] || last[depth] <= path[depth]
            })
        })
    }

    /// Whether what became of the position with this path can have come out of the operations around it: of no
    /// inline child that has completed, and of no race that another branch decided.
    fn came_out(&self, path: &[u32]) -> bool {
        self.around(path).all(|(step, branch)| match step.decision() {
            Some(winner) => winner.parse() == Ok(branch),
            None => step.kind() != Kind::Child || step.status() != StepStatus::Completed,
        })
    }

    /// The recorded operations around the position with this path, and in which branch of them it lies.
    fn around<'h>(&'h self, path: &'h [u32]) -> impl Iterator<Item = (Recorded<'h>, u32)> {
        (1..path.len()).step_by(2).filter_map(|len| Some((self.find(&path[..len])?, path[len])))
    }
}
