//! Every refusal of the macros, by the words that its author reads.

use proc_macro2::TokenStream;

use crate::{expand_step, expand_workflow};

/// The texts of the `compile_error!`s in `tokens`.
fn messages(tokens: TokenStream) -> Vec<String> {
    let file = syn::parse2::<syn::File>(tokens).unwrap();
    let errors = file.items.into_iter().filter_map(|item| match item {
        syn::Item::Macro(item) if item.mac.path.segments.last()?.ident == "compile_error" => {
            Some(item.mac.parse_body::<syn::LitStr>().ok()?.value())
        }
        _ => None,
    });
    errors.collect()
}

fn tokens(text: &str) -> TokenStream {
    text.parse().unwrap()
}

#[track_caller]
fn step(options: &str, item: &str, expected: &[&str]) {
    let found = messages(expand_step(tokens(options), tokens(item)));
    assert_eq!(found, expected, "#[step({options})] {item}");
}

#[track_caller]
fn workflow(options: &str, item: &str, expected: &[&str]) {
    let found = messages(expand_workflow(tokens(options), tokens(item)));
    assert_eq!(found, expected, "#[workflow({options})] {item}");
}

/// A step with these options, on a function that has no other fault.
#[track_caller]
fn option(options: &str, expected: &str) {
    step(
        options,
        "async fn ship(order: &Order) -> Result<Tracking, OrderError> { pack(order) }",
        &[expected],
    );
}

const STEP_OPTIONS: &str = "the options of `#[durable::step]` are `name`, `retries`, `backoff`, `timeout`, \
                            `retry_if`, `at_most_once`, `args`, `strict` and `crate`";
const WORKFLOW_OPTIONS: &str =
    "the options of `#[durable::workflow]` are `name`, `version`, `entry`, `allow`, `deny` and `crate`";

#[test]
fn an_unknown_option_lists_the_known_ones() {
    option("retry = 3", &format!("unknown option `retry`; {STEP_OPTIONS}"));
    option("transaction", &format!("unknown option `transaction`; {STEP_OPTIONS}"));
    workflow("queue = \"a\"", "fn ship() {}", &[&format!("unknown option `queue`; {WORKFLOW_OPTIONS}")]);
}

#[test]
fn an_option_is_given_once() {
    option("strict, strict", "option `strict` is given twice; keep one of them");
    option("name = \"a\", retries = 1, name = \"b\"", "option `name` is given twice; keep one of them");
}

#[test]
fn a_malformed_option_shows_how_it_is_written() {
    option("name", "option `name` is malformed; write `name = \"charge-card\"`");
    option("name = charge", "option `name` is malformed; write `name = \"charge-card\"`");
    option("name = ", "option `name` has no value; write `name = \"charge-card\"`");
    option("retries = \"3\"", "option `retries` is malformed; write `retries = 5`");
    option("retries = 2.5", "option `retries` is malformed; write `retries = 5`");
    option("timeout = 30", "option `timeout` is malformed; write `timeout = \"30s\"`");
    option("args = all", "option `args` is malformed; write `args = ignore` or `args = record`");
    option("args(record)", "option `args` is malformed; write `args = ignore` or `args = record`");
    option("strict = true", "option `strict` is malformed; write `strict` alone");
    option("at_most_once = 1", "option `at_most_once` is malformed; write `at_most_once` alone");
    option("crate = 3", "option `crate` is malformed; write `crate = path::to::durable`");
    option(
        "retries = 1, retry_if = |e| true",
        "option `retry_if` is malformed; write `retry_if = path::to::predicate`",
    );
    option("\"ship\"", "expected an option such as `name = \"…\"`");
    option("strict retries = 3", "expected `,` between two options");
    workflow("entry = \"A\"", "fn f() {}", &["option `entry` is malformed; write `entry = Fulfil`"]);
    workflow("allow", "fn f() {}", &["option `allow` is malformed; write `allow(clock)`"]);
    workflow("deny()", "fn f() {}", &["option `deny` is malformed; write `deny(io, env)`"]);
}

