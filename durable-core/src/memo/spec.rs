//! What the macros know of a step and of a workflow at compile time, as constants. Knows no run.

use crate::error::kind_word;
use crate::key::Site;
use crate::retry::Retry;
use crate::scope::What;
use crate::store::Kind;

/// What a `#[step]` knows at compile time.
#[derive(Debug)]
pub struct StepSpec {
    pub(crate) name: &'static str,
    pub(crate) site: Site,
    pub(crate) retry: Retry,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) strict: bool,
    pub(crate) kind: Kind,
}

impl StepSpec {
    /// A step without options.
    pub const fn new(name: &'static str, site: Site) -> Self {
        Self { name, site, retry: Retry::NEVER, timeout_ms: None, strict: false, kind: Kind::Step }
    }

    /// Lets the body run `retries` times more after a failure, waiting at most `min_delay_ms`, then twice as
    /// long each time up to `max_delay_ms`.
    #[must_use]
    pub const fn retry(mut self, retries: u32, min_delay_ms: u64, max_delay_ms: u64) -> Self {
        self.retry = Retry { retries, min_delay_ms, max_delay_ms };
        self
    }

    /// Ends each attempt after so many milliseconds.
    #[must_use]
    pub const fn timeout(mut self, timeout_ms: u64) -> Self {
        self.timeout_ms = Some(timeout_ms);
        self
    }

    /// Never lets the body run again once it has begun. It has no retries then.
    #[must_use]
    pub const fn at_most_once(mut self) -> Self {
        self.kind = Kind::Once;
        self
    }

    /// Makes a call that no run knows an error.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }
}

/// What a `#[workflow]` knows at compile time.
#[derive(Debug)]
pub struct WorkflowSpec {
    pub(crate) name: &'static str,
    pub(crate) site: Site,
    pub(crate) fingerprint: u64,
    pub(crate) version: Option<u32>,
}

impl WorkflowSpec {
    /// A workflow with this name, declared at `site`; `fingerprint` is a hash of its source.
    pub const fn new(name: &'static str, site: Site, fingerprint: u64) -> Self {
        Self { name, site, fingerprint, version: None }
    }

    /// Gives its source a version, which a run that it starts keeps.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    /// The body of a run, as errors name it.
    pub(crate) fn what(&self) -> What {
        What { name: self.name, kind: kind_word(Kind::Workflow), site: self.site }
    }
}
