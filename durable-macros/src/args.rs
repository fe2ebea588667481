//! The options between the parentheses of an attribute, read one by one: a loop, and a match to setters.
//! Each option keeps the token that names it, so that a conflict found later can be shown on it.
//! Says what is unknown, repeated or malformed; what does not fit the function is for `model`.

use proc_macro2::{Ident, Span, TokenStream};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream, Parser as _};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned as _;
use syn::{Expr, ExprLit, Lit, LitStr, Path, Token};

use crate::determinism::Family;
use crate::diag::Diag;
use crate::duration::{self, Backoff};

/// The most retries that a step can have.
pub(crate) const RETRIES_MAX: u32 = 1_000_000;

const STEP_OPTIONS: &[&str] =
    &["name", "retries", "backoff", "timeout", "retry_if", "at_most_once", "args", "strict", "crate"];
const WORKFLOW_OPTIONS: &[&str] = &["name", "version", "entry", "allow", "deny", "crate"];

/// A value, and the option's name where it was written.
pub(crate) struct Given<T> {
    /// The option's name.
    pub(crate) key: Ident,
    /// What it was set to.
    pub(crate) value: T,
}

/// What is kept of a step's arguments.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ArgsMode {
    /// A fingerprint of each that is `Serialize`.
    #[default]
    Fingerprint,
    /// Nothing.
    Ignore,
    /// The fingerprint, and the JSON of each.
    Record,
}

/// The options of `#[durable::step]`.
#[derive(Default)]
pub(crate) struct StepArgs {
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) retries: Option<Given<u32>>,
    pub(crate) backoff: Option<Given<Backoff>>,
    pub(crate) timeout: Option<Given<u64>>,
    pub(crate) retry_if: Option<Given<Path>>,
    pub(crate) at_most_once: Option<Given<()>>,
    pub(crate) args: Option<Given<ArgsMode>>,
    pub(crate) strict: Option<Given<()>>,
    pub(crate) root: Option<Given<Path>>,
}

/// The options of `#[durable::workflow]`.
#[derive(Default)]
pub(crate) struct WorkflowArgs {
    pub(crate) name: Option<Given<LitStr>>,
    pub(crate) version: Option<Given<u32>>,
    pub(crate) entry: Option<Given<Ident>>,
    pub(crate) allow: Option<Given<Vec<Family>>>,
    pub(crate) deny: Option<Given<Vec<Family>>>,
    pub(crate) root: Option<Given<Path>>,
}

impl StepArgs {
    /// Reads the options of a step; what is wrong is noted in `diag` and left out.
    pub(crate) fn parse(tokens: TokenStream, diag: &mut Diag) -> Self {
        let mut args = Self::default();
        for written in read(tokens, diag) {
            let taken = args.set(written);
            let _noted = diag.keep(taken);
        }
        args
    }

    fn set(&mut self, option: Written) -> syn::Result<()> {
        match option.key.unraw().to_string().as_str() {
            "name" => set(&mut self.name, option, Written::text),
            "retries" => set(&mut self.retries, option, Written::retries),
            "backoff" => set(&mut self.backoff, option, |o| duration::backoff(&o.text()?)),
            "timeout" => set(&mut self.timeout, option, |o| duration::timeout_ms(&o.text()?)),
            "retry_if" => set(&mut self.retry_if, option, Written::path),
            "at_most_once" => set(&mut self.at_most_once, option, Written::alone),
            "args" => set(&mut self.args, option, Written::args_mode),
            "strict" => set(&mut self.strict, option, Written::alone),
            "crate" => set(&mut self.root, option, Written::crate_path),
            _ => Err(unknown(&option.key, "step", STEP_OPTIONS)),
        }
    }
}

impl WorkflowArgs {
    /// Reads the options of a workflow; what is wrong is noted in `diag` and left out.
    pub(crate) fn parse(tokens: TokenStream, diag: &mut Diag) -> Self {
        let mut args = Self::default();
        for written in read(tokens, diag) {
            let taken = args.set(written);
            let _noted = diag.keep(taken);
        }
        args
    }

