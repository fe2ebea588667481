//! One parallel construct of a workflow: it takes one position, and gives each branch a scope below it.
//! Branches are numbered by the construct before they start, so every interleaving gives the same keys.
//! Knows neither threads nor futures; outside a workflow's body it only hands the context on.

use std::any::Any;
use std::sync::Arc;

use crate::call::{construct_around, diverges, recorded_operation};
use crate::clock::Timestamp;
use crate::error::{Difference, Error};
use crate::key::{Position, Site, StepKey};
use crate::memo::is_unwinding;
use crate::run::{Ambient, Run, StepContext, Stopped};
use crate::scope::{CONSTRUCT, Scope, Ticket, What};
use crate::sync::{Mutex, into_inner, lock};

/// A panic on its way through a construct.
pub(crate) type Panic = Box<dyn Any + Send>;

/// A construct under way.
pub struct Fork(Inner);

enum Inner {
    Plain(Plain),
    Numbered(Numbered),
}

struct Numbered {
    ticket: Ticket,
    branches: Mutex<Vec<Arc<Scope>>>,
}

/// Where a construct begins.
pub(crate) enum Here {
    /// In the body of a workflow, or in a branch of it.
    Scope(Arc<Scope>),
    /// Elsewhere: its branches are plain.
    Plain(Plain),
}

/// What the plain branches of a construct find.
pub(crate) struct Plain(Ambient);

impl Here {
    /// Where the construct `name` begins now.
    pub(crate) fn of(name: &'static str) -> Self {
        match Ambient::current() {
            Ambient::Inside(scope) if !is_unwinding(&scope) => Self::Scope(scope),
            Ambient::Inside(scope) => {
                Self::Plain(Plain(Ambient::InStep(StepContext::unwinding(&scope.run, name))))
            }
            Ambient::InStep(step) => Self::Plain(Plain(Ambient::InStep(step.call(name)))),
            ambient => Self::Plain(Plain(ambient)),
        }
    }
}

impl Plain {
    /// What branch `index` runs in.
    pub(crate) fn branch(&self, index: u32) -> Ambient {
        match &self.0 {
            Ambient::InStep(construct) => Ambient::InStep(construct.branch(index)),
            ambient => ambient.clone(),
        }
    }
}

impl Fork {
    /// Begins the construct `name`. Outside the body of a workflow its branches are plain.
    pub(crate) fn begin(name: &'static str, site: Site) -> Result<Self, (Arc<Run>, Error)> {
        let scope = match Here::of(name) {
            Here::Scope(scope) => scope,
            Here::Plain(plain) => return Ok(Self(Inner::Plain(plain))),
        };
        let begun = scope.begin(What { name, kind: CONSTRUCT, site }).and_then(|ticket| {
            check(&ticket)?;
            check_open(&ticket);
            Ok(Numbered { ticket, branches: Mutex::default() })
        });
        match begun {
            Ok(numbered) => Ok(Self(Inner::Numbered(numbered))),
            Err(fault) => Err((Arc::clone(&scope.run), fault)),
        }
    }

    /// A construct belongs to the scope that it began in, whoever polls it.
    pub(crate) fn check_here(&self) -> Result<(), (Arc<Run>, Error)> {
        let Inner::Numbered(Numbered { ticket, .. }) = &self.0 else { return Ok(()) };
        ticket.check_here().map_err(|fault| (Arc::clone(&ticket.scope.run), fault))
    }

    /// What branch `index` runs in.
    pub(crate) fn branch(&self, index: u32) -> Ambient {
        match &self.0 {
            Inner::Plain(plain) => plain.branch(index),
            Inner::Numbered(Numbered { ticket, branches }) => {
                let scope = ticket.branch(index);
                lock(branches).push(Arc::clone(&scope));
                Ambient::Inside(scope)
            }
        }
    }

    /// The run whose construct this is.
    pub(crate) fn run(&self) -> Option<&Arc<Run>> {
        match &self.0 {
            Inner::Plain(_) => None,
            Inner::Numbered(numbered) => Some(&numbered.ticket.scope.run),
        }
    }

    /// The run and the fault, once the run is stopped.
    pub(crate) fn fault(&self) -> Option<(Arc<Run>, Error)> {
        let run = self.run()?;
        run.fault().map(|fault| (Arc::clone(run), fault.clone()))
    }

