//! What a random program must return and leave in the store, told without the library: a plain walk of its
//! tree that counts positions. What must not matter is not in it: threads, failures that are over, faults.

use std::collections::BTreeMap;

use durable::Engine;
use serde_json::{Value, json};

use crate::programs::{Node, PROGRAM, below, lost};
use crate::workloads::{AGAIN, value_of};

/// What is recorded of a run: its status and its output or its error.
pub(crate) type Ended = (String, Value);

/// All that is recorded, by run and by the key of the step; the run itself has no key.
pub type Records = BTreeMap<(String, String), Ended>;

/// The value of a program and its records.
pub fn expected(program: &Node) -> (u64, Records) {
    let mut model = Model { run: PROGRAM.to_owned(), scope: String::new(), next: 0, records: Records::new() };
    let value = model.eval(program, "r").unwrap_or_else(|name| panic!("{name} escapes for ever"));
    model.keep("", COMPLETED, json!(value));
    (value, model.records)
}

/// What an engine has recorded, without what differs from run to run: tickets, times, texts of panics.
pub fn recorded(engine: &Engine) -> Result<Records, durable::Error> {
    let mut records = Records::new();
    for run in engine.runs() {
        let run = run?;
        let text = run.output.or(run.error).unwrap_or_default();
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        records.insert((run.id.to_string(), String::new()), (debug(run.status), plain(value)));
        for step in engine.steps(run.id.clone())? {
            let value = match step.kind {
                durable::store::Kind::Sleep => Value::Null,
                _ => plain(serde_json::from_str(&step.output).unwrap_or(Value::Null)),
            };
            records.insert((run.id.to_string(), step.key().to_string()), (debug(step.status), value));
        }
    }
    Ok(records)
}

fn debug(status: impl std::fmt::Debug) -> String {
    format!("{status:?}")
}

fn plain(mut value: Value) -> Value {
    let failed = &value["durable::StepFailed"];
    if failed["kind"] == "panic" {
        return json!({ "panic": failed["step"] });
    }
    if let Some(fields) = value.as_object_mut() {
        fields.remove("ticket");
    }
    value
}

const COMPLETED: &str = "Completed";
const FAILED: &str = "Failed";

/// Where the walk is.
struct Model {
    run: String,
    /// The path of the scope, with a dot at its end.
    scope: String,
    /// The number that the next operation of the scope takes.
    next: u32,
    records: Records,
}

/// A value, or the name of the step whose failure goes through.
type Came = Result<u64, String>;

impl Model {
    fn keep(&mut self, key: &str, status: &str, value: Value) {
        self.records.insert((self.run.clone(), key.to_owned()), (status.to_owned(), value));
    }

    fn take(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// A row at the next position.
    fn row(&mut self, step: &str, status: &str, value: Value) {
        let number = self.take();
        self.keep(&format!("{step}_{}{number}", self.scope), status, value);
    }

    fn made(&mut self, step: &str, name: &str) -> u64 {
        let value = value_of(name);
        self.row(step, COMPLETED, json!({ "name": name, "value": value }));
        value
    }

    fn refused(&mut self, step: &str, name: &str) {
        self.row(step, FAILED, json!({ "name": name }));
    }

    fn panicked(&mut self, step: &str) {
        let key = format!("{step}_{}{}", self.scope, self.next);
        self.row(step, FAILED, json!({ "panic": key }));
    }

    fn instead(&mut self, path: &str) -> u64 {
        self.made("plain", &format!("{path}-instead"))
    }

    /// A walk in the scope of a branch.
    fn branch(&mut self, at: u32, branch: usize, node: &Node, path: &str) -> Came {
        let scope = format!("{}{at}.{branch}.", self.scope);
        let (outer, next) = (std::mem::replace(&mut self.scope, scope), std::mem::take(&mut self.next));
        let came = self.eval(node, path);
        (self.scope, self.next) = (outer, next);
        came
    }

    /// A call of the workflow inside the run.
    fn child(&mut self, node: &Node, path: &str) -> Came {
        let at = self.take();
        let came = self.branch(at, 0, node, path);
        self.ended(at, &came);
        came
    }

    /// A run of its own.
    fn own(&mut self, node: &Node, path: &str) -> Came {
        let at = self.take();
        let outer = std::mem::replace(&mut self.run, format!("own-{path}"));
        let (scope, next) = (std::mem::take(&mut self.scope), std::mem::take(&mut self.next));
        let came = self.eval(node, &below(path, 0));
        let (status, value) = ending(&came);
        self.keep("", status, value);
        (self.run, self.scope, self.next) = (outer, scope, next);
        self.ended(at, &came);
        came
    }

    fn ended(&mut self, at: u32, came: &Came) {
        let (status, value) = ending(came);
        self.keep(&format!("part_{}{at}", self.scope), status, value);
    }

    fn eval(&mut self, node: &Node, path: &str) -> Came {
        Ok(match node {
            Node::Step => self.made("plain", path),
            Node::Retried(_) => self.made("retried", &format!("{AGAIN}{path}")),
            Node::Escapes(_) => self.made("flaky", &format!("{AGAIN}{path}")),
            Node::Fails => {
                self.refused("failing", path);
                return Err(path.to_owned());
            }
            Node::Handled => {
                self.refused("failing", path);
                self.instead(path)
            }
            Node::Caught => {
                self.panicked("brittle");
                self.instead(path)
            }
            Node::Held => {
                self.panicked("held");
                self.instead(path)
            }
            Node::Sleep => {
                self.row("sleep", COMPLETED, Value::Null);
                0
            }
            Node::Sequence(nodes) => self.in_turn(nodes.iter(), path)?,
            Node::Loop(times, node) => self.in_turn(std::iter::repeat_n(&**node, *times), path)?,
            Node::Branch(odd, even) => {
                let even_or_odd = self.made("plain", path) % 2;
                if even_or_odd == 1 {
                    self.eval(odd, &below(path, 0))?
                } else {
                    self.eval(even, &below(path, 1))?
                }
            }
            Node::Join(a, b) => {
                let at = self.take();
                let (a, b) = (self.branch(at, 0, a, &below(path, 0)), self.branch(at, 1, b, &below(path, 1)));
                a?.wrapping_mul(3).wrapping_add(b?)
            }
            Node::Map(items, node) => {
                let at = self.take();
                let mut all = 1_u64;
                for item in 0..*items {
                    let value = self.branch(at, item, node, &below(path, item))?;
                    all = all.wrapping_mul(31).wrapping_add(value);
                }
                all
            }
            Node::Child(node) => self.child(node, &below(path, 0))?,
            Node::LostChild(node) => match self.child(&lost(node), &below(path, 0)) {
                Ok(value) => value,
                Err(_) => self.instead(path),
            },
            Node::Own(node) => self.own(node, path)?,
            Node::LostOwn(node) => match self.own(&lost(node), path) {
                Ok(value) => value,
                Err(_) => self.instead(path),
            },
        })
    }

    fn in_turn<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>, path: &str) -> Came {
        let mut all = 1_u64;
        for (turn, node) in nodes.enumerate() {
            all = all.wrapping_mul(31).wrapping_add(self.eval(node, &below(path, turn))?);
        }
        Ok(all)
    }
}

fn ending(came: &Came) -> (&'static str, Value) {
    match came {
        Ok(value) => (COMPLETED, json!(value)),
        Err(name) => (FAILED, json!({ "name": name })),
    }
}
