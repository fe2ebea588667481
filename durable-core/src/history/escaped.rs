//! Which failures ended a run that failed: they are dropped when it is taken up again, together with what rests
//! on them. A failure that something came after was handled, and one of a branch that has lost, or whose stream
//! was dropped before it, never came out.
//! Knows no store.

use std::collections::{BTreeMap, BTreeSet};

use super::{History, Recorded};
use crate::key::Position;
use crate::store::{Kind, StepStatus};

impl History {
    /// The failed steps that nothing came after, in their scope or in an outer one: the failure that escaped
    /// from the workflow, the children that it passed through, and what it decided. What lies in a completed
    /// child stays, and so does a step that runs at most once, however it failed.
    pub(crate) fn escaped(&self) -> Vec<Position> {
        let mut yields: Yields<'_> = BTreeMap::new();
        for step in self.all() {
            if let Some((decision, of)) =
                step.decision().and_then(|decision| Some((decision, decision.of()?)))
            {
                let branch = decision.branch().unwrap_or(u32::MAX);
                yields.entry((of, branch)).or_default().push(step.path());
            }
        }
        let (ways, mut escaped) = (Ways { history: self, yields }, BTreeSet::new());
        for failed in
            self.all().filter(|step| step.status() == StepStatus::Failed && step.kind() != Kind::Once)
        {
            let mut way = vec![failed.path()];
            if ways.leads_out(failed.path(), &mut way) {
                escaped.extend(way);
            }
        }
        escaped.into_iter().filter_map(Position::new).collect()
    }
}

/// Where each branch of a stream came out, by the path of the stream's position and the branch.
type Yields<'h> = BTreeMap<(&'h [u32], u32), Vec<&'h [u32]>>;

/// The ways by which failures can have left the scopes that they came in.
struct Ways<'h> {
    history: &'h History,
    yields: Yields<'h>,
}

impl<'h> Ways<'h> {
    /// Whether what became of the operation at `path` can have left all scopes, as nothing came after it, or
    /// after what it ended, in any of them. What rests on it alone is added to `way`.
    fn leads_out(&self, path: &'h [u32], way: &mut Vec<&'h [u32]>) -> bool {
        if self.history.first_after(path).is_some() {
            return false;
        }
        let [around @ .., branch, _] = path else { return true };
        if self.yields.range((around, 0)..=(around, u32::MAX)).next().is_some() {
            let came_out = self.yields.get(&(around, *branch)).into_iter().flatten();
            // A way longer than the history goes in a circle, which only rows that were edited can make.
            return way.len() <= self.history.len()
                && came_out.copied().any(|path| self.leads_out_by(path, way));
        }
        match self.history.find(around).map(|step| (step, step.decision())) {
            Some((_, Some(decision))) => decision.is(*branch) && self.leads_out_by(around, way),
            Some((step, None)) if is_settled(step) => false,
            _ => self.leads_out(around, way),
        }
    }

    /// The same for a decision at `path`, which rests on the failure.
    fn leads_out_by(&self, path: &'h [u32], way: &mut Vec<&'h [u32]>) -> bool {
        let length = way.len();
        way.push(path);
        let leads_out = self.leads_out(path, way);
        if !leads_out {
            way.truncate(length);
        }
        leads_out
    }
}

/// Whether this is an inline child that has completed.
fn is_settled(step: Recorded<'_>) -> bool {
    step.kind() == Kind::Child && step.status() == StepStatus::Completed
}
