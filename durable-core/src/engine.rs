//! An engine: an opened store and what its runs are given. Which engine a call uses is decided here.
//! A database is never opened silently, for data in a surprising folder is lost work.
//! Knows no positions and no user code.

mod builder;
mod reading;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::{Arc, OnceLock};

use crate::core::{Core, Settings};
use crate::error::Error;
use crate::key::WorkflowId;
use crate::run::Ambient;
use crate::store::{Answer, Epoch, Op, Ownership, Reset, Rewind, RunRecord, StepRecord};

pub use builder::Builder;
pub use reading::{RunHistory, Runs};

/// The most steps that one run records, unless [`Builder::steps_max`] says otherwise.
pub const STEPS_MAX: u32 = 1_000_000;

/// The most bytes of JSON in one value, unless [`Builder::payload_bytes_max`] says otherwise: 16 MiB.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// So many bytes of JSON in one value are worth a warning, unless [`Builder::payload_warn_bytes`] says
/// otherwise: 256 KiB.
pub const PAYLOAD_WARN_BYTES: usize = 256 << 10;

/// The most bytes of recorded values that a resumed run keeps in memory, unless
/// [`Builder::history_bytes_max`] says otherwise: 64 MiB.
pub const HISTORY_BYTES_MAX: usize = 64 << 20;

/// So often an interrupted run is taken up before a panic of its body halts it, unless
/// [`Builder::recoveries_max`] says otherwise.
pub const RECOVERIES_MAX: u32 = 50;

/// An opened store, and what its runs are given. A clone is cheap and is the same engine.
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error};
/// let engine = Engine::in_memory()?;
/// assert_eq!(engine.runs().count(), 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
    pub(crate) settings: Arc<Settings>,
}

impl Engine {
    /// Opens the SQLite database at `path`, and creates it if there is none. Runs nothing.
    ///
    /// # Errors
    /// [`Error::Open`] if the file is not one of ours, is newer, damaged or read-only, or cannot be made; it
    /// is left as it was. [`Error::DuplicateWorkflow`] if two linked workflows have one name.
    #[cfg(feature = "sqlite")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::builder().open(path)
    }

    /// An engine whose store is gone with its last clone: for tests, and for programs that only want the
    /// structure.
    pub fn in_memory() -> Result<Self, Error> {
        Self::builder().in_memory()
    }

    /// An engine with settings of its own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The run with this id, if there is one.
    pub fn run(&self, id: impl AsRef<str>) -> Result<Option<RunRecord>, Error> {
        let id = WorkflowId::new(id)?;
        self.core.reader().run(&id).map_err(|source| Error::store(&id, source))
    }

    /// The recorded steps of a run, in the order of their positions; none if there is no such run.
    pub fn steps(&self, id: impl AsRef<str>) -> Result<Vec<StepRecord>, Error> {
        let id = WorkflowId::new(id)?;
        let steps = self.core.reader().steps(&id, None, u32::MAX);
        let mut steps = steps.map_err(|source| Error::store(&id, source))?;
        self.tell_begun(&id, steps.iter_mut())?;
        Ok(steps)
    }

    /// Forgets a run with all its steps, in one transaction, also one whose rows cannot be read, so that the next
    /// `run_durable` begins it anew. Whether there was one. It is what [`Engine::delete`] does.
    ///
    /// # Errors
    /// [`Error::Live`] while the run is being executed, here or by another process.
    pub fn reset(&self, id: impl AsRef<str>) -> Result<bool, Error> {
        let id = WorkflowId::new(id)?;
        let at = self.settings.clock.now();
        self.change(&id, |expected| Ok(Op::Reset(Reset { id: id.clone(), expected, at })))
            .map(|answer| answer.is_some())
    }

    /// Drops the recorded step with this key, all after it, and the results of the inline children and the
    /// decisions of the races that it lies in. The next `run_durable` goes on from there, whatever state the
    /// run was in. Returns how many steps were dropped. A row whose position cannot be read goes too, wherever it stood;
    /// no key leads to it, so name a step before it. Messages that the dropped steps had received wait again; one that
    /// no step has received is dropped by [`Engine::drop_message`].
    ///
    /// # Errors
    /// [`Error::UnknownRun`], [`Error::UnknownStep`], and [`Error::Live`] while the run is being executed.
    pub fn rewind(&self, id: impl AsRef<str>, key: &str) -> Result<u64, Error> {
        let id = WorkflowId::new(id)?;
        let at = self.settings.clock.now();
        let answer = self.change(&id, |expected| {
            let from = self.core.reader().position(&id, key).map_err(|source| Error::store(&id, source))?;
            let from =
                from.ok_or_else(|| Error::UnknownStep { workflow: id.clone(), step: key.to_owned() })?;
            Ok(Op::Rewind(Rewind { id: id.clone(), expected, from, at }))
        })?;
        match answer {
            Some(Answer::Dropped(steps)) => Ok(steps),
            _ => Err(Error::UnknownRun { workflow: id }),
        }
    }

    /// Makes this the engine of this thread until the guard is dropped: of entry points that name no other,
    /// and of [`resource`](crate::resource).
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// let engine = Engine::in_memory()?;
    /// let _entered = engine.enter();
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use = "the engine is left when the guard is dropped"]
    pub fn enter(&self) -> EngineGuard {
        let number = NUMBER.get();
        NUMBER.set(number + 1);
        ENTERED.with(|entered| entered.borrow_mut().push((number, self.clone())));
        EngineGuard { number, not_send: PhantomData }
    }

    /// The engine for a call that names none: of the current run, entered, global, or at `$DURABLE_DB`.
    pub(crate) fn ambient() -> Result<Self, Error> {
        if let Some(run) = Ambient::current().run() {
            return Ok(Self { core: Arc::clone(&run.core), settings: Arc::clone(&run.settings) });
        }
        if let Some(engine) = ENTERED.with(|entered| Some(entered.borrow().last()?.1.clone())) {
            return Ok(engine);
        }
        match GLOBAL.get() {
            Some(engine) => Ok(engine.clone()),
            None => from_environment(),
        }
    }

    /// Applies the op that `make` gives for a run that nobody executes; `None` if there is no such run.
    pub(crate) fn change(
        &self,
        id: &WorkflowId,
        make: impl Fn(Epoch) -> Result<Op, Error>,
    ) -> Result<Option<Answer>, Error> {
        self.core.check_process()?;
        // Whoever has it here may have ended it already, and be about to let go: its row says so, and the epoch keeps
        // out everybody else.
        let reserved = self.core.reserve(id).ok();
        loop {
            let ownership = self.core.reader().ownership(id).map_err(|source| Error::store(id, source))?;
            let Some(Ownership { epoch, owner }) = ownership else { return Ok(None) };
            let is_ours = reserved.is_none() && owner.as_ref() == Some(&self.core.owner);
            if is_ours || self.core.is_live_elsewhere(id, owner.as_ref())? {
                return Err(Error::Live { workflow: id.clone() });
            }
            match self.core.commits.commit(make(epoch)?).map_err(|source| Error::store(id, source))? {
                // Another process was faster: look again.
                Answer::Lost => {}
                answer => return Ok(Some(answer)),
            }
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("owner", &self.core.owner).finish_non_exhaustive()
    }
}

