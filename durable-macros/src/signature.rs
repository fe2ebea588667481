//! The rules of a signature: what a step and a workflow refuse of a function, each with the reason.
//! A rule is here when breaking it would lose something on replay in silence, or end in an error far from its
//! cause. Knows no option.

use syn::visit::{self, Visit};
use syn::{FnArg, Lifetime, ReturnType, Safety, Type, TypeImplTrait, TypeReference};

use crate::diag::Diag;
use crate::func::Func;
use crate::model::{WORKFLOW_ARGS_MAX, receiver_tokens};

/// Refuses what neither a step nor a workflow can be.
pub(crate) fn check(func: &Func, attribute: &str, diag: &mut Diag) {
    check_qualifiers(func, attribute, diag);
    check_body(func, attribute, diag);
    check_mutable_arguments(func, attribute, diag);
    check_return(func, attribute, diag);
}

fn check_qualifiers(func: &Func, attribute: &str, diag: &mut Diag) {
    let sig = &func.sig;
    if let Some(token) = &sig.constness {
        diag.refuse(
            token,
            format!("a durable {attribute} cannot be `const`: its result is read from the store at run time; remove `const`"),
        );
    }
    if let Safety::Unsafe(token) = &sig.safety {
        let message = format!(
            "a durable {attribute} cannot be `unsafe`: on replay nobody checks again what the caller promised; \
             remove `unsafe`, and write an `unsafe` block inside"
        );
        diag.refuse(token, message);
    }
    if let Some(abi) = &sig.abi {
        let message = format!(
            "a durable {attribute} cannot be `extern`: an engine fault unwinds through it, which a foreign caller \
             cannot take; remove `extern`"
        );
        diag.refuse(abi, message);
    }
    if let Some(variadic) = &sig.variadic {
        let message = format!(
            "a durable {attribute} cannot be variadic: its arguments must be known to be recorded; name them all"
        );
        diag.refuse(variadic.dots, message);
    }
}

fn check_body(func: &Func, attribute: &str, diag: &mut Diag) {
    if func.body.is_none() {
        let message = format!(
            "a durable {attribute} must have a body: the body is what is recorded; \
             put the attribute on the method in each `impl` block"
        );
        diag.refuse(&func.sig.ident, message);
    }
}

/// Refuses `&mut`, at whatever depth of an argument's type.
fn check_mutable_arguments(func: &Func, attribute: &str, diag: &mut Diag) {
    for input in &func.sig.inputs {
        let (what, found) = match input {
            FnArg::Receiver(receiver) => ("`&mut self`", MutableBorrows::in_receiver(receiver)),
            FnArg::Typed(typed) => ("`&mut` parameters", MutableBorrows::in_type(&typed.ty)),
        };
        let reason = match (attribute, input) {
            ("workflow", _) => {
                "its arguments are stored, so its caller would not see the change; return the new value"
            }
            (_, FnArg::Receiver(_)) => {
                "on replay the body does not run, so the change would be lost; \
                 take `&self`, and return what has changed"
            }
            _ => "on replay the body does not run, so the change would be lost; return the new value",
        };
        if let Some(tokens) = found {
            diag.refuse(tokens, format!("a durable {attribute} cannot take {what}: {reason}"));
        }
    }
}

/// Finds the first `&mut` of a type, but for those between the parentheses of a function type.
struct MutableBorrows(Option<proc_macro2::TokenStream>);

impl MutableBorrows {
    fn in_type(ty: &Type) -> Option<proc_macro2::TokenStream> {
        let mut found = Self(None);
        found.visit_type(ty);
        found.0
    }

    fn in_receiver(receiver: &syn::Receiver) -> Option<proc_macro2::TokenStream> {
        match &receiver.kind {
            syn::ReceiverKind::Reference(_, _, Some(_)) => Some(receiver_tokens(receiver)),
            syn::ReceiverKind::Typed(_, ty) => Self::in_type(ty),
            _ => None,
        }
    }
}

impl<'ast> Visit<'ast> for MutableBorrows {
    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        if let (Some(mutability), None) = (&ty.mutability, &self.0) {
            let and = &ty.and_token;
            self.0 = Some(quote::quote!(#and #mutability));
        }
        visit::visit_type_reference(self, ty);
    }

    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}
}

