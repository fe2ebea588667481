//! Which program this is. A replay by the same build must call every step with the same arguments; another
//! build may have changed their types. Tells builds apart by the executable's size and time of change, which
//! a rebuild changes; a copy that gets a new time counts as another build, and then only warns.

use std::sync::OnceLock;
use std::time::SystemTime;

use crate::fingerprint::hash;

/// The number of this build; 0 where the system does not tell.
pub(crate) fn id() -> u64 {
    static ID: OnceLock<u64> = OnceLock::new();
    *ID.get_or_init(|| of_executable().unwrap_or(0))
}

fn of_executable() -> Option<u64> {
    let file = std::env::current_exe().ok()?.metadata().ok()?;
    let changed = file.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let mut bytes = Vec::with_capacity(24);
    bytes.extend_from_slice(&file.len().to_le_bytes());
    bytes.extend_from_slice(&changed.as_nanos().to_le_bytes());
    Some(hash(&bytes))
}
