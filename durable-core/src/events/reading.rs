//! How an event of another run is read: as an operation of a run, or from outside.

use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::Event;
use crate::args::ArgsSink;
use crate::call::{Call, Known};
use crate::clock::Timestamp;
use crate::engine::Engine;
use crate::error::Error;
use crate::key::{Site, WorkflowId};
use crate::lookout::{Lookout, deadline, engine_of};
use crate::mail::{completed, decode, give_back};
use crate::outcome::{Json, decode_input};
use crate::probe::Value;
use crate::run::Mode;
use crate::scope::Scope;
use crate::store::{Awaits, Kind};

/// What is asked for.
pub(super) struct Question<T> {
    of: WorkflowId,
    name: &'static str,
    timeout: Duration,
    site: Site,
    value: PhantomData<fn() -> T>,
}

/// What came of a look.
enum Seen {
    /// The value, as JSON.
    Value(String),
    /// There is no such run.
    Unknown,
    /// The run has ended without publishing it.
    Over,
}

/// That there is no such run, as it is recorded.
const UNKNOWN: &str = "\"UNKNOWN\"";

impl<T: Value> Question<T> {
    pub(super) fn new(
        of: &str,
        event: Event<T>,
        timeout: Duration,
        caller: &Location<'static>,
    ) -> Result<Self, Error> {
        let site = Site { file: caller.file(), line: caller.line() };
        Ok(Self { of: WorkflowId::new(of)?, name: event.name, timeout, site, value: PhantomData })
    }

    /// Asks as an operation of a run: the outer error is the run's fault.
    pub(super) async fn ask_in(
        &self,
        scope: &Arc<Scope>,
        mode: Mode,
    ) -> Result<Result<Option<T>, Error>, Error> {
        let (mut args, from) = (ArgsSink::new(), scope.last());
        args.add(self.of.as_str());
        args.add(&self.timeout);
        let call = Call::begin(scope, Kind::GetEvent, self.name, self.site, args.finish())?;
        let call = match call.look()?.awaited().await? {
            Known::Nothing(call) => call,
            Known::Output(call, output) if output.as_str() == UNKNOWN => {
                let at = call.run().history.step_of(&output).timestamp();
                call.end(at);
                return Ok(Err(self.unknown()));
            }
            Known::Output(call, output) => return give_back(call, &output).map(Ok),
        };
        let engine = engine_of(call.run());
        let seen = self.look_out(&engine, Some(&call), deadline(from, self.timeout), mode).await?;
        let json = match seen {
            Some(Seen::Unknown) => {
                call.conclude(completed(UNKNOWN.to_owned()), mode).await?;
                return Ok(Err(self.unknown()));
            }
            Some(Seen::Value(json)) => format!("[{json}]"),
            Some(Seen::Over) | None => "null".to_owned(),
        };
        // Before it is recorded: what this program cannot read waits for one that can.
        drop(decode::<T>(&call, &json)?);
        let id = call.run().id.clone();
        call.conclude(completed(json.clone()), mode).await?;
        decode_here(&id, self.name, &json).map(Ok)
    }

    async fn look_out(
        &self,
        engine: &Engine,
        call: Option<&Call>,
        deadline: Option<Timestamp>,
        mode: Mode,
    ) -> Result<Option<Seen>, Error> {
        let awaits = || Awaits::Event { of: self.of.clone(), name: self.name.to_owned() };
        let lookout = Lookout { engine, of: &self.of, call, deadline, grace: Duration::ZERO };
        lookout.find(awaits, || self.look(engine, mode)).await
    }

    async fn look(&self, engine: &Engine, mode: Mode) -> Result<Option<Seen>, Error> {
        let (of, name) = (self.of.clone(), self.name);
        let looked = engine.core.read(mode, move |reader| {
            // The end before the event: what a run published last is there once it has ended.
            let run = reader.run(&of)?;
            Ok((run.map(|run| run.is_over()), reader.event(&of, name)?))
        });
        Ok(match looked.await.map_err(|source| Error::store(&self.of, source))? {
            (_, Some(event)) => Some(Seen::Value(event.value)),
            (None, None) => Some(Seen::Unknown),
            (Some(true), None) => Some(Seen::Over),
            (Some(false), None) => None,
        })
    }

    fn unknown(&self) -> Error {
        Error::UnknownRun { workflow: self.of.clone() }
    }
}

/// Asks from outside the body of a workflow.
pub(super) async fn read<T: Value>(
    engine: &Engine,
    question: &Question<T>,
    mode: Mode,
) -> Result<Option<T>, Error> {
    engine.core.check_process()?;
    let until = deadline(engine.settings.clock.now(), question.timeout);
    match question.look_out(engine, None, until, mode).await? {
        Some(Seen::Unknown) => Err(question.unknown()),
        Some(Seen::Value(json)) => decode_here(&question.of, question.name, &format!("[{json}]")),
        Some(Seen::Over) | None => Ok(None),
    }
}

fn decode_here<T: Value>(of: &WorkflowId, name: &'static str, json: &str) -> Result<Option<T>, Error> {
    let decoded = decode_input(Json::<Option<(T,)>>::NEW, json);
    let undecodable =
        |source| Error::UndecodableValue { workflow: of.clone(), name, source: Arc::new(source) };
    Ok(decoded.map_err(undecodable)?.0.map(|(value,)| value))
}
