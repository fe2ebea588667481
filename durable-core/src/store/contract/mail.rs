//! Messages and events: who gets them, once, and whom they wake.

use super::*;
use crate::store::{Act, Awaits, DropMessage, Effect, Message, Publish, Wanted};

use super::background::ask;

pub(super) fn message(to: &str, topic: &str, key: &str, value: &str) -> Message {
    let (topic, key, value) = (topic.to_owned(), key.to_owned(), value.to_owned());
    Message { to: workflow(to), topic, key, value, at: at(11) }
}

pub(super) fn send(to: &str, topic: &str, key: &str, value: &str) -> Op {
    Op::Deliver(message(to, topic, key, value))
}

pub(super) fn publish(id: &str, epoch: Epoch, name: &str, value: &str) -> Publish {
    Publish { id: workflow(id), epoch, name: name.to_owned(), value: value.to_owned(), at: at(12) }
}

/// An outcome at `path`, with what it does.
pub(super) fn act(id: &str, epoch: Epoch, path: &[u32], effect: Effect) -> Op {
    let Op::Record(record) = record(id, epoch, path, "null") else { unreachable!() };
    Op::Act(Act { record, effect })
}

/// Gives the run up until 99, or until what it awaits is there.
pub(super) fn await_it(id: &str, epoch: Epoch, awaits: Awaits) -> Op {
    let (id, wake_at, awaits) = (workflow(id), Some(at(99)), Some(awaits));
    Op::Release(Release { id, epoch, panicked: None, wake_at, awaits, at: at(5) })
}

pub(super) fn about(topic: &str) -> Awaits {
    Awaits::Message { topic: topic.to_owned() }
}

pub(super) fn event_of(of: &str, name: &str) -> Awaits {
    Awaits::Event { of: workflow(of), name: name.to_owned() }
}

impl Bench {
    pub(super) fn dump_mail(&mut self) -> String {
        let mut all = String::new();
        for id in IDS {
            for message in self.reader.messages(&workflow(id)).unwrap() {
                writeln!(all, "{message:?}").unwrap();
            }
            for topic in ["approval", "paid"] {
                writeln!(all, "{id} next {:?}", self.reader.message(&workflow(id), topic).unwrap()).unwrap();
            }
            for event in self.reader.events(&workflow(id)).unwrap() {
                let alone = self.reader.event(&workflow(id), &event.name).unwrap();
                assert_eq!(alone.as_ref(), Some(&event));
                writeln!(all, "{event:?}").unwrap();
            }
        }
        all
    }

    /// The value of the next message about `topic`, and its number.
    fn next(&mut self, id: &str, topic: &str) -> Option<(String, i64)> {
        let message = self.reader.message(&workflow(id), topic).unwrap()?;
        Some((message.value, message.number))
    }

    fn values(&mut self, id: &str) -> Vec<String> {
        self.reader.messages(&workflow(id)).unwrap().into_iter().map(|message| message.value).collect()
    }

    /// When the run is taken up, and what it waits for.
    fn waits(&mut self, id: &str) -> (Option<i64>, Option<String>) {
        let run = self.run(id);
        (run.wake_at.map(Timestamp::as_millis), run.awaits.map(|token| token.to_string()))
    }
}

#[test]
fn messages_come_in_the_order_in_which_they_were_sent_topic_by_topic() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        for (topic, key, value) in [("approval", "k1", "1"), ("paid", "k2", "2"), ("approval", "k3", "3")] {
            assert_eq!(bench.apply(send("a", topic, key, value)), Answer::Done);
        }
        let (value, number) = bench.next("a", "approval").unwrap();
        assert_eq!(value, "1");
        assert_eq!(bench.apply(act("a", epoch, &[0], Effect::Receive(number))), Answer::Done);
        let (value, later) = bench.next("a", "approval").unwrap();
        assert_eq!(value, "3");
        assert!(later > number);
        assert_eq!(bench.next("a", "paid").unwrap().0, "2");
        assert_eq!(bench.next("a", "refund"), None);
        assert_eq!(bench.next("B", "approval"), None);
        assert_eq!(bench.values("a"), ["1", "2", "3"], "what was received is still to be seen");
        assert_eq!(bench.positions("a"), ["0"]);
    });
}

