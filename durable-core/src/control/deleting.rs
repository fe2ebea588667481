//! The end of what is stored of runs. A run goes with all its steps or not at all, and children go before their
//! parents, so that whoever is interrupted can ask again and finds what is left.

use std::collections::HashSet;

use crate::engine::Engine;
use crate::error::Error;
use crate::key::WorkflowId;
use crate::store::{Filter, StoreError};

impl Engine {
    /// Deletes a run with all that it has recorded, in one transaction, whatever state it is in, also one whose rows
    /// cannot be read. Whether there was one: to delete it again changes nothing.
    ///
    /// It is what [`Engine::reset`] does, for a run that is not to begin anew. The runs that it has started are
    /// runs of their own and stay, with their results: see [`Engine::delete_with_children`]. Whoever waits for the
    /// run is told [`Error::UnknownRun`]. The id is free; a new run of it has other idempotency keys, and no writer
    /// that believes it has the old one can write to it.
    ///
    /// # Errors
    /// [`Error::Live`] while the run is being executed, here or by another process: [`Engine::cancel`] it first.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// # let engine = Engine::in_memory()?;
    /// assert!(!engine.delete("order-123")?, "there was none");
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete(&self, id: impl AsRef<str>) -> Result<bool, Error> {
        self.reset(id)
    }

    /// Deletes a run, the runs that it has started, those that they have started, and so on; returns how many were
    /// deleted. Each goes in a transaction of its own, the run itself last: if this ends in between, it can be asked
    /// again and deletes what is left.
    ///
    /// # Errors
    /// [`Error::Live`] while one of them is being executed. If it was when this began, nothing is deleted.
    ///
    /// # Examples
    /// ```
    /// # use durable_core::{Engine, Error};
    /// # let engine = Engine::in_memory()?;
    /// assert_eq!(engine.delete_with_children("order-123")?, 0);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn delete_with_children(&self, id: impl AsRef<str>) -> Result<u64, Error> {
        let family = self.family(WorkflowId::new(id)?)?;
        for id in &family {
            self.check_stopped(id)?;
        }
        let mut deleted = 0;
        for id in family.iter().rev() {
            deleted += u64::from(self.delete(id)?);
        }
        Ok(deleted)
    }

    /// The run with this id and all below it, parents before their children.
    fn family(&self, id: WorkflowId) -> Result<Vec<WorkflowId>, Error> {
        let mut known = HashSet::from([id.clone()]);
        let (mut family, mut next) = (vec![id], 0);
        while let Some(parent) = family.get(next).cloned() {
            for child in self.list(&Filter::all().parent(&parent)) {
                let child = child.map(|run| run.id).or_else(damaged_id)?;
                // Who began anew can be a child of its own child.
                if known.insert(child.clone()) {
                    family.push(child);
                }
            }
            next += 1;
        }
        Ok(family)
    }

    fn check_stopped(&self, id: &WorkflowId) -> Result<(), Error> {
        let ownership = self.core.reader().ownership(id).map_err(|source| Error::store(id, source))?;
        let owner = ownership.and_then(|ownership| ownership.owner);
        if self.core.is_live(id, owner.as_ref())? {
            return Err(Error::Live { workflow: id.clone() });
        }
        Ok(())
    }
}

/// The id of a run whose row is damaged: it can be deleted all the same.
fn damaged_id(error: Error) -> Result<WorkflowId, Error> {
    if let Error::Read(source) = &error
        && let StoreError::Corrupt(row) = &**source
        && let Ok(id) = WorkflowId::new(&row.key)
    {
        return Ok(id);
    }
    Err(error)
}
