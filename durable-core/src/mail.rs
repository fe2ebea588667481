//! Messages: sent to a run from other runs and from outside, received by it once and in their order, topic by
//! topic. The one rule: a message is received in the transaction that records that it was, and one that a run sends
//! is there with the record of that, so a crash neither loses one nor doubles it.
//! Knows no SQL and no executor.

mod inbox;
mod letter;

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use self::inbox::receive;
pub(crate) use self::inbox::{Receiver, completed, decode, give_back};
use self::letter::Letter;
pub(crate) use self::letter::encode;
use crate::engine::Engine;
use crate::error::Error;
use crate::key::WorkflowId;
use crate::pool::while_blocked;
use crate::probe::Value;
use crate::run::Mode;
use crate::signal::block_on;
use crate::store::{Answer, DropMessage, MessageRecord, Op};

/// What messages are about, and the type of their values. A constant that senders and receivers share:
/// `const APPROVAL: Topic<Decision> = Topic::new("approval");`
pub struct Topic<T> {
    name: &'static str,
    value: PhantomData<fn() -> T>,
}

/// The most bytes of a topic's or an event's name.
pub const NAME_BYTES_MAX: usize = 255;

/// Refuses, at compile time where it can, a name that nothing can be stored under.
pub(crate) const fn check_name(name: &str) {
    assert!(
        !name.is_empty() && name.len() <= NAME_BYTES_MAX,
        "the name of a topic or an event has 1 to 255 bytes"
    );
}

impl<T> Topic<T> {
    /// The topic `name`, of 1 to 255 bytes.
    ///
    /// # Panics
    /// If `name` is empty or longer: in a constant that is a compile error.
    ///
    /// # Examples
    /// ```
    /// use durable_core::Topic;
    /// const APPROVAL: Topic<bool> = Topic::new("approval");
    /// assert_eq!(APPROVAL.name(), "approval");
    /// ```
    pub const fn new(name: &'static str) -> Self {
        check_name(name);
        Self { name, value: PhantomData }
    }

    /// The name, as the `topic` column of `messages` has it.
    pub const fn name(self) -> &'static str {
        self.name
    }
}

impl<T> Clone for Topic<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Topic<T> {}

impl<T> fmt::Debug for Topic<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Topic").field(&self.name).finish()
    }
}

/// Sends a value to the run `id`, which gets it by [`recv`], whether it waits already or not. Returns once the
/// message is as durable as the store makes it.
///
/// In the body of a workflow it takes a position, and what it records is in one transaction with the message: it is
/// sent once, whatever crashes, and also when the send runs again after `Engine::rewind`. In a step it is sent once
/// for all attempts. Elsewhere each call sends a message; [`send_once`] does not.
///
/// `value` is of the topic's own type, or a reference to one: a `Topic<String>` takes a `String`, not a `&str`.
///
/// It blocks the thread; [`future::send`](crate::future::send) does not.
///
/// # Errors
/// [`Error::UnknownRun`] if there is no such run, [`Error::Refused`] if it has completed: nobody would receive it.
/// Both are recorded in a workflow. [`Error::UnstorableValue`], and what the store says; in a workflow these end the
/// run.
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, Topic};
/// const APPROVAL: Topic<bool> = Topic::new("approval");
/// # let engine = Engine::in_memory()?;
/// # let _entered = engine.enter();
/// let refused = durable_core::send("order-123", APPROVAL, true);
/// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn send<T: Value>(id: impl AsRef<str>, topic: Topic<T>, value: impl Borrow<T>) -> Result<(), Error> {
    Letter::new(id.as_ref(), topic, value.borrow(), None, Location::caller())?.post()
}

