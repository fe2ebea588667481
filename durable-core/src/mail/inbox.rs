//! What comes to a run: where it can be received, and how it is.

use std::panic::{Location, panic_any};
use std::sync::Arc;
use std::time::Duration;

use super::Topic;
use crate::args::ArgsSink;
use crate::call::{Call, Known};
use crate::engine::Engine;
use crate::error::Error;
use crate::history::Text;
use crate::key::{Site, WorkflowId};
use crate::lookout::{Lookout, deadline, engine_of};
use crate::memo::is_unwinding;
use crate::outcome::{Encoded, Json, Undecodable, decode_input};
use crate::probe::Value;
use crate::run::{Ambient, Mode, Run};
use crate::scope::Scope;
use crate::store::{Answer, Awaits, Effect, Kind, MessageRecord, StepStatus};

/// Where a message is to be received, or a value published.
pub(crate) enum Receiver {
    Body(Arc<Scope>),
    /// A `Drop` while a panic unwinds, which takes no part in the run any more.
    Unwinding,
    /// In a step.
    Refused(Arc<Run>, Error),
}

impl Receiver {
    /// # Panics
    /// Outside a run.
    #[expect(
        clippy::panic,
        reason = "documented: outside a run there is nothing to receive, and nobody to tell"
    )]
    pub(crate) fn here(what: &str, name: &str) -> Self {
        match Ambient::current() {
            Ambient::Inside(scope) if is_unwinding(&scope) => Self::Unwinding,
            Ambient::Inside(scope) => Self::Body(scope),
            Ambient::InStep(step) => {
                let (workflow, name) = (step.run.id.clone(), name.to_owned());
                Self::Refused(Arc::clone(&step.run), Error::NotInWorkflow { workflow, name })
            }
            Ambient::Outside | Ambient::Entering(_) => panic_any(format!(
                "`durable::{what}` of `{name}` was called outside a run: only the body of a workflow that runs durably has \
                 messages and events; call the workflow by `run_durable` or `start`"
            )),
        }
    }
}

pub(super) async fn receive<T: Value>(
    topic: Topic<T>,
    timeout: Duration,
    caller: &Location<'static>,
    scope: &Arc<Scope>,
    mode: Mode,
) -> Result<Option<T>, Error> {
    let site = Site { file: caller.file(), line: caller.line() };
    let (mut args, from) = (ArgsSink::new(), scope.last());
    args.add(&timeout);
    let call = Call::begin(scope, Kind::Receive, topic.name, site, args.finish())?;
    let mut call = match call.look()?.awaited().await? {
        Known::Nothing(call) => call,
        Known::Output(call, output) => return give_back(call, &output),
    };
    let (engine, id) = (engine_of(call.run()), call.run().id.clone());
    loop {
        let deadline = deadline(from, timeout);
        let lookout =
            Lookout { engine: &engine, of: &id, call: Some(&call), deadline, grace: Duration::ZERO };
        let awaits = || Awaits::Message { topic: topic.name.to_owned() };
        let Some(message) = lookout.find(awaits, || next_message(&engine, &id, topic.name, mode)).await?
        else {
            call.conclude(completed("null".to_owned()), mode).await?;
            return Ok(None);
        };
        let json = format!("[{}]", message.value);
        // Before it counts as received: what this program cannot read waits for one that can.
        if let Err(source) = check::<T>(&message.value, &json) {
            let (workflow, key, source) = (id, message.key, Arc::new(source));
            return Err(Error::UndecodableMessage { workflow, topic: topic.name, key, site, source });
        }
        let outcome = completed(json.clone());
        let (received, at, answer) = call.act(outcome, Effect::Receive(message.number), mode).await?;
        call = received;
        if answer == Answer::Done {
            let value = decode(&call, &json)?;
            call.end(at);
            return Ok(value);
        }
        // Another branch has received it meanwhile.
    }
}

async fn next_message(
    engine: &Engine,
    id: &WorkflowId,
    topic: &'static str,
    mode: Mode,
) -> Result<Option<MessageRecord>, Error> {
    let of = id.clone();
    let message = engine.core.read(mode, move |reader| reader.message(&of, topic)).await;
    message.map_err(|source| Error::store(id, source))
}

/// What an operation has recorded that waits for a value: the value in an array, or null.
pub(crate) fn give_back<T: Value>(call: Call, output: &Text) -> Result<Option<T>, Error> {
    let value = decode(&call, output.as_str())?;
    let at = call.run().history.step_of(output).timestamp();
    call.end(at);
    Ok(value)
}

pub(crate) fn decode<T: Value>(call: &Call, json: &str) -> Result<Option<T>, Error> {
    decode_json(json).map_err(|source| call.undecodable(source))
}

/// That a message is a `T`, as it was sent and as it is recorded.
fn check<T: Value>(value: &str, json: &str) -> Result<(), Undecodable> {
    decode_input(Json::<T>::NEW, value)?;
    decode_json::<T>(json).map(drop)
}

fn decode_json<T: Value>(json: &str) -> Result<Option<T>, Undecodable> {
    let (value, _) = decode_input(Json::<Option<(T,)>>::NEW, json)?;
    Ok(value.map(|(value,)| value))
}

pub(crate) fn completed(json: String) -> Encoded {
    Encoded { status: StepStatus::Completed, json }
}
