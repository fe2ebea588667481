//! Messages: what is sent to a run is received by it once and in order, whoever sends it and whatever crashes.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod support;

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use durable::store::{Kind, RunRecord};
use durable::{Engine, Error, Handle, RunError, RunStatus, TestClock, Topic, WorkflowId, step, workflow};
use support::{HeldClock, Log, Switches, builder, engine, keys, turns};

const WORD: Topic<String> = Topic::new("word");
const NUMBER: Topic<u32> = Topic::new("number");
const PERHAPS: Topic<Option<u8>> = Topic::new("perhaps");

const HOUR: Duration = Duration::from_hours(1);

#[step]
fn note(text: &str) {
    Log::note(text);
}

/// Receives two words and a number, in another order than they may come in.
#[workflow]
fn reads() -> (String, u32, String) {
    let first = durable::recv(WORD, Duration::MAX).unwrap();
    note(&first);
    let number = durable::recv(NUMBER, Duration::MAX).unwrap();
    (first, number, durable::recv(WORD, Duration::MAX).unwrap())
}

#[workflow]
async fn reads_polled() -> (String, u32, String) {
    let first = durable::future::recv(WORD, Duration::MAX).await.unwrap();
    let number = durable::future::recv(NUMBER, Duration::MAX).await.unwrap();
    (first, number, durable::future::recv(WORD, Duration::MAX).await.unwrap())
}

fn send_all(engine: &Engine, id: &str) {
    engine.send(id, WORD, "one".to_owned()).unwrap();
    engine.send(id, WORD, "two".to_owned()).unwrap();
    engine.send(id, NUMBER, 7).unwrap();
}

fn result() -> (String, u32, String) {
    ("one".to_owned(), 7, "two".to_owned())
}

#[test]
fn messages_of_one_topic_come_in_order_and_those_of_another_wait() {
    let (engine, log, _) = engine();
    let handle = reads::durable("a").on(&engine).start().unwrap();
    send_all(&engine, "a");
    assert_eq!(handle.wait().unwrap(), result());
    assert_eq!(log.lines(), ["one"]);
    assert_eq!(keys(&engine, "a"), ["word_0", "note_1", "number_2", "word_3"]);
    let steps = engine.steps("a").unwrap();
    assert_eq!((steps[0].kind, &*steps[0].output), (Kind::Receive, "[\"one\"]"));
    let messages = engine.messages("a").unwrap();
    let received: Vec<_> =
        messages.iter().map(|message| message.received.as_ref().unwrap().to_string()).collect();
    assert_eq!(received, ["0", "3", "2"]);
}

#[test]
fn futures_receive_as_threads_do() {
    let (engine, _, _) = engine();
    let got = support::block_on(async {
        let handle = reads_polled::durable("a").on(&engine).start().await.unwrap();
        send_all(&engine, "a");
        handle.await.unwrap()
    });
    assert_eq!(got, result());
}

#[test]
fn a_message_that_came_before_anyone_waited_is_received_at_once() {
    let (engine, _, _) = engine();
    reads::durable("a").on(&engine).start_after(HOUR).unwrap();
    send_all(&engine, "a");
    assert_eq!(reads::durable("a").on(&engine).run().unwrap(), result());
}

/// What a run does with the time that it waits for a word.
#[workflow]
fn waits(seconds: u64) -> Option<String> {
    note("before");
    durable::recv(WORD, Duration::from_secs(seconds))
}