#[test]
fn numbers_and_durations_have_bounds() {
    option("retries = 0", "`retries = 0` repeats nothing; leave the option out");
    option("retries = 1000001", "a step has at most 1,000,000 retries; give it a longer `backoff` instead");
    option(
        "retries = 99999999999999999999",
        "a step has at most 1,000,000 retries; give it a longer `backoff` instead",
    );
    option("timeout = \"0s\"", "a step with a timeout of zero would never run; leave the option out");
    for text in ["", "30", "s", "1.5s", "-1s", "30 s", "1d", "8761h", "99999999999999999999ms"] {
        let expected = format!(
            "`{text}` is not a duration: write a whole number with `ms`, `s`, `m` or `h`, at most `8760h`, \
             as in `\"90s\"`"
        );
        option(&format!("timeout = \"{text}\""), &expected);
    }
    option(
        "retries = 1, backoff = \"1s..\"",
        "`` is not a duration: write a whole number with `ms`, `s`, `m` or `h`, at most `8760h`, \
         as in a range `\"100ms..30s\"`",
    );
    option(
        "retries = 1, backoff = \"30s..1s\"",
        "a backoff goes from the shorter pause to the longer one; write `\"1s..30s\"`",
    );
}

#[test]
fn an_option_that_needs_another_says_so() {
    option(
        "backoff = \"1s\"",
        "`backoff` needs `retries`: without it a step has one attempt; add `retries = n`",
    );
    option(
        "retry_if = p",
        "`retry_if` needs `retries`: without it a step has one attempt; add `retries = n`",
    );
    step(
        "timeout = \"1s\"",
        "fn ship() -> Result<A, B> {}",
        &["`timeout` needs an `async fn`: a running thread cannot be stopped; \
           give the call inside the step a timeout of its own"],
    );
}

#[test]
fn a_step_that_runs_at_most_once_has_no_retries() {
    option(
        "retries = 2, at_most_once",
        "`at_most_once` cannot stand beside `retries`: a retry runs the body once more, although the attempt before may \
         have taken effect; keep one of them",
    );
}

#[test]
fn a_step_option_on_a_workflow_says_where_it_belongs() {
    workflow(
        "retries = 3",
        "fn fulfil() {}",
        &[
            "`retries` is an option of `#[durable::step]`: a workflow is not run again as a whole, its steps are; \
           put `retries` on the steps that need it",
        ],
    );
}

#[test]
fn a_name_is_one_word() {
    let empty =
        "the name of a durable step cannot be empty: it is how the store finds again what was recorded";
    option("name = \"\"", empty);
    for name in ["a b", "a\u{a0}b"] {
        let space = "the name of a durable step cannot hold a space: it is one word in logs and queries; \
                     use `-` or `_`";
        option(&format!("name = \"{name}\""), space);
    }
    let dot = "the name of a durable step cannot hold a dot: dots separate the numbers of a position, \
               as in `ship_1.0.2`; use `-` or `_`";
    option("name = \"a.b\"", dot);
    for escape in ["\\n", "\\u{202e}", "\\0"] {
        let expected = format!(
            "the name of a durable step cannot hold the character '{escape}': it would not show in logs"
        );
        option(&format!("name = \"a{escape}b\""), &expected);
    }
    let long = "x".repeat(129);
    let too_long = "cannot be longer than 128 bytes, and this one has 129; shorten it with `name = \"…\"`";
    option(&format!("name = \"{long}\""), &format!("the name of a durable step {too_long}"));
    workflow("", &format!("fn {long}() {{}}"), &[&format!("the name of a durable workflow {too_long}")]);
}

