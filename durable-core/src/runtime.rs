//! The tokio runtime that an engine may execute async workflows on, and how its end is noticed. The only room that knows
//! `tokio`; without the feature no engine has a runtime.
//! The one rule: whether a runtime has shut down is asked of the runtime, by handing it a task. It drops what it does
//! not poll any more: the tasks that are there when it shuts down, and each that comes later, at once.
//! Knows no run.

#[cfg(feature = "tokio")]
pub(crate) use on::*;

#[cfg(not(feature = "tokio"))]
pub(crate) use off::*;

#[cfg(feature = "tokio")]
mod on {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, ready};

    use tokio::runtime::EnterGuard;
    pub(crate) use tokio::runtime::Handle;

    use crate::signal::{Given, Signal};
    use crate::sync::atomic::{AtomicBool, Ordering};

    /// A runtime, which this keeps nobody from shutting down.
    pub(crate) struct Runtime {
        handle: Handle,
        watched: AtomicBool,
        over: Arc<AtomicBool>,
        /// Given once nobody wants to know of the end any more.
        left: Arc<Signal>,
    }

    impl Runtime {
        pub(crate) fn new(handle: Handle) -> Self {
            Self { handle, watched: AtomicBool::new(false), over: Arc::default(), left: Arc::default() }
        }

        /// The runtime that this thread is in.
        pub(crate) fn ambient() -> Option<Self> {
            Handle::try_current().ok().map(Self::new)
        }

        /// Has the runtime poll `future` to its end, unless it shuts down before: then it is dropped. A panic of it is
        /// the runtime's to catch.
        pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
            drop(self.handle.spawn(future));
        }

        /// Puts this thread into the context of the runtime, until the guard is dropped: its timers and sockets can be
        /// made there.
        pub(crate) fn enter(&self) -> EnterGuard<'_> {
            self.handle.enter()
        }

        /// Whether the runtime lives. The first call begins to watch it, and has `ended` called when it shuts down.
        pub(crate) fn lives(&self, ended: impl FnOnce() + Send + 'static) -> bool {
            if !self.watched.swap(true, Ordering::AcqRel) {
                let (over, left) = (Arc::clone(&self.over), Given::new(Arc::clone(&self.left)));
                self.spawn(Watch { over, left, ended: Some(Box::new(ended)) });
            }
            !self.over.load(Ordering::Acquire)
        }
    }

    impl Drop for Runtime {
        fn drop(&mut self) {
            self.left.give();
        }
    }

    /// The task that is dropped when the runtime shuts down.
    struct Watch {
        over: Arc<AtomicBool>,
        left: Given,
        ended: Option<Box<dyn FnOnce() + Send>>,
    }

    impl Future for Watch {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
            ready!(Pin::new(&mut self.left).poll(cx));
            self.ended = None;
            Poll::Ready(())
        }
    }

    impl Drop for Watch {
        fn drop(&mut self) {
            if let Some(ended) = self.ended.take() {
                self.over.store(true, Ordering::Release);
                ended();
            }
        }
    }

    /// Whether the runtime that this thread is in shuts down. It costs a task, so it is asked after failures alone: what
    /// they waited for may have been dropped by the runtime.
    pub(crate) fn is_shutting_down() -> bool {
        let Ok(handle) = Handle::try_current() else { return false };
        let seen = Arc::new(AtomicBool::new(false));
        let probe = Probe { dropped: Arc::clone(&seen), polled: false };
        drop(handle.spawn(probe));
        seen.load(Ordering::Acquire)
    }

    /// Tells whether it is dropped before it was polled.
    struct Probe {
        dropped: Arc<AtomicBool>,
        polled: bool,
    }

    impl Future for Probe {
        type Output = ();

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            self.polled = true;
            Poll::Ready(())
        }
    }

    impl Drop for Probe {
        fn drop(&mut self) {
            self.dropped.store(!self.polled, Ordering::Release);
        }
    }
}

#[cfg(not(feature = "tokio"))]
mod off {
    /// There is none.
    pub(crate) enum Runtime {}

    impl Runtime {
        pub(crate) fn ambient() -> Option<Self> {
            None
        }

        pub(crate) fn spawn(&self, _: impl Future<Output = ()> + Send + 'static) {
            match *self {}
        }

        pub(crate) fn enter(&self) -> &Self {
            self
        }

        pub(crate) fn lives(&self, _: impl FnOnce() + Send + 'static) -> bool {
            match *self {}
        }
    }

    pub(crate) fn is_shutting_down() -> bool {
        false
    }
}
