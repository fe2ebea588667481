//! The lint by example: each line of a body, and which family it belongs to.

use proc_macro2::{Group, TokenStream};
use quote::ToTokens as _;

use super::{Families, Family, check, rules};
use crate::args::Given;
use crate::diag::Diag;

fn given(families: &[Family]) -> Option<Given<Vec<Family>>> {
    let key = quote::format_ident!("option");
    (!families.is_empty()).then(|| Given { key, value: families.to_vec() })
}

/// The messages about `body`, and the body as it is emitted.
fn run(allow: &[Family], deny: &[Family], body: &str) -> (Vec<String>, String) {
    let mut diag = Diag::default();
    let families = Families::new(Families::IN_FN, given(allow), given(deny), &mut diag);
    let body = syn::parse_str::<Group>(&format!("{{ {body} }}")).unwrap();
    let emitted = check(&body, None, families, &mut diag);
    (diag.messages(), emitted.into_token_stream().to_string())
}

#[track_caller]
fn refuses(family: Family, body: &str) {
    let (messages, _) = run(&[], &[Family::Io, Family::Env, Family::Blocking], body);
    let expected = format!("`#[durable::allow({})]`", family.name());
    assert!(matches!(messages.as_slice(), [one] if one.contains(&expected)), "{body}: {messages:?}");
}

#[track_caller]
fn accepts(body: &str) {
    let (messages, _) = run(&[], &[], body);
    assert!(messages.is_empty(), "{body}: {messages:?}");
}

/// A use of a name of the table, as a user would write it.
fn use_of(name: &str) -> String {
    if let Some(name) = name.strip_suffix("::*") {
        return format!("let a = {name}::anything();");
    }
    match (name.strip_suffix('!'), name.strip_prefix('.')) {
        (Some(name), _) => format!("let a = {name}!(b, c);"),
        (_, Some(name)) => format!("let a = b.{name}(c);"),
        _ => format!("let a = {name}(b);"),
    }
}

#[test]
fn every_name_of_the_table_is_refused_in_its_family() {
    for (rule, name) in rules::all() {
        refuses(rule.family, &use_of(name));
    }
}

#[test]
fn every_name_of_the_table_is_refused_inside_a_macro() {
    for (rule, name) in rules::all() {
        let expression = use_of(name).replace("let a = ", "").replace(';', "");
        refuses(rule.family, &format!("println!(\"{{:?}} {{}}\", ({expression}), x = 1);"));
    }
}

#[test]
fn a_family_that_is_allowed_is_not_refused() {
    for (rule, name) in rules::all() {
        let (messages, _) = run(&[rule.family], &[], &use_of(name));
        assert_eq!(messages, [""; 0], "{name}");
    }
}

#[test]
fn names_are_found_wherever_an_expression_stands() {
    refuses(Family::Clock, "let t = std::time::SystemTime::now();");
    refuses(Family::Clock, "let t = ::std::time::SystemTime::now();");
    refuses(Family::Clock, "if go { loop { break Instant::now(); } }");
    refuses(Family::Clock, "let later = || Instant::now();");
    refuses(Family::Clock, "let t = None.unwrap_or_else(SystemTime::now);");
    refuses(Family::Clock, "let v = vec![chrono::Utc::now(); 3];");
    refuses(Family::Clock, "Order { placed: Utc::now() }");
    refuses(Family::Random, "rand::rng().random::<u32>()");
    refuses(Family::Random, "OsRng.fill_bytes(&mut b)");
    refuses(Family::Thread, "std::thread::spawn(move || ship(&order)).join()");
    refuses(Family::Concurrency, "tokio::select! { a = x() => 1, b = y() => 2 }");
    refuses(Family::Concurrency, "orders.par_iter().map(|order| ship(order)).collect()");
    refuses(Family::Concurrency, "let x = format!(\"{}\", orders.par_iter().count());");
    refuses(Family::Concurrency, "tokio::time::timeout(limit, ship(&order)).await");
}

#[test]
fn look_alikes_are_accepted() {
    accepts("let t = durable::now(); let u = durable::uuid(); let r = durable::random();");
    accepts("durable::sleep(PAUSE); durable::join(|| a(), || b()); durable::scope(|s| s.spawn(|| a()));");
    accepts(
        "durable::join!(a(), b()).await; durable::future::join_all(all).await; future::join_all(all).await;",
    );
    accepts("join!(a(), b()).await; join(|| a(), || b()); sleep(PAUSE); random(); spawn(|| a());");
    accepts(
        "mine::select!(a, b); MySystemTime::now(); my::rand_random(); order.join(\", \"); handle.spawn();",
    );
    accepts("let s = \"SystemTime::now()\"; // SystemTime::now()\n");
    accepts("let t: SystemTime = order.placed; fn takes(_: Instant) {}");
    accepts("let d = t.elapsed(); let x = a.buffered; SystemTime::UNIX_EPOCH");
}