#[test]
fn only_functions_with_a_body_are_durable() {
    let place = "`#[durable::step]` can be placed on functions and methods only";
    for item in ["struct Ship;", "const SHIP: u32 = 1;", "pub use ship::now;", "async { 1 }"] {
        assert!(expand_step(tokens(""), tokens(item)).to_string().contains(place), "{item}");
    }
    step("", "impl Ship {}", &[&format!("{place}; put it on the methods inside that need it")]);
    step("", "trait Ship {}", &[&format!("{place}; put it on the methods inside that need it")]);
    step("", "mod ship {}", &[&format!("{place}; put it on the functions inside that need it")]);
    workflow("", "enum Ship {}", &["`#[durable::workflow]` can be placed on functions only"]);
    let body = expand_step(tokens(""), tokens("fn ship(&self);")).to_string();
    assert!(body.contains("a durable step must have a body: the body is what is recorded; put"), "{body}");
}

#[test]
fn qualifiers_that_a_replay_cannot_keep_are_refused() {
    step(
        "",
        "const fn ship() {}",
        &["a durable step cannot be `const`: its result is read from the store at run time; remove `const`"],
    );
    step(
        "",
        "unsafe fn ship() {}",
        &["a durable step cannot be `unsafe`: on replay nobody checks again what the caller promised; \
           remove `unsafe`, and write an `unsafe` block inside"],
    );
    step(
        "",
        "extern \"C\" fn ship() {}",
        &[
            "a durable step cannot be `extern`: an engine fault unwinds through it, which a foreign caller cannot \
           take; remove `extern`",
        ],
    );
    step(
        "",
        "fn ship(order: u32, ...) {}",
        &["a durable step cannot be variadic: its arguments must be known to be recorded; name them all"],
    );
}

#[test]
fn changes_through_arguments_are_refused() {
    let parameter = "a durable step cannot take `&mut` parameters: on replay the body does not run, \
                     so the change would be lost; return the new value";
    for ty in ["&mut Order", "Option<&mut Order>", "&'a mut [Order]", "(u32, &mut u32)", "Pin<&mut Order>"] {
        step("", &format!("fn ship(order: {ty}) {{}}"), &[parameter]);
    }
    step("", "fn ship(f: fn(&mut Order), g: impl FnMut(&mut Order), h: &dyn Fn(&mut u32)) {}", &[]);
    workflow(
        "",
        "fn ship(order: &mut Order) {}",
        &[
            "a durable workflow cannot take `&mut` parameters: its arguments are stored, so its caller would not see \
           the change; return the new value",
        ],
    );
    for receiver in ["&mut self", "self: &mut Self", "self: Pin<&mut Self>"] {
        let text = expand_step(tokens(""), tokens(&format!("fn ship({receiver}) {{}}"))).to_string();
        assert!(
            text.contains("a durable step cannot take `&mut self`: on replay the body does not run"),
            "{text}"
        );
    }
}

#[test]
fn results_that_cannot_be_read_back_are_refused() {
    let borrowed =
        "a durable step cannot return a borrowed value: its result is stored and read back as a new value";
    for (ty, instead) in [
        ("&str", "use `String` instead of `&str`"),
        ("&'static str", "use `String` instead of `&str`"),
        ("Result<&str, E>", "use `String` instead of `&str`"),
        ("Option<(u32, &Path)>", "use `PathBuf` instead of `&Path`"),
        ("&[u8]", "use `Vec` instead of a slice"),
        ("&orders::Order", "use `Order` instead of `&Order`"),
        ("&(u8, u8)", "use an owned type"),
    ] {
        step("", &format!("fn ship(order: &Order) -> {ty} {{}}"), &[&format!("{borrowed}; {instead}")]);
    }
    let unnamed = "a durable step cannot return `impl Trait`: its result is stored and read back, \
                   so the type needs a name; write the type";
    step("", "fn ship() -> impl Display {}", &[unnamed]);
    step("", "fn ship() -> Result<impl Display, E> {}", &[unnamed]);
    step(
        "",
        "fn ship() -> ! {}",
        &["a durable step must return: there is nothing to record of a function that never ends; \
           return `()` or a `Result`"],
    );
    step("", "fn ship(a: &str) -> Cow<'_, str> {}", &[]);
}