#[test]
fn a_wait_ends_with_its_time_and_the_end_is_recorded() {
    let (log, clock) = (Log::default(), TestClock::default());
    let engine = builder(&log, &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    assert_eq!(waits::durable("a", 90).on(&engine).run().unwrap(), None);
    assert_eq!(clock.waits().iter().sum::<Duration>(), Duration::from_secs(90));
    assert_eq!(engine.steps("a").unwrap()[1].output, "null");
    engine.send("b", WORD, "x".to_owned()).unwrap_err();
}

#[test]
fn a_wait_of_no_time_only_looks() {
    let clock = TestClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    assert_eq!(waits::durable("a", 0).on(&engine).run().unwrap(), None);
    assert!(clock.waits().is_empty());
    waits::durable("b", 0).on(&engine).start_after(HOUR).unwrap();
    engine.send("b", WORD, "there".to_owned()).unwrap();
    assert_eq!(waits::durable("b", 0).on(&engine).run().unwrap().as_deref(), Some("there"));
}

/// Engines on both stores; the folder of the file is kept as long as its engine.
fn each_store(check: impl Fn(&Engine, &Log)) {
    let folder = tempfile::tempdir().unwrap();
    for path in [None, Some(folder.path().join("runs.db"))] {
        let log = Log::default();
        let builder = builder(&log, &Switches::default());
        let engine = match path {
            None => builder.in_memory(),
            Some(path) => builder.open(path),
        };
        let engine = engine.unwrap();
        check(&engine, &log);
    }
}

#[workflow]
fn counts_words() -> usize {
    note("before");
    durable::recv(WORD, Duration::MAX).unwrap().len() + durable::recv(WORD, Duration::MAX).unwrap().len()
}

/// Bug: a message of another type halted its run for good: the text told of `rewind`, which gives back no message that
/// was not received, and only a reset was a way on.
#[test]
fn a_message_that_cannot_be_read_waits_until_it_is_dropped() {
    each_store(|engine, log| {
        counts_words::durable("a").on(engine).start_after(HOUR).unwrap();
        engine.send("a", WORD, "one".to_owned()).unwrap();
        let _entered = engine.enter();
        durable::send_once("event-77", "a", Topic::<u32>::new("word"), 7).unwrap();
        engine.send("a", WORD, "three".to_owned()).unwrap();
        for _ in 0..2 {
            let ended = counts_words::durable("a").on(engine).run();
            let Err(RunError::Engine(error)) = ended else { unreachable!("{ended:?}") };
            let text = error.to_string();
            assert!(
                text.contains(r#"drop the message with `Engine::drop_message("a", "event-77")`"#),
                "{text}"
            );
            assert!(!text.contains("rewind"), "{text}");
            assert!(matches!(error, Error::UndecodableMessage { topic: "word", .. }), "{text}");
            assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
            let waits: Vec<_> = engine.messages("a").unwrap().iter().map(|m| m.received.is_none()).collect();
            assert_eq!(waits, [false, true, true]);
        }
        assert_eq!(
            [engine.drop_message("a", "event-77").unwrap(), engine.drop_message("a", "event-77").unwrap()],
            [true, false]
        );
        assert_eq!(counts_words::durable("a").on(engine).run().unwrap(), 8);
        assert_eq!(log.count("before"), 1);
    });
}

#[test]
fn a_message_that_cannot_be_dropped_says_why() {
    each_store(|engine, _| {
        let unknown = engine.drop_message("a", "key").unwrap_err();
        assert!(matches!(unknown, Error::UnknownRun { .. }), "{unknown}");
        counts_words::durable("a").on(engine).start_after(HOUR).unwrap();
        assert!(!engine.drop_message("a", "key").unwrap(), "there is none of that key");
        engine.send("a", WORD, "one".to_owned()).unwrap();
        let (key, handle) =
            (engine.messages("a").unwrap().remove(0).key, counts_words::durable("a").on(engine));
        let mut live = None;
        let caught = std::thread::scope(|threads| {
            let run = threads.spawn(|| handle.run().unwrap());
            while engine.messages("a").unwrap()[0].received.is_none() {
                std::thread::yield_now();
            }
            live = Some(engine.drop_message("a", &key));
            engine.send("a", WORD, "two".to_owned()).unwrap();
            run.join().unwrap()
        });
        assert_eq!(caught, 6);
        assert!(matches!(live, Some(Err(Error::Live { .. }))), "{live:?}");
        let received = engine.drop_message("a", &key).unwrap_err();
        assert!(matches!(&received, Error::MessageReceived { key: of, .. } if *of == key), "{received}");
        assert_eq!(engine.messages("a").unwrap().len(), 2);
    });
}

/// Waits until the row of the run is as `is` says.
fn until(engine: &Engine, id: &str, is: impl Fn(&RunRecord) -> bool) {
    while !is(&engine.run(id).unwrap().unwrap()) {
        std::thread::yield_now();
    }
}

fn is_unloaded(run: &RunRecord) -> bool {
    run.owner.is_none() && run.awaits.is_some()
}

#[test]
fn a_run_in_the_background_that_waits_is_unloaded_and_woken_by_its_message() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock).in_memory().unwrap();
    let handle = waits::durable("a", 1_000_000).on(&engine).start().unwrap();
    until(&engine, "a", is_unloaded);
    let run = engine.run("a").unwrap().unwrap();
    assert_eq!((run.status, run.awaits.unwrap().to_string()), (RunStatus::Running, "topic/word".to_owned()));
    engine.send("a", NUMBER, 1).unwrap();
    assert!(is_unloaded(&engine.run("a").unwrap().unwrap()), "that is not what it waits for");
    engine.send("a", WORD, "come".to_owned()).unwrap();
    assert_eq!(handle.wait().unwrap().as_deref(), Some("come"));
    assert_eq!(engine.run("a").unwrap().unwrap().recoveries, 0, "nothing had gone wrong");
}