#[test]
fn a_message_is_received_once() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(send("a", "approval", "k", "1"));
        let (_, number) = bench.next("a", "approval").unwrap();
        assert_eq!(bench.apply(act("a", epoch, &[0, 0, 0], Effect::Receive(number))), Answer::Done);
        assert_eq!(bench.apply(act("a", epoch, &[0, 1, 0], Effect::Receive(number))), Answer::Lost);
        assert_eq!(bench.apply(act("a", epoch, &[0, 1, 0], Effect::Receive(number + 1))), Answer::Lost);
        assert_eq!(bench.positions("a"), ["0.0.0"], "who gets nothing records nothing");
        let Answer::Started(other) = bench.apply(start("B", 1)) else { panic!() };
        bench.apply(send("a", "approval", "k2", "2"));
        let (_, number) = bench.next("a", "approval").unwrap();
        assert_eq!(bench.apply(act("B", other, &[0], Effect::Receive(number))), Answer::Lost, "not its own");
    });
}

#[test]
fn a_message_that_was_not_received_can_be_dropped_and_its_key_with_it() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let drop = |id: &str, expected, key: &str| {
            Op::DropMessage(DropMessage { id: workflow(id), expected, key: key.to_owned() })
        };
        assert_eq!(bench.apply(drop("a", epoch, "k1")), Answer::Dropped(0));
        for (key, value) in [("k1", "1"), ("k2", "2"), ("k3", "3")] {
            bench.apply(send("a", "approval", key, value));
        }
        let (_, number) = bench.next("a", "approval").unwrap();
        assert_eq!(bench.apply(act("a", epoch, &[0], Effect::Receive(number))), Answer::Done);
        assert_eq!(bench.apply(drop("a", epoch, "k1")), Answer::Exists, "it was received");
        for (id, expected) in [("B", epoch), ("a", Epoch(epoch.0 + 1))] {
            assert_eq!(bench.apply(drop(id, expected, "k2")), Answer::Lost);
        }
        let Answer::Started(other) = bench.apply(start("B", 1)) else { panic!() };
        assert_eq!(bench.apply(drop("B", other, "k2")), Answer::Dropped(0), "not its own");
        assert_eq!(bench.values("a"), ["1", "2", "3"]);
        for dropped in [1, 0] {
            assert_eq!(bench.apply(drop("a", epoch, "k2")), Answer::Dropped(dropped));
            assert_eq!(bench.values("a"), ["1", "3"]);
        }
        assert_eq!(bench.apply(send("a", "approval", "k2", "4")), Answer::Done);
        assert_eq!(bench.values("a"), ["1", "3", "4"], "its key was forgotten, and its place is not taken");
    });
}

#[test]
fn an_act_brings_its_markers_and_one_that_is_refused_brings_none() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let act = |effect| {
            let Op::Record(record) = marked("a", epoch, &[9]) else { unreachable!() };
            Op::Act(Act { record, effect })
        };
        assert_eq!(bench.apply(act(Effect::Receive(1))), Answer::Lost, "there is none");
        assert_eq!(bench.positions("a"), [""; 0]);
        bench.apply(send("a", "approval", "k", "1"));
        let (_, number) = bench.next("a", "approval").unwrap();
        assert_eq!(bench.apply(act(Effect::Receive(number))), Answer::Done);
        assert_eq!(bench.positions("a"), ["0", "7.1.0", "9"]);
    });
}

#[test]
fn a_second_message_of_one_key_is_not_sent_even_when_the_first_was_received() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(send("a", "approval", "k", "1"));
        let (_, number) = bench.next("a", "approval").unwrap();
        bench.apply(act("a", epoch, &[0], Effect::Receive(number)));
        assert_eq!(bench.apply(send("a", "approval", "k", "2")), Answer::Done);
        bench.apply(completed("a", epoch, "1"));
        assert_eq!(bench.apply(send("a", "approval", "k", "3")), Answer::Done, "it was delivered");
        assert_eq!(bench.values("a"), ["1"]);
        bench.apply(start("B", 1));
        assert_eq!(
            bench.apply(send("B", "approval", "k", "4")),
            Answer::Done,
            "another run has keys of its own"
        );
        assert_eq!(bench.values("B"), ["4"]);
    });
}

