//! A durable operation under way: it holds its position, knows what was recorded there, and records its
//! outcome. The one rule: what is recorded at a position is only used by an operation of the same kind and
//! name; every other one is a divergence.
//! Knows no SQL, no JSON and no body.

mod check;
mod found;
mod recording;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use self::found::Unread;
pub(crate) use self::found::{Found, Known, Reading};
pub(crate) use self::recording::Recording;
use crate::args::Args;
use crate::clock::Timestamp;
use crate::error::{Difference, Divergence, Error, Operation, kind_word};
use crate::failed::{FailureKind, StepFailed};
use crate::history::Recorded;
use crate::key::{Position, Site, StepKey};
use crate::outcome::{Encoded, Undecodable, Unstorable, encode_failed};
use crate::run::{Mode, Run, Slot};
use crate::scope::{Scope, Ticket, What};
use crate::store::{Act, Answer, Effect, Kind, Op, StepRecord};
use crate::{build, trace};

/// A durable operation under way.
pub(crate) struct Call {
    pub(crate) ticket: Ticket,
    /// Made when somebody asks for it, which a replay does not.
    key: OnceLock<StepKey>,
    /// When it was found that nothing is recorded; before, the time of its scope.
    pub(crate) started: Timestamp,
    kind: Kind,
    args: Args,
    slot: Slot,
}

impl Call {
    /// Takes the next position of `scope`.
    pub(crate) fn begin(
        scope: &Arc<Scope>,
        kind: Kind,
        name: &'static str,
        site: Site,
        args: Args,
    ) -> Result<Self, Error> {
        let ticket = scope.begin(What { name, kind: kind_word(kind), site })?;
        let (key, started) = (OnceLock::new(), scope.last());
        Ok(Self { ticket, key, started, kind, args, slot: Slot::New })
    }

    pub(crate) fn key(&self) -> &StepKey {
        self.key.get_or_init(|| StepKey::new(self.ticket.what.name, &self.ticket.position))
    }

    pub(crate) fn run(&self) -> &Arc<Run> {
        &self.ticket.scope.run
    }

    /// Looks at what is recorded at this position.
    pub(crate) fn look(mut self) -> Result<Found, Error> {
        let Some(step) = self.recorded()? else {
            self.check_unrecorded();
            self.started = self.run().settings.clock.now();
            return Ok(Found::Known(Known::Nothing(self)));
        };
        if step.is_begun() && self.later().is_none() {
            self.check_begun();
        }
        let (output, number) = (step.output(), step.number);
        Ok(match output {
            Some(text) => Found::Known(Known::Output(self, text)),
            None => Found::Unread(Unread { call: self, number }),
        })
    }

    /// Which of its `branches` is recorded to have decided this race, and when; `None` if that is open. `of` is
    /// where the stream stands whose next branch it is about.
    pub(crate) fn decision(
        &mut self,
        branches: u32,
        of: Option<&Position>,
    ) -> Result<Option<(u32, Timestamp)>, Error> {
        let Some(step) = self.recorded()? else {
            // In a check the run goes on here: its branches are not looked into.
            self.check_open();
            self.started = self.run().settings.clock.now();
            return Ok(None);
        };
        // It is in memory twice until somebody takes it.
        drop(step.output());
        let Some(decision) = step.decision().filter(|decision| decision.of() == of.map(Position::path))
        else {
            return Err(self.diverges(
                step,
                recorded_operation(step),
                Difference::Operation { nearest: None },
            ));
        };
        match decision.branch().map_err(|source| self.undecodable(source))? {
            branch if branch < branches => Ok(Some((branch, step.timestamp()))),
            branch => Err(self.misdecided(branch, branches, step.timestamp())),
        }
    }

    /// The error for a race whose decision, recorded at `at`, this execution cannot come to.
    pub(crate) fn misdecided(&self, branch: u32, branches: u32, at: Timestamp) -> Error {
        let operation = self.ticket.what.operation();
        Error::Divergence(Box::new(Divergence {
            workflow: self.run().id.clone(),
            position: self.ticket.position.clone(),
            recorded: operation.clone(),
            age: self.run().settings.clock.now().since(at),
            found: operation,
            difference: Difference::Decision { branch, branches },
        }))
    }

