//! What all engines of one store share: the commits, the reader, the owner, and which runs live in this
//! process. The one rule: within a process this table says what lives, and the store's rows are only asked
//! about others. Knows no user code and no positions.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::error::Error;
use crate::key::WorkflowId;
use crate::signal::Signal;
use crate::store::commit::Commits;
use crate::store::{OwnerId, StepReader, StepStore, StoreError};

pub(crate) struct Core {
    pub(crate) commits: Commits,
    pub(crate) owner: OwnerId,
    reader: Mutex<Box<dyn StepReader>>,
    live: Mutex<Live>,
    opened_by: u32,
}

/// The runs that live in this process, and which run waits for which.
#[derive(Default)]
struct Live {
    runs: HashMap<WorkflowId, Arc<Signal>>,
    waits: Vec<(WorkflowId, WorkflowId)>,
}

/// What one engine was built with.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) resources: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    pub(crate) payload_warn_bytes: usize,
    pub(crate) payload_bytes_max: usize,
    pub(crate) steps_max: u32,
    pub(crate) recoveries_max: u32,
    pub(crate) strict: bool,
    pub(crate) seed: Option<u64>,
}

/// The right to execute one id in this process. Dropped, it lets those go on that wait for the id.
pub(crate) struct Reservation {
    core: Arc<Core>,
    id: WorkflowId,
}

/// That a run waits for another; dropped, it does no more.
pub(crate) struct Waiting {
    core: Arc<Core>,
    edge: Option<(WorkflowId, WorkflowId)>,
}

impl Core {
    pub(crate) fn new(store: Box<dyn StepStore>) -> Result<Self, StoreError> {
        let reader = Mutex::new(store.reader()?);
        let owner = store.owner();
        Ok(Self {
            commits: Commits::new(store),
            owner,
            reader,
            live: Mutex::default(),
            opened_by: std::process::id(),
        })
    }

    /// The reader; held for one read and never across user code.
    pub(crate) fn reader(&self) -> MutexGuard<'_, Box<dyn StepReader>> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a process that was forked off after the engine was opened: it shares the owner's lock without
    /// owning anything.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if std::process::id() == self.opened_by {
            Ok(())
        } else {
            Err(Error::Forked { opened_by: self.opened_by })
        }
    }

    /// Reserves `id` for this caller, or tells whom to wait for.
    pub(crate) fn reserve(self: &Arc<Self>, id: &WorkflowId) -> Result<Reservation, Arc<Signal>> {
        let mut live = self.live();
        if let Some(signal) = live.runs.get(id) {
            return Err(Arc::clone(signal));
        }
        live.runs.insert(id.clone(), Arc::default());
        Ok(Reservation { core: Arc::clone(self), id: id.clone() })
    }

    /// Notes that `waiter` cannot go on before `target` ends, unless `target` already waits for `waiter`.
    pub(crate) fn wait(
        self: &Arc<Self>,
        waiter: Option<&WorkflowId>,
        target: &WorkflowId,
    ) -> Result<Waiting, Error> {
        let Some(waiter) = waiter else { return Ok(Waiting { core: Arc::clone(self), edge: None }) };
        let mut live = self.live();
        if let Some(mut chain) = live.chain(target, waiter) {
            chain.insert(0, waiter.clone());
            return Err(Error::WaitsForItself { workflow: waiter.clone(), chain });
        }
        let edge = (waiter.clone(), target.clone());
        live.waits.push(edge.clone());
        Ok(Waiting { core: Arc::clone(self), edge: Some(edge) })
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// How `from` waits for `to`, from the one to the other, if it does. The table has no circle, so this
    /// ends.
    fn chain(&self, from: &WorkflowId, to: &WorkflowId) -> Option<Vec<WorkflowId>> {
        if from == to {
            return Some(vec![to.clone()]);
        }
        self.waits.iter().filter(|(waiter, _)| waiter == from).find_map(|(_, next)| {
            let mut rest = self.chain(next, to)?;
            rest.insert(0, from.clone());
            Some(rest)
        })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let signal = self.core.live().runs.remove(&self.id);
        if let Some(signal) = signal {
            signal.give();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(edge) = self.edge.take() else { return };
        let mut live = self.core.live();
        if let Some(i) = live.waits.iter().position(|other| *other == edge) {
            live.waits.swap_remove(i);
        }
    }
}
