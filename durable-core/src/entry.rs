//! The way into a run and out of it: look at what is stored, take the run or wait for its owner, call the
//! function, record how it ended. The rows of the README's table "what a second call does" are decided here.
//! Whoever holds a run gives it up on every way out, a dropped future included.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Pause, Timestamp};
use crate::core::{Core, Reservation};
use crate::draw;
use crate::engine::Engine;
use crate::error::{Error, InputMismatch};
use crate::history::History;
use crate::key::{Position, StepKey, WorkflowId};
use crate::memo::WorkflowSpec;
use crate::run::{Mode, Run, Seat};
use crate::signal::{Given, Signal};
use crate::store::{
    Answer, Claim, Disown, End, Epoch, Finish, Op, OwnerId, Release, RunRecord, RunStatus, Start, StepStatus,
    StoreError,
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
    pub(crate) fingerprint_of: &'a dyn Fn(&str) -> Result<u64, Error>,
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
                Self::Poll(_waiting) => Pause::new(Arc::clone(&engine.settings.clock), POLL_EVERY).await,
            }
        };
        if let Some(run) = parent {
            return run.unless_stopped(wait).await;
        }
        wait.await;
        Ok(())
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
    panicked: Option<String>,
    over: bool,
    at: Timestamp,
    _reservation: Reservation,
    _waiting: Waiting,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A forked child has only a copy of what its parent owns.
        if !self.over && self.core.check_process().is_ok() {
            let (id, epoch, panicked, at) = (self.id.clone(), self.epoch, self.panicked.take(), self.at);
            self.core.commits.commit_soon(Op::Release(Release { id, epoch, panicked, at }));
        }
    }
}

