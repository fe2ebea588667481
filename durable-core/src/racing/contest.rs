//! The position of a race, and the record of who decided it. The one rule: a decision is recorded before anybody
//! hears of it, and once it is recorded, the branch that it names is the only one that there is.
//! Knows no futures of the user's.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::args::{Args, ArgsSink};
use crate::call::{Call, Recording};
use crate::clock::Timestamp;
use crate::error::{Error, Overlap};
use crate::fork::{Here, Plain};
use crate::key::{Position, Site};
use crate::outcome::Encoded;
use crate::run::{Ambient, Run};
use crate::scope::Scope;
use crate::store::{Effect, Kind, StepStatus};

/// A fault, and the run that it ends.
pub(super) type Fault = (Arc<Run>, Error);

/// A race under way.
pub(super) struct Contest {
    kind: Kind,
    name: &'static str,
    site: Site,
    /// The stream whose next branch it is about.
    of: Option<Position>,
    stage: Stage,
    /// Those of the branches, where there is a scope to number them in.
    scopes: Vec<Arc<Scope>>,
}

enum Stage {
    New,
    /// Outside the body of a workflow nothing is recorded.
    Plain(Plain),
    /// Nobody has decided it.
    Open(Box<Call>),
    /// This branch decided it then, by what is recorded.
    Decided(Box<Call>, u32, Timestamp),
    /// It is decided now, and that is being recorded.
    Recording(Box<Recording>),
    Stopped(Arc<Run>),
    Done,
}

/// What the branches of a race run in, in their order.
pub struct Insides(pub(super) std::vec::IntoIter<Ambient>);

impl Contest {
    pub(super) fn new(kind: Kind, name: &'static str, site: Site) -> Self {
        Self { kind, name, site, of: None, stage: Stage::New, scopes: Vec::new() }
    }

    /// Which branch of the stream that stands at `of` comes next.
    pub(super) fn of(of: Option<Position>, site: Site) -> Self {
        let mut contest = Self::new(Kind::Next, "next", site);
        contest.of = of;
        contest
    }

    /// Takes the next position for a race of so many branches, and looks for its decision there.
    pub(super) fn begin(&mut self, count: u32) -> Result<Option<u32>, Fault> {
        let scope = match Here::of(self.name) {
            Here::Scope(scope) => scope,
            Here::Plain(plain) => {
                self.stage = Stage::Plain(plain);
                return Ok(None);
            }
        };
        let args = self.of.as_ref().map(|of| {
            let mut args = ArgsSink::new();
            args.record(&of.to_string());
            // Another stream is told by its position alone.
            Args { fingerprint: None, ..args.finish() }
        });
        let begun = Call::begin(&scope, self.kind, self.name, self.site, args.unwrap_or_default());
        let begun = begun.and_then(|mut call| Ok((call.decision(count, self.of.as_ref())?, Box::new(call))));
        let (decision, call) = begun.map_err(|fault| {
            self.stage = Stage::Stopped(Arc::clone(&scope.run));
            (Arc::clone(&scope.run), fault)
        })?;
        self.stage = match decision {
            Some((winner, at)) => Stage::Decided(call, winner, at),
            None => Stage::Open(call),
        };
        Ok(decision.map(|(winner, _)| winner))
    }

    /// What the branches of the race run in that has begun.
    pub(super) fn insides(&mut self, count: u32) -> Insides {
        let insides: Vec<_> = match &self.stage {
            Stage::Plain(plain) => (0..count).map(|index| plain.branch(index)).collect(),
            Stage::Open(call) | Stage::Decided(call, ..) => {
                self.scopes = (0..count).map(|index| call.ticket.branch(index)).collect();
                self.scopes.iter().map(|scope| Ambient::Inside(Arc::clone(scope))).collect()
            }
            Stage::New | Stage::Recording(_) | Stage::Stopped(_) | Stage::Done => Vec::new(),
        };
        if let Stage::Decided(call, winner, _) = &self.stage {
            self.abandon_losers(call, *winner);
        }
        Insides(insides.into_iter())
    }

    /// The error for a race that is polled where it does not belong.
    pub(super) fn moved(&self) -> Option<Fault> {
        let ticket = &self.call()?.ticket;
        let scope = &ticket.scope;
        Some((Arc::clone(&scope.run), scope.unstructured(&ticket.what, &ticket.what, Overlap::Moved)))
    }

    /// The run that it is numbered in.
    pub(super) fn run(&self) -> Option<&Arc<Run>> {
        self.call().map(Call::run)
    }

    fn call(&self) -> Option<&Call> {
        match &self.stage {
            Stage::Open(call) | Stage::Decided(call, ..) => Some(call),
            Stage::Recording(recording) => Some(&recording.call),
            Stage::New | Stage::Plain(_) | Stage::Stopped(_) | Stage::Done => None,
        }
    }

