//! Random workflow programs: drawn from a seed, and played by a workflow that interprets them. Each node has a
//! path of its own, which names its steps and its runs, so what a step made says where it stands.
//! Knows no faults, and nothing of what must come out: that is the model's.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use durable::{Engine, RunError, StepFailed, step, workflow};
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::workloads::{AGAIN, Made, Refused, make, make_after, refuse, returned};

/// A program.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Node {
    /// A step that succeeds.
    Step,
    /// A step whose first attempts fail.
    Retried(usize),
    /// A step that fails; another one takes its place.
    Handled,
    /// A step that panics; the panic is caught, and another one takes its place.
    Caught,
    /// A step that panics, which its error type holds; another one takes its place.
    Held,
    /// A step that fails so many times, each time through the whole workflow.
    Escapes(usize),
    /// A step that fails through all that is around it; the last thing of a child that is lost.
    Fails,
    /// A sleep of no time.
    Sleep,
    /// All in turn.
    Sequence(Vec<Node>),
    /// The same again and again.
    Loop(usize, Box<Node>),
    /// One or the other, by what a step says.
    Branch(Box<Node>, Box<Node>),
    /// Both at once, on threads.
    Join(Box<Node>, Box<Node>),
    /// The same for so many items, two at once.
    Map(usize, Box<Node>),
    /// An inline child.
    Child(Box<Node>),
    /// An inline child that fails after this; a step takes its place.
    LostChild(Box<Node>),
    /// A run of its own.
    Own(Box<Node>),
    /// A run of its own that fails after this; a step takes its place.
    LostOwn(Box<Node>),
}

/// The id of the run that plays a program.
pub(crate) const PROGRAM: &str = "program";

/// So deep a program is nested.
const DEPTH_MAX: u32 = 4;

/// So often a program is called again after a failure that escaped: more than any has.
const CALLS_MAX: u32 = 1_000;

impl Node {
    /// The program of a seed.
    pub fn drawn(dice: &mut Dice) -> Self {
        Self::Sequence((0..=dice.below(3)).map(|_| Self::draw(dice, 1, true)).collect())
    }

    /// What fails through a child that is lost may not fail through the workflow too: it would never end.
    fn draw(dice: &mut Dice, depth: u32, may_escape: bool) -> Self {
        let boxed = |dice: &mut Dice| Box::new(Self::draw(dice, depth + 1, may_escape));
        let kinds = if depth < DEPTH_MAX { 17 } else { 8 };
        match dice.below(kinds) {
            0 | 1 => Self::Step,
            2 => Self::Retried(usize::try_from(dice.below(4)).unwrap_or(0)),
            3 => Self::Handled,
            4 => Self::Caught,
            5 => Self::Held,
            6 if may_escape => Self::Escapes(if dice.coin() { 1 } else { 2 }),
            6 | 7 => Self::Sleep,
            8 | 9 => {
                let nodes = (0..dice.below(4)).map(|_| Self::draw(dice, depth + 1, may_escape));
                Self::Sequence(nodes.collect())
            }
            10 => Self::Loop(usize::try_from(dice.below(3)).unwrap_or(0), boxed(dice)),
            11 => Self::Branch(boxed(dice), boxed(dice)),
            12 => Self::Join(boxed(dice), boxed(dice)),
            13 => Self::Map(usize::try_from(dice.below(4)).unwrap_or(0), boxed(dice)),
            14 => Self::Child(boxed(dice)),
            15 => Self::Own(boxed(dice)),
            _ if dice.coin() => Self::LostChild(Box::new(Self::draw(dice, depth + 1, false))),
            _ => Self::LostOwn(Box::new(Self::draw(dice, depth + 1, false))),
        }
    }

    /// Calls the program until the failures that escape are over: its value, or the fault that stopped it.
    pub fn run(&self, engine: &Engine) -> Result<u64, durable::Error> {
        for _ in 0..CALLS_MAX {
            match part::durable(PROGRAM, self.clone(), "r".to_owned()).on(engine).run() {
                Ok(value) => return Ok(value),
                Err(RunError::Failed(_)) => {}
                Err(RunError::Engine(error)) => return Err(error),
            }
        }
        panic!("a program failed {CALLS_MAX} times: {self:?}");
    }
}

