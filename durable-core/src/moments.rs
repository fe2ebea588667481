//! What a workflow may ask instead of the clock, the dice and the outside: [`now`], [`random`], [`uuid`],
//! [`version`], [`idempotency_key`], [`cancelled`] and [`resource`].
//! None of them costs a row: they derive from what the run has recorded already. Inside a step, and
//! outside a run, they are plain.

use std::any::{TypeId, type_name};
use std::panic::panic_any;
use std::sync::Arc;
use std::time::SystemTime;

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::draw;
use crate::engine::Engine;
use crate::error::Error;
use crate::run::Ambient;

/// The time of the last operation that is recorded in this scope; at first, of the run's start. The same on
/// replay.
///
/// It stands still between operations. After a [`sleep`](crate::sleep) it is at least the time to wake.
///
/// # Examples
/// ```
/// let deadline = durable_core::now() + std::time::Duration::from_secs(3600);
/// assert!(durable_core::now() < deadline);
/// ```
pub fn now() -> SystemTime {
    match Ambient::current() {
        Ambient::Inside(scope) => scope.last().into(),
        ambient => ambient.clock().now().into(),
    }
}

/// The version of the source that started this run, as `#[workflow(version = 2)]` gave it: `None` if it gave none, and
/// outside a run. It stays what it was at the start, whatever code goes on with the run, and costs no row, so a run can
/// keep to the way that it began on; [`patched`](crate::patched) does so from one place on.
///
/// In a workflow that is called plainly inside another, it is that of the outer one, whose run it is part of.
///
/// # Examples
/// ```
/// # fn old() -> u32 { 1 }
/// # fn new() -> u32 { 2 }
/// // In a workflow that is at version 2:
/// let price = if durable_core::version() < Some(2) { old() } else { new() };
/// # assert_eq!(price, 1);
/// ```
pub fn version() -> Option<u32> {
    Ambient::current().run()?.version
}

/// Whether the run that this step belongs to is to end: it was cancelled or paused, lost its owner, or met a
/// fault. What the step returns is not recorded then, so a long one can as well stop. Never outside a step.
///
/// # Examples
/// ```
/// assert!(!durable_core::cancelled());
/// ```
pub fn cancelled() -> bool {
    match Ambient::current() {
        Ambient::InStep(step) => step.run.fault().is_some(),
        _ => false,
    }
}

/// A random value, the same one on replay; from the run's stored seed, so not for secrets.
///
/// # Examples
/// ```
/// let dice = durable_core::random::<u64>() % 6 + 1;
/// assert!((1..=6).contains(&dice));
/// ```
pub fn random<T: Random>() -> T {
    T::from_draws(&mut draw_one)
}

/// A type that [`random`] makes values of: every value of an integer type is as likely as any other, a float
/// lies in `0.0..1.0`.
pub trait Random: sealed::Sealed {
    #[doc(hidden)]
    fn from_draws(draw: &mut dyn FnMut() -> u64) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! random {
    ($($type:ty: $draw:ident => $value:expr;)+) => {$(
        impl sealed::Sealed for $type {}
        impl Random for $type {
            fn from_draws($draw: &mut dyn FnMut() -> u64) -> Self {
                $value
            }
        }
    )+};
}

random! {
    u64: draw => draw();
    u32: draw => (draw() >> 32) as Self;
    u16: draw => (draw() >> 48) as Self;
    u8: draw => (draw() >> 56) as Self;
    u128: draw => Self::from(draw()) << 64 | Self::from(draw());
    i64: draw => draw().cast_signed();
    i32: draw => u32::from_draws(draw).cast_signed();
    bool: draw => draw() >> 63 == 1;
    f64: draw => {
        // 53 bits, as many as the mantissa has: 32 high ones and 21 low ones.
        let (high, low) = (u32::from_draws(draw), u32::from_draws(draw) >> 11);
        f64::from(high).mul_add(f64::from(1_u32 << 21), f64::from(low)) / f64::from(1_u32 << 31) / f64::from(1_u32 << 22)
    };
}

/// A UUID of version 7, the same one on replay: its time is [`now`], its other bits are random as those of
/// [`random`].
///
/// # Examples
/// ```
/// let id = durable_core::uuid();
/// assert_eq!(id.get_version_num(), 7);
/// ```
pub fn uuid() -> Uuid {
    let millis = u64::try_from(Timestamp::from(now()).as_millis()).unwrap_or(0);
    let (high, low) = (draw_one().to_be_bytes(), draw_one().to_be_bytes());
    let mut bits = [0; 10];
    bits[..8].copy_from_slice(&high);
    bits[8..].copy_from_slice(&low[..2]);
    uuid::Builder::from_unix_timestamp_millis(millis, &bits).into_uuid()
}

fn draw_one() -> u64 {
    match Ambient::current() {
        Ambient::Inside(scope) => draw::scoped(scope.run.seed, scope.path(), scope.draw()),
        _ => draw::fresh(),
    }
}

/// A text that names this step of this run, for services that drop repeated requests: the same over attempts
/// and resumes, another one for every other step, and another one after `Engine::reset`.
///
/// A step that is called inside a step has a key of its own, by its number among the calls of the outer one:
/// call them in the same order in every attempt, on threads by way of [`join`](crate::join) and its like.
/// Between steps it names the run. Outside a run, and in a step that is called while a panic unwinds, it is a
/// new one at each call.
///
/// # Examples
/// ```
/// assert_ne!(durable_core::idempotency_key(), durable_core::idempotency_key());
/// ```
pub fn idempotency_key() -> String {
    match Ambient::current() {
        Ambient::InStep(step) => format!("{:016x}-{}", step.run.nonce, step.path),
        Ambient::Inside(scope) => format!("{:016x}", scope.run.nonce),
        Ambient::Outside | Ambient::Entering(_) => format!("{:016x}-{:016x}", draw::fresh(), draw::fresh()),
    }
}

/// What `Engine::builder().with(value)` gave to the engine of this run; outside a run, to the engine that was
/// entered or is global.
///
/// # Panics
/// Outside a run, if there is no such value. Inside a run that is a fault and ends the run with
/// [`Error::MissingResource`]; [`try_resource`] returns it instead.
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error};
/// struct Mailer { from: &'static str }
/// let engine = Engine::builder().with(Mailer { from: "hr@example.com" }).in_memory()?;
/// let _entered = engine.enter();
/// assert_eq!(durable_core::resource::<Mailer>().from, "hr@example.com");
/// # Ok::<(), Error>(())
/// ```
#[expect(clippy::panic, reason = "documented: outside a run there is nobody to return the error to")]
pub fn resource<T: Send + Sync + 'static>() -> Arc<T> {
    try_resource().unwrap_or_else(|error| match Ambient::current().run() {
        Some(run) => run.unwind(error),
        None => panic_any(error.to_string()),
    })
}

/// As [`resource`], with a missing value as an error.
pub fn try_resource<T: Send + Sync + 'static>() -> Result<Arc<T>, Error> {
    let find = |resources: &std::collections::HashMap<TypeId, Arc<dyn std::any::Any + Send + Sync>>| {
        resources.get(&TypeId::of::<T>()).cloned()?.downcast().ok()
    };
    let found = match Ambient::current().run() {
        Some(run) => find(&run.settings.resources),
        None => Engine::ambient().ok().and_then(|engine| find(&engine.settings.resources)),
    };
    found.ok_or(Error::MissingResource { type_name: type_name::<T>() })
}
