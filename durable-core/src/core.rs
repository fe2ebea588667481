//! What all engines of one store share: the commits, the reader, the owner, and which runs live in this
//! process. The one rule: within a process this table says what lives, and the store's rows are only asked
//! about others. Knows no user code and no positions.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use crate::background::{Background, Execution};
use crate::clock::Clock;
use crate::errand::Errands;
use crate::error::Error;
use crate::history::History;
use crate::key::WorkflowId;
use crate::run::{Mode, Run};
use crate::signal::Signal;
use crate::store::commit::Commits;
use crate::store::{Answer, Op, OwnerId, StepReader, StepStore, StoreError};
use crate::sync::{Mutex, MutexGuard, lock};
use crate::waits::Waiting;

pub(crate) struct Core {
    pub(crate) commits: Commits,
    pub(crate) owner: OwnerId,
    reader: Arc<Mutex<Box<dyn StepReader>>>,
    errands: Errands,
    /// Whether reads and writes can wait for a disk.
    blocks: bool,
    /// The runs that live in this process.
    live: Mutex<HashMap<WorkflowId, Live>>,
    /// Who waits for a run that may end elsewhere.
    watched: Mutex<HashMap<WorkflowId, Arc<Signal>>>,
    opened_by: u32,
}

/// A run that lives in this process.
#[derive(Default)]
struct Live {
    /// Given once it does no more.
    left: Arc<Signal>,
    /// The execution, once there is one.
    run: Weak<Run>,
}

/// A look out for the end of a run, wherever it is executed.
pub(crate) struct Watch {
    core: Arc<Core>,
    id: WorkflowId,
    pub(crate) changed: Arc<Signal>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = lock(&self.core.watched);
        // The table's, and this one's.
        if Arc::strong_count(&self.changed) <= 2
            && watched.get(&self.id).is_some_and(|other| Arc::ptr_eq(other, &self.changed))
        {
            watched.remove(&self.id);
        }
    }
}

/// What one engine was built with.
pub(crate) struct Settings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resources: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(crate) payload_warn_bytes: usize,
    pub(crate) payload_bytes_max: usize,
    pub(crate) history_bytes_max: usize,
    pub(crate) steps_max: u32,
    pub(crate) recoveries_max: u32,
    pub(crate) strict: bool,
    pub(crate) seed: Option<u64>,
    /// The workflows that can be taken up, by their names.
    pub(crate) workflows: HashMap<&'static str, Execution>,
    pub(crate) background: Background,
}

/// The right to execute one id in this process. Dropped, it lets those go on that wait for the id.
pub(crate) struct Reservation {
    core: Arc<Core>,
    id: WorkflowId,
}

impl Core {
    pub(crate) fn new(store: Box<dyn StepStore>) -> Result<Self, StoreError> {
        let reader = Arc::new(Mutex::new(store.reader()?));
        let (owner, blocks) = (store.owner(), store.blocks());
        Ok(Self {
            commits: Commits::new(store),
            owner,
            reader,
            errands: Errands::default(),
            blocks,
            live: Mutex::default(),
            watched: Mutex::default(),
            opened_by: std::process::id(),
        })
    }

