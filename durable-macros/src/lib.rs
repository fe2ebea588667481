//! The attribute macros of `durable`.

mod args;
mod determinism;
mod diag;
mod duration;
mod expand;
mod fingerprint;
mod func;
mod model;
mod paths;
mod returned;
mod signature;

use proc_macro2::TokenStream;

use args::{StepArgs, WorkflowArgs};
use diag::Diag;
use func::Func;

/// Makes a function a durable step.
#[proc_macro_attribute]
pub fn step(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_step(args.into(), item.into()).into()
}

/// Makes a function a durable workflow.
#[proc_macro_attribute]
pub fn workflow(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand_workflow(args.into(), item.into()).into()
}

fn expand_step(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diag::default();
    let options = StepArgs::parse(args, &mut diag);
    let func = diag.keep(Func::parse("step", item.clone()));
    let step = func.and_then(|func| model::Step::new(options, func, &mut diag));
    emit(diag, step.map_or(item, |step| expand::step(&step)))
}

fn expand_workflow(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut diag = Diag::default();
    let options = WorkflowArgs::parse(args, &mut diag);
    let func = diag.keep(Func::parse("workflow", item.clone()));
    let workflow = func.and_then(|func| model::Workflow::new(options, func, &mut diag));
    emit(diag, workflow.map_or(item, |workflow| expand::workflow(&workflow)))
}

/// The mistakes, then the item.
fn emit(diag: Diag, item: TokenStream) -> TokenStream {
    let mut tokens = diag.into_compile_errors();
    tokens.extend(item);
    tokens
}
