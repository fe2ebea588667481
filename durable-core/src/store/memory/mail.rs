//! Messages and events in memory, and whom they wake.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::Tables;
use crate::clock::Timestamp;
use crate::key::{Position, WorkflowId};
use crate::store::{
    Act, Answer, Awaits, DropMessage, Effect, EventRecord, Kind, Message, MessageRecord, Publish, Record,
    RunRecord, Token, transition,
};

#[derive(Debug, Default)]
pub(super) struct Mail {
    messages: BTreeMap<i64, MessageRecord>,
    events: BTreeMap<(WorkflowId, String), EventRecord>,
}

impl Mail {
    /// The first message of the run `id` about `topic` that waits to be received.
    pub(super) fn next(&self, id: &WorkflowId, topic: &str) -> Option<&MessageRecord> {
        let waits = |message: &&MessageRecord| message.topic == topic && message.received.is_none();
        self.of(id).find(waits)
    }

    pub(super) fn of(&self, id: &WorkflowId) -> impl Iterator<Item = &MessageRecord> {
        self.messages.values().filter(move |message| message.workflow == *id)
    }

    pub(super) fn event(&self, id: &WorkflowId, name: &str) -> Option<&EventRecord> {
        self.events.get(&(id.clone(), name.to_owned()))
    }

    pub(super) fn events_of(&self, id: &WorkflowId) -> impl Iterator<Item = &EventRecord> {
        self.events.values().filter(move |event| event.workflow == *id)
    }

    /// Puts back what was received at the positions of the run `id` that `is_dropped` tells.
    pub(super) fn put_back(&mut self, id: &WorkflowId, is_dropped: impl Fn(&Position) -> bool) {
        for message in self.messages.values_mut().filter(|message| message.workflow == *id) {
            message.received.take_if(|position| is_dropped(position));
        }
    }

    pub(super) fn forget(&mut self, id: &WorkflowId) {
        self.messages.retain(|_, message| message.workflow != *id);
        self.events.retain(|(of, _), _| of != id);
    }
}

impl Tables {
    /// The races that these positions of the run `id` are the decisions of.
    pub(super) fn decisions(&self, id: &WorkflowId, is_dropped: impl Fn(&Position) -> bool) -> Vec<Position> {
        let steps = self.steps.get(id).into_iter().flat_map(BTreeMap::values);
        let decided = steps.filter(|step| matches!(step.kind, Kind::Race | Kind::TryJoin));
        decided.map(|step| step.position.clone()).filter(is_dropped).collect()
    }

    /// The decisions of these races are gone: what a loser had received, and gave back when it lost, it takes again.
    /// Where somebody else has it by now, the loser receives anew, unless that would run something again that runs
    /// at most once.
    pub(super) fn receive_again(&mut self, id: &WorkflowId, races: &[Position]) {
        let Some(steps) = self.steps.get_mut(id) else { return };
        let received: Vec<_> = self.mail.of(id).filter_map(|message| message.received.clone()).collect();
        let receipts = steps.values().filter(|step| step.kind == Kind::Receive && step.output != "null");
        let mut dropped = Vec::new();
        for receipt in receipts.filter(|receipt| !received.contains(&receipt.position)) {
            let Some(race) = races.iter().find(|race| receipt.position.is_below(race)) else { continue };
            let messages = self.mail.messages.values_mut().filter(|message| message.workflow == *id);
            let waits = messages.filter(|message| message.received.is_none());
            if let Some(message) = { waits }.find(|message| transition::is_receipt(receipt, message)) {
                message.received = Some(receipt.position.clone());
                continue;
            }
            let rests =
                steps.values().filter(|step| transition::rests_on(&step.position, &receipt.position, race));
            let rests: Vec<_> = rests.collect();
            if rests.iter().all(|step| step.kind != Kind::Once) {
                dropped.extend(rests.into_iter().map(|step| step.position.clone()));
            }
        }
        steps.retain(|position, _| !dropped.contains(position));
        self.mail.put_back(id, |position| dropped.contains(position));
    }

