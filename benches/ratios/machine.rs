//! What a workload cost: time on the wall, and processor time of the whole process.

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

pub(crate) fn cost_of(work: impl FnOnce()) -> Cost {
    let (cpu, start) = (cpu(), Instant::now());
    work();
    Cost { wall: start.elapsed(), cpu: self::cpu().saturating_sub(cpu) }
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
    memory("VmRSS:")
}

/// The most bytes of this process that were in memory at once.
pub(crate) fn resident_peak() -> u64 {
    memory("VmHWM:")
}

fn memory(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
}

pub(crate) fn describe(rounds: usize) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores, {} {}, SQLite {}, durable {}, medians of {} rounds in turns\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        rusqlite::version(),
        env!("CARGO_PKG_VERSION"),
        rounds,
    )
}