#[test]
fn who_cannot_get_a_message_is_told_of() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        assert_eq!(bench.apply(send("B", "approval", "k", "1")), Answer::Undelivered(None));
        let to_nobody = Effect::Deliver(message("B", "approval", "k", "1"));
        assert_eq!(bench.apply(act("a", epoch, &[0], to_nobody)), Answer::Undelivered(None));
        assert_eq!(bench.positions("a"), [""; 0]);
        bench.apply(completed("a", epoch, "1"));
        let over = Answer::Undelivered(Some(RunStatus::Completed));
        assert_eq!(bench.apply(send("a", "approval", "k", "1")), over);
        assert_eq!(bench.values("a"), [""; 0]);
    });
}

#[test]
fn a_message_is_there_with_the_record_of_its_sender_and_not_without() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(start("B", 1));
        let sends = |key| Effect::Deliver(message("B", "approval", key, "1"));
        assert_eq!(bench.apply(act("a", STALE, &[0], sends("k1"))), Answer::Fenced);
        assert_eq!(bench.values("B"), [""; 0]);
        assert_eq!(bench.apply(act("a", epoch, &[0], sends("k2"))), Answer::Done);
        assert_eq!((bench.values("B").len(), bench.positions("a").len()), (1, 1));
        bench.apply(record("a", epoch, &[1], "7"));
        assert_eq!(
            bench.apply(act("a", epoch, &[1], sends("k3"))),
            Answer::Fenced,
            "something else is there"
        );
        bench.apply(ask("a", Wanted::Cancel, None));
        assert_eq!(bench.apply(act("a", epoch, &[2], sends("k4"))), Answer::Wanted(Wanted::Cancel));
        assert_eq!(bench.values("B").len(), 1);
    });
}

#[test]
fn what_a_rewind_drops_has_its_messages_wait_again_and_a_reset_forgets_them() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        for (n, path) in [[0], [1]].iter().enumerate() {
            bench.apply(send("a", "approval", &format!("k{n}"), &n.to_string()));
            let (_, number) = bench.next("a", "approval").unwrap();
            bench.apply(act("a", epoch, path, Effect::Receive(number)));
        }
        bench.apply(act("a", epoch, &[2], Effect::Publish(publish("a", epoch, "progress", "1"))));
        bench.apply(release("a", epoch, None));
        assert_eq!(bench.next("a", "approval"), None);
        assert_eq!(bench.apply(rewind("a", epoch, &[1])), Answer::Dropped(2));
        assert_eq!(bench.next("a", "approval").unwrap().0, "1");
        let epoch = bench.run("a").epoch;
        bench.apply(start("B", 1));
        bench.apply(send("B", "approval", "k", "9"));
        assert_eq!(bench.apply(reset("a", epoch)), Answer::Done);
        assert_eq!(bench.values("a"), [""; 0]);
        assert_eq!(bench.reader.events(&workflow("a")).unwrap(), []);
        assert_eq!(bench.values("B"), ["9"]);
    });
}

#[test]
fn what_the_losers_of_a_race_have_received_waits_again() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        for (n, path) in [&[0][..], &[1, 0, 0], &[1, 1, 0], &[1, 1, 1, 0, 0]].iter().enumerate() {
            bench.apply(send("a", "approval", &format!("k{n}"), &n.to_string()));
            let (_, number) = bench.next("a", "approval").unwrap();
            bench.apply(act("a", epoch, path, Effect::Receive(number)));
        }
        assert_eq!(bench.apply(act("a", epoch, &[1], Effect::Decide(0))), Answer::Done);
        let messages = bench.reader.messages(&workflow("a")).unwrap();
        let waits: Vec<_> = messages.iter().map(|message| message.received.is_none()).collect();
        assert_eq!(waits, [false, false, true, true]);
        assert_eq!(bench.positions("a").len(), 5, "their steps stay");
    });
}

