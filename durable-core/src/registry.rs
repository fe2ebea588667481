//! What `#[workflow]` implements, and the list of all workflows that are linked into the program.
//! A run is found again by its workflow's name, so a name may stand for one function only.
//! Knows no store.

use std::collections::HashMap;

use crate::error::Error;
use crate::memo::WorkflowSpec;
use crate::outcome::{Codec, Form};

/// A workflow function, as its twin type stands for it. Implemented by `#[durable::workflow]` alone.
pub trait Workflow: Sized + 'static {
    /// What the macro knows of it.
    const SPEC: &'static WorkflowSpec;
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
}

impl Registration {
    /// The registration of `W`.
    pub const fn of<W: Workflow>() -> Self {
        Self { spec: W::SPEC }
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

/// Refuses two workflows of one name, among those that are linked and those given by hand. One that is both
/// is one.
pub(crate) fn check_names(given: &[Registration]) -> Result<(), Error> {
    let mut names: HashMap<&str, &WorkflowSpec> = HashMap::new();
    for Registration { spec } in linked().chain(given.iter().copied()) {
        match names.insert(spec.name, spec) {
            Some(other) if other.site != spec.site => {
                let (first, second) = (other.site.min(spec.site), other.site.max(spec.site));
                return Err(Error::DuplicateWorkflow { name: spec.name.to_owned(), first, second });
            }
            _ => {}
        }
    }
    Ok(())
}