/// As [`send`], unless a message with this key was sent to the run before: then it is not sent again, whatever its
/// value. For callers that may be repeated, as a handler of web hooks: `key` is what tells their requests apart. A
/// run's keys are forgotten when it is reset.
///
/// # Errors
/// Those of [`send`].
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, Topic};
/// const PAID: Topic<u32> = Topic::new("paid");
/// # let engine = Engine::in_memory()?;
/// # let _entered = engine.enter();
/// let refused = durable_core::send_once("event-77", "order-123", PAID, 400);
/// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn send_once<T: Value>(
    key: impl Into<String>,
    id: impl AsRef<str>,
    topic: Topic<T>,
    value: impl Borrow<T>,
) -> Result<(), Error> {
    Letter::new(id.as_ref(), topic, value.borrow(), Some(key.into()), Location::caller())?.post()
}

/// As [`send`](crate::send), without blocking the thread, under any executor.
///
/// # Errors
/// Those of [`send`](crate::send).
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, Topic, doc::block_on};
/// const APPROVAL: Topic<bool> = Topic::new("approval");
/// # let engine = Engine::in_memory()?;
/// # let _entered = engine.enter();
/// let refused = block_on(durable_core::future::send("order-123", APPROVAL, true));
/// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn send_polled<T: Value>(
    id: impl AsRef<str>,
    topic: Topic<T>,
    value: impl Borrow<T>,
) -> impl Future<Output = Result<(), Error>> + Send {
    let letter = Letter::new(id.as_ref(), topic, value.borrow(), None, Location::caller());
    async move { letter?.post_polled().await }
}

/// As [`send_once`](crate::send_once), without blocking the thread, under any executor.
///
/// # Errors
/// Those of [`send`](crate::send).
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, Topic, doc::block_on};
/// const PAID: Topic<u32> = Topic::new("paid");
/// # let engine = Engine::in_memory()?;
/// # let _entered = engine.enter();
/// let refused = block_on(durable_core::future::send_once("event-77", "order-123", PAID, 400));
/// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
/// # Ok::<(), Error>(())
/// ```
#[track_caller]
pub fn send_once_polled<T: Value>(
    key: impl Into<String>,
    id: impl AsRef<str>,
    topic: Topic<T>,
    value: impl Borrow<T>,
) -> impl Future<Output = Result<(), Error>> + Send {
    let letter = Letter::new(id.as_ref(), topic, value.borrow(), Some(key.into()), Location::caller());
    async move { letter?.post_polled().await }
}

/// Receives the next message that was sent to this run about `topic`, and waits for one if there is none yet;
/// `None` if none has come within `timeout`. `Duration::MAX` waits for ever.
///
/// Messages of one topic come in the order in which they were sent, each once: it counts as received when that is
/// recorded, and waits again after `Engine::rewind` drops the record. One that is no `T` is not received: it halts the
/// run with [`Error::UndecodableMessage`], until a program comes that can read it, or [`Engine::drop_message`] drops it.
/// The time counts from the operation that the run recorded last, and goes on while nobody executes the run. A run in
/// the background that waits longer than a second is unloaded from memory until then.
///
/// It blocks the thread; [`future::recv`](crate::future::recv) does not.
///
/// # Panics
/// Outside a run, where there is nothing to receive. In a step it is a fault and ends the run with
/// [`Error::NotInWorkflow`]. While a panic unwinds it returns `None`.
///
/// # Examples
/// ```no_run
/// # use durable_core::Topic;
/// # use std::time::Duration;
/// const APPROVAL: Topic<bool> = Topic::new("approval");
/// // In the body of a workflow:
/// let approved = durable_core::recv(APPROVAL, Duration::from_secs(3 * 24 * 3600)).unwrap_or(false);
/// ```
#[track_caller]
pub fn recv<T: Value>(topic: Topic<T>, timeout: Duration) -> Option<T> {
    let caller = Location::caller();
    match Receiver::here("recv", topic.name) {
        Receiver::Unwinding => None,
        Receiver::Refused(run, fault) => run.unwind(fault),
        Receiver::Body(scope) => {
            let received = || block_on(receive(topic, timeout, caller, &scope, Mode::Called));
            while_blocked(received).unwrap_or_else(|fault| scope.run.unwind(fault))
        }
    }
}

