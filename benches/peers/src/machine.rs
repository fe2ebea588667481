//! What a measurement cost: time on the wall, and processor time of its process. Shared by both programs, and
//! named as `benches/ratios` names it, whose raw loops are used here.

use std::fs;
use std::time::{Duration, Instant};

/// A tick of `/proc/self/stat`: 100 a second on Linux (`sysconf(_SC_CLK_TCK)`, in the manual page of `/proc/pid/stat`).
const TICK: Duration = Duration::from_millis(10);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// Zero where the system does not tell.
    pub(crate) cpu: Duration,
}

/// A measurement under way.
pub(crate) struct Meter {
    start: Instant,
    cpu: Duration,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { cpu: cpu(), start: Instant::now() }
    }

    pub(crate) fn stop(&self) -> Cost {
        Cost { wall: self.start.elapsed(), cpu: cpu().saturating_sub(self.cpu) }
    }
}

/// The cost of `work`.
pub(crate) fn cost_of(work: impl FnOnce()) -> Cost {
    let meter = Meter::start();
    work();
    meter.stop()
}

/// User and system time of this process, its ended threads included.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u32 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    TICK * ticks
}

/// Bytes of this process that are in memory.
pub(crate) fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
}
