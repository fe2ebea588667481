//! Events: values that a run publishes under a name, for other runs and the outside to read or to wait for; the
//! last one counts. The one rule: an event is published in the transaction that records that it was, and what a
//! run has read of another one is recorded, so that a replay reads the same.
//! Knows no SQL and no executor.

mod reading;

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use self::reading::{Question, read};
use crate::args::ArgsSink;
use crate::call::{Call, Known};
use crate::engine::Engine;
use crate::error::Error;
use crate::key::{Site, WorkflowId};
use crate::lookout::{Caller, engine_of, tell};
use crate::mail::{Receiver, check_name, completed, encode};
use crate::pool::while_blocked;
use crate::probe::Value;
use crate::run::{Ambient, Mode, Run};
use crate::scope::Scope;
use crate::signal::block_on;
use crate::store::{Answer, Effect, EventRecord, Kind, Op, Publish};

/// What a run publishes, and the type of its values. A constant that all who use it share:
/// `const PROGRESS: Event<u8> = Event::new("progress");`
pub struct Event<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

impl<T> Event<T> {
    /// The event `name`, of 1 to 255 bytes.
    ///
    /// # Panics
    /// If `name` is empty or longer: in a constant that is a compile error.
    ///
    /// # Examples
    /// ```
    /// use durable_core::Event;
    /// const PROGRESS: Event<u8> = Event::new("progress");
    /// assert_eq!(PROGRESS.name(), "progress");
    /// ```
    pub const fn new(name: &'static str) -> Self {
        check_name(name);
        Self { name, value: PhantomData }
    }

    /// The name, as the `name` column of `events` has it.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Event<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Event<T> {}

impl<T> fmt::Debug for Event<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.name).finish()
    }
}

/// Publishes a value of this run, in place of the one that it published before under this name.
///
/// In the body of a workflow it takes a position, and what it records is in one transaction with the value. In a
/// step, as for progress, the value is published with each attempt. An event stays when its run ends, and when
/// `Engine::rewind` drops the record; `Engine::reset` forgets it.
///
/// It blocks the thread; [`future::set_event`](crate::future::set_event) does not. While a panic unwinds it does
/// nothing.
///
/// # Panics
/// Outside a run, which has no events. A value that cannot be stored is a fault and ends the run with
/// [`Error::UnstorableValue`].
///
/// # Examples
/// ```no_run
/// # use durable_core::Event;
/// const PROGRESS: Event<u8> = Event::new("progress");
/// // In the body of a workflow, or in a step:
/// durable_core::set_event(PROGRESS, 50);
/// ```
#[track_caller]
pub fn set_event<T: Value>(event: Event<T>, value: impl Borrow<T>) {
    let Some(publication) = Publication::new(event, value.borrow(), Location::caller()) else { return };
    let run = Arc::clone(&publication.run);
    while_blocked(|| block_on(publication.publish(Mode::Called))).unwrap_or_else(|fault| run.unwind(fault));
}

/// As [`set_event`](crate::set_event), without blocking the thread, under any executor.
///
/// # Panics
/// As [`set_event`](crate::set_event) does.
///
/// # Examples
/// ```no_run
/// # use durable_core::Event;
/// # async fn workflow() {
/// const PROGRESS: Event<u8> = Event::new("progress");
/// durable_core::future::set_event(PROGRESS, 50).await;
/// # }
/// ```
#[track_caller]
pub fn set_event_polled<T: Value>(event: Event<T>, value: impl Borrow<T>) -> impl Future<Output = ()> + Send {
    let publication = Publication::new(event, value.borrow(), Location::caller());
    async move {
        if let Some(publication) = publication {
            let run = Arc::clone(&publication.run);
            run.or_suspended(publication.publish(Mode::Polled)).await;
        }
    }
}

/// The value that the run `id` has published as `event`, and waits for one if there is none yet; `None` if none has
/// come within `timeout`, or once the run has ended without one. `Duration::MAX` waits for ever, and
/// `Duration::ZERO` only looks.
///
/// In the body of a workflow it takes a position, and what it returns is recorded. The time counts from the operation
/// that the run recorded last then, and a run in the background that waits longer than a second is unloaded from
/// memory. In a step and outside a run it only reads.
///
/// It blocks the thread; [`future::get_event`](crate::future::get_event) does not.
///
/// # Errors
/// [`Error::UnknownRun`] if there is no such run, recorded in a workflow. [`Error::UndecodableValue`] if the value is
/// not a `T`, and what the store says; in a workflow these end the run.
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, Event};
/// # use std::time::Duration;
/// const PROGRESS: Event<u8> = Event::new("progress");
/// # let engine = Engine::in_memory()?;
/// # let _entered = engine.enter();
/// let unknown = durable_core::get_event("order-123", PROGRESS, Duration::ZERO);
/// assert!(matches!(unknown, Err(Error::UnknownRun { .. })));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn get_event<T: Value>(
    id: impl AsRef<str>,
    event: Event<T>,
    timeout: Duration,
) -> Result<Option<T>, Error> {
    let question = Question::new(id.as_ref(), event, timeout, Location::caller())?;
    match Caller::here()? {
        Caller::Body(scope) => {
            let got = while_blocked(|| block_on(question.ask_in(&scope, Mode::Called)));
            got.unwrap_or_else(|fault| scope.run.unwind(fault))
        }
        Caller::Step(step) => {
            while_blocked(|| block_on(read(&engine_of(&step.run), &question, Mode::Called)))
        }
        Caller::Outside(engine) => while_blocked(|| block_on(read(&engine, &question, Mode::Called))),
    }
}

