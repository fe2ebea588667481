//! What an expansion needs to know about a function, and every refusal of one.
//! Whoever holds a `Step` or a `Workflow` can emit it: `expand` has no error path, because all rules were
//! checked here. Knows no generated code.

use proc_macro2::{Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Attribute, FnArg, Pat, PatType, Receiver, ReceiverKind, Signature, Type, Visibility};

use crate::args::{ArgsMode, Given, StepArgs, WorkflowArgs};
use crate::determinism::{self, Families};
use crate::diag::Diag;
use crate::duration::Backoff;
use crate::fingerprint;
use crate::func::Func;
use crate::paths::Paths;
use crate::returned::Returned;
use crate::signature;

/// The longest name of a step or a workflow, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 128;

/// The most arguments a workflow can have: serde stores tuples up to this size.
pub(crate) const WORKFLOW_ARGS_MAX: usize = 16;

/// A function whose body will be wrapped.
pub(crate) struct Callable {
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    /// As written, but with a plain name in place of each pattern; `Arg::pattern` has the pattern.
    pub(crate) sig: Signature,
    pub(crate) body: Group,
    pub(crate) receiver: Option<Receiver>,
    pub(crate) args: Vec<Arg>,
    pub(crate) returned: Returned,
    /// The stored name.
    pub(crate) name: String,
    pub(crate) paths: Paths,
}

/// An argument with a type.
pub(crate) struct Arg {
    /// `cfg` and lint attributes, which go wherever the argument is named.
    pub(crate) attrs: Vec<Attribute>,
    /// The name in the signature: the author's own, or one for a pattern that has none.
    pub(crate) outer: Ident,
    /// What the body sees.
    pub(crate) pattern: Pat,
    pub(crate) ty: Type,
}

/// A step that keeps all rules.
pub(crate) struct Step {
    pub(crate) callable: Callable,
    pub(crate) mode: ArgsMode,
    pub(crate) retry: Option<Retry>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) at_most_once: bool,
    pub(crate) strict: bool,
}

/// How a failed attempt is repeated.
pub(crate) struct Retry {
    pub(crate) retries: u32,
    pub(crate) backoff: Backoff,
    /// The predicate of `retry_if`.
    pub(crate) only_if: Option<syn::Path>,
}

/// A workflow that keeps all rules of its signature.
pub(crate) struct Workflow {
    pub(crate) callable: Callable,
    /// The type that carries the entry points.
    pub(crate) twin: Ident,
    pub(crate) fingerprint: u64,
    pub(crate) version: Option<u32>,
}

impl Arg {
    /// Where a bound that the argument misses is reported.
    ///
    /// Of a reference it is what it refers to, because a span shows the first token of a type only.
    pub(crate) fn span(&self) -> Span {
        match &self.ty {
            Type::Reference(reference) => reference.elem.span(),
            ty => ty.span(),
        }
    }

    /// Whether the author says with a leading underscore that the body does not use it.
    pub(crate) fn is_unused(&self) -> bool {
        matches!(&self.pattern, Pat::Ident(name) if name.ident.to_string().starts_with('_') && name.mutability.is_none())
    }

    /// Under which conditions the argument exists.
    pub(crate) fn cfg(&self) -> impl Iterator<Item = &Attribute> {
        self.attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
    }
}

impl Step {
    /// Checks `func` against the rules of a step; `None` if `diag` has something to say.
    pub(crate) fn new(options: StepArgs, func: Func, diag: &mut Diag) -> Option<Self> {
        signature::check(&func, "step", diag);
        check_by_value_self(&func, options.retries.as_ref(), diag);
        check_conflicts(&options, &func, diag);
        let callable = Callable::new(func, options.name, options.root, "step", diag)?;
        let retry = options.retries.map(|retries| Retry {
            retries: retries.value,
            backoff: options.backoff.map(|given| given.value).unwrap_or_default(),
            only_if: options.retry_if.map(|given| given.value),
        });
        diag.is_clean().then_some(Self {
            callable,
            mode: options.args.map(|given| given.value).unwrap_or_default(),
            retry,
            timeout_ms: options.timeout.map(|given| given.value),
            at_most_once: options.at_most_once.is_some(),
            strict: options.strict.is_some(),
        })
    }
}

impl Workflow {
    /// Checks `func` against the rules of a workflow; `None` if its signature breaks one.
    ///
    /// Mistakes in options and in the body leave a signature that can be expanded: whoever calls an entry
    /// point should not see a second error that it is missing.
    pub(crate) fn new(options: WorkflowArgs, func: Func, diag: &mut Diag) -> Option<Self> {
        let mut refusals = Diag::default();
        signature::check(&func, "workflow", &mut refusals);
        signature::check_free_and_owned(&func, &mut refusals);
        let fingerprint = fingerprint::of(&func);
        let callable = Callable::new(func, options.name, options.root, "workflow", diag);
        let keeps_rules = refusals.is_clean();
        diag.absorb(refusals);
        let mut callable = callable?;
        let is_async = callable.sig.asyncness.is_some();
        let default = if is_async { Families::IN_ASYNC_FN } else { Families::IN_FN };
        let families = Families::new(default, options.allow, options.deny, diag);
        callable.body = determinism::check(&callable.body, callable.paths.root(), families, diag);
        let version = options.version.map(|given| given.value);
        let twin = options.entry.map_or_else(|| callable.sig.ident.clone(), |given| given.value);
        keeps_rules.then_some(Self { callable, twin, fingerprint, version })
    }
}