/// The path of a part.
pub(crate) fn below(path: &str, part: usize) -> String {
    format!("{path}.{part}")
}

#[step]
fn plain(name: &str) -> Made {
    make(name)
}

#[step]
fn failing(name: &str) -> Result<Made, Refused> {
    Err(refuse(name))
}

#[step]
fn flaky(name: &str, failures: usize) -> Result<Made, Refused> {
    make_after(name, failures)
}

#[step(retries = 3, backoff = "1ms")]
fn retried(name: &str, failures: usize) -> Result<Made, Refused> {
    make_after(name, failures)
}

#[step]
fn brittle(name: &str) -> Made {
    refuse(name);
    // A panic without the noise of its hook.
    resume_unwind(Box::new(format!("{name} broke")))
}

#[step]
fn held(name: &str) -> Result<Made, StepFailed> {
    refuse(name);
    resume_unwind(Box::new(format!("{name} broke")))
}

#[workflow]
fn part(node: Node, path: String) -> Result<u64, Refused> {
    eval(&node, &path)
}

fn run(name: &str) -> u64 {
    returned(&plain(name))
}

/// What takes the place of a failure.
fn instead(path: &str) -> u64 {
    run(&format!("{path}-instead"))
}

fn eval(node: &Node, path: &str) -> Result<u64, Refused> {
    Ok(match node {
        Node::Step => run(path),
        Node::Retried(failures) => returned(&retried(&format!("{AGAIN}{path}"), *failures)?),
        Node::Escapes(failures) => returned(&flaky(&format!("{AGAIN}{path}"), *failures)?),
        Node::Fails => returned(&failing(path)?),
        Node::Handled => match failing(path) {
            Ok(made) => returned(&made),
            Err(_) => instead(path),
        },
        Node::Caught => match catch_unwind(AssertUnwindSafe(|| brittle(path))) {
            Ok(made) => returned(&made),
            Err(_) => instead(path),
        },
        Node::Held => match held(path) {
            Ok(made) => returned(&made),
            Err(_) => instead(path),
        },
        Node::Sleep => {
            durable::sleep(Duration::ZERO);
            0
        }
        Node::Sequence(nodes) => in_turn(nodes.iter().enumerate(), path)?,
        Node::Loop(times, node) => in_turn((0..*times).map(|turn| (turn, &**node)), path)?,
        Node::Branch(odd, even) => {
            if run(path) % 2 == 1 {
                eval(odd, &below(path, 0))?
            } else {
                eval(even, &below(path, 1))?
            }
        }
        Node::Join(a, b) => {
            let (a, b) = durable::join(|| eval(a, &below(path, 0)), || eval(b, &below(path, 1)));
            a?.wrapping_mul(3).wrapping_add(b?)
        }
        Node::Map(items, node) => {
            let values = durable::map(0..*items, 2, |item| eval(node, &below(path, item)));
            let values: Result<Vec<u64>, _> = values.into_iter().collect();
            values?.into_iter().fold(1, |all, value| all.wrapping_mul(31).wrapping_add(value))
        }
        Node::Child(node) => part(Node::clone(node), below(path, 0))?,
        Node::LostChild(node) => match part(lost(node), below(path, 0)) {
            Ok(value) => value,
            Err(_) => instead(path),
        },
        Node::Own(node) => own(node, path)?,
        Node::LostOwn(node) => match own(&lost(node), path) {
            Ok(value) => value,
            Err(_) => instead(path),
        },
    })
}

/// A part that fails when it has done all that it was to do.
pub(crate) fn lost(node: &Node) -> Node {
    Node::Sequence(vec![node.clone(), Node::Fails])
}

fn in_turn<'n>(mut nodes: impl Iterator<Item = (usize, &'n Node)>, path: &str) -> Result<u64, Refused> {
    nodes.try_fold(1_u64, |all, (turn, node)| {
        Ok(all.wrapping_mul(31).wrapping_add(eval(node, &below(path, turn))?))
    })
}

fn own(node: &Node, path: &str) -> Result<u64, Refused> {
    match part::run_durable(format!("own-{path}").as_str(), node.clone(), below(path, 0)) {
        Ok(value) => Ok(value),
        Err(RunError::Failed(refused)) => Err(refused),
        // A fault ends this run before it comes here.
        Err(RunError::Engine(_)) => Ok(0),
    }
}