/// The same operation, of another kind and with another output.
fn of_kind(kind: Kind, output: &str, op: Op) -> Op {
    let Op::Act(Act { record, effect }) = op else { unreachable!() };
    let step = StepRecord { kind, output: output.to_owned(), ..record.step };
    Op::Act(Act { record: Record { step, ..record }, effect })
}

#[test]
fn who_lost_a_race_that_is_decided_anew_takes_its_message_again() {
    // Who decided; whether somebody else has the message by then; whether the loser ran something at most once.
    let cases: [(u32, bool, bool, &[&str]); 4] = [
        (0, false, false, &["1.0.0", "1.0.1"]),
        (1, false, true, &["1.0.0", "1.0.1"]),
        (1, true, false, &["0"]),
        (1, true, true, &["0", "1.0.0", "1.0.1"]),
    ];
    for (winner, is_taken, is_once, left) in cases {
        each_store(|bench| {
            let epoch = bench.started_with(&[]);
            bench.apply(send("a", "ship", "k", "1"));
            let (_, number) = bench.next("a", "ship").unwrap();
            let receives =
                |path: &[u32]| of_kind(Kind::Receive, "[1]", act("a", epoch, path, Effect::Receive(number)));
            bench.apply(receives(&[1, 0, 0]));
            let later =
                if is_once { once("a", epoch, &[1, 0, 1], 1) } else { record("a", epoch, &[1, 0, 1], "1") };
            bench.apply(later);
            bench.apply(record("a", epoch, &[1, 1, 0], "1"));
            let decides = act("a", epoch, &[1], Effect::Decide(winner));
            bench.apply(of_kind(Kind::Race, &winner.to_string(), decides));
            assert_eq!(bench.next("a", "ship").is_some(), winner == 1);
            if is_taken {
                assert_eq!(bench.apply(receives(&[0])), Answer::Done);
            }
            bench.apply(release("a", epoch, None));
            bench.apply(rewind("a", epoch, &[1, 1, 0]));
            assert_eq!(bench.positions("a"), left);
            let holder = bench.reader.messages(&workflow("a")).unwrap().remove(0).received.unwrap();
            assert_eq!(holder, position(if is_taken { &[0] } else { &[1, 0, 0] }), "it waits for nobody");
        });
    }
}

#[test]
fn an_event_has_its_last_value() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let value = |bench: &mut Bench, name| {
            bench.reader.event(&workflow("a"), name).unwrap().map(|event| event.value)
        };
        assert_eq!(value(bench, "progress"), None);
        let first = Effect::Publish(publish("a", epoch, "progress", "1"));
        assert_eq!(bench.apply(act("a", epoch, &[0], first.clone())), Answer::Done);
        assert_eq!(value(bench, "progress").as_deref(), Some("1"));
        assert_eq!(bench.apply(Op::Publish(publish("a", epoch, "progress", "2"))), Answer::Done);
        assert_eq!(bench.apply(act("a", epoch, &[0], first)), Answer::Done, "it is recorded already");
        assert_eq!(value(bench, "progress").as_deref(), Some("2"), "so it is not published again");
        assert_eq!(bench.apply(Op::Publish(publish("a", STALE, "progress", "3"))), Answer::Fenced);
        bench.apply(completed("a", epoch, "1"));
        assert_eq!(bench.apply(Op::Publish(publish("a", epoch, "progress", "4"))), Answer::Fenced);
        assert_eq!(value(bench, "progress").as_deref(), Some("2"));
        assert_eq!(bench.reader.events(&workflow("a")).unwrap().len(), 1);
    });
}

#[test]
fn a_message_wakes_the_run_that_awaits_it_and_no_other() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(send("a", "paid", "k0", "0"));
        assert_eq!(bench.apply(await_it("a", epoch, about("approval"))), Answer::Done);
        assert_eq!(bench.waits("a"), (Some(99), Some("topic/approval".into())));
        bench.apply(send("a", "paid", "k1", "1"));
        assert_eq!(bench.waits("a").0, Some(99));
        bench.apply(send("a", "approval", "k2", "1"));
        assert_eq!(bench.waits("a"), (Some(11), None), "it is due since the message came");
        let Answer::Claimed(epoch) = bench.apply(claim_from("a", epoch, None, &[], 0)) else { panic!() };
        assert_eq!(bench.waits("a"), (None, None));
        bench.apply(await_it("a", epoch, about("approval")));
        assert_eq!(bench.waits("a"), (Some(5), None), "what came before it was given up is there");
    });
}

