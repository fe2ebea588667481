//! The display of the steps: drawn again and again on a terminal, a line per event in a pipe.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The steps of the onboarding, and what people call them.
const STEPS: [(&str, &str); 4] = [
    ("create_employee", "create employee"),
    ("provision_laptop", "provision laptop"),
    ("setup_access", "set up access"),
    ("send_welcome_mail", "send welcome mail"),
];

const BAR_WIDTH: usize = 25;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Waiting,
    Running(u64),
    Done,
    Cached,
}

pub(crate) struct Board {
    states: Mutex<[State; STEPS.len()]>,
    on_terminal: bool,
    ended: AtomicBool,
}

impl Default for Board {
    fn default() -> Self {
        let states = Mutex::new([State::Waiting; STEPS.len()]);
        Self { states, on_terminal: io::stdout().is_terminal(), ended: AtomicBool::new(false) }
    }
}

impl Board {
    /// A step whose result is recorded already.
    pub(crate) fn cached(&self, step: &str) {
        self.set(step, State::Cached);
    }

    /// How far a step has come, in percent.
    pub(crate) fn progress(&self, step: &str, percent: u64) {
        self.set(step, if percent < 100 { State::Running(percent) } else { State::Done });
    }

    /// The last words before the crash.
    pub(crate) fn crash(&self) {
        if self.on_terminal {
            self.draw();
        }
        println!("*** the process aborts: nobody gets to clean up ***");
    }

    /// Runs `work` with the display on.
    pub(crate) fn show<R>(&self, work: impl FnOnce() -> R) -> R {
        if !self.on_terminal {
            return work();
        }
        print!("{}", "\n".repeat(STEPS.len()));
        std::thread::scope(|threads| {
            threads.spawn(|| {
                while !self.ended.load(Ordering::Acquire) {
                    self.draw();
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
            let result = work();
            self.ended.store(true, Ordering::Release);
            self.draw();
            result
        })
    }

    fn set(&self, step: &str, state: State) {
        let Some(i) = STEPS.iter().position(|(name, _)| *name == step) else { return };
        let before = std::mem::replace(&mut self.states()[i], state);
        let begins = matches!((before, state), (State::Waiting, State::Running(_)));
        if !self.on_terminal && (begins || !matches!(state, State::Running(_))) {
            println!("{}", line(i, state));
        }
    }

    /// Draws all lines over those that were drawn before.
    fn draw(&self) {
        let states = *self.states();
        let lines: Vec<_> =
            states.iter().enumerate().map(|(i, state)| format!("\x1b[2K{}\n", line(i, *state))).collect();
        let frame = format!("\x1b[{}A{}", STEPS.len(), lines.concat());
        let mut out = io::stdout().lock();
        // A terminal that is gone cannot be drawn on, and the work goes on without it.
        _ = out.write_all(frame.as_bytes()).and_then(|()| out.flush());
    }

    fn states(&self) -> MutexGuard<'_, [State; STEPS.len()]> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(i: usize, state: State) -> String {
    let (percent, words) = match state {
        State::Waiting => (0, "waiting".to_owned()),
        State::Running(percent) => (percent, format!("{percent:3} %")),
        State::Done => (100, "done".to_owned()),
        State::Cached => (100, "already completed, cached result".to_owned()),
    };
    let filled = usize::try_from(percent).unwrap_or(0) * BAR_WIDTH / 100;
    format!("  {:<18} [{}{}] {words}", STEPS[i].1, "#".repeat(filled), ".".repeat(BAR_WIDTH - filled))
}
