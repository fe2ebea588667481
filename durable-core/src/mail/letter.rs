//! A message before it is sent, and the three ways that it goes: as an operation of a run, from a step, from
//! outside.

use std::panic::Location;
use std::sync::Arc;

use super::{Topic, completed};
use crate::args::ArgsSink;
use crate::call::{Call, Known};
use crate::draw;
use crate::engine::Engine;
use crate::error::Error;
use crate::history::Text;
use crate::key::{Site, WorkflowId};
use crate::lookout::{Caller, engine_of, tell};
use crate::outcome::{Json, encode_input};
use crate::probe::Value;
use crate::run::{Ambient, Mode};
use crate::scope::Scope;
use crate::signal::block_on;
use crate::store::{Answer, Effect, Kind, Message, Op, RunStatus};

/// A message before it is sent.
pub(super) struct Letter {
    to: WorkflowId,
    topic: &'static str,
    value: String,
    fingerprint: u64,
    key: Option<String>,
    site: Site,
}

/// The stored form of a value that is sent to, or published by, the run `id` under `name`, and its hash.
pub(crate) fn encode<T: Value>(
    id: &WorkflowId,
    name: &'static str,
    value: &T,
) -> Result<(String, u64), Error> {
    let bytes_max = match Ambient::current().run() {
        Some(run) => run.settings.payload_bytes_max,
        None => Engine::ambient().map_or(usize::MAX, |engine| engine.settings.payload_bytes_max),
    };
    encode_input(Json::<T>::NEW, value, bytes_max).map_err(|source| Error::UnstorableValue {
        workflow: id.clone(),
        name,
        source: Arc::new(source),
    })
}

impl Letter {
    pub(super) fn new<T: Value>(
        to: &str,
        topic: Topic<T>,
        value: &T,
        key: Option<String>,
        caller: &Location<'static>,
    ) -> Result<Self, Error> {
        let to = WorkflowId::new(to)?;
        let (value, fingerprint) = encode(&to, topic.name, value)?;
        let site = Site { file: caller.file(), line: caller.line() };
        Ok(Self { to, topic: topic.name, value, fingerprint, key, site })
    }

    pub(super) fn post(self) -> Result<(), Error> {
        match Caller::here()? {
            Caller::Body(scope) => {
                let sent = block_on(self.send_in(&scope, Mode::Called));
                sent.unwrap_or_else(|fault| scope.run.unwind(fault))
            }
            Caller::Step(step) => {
                let key = step.call(SEND).path.to_string();
                let key = format!("{:016x}-{key}", step.run.nonce);
                block_on(self.drop_in(&engine_of(&step.run), Some(key), Mode::Called))
            }
            Caller::Outside(engine) => block_on(self.drop_in(&engine, None, Mode::Called)),
        }
    }

    pub(super) async fn post_polled(self) -> Result<(), Error> {
        match Caller::here()? {
            Caller::Body(scope) => scope.run.or_suspended(self.send_in(&scope, Mode::Polled)).await,
            Caller::Step(step) => {
                let key = format!("{:016x}-{}", step.run.nonce, step.call(SEND).path);
                self.drop_in(&engine_of(&step.run), Some(key), Mode::Polled).await
            }
            Caller::Outside(engine) => self.drop_in(&engine, None, Mode::Polled).await,
        }
    }

    /// Sends it from outside the body of a workflow.
    pub(super) async fn drop_in(self, engine: &Engine, key: Option<String>, mode: Mode) -> Result<(), Error> {
        engine.core.check_process()?;
        let key = self
            .key
            .clone()
            .or(key)
            .unwrap_or_else(|| format!("{:016x}{:016x}", draw::fresh(), draw::fresh()));
        let message = self.message(engine, key);
        let answer = engine.core.commit(mode, Op::Deliver(message)).await;
        if let Answer::Undelivered(status) = answer.map_err(|source| Error::store(&self.to, source))? {
            return Err(self.undelivered(status));
        }
        tell(engine, &self.to);
        Ok(())
    }

    /// Sends it as an operation of a run: the outer error is the run's fault.
    async fn send_in(self, scope: &Arc<Scope>, mode: Mode) -> Result<Result<(), Error>, Error> {
        let mut args = ArgsSink::new();
        args.add(self.to.as_str());
        args.add(&self.fingerprint);
        let call = Call::begin(scope, Kind::Message, self.topic, self.site, args.finish())?;
        let call = match call.look()?.awaited().await? {
            Known::Nothing(call) => call,
            Known::Output(call, output) => return Ok(self.give_back(call, &output)),
        };
        let engine = engine_of(call.run());
        let key = || format!("{:016x}-{}", call.run().nonce, call.key());
        let message = self.message(&engine, self.key.clone().unwrap_or_else(key));
        let (call, at, answer) =
            call.act(completed("null".to_owned()), Effect::Deliver(message), mode).await?;
        if let Answer::Undelivered(status) = answer {
            let why = if status.is_some() { COMPLETED } else { UNKNOWN };
            call.conclude(completed(why.to_owned()), mode).await?;
            return Ok(Err(self.undelivered(status)));
        }
        call.end(at);
        tell(&engine, &self.to);
        Ok(Ok(()))
    }

    fn give_back(&self, call: Call, output: &Text) -> Result<(), Error> {
        let sent = match output.as_str() {
            UNKNOWN => Err(self.undelivered(None)),
            COMPLETED => Err(self.undelivered(Some(RunStatus::Completed))),
            _ => Ok(()),
        };
        let at = call.run().history.step_of(output).timestamp();
        call.end(at);
        sent
    }

    fn message(&self, engine: &Engine, key: String) -> Message {
        let (to, topic, value) = (self.to.clone(), self.topic.to_owned(), self.value.clone());
        Message { to, topic, key, value, at: engine.settings.clock.now() }
    }

    fn undelivered(&self, status: Option<RunStatus>) -> Error {
        let workflow = self.to.clone();
        match status {
            None => Error::UnknownRun { workflow },
            Some(status) => Error::Refused { workflow, what: "sent a message", status },
        }
    }
}

/// What a call of [`send`] in a step is called.
const SEND: &str = "send";

/// Why a message was not delivered, as it is recorded.
const UNKNOWN: &str = "\"UNKNOWN\"";
const COMPLETED: &str = "\"COMPLETED\"";