/// As [`recv`](crate::recv), without blocking the thread, under any executor.
///
/// # Panics
/// As [`recv`](crate::recv) does.
///
/// # Examples
/// ```no_run
/// # use durable_core::Topic;
/// # use std::time::Duration;
/// # async fn workflow() {
/// const APPROVAL: Topic<bool> = Topic::new("approval");
/// let approved = durable_core::future::recv(APPROVAL, Duration::MAX).await.unwrap_or(false);
/// # }
/// ```
#[track_caller]
pub fn recv_polled<T: Value>(topic: Topic<T>, timeout: Duration) -> impl Future<Output = Option<T>> + Send {
    let caller = Location::caller();
    async move {
        match Receiver::here("recv", topic.name) {
            Receiver::Unwinding => None,
            Receiver::Refused(run, fault) => run.or_suspended(async { Err(fault) }).await,
            Receiver::Body(scope) => {
                let run = Arc::clone(&scope.run);
                run.or_suspended(receive(topic, timeout, caller, &scope, Mode::Polled)).await
            }
        }
    }
}

impl Engine {
    /// Sends a value to the run `id` of this engine's store, from outside any run: in a workflow, [`send`] is the way,
    /// which is recorded.
    ///
    /// # Errors
    /// Those of [`send`].
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error, Topic};
    /// const APPROVAL: Topic<bool> = Topic::new("approval");
    /// let engine = Engine::in_memory()?;
    /// let refused = engine.send("order-123", APPROVAL, true);
    /// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[track_caller]
    pub fn send<T: Value>(
        &self,
        id: impl AsRef<str>,
        topic: Topic<T>,
        value: impl Borrow<T>,
    ) -> Result<(), Error> {
        let letter = Letter::new(id.as_ref(), topic, value.borrow(), None, Location::caller())?;
        block_on(letter.drop_in(self, None, Mode::Called))
    }

    /// All messages that were sent to the run `id`, in their order: those that wait, and those that were received.
    /// None if there is no such run.
    ///
    /// # Errors
    /// What the store says.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// assert!(Engine::in_memory()?.messages("order-123")?.is_empty());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn messages(&self, id: impl AsRef<str>) -> Result<Vec<MessageRecord>, Error> {
        let id = WorkflowId::new(id)?;
        self.core.reader().messages(&id).map_err(|source| Error::store(&id, source))
    }

    /// Drops the message with this key that was sent to the run `id` and not received: one that no running program can
    /// read, say, which halts the run each time that it comes to it. [`Engine::messages`] tells the keys. Whether there
    /// was one: to drop it again changes nothing, and neither does a key that no message of the run has.
    ///
    /// Its key is forgotten with it, so who sends it once more does send it. The run is left as it is: a halted one goes
    /// on by [`Engine::retry`] or the next call.
    ///
    /// # Errors
    /// [`Error::UnknownRun`]; [`Error::MessageReceived`] if the run has received it; [`Error::Live`] while the run is
    /// being executed, here or by another process, since it may be about to receive the message.
    ///
    /// # Durability
    /// It is dropped for good when this returns.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// # let engine = Engine::in_memory()?;
    /// let refused = engine.drop_message("order-123", "event-77");
    /// assert!(matches!(refused, Err(Error::UnknownRun { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn drop_message(&self, id: impl AsRef<str>, key: &str) -> Result<bool, Error> {
        let id = WorkflowId::new(id)?;
        let answer = self.change(&id, |expected| {
            Ok(Op::DropMessage(DropMessage { id: id.clone(), expected, key: key.to_owned() }))
        })?;
        match answer {
            Some(Answer::Dropped(dropped)) => Ok(dropped > 0),
            Some(_) => Err(Error::MessageReceived { workflow: id, key: key.to_owned() }),
            None => Err(Error::UnknownRun { workflow: id }),
        }
    }
}