    /// What is recorded at this position, once it is known to be of this operation.
    fn recorded(&self) -> Result<Option<Recorded<'_>>, Error> {
        let (run, path) = (self.run(), self.ticket.position.path());
        match run.history.reach(path) {
            Some(step) if step.kind().is_like(self.kind) && step.name() == self.ticket.what.name => {
                self.check_args(step)?;
                Ok(Some(step))
            }
            Some(step) => Err(self.diverges(step, recorded_operation(step), self.moved())),
            None => match run.history.first_below(path) {
                Some(inner) if !self.is_around(inner) => {
                    Err(self.diverges(inner, construct_around(inner), self.moved()))
                }
                _ => match self.later() {
                    Some(later) => {
                        let missing = Difference::Missing { later: later.key() };
                        Err(self.diverges(later, recorded_operation(later), missing))
                    }
                    None => Ok(None),
                },
            },
        }
    }

    /// The first operation recorded after this position, which the run came to once this one had ended. None
    /// for a child, whose row is missing where a panic passed through it and was caught, nor for branches that
    /// all had to succeed, whose row is missing where they did.
    fn later(&self) -> Option<Recorded<'_>> {
        let (history, mut path) = (&self.run().history, self.ticket.position.path());
        let leaves_a_row = !matches!(self.kind, Kind::Child | Kind::TryJoin);
        let mut scope = leaves_a_row.then_some(&self.ticket.scope);
        while let Some(branch) = scope {
            if let Some(later) = history.first_after(path) {
                return Some(later);
            }
            if branch.is_optional() {
                return None;
            }
            path = &path[..branch.path().len().saturating_sub(1)];
            scope = branch.parent();
        }
        None
    }

    /// Whether `inner`, recorded below this position, can have been recorded by this operation.
    fn is_around(&self, inner: Recorded<'_>) -> bool {
        let direct = inner.path().len() == self.ticket.position.path().len() + 2;
        let has_branches = matches!(self.kind, Kind::Child | Kind::Race | Kind::TryJoin);
        has_branches && (!direct || inner.scope() == Some(self.ticket.what.name))
    }

    /// The same build calls a step with the same arguments on replay; a new build may have changed their
    /// type.
    fn check_args(&self, step: Recorded<'_>) -> Result<(), Error> {
        let (Some(recorded), Some(found)) = (step.args_fingerprint(), self.args.fingerprint) else {
            return Ok(());
        };
        if recorded == found {
            return Ok(());
        }
        if step.build() == build::id() {
            return Err(self.diverges(step, recorded_operation(step), Difference::Arguments));
        }
        if let Some(check) = self.run().check() {
            check.note(|seen| seen.other_arguments.push(self.key().clone()));
            return Ok(());
        }
        let message = format!(
            "step {} was recorded by another build with other arguments; its result is used",
            self.key()
        );
        trace::warn(Some(&self.run().id), &message);
        Ok(())
    }

    fn moved(&self) -> Difference {
        let nearest = self.run().history.nearest(self.ticket.what.name, self.kind, &self.ticket.position);
        Difference::Operation { nearest }
    }

    fn diverges(&self, step: Recorded<'_>, recorded: Operation, difference: Difference) -> Error {
        diverges(&self.ticket, step, recorded, difference)
    }

    /// Records that the operation begins, before it does. If nothing takes the place of that, it is the outcome.
    pub(crate) fn begin_once(&mut self) -> Result<(), Error> {
        self.record(self.interrupted()?, 0)?;
        self.slot = Slot::Begun;
        Ok(())
    }

    /// Hands over to be recorded that the operation begins.
    pub(crate) fn submit_begin(self) -> Result<Recording, Error> {
        let interrupted = self.interrupted()?;
        let mut recording = self.submit(interrupted, 0)?;
        recording.call.slot = Slot::Begun;
        Ok(recording)
    }

    /// Whether it is recorded that the operation has begun.
    pub(crate) fn is_begun(&self) -> bool {
        self.slot == Slot::Begun
    }

    /// A fork has this text too, also where what is recorded later rests on it: so it says in which run the step began,
    /// and not in which it is read.
    fn interrupted(&self) -> Result<Encoded, Error> {
        let (workflow, key) = (&self.run().id, self.key().as_str());
        let message = format!(
            "it runs at most once and had begun in workflow {workflow:?}, but how it ended was never recorded, so nobody \
             knows whether it took effect; `Engine::rewind(id, {key:?})` has it run again, there or in a fork (declared \
             at {})",
            self.ticket.what.site
        );
        let failed = StepFailed::new(FailureKind::Interrupted, key, message, 0);
        encode_failed(failed).map_err(|source| self.unstorable(source))
    }

    /// Records an outcome at this position, and returns the time of that. The operation is still under way.
    pub(crate) fn record(&mut self, outcome: Encoded, attempts: u32) -> Result<Timestamp, Error> {
        let row = self.row(outcome, attempts);
        let at = row.timestamp;
        self.run().record(row, self.slot)?;
        Ok(at)
    }

    /// Hands an outcome over to be recorded at this position.
    pub(crate) fn submit(self, outcome: Encoded, attempts: u32) -> Result<Recording, Error> {
        let row = self.row(outcome.clone(), attempts);
        let at = row.timestamp;
        let submitted = self.run().submit(row, self.slot)?;
        Ok(Recording { call: self, outcome, at, submitted })
    }

    /// The same, with what it does.
    pub(crate) fn submit_with(self, outcome: Encoded, effect: Effect) -> Result<Recording, Error> {
        let step = self.row(outcome.clone(), 1);
        let at = step.timestamp;
        let submitted = self.run().submit_act(step, effect)?;
        Ok(Recording { call: self, outcome, at, submitted })
    }

    /// Records the outcome of an operation that the engine itself has done, and ends it.
    pub(crate) async fn conclude(mut self, outcome: Encoded, mode: Mode) -> Result<(), Error> {
        match mode {
            Mode::Called => {
                let at = self.record(outcome, 1)?;
                self.end(at);
            }
            Mode::Polled => {
                let (call, at) = self.submit(outcome, 1)?.done().await;
                call.end(at);
            }
        }
        Ok(())
    }

    /// Records an outcome of the engine's own in one transaction with what it does. The operation, which is still
    /// under way, when it was recorded, and [`Answer::Done`]; or another answer, with which neither was done.
    pub(crate) async fn act(
        self,
        outcome: Encoded,
        effect: Effect,
        mode: Mode,
    ) -> Result<(Self, Timestamp, Answer), Error> {
        let step = self.row(outcome, 1);
        let (run, at) = (self.run(), step.timestamp);
        let record = run.to_record(step, self.slot)?;
        let markers = record.markers.clone();
        let op = Op::Act(Act { record, effect });
        match self.here(run.core.commit(mode, op)).await? {
            Ok(answer @ (Answer::Lost | Answer::Undelivered(_))) => Ok((self, at, answer)),
            answered => {
                self.here(run.settled(answered, &markers)).await??;
                Ok((self, at, Answer::Done))
            }
        }
    }

    /// Waits for `future`, as long as this operation is polled where it began.
    pub(crate) async fn here<F: Future>(&self, future: F) -> Result<F::Output, Error> {
        let mut future = pin!(future);
        poll_fn(|cx| match self.ticket.check_here() {
            Ok(()) => future.as_mut().poll(cx).map(Ok),
            Err(fault) => Poll::Ready(Err(fault)),
        })
        .await
    }

    fn row(&self, outcome: Encoded, attempts: u32) -> StepRecord {
        self.check_open();
        let run = self.run();
        if outcome.json.len() > run.settings.payload_warn_bytes {
            trace::warn(Some(&run.id), &format!("step {} records {} bytes", self.key(), outcome.json.len()));
        }
        StepRecord {
            position: self.ticket.position.clone(),
            name: self.ticket.what.name.to_owned(),
            kind: self.kind,
            scope: self.ticket.scope.label().map(str::to_owned),
            status: outcome.status,
            output: outcome.json,
            args_fingerprint: self.args.fingerprint,
            args: self.args.recorded.clone(),
            site: self.ticket.what.site.to_string(),
            attempts,
            started: self.started,
            timestamp: run.settings.clock.now(),
            epoch: run.epoch,
            build: build::id(),
            edited: false,
        }
    }

    /// Ends the operation, at `at` by what is recorded.
    pub(crate) fn end(self, at: Timestamp) {
        self.ticket.end(at);
    }

    pub(crate) fn unstorable(&self, source: Unstorable) -> Error {
        let (workflow, step, site) = (self.run().id.clone(), self.key().to_string(), self.ticket.what.site);
        Error::Unstorable { workflow, step, site, source: Arc::new(source) }
    }

    pub(crate) fn undecodable(&self, source: Undecodable) -> Error {
        let (workflow, step, site) = (self.run().id.clone(), self.key().to_string(), self.ticket.what.site);
        Error::Undecodable { workflow, step, site, source: Arc::new(source) }
    }
}

/// The error for a position where `step`, part of `recorded`, was recorded and something else is found.
pub(crate) fn diverges(
    ticket: &Ticket,
    step: Recorded<'_>,
    recorded: Operation,
    difference: Difference,
) -> Error {
    let run = &ticket.scope.run;
    Error::Divergence(Box::new(Divergence {
        workflow: run.id.clone(),
        position: ticket.position.clone(),
        recorded,
        age: run.settings.clock.now().since(step.timestamp()),
        found: ticket.what.operation(),
        difference,
    }))
}

/// A recorded operation as errors name it.
pub(crate) fn recorded_operation(step: Recorded<'_>) -> Operation {
    Operation::new(step.name(), kind_word(step.kind()), &step.site())
}

/// The operation that `inner` was recorded in a branch of.
pub(crate) fn construct_around(inner: Recorded<'_>) -> Operation {
    let name = inner.scope().unwrap_or("branches");
    Operation::new(name, "construct", &format_args!("its step {} is at {}", inner.key(), inner.site()))
}