    fn set(&mut self, option: Written) -> syn::Result<()> {
        match option.key.unraw().to_string().as_str() {
            "name" => set(&mut self.name, option, Written::text),
            "version" => set(&mut self.version, option, Written::version),
            "entry" => set(&mut self.entry, option, Written::ident),
            "allow" => set(&mut self.allow, option, Written::families),
            "deny" => set(&mut self.deny, option, Written::families),
            "crate" => set(&mut self.root, option, Written::crate_path),
            key if STEP_OPTIONS.contains(&key) => Err(belongs_on_a_step(&option.key)),
            _ => Err(unknown(&option.key, "workflow", WORKFLOW_OPTIONS)),
        }
    }
}

/// One option as it was written: `key`, `key = value` or `key(list)`.
struct Written {
    key: Ident,
    value: Value,
}

enum Value {
    Alone,
    Is(Box<Expr>),
    Of(TokenStream),
}

/// Reads `option, option, …`; after a malformed one it goes on behind the next comma.
fn read(tokens: TokenStream, diag: &mut Diag) -> Vec<Written> {
    let mut options = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            match input.parse::<Written>() {
                Ok(option) if input.is_empty() || input.peek(Token![,]) => options.push(option),
                Ok(_) => diag.push(input.error("expected `,` between two options")),
                Err(error) => diag.push(error),
            }
            skip_to_next(input)?;
        }
        Ok(())
    };
    let result = parser.parse2(tokens);
    let _noted = diag.keep(result);
    options
}

fn skip_to_next(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && input.parse::<Option<Token![,]>>()?.is_none() {
        input.parse::<proc_macro2::TokenTree>()?;
    }
    Ok(())
}

impl Parse for Written {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error("expected an option such as `name = \"…\"`"));
        }
        let key = input.call(Ident::parse_any)?;
        let value = if input.peek(syn::token::Paren) {
            let list;
            syn::parenthesized!(list in input);
            Value::Of(list.parse()?)
        } else if input.parse::<Option<Token![=]>>()?.is_some() {
            Value::Is(Box::new(value_after_equals(&key, input)?))
        } else {
            Value::Alone
        };
        Ok(Self { key, value })
    }
}

fn value_after_equals(key: &Ident, input: ParseStream<'_>) -> syn::Result<Expr> {
    if input.is_empty() || input.peek(Token![,]) {
        return Err(syn::Error::new(
            key.span(),
            format!("option `{key}` has no value; write {}", example(key)),
        ));
    }
    input.parse()
}

/// Stores what `read` makes of `option`, unless the option was given before.
fn set<T>(
    slot: &mut Option<Given<T>>,
    option: Written,
    read: impl FnOnce(&Written) -> syn::Result<T>,
) -> syn::Result<()> {
    if slot.is_some() {
        let key = &option.key;
        return Err(syn::Error::new(key.span(), format!("option `{key}` is given twice; keep one of them")));
    }
    let value = read(&option)?;
    *slot = Some(Given { key: option.key, value });
    Ok(())
}

impl Written {
    /// The place of the value, or of the key where there is none.
    fn span(&self) -> Span {
        match &self.value {
            Value::Is(value) => value.span(),
            Value::Alone | Value::Of(_) => self.key.span(),
        }
    }

    fn malformed(&self) -> syn::Error {
        let message = format!("option `{}` is malformed; write {}", self.key, example(&self.key));
        match &self.value {
            Value::Is(value) => syn::Error::new_spanned(value, message),
            Value::Alone | Value::Of(_) => syn::Error::new(self.span(), message),
        }
    }

    fn alone(&self) -> syn::Result<()> {
        if matches!(self.value, Value::Alone) { Ok(()) } else { Err(self.malformed()) }
    }

    fn literal(&self) -> syn::Result<&Lit> {
        match &self.value {
            Value::Is(value) => match value.as_ref() {
                Expr::Lit(ExprLit { lit, .. }) => Ok(lit),
                _ => Err(self.malformed()),
            },
            Value::Alone | Value::Of(_) => Err(self.malformed()),
        }
    }

    fn text(&self) -> syn::Result<LitStr> {
        match self.literal()? {
            Lit::Str(text) => Ok(text.clone()),
            _ => Err(self.malformed()),
        }
    }

