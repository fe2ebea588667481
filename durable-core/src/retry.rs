//! How often a step is tried and how long it waits in between: exponential backoff with full jitter, as in
//! "Exponential Backoff And Jitter" (M. Brooker, AWS Architecture Blog, 2015).
//! Pure numbers: the jitter is drawn by the caller, the waiting is done by the caller.

use std::time::Duration;

/// The retries of a step. By default there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retry {
    /// How often the body may run again after it has failed once.
    pub(crate) retries: u32,
    /// The upper bound of the first wait; each later one is twice the one before.
    pub(crate) min_delay_ms: u64,
    /// The upper bound of every wait.
    pub(crate) max_delay_ms: u64,
}

impl Retry {
    pub(crate) const NEVER: Self = Self { retries: 0, min_delay_ms: 0, max_delay_ms: 0 };

    /// How long to wait after `failed` attempts (from 1): a uniform draw from zero to the bound of that
    /// attempt.
    pub(crate) fn delay(self, failed: u32, draw: u64) -> Duration {
        let doubled = 1_u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX);
        let bound_ms = self.min_delay_ms.saturating_mul(doubled).min(self.max_delay_ms);
        let wait_us = u128::from(bound_ms) * 1_000 * u128::from(draw) / u128::from(u64::MAX);
        Duration::from_micros(u64::try_from(wait_us).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Retry = Retry { retries: 9, min_delay_ms: 100, max_delay_ms: 1_500 };

    #[test]
    fn the_bound_doubles_up_to_the_longest_wait() {
        let bounds: Vec<_> = (1..=6).map(|failed| RETRY.delay(failed, u64::MAX).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1_500, 1_500]);
        assert_eq!(RETRY.delay(u32::MAX, u64::MAX).as_millis(), 1_500);
    }

    #[test]
    fn the_jitter_reaches_down_to_zero() {
        assert_eq!(RETRY.delay(3, 0), Duration::ZERO);
        assert_eq!(RETRY.delay(3, u64::MAX / 2).as_millis(), 199);
    }
}
