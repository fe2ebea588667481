//! Random programs, crashed at random writes and resumed until they end, against the same programs left
//! alone: the same result, the same rows, and no step that runs again after it returned. A workflow that
//! interprets a tree plays the programs.

#[path = "support/store.rs"]
mod store;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use durable::__private::doc::block_on;
use durable::store::memory::MemoryStore;
use durable::{Engine, Error, RunError, step, workflow};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use store::Faulty;

/// A program.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Node {
    /// A step that succeeds.
    Step(u8),
    /// A step that fails, and is handled by another one.
    Handled(u8),
    /// A step that fails so many times, each time through the whole workflow.
    Escapes(u8),
    /// All in turn.
    Sequence(Vec<Node>),
    /// The same again and again.
    Loop(u8, Box<Node>),
    /// One or the other, by what the run's dice say.
    Branch(Box<Node>, Box<Node>),
    /// Both at once, on threads.
    Join(Box<Node>, Box<Node>),
    /// The same for so many items, two at once.
    Map(u8, Box<Node>),
    /// An inline child.
    Child(Box<Node>),
    /// A race that the second branch wins; the first one has a step, and does not end.
    Race(u8, Box<Node>),
    /// Both, of which the first error decides.
    TryJoin(Box<Node>, Box<Node>),
    /// The same for so many items, as they end, with a step after each.
    Unordered(u8, Box<Node>),
}

fn programs() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        4 => any::<u8>().prop_map(Node::Step),
        1 => any::<u8>().prop_map(Node::Handled),
        1 => (1..3_u8).prop_map(Node::Escapes),
    ];
    leaf.prop_recursive(4, 24, 4, |node| {
        let boxed = node.clone().prop_map(Box::new);
        prop_oneof![
            prop::collection::vec(node, 0..4).prop_map(Node::Sequence),
            (0..3_u8, boxed.clone()).prop_map(|(times, node)| Node::Loop(times, node)),
            (boxed.clone(), boxed.clone()).prop_map(|(a, b)| Node::Branch(a, b)),
            (boxed.clone(), boxed.clone()).prop_map(|(a, b)| Node::Join(a, b)),
            (0..4_u8, boxed.clone()).prop_map(|(items, node)| Node::Map(items, node)),
            boxed.clone().prop_map(Node::Child),
            (any::<u8>(), boxed.clone()).prop_map(|(tag, node)| Node::Race(tag, node)),
            (boxed.clone(), boxed.clone()).prop_map(|(a, b)| Node::TryJoin(a, b)),
            (0..4_u8, boxed).prop_map(|(items, node)| Node::Unordered(items, node)),
        ]
    })
}

/// What is outside: how often each flaky step has failed, what ran, and what ran again although it had
/// returned.
#[derive(Default)]
struct World {
    failures: HashMap<String, u8>,
    acknowledged: HashSet<String>,
    repeated: Vec<String>,
}

type Shared = Arc<Mutex<World>>;

fn world<R>(f: impl FnOnce(&mut World) -> R) -> R {
    f(&mut durable::resource::<Shared>().lock().unwrap())
}

/// A step's value and the name that its run gives it.
type Done = (u64, String);

fn effect() -> String {
    let key = durable::idempotency_key();
    let key = key.split_once('-').map_or(key.as_str(), |(_, step)| step).to_owned();
    world(|world| {
        if world.acknowledged.contains(&key) {
            world.repeated.push(key.clone());
        }
    });
    key
}

fn acknowledge((value, key): Done) -> u64 {
    world(|world| world.acknowledged.insert(key));
    value
}

#[step]
fn plain(tag: u8) -> Done {
    (u64::from(tag) + 1, effect())
}

#[step]
fn failing(tag: u8) -> Result<Done, String> {
    effect();
    Err(format!("{tag} failed"))
}

#[step]
fn flaky(times: u8) -> Result<Done, String> {
    let key = effect();
    let failed = world(|world| {
        let failures = world.failures.entry(key.clone()).or_default();
        *failures += 1;
        *failures
    });
    if failed <= times { Err(format!("{key} failed {failed} times")) } else { Ok((u64::from(times), key)) }
}

#[workflow]
fn child(node: Node) -> Result<u64, String> {
    eval(&node)
}

#[workflow]
fn program(node: Node) -> Result<u64, String> {
    eval(&node)
}

