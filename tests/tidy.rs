//! The rules of the house, read off the source. Each rule is a function from a text to what is wrong with it,
//! and is shown a text that breaks it.

use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of a source file, before its tests; the rooms that are longer are one table or one list.
const LINES_MAX: usize = 420;

/// The most characters of a line of code or of a comment.
const COLUMNS_MAX: usize = 130;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` with this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            found.extend(files(&path, ending));
        } else if path.to_str().is_some_and(|name| name.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn library_files() -> Vec<PathBuf> {
    ["src", "durable-core/src", "durable-macros/src"]
        .iter()
        .flat_map(|folder| files(&root().join(folder), ".rs"))
        .collect()
}

fn all_files() -> Vec<PathBuf> {
    let folders = ["src", "durable-core", "durable-macros", "examples", "tests"];
    folders.iter().flat_map(|folder| files(&root().join(folder), ".rs")).collect()
}

/// A rule: what is wrong with a text.
type Rule = fn(&str) -> Vec<String>;

#[track_caller]
fn check(files: Vec<PathBuf>, rule: Rule, broken: &str) {
    assert!(!rule(broken).is_empty(), "the rule does not see {broken:?}");
    let mut wrong = Vec::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        wrong.extend(
            rule(&text)
                .into_iter()
                .map(|what| format!("{}: {what}", path.strip_prefix(root()).unwrap().display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines of a text with their numbers, without its tests.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let tests = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..tests].lines().enumerate().map(|(i, line)| (i + 1, line))
}

fn code(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { "" } else { line }
}

fn has_any(text: &str, words: &[&str]) -> Vec<String> {
    let found = |(i, line): (usize, &str)| {
        let word = words.iter().find(|word| code(line).contains(**word))?;
        Some(format!("line {i} has `{word}`"))
    };
    lines(text).filter_map(found).collect()
}

/// This file names what it looks for, and the words of the lint's table are its business.
fn but_not(files: Vec<PathBuf>, names: &[&str]) -> Vec<PathBuf> {
    files.into_iter().filter(|path| !names.iter().any(|name| path.ends_with(name))).collect()
}

#[test]
fn nothing_is_unsafe_or_left_for_later() {
    let words: Rule = |text| {
        let unsafe_code = ["un", "safe {"].concat();
        let words = [&unsafe_code, "todo!(", "unimplemented!(", "FIX\u{4d}E", "XX\u{58}", "#[ignore"];
        has_any(text, &words)
    };
    check(but_not(all_files(), &["tests/tidy.rs"]), words, "    todo!()");
}

#[test]
fn nothing_panics_outside_tests() {
    // A span is unwrapped into the compiler's own, which cannot fail where there is a compiler.
    let rule: Rule = |text| {
        has_any(&text.replace("span().unwrap()", ""), &[".unwrap()", ".expect(", "panic!(", "unreachable!("])
    };
    let files = library_files().into_iter().filter(|path| {
        let name = path.to_str().unwrap();
        !name.contains("/tests") && !name.ends_with("contract.rs")
    });
    // The lint's table lists what it looks for in the user's code, and rustdoc's examples are comments.
    check(but_not(files.collect(), &["determinism/rules.rs"]), rule, "let x = y.unwrap();");
}

#[test]
fn no_test_sleeps() {
    let rule: Rule = |text| has_any(text, &["thread::sleep(", "time::sleep("]);
    let tests = files(&root().join("tests"), ".rs")
        .into_iter()
        .filter(|path| !path.to_str().unwrap().contains("/ui/"));
    check(but_not(tests.collect(), &["tests/tidy.rs"]), rule, "std::thread::sleep(x);");
}

#[test]
fn every_module_says_what_lives_there() {
    let rule: Rule = |text| {
        if text.starts_with("//! ") { vec![] } else { vec!["it does not start with `//! `".to_owned()] }
    };
    check(library_files(), rule, "use std::fmt;");
}