    /// The reader; held for one read and never across user code.
    pub(crate) fn reader(&self) -> MutexGuard<'_, Box<dyn StepReader>> {
        lock(&self.reader)
    }

    /// What `read` returns: in a call on this thread, in a poll without blocking it.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        mode: Mode,
        read: impl FnOnce(&mut dyn StepReader) -> T + Send + 'static,
    ) -> T {
        let errand = self.errand(read);
        if self.reads_here(mode) { errand() } else { self.errands.run(errand).await }
    }

    /// Does `read`, in a poll some time later.
    pub(crate) fn read_soon(&self, mode: Mode, read: impl FnOnce(&mut dyn StepReader) + Send + 'static) {
        let errand = self.errand(read);
        if self.reads_here(mode) {
            errand();
        } else {
            self.errands.send(Box::new(errand));
        }
    }

    /// Whether a read keeps nobody waiting but the one who asks.
    fn reads_here(&self, mode: Mode) -> bool {
        mode == Mode::Called || !self.blocks
    }

    fn errand<T>(
        &self,
        read: impl FnOnce(&mut dyn StepReader) -> T + Send + 'static,
    ) -> impl FnOnce() -> T + Send + 'static {
        let reader = Arc::clone(&self.reader);
        move || read(&mut **lock(&reader))
    }

    /// What is recorded of the run `id`; its outputs have room for so many bytes.
    pub(crate) async fn history(
        &self,
        mode: Mode,
        id: &WorkflowId,
        bytes_max: usize,
    ) -> Result<History, StoreError> {
        let mut history = History::with_room(bytes_max);
        loop {
            let id = id.clone();
            let load = move |reader: &mut dyn StepReader| {
                let is_more = history.load(&id, reader)?;
                Ok::<_, StoreError>((history, is_more))
            };
            let is_more;
            (history, is_more) = self.read(mode, load).await?;
            if !is_more {
                return Ok(history);
            }
        }
    }

    /// Applies `op`: in a call by blocking this thread, in a poll without.
    pub(crate) async fn commit(&self, mode: Mode, op: Op) -> Result<Answer, StoreError> {
        match mode {
            Mode::Called => self.commits.commit(op),
            Mode::Polled => self.commits.submit(op).await,
        }
    }

    /// Applies `op` now or before the next write; ready once it has been tried.
    pub(crate) async fn commit_soon(&self, mode: Mode, op: Op) {
        match mode {
            Mode::Called => self.commits.commit_soon(op),
            Mode::Polled => _ = self.commits.submit_soon(op).await,
        }
    }

    /// Refuses a process that was forked off after the engine was opened: it shares the owner's lock without
    /// owning anything.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if std::process::id() == self.opened_by {
            Ok(())
        } else {
            // Whatever it does from now on, it keeps no run of its parent's from being taken up.
            #[cfg(feature = "sqlite")]
            crate::owner::let_go();
            Err(Error::Forked { opened_by: self.opened_by })
        }
    }

    /// Reserves `id` for this caller, or tells whom to wait for.
    pub(crate) fn reserve(self: &Arc<Self>, id: &WorkflowId) -> Result<Reservation, Arc<Signal>> {
        let mut live = lock(&self.live);
        if let Some(live) = live.get(id) {
            return Err(Arc::clone(&live.left));
        }
        live.insert(id.clone(), Live::default());
        Ok(Reservation { core: Arc::clone(self), id: id.clone() })
    }

    /// Notes that `waiter` cannot go on before run `target` of this store ends, unless that waits for `waiter`
    /// already.
    pub(crate) fn wait(
        &self,
        waiter: Option<(&Self, &WorkflowId)>,
        target: &WorkflowId,
    ) -> Result<Waiting, Error> {
        let Some((core, waiter)) = waiter else { return Ok(Waiting::of_nobody()) };
        Waiting::begin((core.number(), waiter.clone()), (self.number(), target.clone()))
            .map_err(|chain| Error::WaitsForItself { workflow: waiter.clone(), chain })
    }

    /// What this store is called among those of the process: the place of its core, which stays as long as a
    /// run of it waits.
    pub(crate) fn number(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The execution of this run in this process, if there is one.
    pub(crate) fn executed(&self, id: &WorkflowId) -> Option<Arc<Run>> {
        lock(&self.live).get(id)?.run.upgrade()
    }

    /// The runs that are executed in this process.
    pub(crate) fn all_executed(&self) -> Vec<Arc<Run>> {
        lock(&self.live).values().filter_map(|live| live.run.upgrade()).collect()
    }

    /// Whether this process executes the run, or is about to.
    pub(crate) fn is_reserved(&self, id: &WorkflowId) -> bool {
        lock(&self.live).contains_key(id)
    }

    /// Whether somebody executes the run `id`, which has this owner.
    pub(crate) fn is_live(&self, id: &WorkflowId, owner: Option<&OwnerId>) -> Result<bool, Error> {
        let is_ours = owner == Some(&self.owner) && self.is_reserved(id);
        Ok(is_ours || self.is_live_elsewhere(id, owner)?)
    }

    /// Whether another process executes it.
    pub(crate) fn is_live_elsewhere(&self, id: &WorkflowId, owner: Option<&OwnerId>) -> Result<bool, Error> {
        match owner {
            Some(owner) if *owner != self.owner => {
                self.reader().lives(owner).map_err(|source| Error::store(id, source))
            }
            _ => Ok(false),
        }
    }

    /// Looks out for a change of run `id`; one that comes after this call is not missed.
    pub(crate) fn watch(self: &Arc<Self>, id: &WorkflowId) -> Watch {
        let changed = Arc::clone(lock(&self.watched).entry(id.clone()).or_default());
        Watch { core: Arc::clone(self), id: id.clone(), changed }
    }

    /// Tells those who look out for run `id`.
    pub(crate) fn tell_watchers(&self, id: &WorkflowId) {
        let changed = lock(&self.watched).remove(id);
        if let Some(changed) = changed {
            changed.give();
        }
    }

    /// Tells all who look out for any run: another process has changed something.
    pub(crate) fn tell_all_watchers(&self) {
        let watched = std::mem::take(&mut *lock(&self.watched));
        for changed in watched.into_values() {
            changed.give();
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if std::process::id() != self.opened_by {
            // A forked process must not close the connections that were copied to it: that would change what its parent is
            // at. The commits keep theirs by themselves.
            std::mem::forget(Arc::clone(&self.reader));
        }
    }
}

impl Reservation {
    /// The run is executed now, so it is stored: who waits for that is told.
    pub(crate) fn executes(&self, run: &Arc<Run>) {
        if let Some(live) = lock(&self.core.live).get_mut(&self.id) {
            live.run = Arc::downgrade(run);
        }
        self.core.tell_watchers(&self.id);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let live = lock(&self.core.live).remove(&self.id);
        if let Some(live) = live {
            live.left.give();
        }
        self.core.tell_watchers(&self.id);
    }
}
