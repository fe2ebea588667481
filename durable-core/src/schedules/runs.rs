//! Whole runs over a store in memory: under every schedule the branches of a construct take the same positions, a run
//! that its store failed goes on with what was recorded, callers of one run share it, and nobody waits for ever.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::explore::explore;
use crate::args::Args;
use crate::background::Execution;
use crate::engine::Engine;
use crate::error::{Error, RunError};
use crate::invoke::{AsyncRunBuilder, Outcome, RunBuilder};
use crate::key::Site;
use crate::memo::{self, StepSpec, WorkflowSpec};
use crate::outcome::{Codec, Form};
use crate::private;
use crate::registry::{AsyncWorkflow, SyncWorkflow, Workflow};
use crate::signal::block_on;
use crate::store::memory::MemoryStore;
use crate::store::{Answer, Op, OwnerId, StepReader, StepStore, StoreError};
use crate::sync::thread;
use crate::{
    Event, TestClock, Topic, future, idempotency_key, join, map, recv, resource, scope, set_event, sleep,
};

const SITE: Site = Site { file: file!(), line: 0 };

const STEP: &StepSpec = &StepSpec::new("work", SITE);

/// Which bodies ran, by their keys.
#[derive(Default)]
struct Effects(Mutex<Vec<String>>);

impl Effects {
    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        let ran = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ran.iter().for_each(|key| *counts.entry(key.clone()).or_insert(0) += 1);
        counts
    }
}

/// The body of every step.
fn effect(value: u64) -> u64 {
    let key = idempotency_key();
    // Without the run's nonce: the key of the step.
    let key = key.split_once('-').map(|(_, key)| key.to_owned()).unwrap_or_default();
    resource::<Effects>().0.lock().unwrap_or_else(PoisonError::into_inner).push(key);
    thread::yield_now();
    value
}

fn work(value: u64) -> u64 {
    memo::step(STEP, codec(), Args::default(), || effect(value))
}

fn work_async(value: u64) -> impl Future<Output = u64> + Send {
    private::step_async(STEP, codec(), Args::default(), async move { effect(value) })
}

fn codec() -> impl Codec<Returned = u64> {
    use crate::private::probe::*;
    let split = (&&private::Probe::<u64>::NEW).durable_split();
    let value = (&&split.ok()).durable_ok();
    let error = (&&&&split.err()).durable_err();
    split.codec(value, error)
}

/// What a macro writes of a workflow without arguments that returns a number.
macro_rules! workflow {
    ($Twin:ident, $execution:expr) => {
        enum $Twin {}

        impl Workflow for $Twin {
            const SPEC: &'static WorkflowSpec = &WorkflowSpec::new(stringify!($Twin), SITE, 1);
            const EXECUTION: Execution = $execution;
            type Input = ();
            type Returned = u64;
            type Value = u64;
            type Error = Infallible;

            fn codec() -> impl Codec<Returned = u64> {
                codec()
            }

            fn input() -> impl Form<Value = ()> {
                use crate::private::probe::*;
                (&&private::InputProbe::<()>::NEW).durable_input()
            }

            fn into_result(returned: u64) -> Result<u64, Infallible> {
                Ok(returned)
            }
        }
    };
    ($Twin:ident called $body:expr) => {
        workflow!($Twin, private::called::<Self>());

        impl SyncWorkflow for $Twin {
            fn call((): ()) -> u64 {
                memo::workflow(Self::SPEC, codec(), Args::default(), || $body)
            }
        }
    };
    ($Twin:ident polled $body:expr) => {
        workflow!($Twin, private::polled::<Self>());

        impl AsyncWorkflow for $Twin {
            fn call((): ()) -> impl Future<Output = u64> + Send {
                private::workflow_async(Self::SPEC, codec(), Args::default(), async { $body })
            }
        }
    };
}

workflow!(Branching called {
    let mapped: u64 = map([1, 2, 3], 2, |n| work(n) + work(n)).into_iter().sum();
    let (left, right) = join(
        || work(10),
        || scope(|s| {
            let spawned = s.spawn(|| work(20));
            work(30) + spawned.join()
        }),
    );
    mapped + left + right + work(40)
});

workflow!(Concurrent polled {
    let branch = |n| async move { work_async(n).await + work_async(n).await };
    let mapped: u64 = future::map([1, 2, 3], 2, branch).await.into_iter().sum();
    let others = private::join_tuple(SITE, (work_async(10), async { work_async(20).await + work_async(30).await }));
    let (left, right) = others.await;
    mapped + left + right + work_async(40).await
});

