//! What `#[workflow]` implements, and the list of all workflows that are linked into the program.
//! A run is found again by its workflow's name, so a name may stand for one function only.
//! Knows no store.

use std::collections::HashMap;

use crate::background::Execution;
use crate::error::Error;
use crate::memo::WorkflowSpec;
use crate::outcome::{Codec, Form};

/// A workflow function, as its twin type stands for it. Implemented by `#[durable::workflow]` alone.
pub trait Workflow: Sized + 'static {
    /// What the macro knows of it.
    const SPEC: &'static WorkflowSpec;
    /// How a run of it is executed that nobody calls for.
    const EXECUTION: Execution;
    /// Its arguments, as a tuple.
    type Input;
    /// What the function returns.
    type Returned;
    /// The value in that.
    type Value;
    /// The error in that; `Infallible` if it has none.
    type Error;

    /// How its result is stored.
    fn codec() -> impl Codec<Returned = Self::Returned>;

    /// How its arguments are stored.
    fn input() -> impl Form<Value = Self::Input>;

    /// The value or the error that the function returned.
    fn into_result(returned: Self::Returned) -> Result<Self::Value, Self::Error>;
}

/// A workflow that is a plain function.
pub trait SyncWorkflow: Workflow {
    /// Calls the function.
    fn call(input: Self::Input) -> Self::Returned;
}

/// A workflow that is an async function.
pub trait AsyncWorkflow: Workflow {
    /// Calls the function.
    fn call(input: Self::Input) -> impl Future<Output = Self::Returned> + Send;
}

/// One linked workflow.
#[derive(Debug, Clone, Copy)]
pub struct Registration {
    spec: &'static WorkflowSpec,
    execution: Execution,
}

impl Registration {
    /// The registration of `W`.
    pub const fn of<W: Workflow>() -> Self {
        Self { spec: W::SPEC, execution: W::EXECUTION }
    }
}

#[cfg(feature = "registry")]
inventory::collect!(Registration);

/// The workflows that the linker found.
fn linked() -> impl Iterator<Item = Registration> {
    #[cfg(feature = "registry")]
    return inventory::iter::<Registration>.into_iter().copied();
    #[cfg(not(feature = "registry"))]
    return std::iter::empty();
}

/// How the workflows are executed that are linked or given by hand, by their names. Two of one name are refused; one that
/// is both is one.
pub(crate) fn by_name(given: &[Registration]) -> Result<HashMap<&'static str, Execution>, Error> {
    let mut names: HashMap<&'static str, Registration> = HashMap::new();
    for registration in linked().chain(given.iter().copied()) {
        let spec = registration.spec;
        match names.insert(spec.name, registration).map(|other| other.spec) {
            Some(other) if other.site != spec.site => {
                let (first, second) = (other.site.min(spec.site), other.site.max(spec.site));
                return Err(Error::DuplicateWorkflow { name: spec.name.to_owned(), first, second });
            }
            _ => {}
        }
    }
    Ok(names.into_iter().map(|(name, registration)| (name, registration.execution)).collect())
}
