//! Random values that replay: derived from the run's seed, the place and a counter, so none of them costs a
//! row. Where no run is known they come from the system's own randomness.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::fingerprint::hash;
use crate::key::Position;

/// A number that no one can foretell, from the keys that the system gives to `std`'s hash maps.
pub(crate) fn fresh() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Number `counter` of the scope at `path`: the same one in each execution.
pub(crate) fn scoped(seed: u64, path: &[u32], counter: u64) -> u64 {
    derive(seed, "scope", path, counter)
}

/// What the wait after a failed attempt is drawn from.
pub(crate) fn jitter(seed: u64, position: &Position, attempt: u32) -> u64 {
    derive(seed, "retry", position.path(), u64::from(attempt))
}

fn derive(seed: u64, purpose: &str, path: &[u32], counter: u64) -> u64 {
    let mut bytes = Vec::with_capacity(purpose.len() + 16 + path.len() * 4);
    bytes.extend_from_slice(purpose.as_bytes());
    bytes.extend_from_slice(&seed.to_le_bytes());
    bytes.extend_from_slice(&counter.to_le_bytes());
    for number in path {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    hash(&bytes)
}
