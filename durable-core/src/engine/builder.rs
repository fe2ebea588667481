//! What an engine is built with: the settings and their defaults.

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
#[cfg(feature = "sqlite")]
use std::path::Path;
use std::sync::Arc;

use super::{Engine, HISTORY_BYTES_MAX, PAYLOAD_BYTES_MAX, PAYLOAD_WARN_BYTES, RECOVERIES_MAX, STEPS_MAX};
use crate::background::Background;
use crate::clock::{Clock, SystemClock};
use crate::core::{Core, Settings};
use crate::error::Error;
use crate::registry::{Registration, Workflow, by_name};
#[cfg(feature = "tokio")]
use crate::runtime::Handle;
use crate::runtime::Runtime;
#[cfg(feature = "sqlite")]
use crate::store::Durability;
use crate::store::StepStore;
use crate::store::memory::MemoryStore;

/// Collects the settings of an engine. See [`Engine::builder`].
///
/// # Examples
/// ```
/// # use durable_core::{Engine, Error, TestClock};
/// let engine = Engine::builder().with("a resource").clock(TestClock::default()).strict(true).in_memory()?;
/// # Ok::<(), Error>(())
/// ```
#[must_use = "a builder does nothing until it opens a store"]
pub struct Builder {
    settings: Settings,
    #[cfg(feature = "sqlite")]
    durability: Option<Durability>,
    registrations: Vec<Registration>,
    recover: bool,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Settings {
                clock: Arc::new(SystemClock::default()),
                resources: HashMap::new(),
                payload_warn_bytes: PAYLOAD_WARN_BYTES,
                payload_bytes_max: PAYLOAD_BYTES_MAX,
                history_bytes_max: HISTORY_BYTES_MAX,
                steps_max: STEPS_MAX,
                recoveries_max: RECOVERIES_MAX,
                strict: false,
                seed: None,
                workflows: HashMap::new(),
                background: Background::default(),
            },
            recover: false,
            #[cfg(feature = "sqlite")]
            durability: None,
            registrations: Vec::new(),
        }
    }
}

impl Builder {
    /// Gives `value` to the runs, who take it with [`resource`](crate::resource). A later value of the same
    /// type takes the place of an earlier one.
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.settings.resources.insert(TypeId::of::<T>(), Arc::new(value));
        self
    }

    /// Names a workflow that the linker may not find, because nothing else names its crate.
    pub fn register<W: Workflow>(mut self) -> Self {
        self.registrations.push(Registration::of::<W>());
        self
    }

    /// Makes a step that is called from a thread or task that no run knows an error, while runs of this
    /// engine live. Otherwise it is a plain call with a warning.
    pub fn strict(mut self, strict: bool) -> Self {
        self.settings.strict = strict;
        self
    }

    /// Takes time from `clock`; by default from the machine's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Starts the `random()` and `uuid()` of new runs, and the jitter of their retries, from `seed`: for
    /// tests. By default each run has a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Refuses values and inputs with more bytes of JSON; by default [`PAYLOAD_BYTES_MAX`].
    pub fn payload_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.payload_bytes_max = bytes;
        self
    }

    /// Warns of values with more bytes of JSON; by default [`PAYLOAD_WARN_BYTES`].
    pub fn payload_warn_bytes(mut self, bytes: usize) -> Self {
        self.settings.payload_warn_bytes = bytes;
        self
    }

    /// Keeps at most so many bytes of recorded values in memory for a run that is resumed, and reads the others
    /// when the run comes to them; by default [`HISTORY_BYTES_MAX`].
    pub fn history_bytes_max(mut self, bytes: usize) -> Self {
        self.settings.history_bytes_max = bytes;
        self
    }

    /// Ends a run that would record more steps; by default [`STEPS_MAX`].
    pub fn steps_max(mut self, steps: u32) -> Self {
        self.settings.steps_max = steps;
        self
    }

    /// Halts a run whose body panics after it was taken up so often; by default [`RECOVERIES_MAX`].
    pub fn recoveries_max(mut self, recoveries: u32) -> Self {
        self.settings.recoveries_max = recoveries;
        self
    }

    /// Goes on with all interrupted runs as soon as the engine is built, and later with those of processes that
    /// die: [`Engine::recover`]. By default it does not.
    pub fn recover(mut self, recover: bool) -> Self {
        self.recover = recover;
        self
    }

    /// So many plain workflows are executed in the background at once, each on a thread that is started when it
    /// is needed; by default [`WORKERS_MAX`](crate::WORKERS_MAX). Those that wait for other runs do not count.
    pub fn workers_max(self, workers: usize) -> Self {
        self.settings.background.workers.set_threads_max(workers);
        self
    }

    /// Has async workflows in the background polled by this tokio runtime, by default by the one that the engine is opened
    /// in ([`Handle::try_current`]), so that their steps can use its timers and sockets. Without a runtime the engine has
    /// threads of its own for them. Whichever engine of the file takes a run up executes it, so each needs a runtime if
    /// steps do. Plain workflows never run on it; a handle that is given to [`Builder::with`] serves their steps.
    ///
    /// A runtime of one thread executes its tasks only while somebody is in its `block_on`. In its async code await
    /// handles, since [`Handle::wait`](crate::Handle::wait) blocks the thread that the runs need, and call
    /// [`Engine::shutdown`] by `spawn_blocking`.
    ///
    /// A runtime that shuts down drops the runs that it polls. They stay in the store, due for any other engine that looks
    /// after waiting runs; this one does not go on with them on other threads, where their steps would lack the runtime.
    /// From then on it leaves async workflows alone: to start one, or to wait for one that nobody executes, is
    /// [`Error::RuntimeShutDown`]. An async step that fails while the runtime shuts down is not recorded, since what it
    /// waited for may have been dropped before it, and runs again.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::Engine;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// let engine = Engine::builder().runtime(runtime.handle().clone()).in_memory()?;
    /// # drop(engine);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tokio")]
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.settings.background.runtime = Some(Runtime::new(runtime));
        self
    }

    /// What a commit waits for in the database that [`Builder::open`] opens; by default
    /// [`Durability::Extra`]. A store of your own, or one in memory, has its own.
    #[cfg(feature = "sqlite")]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }

    /// Opens the SQLite database at `path` with these settings. Engines of one file in one process share its
    /// store, and so its durability. See [`Engine::open`].
    #[cfg(feature = "sqlite")]
    pub fn open(self, path: impl AsRef<Path>) -> Result<Engine, Error> {
        let durability = self.durability;
        self.build(|| crate::opened::core_at(path.as_ref(), durability))
    }

    /// An engine with these settings whose store is gone with its last clone.
    pub fn in_memory(self) -> Result<Engine, Error> {
        self.store(MemoryStore::default())
    }

    /// An engine with these settings on a store of your own.
    pub fn store(self, store: impl StepStore + 'static) -> Result<Engine, Error> {
        self.build(|| {
            let core = Core::new(Box::new(store)).map_err(|source| Error::Read(Arc::new(source)))?;
            Ok(Arc::new(core))
        })
    }

    fn build(mut self, core: impl FnOnce() -> Result<Arc<Core>, Error>) -> Result<Engine, Error> {
        let runtime = &mut self.settings.background.runtime;
        *runtime = runtime.take().or_else(Runtime::ambient);
        self.settings.workflows = by_name(&self.registrations)?;
        let engine = Engine { core: core()?, settings: Arc::new(self.settings) };
        if self.recover {
            engine.recover()?;
        }
        Ok(engine)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("registrations", &self.registrations).finish_non_exhaustive()
    }
}
