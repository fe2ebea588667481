//! The way into a run and out of it: look at what is stored, take the run or wait for its owner, call the
//! function, record how it ended. The rows of the README's table "what a second call does" are decided here.
//! Whoever holds a run gives it up on every way out, a dropped future included.

use std::sync::Arc;
use std::time::Duration;

use crate::circle::Told;
use crate::clock::{Pause, Timestamp};
use crate::core::{Core, Reservation, Settings};
use crate::draw;
use crate::engine::Engine;
use crate::error::{Error, InputMismatch};
use crate::history::History;
use crate::key::{Position, StepKey, WorkflowId};
use crate::memo::WorkflowSpec;
use crate::run::{Mode, Run, Seat};
use crate::signal::{Given, Signal};
use crate::store::{
    Answer, Claim, Disown, End, Epoch, Finish, Op, OwnerId, Release, RunRecord, RunStatus, Start, StepReader,
    StepStatus, StoreError,
};
use crate::trace;
use crate::waits::Waiting;

/// How often a run that another process executes is looked at.
const POLL_EVERY: Duration = Duration::from_millis(20);

/// One call of an entry point: whose run it asks for, and on what engine.
pub(crate) struct Request<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) id: &'a WorkflowId,
    pub(crate) spec: &'static WorkflowSpec,
    /// The arguments; `None` goes on with the stored ones.
    pub(crate) input: Option<&'a Encoding>,
    /// Tells the fingerprint of a stored input, as the running code reads it.
    pub(crate) fingerprint_of: &'a (dyn Fn(&str) -> Result<u64, Error> + Sync),
    /// The run that asks, if one does.
    pub(crate) parent: Option<&'a Arc<Run>>,
    pub(crate) mode: Mode,
}

/// Arguments as they are stored.
pub(crate) struct Encoding {
    pub(crate) json: String,
    pub(crate) fingerprint: u64,
}

/// What a look at the store came to.
pub(crate) enum Admission {
    /// The run is ours to execute, with this input.
    Run(Held, String),
    /// It has ended, with this.
    Ended(StepStatus, String),
    /// Somebody executes it: wait, then look again.
    Wait(Wait),
}

/// What to wait for before looking again.
pub(crate) enum Wait {
    /// The end of the run in this process.
    Signal(Arc<Signal>, Waiting),
    /// Some time, since another process has the run.
    Poll(Waiting),
}

impl Wait {
    /// Ready when it is time to look again; a fault once the run that asks, `parent`, is stopped.
    pub(crate) async fn over(self, engine: &Engine, parent: Option<&Arc<Run>>) -> Result<(), Error> {
        let wait = async {
            match self {
                Self::Signal(signal, _waiting) => Given::new(signal).await,
                Self::Poll(waiting) => {
                    let mode = parent.map_or(Mode::Called, |run| run.mode);
                    let told = Told::new(&engine.core, mode, waiting);
                    let circle = told.look().await;
                    Pause::new(Arc::clone(&engine.settings.clock), POLL_EVERY).await;
                    if let (Some(run), Some(_)) = (parent, circle)
                        && let Some(chain) = told.look().await
                    {
                        return Err(Error::WaitsForItself { workflow: run.id.clone(), chain });
                    }
                }
            }
            Ok(())
        };
        match parent {
            Some(run) => run.unless_stopped(wait).await?,
            None => wait.await,
        }
    }
}

/// The right to execute a run, and the duty to give it up.
pub(crate) struct Held {
    pub(crate) run: Arc<Run>,
    recoveries: u32,
    /// Dropped last: those who wait for the run look at the store then.
    lease: Lease,
}

/// Gives the run up when it is dropped, unless its end was recorded.
struct Lease {
    core: Arc<Core>,
    id: WorkflowId,
    epoch: Epoch,
    mode: Mode,
    panicked: Option<String>,
    over: bool,
    settings: Arc<Settings>,
    _reservation: Reservation,
    _waiting: Waiting,
}