#[test]
fn an_event_and_the_end_of_a_run_wake_those_who_await_them() {
    let ends: [fn(&mut Bench, Epoch); 5] = [
        |bench, epoch| {
            bench.apply(act("B", epoch, &[0], Effect::Publish(publish("B", epoch, "progress", "1"))));
        },
        |bench, epoch| _ = bench.apply(Op::Publish(publish("B", epoch, "progress", "1"))),
        |bench, epoch| _ = bench.apply(completed("B", epoch, "1")),
        |bench, _| _ = bench.apply(ask("B", Wanted::Cancel, Some("first"))),
        |bench, epoch| _ = bench.apply(reset("B", epoch)),
    ];
    for end in ends {
        each_store(|bench| {
            let epoch = bench.started_with(&[]);
            let Answer::Started(other) = bench.apply(start("B", 1)) else { panic!() };
            bench.apply(await_it("a", epoch, event_of("B", "progress")));
            assert_eq!(bench.waits("a"), (Some(99), Some("run/B".into())));
            bench.apply(start("ä", 1));
            end(bench, other);
            let (wake_at, awaits) = bench.waits("a");
            assert!(wake_at < Some(99) && awaits.is_none(), "{}: {wake_at:?} {awaits:?}", bench.name);
            // Who comes too late does not wait at all.
            let late = bench.run("ä").epoch;
            bench.apply(await_it("ä", late, event_of("B", "progress")));
            assert_eq!(bench.waits("ä"), (Some(5), None));
        });
    }
}

/// Gives the run up until `of` has ended.
fn await_end(id: &str, epoch: Epoch, of: &str) -> Op {
    let awaits = Some(Awaits::End { of: workflow(of) });
    let (id, wake_at) = (workflow(id), Some(Timestamp::NEVER));
    Op::Release(Release { id, epoch, panicked: None, wake_at, awaits, at: at(5) })
}

#[test]
fn the_last_of_a_circle_of_runs_that_await_each_other_is_due_at_once() {
    each_store(|bench| {
        let epochs = ["a", "B", "ä"].map(|id| {
            let Answer::Started(epoch) = bench.apply(start(id, 1)) else { panic!() };
            epoch
        });
        bench.apply(await_end("a", epochs[0], "B"));
        bench.apply(await_end("B", epochs[1], "ä"));
        let never = Timestamp::NEVER.as_millis();
        assert_eq!(bench.waits("a"), (Some(never), Some("run/B".into())));
        bench.apply(await_end("ä", epochs[2], "a"));
        assert_eq!(bench.waits("ä"), (Some(5), None));
        assert_eq!(bench.waits("B"), (Some(never), Some("run/ä".into())), "the others wait on");
    });
}

#[test]
fn the_end_of_a_run_is_awaited_and_found() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        let Answer::Started(other) = bench.apply(start("B", 1)) else { panic!() };
        bench.apply(await_end("a", epoch, "B"));
        bench.apply(completed("B", other, "1"));
        assert_eq!(bench.waits("a"), (Some(4), None));
        let Answer::Claimed(epoch) = bench.apply(claim_from("a", epoch, None, &[], 0)) else { panic!() };
        bench.apply(await_end("a", epoch, "B"));
        assert_eq!(bench.waits("a"), (Some(5), None), "it has ended already");
    });
}

#[test]
fn what_was_asked_of_a_run_outlives_what_it_awaits() {
    each_store(|bench| {
        let epoch = bench.started_with(&[]);
        bench.apply(await_it("a", epoch, about("approval")));
        bench.apply(ask("a", Wanted::Pause, None));
        assert_eq!(bench.waits("a"), (None, None));
        assert_eq!(bench.apply(send("a", "approval", "k", "1")), Answer::Done);
        assert_eq!((bench.run("a").status, bench.waits("a").0), (RunStatus::Paused, None), "it stays paused");
        assert_eq!(bench.next("a", "approval").unwrap().0, "1", "and finds the message when it goes on");
    });
}
