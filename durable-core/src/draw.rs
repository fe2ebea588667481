//! Random values that replay: derived from the run's seed, the place and a counter, so none of them costs a
//! row. Where no run is known they come from the system's own randomness.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::fingerprint::hash;
use crate::key::Position;

/// A number that no one can foretell and that is not drawn twice: from the system's randomness where it has a
/// file of it, from the keys that it gives to `std`'s hash maps, and from what tells forked processes apart,
/// which would go on with the same keys.
pub(crate) fn fresh() -> u64 {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut bytes = Vec::with_capacity(48);
    bytes.extend_from_slice(&of_this_process().to_le_bytes());
    bytes.extend_from_slice(&RandomState::new().build_hasher().finish().to_le_bytes());
    bytes.extend_from_slice(&DRAWN.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    hash(&bytes)
}

/// Random bits that this process has to itself, read once: a process that was forked off reads its own.
fn of_this_process() -> u128 {
    static READ: Mutex<Option<(u32, u128)>> = Mutex::new(None);
    let process = std::process::id();
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, bits)) = read.filter(|(of, _)| *of == process) {
        return bits;
    }
    let mut system = [0; 16];
    // Without the file the process id and the keys of the hash maps have to do.
    _ = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut system));
    let bits = u128::from_le_bytes(system) ^ u128::from(process);
    *read = Some((process, bits));
    bits
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