#[test]
fn an_unloaded_run_is_taken_up_when_its_time_has_passed() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    let handle = waits::durable("a", 100).on(&engine).start().unwrap();
    until(&engine, "a", is_unloaded);
    clock.advance(Duration::from_secs(99));
    assert!(is_unloaded(&engine.run("a").unwrap().unwrap()));
    clock.advance(Duration::from_secs(1));
    assert_eq!(handle.wait().unwrap(), None);
}

#[test]
fn the_time_of_a_wait_goes_on_while_nobody_executes_the_run() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    waits::durable("a", 100).on(&engine).start().unwrap();
    until(&engine, "a", is_unloaded);
    engine.pause("a").unwrap();
    clock.advance(Duration::from_secs(200));
    engine.unpause("a").unwrap();
    let handle = engine.handle::<waits>("a").unwrap().unwrap();
    assert_eq!(handle.wait().unwrap(), None, "it passed meanwhile");
}

#[workflow]
fn waits_first() -> Option<String> {
    durable::recv(WORD, Duration::from_mins(1))
}

/// Bug that a first draft had: the time of a delayed run's first wait counted from the call that started it.
#[test]
fn the_time_of_a_delayed_run_counts_from_when_it_begins() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    let handle = waits_first::durable("a").on(&engine).start_after(HOUR).unwrap();
    clock.advance(HOUR);
    until(&engine, "a", is_unloaded);
    engine.send("a", WORD, "in time".to_owned()).unwrap();
    assert_eq!(handle.wait().unwrap().as_deref(), Some("in time"));
}

#[workflow]
fn sends(to: String, fails: bool) -> Result<Vec<String>, String> {
    let mut errors = Vec::new();
    for n in 0..3 {
        if let Err(error) = durable::send(&to, NUMBER, n) {
            errors.push(error.to_string());
        }
    }
    note("sent");
    if fails && Switches::is_set("fails") { Err("later".into()) } else { Ok(errors) }
}

fn sends_to(engine: &Engine, id: &str, to: &str) -> Result<Vec<String>, RunError<String>> {
    sends::durable(id, to.to_owned(), true).on(engine).run()
}

fn numbers(engine: &Engine, id: &str) -> Vec<String> {
    engine.messages(id).unwrap().into_iter().map(|message| message.value).collect()
}

#[test]
fn a_run_sends_each_message_once_however_often_it_is_replayed() {
    let (engine, log, switches) = engine();
    reads::durable("to").on(&engine).start_after(HOUR).unwrap();
    switches.set("fails");
    assert!(matches!(sends_to(&engine, "from", "to"), Err(RunError::Failed(_))));
    switches.clear();
    engine.rewind("from", "note_3").unwrap();
    assert!(sends_to(&engine, "from", "to").unwrap().is_empty());
    assert_eq!((numbers(&engine, "to"), log.count("sent")), (vec!["0".into(), "1".into(), "2".into()], 2));
    assert_eq!(keys(&engine, "from"), ["number_0", "number_1", "number_2", "note_3"]);
    engine.rewind("from", "number_1").unwrap();
    sends_to(&engine, "from", "to").unwrap();
    assert_eq!(numbers(&engine, "to").len(), 3, "also when the sends themselves run again");
    engine.reset("from").unwrap();
    sends_to(&engine, "from", "to").unwrap();
    assert_eq!(numbers(&engine, "to").len(), 6, "another run of that id sends its own");
}

