//! The outputs of a run's recorded steps, in windows of some rows each. Those that come first are kept from
//! the load, as far as the room for them goes; all others are read once they are asked for. A window is let
//! go of when its last row was taken, for an execution comes to each step once.
//! Knows no positions and no store.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, lock};

/// The most rows of a window.
const ROWS_MAX: usize = 128;

/// A window that is read later has no more rows once it has so many bytes.
const READ_BYTES_MAX: usize = 64 << 10;

/// This part of the room is for windows that are read later.
const READ_SHARE: usize = 4;

/// Some outputs that follow one another.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The number of the first of them.
    first: usize,
    text: String,
    /// Where each of them ends in `text`.
    ends: Vec<u32>,
    /// How many of them were not taken yet.
    left: AtomicU32,
}

impl Window {
    /// An empty one, for outputs from number `first` on.
    pub(super) fn at(first: usize) -> Self {
        Self { first, ..Self::default() }
    }

    /// The number that the next output has.
    pub(super) fn next(&self) -> usize {
        self.first + self.ends.len()
    }

    /// Adds the next output. Not, if no number of 32 bits says where it ends.
    pub(super) fn push(&mut self, output: &str) -> Option<()> {
        self.ends.push(u32::try_from(self.text.len() + output.len()).ok()?);
        self.text.push_str(output);
        // Nobody shares it yet.
        self.left.store(self.left.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        Some(())
    }

    /// Whether it is not to be read on, where `rows` are the most.
    pub(super) fn is_full(&self, rows: usize) -> bool {
        self.ends.len() >= rows || self.text.len() >= READ_BYTES_MAX
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.text.len() + size_of_val(&*self.ends)
    }

    fn has(&self, number: usize) -> bool {
        (self.first..self.next()).contains(&number)
    }

    fn output(&self, number: usize) -> &str {
        let row = number - self.first;
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[row] as usize]
    }
}

/// An output, for as long as somebody looks at it.
#[derive(Debug)]
pub(crate) struct Text {
    window: Arc<Window>,
    pub(super) number: usize,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        self.window.output(self.number)
    }
}

/// The outputs of a run, under the numbers of its steps.
#[derive(Debug, Default)]
pub(super) struct Texts {
    bytes_max: usize,
    kept_bytes: usize,
    /// The window that is being loaded, while there is room for it.
    open: Option<Window>,
    /// What is in memory of each [`ROWS_MAX`] outputs.
    slots: Vec<Slot>,
    read: Mutex<Read>,
}

type Slot = Mutex<Option<Arc<Window>>>;

/// The windows that were read after the load, the oldest first.
#[derive(Debug)]
struct Read {
    windows: VecDeque<(Weak<Window>, usize)>,
    bytes: usize,
    /// So many rows are read ahead: fewer, once a window had to make room before it was used up.
    rows: usize,
}

impl Default for Read {
    fn default() -> Self {
        Self { windows: VecDeque::new(), bytes: 0, rows: ROWS_MAX }
    }
}

impl Texts {
    /// None yet, and room for so many bytes of them.
    pub(super) fn with_room(bytes_max: usize) -> Self {
        Self { bytes_max, ..Self::default() }
    }

    pub(super) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Loads the next output, whose number is `number`; `None` leaves it to be read later.
    pub(super) fn load(&mut self, number: usize, output: Option<&str>) {
        if number.is_multiple_of(ROWS_MAX) {
            self.close();
            self.open = Some(Window::at(number));
            self.slots.push(Slot::default());
        }
        let room = (self.bytes_max - self.bytes_max / READ_SHARE).saturating_sub(self.kept_bytes);
        let Some((open, output)) = self.open.as_mut().zip(output) else {
            self.open = None;
            return;
        };
        if open.push(output).is_none() || open.bytes() > room {
            self.open = None;
        }
    }

    /// Keeps the window that is being loaded.
    pub(super) fn close(&mut self) {
        let (Some(open), Some(slot)) = (self.open.take(), self.slots.last_mut()) else { return };
        self.kept_bytes += open.bytes();
        *slot = Mutex::new(Some(Arc::new(open)));
    }

    /// The output with this number, if it is in memory. It is taken once.
    pub(super) fn take(&self, number: usize) -> Option<Text> {
        let slot = self.slots.get(number / ROWS_MAX)?;
        let window = lock(slot).as_ref().filter(|window| window.has(number)).map(Arc::clone)?;
        Some(self.take_from(window, number))
    }

    fn take_from(&self, window: Arc<Window>, number: usize) -> Text {
        if window.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.remove(&window);
            let mut read = lock(&self.read);
            read.rows = (read.rows * 2).min(ROWS_MAX);
        }
        Text { window, number }
    }

    /// So many outputs a window may have that is read from number `number` on.
    pub(super) fn rows_from(&self, number: usize) -> usize {
        lock(&self.read).rows.min(ROWS_MAX - number % ROWS_MAX)
    }

    /// Keeps a window that was read, for as long as there is room, and takes its first output; `None` if it has
    /// none.
    pub(super) fn insert(&self, window: Window) -> Option<Text> {
        let (number, bytes, window) = (window.first, window.bytes(), Arc::new(window));
        let slot = self.slots.get(number / ROWS_MAX).filter(|_| window.has(number))?;
        *lock(slot) = Some(Arc::clone(&window));
        let mut read = lock(&self.read);
        read.windows.push_back((Arc::downgrade(&window), bytes));
        read.bytes += bytes;
        drop(read);
        let text = self.take_from(window, number);
        self.make_room();
        Some(text)
    }

    /// Lets the oldest windows go that were read.
    fn make_room(&self) {
        let room = self.bytes_max / READ_SHARE;
        let mut read = lock(&self.read);
        while let Some((oldest, bytes)) = read.windows.front() {
            let (oldest, bytes) = (oldest.upgrade(), *bytes);
            if oldest.is_some() && read.bytes <= room {
                break;
            }
            read.windows.pop_front();
            read.bytes -= bytes;
            if oldest.is_some_and(|window| self.remove(&window)) {
                read.rows = (read.rows / 2).max(1);
            }
        }
    }

    /// Whether the window was there to be removed.
    fn remove(&self, window: &Arc<Window>) -> bool {
        let Some(slot) = self.slots.get(window.first / ROWS_MAX) else { return false };
        lock(slot).take_if(|kept| Arc::ptr_eq(kept, window)).is_some()
    }
}

#[cfg(test)]
mod tests;