#[test]
fn no_file_and_no_line_is_too_long() {
    let length: Rule = |text| {
        let count = lines(text).count();
        if count > LINES_MAX { vec![format!("{count} lines")] } else { vec![] }
    };
    let files = library_files()
        .into_iter()
        .filter(|path| !path.ends_with("store/contract.rs") && !path.to_str().unwrap().contains("tests"));
    check(files.collect(), length, &"\n".repeat(LINES_MAX + 1));
    let columns: Rule = |text| {
        let long = lines(text).filter(|(_, line)| {
            line.chars().count() > COLUMNS_MAX && !line.contains('"') && !line.starts_with("/// |")
        });
        long.map(|(i, line)| format!("line {i} has {} characters", line.chars().count())).collect()
    };
    check(all_files(), columns, &"x".repeat(COLUMNS_MAX + 1));
}

#[test]
fn no_line_ends_in_a_space() {
    let rule: Rule = |text| {
        lines(text)
            .filter(|(_, line)| line.ends_with([' ', '\t']))
            .map(|(i, _)| format!("line {i}"))
            .collect()
    };
    check(all_files(), rule, "let x; ");
}

#[test]
fn lints_are_expected_with_a_reason() {
    let rule: Rule = |text| {
        let silenced = |line: &str| {
            line.contains("#[allow(") || line.contains("#[expect(") || line.contains("#![allow(")
        };
        let lines: Vec<_> = lines(text).collect();
        let wrong = lines.iter().filter(|(i, line)| {
            let reasoned =
                lines[*i - 1..lines.len().min(i + 4)].iter().any(|(_, line)| line.contains("reason ="));
            silenced(code(line)) && !reasoned
        });
        wrong.map(|(i, _)| format!("line {i} silences a lint without a reason")).collect()
    };
    // What is quoted for an expansion cannot know the user's lints, so it allows.
    let files = library_files().into_iter().filter(|path| !path.to_str().unwrap().contains("durable-macros"));
    check(files.collect(), rule, "#[allow(dead_code)]\nfn f() {}");
}

#[test]
fn a_name_of_another_crate_stands_in_its_own_room() {
    // What may be named, by the start of the path below `src`.
    let rooms: [(&str, &[&str]); 4] = [
        ("rusqlite::", &["store/"]),
        ("serde_json::", &["outcome", "fingerprint"]),
        ("SystemTime::now(", &["clock.rs"]),
        ("Instant::now(", &["clock.rs"]),
    ];
    let core = root().join("durable-core/src");
    for (word, allowed) in rooms {
        for path in files(&core, ".rs") {
            let name = path.strip_prefix(&core).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(&path).unwrap();
            let named = has_any(&text, &[word]);
            assert!(
                named.is_empty() || allowed.iter().any(|room| name.starts_with(room)),
                "{name} names {word}: {named:?}"
            );
        }
    }
}

#[test]
fn every_dependency_has_a_sentence_on_what_it_is_for() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let table = manifest.split("[workspace.dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let mut explained = false;
    for line in table.lines() {
        if line.starts_with('#') {
            explained = line.ends_with('.');
        } else if !line.is_empty() {
            assert!(explained || line.contains("path ="), "{line}");
        }
    }
}

#[test]
fn every_compile_fail_case_says_what_is_wrong_and_pins_the_text() {
    let cases = files(&root().join("tests/ui"), ".rs");
    let failing = cases.iter().filter(|path| !path.to_str().unwrap().contains("/pass/"));
    let mut count = 0;
    for path in failing {
        count += 1;
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("//"), "{} does not say what is wrong", path.display());
        assert!(text.trim_end().ends_with('}'), "{}", path.display());
        assert!(path.with_extension("stderr").exists(), "{} has no text", path.display());
    }
    assert!(count > 45, "{count} cases");
    for path in files(&root().join("tests/ui"), ".stderr") {
        assert!(path.with_extension("rs").exists(), "{} has no case", path.display());
    }
}
