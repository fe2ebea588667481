//! The only reader of time. A run asks its engine's [`Clock`] and nobody else, so a test can hold time in
//! its hand. Wall-clock time is stored; waiting is measured on a clock that never jumps.
//! Knows no run and no store.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime};

use crate::signal::wake;

/// A moment, in milliseconds since 1970-01-01T00:00:00Z. Times before that are negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// When something is due that waits without end: the last millisecond of the year 9999.
    pub(crate) const NEVER: Self = Self(253_402_300_799_999);

    /// The moment `millis` milliseconds after 1970.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `after` later, rounded up to a millisecond; the last one there is, if that is too far.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        let millis = after.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// How long it is from `earlier` to here; zero if that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        let distance = Duration::from_millis(at.0.unsigned_abs());
        let time = if at.0 < 0 {
            Self::UNIX_EPOCH.checked_sub(distance)
        } else {
            Self::UNIX_EPOCH.checked_add(distance)
        };
        time.unwrap_or(Self::UNIX_EPOCH)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self(
            at.duration_since(SystemTime::UNIX_EPOCH)
                .map_or_else(|before| -millis(before.duration()), millis),
        )
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Where an engine's time comes from. Give another one to a test with `Engine::builder().clock(…)`.
pub trait Clock: Send + Sync + 'static {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// Time on a clock that never goes back, from some fixed start.
    fn elapsed(&self) -> Duration;

    /// Blocks this thread for `time`.
    fn pause(&self, time: Duration);

    /// Wakes `waker` once `time` has passed, unless the alarm is dropped before; returns at once.
    fn wake_after(&self, time: Duration, waker: Waker) -> Alarm;
}

/// An alarm that was set with [`Clock::wake_after`]. Dropped, it does not ring any more.
///
/// # Examples
/// ```
/// use durable_core::Alarm;
/// let rung = Alarm::rung(); // a clock that wakes at once
/// let alarm = Alarm::new(|| println!("taken back"));
/// ```
#[must_use = "an alarm that is dropped does not ring"]
pub struct Alarm(Option<Box<dyn FnOnce() + Send>>);

impl Alarm {
    /// An alarm that `take_back` undoes.
    pub fn new(take_back: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(take_back)))
    }

    /// An alarm that has rung, or never will.
    pub fn rung() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Alarm").finish_non_exhaustive()
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(take_back) = self.0.take() {
            take_back();
        }
    }
}

/// The machine's clock. One thread, started when the first future waits, wakes all that wait.
///
/// # Examples
/// ```
/// use durable_core::{Clock, SystemClock};
/// let clock = SystemClock::default();
/// assert!(clock.elapsed() <= clock.elapsed());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn wake_after(&self, time: Duration, waker: Waker) -> Alarm {
        let Some(timer) = Timer::of_this_process() else {
            // The system gives no thread: the future looks at the clock again and again, which is slow, but
            // right.
            waker.wake();
            return Alarm::rung();
        };
        // A time that no `Instant` can hold never comes.
        Instant::now().checked_add(time).map_or_else(Alarm::rung, |at| timer.set(at, waker))
    }
}

/// The thread behind [`SystemClock::wake_after`].
#[derive(Default)]
struct Timer {
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

/// Whom to wake when; the number tells alarms of one moment apart.
#[derive(Default)]
struct Alarms {
    set: BTreeMap<(Instant, u64), Waker>,
    next: u64,
}

impl Timer {
    /// The timer, started where this process has none: a fork leaves its thread behind.
    fn of_this_process() -> Option<Arc<Self>> {
        static TIMER: Mutex<Option<(u32, Arc<Timer>)>> = Mutex::new(None);
        let mut timer = TIMER.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if timer.as_ref().is_none_or(|(started_by, _)| *started_by != process) {
            *timer = Some((process, Self::start()?));
        }
        timer.as_ref().map(|(_, timer)| Arc::clone(timer))
    }

    fn start() -> Option<Arc<Self>> {
        let timer = Arc::new(Self::default());
        let thread = Arc::clone(&timer);
        std::thread::Builder::new().name("durable-timer".into()).spawn(move || thread.run()).ok()?;
        Some(timer)
    }

    fn set(self: &Arc<Self>, at: Instant, waker: Waker) -> Alarm {
        let key = {
            let mut alarms = self.alarms();
            alarms.next += 1;
            let key = (at, alarms.next);
            alarms.set.insert(key, waker);
            key
        };
        self.changed.notify_one();
        let timer = Arc::clone(self);
        Alarm::new(move || {
            // A waker is the user's code when it is dropped, so it goes after the lock.
            let waker = timer.alarms().set.remove(&key);
            drop(waker);
        })
    }