    pub(super) fn act(&mut self, act: &Act) -> Answer {
        let Record { id, step, .. } = &act.record;
        let is_new = self.steps.get(id).is_none_or(|steps| !steps.contains_key(&step.position));
        if !is_new {
            return self.record(&act.record);
        }
        let recorded = self.record_step(&act.record);
        if recorded != Answer::Done {
            return recorded;
        }
        let done = match &act.effect {
            Effect::Deliver(send) => self.send(send),
            Effect::Publish(publish) => self.put_event(publish),
            Effect::Receive(number) => self.receive(*number, &act.record),
            Effect::Decide(winner) => {
                self.mail.put_back(id, |position| transition::has_lost(position, &step.position, *winner));
                Answer::Done
            }
        };
        if done == Answer::Done {
            self.mark(&act.record);
        } else if let Some(steps) = self.steps.get_mut(id) {
            steps.remove(&step.position);
        }
        done
    }

    pub(super) fn send(&mut self, send: &Message) -> Answer {
        if self.mail.of(&send.to).any(|message| message.key == send.key) {
            return Answer::Done;
        }
        if let Some(refusal) = transition::refuses_mail(self.workflows.get(&send.to)) {
            return refusal;
        }
        let number = self.mail.messages.last_key_value().map_or(1, |(last, _)| last + 1);
        self.mail.messages.insert(number, transition::message(send, number));
        if let Some(run) = self.workflows.get_mut(&send.to) {
            transition::wake(run, &Token::of_topic(&send.topic), send.at);
        }
        Answer::Done
    }

    fn receive(&mut self, number: i64, record: &Record) -> Answer {
        match self.mail.messages.get_mut(&number) {
            Some(message) if message.workflow == record.id && message.received.is_none() => {
                message.received = Some(record.step.position.clone());
                Answer::Done
            }
            _ => Answer::Lost,
        }
    }

    pub(super) fn drop_message(&mut self, drop: &DropMessage) -> Answer {
        if self.at(&drop.id, drop.expected).is_none() {
            return Answer::Lost;
        }
        let found = self.mail.of(&drop.id).find(|message| message.key == drop.key);
        match found.map(|message| (message.number, &message.received)) {
            None => Answer::Dropped(0),
            Some((_, Some(_))) => Answer::Exists,
            Some((number, None)) => {
                self.mail.messages.remove(&number);
                Answer::Dropped(1)
            }
        }
    }

    pub(super) fn publish(&mut self, publish: &Publish) -> Answer {
        match self.at(&publish.id, publish.epoch).filter(|run| run.owner.is_some()) {
            Some(_) => self.put_event(publish),
            None => Answer::Fenced,
        }
    }

    fn put_event(&mut self, publish: &Publish) -> Answer {
        let key = (publish.id.clone(), publish.name.clone());
        self.mail.events.insert(key, transition::event(publish));
        self.wake_all(&Token::of_run(&publish.id), publish.at);
        Answer::Done
    }

    /// Has those taken up that wait for what has happened now.
    pub(super) fn wake_all(&mut self, token: &Token, at: Timestamp) {
        for run in self.workflows.values_mut() {
            transition::wake(run, token, at);
        }
    }

    /// Tells those who wait for the run `id` if it has ended.
    pub(super) fn tell_of_end(&mut self, id: &WorkflowId, at: Timestamp) {
        if self.workflows.get(id).is_none_or(RunRecord::is_over) {
            self.wake_all(&Token::of_run(id), at);
        }
    }

    /// Whether what the run `id` would wait for is there already.
    pub(super) fn is_there(&self, id: &WorkflowId, awaits: &Awaits) -> bool {
        match awaits {
            Awaits::Message { topic } => self.mail.next(id, topic).is_some(),
            // Who waits for itself is taken up, and told so.
            Awaits::End { of } => {
                let load = |id: &WorkflowId| Ok::<_, Infallible>(self.workflows.get(id).cloned());
                self.workflows.get(of).is_none_or(RunRecord::is_over)
                    || !matches!(RunRecord::circle(id, of, load), Ok(None))
            }
            Awaits::Event { of, name } => {
                self.mail.event(of, name).is_some() || self.workflows.get(of).is_none_or(RunRecord::is_over)
            }
        }
    }
}
