//! The forms that the probes pick, through the expansion that the macros emit, written by hand.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![expect(clippy::needless_borrow, reason = "the expansion is the same for every type")]

use std::borrow::Cow;
use std::fmt::Debug;
use std::io;

use durable_core::private::{ArgProbe, Args, ArgsSink, Codec, Tried, settle, settle_failed};
use durable_core::store::StepStatus;
use durable_core::{FailureKind, StepFailed, Undecodable};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Expands to what the macros emit for a function that returns `$returned`.
macro_rules! codec {
    ($returned:ty) => {{
        use durable_core::private::probe::*;
        let shape = (&&durable_core::private::Probe::<$returned>::NEW).durable_split();
        let value = (&&shape.ok()).durable_ok();
        let error = (&&&&shape.err()).durable_err();
        value.check_value();
        error.check_error();
        shape.codec(value, error)
    }};
}

const TRIED: Tried<'_> = Tried { step: "charge_0", attempts: 3 };
const BYTES_MAX: usize = 1 << 20;

/// What a caller gets live and what it gets on replay, both printed; they must be the same.
#[track_caller]
fn check<C: Codec>(codec: C, returned: C::Returned, json: &str, seen: &str)
where
    C::Returned: Debug,
{
    let settled = settle(&codec, TRIED, returned, BYTES_MAX).unwrap();
    assert_eq!(settled.encoded.json, json);
    let replayed = codec.decode(settled.encoded.status, &settled.encoded.json).unwrap();
    assert_eq!(format!("{:?}", settled.returned), seen, "live");
    assert_eq!(format!("{replayed:?}"), seen, "replayed");
    assert_eq!(settled.encoded.status == StepStatus::Failed, codec.is_failure(&replayed));
}

