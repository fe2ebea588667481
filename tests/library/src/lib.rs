//! Workflows that live in a library: public ones, and one that nothing in the program names.

use durable::{step, workflow};

/// Doubles.
#[step]
pub fn double(n: u32) -> u32 {
    n * 2
}

/// Doubles twice.
#[workflow]
pub fn quadruple(n: u32) -> u32 {
    double(double(n))
}

mod deep {
    pub(crate) mod deeper {
        /// Has the name of a workflow of the test that links this crate.
        #[durable::workflow(name = "twin")]
        pub(crate) fn nobody_calls_this(n: u32) -> u32 {
            n
        }
    }
}

/// Keeps the private workflow from being unused; nobody calls it.
pub fn unused() -> u32 {
    deep::deeper::nobody_calls_this(1)
}