    fn retries(&self) -> syn::Result<u32> {
        let Lit::Int(number) = self.literal()? else { return Err(self.malformed()) };
        let refuse = |message: &str| Err(syn::Error::new(number.span(), message));
        match number.base10_parse::<u128>() {
            Ok(0) => refuse("`retries = 0` repeats nothing; leave the option out"),
            Ok(n) => match u32::try_from(n) {
                Ok(n) if n <= RETRIES_MAX => Ok(n),
                _ => refuse("a step has at most 1,000,000 retries; give it a longer `backoff` instead"),
            },
            Err(_) => Err(self.malformed()),
        }
    }

    fn version(&self) -> syn::Result<u32> {
        let Lit::Int(number) = self.literal()? else { return Err(self.malformed()) };
        match number.base10_parse::<u32>() {
            Ok(version) if version > 0 => Ok(version),
            _ => Err(syn::Error::new(
                number.span(),
                "the version of a workflow is a whole number from 1 to 4294967295; count up by one with each change",
            )),
        }
    }

    fn path(&self) -> syn::Result<Path> {
        match &self.value {
            Value::Is(value) => match value.as_ref() {
                Expr::Path(path) if path.qself.is_none() => Ok(path.path.clone()),
                _ => Err(self.malformed()),
            },
            Value::Alone | Value::Of(_) => Err(self.malformed()),
        }
    }

    /// A path, or one in quotes as serde and tokio have it.
    fn crate_path(&self) -> syn::Result<Path> {
        match self.text() {
            Ok(text) => text.parse_with(Path::parse_mod_style).map_err(|_| self.malformed()),
            Err(_) => self.path(),
        }
    }

    fn ident(&self) -> syn::Result<Ident> {
        self.path()?.require_ident().cloned().map_err(|_| self.malformed())
    }

    fn args_mode(&self) -> syn::Result<ArgsMode> {
        match self.ident()?.to_string().as_str() {
            "ignore" => Ok(ArgsMode::Ignore),
            "record" => Ok(ArgsMode::Record),
            _ => Err(self.malformed()),
        }
    }

    fn families(&self) -> syn::Result<Vec<Family>> {
        match &self.value {
            Value::Of(list) if !list.is_empty() => parse_families(list.clone()),
            _ => Err(self.malformed()),
        }
    }
}

/// Reads `clock, random`.
pub(crate) fn parse_families(list: TokenStream) -> syn::Result<Vec<Family>> {
    let names = Punctuated::<Ident, Token![,]>::parse_terminated.parse2(list)?;
    let mut families = Vec::new();
    let mut diag = None::<syn::Error>;
    for name in names {
        match Family::parse(&name) {
            Ok(family) => families.push(family),
            Err(error) => match &mut diag {
                Some(all) => all.combine(error),
                None => diag = Some(error),
            },
        }
    }
    diag.map_or(Ok(families), Err)
}

/// How an option is written, for the text of an error.
fn example(key: &Ident) -> &'static str {
    match key.to_string().as_str() {
        "name" => "`name = \"charge-card\"`",
        "retries" => "`retries = 5`",
        "backoff" => "`backoff = \"100ms..30s\"`",
        "timeout" => "`timeout = \"30s\"`",
        "retry_if" => "`retry_if = path::to::predicate`",
        "args" => "`args = ignore` or `args = record`",
        "at_most_once" => "`at_most_once` alone",
        "strict" => "`strict` alone",
        "version" => "`version = 2`",
        "entry" => "`entry = Fulfil`",
        "allow" => "`allow(clock)`",
        "deny" => "`deny(io, env)`",
        "crate" => "`crate = path::to::durable`",
        _ => "`name = \"…\"`",
    }
}

fn unknown(key: &Ident, attribute: &str, options: &[&str]) -> syn::Error {
    let quoted = options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>();
    let message = match quoted.split_last() {
        Some((last, rest)) => format!(
            "unknown option `{key}`; the options of `#[durable::{attribute}]` are {} and {last}",
            rest.join(", ")
        ),
        None => format!("unknown option `{key}`"),
    };
    syn::Error::new(key.span(), message)
}

fn belongs_on_a_step(key: &Ident) -> syn::Error {
    let message = format!(
        "`{key}` is an option of `#[durable::step]`: a workflow is not run again as a whole, its steps are; \
         put `{key}` on the steps that need it"
    );
    syn::Error::new(key.span(), message)
}