    /// That no operation was left in the branches, which have ended without a panic.
    pub(crate) fn check_ended(&self) -> Result<(), (Arc<Run>, Error)> {
        let Inner::Numbered(Numbered { ticket, branches }) = &self.0 else { return Ok(()) };
        let branches = lock(branches);
        check_over(ticket, &branches);
        let ended = branches.iter().try_for_each(|scope| scope.check_ended(&ticket.what));
        ended.map_err(|fault| (Arc::clone(&ticket.scope.run), fault))
    }

    /// All branches have ended: the construct ends at the time of the last thing recorded in them.
    pub(crate) fn end(self) {
        let Inner::Numbered(Numbered { ticket, branches }) = self.0 else { return };
        let branches = into_inner(branches);
        check_over(&ticket, &branches);
        let last = branches.iter().map(|scope| scope.last()).max();
        let last: Timestamp = last.unwrap_or_else(|| ticket.scope.last());
        ticket.end(last);
    }
}

/// A construct that goes on beside what follows it: it has its position, and is not under way any more.
pub(crate) enum Home {
    Plain(Plain),
    Numbered(Place),
}

/// Where such a construct stands.
pub(crate) struct Place {
    pub(crate) scope: Arc<Scope>,
    pub(crate) position: Position,
    pub(crate) what: What,
    /// The time of the scope then.
    started: Timestamp,
}

impl Home {
    /// Begins the construct `name`, and ends it for its scope.
    pub(crate) fn begin(name: &'static str, site: Site) -> Result<Self, (Arc<Run>, Error)> {
        Ok(match Fork::begin(name, site)?.0 {
            Inner::Plain(plain) => Self::Plain(plain),
            Inner::Numbered(Numbered { ticket, .. }) => {
                let (scope, started) = (Arc::clone(&ticket.scope), ticket.scope.last());
                let (position, what) = (ticket.position.clone(), ticket.what);
                ticket.end(started);
                scope.open();
                Self::Numbered(Place { scope, position, what, started })
            }
        })
    }

    /// Where it stands, if that is numbered.
    pub(crate) fn place(&self) -> Option<&Place> {
        match self {
            Self::Plain(_) => None,
            Self::Numbered(place) => Some(place),
        }
    }

    /// What branch `index` runs in.
    pub(crate) fn branch(&self, index: u32) -> Ambient {
        match self {
            Self::Plain(plain) => plain.branch(index),
            Self::Numbered(Place { scope, position, what, started }) => {
                Ambient::Inside(scope.branch(position, *what, index, *started))
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.scope.close();
    }
}

/// Whether this is a panic of the user's, and not the way in which a run or a check ends.
pub(crate) fn is_own(panic: &Panic) -> bool {
    !panic.is::<Stopped>()
}

/// In a check: a construct that no execution came to yet is where the run would go on.
fn check_open(ticket: &Ticket) {
    let Some(check) = ticket.scope.run.check() else { return };
    if !ticket.scope.is_passed(&ticket.position) {
        check.note(|seen| seen.goes_on_with.push(StepKey::new(ticket.what.name, &ticket.position)));
        ticket.scope.end_check(check);
    }
}

/// In a check: where the body of a branch was ended, nothing after the construct is known.
fn check_over(ticket: &Ticket, branches: &[Arc<Scope>]) {
    let Some(check) = ticket.scope.run.check() else { return };
    if branches.iter().any(|branch| branch.is_over()) {
        ticket.scope.end_check(check);
    }
}

/// At the position of a construct there is no row; what is recorded below it is from the same construct.
fn check(ticket: &Ticket) -> Result<(), Error> {
    let history = &ticket.scope.run.history;
    let moved = || Difference::Operation { nearest: None };
    if let Some(step) = history.reach(ticket.position.path()) {
        return Err(diverges(ticket, step, recorded_operation(step), moved()));
    }
    match history.first_below(ticket.position.path()) {
        Some(inner) if inner.path().len() == ticket.position.path().len() + 2 => {
            let same = inner.scope() == Some(ticket.what.name);
            if same { Ok(()) } else { Err(diverges(ticket, inner, construct_around(inner), moved())) }
        }
        _ => Ok(()),
    }
}
