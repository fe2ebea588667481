//! The determinism lint: refuses in a workflow's body what is well known to differ when the body runs again.
//! It knows things by their names alone, so it finds most slips and proves nothing; a name that is not surely
//! such a thing is not in its table. What to write instead is part of every message.
//! Knows no expansion, and changes nothing of the body but to take out `#[durable::allow(…)]`.

mod rules;
mod walk;

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::{Meta, Path};

use crate::args::{self, Given};
use crate::diag::Diag;

/// What can differ on replay, in groups that are switched on and off together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    /// The time of day, and time that has passed.
    Clock,
    /// Random numbers and ids.
    Random,
    /// Threads and tasks that the run does not know, and waits that it does not record.
    Thread,
    /// Futures and iterators that go on side by side in one scope, and races between them.
    Concurrency,
    /// What blocks the thread of an executor, where there is a form to await. Of `async fn` alone.
    Blocking,
    /// Files, sockets and processes. Off until `deny(io)`.
    Io,
    /// Environment variables and the like. Off until `deny(env)`.
    Env,
}

impl Family {
    const ALL: [Self; 7] =
        [Self::Clock, Self::Random, Self::Thread, Self::Concurrency, Self::Blocking, Self::Io, Self::Env];

    /// The name that options know it by.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Thread => "thread",
            Self::Concurrency => "concurrency",
            Self::Blocking => "blocking",
            Self::Io => "io",
            Self::Env => "env",
        }
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The family that `name` stands for.
    pub(crate) fn parse(name: &Ident) -> syn::Result<Self> {
        Self::ALL.into_iter().find(|family| name == family.name()).ok_or_else(|| {
            let names = Self::ALL.map(|family| format!("`{}`", family.name())).join(", ");
            syn::Error::new(name.span(), format!("unknown family `{name}`; the families are {names}"))
        })
    }
}

/// Which families are refused: one bit for each.
#[derive(Clone, Copy)]
pub(crate) struct Families(u8);

impl Families {
    /// What is refused in a `fn` unless an option says otherwise.
    pub(crate) const IN_FN: &[Family] = &[Family::Clock, Family::Random, Family::Thread, Family::Concurrency];

    /// What is refused in an `async fn` unless an option says otherwise.
    pub(crate) const IN_ASYNC_FN: &[Family] =
        &[Family::Clock, Family::Random, Family::Thread, Family::Concurrency, Family::Blocking];

    /// The default, without what the options allow, and with what they deny.
    pub(crate) fn new(
        default: &[Family],
        allow: Option<Given<Vec<Family>>>,
        deny: Option<Given<Vec<Family>>>,
        diag: &mut Diag,
    ) -> Self {
        let allowed = allow.map(|given| given.value).unwrap_or_default();
        let mut families = Self(0).and(default).without(&allowed);
        if let Some(Given { key, value: denied }) = deny {
            for family in denied.iter().filter(|family| allowed.contains(family)) {
                let name = family.name();
                diag.refuse(&key, format!("family `{name}` is both allowed and denied; keep one of them"));
            }
            families = families.and(&denied);
        }
        families
    }

    fn and(self, families: &[Family]) -> Self {
        Self(families.iter().fold(self.0, |bits, family| bits | family.bit()))
    }

    fn without(self, families: &[Family]) -> Self {
        Self(families.iter().fold(self.0, |bits, family| bits & !family.bit()))
    }

    fn refuses(self, family: Family) -> bool {
        self.0 & family.bit() != 0
    }
}

/// Notes in `diag` what `body` may not use, and gives the body back without its `#[durable::allow(…)]`.
///
/// A body that does not parse is left to rustc, which will say why.
pub(crate) fn check(body: &Group, root: Option<&Path>, families: Families, diag: &mut Diag) -> Group {
    let allows = Allows { root: root.map_or_else(|| "durable".to_owned(), path_text) };
    if let Ok(block) = syn::parse2::<syn::Block>(body.to_token_stream()) {
        walk::check(&block, &allows, families, diag);
    }
    allows.strip_group(body).unwrap_or_else(|| body.clone())
}

/// Knows `#[durable::allow(…)]`, under whatever name the user has the crate.
pub(crate) struct Allows {
    root: String,
}

impl Allows {
    /// The families of the attribute `meta`; `None` if it is another attribute.
    fn families(&self, meta: &Meta) -> Option<syn::Result<Vec<Family>>> {
        if !self.is_ours(meta.path()) {
            return None;
        }
        let malformed =
            || syn::Error::new_spanned(meta, "name what to allow, as in `#[durable::allow(clock)]`");
        Some(match meta {
            Meta::List(list) if !list.tokens.is_empty() => args::parse_families(list.tokens.clone()),
            _ => Err(malformed()),
        })
    }

    fn is_ours(&self, path: &Path) -> bool {
        let text = path_text(path);
        text.strip_suffix("::allow").is_some_and(|root| root == self.root || root == "durable")
    }

    /// `group` without our attributes; `None` if it has none, so that tokens that need no change get none.
    fn strip_group(&self, group: &Group) -> Option<Group> {
        let mut stripped = Group::new(group.delimiter(), self.strip(group.stream())?);
        stripped.set_span(group.span());
        Some(stripped)
    }

    fn strip(&self, tokens: TokenStream) -> Option<TokenStream> {
        let mut kept = Vec::<TokenTree>::new();
        let mut is_changed = false;
        for token in tokens {
            match token {
                TokenTree::Group(group) if self.ends_attribute(&kept, &group) => {
                    kept.pop();
                    is_changed = true;
                }
                TokenTree::Group(group) => {
                    let stripped = self.strip_group(&group);
                    is_changed |= stripped.is_some();
                    kept.push(stripped.unwrap_or(group).into());
                }
                token => kept.push(token),
            }
        }
        is_changed.then(|| kept.into_iter().collect())
    }

    /// Whether `group` is the `[durable::allow(…)]` behind a `#`.
    fn ends_attribute(&self, before: &[TokenTree], group: &Group) -> bool {
        let is_behind_pound =
            matches!(before.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#');
        is_behind_pound
            && group.delimiter() == Delimiter::Bracket
            && syn::parse2::<Meta>(group.stream()).is_ok_and(|meta| self.is_ours(meta.path()))
    }
}

/// `path` as `std::time::Instant`, whether it starts with `::` or not.
fn path_text(path: &Path) -> String {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>().join("::")
}

#[cfg(test)]
mod tests;