/// Refuses results that have no type to be read back as.
fn check_return(func: &Func, attribute: &str, diag: &mut Diag) {
    if let ReturnType::Type(_, ty) = &func.sig.output {
        if let Type::Never(never) = ty.as_ref() {
            let message = format!(
                "a durable {attribute} must return: there is nothing to record of a function that never ends; \
                 return `()` or a `Result`"
            );
            diag.refuse(never, message);
        }
        Unreturnable { attribute, diag }.visit_type(ty);
    }
}

/// Refuses borrows and unnamed types at whatever depth of a return type.
struct Unreturnable<'a> {
    attribute: &'a str,
    diag: &'a mut Diag,
}

impl<'ast> Visit<'ast> for Unreturnable<'_> {
    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        let attribute = self.attribute;
        let message = format!(
            "a durable {attribute} cannot return a borrowed value: its result is stored and read back as a new value; {}",
            owned_instead(ty)
        );
        self.diag.refuse(ty, message);
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let attribute = self.attribute;
        let message = format!(
            "a durable {attribute} cannot return `impl Trait`: its result is stored and read back, \
             so the type needs a name; write the type"
        );
        self.diag.refuse(ty, message);
    }

    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}
}

/// What to write in place of a borrowed type.
fn owned_instead(ty: &TypeReference) -> String {
    let name = match ty.elem.as_ref() {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Type::Slice(_) => return "use `Vec` instead of a slice".into(),
        _ => None,
    };
    match name.as_deref() {
        Some("str") => "use `String` instead of `&str`".into(),
        Some("Path") => "use `PathBuf` instead of `&Path`".into(),
        Some("OsStr") => "use `OsString` instead of `&OsStr`".into(),
        Some(name) => format!("use `{name}` instead of `&{name}`"),
        None => "use an owned type".into(),
    }
}

/// Refuses what a workflow cannot be, because it is called again from its name and its stored input alone.
pub(crate) fn check_free_and_owned(func: &Func, diag: &mut Diag) {
    check_generics(func, diag);
    check_argument_count(func, diag);
    for input in &func.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                let message = "a durable workflow cannot take `self`: after a restart there is no `self` to call it on; \
                               make it a free function, and pass what it needs as arguments";
                diag.refuse(receiver_tokens(receiver), message);
            }
            FnArg::Typed(typed) => {
                check_argument_attributes(typed, diag);
                BorrowedInput { diag }.visit_type(&typed.ty);
            }
        }
    }
}

fn check_generics(func: &Func, diag: &mut Diag) {
    let generics = &func.sig.generics;
    let message = "a durable workflow cannot be generic: after a restart it is found by its name, \
                   which does not say for which types; write one workflow per type, and share a generic function";
    if !generics.params.is_empty() {
        diag.refuse(&generics.params, message);
    } else if let Some(clause) = &generics.where_clause {
        diag.refuse(clause, message);
    }
}

fn check_argument_count(func: &Func, diag: &mut Diag) {
    if let Some(input) = func.sig.inputs.iter().nth(WORKFLOW_ARGS_MAX) {
        let message = format!(
            "a durable workflow cannot take more than {WORKFLOW_ARGS_MAX} arguments: they are stored as one tuple; \
             put some of them into a struct"
        );
        diag.refuse(input, message);
    }
}

fn check_argument_attributes(typed: &syn::PatType, diag: &mut Diag) {
    for attr in typed.attrs.iter().filter(|attr| attr.path().is_ident("cfg")) {
        let message = "a workflow's argument cannot depend on `cfg`: \
                       the stored input would not fit another build; write two workflows";
        diag.refuse(attr, message);
    }
}

/// Refuses borrows and unnamed types at whatever depth of a workflow's argument.
struct BorrowedInput<'a> {
    diag: &'a mut Diag,
}

const MUST_OWN: &str = "a workflow's argument must own its data: it is stored, and after a restart read back";

impl<'ast> Visit<'ast> for BorrowedInput<'_> {
    fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
        // `&mut` has its own refusal already.
        if ty.mutability.is_none() {
            self.diag.refuse(ty, format!("{MUST_OWN}; {}", owned_instead(ty)));
        }
    }

    fn visit_lifetime(&mut self, lifetime: &'ast Lifetime) {
        if lifetime.ident != "static" {
            self.diag.refuse_at(lifetime.span(), format!("{MUST_OWN}; use an owned type, or `'static`"));
        }
    }

    fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
        let message = "a workflow's argument cannot be `impl Trait`: it is stored and read back, \
                       so the type needs a name; write the type";
        self.diag.refuse(ty, message);
    }

    fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}
}