#[test]
fn io_and_env_are_off_until_they_are_denied() {
    accepts(
        "std::fs::read(\"a\"); std::env::var(\"HOME\"); File::open(\"a\"); println!(\"{}\", env::var(\"A\"));",
    );
    refuses(Family::Io, "let bytes = std::fs::read(\"a\")?;");
    refuses(Family::Env, "let home = std::env::var(\"HOME\")?;");
}

#[test]
fn items_inside_a_body_are_not_its_code() {
    accepts(
        "fn helper() -> Instant { Instant::now() } impl X { fn y() { thread::spawn(z); } } const C: T = Instant::now();",
    );
}

#[test]
fn an_allow_covers_what_it_stands_on_and_no_more() {
    accepts("#[durable::allow(clock)] let t = Instant::now();");
    accepts("#[durable::allow(clock)] t = Instant::now();");
    accepts("#[durable::allow(clock)] t += Instant::now() as u64;");
    accepts("#[durable::allow(clock)] for t in ticks { log(Instant::now()); }");
    accepts("#[::durable::allow(clock, random)] { Instant::now(); rand::random(); }");
    accepts("#[durable::allow(clock)] println!(\"{:?}\", Instant::now());");
    accepts("match x { #[durable::allow(clock)] 1 => Instant::now(), _ => y }");
    refuses(Family::Clock, "#[durable::allow(clock)] let t = Instant::now(); Instant::now();");
    refuses(Family::Clock, "#[durable::allow(clock)] t = Instant::now(); let x = Instant::now();");
    refuses(Family::Clock, "#[durable::allow(random)] let t = Instant::now();");
    refuses(Family::Clock, "#[allow(clock)] let t = Instant::now();");
    refuses(Family::Clock, "match x { #[durable::allow(clock)] 1 => Instant::now(), _ => Instant::now() }");
}

#[test]
fn an_allow_is_taken_out_of_the_body() {
    let (_, emitted) =
        run(&[], &[], "#[durable::allow(clock)] #[inline] let t = f(#[durable::allow(random)] x);");
    assert_eq!(emitted, "{ # [inline] let t = f (x) ; }");
    let (_, emitted) = run(&[], &[], "#[allow(unused)] let t = #[durable::allow(clock)] 1 2;");
    assert_eq!(emitted, "{ # [allow (unused)] let t = 1 2 ; }");
}

#[test]
fn the_crate_option_names_the_attribute_too() {
    let mut diag = Diag::default();
    let root = syn::parse_str("::again").unwrap();
    let body = syn::parse_str::<Group>("{ #[again::allow(clock)] Instant::now(); }").unwrap();
    let families = Families::new(Families::IN_FN, None, None, &mut diag);
    let emitted = check(&body, Some(&root), families, &mut diag);
    assert_eq!((diag.messages(), emitted.to_string()), (vec![], "{ Instant :: now () ; }".to_owned()));
}

#[test]
fn a_malformed_allow_says_how_it_is_written() {
    let (messages, _) = run(&[], &[], "#[durable::allow] let t = 1; #[durable::allow(time)] let u = 2;");
    assert_eq!(
        messages,
        [
            "name what to allow, as in `#[durable::allow(clock)]`",
            "unknown family `time`; the families are `clock`, `random`, `thread`, `concurrency`, `blocking`, `io`, `env`",
        ]
    );
}

#[test]
fn what_is_allowed_and_denied_is_refused_as_an_option() {
    let (messages, _) = run(&[Family::Io], &[Family::Io, Family::Env], "");
    assert_eq!(messages, ["family `io` is both allowed and denied; keep one of them"]);
}

#[test]
fn a_body_that_does_not_parse_is_left_to_rustc() {
    let tokens = "Instant::now( let".replace('(', "");
    assert_eq!(run(&[], &[], &tokens).0, [""; 0]);
    assert!(syn::parse_str::<TokenStream>(&tokens).is_ok());
}

#[test]
fn all_refusals_of_a_body_come_at_once() {
    let (messages, _) = run(&[], &[], "let t = Instant::now(); let id = Uuid::new_v4(); thread::sleep(d);");
    assert_eq!(
        messages,
        [
            "`Instant::now` cannot be used in a workflow: a replay would read another time; use `durable::now()` \
             (if you are sure, put `#[durable::allow(clock)]` on the statement)",
            "`Uuid::new_v4` cannot be used in a workflow: a replay would get another id; use `durable::uuid()` \
             (if you are sure, put `#[durable::allow(random)]` on the statement)",
            "`thread::sleep` cannot be used in a workflow: a replay would wait again from the start; \
             use `durable::sleep`, which records when it ends \
             (if you are sure, put `#[durable::allow(thread)]` on the statement)",
        ]
    );
}