#[test]
fn a_message_to_nobody_is_an_error_that_replays_the_same() {
    let (engine, log, _) = engine();
    let errors = sends_to(&engine, "from", "to").unwrap();
    assert_eq!(errors, ["there is no run \"to\"; start it with `run_durable`"; 3]);
    reads::durable("to").on(&engine).start_after(HOUR).unwrap();
    engine.rewind("from", "note_3").unwrap();
    assert_eq!(sends_to(&engine, "from", "to").unwrap(), errors, "as it was when it was sent");
    assert_eq!((numbers(&engine, "to").len(), log.count("sent")), (0, 2));
}

#[test]
fn a_run_that_has_completed_gets_no_messages() {
    let (engine, _, _) = engine();
    sends_to(&engine, "over", "nobody").unwrap();
    let refused = engine.send("over", WORD, "late".to_owned()).unwrap_err();
    assert_eq!(refused.to_string(), "workflow \"over\" cannot be sent a message: it is completed");
    assert_eq!(
        sends_to(&engine, "from", "over").unwrap(),
        [refused.to_string(), refused.to_string(), refused.to_string()]
    );
    assert_eq!(engine.steps("from").unwrap()[0].output, "\"COMPLETED\"");
}

#[test]
fn a_message_of_a_key_is_sent_once_by_whomever() {
    let (engine, _, _) = engine();
    reads::durable("to").on(&engine).start_after(HOUR).unwrap();
    let _entered = engine.enter();
    durable::send_once("hook 1", "to", NUMBER, 1).unwrap();
    durable::send_once("hook 1", "to", NUMBER, 2).unwrap();
    support::block_on(durable::future::send_once("hook 1", "to", NUMBER, 3)).unwrap();
    durable::send_once("hook 2", "to", NUMBER, 4).unwrap();
    durable::send("to", NUMBER, 5).unwrap();
    support::block_on(durable::future::send("to", NUMBER, 5)).unwrap();
    assert_eq!(numbers(&engine, "to"), ["1", "4", "5", "5"]);
}

/// Sends twice in each attempt.
#[step(retries = 2, backoff = "1ms")]
fn sends_in_a_step(to: &str) -> Result<(), String> {
    durable::send(to, NUMBER, 1).unwrap();
    durable::send(to, NUMBER, 2).unwrap();
    Log::note("attempt");
    if durable::resource::<Log>().count("attempt") < 3 { Err("again".into()) } else { Ok(()) }
}

#[workflow]
fn steps(to: String) -> Result<(), String> {
    sends_in_a_step(&to)
}

#[test]
fn a_step_sends_each_message_once_over_all_its_attempts() {
    let (engine, log, _) = engine();
    reads::durable("to").on(&engine).start_after(HOUR).unwrap();
    steps::durable("from", "to".to_owned()).on(&engine).run().unwrap();
    assert_eq!((numbers(&engine, "to"), log.count("attempt")), (vec!["1".into(), "2".into()], 3));
}

#[workflow]
fn shares() -> Vec<u32> {
    durable::map(0..4, 4, |_| durable::recv(NUMBER, Duration::MAX).unwrap())
}

#[test]
fn branches_that_receive_one_topic_share_its_messages_and_keep_them() {
    let (engine, _, _) = engine();
    let handle = shares::durable("a").on(&engine).start().unwrap();
    for n in 0..4 {
        engine.send("a", NUMBER, n).unwrap();
    }
    let got = handle.wait().unwrap();
    let mut sorted = got.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3]);
    assert_eq!(shares::durable("a").on(&engine).run().unwrap(), got);
}

#[workflow]
fn perhaps() -> bool {
    durable::recv(PERHAPS, Duration::MAX) == Some(None)
}

#[test]
fn no_value_is_a_message_too() {
    let (engine, _, _) = engine();
    perhaps::durable("a").on(&engine).start_after(HOUR).unwrap();
    engine.send("a", PERHAPS, None).unwrap();
    assert!(perhaps::durable("a").on(&engine).run().unwrap());
    assert_eq!(engine.steps("a").unwrap()[0].output, "[null]");
}

#[workflow]
fn reads_other() -> Option<u8> {
    const WORD: Topic<u8> = Topic::new("word");
    durable::recv(WORD, Duration::MAX)
}