#[test]
fn a_retried_step_cannot_use_up_its_self() {
    for receiver in ["self", "mut self", "self: Arc<Self>"] {
        let item = format!("fn ship({receiver}) -> Result<A, B> {{}}");
        let text = expand_step(tokens("retries = 1"), tokens(&item)).to_string();
        assert!(text.contains("with `retries` cannot take `self` by value: the first attempt"), "{text}");
    }
    for receiver in ["&self", "self: &Self", "self: &Arc<Self>"] {
        let item = format!("fn ship({receiver}) -> Result<A, B> {{}}");
        let text = expand_step(tokens("retries = 1"), tokens(&item)).to_string();
        assert!(!text.contains("compile_error"), "{text}");
    }
}

#[test]
fn a_workflow_can_be_called_again_from_its_name_and_input() {
    let generic = "a durable workflow cannot be generic: after a restart it is found by its name, which does not \
                   say for which types; write one workflow per type, and share a generic function";
    for generics in ["<T>", "<'a>", "<const N: usize>"] {
        workflow("", &format!("fn fulfil{generics}(n: u32) {{}}"), &[generic]);
    }
    workflow("", "fn fulfil() where u32: Copy {}", &[generic]);
    let owned = "a workflow's argument must own its data: it is stored, and after a restart read back";
    workflow("", "fn f(a: &str) {}", &[&format!("{owned}; use `String` instead of `&str`")]);
    workflow("", "fn f(a: Vec<&Order>) {}", &[&format!("{owned}; use `Order` instead of `&Order`")]);
    workflow("", "fn f(a: Cow<'_, str>) {}", &[&format!("{owned}; use an owned type, or `'static`")]);
    workflow("", "fn f(a: Cow<'static, str>) {}", &[]);
    workflow(
        "",
        "fn f(a: impl Display) {}",
        &[
            "a workflow's argument cannot be `impl Trait`: it is stored and read back, so the type needs a name; \
           write the type",
        ],
    );
    let method = expand_workflow(tokens(""), tokens("fn fulfil(&self) {}")).to_string();
    assert!(
        method.contains("cannot take `self`: after a restart there is no `self` to call it on;"),
        "{method}"
    );
}

#[test]
fn a_workflow_has_at_most_sixteen_arguments() {
    let item = |count| {
        let arguments = (0..count).map(|n| format!("a{n}: u8")).collect::<Vec<_>>().join(", ");
        format!("fn fulfil({arguments}) {{}}")
    };
    workflow("", &item(16), &[]);
    workflow(
        "",
        &item(17),
        &["a durable workflow cannot take more than 16 arguments: they are stored as one tuple; \
           put some of them into a struct"],
    );
}

#[test]
fn a_workflows_input_is_the_same_in_every_build() {
    workflow(
        "",
        "fn fulfil(#[cfg(unix)] a: u32) {}",
        &["a workflow's argument cannot depend on `cfg`: the stored input would not fit another build; \
           write two workflows"],
    );
}

#[test]
fn all_mistakes_of_an_item_come_at_once_and_with_the_item() {
    let item = "const unsafe fn ship(a: &mut u32, b: &mut u32) -> &str { body }";
    let expanded = expand_step(tokens("retry = 1, strict, strict, timeout = \"1s\""), tokens(item));
    assert_eq!(messages(expanded.clone()).len(), 8, "{expanded}");
    assert!(expanded.to_string().ends_with(&tokens(item).to_string()), "{expanded}");
}

#[test]
fn a_workflow_with_a_slip_in_its_body_keeps_its_entry_points() {
    let item = "fn fulfil() { Instant::now(); }";
    let expanded = expand_workflow(tokens("nmae = \"a\""), tokens(item));
    assert_eq!(messages(expanded.clone()).len(), 2, "{expanded}");
    assert!(expanded.to_string().contains("fn run_durable"), "{expanded}");
}

#[test]
fn a_lone_allow_says_where_it_belongs() {
    let text = crate::refuse_allow(tokens("fn ship() {}")).to_string();
    assert!(text.contains("can be placed on statements and expressions inside a workflow only"), "{text}");
    assert!(text.ends_with("fn ship () { }"), "{text}");
}
