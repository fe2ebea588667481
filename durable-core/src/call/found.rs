//! What an operation finds at its position: nothing, an outcome, or one that has to be read first. Knows no SQL.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Call;
use crate::error::Error;
use crate::history::Text;
use crate::run::Mode;
use crate::signal::block_on;

/// What a position holds for its operation.
pub(crate) enum Known {
    /// Nothing: the body is to run.
    Nothing(Call),
    /// An outcome.
    Output(Call, Text),
}

/// What a look at a position found.
pub(crate) enum Found {
    Known(Known),
    /// An outcome that is not in memory.
    Unread(Unread),
}

impl Found {
    /// Reads what is not in memory on this thread.
    pub(crate) fn here(self) -> Result<Known, Error> {
        match self {
            Self::Known(known) => Ok(known),
            Self::Unread(unread) => {
                let text = block_on(unread.text(Mode::Called))?;
                Ok(Known::Output(unread.call, text))
            }
        }
    }

    /// Waits for what is not in memory.
    pub(crate) async fn awaited(self) -> Result<Known, Error> {
        match self {
            Self::Known(known) => Ok(known),
            Self::Unread(unread) => {
                let mut reading = unread.read();
                let text = poll_fn(|cx| reading.poll(cx)).await?;
                Ok(Known::Output(reading.call, text))
            }
        }
    }
}

/// An operation whose recorded output has to be read.
pub(crate) struct Unread {
    pub(super) call: Call,
    pub(super) number: usize,
}

impl Unread {
    /// Has it read, without blocking this thread if the run is polled.
    pub(crate) fn read(self) -> Reading {
        let text = Box::pin(self.text(self.call.run().mode));
        Reading { call: self.call, text }
    }

    fn text(&self, mode: Mode) -> impl Future<Output = Result<Text, Error>> + Send + use<> {
        let (run, number) = (self.call.run(), self.number);
        let (core, history, id) = (Arc::clone(&run.core), Arc::clone(&run.history), run.id.clone());
        async move {
            let of = id.clone();
            let text = core.read(mode, move |reader| history.read(&of, number, reader)).await;
            text.map_err(|source| Error::store(&id, source))
        }
    }
}

/// An operation whose recorded output is being read.
pub(crate) struct Reading {
    pub(crate) call: Call,
    text: Pin<Box<dyn Future<Output = Result<Text, Error>> + Send>>,
}

impl Reading {
    /// Ready with the output.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Text, Error>> {
        match self.call.ticket.check_here() {
            Ok(()) => self.text.as_mut().poll(cx),
            Err(fault) => Poll::Ready(Err(fault)),
        }
    }
}
