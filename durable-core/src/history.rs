//! What a run has recorded before this execution, loaded once and asked by position.
//! The one rule: an entry is only handed out for its own position, so two branches can never swap results.
//! Knows no SQL and no types of the user.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::key::{Position, StepKey};
use crate::store::{Kind, StepRecord, StepStatus};

/// The recorded steps of a run, in the order of their positions.
#[derive(Debug, Default)]
pub(crate) struct History {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    step: StepRecord,
    reached: AtomicBool,
}

impl History {
    /// `steps` are in the order of their positions, as a store reads them.
    pub(crate) fn new(steps: Vec<StepRecord>) -> Self {
        debug_assert!(steps.is_sorted_by(|a, b| a.position < b.position), "a store reads steps in order");
        let entries = steps.into_iter().map(|step| Entry { step, reached: AtomicBool::new(false) }).collect();
        Self { entries }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What is recorded at `position`; it counts as reached from now on.
    pub(crate) fn reach(&self, position: &Position) -> Option<&StepRecord> {
        let entry = &self.entries[self.index_of(position)?];
        entry.reached.store(true, Ordering::Relaxed);
        Some(&entry.step)
    }

    /// The first step recorded in a scope below `position`.
    pub(crate) fn first_below(&self, position: &Position) -> Option<&StepRecord> {
        let after = self.entries.partition_point(|entry| entry.step.position <= *position);
        self.entries.get(after).map(|entry| &entry.step).filter(|step| step.position.is_below(position))
    }

    /// The first step recorded after the position with this path, in its scope or below that.
    pub(crate) fn first_after(&self, path: &[u32]) -> Option<&StepRecord> {
        let (number, scope) = path.split_last()?;
        let is_before = |other: &[u32]| match other.get(..scope.len()) {
            Some(outer) if outer == scope => other.get(scope.len()).is_none_or(|other| other <= number),
            _ => other < scope,
        };
        let after = self.entries.partition_point(|entry| is_before(entry.step.position.path()));
        let step = &self.entries.get(after)?.step;
        step.position.path().starts_with(scope).then_some(step)
    }

    /// The operation `name` that is recorded nearest to `position` in the same scope, if it is recorded there
    /// at all.
    pub(crate) fn nearest(&self, name: &str, kind: Kind, position: &Position) -> Option<StepKey> {
        let alike = |step: &&StepRecord| {
            step.name == name && step.kind == kind && step.position.scope() == position.scope()
        };
        let steps = self.entries.iter().map(|entry| &entry.step).filter(alike);
        steps.min_by_key(|step| step.position.number().abs_diff(position.number())).map(StepRecord::key)
    }

    /// The recorded steps that this execution has not come to. What lies in an inline child that was reached
    /// as a whole is not counted.
    pub(crate) fn unreached(&self) -> Vec<StepKey> {
        let mut skipped: Option<&Position> = None;
        let mut keys = Vec::new();
        for Entry { step, reached } in &self.entries {
            if skipped.is_some_and(|child| step.position.is_below(child)) {
                continue;
            }
            if !reached.load(Ordering::Relaxed) {
                keys.push(step.key());
            } else if step.kind == Kind::Child {
                skipped = Some(&step.position);
            }
        }
        keys
    }

    /// The failed steps that nothing came after, in their scope or in an outer one: the failure that escaped
    /// from the workflow, and the children that it passed through. What lies in a completed child stays.
    pub(crate) fn escaped(&self) -> Vec<Position> {
        let failed =
            self.entries.iter().map(|entry| &entry.step).filter(|step| step.status == StepStatus::Failed);
        failed
            .map(|step| &step.position)
            .filter(|at| self.is_last(at) && !self.is_settled(at))
            .cloned()
            .collect()
    }

    /// Forgets the steps at `positions`.
    pub(crate) fn remove(&mut self, positions: &[Position]) {
        self.entries.retain(|entry| positions.binary_search(&entry.step.position).is_err());
    }

    /// Whether nothing is recorded after `position` in its scope and in all outer ones.
    fn is_last(&self, position: &Position) -> bool {
        let path = position.path();
        (0..path.len()).step_by(2).all(|depth| {
            let end = self.entries.partition_point(|entry| {
                let other = entry.step.position.path();
                other.get(..depth).unwrap_or(other) <= &path[..depth]
            });
            let last = end.checked_sub(1).map(|last| self.entries[last].step.position.path());
            last.is_none_or(|last| {
                last[..depth.min(last.len())] != path[..depth] || last[depth] <= path[depth]
            })
        })
    }

    /// Whether an inline child around `position` has completed.
    fn is_settled(&self, position: &Position) -> bool {
        let path = position.path();
        let around = (1..path.len()).step_by(2).filter_map(|len| Position::new(&path[..len]));
        around
            .filter_map(|outer| self.index_of(&outer))
            .any(|i| self.entries[i].step.status == StepStatus::Completed)
    }

    fn index_of(&self, position: &Position) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.step.position.cmp(position)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::Epoch;

    /// A history of steps `path: status`, where a path of an inline child ends in `c`.
    fn history(steps: &[(&str, StepStatus)]) -> History {
        let step = |(path, status): &(&str, StepStatus)| StepRecord {
            position: position(path.trim_end_matches('c')),
            name: "work".into(),
            kind: if path.ends_with('c') { Kind::Child } else { Kind::Step },
            scope: None,
            status: *status,
            output: "null".into(),
            args_fingerprint: None,
            args: None,
            site: "a.rs:1".into(),
            attempts: 1,
            started: Timestamp::from_millis(0),
            timestamp: Timestamp::from_millis(0),
            epoch: Epoch(1),
            build: 0,
            edited: false,
        };
        History::new(steps.iter().map(step).collect())
    }

    fn position(text: &str) -> Position {
        let path: Vec<u32> = text.split('.').map(|n| n.parse().unwrap()).collect();
        Position::new(path).unwrap()
    }

    use StepStatus::{Completed as Ok, Failed as Bad};

    #[track_caller]
    fn check_escaped(steps: &[(&str, StepStatus)], expected: &[&str]) {
        let escaped: Vec<_> = history(steps).escaped().iter().map(ToString::to_string).collect();
        assert_eq!(escaped, expected);
    }

    #[test]
    fn the_failure_that_escaped_is_the_one_that_nothing_came_after() {
        check_escaped(&[("0", Ok), ("1", Bad)], &["1"]);
        check_escaped(&[("0", Bad), ("1", Ok)], &[]);
        check_escaped(&[("0", Bad), ("1", Bad)], &["1"]);
        check_escaped(&[], &[]);
    }

    #[test]
    fn branches_do_not_come_after_one_another() {
        check_escaped(&[("0.0.0", Bad), ("0.1.0", Ok), ("0.1.1", Ok)], &["0.0.0"]);
        check_escaped(&[("0.0.0", Bad), ("0.0.1", Ok), ("0.1.0", Bad)], &["0.1.0"]);
        check_escaped(&[("0.0.0", Bad), ("1", Ok)], &[]);
    }

    #[test]
    fn a_failed_child_is_dropped_with_what_failed_in_it() {
        check_escaped(&[("0c", Bad), ("0.0.0", Ok), ("0.0.1", Bad)], &["0", "0.0.1"]);
        check_escaped(&[("0c", Ok), ("0.0.0", Bad)], &[]);
        check_escaped(&[("0.0.0", Bad)], &["0.0.0"]);
    }

    #[test]
    fn what_lies_in_a_reached_child_is_not_left_over() {
        let history = history(&[("0c", Ok), ("0.0.0", Ok), ("1", Ok), ("2", Ok)]);
        history.reach(&position("0"));
        history.reach(&position("2"));
        assert_eq!(history.unreached().iter().map(StepKey::as_str).collect::<Vec<_>>(), ["work_1"]);
    }

    #[test]
    fn what_comes_after_a_position_stands_in_its_scope() {
        let history = history(&[("1", Ok), ("2.0.0", Ok), ("2.0.3", Ok), ("2.1.0", Ok), ("4.0.7", Ok)]);
        let after = |path: &[u32]| history.first_after(path).map(|step| step.position.to_string());
        assert_eq!(after(&[0]).as_deref(), Some("1"));
        assert_eq!(after(&[2]).as_deref(), Some("4.0.7"));
        assert_eq!(after(&[2, 0, 0]).as_deref(), Some("2.0.3"));
        assert_eq!(
            (after(&[2, 0, 3]), after(&[2, 1, 0]), after(&[4]), after(&[5])),
            (None, None, None, None)
        );
    }

    #[test]
    fn only_steps_below_a_position_are_below_it() {
        let history = history(&[("1", Ok), ("2.0.0", Ok), ("3", Ok)]);
        assert!(history.first_below(&position("1")).is_none());
        assert!(history.first_below(&position("2")).is_some());
        assert!(history.first_below(&position("3")).is_none());
    }
}
