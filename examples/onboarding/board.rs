//! The display of the steps: drawn again and again on a terminal, a line per event in a pipe.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The steps of the onboarding, and what people call them.
const STEPS: [(&str, &str); 4] = [
    ("create_employee", "create employee"),
    ("provision_laptop", "provision laptop"),
    ("setup_access", "set up access"),
    ("send_welcome_mail", "send welcome mail"),
];

const BAR_WIDTH: usize = 25;

#[derive(Clone)]
enum State {
    Waiting,
    /// How far it has come, in percent.
    Running(u32),
    Done(String),
    Cached(String),
}

pub(crate) struct Board {
    states: Mutex<[State; STEPS.len()]>,
    on_terminal: bool,
    ended: AtomicBool,
}

impl Default for Board {
    fn default() -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            states: Mutex::new([const { State::Waiting }; STEPS.len()]),
            on_terminal: io::stdout().is_terminal() && !dumb,
            ended: AtomicBool::new(false),
        }
    }
}

impl Board {
    /// A step whose result is recorded already.
    pub(crate) fn cached(&self, step: &str, result: &str) {
        self.set(step, State::Cached(result.to_owned()));
    }

    /// A step has come this far, in percent.
    pub(crate) fn progress(&self, step: &str, percent: u32) {
        self.set(step, State::Running(percent));
    }

    /// A step has done its work.
    pub(crate) fn done(&self, step: &str, result: &str) {
        self.set(step, State::Done(result.to_owned()));
    }

    /// Says the last words, and aborts the process.
    pub(crate) fn crash(&self) -> ! {
        // Held to the end, so that nothing is drawn over the last words.
        let mut out = io::stdout().lock();
        if self.on_terminal {
            self.draw(&mut out);
        }
        _ = writeln!(out, "*** the process aborts: nobody gets to clean up ***").and_then(|()| out.flush());
        std::process::abort();
    }

    /// Runs `work` with the display on.
    pub(crate) fn show<R>(&self, work: impl FnOnce() -> R) -> R {
        if !self.on_terminal {
            return work();
        }
        print!("{}", "\n".repeat(STEPS.len()));
        thread::scope(|threads| {
            threads.spawn(|| self.draw_until_ended());
            // Before the threads are waited for, also when the work panics.
            let _ended = Ended(&self.ended);
            work()
        })
    }

    fn draw_until_ended(&self) {
        loop {
            let last = self.ended.load(Ordering::Acquire);
            self.draw(&mut io::stdout().lock());
            if last {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn set(&self, step: &str, state: State) {
        let Some(i) = STEPS.iter().position(|(name, _)| *name == step) else { return };
        let (text, running) = (line(i, &state), matches!(state, State::Running(_)));
        let before = std::mem::replace(&mut self.states()[i], state);
        let goes_on = running && matches!(before, State::Running(_));
        if !self.on_terminal && !goes_on {
            println!("{text}");
        }
    }

    /// Draws all lines over those that were drawn before. One that is too long is cut: if it were wrapped,
    /// the next drawing would begin too low.
    fn draw(&self, out: &mut impl Write) {
        let states = self.states().clone();
        let lines: Vec<_> = states.iter().enumerate().map(|(i, state)| line(i, state)).collect();
        let lines = lines.join("\n\x1b[2K");
        // A terminal that is gone cannot be drawn on, and the work goes on without it.
        _ = writeln!(out, "\x1b[{}A\x1b[?7l\x1b[2K{lines}\x1b[?7h", STEPS.len()).and_then(|()| out.flush());
    }

    fn states(&self) -> MutexGuard<'_, [State; STEPS.len()]> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Ended<'b>(&'b AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn line(i: usize, state: &State) -> String {
    let words = match state {
        State::Waiting => format!("{} waiting", bar(0)),
        State::Running(percent) => format!("{} {percent:3} %", bar(*percent)),
        State::Done(result) => format!("{} done: {result}", bar(100)),
        State::Cached(result) => format!("already completed, cached result: {result}"),
    };
    format!("  {:<17} {words}", STEPS[i].1)
}

fn bar(percent: u32) -> String {
    let filled = BAR_WIDTH * percent as usize / 100;
    format!("[{}{}]", "#".repeat(filled), ".".repeat(BAR_WIDTH - filled))
}