workflow!(Sleeping called {
    let before = work(1);
    sleep(Duration::from_secs(10));
    before + work(2)
});

const TOPIC: Topic<u64> = Topic::new("topic");

const STATE: Event<u64> = Event::new("state");

workflow!(Receiving called {
    set_event(STATE, 1);
    let received = [recv(TOPIC, Duration::MAX), recv(TOPIC, Duration::MAX)];
    received.into_iter().flatten().sum()
});

workflow!(Ping called run::<Pong>("pong") + work(1));
workflow!(Pong called run::<Ping>("ping") + work(1));

/// A run within a run, whose fault is the outer one's.
fn run<W: SyncWorkflow<Value = u64, Error = Infallible>>(id: &str) -> u64
where
    W: Workflow<Input = ()>,
{
    RunBuilder::<W>::new(id, ()).run().unwrap_or_default()
}

/// A store that takes its time, and fails once if it is told when.
struct Slow {
    store: MemoryStore,
    fails_at: usize,
    applied: usize,
}

impl StepStore for Slow {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Answer>, StoreError> {
        self.applied += 1;
        thread::yield_now();
        if self.applied == self.fails_at {
            return Err(StoreError::Unavailable { action: "write".into(), reason: "disk full".into() });
        }
        self.store.apply(ops)
    }

    fn reader(&self) -> Result<Box<dyn StepReader>, StoreError> {
        self.store.reader()
    }

    fn owner(&self) -> OwnerId {
        self.store.owner()
    }
}

fn engine(fails_at: usize) -> Engine {
    let store = Slow { store: MemoryStore::default(), fails_at, applied: 0 };
    let builder = Engine::builder().with(Effects::default()).clock(TestClock::default()).seed(1);
    builder.register::<Sleeping>().register::<Receiving>().store(store).unwrap()
}

/// The keys and the values of what is recorded.
fn recorded(engine: &Engine, id: &str) -> Vec<(String, String)> {
    let steps = engine.steps(id).unwrap().into_iter();
    steps.map(|step| (step.key().to_string(), step.output)).collect()
}

fn effects(engine: &Engine) -> BTreeMap<String, usize> {
    let _entered = engine.enter();
    resource::<Effects>().counts()
}

const BRANCHING: [(&str, &str); 10] = [
    ("work_0.0.0", "1"),
    ("work_0.0.1", "1"),
    ("work_0.1.0", "2"),
    ("work_0.1.1", "2"),
    ("work_0.2.0", "3"),
    ("work_0.2.1", "3"),
    ("work_1.0.0", "10"),
    ("work_1.1.0.0.0", "30"),
    ("work_1.1.0.1.0", "20"),
    ("work_2", "40"),
];

const CONCURRENT: [(&str, &str); 10] = [
    ("work_0.0.0", "1"),
    ("work_0.0.1", "1"),
    ("work_0.1.0", "2"),
    ("work_0.1.1", "2"),
    ("work_0.2.0", "3"),
    ("work_0.2.1", "3"),
    ("work_1.0.0", "10"),
    ("work_1.1.0", "20"),
    ("work_1.1.1", "30"),
    ("work_2", "40"),
];

/// What both come to.
const SUM: u64 = 112;

type Call = fn(&Engine) -> Outcome<Branching>;

fn call_branching(engine: &Engine) -> Outcome<Branching> {
    RunBuilder::<Branching>::new("a", ()).on(engine).run()
}

fn call_concurrent(engine: &Engine) -> Outcome<Branching> {
    block_on(AsyncRunBuilder::<Concurrent>::new("a", ()).on(engine).run())
}

#[track_caller]
fn check(engine: &Engine, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    assert_eq!(recorded(engine, "a"), expected);
}

#[test]
fn branches_take_the_same_positions_in_every_schedule() {
    let cases: [(_, Call, _); 2] = [
        ("branches on threads", call_branching, BRANCHING),
        ("branches that are polled", call_concurrent, CONCURRENT),
    ];
    for (name, call, expected) in cases {
        explore(name, move || {
            let engine = engine(0);
            assert_eq!(call(&engine).unwrap(), SUM);
            check(&engine, &expected);
            assert!(effects(&engine).values().all(|times| *times == 1));
            assert_eq!(call(&engine).unwrap(), SUM, "replayed");
            assert_eq!(effects(&engine).len(), expected.len());
        });
    }
}