impl Request<'_> {
    /// Looks at the store once.
    pub(crate) fn admit(&self) -> Result<Admission, Error> {
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
            let stored = core.reader().run(self.id).map_err(|source| Error::store(self.id, source))?;
            let taken = match stored {
                None => self.start()?,
                Some(run) => {
                    self.check(&run)?;
                    if is_live(core, self.id, run.owner.as_ref())? {
                        return Ok(Admission::Wait(Wait::Poll(waiting)));
                    }
                    match run.status {
                        RunStatus::Completed => {
                            return Ok(Admission::Ended(
                                StepStatus::Completed,
                                run.output.unwrap_or_default(),
                            ));
                        }
                        _ => self.take_up(run)?,
                    }
                }
            };
            match taken {
                Taken::Ended(error) => return Ok(Admission::Ended(StepStatus::Failed, error)),
                Taken::Lost => {}
                Taken::Ours { seat, recoveries, input } => {
                    let (id, epoch, at) = (seat.id.clone(), seat.epoch, self.now());
                    let run = Run::new(Arc::clone(core), Arc::clone(&self.engine.settings), seat, self.mode);
                    let core = Arc::clone(core);
                    let lease = Lease {
                        core,
                        id,
                        epoch,
                        panicked: None,
                        over: false,
                        at,
                        _reservation: reservation,
                        _waiting: waiting,
                    };
                    return Ok(Admission::Run(Held { run, recoveries, lease }, input));
                }
            }
        }
    }

    /// Inserts the run, owned by this engine.
    fn start(&self) -> Result<Taken, Error> {
        let Some(input) = self.input else { return Err(Error::UnknownRun { workflow: self.id.clone() }) };
        let (nonce, started) = (draw::fresh(), self.now());
        let seed = self.engine.settings.seed.unwrap_or_else(draw::fresh);
        let answer = self.take(Op::Start(Start {
            id: self.id.clone(),
            name: self.spec.name.to_owned(),
            input: input.json.clone(),
            owner: self.engine.core.owner.clone(),
            parent: self.parent.map(|run| run.id.clone()),
            nonce,
            seed,
            fingerprint: self.spec.fingerprint,
            at: started,
        }))?;
        let Answer::Started(epoch) = answer else { return Ok(Taken::Lost) };
        let seat = Seat { id: self.id.clone(), epoch, nonce, seed, started, history: History::default() };
        Ok(Taken::Ours { seat, recoveries: 0, input: input.json.clone() })
    }

    /// Takes a run up that nobody executes. If it failed or its body panicked, the failure that escaped is
    /// dropped with the claim; a failed run without one has nothing that could go otherwise, and stays as
    /// it is.
    fn take_up(&self, run: RunRecord) -> Result<Taken, Error> {
        let steps = self.engine.core.reader().steps(self.id, None, u32::MAX);
        let steps = match steps {
            Ok(steps) => steps,
            Err(source @ StoreError::Corrupt(_)) => return self.halt(&run, Error::store(self.id, source)),
            Err(source) => return Err(Error::store(self.id, source)),
        };
        let mut history = History::new(steps);
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
        let Answer::Claimed(epoch) = self.claim(&run, drop, recoveries)? else { return Ok(Taken::Lost) };
        let RunRecord { id, nonce, seed, created: started, input, .. } = run;
        Ok(Taken::Ours { seat: Seat { id, epoch, nonce, seed, started, history }, recoveries, input })
    }

    /// Records that a run cannot go on, since its history cannot be read.
    fn halt(&self, run: &RunRecord, fault: Error) -> Result<Taken, Error> {
        if let Answer::Claimed(epoch) = self.claim(run, Vec::new(), 0)? {
            let end = End::Halted { fault: fault.to_string(), escaped: run.escaped };
            let (id, at) = (self.id.clone(), self.now());
            let finish = Op::Finish(Finish { id: id.clone(), epoch, end, at });
            if self.engine.core.commits.commit(finish).is_err() {
                // The run stays interrupted, which loses nothing, but nobody's.
                let release = Op::Release(Release { id, epoch, panicked: None, at });
                self.engine.core.commits.commit_soon(release);
            }
        }
        Err(fault)
    }

    fn claim(&self, run: &RunRecord, drop: Vec<Position>, recoveries: u32) -> Result<Answer, Error> {
        let (id, owner, at) = (self.id.clone(), self.engine.core.owner.clone(), self.now());
        self.take(Op::Claim(Claim { id, expected: run.epoch, owner, drop, recoveries, at }))
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
    fn take(&self, op: Op) -> Result<Answer, Error> {
        let Core { commits, owner, .. } = &*self.engine.core;
        commits.commit(op).map_err(|source| {
            if matches!(source, StoreError::Unknown { .. }) {
                let (id, owner, at) = (self.id.clone(), owner.clone(), self.now());
                commits.commit_soon(Op::Disown(Disown { id, owner, at }));
            }
            Error::store(self.id, source)
        })
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
    pub(crate) fn finish(mut self, end: End) -> Result<(), Error> {
        self.report_unreached();
        self.end(end)
    }

    /// Gives the run up after a fault: halted if it would come again, interrupted otherwise.
    pub(crate) fn give_up(mut self, fault: &Error) {
        // Somebody else owns it now: there is nothing to give up.
        self.lease.over = matches!(fault, Error::LostOwnership { workflow } if *workflow == self.run.id);
        if fault.would_come_again() {
            // If this cannot be written either, the run stays interrupted, which loses nothing.
            _ = self.end(End::Halted { fault: fault.to_string(), escaped: false });
        }
    }

    /// Gives the run up after a panic of its body; halts it if it was taken up too often by now.
    pub(crate) fn give_up_panicked(mut self, message: &str) -> Error {
        let fault = Error::Panicked { workflow: self.run.id.clone(), message: message.to_owned() };
        if self.recoveries >= self.run.settings.recoveries_max {
            _ = self.end(End::Halted { fault: fault.to_string(), escaped: true });
        } else {
            self.lease.panicked = Some(message.to_owned());
            self.lease.at = self.run.settings.clock.now();
        }
        fault
    }

    fn end(&mut self, end: End) -> Result<(), Error> {
        let run = &self.run;
        run.core.check_process()?;
        let (id, epoch, at) = (run.id.clone(), run.epoch, run.settings.clock.now());
        let answer = run.core.commits.commit(Op::Finish(Finish { id, epoch, end, at }));
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
