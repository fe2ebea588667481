//! The way into a run and out of it: look at what is stored, take the run or wait for its owner, call the
//! function, record how it ended. The rows of the README's table "what a second call does" are decided here.
//! Whoever holds a run gives it up on every way out, a dropped future included.

mod taking;

use std::sync::Arc;
use std::time::Duration;

use self::taking::Taking;
use crate::circle::Told;
use crate::clock::{Pause, Timestamp};
use crate::draw;
use crate::engine::Engine;
use crate::error::{Error, InputMismatch};
use crate::held::Held;
use crate::key::{Position, WorkflowId};
use crate::memo::WorkflowSpec;
use crate::run::{Mode, Run, Seat};
use crate::scheduler;
use crate::signal::{Given, Signal};
use crate::store::{
    Answer, Ask, Claim, End, Finish, Op, OwnerId, RunRecord, RunStatus, Start, StepStatus, StoreError,
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
    pub(crate) intent: Intent,
    /// How long a new run may take until it is cancelled.
    pub(crate) deadline: Option<Duration>,
}

/// What a call wants of a run: which of the states that it can be in it opens again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    /// To run it to its end, whatever was wrong with it, unless somebody said that it is not to run.
    Run,
    /// The same, whatever somebody said.
    Resume,
    /// To have it executed in the background, at once or from this time on; what has ended, or waits, stays as
    /// it is.
    Start(Option<Timestamp>),
    /// To go on with it in the background, now that nobody executes it.
    Recover,
}

impl Intent {
    /// Whether a run that nobody executes, in this state and waiting until then, stays as it is.
    fn leaves(self, status: RunStatus, wake_at: Option<Timestamp>, now: Timestamp) -> bool {
        let is_due = wake_at.is_some_and(|at| at <= now);
        match (self, status) {
            (Self::Run | Self::Resume, _) => false,
            // Whoever looks after what is due has a run that waits.
            (_, RunStatus::Running) => wake_at.is_some() && !is_due,
            (Self::Recover, RunStatus::Failed | RunStatus::Halted) => !is_due,
            _ => true,
        }
    }