#[test]
fn a_run_that_its_store_failed_goes_on_with_the_same_positions_under_another_schedule() {
    let cases: [(_, Call, _); 2] = [
        ("threads whose store fails", call_branching, BRANCHING),
        ("futures whose store fails", call_concurrent, CONCURRENT),
    ];
    for (name, call, expected) in cases {
        explore(name, move || {
            use shuttle::rand::Rng as _;
            let engine = engine(shuttle::rand::thread_rng().gen_range(1..12));
            let (mut calls, mut kept) = (0, BTreeMap::new());
            let value = loop {
                calls += 1;
                match call(&engine) {
                    Ok(value) => break value,
                    Err(RunError::Engine(Error::Store { .. })) if calls < 3 => {}
                    Err(other) => panic!("{other:?}"),
                }
                let ran = effects(&engine);
                kept = recorded(&engine, "a").into_iter().map(|(key, _)| (key.clone(), ran[&key])).collect();
            };
            assert_eq!(value, SUM);
            check(&engine, &expected);
            let ran = effects(&engine);
            assert!(kept.iter().all(|(key, times)| ran[key] == *times), "what was recorded ran again");
        });
    }
}

#[test]
fn callers_of_one_run_share_it() {
    explore("callers of one run", || {
        let engine = engine(0);
        let other = {
            let engine = engine.clone();
            thread::spawn(move || call_branching(&engine).unwrap())
        };
        assert_eq!(call_branching(&engine).unwrap(), SUM);
        assert_eq!(other.join().unwrap(), SUM);
        assert!(effects(&engine).values().all(|times| *times == 1));
    });
}

#[test]
fn a_run_in_the_background_comes_to_its_end_and_leaves_no_thread() {
    explore("a run in the background", || {
        let engine = engine(0);
        let handle = RunBuilder::<Sleeping>::new("a", ()).on(&engine).start().unwrap();
        assert_eq!(handle.wait().unwrap(), 3);
        // When the sleep ends depends on how long others have waited by the clock that all move forward.
        let keys: Vec<_> = recorded(&engine, "a").into_iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["work_0", "sleep_1", "work_2"]);
    });
}

#[test]
fn a_run_that_its_store_failed_is_taken_up_by_who_looks_after_runs() {
    explore("a run that is recovered", || {
        let engine = engine(3);
        // Whoever looks after runs finds none, and sleeps or is about to.
        engine.recover().unwrap();
        let failed = RunBuilder::<Sleeping>::new("a", ()).on(&engine).run();
        assert!(matches!(failed, Err(RunError::Engine(Error::Store { .. }))), "{failed:?}");
        engine.recover().unwrap();
        let handle = engine.handle::<Sleeping>("a").unwrap().unwrap();
        assert_eq!(handle.wait().unwrap(), 3);
    });
}

// A run in the background is unloaded while it waits without end, if it comes so far before the message does.
#[test]
fn a_message_and_an_event_are_heard_of_whenever_they_come() {
    for (name, in_background) in
        [("messages to a call", false), ("messages to a run in the background", true)]
    {
        explore(name, move || {
            let engine = engine(0);
            let run = {
                let engine = engine.clone();
                let call = RunBuilder::<Receiving>::new("a", ()).on(&engine);
                thread::spawn(move || if in_background { call.start().unwrap().wait() } else { call.run() })
            };
            let state = {
                let engine = engine.clone();
                thread::spawn(move || {
                    loop {
                        match engine.get_event("a", STATE, Duration::MAX) {
                            Err(Error::UnknownRun { .. }) => thread::yield_now(),
                            read => break read.unwrap(),
                        }
                    }
                })
            };
            for value in [1, 2] {
                while engine.send("a", TOPIC, value).is_err() {
                    thread::yield_now();
                }
            }
            assert_eq!(run.join().unwrap().unwrap(), 3);
            assert_eq!(state.join().unwrap(), Some(1));
        });
    }
}

// Each of the two would wait for the other; whoever comes last is told so, and the other goes on or is told too.
#[test]
fn runs_that_would_wait_for_each_other_do_not() {
    explore("a circle of waits", || {
        let engine = engine(0);
        let pong = {
            let engine = engine.clone();
            thread::spawn(move || RunBuilder::<Pong>::new("pong", ()).on(&engine).run())
        };
        let ping = RunBuilder::<Ping>::new("ping", ()).on(&engine).run();
        for came in [ping, pong.join().unwrap()] {
            assert!(matches!(came, Err(RunError::Engine(Error::WaitsForItself { .. }))), "{came:?}");
        }
    });
}