impl Lease {
    /// What gives the run up, if it is still to be.
    fn release(&mut self) -> Option<Op> {
        // A forked child has only a copy of what its parent owns.
        if std::mem::replace(&mut self.over, true) || self.core.check_process().is_err() {
            return None;
        }
        let (id, epoch, at) = (self.id.clone(), self.epoch, self.settings.clock.now());
        let panicked = self.panicked.take();
        Some(Op::Release(Release { id, epoch, panicked, at }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        match self.release() {
            Some(op) if self.mode == Mode::Called => self.core.commits.commit_soon(op),
            Some(op) => drop(self.core.commits.submit_soon(op)),
            None => {}
        }
    }
}

impl Request<'_> {
    /// Looks at the store once.
    pub(crate) async fn admit(&self) -> Result<Admission, Error> {
        let core = &self.engine.core;
        core.check_process()?;
        if std::thread::panicking() {
            return Err(Error::Unwinding { workflow: self.id.clone() });
        }
        let waiting = core.wait(self.parent.map(|run| (&*run.core, &run.id)), self.id)?;
        let reservation = match core.reserve(self.id) {
            Ok(reservation) => reservation,
            Err(signal) => return Ok(Admission::Wait(Wait::Signal(signal, waiting))),
        };
        loop {
            let id = self.id.clone();
            let stored = core.read(self.mode, move |reader| reader.run(&id)).await;
            let taken = match stored.map_err(|source| Error::store(self.id, source))? {
                None => self.start().await?,
                Some(run) => {
                    self.check(&run)?;
                    if self.is_live(run.owner.as_ref()).await? {
                        return Ok(Admission::Wait(Wait::Poll(waiting)));
                    }
                    match run.status {
                        RunStatus::Completed => {
                            return Ok(Admission::Ended(
                                StepStatus::Completed,
                                run.output.unwrap_or_default(),
                            ));
                        }
                        _ => self.take_up(run).await?,
                    }
                }
            };
            match taken {
                Taken::Ended(error) => return Ok(Admission::Ended(StepStatus::Failed, error)),
                Taken::Lost => {}
                Taken::Ours { seat, recoveries, input } => {
                    let (id, epoch) = (seat.id.clone(), seat.epoch);
                    let run = Run::new(Arc::clone(core), Arc::clone(&self.engine.settings), seat, self.mode);
                    if let Some(parent) = self.parent {
                        parent.adopt(&run);
                    }
                    let core = Arc::clone(core);
                    let lease = Lease {
                        core,
                        id,
                        epoch,
                        mode: self.mode,
                        panicked: None,
                        over: false,
                        settings: Arc::clone(&self.engine.settings),
                        _reservation: reservation,
                        _waiting: waiting,
                    };
                    return Ok(Admission::Run(Held { run, recoveries, lease }, input));
                }
            }
        }
    }

    /// Whether another process executes the run, which has this owner.
    async fn is_live(&self, owner: Option<&OwnerId>) -> Result<bool, Error> {
        let core = &self.engine.core;
        let Some(owner) = owner.filter(|owner| **owner != core.owner).cloned() else { return Ok(false) };
        let lives = core.read(self.mode, move |reader| reader.lives(&owner)).await;
        lives.map_err(|source| Error::store(self.id, source))
    }

    /// Inserts the run, owned by this engine.
    async fn start(&self) -> Result<Taken, Error> {
        let Some(input) = self.input else { return Err(Error::UnknownRun { workflow: self.id.clone() }) };
        let (nonce, started) = (draw::fresh(), self.now());
        let seed = self.engine.settings.seed.unwrap_or_else(draw::fresh);
        let answer = self
            .take(Op::Start(Start {
                id: self.id.clone(),
                name: self.spec.name.to_owned(),
                input: input.json.clone(),
                owner: self.engine.core.owner.clone(),
                parent: self.parent.map(|run| run.id.clone()),
                nonce,
                seed,
                fingerprint: self.spec.fingerprint,
                at: started,
            }))
            .await?;
        let Answer::Started(epoch) = answer else { return Ok(Taken::Lost) };
        let seat = Seat { id: self.id.clone(), epoch, nonce, seed, started, history: History::default() };
        Ok(Taken::Ours { seat, recoveries: 0, input: input.json.clone() })
    }

    /// Takes a run up that nobody executes. If it failed or its body panicked, the failure that escaped is
    /// dropped with the claim; a failed run without one has nothing that could go otherwise, and stays as
    /// it is.
    async fn take_up(&self, run: RunRecord) -> Result<Taken, Error> {
        let id = self.id.clone();
        let read = move |reader: &mut dyn StepReader| reader.steps(&id, None, u32::MAX).map(History::new);
        let mut history = match self.engine.core.read(self.mode, read).await {
            Ok(history) => history,
            Err(source @ StoreError::Corrupt(_)) => {
                return self.halt(&run, Error::store(self.id, source)).await;
            }
            Err(source) => return Err(Error::store(self.id, source)),
        };
        let drop = if run.escaped { history.escaped() } else { Vec::new() };
        if run.status == RunStatus::Failed && drop.is_empty() {
            trace::warn(
                Some(self.id),
                "the run failed after its last step, so running it again would end the same; `Engine::rewind` runs it again from a step",
            );
            return Ok(Taken::Ended(run.error.unwrap_or_default()));
        }
        history.remove(&drop);
        // Deaths and panics are counted, a run that was given up in order is not.
        let recoveries = match run.status {
            RunStatus::Running if run.owner.is_none() && run.error.is_none() => run.recoveries,
            RunStatus::Running => run.recoveries.saturating_add(1),
            _ => 0,
        };
        let Answer::Claimed(epoch) = self.claim(&run, drop, recoveries).await? else {
            return Ok(Taken::Lost);
        };
        let RunRecord { id, nonce, seed, created: started, input, .. } = run;
        Ok(Taken::Ours { seat: Seat { id, epoch, nonce, seed, started, history }, recoveries, input })
    }

    /// Records that a run cannot go on, since its history cannot be read.
    async fn halt(&self, run: &RunRecord, fault: Error) -> Result<Taken, Error> {
        if let Answer::Claimed(epoch) = self.claim(run, Vec::new(), 0).await? {
            let end = End::Halted { fault: fault.to_string(), escaped: run.escaped };
            let (id, at) = (self.id.clone(), self.now());
            let finish = Op::Finish(Finish { id: id.clone(), epoch, end, at });
            if self.engine.core.commit(self.mode, finish).await.is_err() {
                // The run stays interrupted, which loses nothing, but nobody's.
                let release = Op::Release(Release { id, epoch, panicked: None, at });
                self.engine.core.commit_soon(self.mode, release).await;
            }
        }
        Err(fault)
    }

    async fn claim(&self, run: &RunRecord, drop: Vec<Position>, recoveries: u32) -> Result<Answer, Error> {
        let (id, owner, at) = (self.id.clone(), self.engine.core.owner.clone(), self.now());
        self.take(Op::Claim(Claim {
            id,
            expected: run.epoch,
            from: run.owner.clone(),
            owner,
            drop,
            recoveries,
            at,
        }))
        .await
    }

    /// Refuses an id that belongs to another workflow, or to other arguments.
    fn check(&self, run: &RunRecord) -> Result<(), Error> {
        let same_input = || match self.input {
            None => Ok(true),
            Some(given) => (self.fingerprint_of)(&run.input).map(|stored| stored == given.fingerprint),
        };
        if run.name == self.spec.name && same_input()? {
            return Ok(());
        }
        Err(Error::InputMismatch(Box::new(InputMismatch {
            workflow: self.id.clone(),
            recorded_name: run.name.clone(),
            recorded_input: run.input.clone(),
            found_name: self.spec.name.to_owned(),
            found_input: self.input.map_or_else(|| "the stored one".to_owned(), |given| given.json.clone()),
        })))
    }

    /// Commits a start or a claim. Where nobody can tell whether it went through, this process gives the run
    /// up, since it is not going to execute it.
    async fn take(&self, op: Op) -> Result<Answer, Error> {
        let core = &self.engine.core;
        let answered = core.commit(self.mode, op).await;
        if matches!(answered, Err(StoreError::Unknown { .. })) {
            let (id, owner, at) = (self.id.clone(), core.owner.clone(), self.now());
            core.commit_soon(self.mode, Op::Disown(Disown { id, owner, at })).await;
        }
        answered.map_err(|source| Error::store(self.id, source))
    }

    fn now(&self) -> Timestamp {
        self.engine.settings.clock.now()
    }
}

enum Taken {
    Ours {
        seat: Seat,
        recoveries: u32,
        input: String,
    },
    /// A failed run that nothing is to be done for: its stored error.
    Ended(String),
    /// Somebody else was faster: look again.
    Lost,
}

/// Whether somebody executes the run `id`, which has this owner. Its own process asks its own table, which
/// has no such run by now.
pub(crate) fn is_live(core: &Core, id: &WorkflowId, owner: Option<&OwnerId>) -> Result<bool, Error> {
    match owner {
        Some(owner) if *owner != core.owner => {
            core.reader().lives(owner).map_err(|source| Error::store(id, source))
        }
        _ => Ok(false),
    }
}

impl Held {
    /// Records the end of the run, and gives it up.
    pub(crate) async fn finish(mut self, end: End) -> Result<(), Error> {
        self.report_unreached();
        let ended = self.end(end).await;
        self.release().await;
        ended
    }