fn eval(node: &Node) -> Result<u64, String> {
    Ok(match node {
        Node::Step(tag) => acknowledge(plain(*tag)),
        Node::Handled(tag) => match failing(*tag) {
            Ok(done) => acknowledge(done),
            Err(_) => acknowledge(plain(*tag)).wrapping_add(7),
        },
        Node::Escapes(times) => acknowledge(flaky(*times)?),
        Node::Sequence(nodes) => nodes
            .iter()
            .try_fold(1_u64, |sum, node| Ok::<_, String>(sum.wrapping_mul(31).wrapping_add(eval(node)?)))?,
        Node::Loop(times, node) => (0..*times)
            .try_fold(2_u64, |sum, _| Ok::<_, String>(sum.wrapping_mul(31).wrapping_add(eval(node)?)))?,
        Node::Branch(a, b) => eval(if durable::random() { a } else { b })?,
        Node::Join(a, b) => {
            let (a, b) = durable::join(|| eval(a), || eval(b));
            a?.wrapping_mul(3).wrapping_add(b?)
        }
        Node::Map(items, node) => {
            let results = durable::map(0..*items, 2, |item| Ok(eval(node)?.wrapping_add(u64::from(item))));
            results.into_iter().try_fold(0_u64, |sum, result: Result<u64, String>| {
                Ok::<_, String>(sum.wrapping_add(result?))
            })?
        }
        Node::Child(node) => child(Node::clone(node))?.wrapping_add(5),
        Node::Race(..) | Node::TryJoin(..) | Node::Unordered(..) => block_on(eval_async(node))?,
    })
}

/// Branches that end within their first poll, in their order: what is drawn is where they crash.
async fn eval_async(node: &Node) -> Result<u64, String> {
    let now = async |node: &Node| eval(node);
    Ok(match node {
        Node::Race(tag, node) => {
            let loser = async {
                acknowledge(plain(*tag));
                std::future::pending().await
            };
            durable::race!(loser, now(node))?.wrapping_add(11)
        }
        Node::TryJoin(a, b) => {
            let (a, b) = durable::try_join!(now(a), now(b))?;
            a.wrapping_mul(5).wrapping_add(b)
        }
        Node::Unordered(items, node) => {
            let mut stream = durable::unordered((0..*items).map(|_| now(node)), 2);
            let mut sum = 0_u64;
            while let Some((index, value)) = stream.next().await {
                let tag = u8::try_from(index).unwrap_or_default();
                sum = sum.wrapping_mul(7).wrapping_add(value?).wrapping_add(acknowledge(plain(tag)));
            }
            sum
        }
        node => eval(node)?,
    })
}

/// Runs the program until it ends with a value: the value, the rows, and the steps that were repeated. What is
/// recorded has so much room in memory.
fn run(node: &Node, faults: Vec<(u32, bool)>, room: usize) -> (u64, Vec<String>, Vec<String>) {
    let shared = Shared::default();
    let store = Faulty::new(MemoryStore::default(), faults);
    let builder = Engine::builder().with(Arc::clone(&shared)).seed(11).history_bytes_max(room);
    let engine = builder.store(store).unwrap();
    let value = loop {
        match program::durable("p", node.clone()).on(&engine).run() {
            Ok(value) => break value,
            Err(RunError::Failed(_) | RunError::Engine(Error::Store { .. })) => {}
            Err(other) => panic!("{other}"),
        }
    };
    let steps = engine.steps("p").unwrap();
    let rows = steps.iter().map(|step| format!("{} {:?} {}", step.key(), step.status, step.output)).collect();
    let repeated = shared.lock().unwrap().repeated.clone();
    (value, rows, repeated)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_program_that_is_crashed_ends_as_if_it_had_not_been(
        node in programs(),
        faults in prop::collection::vec((1..40_u32, any::<bool>()), 0..8),
        room in prop_oneof![Just(0), Just(400), Just(1 << 20)],
    ) {
        let (value, rows, repeated) = run(&node, Vec::new(), room);
        prop_assert!(repeated.is_empty(), "{repeated:?} ran again without a crash");
        let (crashed_value, crashed_rows, repeated) = run(&node, faults, room);
        prop_assert!(repeated.is_empty(), "{repeated:?} ran again");
        prop_assert_eq!(crashed_value, value);
        prop_assert_eq!(crashed_rows, rows);
    }
}
