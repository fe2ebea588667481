//! Which run of this process waits for which, over all stores: a run that would wait for itself is found when
//! it begins to wait, so the table never holds a circle. Knows a store as a number, and no run but by its id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key::WorkflowId;

/// A run, in the store with this number.
pub(crate) type Node = (usize, WorkflowId);

static WAITS: Mutex<BTreeMap<Node, Vec<Node>>> = Mutex::new(BTreeMap::new());

/// That a run waits for another; dropped, it does no more.
pub(crate) struct Waiting {
    edge: Option<(Node, Node)>,
}

impl Waiting {
    /// Nobody's wait: a caller outside any run.
    pub(crate) const fn of_nobody() -> Self {
        Self { edge: None }
    }

    /// Who waits for whom; none for a caller outside any run.
    pub(crate) fn ends(&self) -> Option<(&WorkflowId, &WorkflowId)> {
        self.edge.as_ref().map(|(waiter, target)| (&waiter.1, &target.1))
    }

    /// Notes that `waiter` cannot go on before `target` ends; if `target` waits for `waiter` by then, how it
    /// does, from `waiter` back to it.
    pub(crate) fn begin(waiter: Node, target: Node) -> Result<Self, Vec<WorkflowId>> {
        let mut waits = waits();
        if let Some(chain) = chain(&waits, &target, &waiter) {
            return Err([waiter.1].into_iter().chain(chain).collect());
        }
        waits.entry(waiter.clone()).or_default().push(target.clone());
        Ok(Self { edge: Some((waiter, target)) })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some((waiter, target)) = self.edge.take() else { return };
        let mut waits = waits();
        let Some(targets) = waits.get_mut(&waiter) else { return };
        if let Some(i) = targets.iter().position(|other| *other == target) {
            targets.swap_remove(i);
        }
        if targets.is_empty() {
            waits.remove(&waiter);
        }
    }
}

/// Which runs of one store wait for which in this process.
pub(crate) fn within(store: usize) -> Vec<(WorkflowId, WorkflowId)> {
    let waits = waits();
    let of_store = waits.iter().filter(|((of, _), _)| *of == store);
    let edges =
        of_store.flat_map(|((_, waiter), targets)| targets.iter().map(move |target| (waiter, target)));
    edges.filter(|(_, (of, _))| *of == store).map(|(waiter, (_, id))| (waiter.clone(), id.clone())).collect()
}

/// How `from` waits for `to` by these waits, both included, if it does.
pub(crate) fn way(
    waits: &[(WorkflowId, WorkflowId)],
    from: &WorkflowId,
    to: &WorkflowId,
) -> Option<Vec<WorkflowId>> {
    let mut map: BTreeMap<Node, Vec<Node>> = BTreeMap::new();
    for (waiter, target) in waits {
        map.entry((0, waiter.clone())).or_default().push((0, target.clone()));
    }
    chain(&map, &(0, from.clone()), &(0, to.clone()))
}

/// How `from` waits for `to`, both included, if it does.
fn chain(waits: &BTreeMap<Node, Vec<Node>>, from: &Node, to: &Node) -> Option<Vec<WorkflowId>> {
    // Who was come to from whom; each run is looked at once.
    let (mut seen, mut next) = (BTreeSet::from([from]), vec![vec![from]]);
    while let Some(path) = next.pop() {
        let last = *path.last()?;
        if last == to {
            return Some(path.into_iter().map(|(_, id)| id.clone()).collect());
        }
        for target in waits.get(last).into_iter().flatten() {
            if seen.insert(target) {
                next.push(path.iter().copied().chain([target]).collect());
            }
        }
    }
    None
}

fn waits() -> MutexGuard<'static, BTreeMap<Node, Vec<Node>>> {
    WAITS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes of a store that no other test has: the table is the process's.
    fn node(store: &str, id: &str) -> Node {
        (store.as_ptr() as usize, WorkflowId::new(id).unwrap())
    }

    #[test]
    fn a_circle_is_found_by_whoever_closes_it_and_tells_the_way() {
        let (one, two) = ("store one", "store two");
        let wait =
            |from: (&str, &str), to: (&str, &str)| Waiting::begin(node(from.0, from.1), node(to.0, to.1));
        let Ok(_a) = wait((one, "a"), (two, "b")) else { panic!("no circle yet") };
        let Ok(b) = wait((two, "b"), (one, "c")) else { panic!("no circle yet") };
        let Ok(_other) = wait((one, "a"), (one, "d")) else { panic!("no circle yet") };
        let chain = wait((one, "c"), (one, "a")).err().unwrap();
        assert_eq!(chain.iter().map(WorkflowId::as_str).collect::<Vec<_>>(), ["c", "a", "b", "c"]);
        assert!(wait((one, "c"), (one, "c")).is_err(), "for itself");
        assert!(wait((one, "c"), (two, "a")).is_ok(), "a run of the same id in another store");
        drop(b);
        assert!(wait((one, "c"), (one, "a")).is_ok());
    }
}
