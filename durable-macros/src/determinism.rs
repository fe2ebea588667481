//! The determinism lint.

use proc_macro2::{Group, Ident};

use crate::args::Given;
use crate::diag::Diag;

/// A family of things that differ on replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    Clock,
    Random,
    Thread,
    Concurrency,
    Io,
    Env,
}

impl Family {
    pub(crate) fn parse(name: &Ident) -> syn::Result<Self> {
        Ok(match name.to_string().as_str() {
            "clock" => Self::Clock,
            "random" => Self::Random,
            "thread" => Self::Thread,
            "concurrency" => Self::Concurrency,
            "io" => Self::Io,
            "env" => Self::Env,
            _ => return Err(syn::Error::new(name.span(), "unknown family")),
        })
    }
}

pub(crate) struct Families;

impl Families {
    pub(crate) fn new(_: Option<Given<Vec<Family>>>, _: Option<Given<Vec<Family>>>, _: &mut Diag) -> Self {
        Self
    }
}

pub(crate) fn check(body: &Group, _: &Families, _: &mut Diag) -> Group {
    body.clone()
}