impl Callable {
    fn new(
        func: Func,
        name: Option<Given<syn::LitStr>>,
        root: Option<Given<syn::Path>>,
        attribute: &str,
        diag: &mut Diag,
    ) -> Option<Self> {
        let name = checked_name(&func.sig.ident, name, attribute, diag);
        let returned = Returned::new(&func.sig);
        let Func { attrs, vis, mut sig, body } = func;
        let receiver = sig.receiver().cloned();
        let args = name_arguments(&mut sig);
        let paths = Paths::new(root.map(|given| given.value));
        Some(Self { attrs, vis, sig, body: body?, receiver, args, returned, name, paths })
    }
}

/// Takes the patterns out of the signature, which keeps one plain name for each.
fn name_arguments(sig: &mut Signature) -> Vec<Arg> {
    let typed = sig.inputs.iter_mut().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    typed.enumerate().map(|(index, typed)| name_argument(index, typed)).collect()
}

fn name_argument(index: usize, typed: &mut PatType) -> Arg {
    let outer = match typed.pat.as_ref() {
        Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() => name.ident.clone(),
        _ => format_ident!("__arg{index}", span = Span::mixed_site().located_at(typed.ty.span())),
    };
    let plain = Pat::Ident(syn::PatIdent {
        attrs: Vec::new(),
        by_ref: None,
        mutability: None,
        ident: outer.clone(),
        subpat: None,
    });
    let pattern = std::mem::replace(typed.pat.as_mut(), plain);
    Arg { attrs: typed.attrs.clone(), outer, pattern, ty: typed.ty.as_ref().clone() }
}

/// The stored name: the option's text, or the function's own name.
fn checked_name(
    ident: &Ident,
    given: Option<Given<syn::LitStr>>,
    attribute: &str,
    diag: &mut Diag,
) -> String {
    let (name, span) = match given {
        Some(given) => (given.value.value(), given.value.span()),
        None => (ident.unraw().to_string(), ident.span()),
    };
    if let Some(why) = name_fault(&name) {
        diag.refuse_at(span, format!("the name of a durable {attribute} cannot {why}"));
    }
    name
}

/// What is wrong with `name`, as the end of the sentence "the name cannot …".
fn name_fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("be empty: it is how the store finds again what was recorded".into());
    }
    if name.len() > NAME_BYTES_MAX {
        return Some(format!(
            "be longer than {NAME_BYTES_MAX} bytes, and this one has {}; shorten it with `name = \"…\"`",
            name.len()
        ));
    }
    let bad = name.chars().find(|&c| c.is_whitespace() || c.is_control() || c == '.' || turns_text(c))?;
    Some(match bad {
        '.' => {
            "hold a dot: dots separate the numbers of a position, as in `ship_1.0.2`; use `-` or `_`".into()
        }
        c if c.is_whitespace() && !c.is_control() => {
            "hold a space: it is one word in logs and queries; use `-` or `_`".into()
        }
        c => format!("hold the character {c:?}: it would not show in logs"),
    })
}

/// Whether `c` changes the direction of the text around it, as the ids of workflows may not either.
fn turns_text(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Refuses options that need another one, or another kind of function.
fn check_conflicts(options: &StepArgs, func: &Func, diag: &mut Diag) {
    if options.retries.is_none() {
        let keys = [
            options.backoff.as_ref().map(|given| &given.key),
            options.retry_if.as_ref().map(|given| &given.key),
        ];
        for key in keys.into_iter().flatten() {
            diag.refuse(
                key,
                format!("`{key}` needs `retries`: without it a step has one attempt; add `retries = n`"),
            );
        }
    }
    if let (Some(at_most_once), Some(_)) = (&options.at_most_once, &options.retries) {
        let message = "`at_most_once` cannot stand beside `retries`: a retry runs the body once more, although the \
                       attempt before may have taken effect; keep one of them";
        diag.refuse(&at_most_once.key, message);
    }
    if let Some(timeout) = &options.timeout
        && func.sig.asyncness.is_none()
    {
        let message = "`timeout` needs an `async fn`: a running thread cannot be stopped; \
                       give the call inside the step a timeout of its own";
        diag.refuse(&timeout.key, message);
    }
}

/// Refuses a `self` that the first attempt of several would use up.
fn check_by_value_self(func: &Func, retries: Option<&Given<u32>>, diag: &mut Diag) {
    let by_value = |receiver: &Receiver| match &receiver.kind {
        ReceiverKind::Value => true,
        ReceiverKind::Typed(_, ty) => !matches!(ty.as_ref(), Type::Reference(_)),
        _ => false,
    };
    if let (Some(receiver), Some(_)) = (func.sig.receiver().filter(|r| by_value(r)), retries) {
        let message = "a durable step with `retries` cannot take `self` by value: \
                       the first attempt would use it up; take `&self`, and clone inside what you need";
        diag.refuse(receiver_tokens(receiver), message);
    }
}

/// The receiver without its attributes, which are no part of the mistake.
pub(crate) fn receiver_tokens(receiver: &Receiver) -> TokenStream {
    Receiver { attrs: Vec::new(), ..receiver.clone() }.into_token_stream()
}