#[test]
fn a_message_of_another_type_halts_the_run_and_waits_for_a_program_that_can_read_it() {
    let (engine, _, _) = engine();
    reads_other::durable("a").on(&engine).start_after(HOUR).unwrap();
    engine.send("a", WORD, "x".to_owned()).unwrap();
    let halted = reads_other::durable("a").on(&engine).run().unwrap_err().to_string();
    assert!(halted.contains("about `word`") && halted.contains("cannot be read as `u8`"), "{halted}");
    assert_eq!(engine.run("a").unwrap().unwrap().status, RunStatus::Halted);
    assert_eq!(engine.messages("a").unwrap()[0].received, None);
}

#[test]
fn a_value_that_would_not_come_back_is_not_sent() {
    const FLOAT: Topic<f64> = Topic::new("float");
    let (engine, _, _) = engine();
    reads::durable("to").on(&engine).start_after(HOUR).unwrap();
    let refused = engine.send("to", FLOAT, f64::NAN).unwrap_err();
    assert!(matches!(refused, Error::UnstorableValue { name: "float", .. }), "{refused}");
    assert!(engine.messages("to").unwrap().is_empty());
    let _entered = engine.enter();
    let refused = support::block_on(durable::future::send("to", FLOAT, f64::NAN)).unwrap_err();
    assert!(matches!(refused, Error::UnstorableValue { .. }), "{refused}");
}

#[step]
fn receives_in_a_step() -> Option<String> {
    durable::recv(WORD, Duration::ZERO)
}

#[workflow]
fn misplaced() -> Option<String> {
    receives_in_a_step()
}

#[test]
fn a_step_cannot_receive() {
    let (engine, _, _) = engine();
    let refused = misplaced::durable("a").on(&engine).run().unwrap_err();
    assert!(matches!(refused, RunError::Engine(Error::NotInWorkflow { .. })), "{refused}");
}

#[test]
#[should_panic(expected = "`durable::recv` of `word` was called outside a run")]
fn outside_a_run_there_is_nothing_to_receive() {
    durable::recv(WORD, Duration::ZERO);
}

/// Two runs that pass a number back and forth.
#[workflow]
fn plays(other: String, begins: bool) -> u32 {
    if begins {
        durable::send(&other, NUMBER, 1).unwrap();
    }
    loop {
        let number = durable::recv(NUMBER, Duration::MAX).unwrap();
        if number >= 20 {
            _ = durable::send(&other, NUMBER, number);
            return number;
        }
        durable::send(&other, NUMBER, number + 1).unwrap();
    }
}

#[test]
fn two_runs_talk_to_each_other_while_both_are_unloaded_again_and_again() {
    let folder = tempfile::tempdir().unwrap();
    let engine = builder(&Log::default(), &Switches::default()).open(folder.path().join("a.db")).unwrap();
    let waits = plays::durable("b", "a".into(), false).on(&engine).start().unwrap();
    until(&engine, "b", is_unloaded);
    let begins = plays::durable("a", "b".into(), true).on(&engine).start().unwrap();
    assert_eq!((begins.wait().unwrap(), waits.wait().unwrap()), (20, 20));
}

/// Where a step tells the test that it has come, and waits for it.
struct Gate(Mutex<Option<Sender<()>>>);

#[step]
fn passes_gate() {
    if let Some(come) = durable::resource::<Gate>().0.lock().unwrap().take() {
        come.send(()).unwrap();
    }
}

#[workflow]
fn cancelled_while_it_waits() -> Option<String> {
    passes_gate();
    durable::recv(WORD, Duration::MAX)
}

#[test]
fn a_waiting_run_is_cancelled_at_once() {
    let (come, comes) = channel();
    let engine = Engine::builder().with(Gate(Mutex::new(Some(come)))).in_memory().unwrap();
    let handle: Handle<cancelled_while_it_waits> =
        cancelled_while_it_waits::durable("a").on(&engine).start().unwrap();
    comes.recv().unwrap();
    handle.cancel().unwrap();
    assert!(matches!(handle.wait(), Err(RunError::Engine(Error::Cancelled { .. }))));
    engine.send("a", WORD, "kept".to_owned()).unwrap();
    engine.resume("a").unwrap();
    assert_eq!(handle.wait().unwrap().as_deref(), Some("kept"), "what comes meanwhile waits");
    assert_eq!(handle.id(), &WorkflowId::new("a").unwrap());
}