    fn is_background(self) -> bool {
        matches!(self, Self::Start(_) | Self::Recover)
    }
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
    /// It is not for this call to execute it.
    Left,
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
            Some(run) => run.unless_left(wait).await?,
            None => wait.await,
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
        // Who hands a run over to the background goes on without it.
        let waiter = self.parent.filter(|_| !self.intent.is_background());
        let waiting = core.wait(waiter.map(|run| (&*run.core, &run.id)), self.id)?;
        let reservation = match core.reserve(self.id) {
            Ok(reservation) => reservation,
            Err(signal) => {
                if matches!(self.intent, Intent::Start(_)) && core.executed(self.id).is_some() {
                    // Who executes it has stored it, and goes on with it.
                    self.compare().await?;
                    return Ok(Admission::Left);
                }
                return Ok(Admission::Wait(Wait::Signal(signal, waiting)));
            }
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
                    self.meet(run).await?
                }
            };
            match taken {
                Taken::Ended(status, json) => return Ok(Admission::Ended(status, json)),
                Taken::Left => return Ok(Admission::Left),
                Taken::Lost => {}
                Taken::Ours { seat, recoveries, input } => {
                    let settings = Arc::clone(&self.engine.settings);
                    let run = Run::new(Arc::clone(core), settings, seat, self.mode);
                    if let Some(parent) = waiter {
                        parent.adopt(&run);
                    }
                    let held = Held::new(run, recoveries, reservation, waiting);
                    return Ok(Admission::Run(held, input));
                }
            }
        }
    }

    /// What becomes of a run that nobody executes.
    async fn meet(&self, run: RunRecord) -> Result<Taken, Error> {
        let workflow = self.id.clone();
        if let (RunStatus::Running, Some(wanted)) = (run.status, run.wanted) {
            // Its owner died before it heeded this.
            let (id, dead, at) = (self.id.clone(), run.owner, self.now());
            self.take(Op::Ask(Ask { id, wanted, dead, at })).await?;
            return Ok(Taken::Lost);
        }
        match (run.status, self.intent) {
            (RunStatus::Completed, _) => {
                Ok(Taken::Ended(StepStatus::Completed, run.output.unwrap_or_default()))
            }
            (RunStatus::Cancelled, Intent::Run) => Err(Error::Cancelled { workflow }),
            (RunStatus::Paused, Intent::Run) => Err(Error::Paused { workflow }),
            (status, intent) if intent.leaves(status, run.wake_at, self.now()) => Ok(Taken::Left),
            _ => self.take_up(run).await,
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
        let wake_at = if let Intent::Start(at) = self.intent { at } else { None };
        let seed = self.engine.settings.seed.unwrap_or_else(draw::fresh);
        let answer = self
            .take(Op::Start(Start {
                id: self.id.clone(),
                name: self.spec.name.to_owned(),
                input: input.json.clone(),
                owner: wake_at.is_none().then(|| self.engine.core.owner.clone()),
                wake_at,
                deadline: self.deadline.map(|after| wake_at.unwrap_or(started).plus(after)),
                version: self.spec.version,
                parent: self.parent.map(|run| run.id.clone()),
                nonce,
                seed,
                fingerprint: self.spec.fingerprint,
                at: started,
            }))
            .await?;
        let Answer::Started(epoch) = answer else { return Ok(Taken::Lost) };
        self.mind(self.deadline.is_some());
        if wake_at.is_some() {
            return Ok(Taken::Left);
        }
        let (id, history, in_background) = (self.id.clone(), Arc::default(), self.intent.is_background());
        let version = self.spec.version;
        let seat = Seat { id, epoch, nonce, seed, version, started, history, in_background, check: None };
        Ok(Taken::Ours { seat, recoveries: 0, input: input.json.clone() })
    }

    /// Takes a run up that nobody executes. If it failed or its body panicked, the failure that escaped is
    /// dropped with the claim; a failed run without one has nothing that could go otherwise, and stays as
    /// it is.
    async fn take_up(&self, run: RunRecord) -> Result<Taken, Error> {
        let bytes_max = self.engine.settings.history_bytes_max;
        let mut history = match self.engine.core.history(self.mode, self.id, bytes_max).await {
            Ok(history) => history,
            Err(source @ StoreError::Corrupt(_)) => {
                let fault = Error::store(self.id, source);
                self.close(&run, End::Halted { fault: fault.to_string(), escaped: run.escaped }).await?;
                return Err(fault);
            }
            Err(source) => return Err(Error::store(self.id, source)),
        };
        let drop = if run.escaped { history.escaped() } else { Vec::new() };
        if run.status == RunStatus::Failed && drop.is_empty() {
            trace::warn(
                Some(self.id),
                "the run failed, and nothing in it that failed runs again by itself, so it would end the same; `Engine::rewind` runs it again from a step",
            );
            let error = run.error.clone().unwrap_or_default();
            // Otherwise it would stay due, and those who wait for it would wait for ever.
            if run.wake_at.is_some() && !self.close(&run, End::Failed(error.clone())).await? {
                return Ok(Taken::Lost);
            }
            return Ok(Taken::Ended(StepStatus::Failed, error));
        }
        // Who had lost a race that is decided anew receives again, so the store drops more than is known here.
        let loses_races = history.holds_decision(&drop);
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
        if loses_races {
            let mut taking = Taking::new(self);
            history = match self.engine.core.history(self.mode, self.id, bytes_max).await {
                Ok(history) => history,
                Err(source) => {
                    taking.give_up().await;
                    return Err(Error::store(self.id, source));
                }
            };
            taking.is_over = true;
        }
        self.mind(run.deadline.is_some());
        let started = run.begins.unwrap_or(run.created);
        let RunRecord { id, nonce, seed, version, input, .. } = run;
        let (history, in_background) = (Arc::new(history), self.intent.is_background());
        let seat = Seat { id, epoch, nonce, seed, version, started, history, in_background, check: None };
        Ok(Taken::Ours { seat, recoveries, input })
    }

    /// Has somebody look after a run that has a deadline.
    fn mind(&self, has_deadline: bool) {
        if has_deadline {
            scheduler::attend(self.engine);
            self.engine.settings.background.attendance.nudge();
        }
    }

    /// Ends a run that is not executed: it has ended before, or its history cannot be read. Whether it was there
    /// to be ended.
    async fn close(&self, run: &RunRecord, end: End) -> Result<bool, Error> {
        let Answer::Claimed(epoch) = self.claim(run, Vec::new(), 0).await? else { return Ok(false) };
        let mut taking = Taking::new(self);
        let finish = Op::Finish(Finish { id: self.id.clone(), epoch, end, at: self.now() });
        match self.engine.core.commit(self.mode, finish).await {
            Ok(_) => taking.is_over = true,
            // The run stays interrupted, which loses nothing, but nobody's.
            Err(_) => taking.give_up().await,
        }
        Ok(true)
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

    /// The same of a run that another call has.
    async fn compare(&self) -> Result<(), Error> {
        let id = self.id.clone();
        let stored = self.engine.core.read(self.mode, move |reader| reader.run(&id)).await;
        stored.map_err(|source| Error::store(self.id, source))?.map_or(Ok(()), |run| self.check(&run))
    }

    /// Commits a start or a claim.
    async fn take(&self, op: Op) -> Result<Answer, Error> {
        let mut taking = Taking::new(self);
        let answered = self.engine.core.commit(self.mode, op).await;
        match answered {
            Err(StoreError::Unknown { .. }) => taking.give_up().await,
            _ => taking.is_over = true,
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
    /// It has ended, with this.
    Ended(StepStatus, String),
    /// It is not for this call to execute it.
    Left,
    /// Somebody else was faster: look again.
    Lost,
}