/// As [`get_event`](crate::get_event), without blocking the thread, under any executor.
///
/// # Errors
/// Those of [`get_event`](crate::get_event).
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, Event, doc::block_on};
/// # use std::time::Duration;
/// const PROGRESS: Event<u8> = Event::new("progress");
/// # let engine = Engine::in_memory()?;
/// # let _entered = engine.enter();
/// let unknown = block_on(durable_core::future::get_event("order-123", PROGRESS, Duration::ZERO));
/// assert!(matches!(unknown, Err(Error::UnknownRun { .. })));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn get_event_polled<T: Value>(
    id: impl AsRef<str>,
    event: Event<T>,
    timeout: Duration,
) -> impl Future<Output = Result<Option<T>, Error>> + Send {
    let question = Question::new(id.as_ref(), event, timeout, Location::caller());
    async move {
        let question = question?;
        match Caller::here()? {
            Caller::Body(scope) => scope.run.or_suspended(question.ask_in(&scope, Mode::Polled)).await,
            Caller::Step(step) => read(&engine_of(&step.run), &question, Mode::Polled).await,
            Caller::Outside(engine) => read(&engine, &question, Mode::Polled).await,
        }
    }
}

impl Engine {
    /// What [`get_event`] returns, of a run of this engine's store. In a workflow, [`get_event`] is the way, which is
    /// recorded.
    ///
    /// # Errors
    /// Those of [`get_event`].
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error, Event};
    /// # use std::time::Duration;
    /// const PROGRESS: Event<u8> = Event::new("progress");
    /// let unknown = Engine::in_memory()?.get_event("order-123", PROGRESS, Duration::ZERO);
    /// assert!(matches!(unknown, Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn get_event<T: Value>(
        &self,
        id: impl AsRef<str>,
        event: Event<T>,
        timeout: Duration,
    ) -> Result<Option<T>, Error> {
        let question = Question::new(id.as_ref(), event, timeout, Location::caller())?;
        while_blocked(|| block_on(read(self, &question, Mode::Called)))
    }

    /// All values that the run `id` has published, in the order of their names. None if there is no such run.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// assert!(Engine::in_memory()?.events("order-123")?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn events(&self, id: impl AsRef<str>) -> Result<Vec<EventRecord>, Error> {
        let id = WorkflowId::new(id)?;
        self.core.reader().events(&id).map_err(|source| Error::store(&id, source))
    }
}

/// A value before it is published.
struct Publication {
    run: Arc<Run>,
    /// Where it takes a position; `None` in a step.
    scope: Option<Arc<Scope>>,
    name: &'static str,
    value: Result<(String, u64), Error>,
    site: Site,
}

impl Publication {
    /// `None` while a panic unwinds.
    fn new<T: Value>(event: Event<T>, value: &T, caller: &Location<'static>) -> Option<Self> {
        let (run, scope) = match Ambient::current() {
            Ambient::InStep(step) => (Arc::clone(&step.run), None),
            _ => match Receiver::here("set_event", event.name) {
                Receiver::Body(scope) => (Arc::clone(&scope.run), Some(scope)),
                _ => return None,
            },
        };
        let value = encode(&run.id, event.name, value);
        let site = Site { file: caller.file(), line: caller.line() };
        Some(Self { run, scope, name: event.name, value, site })
    }

    async fn publish(self, mode: Mode) -> Result<(), Error> {
        let (value, fingerprint) = self.value?;
        let engine = engine_of(&self.run);
        let (id, epoch, name) = (self.run.id.clone(), self.run.epoch, self.name.to_owned());
        let publish = |value| Publish { id, epoch, name, value, at: engine.settings.clock.now() };
        let Some(scope) = &self.scope else {
            if let Some(fault) = self.run.fault() {
                return Err(fault.clone());
            }
            let answered = self.run.core.commit(mode, Op::Publish(publish(value))).await;
            self.run.settled(answered, &[]).await?;
            tell(&engine, &self.run.id);
            return Ok(());
        };
        let mut args = ArgsSink::new();
        args.add(&fingerprint);
        let call = Call::begin(scope, Kind::SetEvent, self.name, self.site, args.finish())?;
        match call.look()?.awaited().await? {
            Known::Output(call, output) => {
                let at = call.run().history.step_of(&output).timestamp();
                call.end(at);
            }
            Known::Nothing(call) => {
                let effect = Effect::Publish(publish(value));
                let (call, at, answer) = call.act(completed("null".to_owned()), effect, mode).await?;
                debug_assert_eq!(answer, Answer::Done, "nothing can be in its way");
                call.end(at);
                tell(&engine, &self.run.id);
            }
        }
        Ok(())
    }
}