thread_local! {
    /// The engines that this thread has entered, each under the number of its guard.
    static ENTERED: RefCell<Vec<(u64, Engine)>> = const { RefCell::new(Vec::new()) };
    static NUMBER: Cell<u64> = const { Cell::new(0) };
}

static GLOBAL: OnceLock<Engine> = OnceLock::new();

/// The environment variable that names the database of a program that opens none.
#[cfg(feature = "sqlite")]
const DATABASE_VARIABLE: &str = "DURABLE_DB";

/// Opens the SQLite database at `path` and makes its engine the one of this process. See [`Engine::open`].
///
/// # Errors
/// Those of [`Engine::open`], and [`Error::GlobalEngineIsSet`] if there is one.
#[cfg(feature = "sqlite")]
pub fn open(path: impl AsRef<Path>) -> Result<Engine, Error> {
    let engine = Engine::open(path)?;
    set_global(engine.clone())?;
    Ok(engine)
}

/// Makes `engine` the one of this process: of entry points that name no other. It can be set once.
///
/// # Errors
/// [`Error::GlobalEngineIsSet`] if there is one already.
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error};
/// durable_core::set_global(Engine::in_memory()?)?;
/// assert!(durable_core::set_global(Engine::in_memory()?).is_err());
/// # Ok::<(), Error>(())
/// ```
pub fn set_global(engine: Engine) -> Result<(), Error> {
    GLOBAL.set(engine).map_err(|_| Error::GlobalEngineIsSet)
}

#[cfg(feature = "sqlite")]
fn from_environment() -> Result<Engine, Error> {
    let path = std::env::var_os(DATABASE_VARIABLE).filter(|path| !path.is_empty()).ok_or(Error::NoEngine)?;
    let opened = Engine::open(Path::new(&path))?;
    Ok(GLOBAL.get_or_init(|| opened).clone())
}

#[cfg(not(feature = "sqlite"))]
fn from_environment() -> Result<Engine, Error> {
    Err(Error::NoEngine)
}

/// Leaves the engine that was entered. See [`Engine::enter`].
#[derive(Debug)]
pub struct EngineGuard {
    number: u64,
    /// The guard belongs to the thread that entered.
    not_send: PhantomData<*const ()>,
}

impl Drop for EngineGuard {
    fn drop(&mut self) {
        let left = ENTERED.with(|entered| {
            let mut entered = entered.borrow_mut();
            let at = entered.iter().rposition(|(number, _)| *number == self.number)?;
            Some(entered.remove(at))
        });
        // After the borrow: what the engine holds may ask for the current one when it is dropped.
        drop(left);
    }
}