    fn run(&self) {
        let mut alarms = self.alarms();
        loop {
            let now = Instant::now();
            let mut due = Vec::new();
            while let Some(next) = alarms.set.first_entry().filter(|next| next.key().0 <= now) {
                due.push(next.remove());
            }
            if !due.is_empty() {
                drop(alarms);
                due.into_iter().for_each(wake);
                alarms = self.alarms();
                continue;
            }
            let left = alarms.set.first_key_value().map(|((at, _), _)| *at - now);
            alarms = match left {
                None => self.changed.wait(alarms).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.changed.wait_timeout(alarms, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn alarms(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock for tests: whoever waits moves it forward, at once, and is not made to wait.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use durable_core::{Clock, TestClock};
/// let clock = TestClock::default();
/// clock.pause(Duration::from_secs(3600));
/// assert_eq!(clock.elapsed(), Duration::from_secs(3600));
/// assert_eq!(clock.waits(), [Duration::from_secs(3600)]);
/// ```
#[derive(Debug, Clone)]
pub struct TestClock {
    state: Arc<Mutex<TestTime>>,
}

#[derive(Debug)]
struct TestTime {
    start: Timestamp,
    elapsed: Duration,
    waits: Vec<Duration>,
}

impl Default for TestClock {
    /// Starts at 2020-01-01T00:00:00Z.
    fn default() -> Self {
        let start = Timestamp::from_millis(1_577_836_800_000);
        Self { state: Arc::new(Mutex::new(TestTime { start, elapsed: Duration::ZERO, waits: Vec::new() })) }
    }
}

impl TestClock {
    /// Moves the clock forward by `time`, without anyone having waited.
    pub fn advance(&self, time: Duration) {
        self.with(|state| state.elapsed += time);
    }

    /// All that was waited for so far, in order.
    pub fn waits(&self) -> Vec<Duration> {
        self.with(|state| state.waits.clone())
    }

    fn with<R>(&self, f: impl FnOnce(&mut TestTime) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.with(|state| state.start.plus(state.elapsed))
    }

    fn elapsed(&self) -> Duration {
        self.with(|state| state.elapsed)
    }

    fn pause(&self, time: Duration) {
        self.with(|state| {
            state.elapsed += time;
            state.waits.push(time);
        });
    }

    fn wake_after(&self, time: Duration, waker: Waker) -> Alarm {
        self.pause(time);
        waker.wake();
        Alarm::rung()
    }
}

/// A future that is ready once a clock has gone on for some time.
pub(crate) struct Pause {
    clock: Arc<dyn Clock>,
    until: Duration,
    armed: Option<(Waker, Alarm)>,
}

impl Pause {
    pub(crate) fn new(clock: Arc<dyn Clock>, time: Duration) -> Self {
        let until = clock.elapsed().saturating_add(time);
        Self { clock, until, armed: None }
    }
}

impl Future for Pause {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let left = self.until.saturating_sub(self.clock.elapsed());
        if left.is_zero() {
            return Poll::Ready(());
        }
        // One that has rung is set again.
        let is_set = |(waker, alarm): &(Waker, Alarm)| alarm.0.is_some() && waker.will_wake(cx.waker());
        if !self.armed.as_ref().is_some_and(is_set) {
            let alarm = self.clock.wake_after(left, cx.waker().clone());
            self.armed = Some((cx.waker().clone(), alarm));
        }
        Poll::Pending
    }
}

/// Real time since some moment, for waits that are too short for anyone's clock.
#[cfg(not(all(test, any(shuttle, loom))))]
pub(crate) struct Lapse(Instant);

#[cfg(not(all(test, any(shuttle, loom))))]
impl Lapse {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// In a schedule, which must be the same when it is played again, each look takes ten microseconds.
#[cfg(all(test, any(shuttle, loom)))]
pub(crate) struct Lapse(std::cell::Cell<u64>);

#[cfg(all(test, any(shuttle, loom)))]
impl Lapse {
    pub(crate) fn start() -> Self {
        Self(std::cell::Cell::new(0))
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.set(self.0.get() + 10);
        Duration::from_micros(self.0.get())
    }
}

/// The longest single wait for a wall-clock time: after it the wall clock is read again, as it may have been
/// set.
const WALL_CHECK_MAX: Duration = Duration::from_mins(1);

/// How long to pause next on the way to `until`; `None` once it has come.
pub(crate) fn next_pause(clock: &dyn Clock, until: Timestamp) -> Option<Duration> {
    let left = until.since(clock.now());
    (!left.is_zero()).then(|| left.min(WALL_CHECK_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_convert_both_ways() {
        for millis in [0, 1, -1, 1_577_836_800_000, -1_577_836_800_000] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(Timestamp::from(SystemTime::from(at)), at);
        }
    }

    #[test]
    fn times_round_up_to_a_millisecond_and_saturate() {
        let zero = Timestamp::from_millis(0);
        assert_eq!(zero.plus(Duration::from_micros(1)).as_millis(), 1);
        assert_eq!(zero.plus(Duration::MAX).as_millis(), i64::MAX);
        assert_eq!(zero.since(Timestamp::from_millis(5)), Duration::ZERO);
    }

    /// A clock that can only wake at once: the system gave it no thread.
    #[derive(Default)]
    struct Impatient(Mutex<u32>);

    impl Clock for Impatient {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }

        fn elapsed(&self) -> Duration {
            Duration::from_secs(u64::from(*self.0.lock().unwrap()))
        }

        fn pause(&self, _: Duration) {}

        fn wake_after(&self, _: Duration, waker: Waker) -> Alarm {
            *self.0.lock().unwrap() += 1;
            waker.wake();
            Alarm::rung()
        }
    }

    #[test]
    fn an_alarm_that_has_rung_too_early_is_set_again() {
        let clock = Arc::new(Impatient::default());
        let pause = Pause::new(Arc::clone(&clock) as Arc<dyn Clock>, Duration::from_secs(5));
        crate::signal::block_on(pause);
        assert_eq!(*clock.0.lock().unwrap(), 5);
    }
}