/// Waits for a word and then a number, or for a go.
#[workflow]
async fn chooses() -> (Option<String>, Option<String>) {
    let both = async {
        let word = durable::future::recv(WORD, Duration::MAX).await;
        durable::future::recv(NUMBER, Duration::MAX).await;
        word
    };
    let go = async {
        durable::future::recv(GO, Duration::MAX).await;
        None
    };
    (durable::race!(both, go), durable::future::recv(WORD, Duration::ZERO).await)
}

const GO: Topic<()> = Topic::new("go");

// What a branch has received that then loses would be lost for the workflow, which never sees it.
#[test]
fn what_the_loser_of_a_race_has_received_waits_again() {
    let (engine, _, _) = engine();
    let handle = support::block_on(chooses::durable("a").on(&engine).start()).unwrap();
    engine.send("a", WORD, "kept".to_owned()).unwrap();
    while engine.messages("a").unwrap()[0].received.is_none() {
        std::thread::yield_now();
    }
    engine.send("a", GO, ()).unwrap();
    assert_eq!(handle.wait().unwrap(), (None, Some("kept".into())));
    let received = engine.messages("a").unwrap()[0].received.clone().unwrap();
    assert_eq!(received.to_string(), "1", "by what came after the race");
    assert_eq!(
        support::block_on(chooses::durable("a").on(&engine).run()).unwrap().1.as_deref(),
        Some("kept")
    );
}

#[step]
async fn declines() -> Result<u32, String> {
    turns(100).await;
    if Switches::is_set("declines") {
        return Err("declined".into());
    }
    turns(10_000).await;
    Ok(100)
}

#[step]
async fn works() {
    turns(1_000).await;
}

#[workflow]
async fn pays() -> Result<(Option<u32>, Option<u32>), String> {
    let received = async {
        let number = durable::future::recv(NUMBER, Duration::MAX).await;
        works().await;
        number
    };
    let first = durable::select! {
        number = received => number,
        paid = declines() => Some(paid?),
    };
    Ok((first, durable::future::recv(NUMBER, Duration::ZERO).await))
}

// Bug: the loser of a race that was decided anew replayed a message that waited again, so it came twice. Cause: the
// message was put back, its receipt was kept. Fix: when the decision goes, a loser takes again what it had received.
#[test]
fn a_race_that_is_decided_anew_receives_no_message_twice() {
    for retries in [false, true] {
        let (engine, _, switches) = engine();
        support::block_on(pays::durable("a").on(&engine).start_after(HOUR)).unwrap();
        engine.send("a", NUMBER, 1).unwrap();
        engine.send("a", NUMBER, 2).unwrap();
        if retries {
            switches.set("declines");
            support::block_on(pays::durable("a").on(&engine).run()).unwrap_err();
            switches.clear();
        }
        assert_eq!(support::block_on(pays::durable("a").on(&engine).run()).unwrap(), (Some(1), Some(2)));
        let received = engine.messages("a").unwrap();
        assert!(received.iter().all(|message| message.received.is_some()), "{retries}");
    }
}

#[workflow]
fn waits_for_other() -> String {
    let other = waits::start("other", 1_000_000).unwrap();
    other.wait().unwrap().unwrap_or_default()
}

// Bug: a run in the background that waited for one that was deleted was taken up again each second, for ever, and said
// nothing. Fix: that there is no such run comes again, so it halts.
#[test]
fn a_run_that_waits_for_one_that_is_deleted_halts() {
    let clock = HeldClock::default();
    let engine = builder(&Log::default(), &Switches::default()).clock(clock.clone()).in_memory().unwrap();
    let handle = waits_for_other::durable("a").on(&engine).start().unwrap();
    while engine.run("a").unwrap().unwrap().awaits.is_none() {
        clock.advance(Duration::from_millis(10));
        std::thread::yield_now();
    }
    until(&engine, "other", is_unloaded);
    engine.delete("other").unwrap();
    let halted = handle.wait().unwrap_err().to_string();
    assert!(halted.contains("there is no run \"other\""), "{halted}");
}