    /// The run and the fault, once the run is stopped.
    pub(super) fn fault(&self) -> Option<Fault> {
        let run = match &self.stage {
            Stage::Stopped(run) => run,
            _ => self.call()?.run(),
        };
        run.fault().map(|fault| (Arc::clone(run), fault.clone()))
    }

    /// That the run goes on, and that the race is polled in the scope that it began in.
    pub(super) fn check(&self) -> Result<(), Fault> {
        if let Some(fault) = self.fault() {
            return Err(fault);
        }
        let Some(call) = self.call() else { return Ok(()) };
        call.ticket.check_here().map_err(|fault| (Arc::clone(call.run()), fault))
    }

    /// Branch `winner` has decided it, and left nothing under way unless it panicked. `status` tells a decision
    /// that came from a failure.
    pub(super) fn decide(
        &mut self,
        winner: u32,
        status: StepStatus,
        has_panicked: bool,
    ) -> Result<(), Fault> {
        if !has_panicked {
            self.check_ended(self.scope(winner))?;
        }
        if !matches!(self.stage, Stage::Open(_)) {
            return Ok(());
        }
        let Stage::Open(call) = std::mem::replace(&mut self.stage, Stage::Done) else { return Ok(()) };
        let run = Arc::clone(call.run());
        let outcome = Encoded { status, json: winner.to_string() };
        let recording = match self.kind {
            // The other branches go on.
            Kind::Next => call.submit(outcome, 1),
            _ => call.submit_with(outcome, Effect::Decide(winner)),
        };
        let recording = recording.map_err(|fault| {
            self.stage = Stage::Stopped(Arc::clone(&run));
            (run, fault)
        })?;
        self.stage = Stage::Recording(Box::new(recording));
        Ok(())
    }

    /// Ready once it is recorded that branch `winner` has decided it, which ends the race.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>, winner: u32) -> Poll<Result<(), Fault>> {
        if let Stage::Recording(recording) = &mut self.stage
            && let Err(fault) = ready!(recording.poll(cx))
        {
            return Poll::Ready(Err((Arc::clone(recording.call.run()), fault)));
        }
        let (call, at) = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Recording(recording) => (recording.call, recording.at),
            Stage::Decided(call, _, at) => (*call, at),
            _ => return Poll::Ready(Ok(())),
        };
        self.abandon_losers(&call, winner);
        if let Some(scope) = self.scope(winner) {
            call.ticket.scope.pass(scope.last());
        }
        call.end(at);
        Poll::Ready(Ok(()))
    }

    /// All branches have ended and none has decided it: there is nothing to record.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        if let Stage::Decided(call, winner, at) = &self.stage {
            let branches = u32::try_from(self.scopes.len()).unwrap_or(u32::MAX);
            return Err((Arc::clone(call.run()), call.misdecided(*winner, branches, *at)));
        }
        self.check_ended(&self.scopes)?;
        let last = self.scopes.iter().map(|scope| scope.last()).max();
        if let Stage::Open(call) = std::mem::replace(&mut self.stage, Stage::Done) {
            let last = last.unwrap_or_else(|| call.ticket.scope.last());
            call.end(last);
        }
        Ok(())
    }

    fn scope(&self, branch: u32) -> Option<&Arc<Scope>> {
        self.scopes.get(branch as usize)
    }

    /// That no operation was left in these branches.
    fn check_ended<'s>(&self, scopes: impl IntoIterator<Item = &'s Arc<Scope>>) -> Result<(), Fault> {
        let Some(call) = self.call() else { return Ok(()) };
        let ended = scopes.into_iter().try_for_each(|scope| scope.check_ended(&call.ticket.what));
        ended.map_err(|fault| (Arc::clone(call.run()), fault))
    }

    /// The other branches have lost: what they call when they are dropped is no part of the run, and what is
    /// recorded of them is not left over.
    fn abandon_losers(&self, call: &Call, winner: u32) {
        if self.scopes.is_empty() {
            return;
        }
        for (_, scope) in (0..).zip(&self.scopes).filter(|(index, _)| *index != winner) {
            scope.abandon();
        }
        call.run().history.pass_over(call.ticket.position.path(), |branch| branch == winner);
    }
}

impl Drop for Contest {
    /// Only timing can have dropped it before its end, even if a panic did.
    fn drop(&mut self) {
        match &mut self.stage {
            Stage::Open(call) | Stage::Decided(call, ..) => call.ticket.drop_in_flight(),
            Stage::Recording(recording) => recording.call.ticket.drop_in_flight(),
            Stage::New | Stage::Plain(_) | Stage::Stopped(_) | Stage::Done => {}
        }
    }
}
