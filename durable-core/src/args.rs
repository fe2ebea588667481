//! The arguments of a call, hashed so that a replay with others shows, and recorded where a step asks for it.
//! What cannot be hashed is skipped: a client or a closure says nothing about what a step was asked to do.

use serde::Serialize;

use crate::fingerprint::{Joined, fingerprint};
use crate::outcome::describe;

/// What is stored of the arguments of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Args {
    /// The hash of all that have one, in order.
    pub fingerprint: Option<u64>,
    /// The arguments as a JSON array, if the step records them.
    pub recorded: Option<String>,
}

/// Takes the arguments of a call one by one.
#[derive(Debug)]
pub struct ArgsSink {
    fingerprints: Joined,
    texts: Vec<String>,
}

impl Default for ArgsSink {
    fn default() -> Self {
        Self { fingerprints: Joined::new(), texts: Vec::new() }
    }
}

impl ArgsSink {
    /// No argument yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes an argument.
    pub fn add<T: Serialize + ?Sized>(&mut self, arg: &T) {
        self.fingerprints.add(fingerprint(arg).ok());
    }

    /// Passes over an argument that cannot be hashed.
    pub fn skip(&mut self) {
        self.fingerprints.add(None);
    }

    /// Hashes an argument and keeps its JSON; `null` if it has none.
    pub fn record<T: Serialize + ?Sized>(&mut self, arg: &T) {
        self.add(arg);
        self.texts.push(describe(arg).unwrap_or_else(|| "null".to_owned()));
    }

    /// What is known of them all.
    pub fn finish(self) -> Args {
        let recorded = (!self.texts.is_empty()).then(|| format!("[{}]", self.texts.join(",")));
        Args { fingerprint: Some(self.fingerprints.finish()), recorded }
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
