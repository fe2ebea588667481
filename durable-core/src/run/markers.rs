//! The markers of patches that are not recorded yet. One rides with every record that rests on it until one of them
//! is durable: what stands after a marker is never recorded without it, and a marker alone costs no write.
//! Knows no store and no history.

use crate::key::Position;
use crate::store::StepRecord;
use crate::sync::{Mutex, MutexGuard, lock};

#[derive(Debug, Default)]
pub(crate) struct Markers(Mutex<Vec<StepRecord>>);

impl Markers {
    pub(crate) fn add(&self, marker: StepRecord) {
        self.all().push(marker);
    }

    /// Those that an outcome at `position` rests on.
    pub(super) fn before(&self, position: &Position) -> Vec<StepRecord> {
        let all = self.all();
        all.iter().filter(|marker| is_before(marker.position.path(), position.path())).cloned().collect()
    }

    /// These are recorded.
    pub(super) fn remove(&self, recorded: &[StepRecord]) {
        if !recorded.is_empty() {
            self.all().retain(|marker| recorded.iter().all(|other| other.position != marker.position));
        }
    }

    fn all(&self) -> MutexGuard<'_, Vec<StepRecord>> {
        lock(&self.0)
    }
}

/// Whether the program comes past the marker at this path before it comes to `path`: numbers stand at even places and
/// order, branches stand at odd ones and run at once.
fn is_before(marker: &[u32], path: &[u32]) -> bool {
    let apart = marker.iter().zip(path).position(|(a, b)| a != b);
    apart.is_some_and(|at| at.is_multiple_of(2) && marker[at] < path[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_comes_before_what_follows_in_its_scope_below_that_and_around_it() {
        for (marker, path) in [
            (&[1][..], &[2][..]),
            (&[1], &[2, 1, 0]),
            (&[1, 0, 3], &[1, 0, 4]),
            (&[1, 0, 3], &[1, 0, 7, 2, 0]),
            (&[1, 0, 3], &[2]),
            (&[1, 0, 3, 1, 0], &[1, 0, 4]),
        ] {
            assert!(is_before(marker, path), "{marker:?} before {path:?}");
            assert!(!is_before(path, marker), "{path:?} after {marker:?}");
        }
    }

    #[test]
    fn branches_do_not_come_before_one_another() {
        for (marker, path) in [(&[1, 0, 3][..], &[1, 1, 4][..]), (&[1, 1, 0], &[1, 0, 9]), (&[1, 0, 0], &[1])]
        {
            assert!(!is_before(marker, path), "{marker:?} and {path:?}");
        }
    }
}
