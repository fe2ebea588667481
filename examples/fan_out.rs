//! Many at once on threads: every item of a `map` is a branch with positions of its own.
//!
//! ```sh
//! cargo run --example fan_out -- crash    # aborts when half of the pages are done
//! cargo run --example fan_out             # renders the others
//! ```

use std::sync::atomic::{AtomicUsize, Ordering};

use durable::{Engine, step, workflow};

const PAGES: usize = 12;

/// How many pages this process renders before it aborts.
struct CrashAfter(Option<usize>, AtomicUsize);

#[step]
fn render(page: usize) -> String {
    let crash = durable::resource::<CrashAfter>();
    if crash.0.is_some_and(|after| crash.1.fetch_add(1, Ordering::SeqCst) >= after) {
        println!("page {page}: the process aborts");
        std::process::abort();
    }
    println!("page {page}: rendered on {:?}", std::thread::current().id());
    format!("<page {page}>")
}

#[step]
fn bind(pages: &[String]) -> usize {
    println!("bind: {} pages", pages.len());
    pages.iter().map(String::len).sum()
}

#[workflow]
fn book(pages: usize) -> usize {
    let pages = durable::map(0..pages, 4, render);
    bind(&pages)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let after = std::env::args().any(|arg| arg == "crash").then_some(PAGES / 2);
    let engine = Engine::builder().with(CrashAfter(after, 0.into())).open("fan_out.db")?;
    let recorded = engine.steps("book")?.iter().filter(|step| step.name == "render").count();
    println!("{recorded} of {PAGES} pages are recorded");
    println!("the book has {} characters", book::durable("book", PAGES).on(&engine).run()?);
    Ok(())
}