/// What becomes of a panic: what the function returns, or nothing, live and on replay.
#[track_caller]
fn check_panic<C: Codec>(codec: C, seen: Option<&str>)
where
    C::Returned: Debug,
{
    let failed = StepFailed::new(FailureKind::Panic, "charge_0", "no route", 1);
    let settled = settle_failed(&codec, failed.clone(), BYTES_MAX).unwrap();
    assert_eq!(settled.encoded.status, StepStatus::Failed);
    let replayed = match codec.decode(StepStatus::Failed, &settled.encoded.json) {
        Ok(returned) => Some(format!("{returned:?}")),
        Err(Undecodable::Failed(replayed)) => {
            assert_eq!(replayed, failed);
            None
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(settled.returned.ok().map(|returned| format!("{returned:?}")).as_deref(), seen, "live");
    assert_eq!(replayed.as_deref(), seen, "replayed");
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Declined {
    Card { code: u16 },
    Limit(u32),
}

#[derive(Debug, thiserror::Error)]
enum OrderError {
    #[error("out of {0}")]
    OutOf(&'static str),
    #[error("step failed: {0}")]
    Step(#[from] StepFailed),
}

#[derive(Debug, thiserror::Error, Serialize, Deserialize)]
enum BothError {
    #[error("declined")]
    Declined,
    #[error(transparent)]
    Step(#[from] StepFailed),
}

type Outcome<T> = Result<T, Declined>;
type AnyResult<T> = anyhow::Result<T>;
type Boxed = Box<dyn std::error::Error + Send + Sync>;

const PANIC: &str = r#"StepFailed { kind: Panic, step: "charge_0", message: "no route", attempts: 1 }"#;

#[test]
fn a_value_is_stored_as_its_own_json() {
    check(codec!(u32), 7, "7", "7");
    check(codec!(()), (), "null", "()");
    check(codec!(Vec<Option<String>>), vec![None, Some("a".into())], r#"[null,"a"]"#, r#"[None, Some("a")]"#);
    check(codec!(Cow<'_, str>), Cow::Borrowed("a"), r#""a""#, r#""a""#);
    check_panic(codec!(u32), None);
}

#[test]
fn a_serde_error_is_stored_as_its_own_json() {
    let codec = codec!(Result<u32, Declined>);
    check(codec, Ok(7), "7", "Ok(7)");
    check(codec, Err(Declined::Card { code: 3 }), r#"{"Card":{"code":3}}"#, "Err(Card { code: 3 })");
    check(codec!(Result<u32, String>), Err("no".into()), r#""no""#, r#"Err("no")"#);
    check_panic(codec, None);
}

#[test]
fn a_serde_error_that_is_from_step_failed_holds_a_panic_too() {
    let codec = codec!(Result<u32, BothError>);
    check(codec, Err(BothError::Declined), r#""Declined""#, "Err(Declined)");
    check_panic(codec, Some(&format!("Err(Step({PANIC}))")));
}

#[test]
fn an_error_with_a_message_is_the_rebuilt_one_live_as_on_replay() {
    let json = |message: &str| {
        format!(
            r#"{{"durable::StepFailed":{{"kind":"error","step":"charge_0","message":"{message}","attempts":3}}}}"#
        )
    };
    let codec = codec!(Result<u32, OrderError>);
    let seen =
        r#"Err(Step(StepFailed { kind: Error, step: "charge_0", message: "out of milk", attempts: 3 }))"#;
    check(codec, Err(OrderError::OutOf("milk")), &json("out of milk"), seen);
    check_panic(codec, Some(&format!("Err(Step({PANIC}))")));
}

#[test]
fn anyhow_keeps_its_chain_as_text() {
    let codec = codec!(anyhow::Result<()>);
    let error = anyhow::anyhow!("low").context("high");
    let settled = settle(&codec, TRIED, Err(error), BYTES_MAX).unwrap();
    let live = settled.returned.unwrap_err();
    let replayed = codec.decode(StepStatus::Failed, &settled.encoded.json).unwrap().unwrap_err();
    for error in [live, replayed] {
        assert_eq!(error.to_string(), "high: low");
        assert_eq!(error.downcast_ref::<StepFailed>().unwrap().attempts(), 3);
    }
}

/// Error types of other crates: each has a message, and holds it and a panic.
#[test]
fn errors_of_other_crates_hold_messages_and_panics() {
    fn check_error<C: Codec<Returned = Result<(), E>>, E: ToString + Debug>(codec: C, error: E) {
        let live = settle(&codec, TRIED, Err(error), BYTES_MAX).unwrap().returned;
        assert_eq!(live.unwrap_err().to_string(), "disk on fire");
        let failed = StepFailed::new(FailureKind::Timeout, "charge_0", "no answer within 30 s", 1);
        let live = settle_failed(&codec, failed, BYTES_MAX).unwrap().returned.unwrap();
        assert_eq!(live.unwrap_err().to_string(), "step `charge_0` timed out: no answer within 30 s");
    }
    check_error(codec!(Result<(), Boxed>), Boxed::from("disk on fire"));
    check_error(codec!(Result<(), Box<dyn std::error::Error>>), Box::from("disk on fire"));
    check_error(codec!(io::Result<()>), io::Error::other("disk on fire"));
    check_error(codec!(AnyResult<()>), anyhow::anyhow!("disk on fire"));
}

#[test]
fn an_alias_of_result_is_a_result() {
    check(codec!(Outcome<u32>), Err(Declined::Limit(9)), r#"{"Limit":9}"#, "Err(Limit(9))");
}

#[test]
fn a_generic_function_picks_by_the_bounds_in_scope() {
    fn by_value<T: durable_core::Value>() -> impl Codec<Returned = T> {
        codec!(T)
    }
    fn by_serde<T: Serialize + DeserializeOwned, E: Serialize + DeserializeOwned>()
    -> impl Codec<Returned = Result<T, E>> {
        codec!(Result<T, E>)
    }
    fn by_message<T, E>() -> impl Codec<Returned = Result<Vec<T>, E>>
    where
        T: Serialize + DeserializeOwned,
        E: From<StepFailed> + std::fmt::Display,
    {
        codec!(Result<Vec<T>, E>)
    }
    check(by_value(), 7, "7", "7");
    check(by_value(), Some("a".to_owned()), r#""a""#, r#"Some("a")"#);
    check(by_serde(), Err::<u32, _>(Declined::Limit(9)), r#"{"Limit":9}"#, "Err(Limit(9))");
    check(by_message::<_, OrderError>(), Ok(vec![7]), "[7]", "Ok([7])");
    check_panic(by_serde::<u32, Declined>(), None);
    check_panic(by_message::<u32, OrderError>(), Some(&format!("Err(Step({PANIC}))")));
}

#[test]
fn a_codec_goes_to_any_thread() {
    fn is_send<T: Send + Sync + 'static>(_: T) {}
    is_send(codec!(AnyResult<u32>));
    is_send(codec!(Vec<u32>));
}

#[test]
fn the_checks_of_a_retried_and_of_a_timed_step_compile_for_what_they_allow() {
    use durable_core::private::probe::*;
    let shape = (&&durable_core::private::Probe::<AnyResult<u32>>::NEW).durable_split();
    let error = (&&&&shape.err()).durable_err();
    shape.check_can_fail();
    shape.check_timeout();
    error.check_timeout();
    let is_busy = shape.retry_if(|error: &anyhow::Error| error.to_string() == "busy");
    assert!(is_busy(&Err(anyhow::anyhow!("busy"))));
    assert!(!is_busy(&Err(anyhow::anyhow!("no"))));
    assert!(!is_busy(&Ok(7)));

    let shape = (&&durable_core::private::Probe::<Option<u32>>::NEW).durable_split();
    shape.check_no_result();
    let shape = (&&durable_core::private::Probe::<Result<u32, BothError>>::NEW).durable_split();
    (&&&&shape.err()).durable_err().check_timeout();
}

#[test]
fn arguments_are_hashed_where_serde_sees_them_and_skipped_elsewhere() {
    struct Client;
    fn sink(order: &Declined, client: &Client, action: &dyn Fn(), n: impl Copy + Serialize) -> Args {
        use durable_core::private::probe::*;
        let mut sink = ArgsSink::new();
        (&&ArgProbe(&order)).durable_arg(&mut sink);
        (&&ArgProbe(&client)).durable_arg(&mut sink);
        (&&ArgProbe(&action)).durable_arg(&mut sink);
        (&&ArgProbe(&n)).durable_arg(&mut sink);
        sink.finish()
    }
    let args = sink(&Declined::Limit(1), &Client, &|| (), 2);
    assert!(args.fingerprint.is_some() && args.recorded.is_none());
    assert_eq!(args, sink(&Declined::Limit(1), &Client, &|| (), 2));
    assert_ne!(args, sink(&Declined::Limit(1), &Client, &|| (), 3));
    assert_ne!(args, sink(&Declined::Limit(2), &Client, &|| (), 2));
}
