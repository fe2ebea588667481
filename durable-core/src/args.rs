//! The arguments of a call, hashed so that a replay with others shows, and recorded where a step asks for it.
//! What cannot be hashed is skipped: a client or a closure says nothing about what a step was asked to do.

use serde::Serialize;

use crate::fingerprint::{fingerprint, hash};
use crate::outcome::text_of;

/// What is stored of the arguments of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    pub(crate) fingerprint: Option<u64>,
    pub(crate) recorded: Option<String>,
}

/// Takes the arguments of a call one by one.
#[derive(Debug, Default)]
pub struct ArgsSink {
    hashes: Vec<u8>,
    texts: Vec<String>,
}

impl ArgsSink {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Hashes an argument.
    pub fn add<T: Serialize + ?Sized>(&mut self, arg: &T) {
        match fingerprint(arg) {
            Ok(print) => self.hashes.extend_from_slice(&print.to_le_bytes()),
            Err(_) => self.skip(),
        }
    }

    /// Passes over an argument that cannot be hashed.
    pub fn skip(&mut self) {
        self.hashes.push(0);
    }

    /// Hashes an argument and keeps its JSON; `null` if it has none.
    pub fn record<T: Serialize + ?Sized>(&mut self, arg: &T) {
        self.add(arg);
        // Nesting without bound has no fingerprint either, and must not reach the encoder.
        let text = fingerprint(arg).ok().and_then(|_| text_of(arg));
        self.texts.push(text.unwrap_or_else(|| "null".to_owned()));
    }

    pub(crate) fn finish(self) -> Args {
        let recorded = (!self.texts.is_empty()).then(|| format!("[{}]", self.texts.join(",")));
        Args { fingerprint: Some(hash(&self.hashes)), recorded }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(collect: impl FnOnce(&mut ArgsSink)) -> Args {
        let mut sink = ArgsSink::new();
        collect(&mut sink);
        sink.finish()
    }

    #[test]
    fn calls_with_other_arguments_have_other_fingerprints() {
        let one = args(|sink| sink.add(&1));
        assert_eq!(one, args(|sink| sink.add(&1)));
        assert_ne!(one, args(|sink| sink.add(&2)));
        assert_ne!(one, args(ArgsSink::skip));
    }

    #[test]
    fn recorded_arguments_are_a_json_array() {
        let recorded = args(|sink| {
            sink.record("a\"b");
            sink.record(&(1, None::<u8>));
        });
        assert_eq!(recorded.recorded.as_deref(), Some(r#"["a\"b",[1,null]]"#));
    }
}
