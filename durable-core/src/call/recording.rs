//! An operation whose outcome is on its way into the store.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use super::Call;
use crate::clock::Timestamp;
use crate::error::Error;
use crate::outcome::Encoded;
use crate::run::Submitted;

/// An operation whose outcome is being recorded.
pub(crate) struct Recording {
    pub(crate) call: Call,
    pub(crate) outcome: Encoded,
    pub(crate) at: Timestamp,
    pub(super) submitted: Submitted,
}

impl Recording {
    /// Ready once the outcome is as durable as the store makes it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Err(fault) = self.call.ticket.check_here() {
            return Poll::Ready(Err(fault));
        }
        let run = self.call.run();
        self.submitted.poll(run, cx)
    }

    /// Waits until the outcome is recorded. After a fault it never ends.
    pub(crate) async fn done(mut self) -> (Call, Timestamp) {
        let mut fault = None;
        poll_fn(|cx| {
            if fault.is_none() {
                fault = ready!(self.poll(cx)).err();
            }
            fault.clone().map_or(Poll::Ready(()), |fault| self.call.run().suspend(cx, fault))
        })
        .await;
        (self.call, self.at)
    }
}