    /// Gives the run up after a fault: halted if it would come again, interrupted otherwise.
    pub(crate) async fn give_up(mut self, fault: &Error) {
        // If somebody else owns it by now, that changes nothing. A run that was stopped by the one around it has
        // nothing wrong with itself.
        if fault.would_come_again() && !self.run.is_stopped_with_parent() {
            // If this cannot be written either, the run stays interrupted, which loses nothing.
            _ = self.end(End::Halted { fault: fault.to_string(), escaped: false }).await;
        }
        self.release().await;
    }

    /// Gives the run up after a panic of its body; halts it if it was taken up too often by now.
    pub(crate) async fn give_up_panicked(mut self, message: &str) -> Error {
        let fault = Error::Panicked { workflow: self.run.id.clone(), message: message.to_owned() };
        if self.recoveries >= self.run.settings.recoveries_max {
            _ = self.end(End::Halted { fault: fault.to_string(), escaped: true }).await;
        } else {
            self.lease.panicked = Some(message.to_owned());
        }
        self.release().await;
        fault
    }

    /// Gives up what was not ended, before the caller hears of it.
    async fn release(&mut self) {
        if let Some(op) = self.lease.release() {
            self.run.core.commit_soon(self.run.mode, op).await;
        }
    }

    async fn end(&mut self, end: End) -> Result<(), Error> {
        let run = &self.run;
        run.core.check_process()?;
        let (id, epoch, at) = (run.id.clone(), run.epoch, run.settings.clock.now());
        let answer = run.core.commit(run.mode, Op::Finish(Finish { id, epoch, end, at })).await;
        let answer = answer.map_err(|source| Error::store(&run.id, source))?;
        self.lease.over = true;
        if answer == Answer::Done { Ok(()) } else { Err(Error::LostOwnership { workflow: run.id.clone() }) }
    }

    /// Steps that are recorded and were not called this time: the program has changed at its end.
    fn report_unreached(&self) {
        let unreached = self.run.history.unreached();
        if !unreached.is_empty() {
            let keys: Vec<_> = unreached.iter().map(StepKey::as_str).collect();
            trace::warn(
                Some(&self.run.id),
                &format!("the run ended without reaching its recorded steps {}", keys.join(", ")),
            );
        }
    }
}
