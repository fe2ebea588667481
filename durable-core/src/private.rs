//! What the expansions of the macros name, and nobody else. No promise is made for any of it.

use crate::run::Ambient;

pub use crate::args::{Args, ArgsSink};
pub use crate::background::Execution;
pub use crate::concurrent::{Join, Tuple, join_tuple};
pub use crate::invoke::{called, polled};
pub use crate::key::Site;
pub use crate::memo::{StepSpec, WorkflowSpec, step, step_retried, workflow};
pub use crate::outcome::{
    Codec, Encoded, Form, Json, JsonOrFailed, Message, Missing, Settled, Tried, decode_input, encode_input,
    settle, settle_failed,
};
pub use crate::poll::{step_async, step_async_retried, workflow_async};
pub use crate::probe::{
    ArgProbe, InputProbe, Probe, ResultLike, clone_for_each_attempt, record_arg, traits as probe,
};
pub use crate::racing::{Won, race_tuple, try_join_tuple};
pub use crate::registry::{AsyncWorkflow, Registration, SyncWorkflow, Workflow};

#[cfg(feature = "registry")]
pub use inventory;

/// Lists a workflow where engines find it.
#[doc(hidden)]
#[macro_export]
#[cfg(feature = "registry")]
macro_rules! __register {
    ($Twin:ident) => {
        $crate::private::inventory::submit! { $crate::private::Registration::of::<$Twin>() }
    };
}

/// Without the feature `registry`, workflows are named with `Engine::builder().register`.
#[doc(hidden)]
#[macro_export]
#[cfg(not(feature = "registry"))]
macro_rules! __register {
    ($Twin:ident) => {};
}

pub use crate::__register as register;

/// Hashes the arguments of a call, and records them if the step asks for it; outside the body of a workflow,
/// does nothing.
pub fn args(collect: impl FnOnce(&mut ArgsSink)) -> Args {
    if !Ambient::is_inside() {
        return Args::default();
    }
    let mut sink = ArgsSink::new();
    collect(&mut sink);
    sink.finish()
}

/// The arguments of a call that does not hash them.
pub fn no_args() -> Args {
    Args::default()
}

/// What the examples in docs stand on.
pub mod doc {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake};
    use std::thread::{self, Thread};

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Runs `future` to its end on this thread.
    pub fn block_on<F: Future>(future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Arc::new(Unpark(thread::current())).into();
        loop {
            match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }
}
