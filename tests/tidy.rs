//! The rules of the house, read off the source. Each rule is a function from a file to what is wrong with it,
//! and is shown a file that breaks it, so that no rule can go blind.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// The most lines of a source file, before its tests; the rooms that are longer are one table or one list.
const LINES_MAX: usize = 420;

/// The most lines of a file of tests: a suite may be one long list of cases.
const SUITE_LINES_MAX: usize = 800;

/// The most characters of a line of code or of a comment.
const COLUMNS_MAX: usize = 130;

/// The most lines of an example: it proves one point. The demo may take more.
const EXAMPLE_LINES_MAX: usize = 80;

/// The most lines of a compile-fail case: it makes one mistake.
const CASE_LINES_MAX: usize = 20;

/// The floors of the engine, lowest first: a room names rooms of its own floor and of those below.
const FLOORS: [&[&str]; 7] = [
    &[
        "key",
        "clock",
        "failed",
        "fingerprint",
        "retry",
        "signal",
        "sync",
        "build",
        "draw",
        "trace",
        "waits",
        "errand",
        "pool",
        "executor",
        "runtime",
    ],
    &["store", "owner"],
    &["outcome", "history", "error", "args", "probe"],
    &["core", "circle", "opened", "run", "scope", "call", "held", "background"],
    &["memo", "poll", "fork", "shield", "sleep", "patch", "registry"],
    &[
        "parallel",
        "concurrent",
        "racing",
        "engine",
        "entry",
        "invoke",
        "moments",
        "scheduler",
        "handle",
        "control",
        "check",
        "lookout",
        "mail",
        "events",
    ],
    &["private", "lib", "schedules"],
];

/// What stands in a few rooms of the engine only.
const IN_FEW_ROOMS: [(&str, &[&str]); 7] = [
    ("rusqlite::", &["store"]),
    ("serde_json::", &["outcome", "fingerprint"]),
    ("inventory::", &["registry", "private"]),
    ("tracing::", &["trace"]),
    ("tokio::", &["runtime"]),
    ("SystemTime::now(", &["clock"]),
    ("Instant::now(", &["clock"]),
];

struct File {
    /// From the root of the repository.
    path: String,
    text: String,
}

impl File {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn read(path: &str) -> Self {
        Self::new(path, &fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap())
    }

    /// The top module of `durable-core` that it belongs to.
    fn room(&self) -> Option<&str> {
        let below = self.path.strip_prefix("durable-core/src/")?;
        below.split(['/', '.']).next()
    }

    fn is_of_tests(&self) -> bool {
        ["tests", "/store/contract", "/schedules"].iter().any(|part| self.path.contains(part))
    }

    /// Where its module of tests begins.
    fn tests_at(&self) -> usize {
        self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len())
    }

    /// Its lines with their numbers, without its tests.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text[..self.tests_at()].lines())
    }

    /// The same without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.lines().filter(|(_, line)| !is_comment(line))
    }
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// All files below these folders with one of these endings, build output and this file excepted.
fn files(folders: &[&str], endings: &[&str]) -> Vec<File> {
    let mut found = Vec::new();
    for folder in folders {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                found.extend(files(&[&path], endings));
            } else if endings.iter().any(|ending| path.ends_with(ending)) && path != "tests/tidy.rs" {
                found.push(File::read(&path));
            }
        }
    }
    found
}

fn library() -> Vec<File> {
    files(&["src", "durable-core/src", "durable-macros/src"], &[".rs"])
}

fn everywhere(endings: &[&str]) -> Vec<File> {
    files(&["src", "durable-core", "durable-macros", "examples", "tests", ".ci"], endings)
}

/// A rule: what is wrong with a file.
type Rule = fn(&File) -> Vec<String>;

/// Holds `rule` over `files`, and sees it refuse a file of this path and text.
#[track_caller]
fn check(files: &[File], rule: Rule, (path, broken): (&str, &str)) {
    assert!(!rule(&File::new(path, broken)).is_empty(), "the rule lets {broken:?} be");
    assert!(!files.is_empty(), "the rule is held over nothing");
    let wrong: Vec<_> = files
        .iter()
        .flat_map(|file| rule(file).into_iter().map(|what| format!("{}: {what}", file.path)))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn has_any<'l>(lines: impl Iterator<Item = (usize, &'l str)>, words: &[&str]) -> Vec<String> {
    let found = |(i, line): (usize, &str)| {
        let word = words.iter().find(|word| line.contains(**word))?;
        Some(format!("line {i} has `{word}`"))
    };
    lines.filter_map(found).collect()
}

fn without(files: Vec<File>, parts: &[&str]) -> Vec<File> {
    files.into_iter().filter(|file| !parts.iter().any(|part| file.path.contains(part))).collect()
}

#[test]
fn nothing_is_left_for_later() {
    let rule: Rule = |file| {
        let words = ["todo!(", "unimplemented!(", "#[ignore", "TODO", "FIXME", "XXX"];
        has_any((1..).zip(file.text.lines()), &words)
    };
    let mut files = everywhere(&[".rs", ".toml", ".sql", "run", "budget", "syncs", ".ci/schedules"]);
    files.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "Cargo.toml", "docs/reliability.md"]
            .map(File::read),
    );
    check(&files, rule, ("src/a.rs", "fn a() {} // TODO: write it"));
}

#[test]
fn no_line_names_the_machine_it_was_written_on() {
    let rule: Rule =
        |file| has_any((1..).zip(file.text.lines()), &["/home/", "/root/", "/Users/", "/tmp/", "C:\\"]);
    let mut files = everywhere(&[""]);
    files.extend(
        [
            "README.md",
            "ARCHITECTURE.md",
            "CONTRIBUTING.md",
            "CHANGELOG.md",
            "justfile",
            "docs/reliability.md",
        ]
        .map(File::read),
    );
    check(&files, rule, ("tests/ui/a.stderr", " --> /home/me/durable/src/lib.rs:1:1"));
}

// `forbid(unsafe_code)` and all other lints are those of the workspace, where a package says so.
#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let rule: Rule = |file| {
        let taken = file.text.contains("[lints]\nworkspace = true\n");
        if taken { vec![] } else { vec!["it takes no lints".to_owned()] }
    };
    // One package denies every lint there is; the laboratory has its own table, see below.
    let mut files = without(everywhere(&["/Cargo.toml"]), &["tests/lints/", "tests/laboratory/"]);
    files.push(File::read("Cargo.toml"));
    assert!(files.iter().any(|file| file.text.contains("\nunsafe_code = \"forbid\"\n")));
    check(&files, rule, ("a/Cargo.toml", "[package]\nname = \"a\"\n"));
}

#[test]
fn one_room_of_the_laboratory_is_unsafe_and_else_it_has_the_same_lints() {
    // The lines of the lint tables; a level that is lower than the workspace's would differ.
    let lints = |path: &str, table: &str| -> HashSet<String> {
        let text = File::read(path).text;
        let from = text.find(table).unwrap();
        let lines = text[from..].lines().take_while(|line| !line.starts_with("[package]"));
        // Which conditions there are for `cfg` is no level.
        let levels = lines.filter(|line| line.contains(" = ") && !line.starts_with("unexpected_cfgs"));
        levels.map(str::to_owned).collect()
    };
    let ours = lints("Cargo.toml", "[workspace.lints.rust]");
    let theirs = lints("tests/laboratory/Cargo.toml", "[lints.rust]");
    assert_eq!(ours.difference(&theirs).collect::<Vec<_>>(), ["unsafe_code = \"forbid\""]);
    assert!(theirs.contains("unsafe_code = \"deny\""));

    let rule: Rule = |file| has_any(file.code(), &["expect(unsafe_code", "allow(unsafe_code"]);
    let files = without(everywhere(&[".rs"]), &["tests/laboratory/src/vfs.rs"]);
    check(&files, rule, ("tests/laboratory/src/image.rs", "#![expect(unsafe_code, reason = \"\")]"));
}

#[test]
fn nothing_panics_outside_tests() {
    let rule: Rule = |file| has_any(file.code(), &[".unwrap()", ".expect(", "panic!(", "unreachable!("]);
    let mut files = files(&["src", "durable-core/src", "durable-macros/src", "examples"], &[".rs"]);
    files.retain(|file| !file.is_of_tests());
    // The lint's table lists what it looks for in the user's code. A span is unwrapped into the compiler's
    // own, which cannot fail where there is a compiler.
    let mut files = without(files, &["determinism/rules.rs"]);
    for file in &mut files {
        file.text = file.text.replace("span().unwrap()", "");
    }
    check(&files, rule, ("src/a.rs", "let x = y.unwrap();"));
}

#[test]
fn names_say_what_a_thing_is() {
    let rule: Rule = |file| {
        let vague = |word: &&str| {
            let word = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            ["Manager", "Helper", "Util", "Utils", "Info"].iter().any(|end| word.ends_with(end))
        };
        // The field's word for it: the one name that says no more.
        let code = file.code().filter(|(_, line)| !line.contains("fn get_event"));
        let mut wrong = has_any(code, &["fn get_"]);
        for (i, line) in file.code() {
            let mut words =
                line.split_whitespace().skip_while(|word| !["struct", "enum", "trait"].contains(word));
            wrong.extend(words.nth(1).filter(vague).map(|word| format!("line {i}: `{word}` says nothing")));
        }
        wrong
    };
    check(&library(), rule, ("src/a.rs", "pub struct RunManager {"));
    check(&library(), rule, ("src/a.rs", "pub fn get_run() {}"));
}

#[test]
fn no_test_sleeps_or_reads_the_clock() {
    const WORDS: [&str; 4] = ["thread::sleep(", "time::sleep(", "Instant::now(", "SystemTime::now("];
    let of_tests: Rule = |file| has_any(file.code(), &WORDS);
    // The lint's own cases quote what they are about.
    let quoting = ["tests/ui/", "tests/rename/", "src/determinism/tests.rs", "src/tests/refusals.rs"];
    let mut files = without(everywhere(&[".rs"]), &quoting);
    files.retain(File::is_of_tests);
    check(&files, of_tests, ("tests/a.rs", "std::thread::sleep(x);"));

    let of_modules: Rule = |file| has_any((1..).zip(file.text[file.tests_at()..].lines()), &WORDS);
    check(&library(), of_modules, ("src/a.rs", "#[cfg(test)]\nmod tests {\n let start = Instant::now();\n}"));
}

#[test]
fn every_module_says_what_lives_there() {
    let rule: Rule = |file| {
        let said = file.text.starts_with("//! ");
        if said { vec![] } else { vec!["it does not start with `//! `".to_owned()] }
    };
    check(&without(everywhere(&[".rs"]), &["tests/ui/"]), rule, ("src/a.rs", "use std::fmt;"));
}

#[test]
fn no_file_and_no_line_is_too_long() {
    let length: Rule = |file| {
        let count = file.lines().count();
        let max = match file.path.split('/').collect::<Vec<_>>()[..] {
            ["examples", _] => EXAMPLE_LINES_MAX,
            _ if file.is_of_tests() => SUITE_LINES_MAX,
            _ => LINES_MAX,
        };
        if count > max { vec![format!("{count} lines, and {max} are the most")] } else { vec![] }
    };
    let files = without(everywhere(&[".rs"]), &["tests/ui/"]);
    check(&files, length, ("src/a.rs", &"\n".repeat(LINES_MAX + 1)));
    check(&files, length, ("tests/a.rs", &"\n".repeat(SUITE_LINES_MAX + 1)));
    check(&files, length, ("examples/a.rs", &"\n".repeat(EXAMPLE_LINES_MAX + 1)));

    // A text of one line, and a row of a table, cannot be broken.
    let columns: Rule = |file| {
        let long = |(_, line): &(usize, &str)| {
            line.chars().count() > COLUMNS_MAX && !line.contains('"') && !line.starts_with("/// |")
        };
        file.lines().filter(long).map(|(i, _)| format!("line {i} is too long")).collect()
    };
    check(&files, columns, ("src/a.rs", &"x".repeat(COLUMNS_MAX + 1)));
}

#[test]
fn no_line_ends_in_a_space_and_every_file_in_a_line() {
    let rule: Rule = |file| {
        let mut wrong: Vec<_> = (1..)
            .zip(file.text.split('\n'))
            .filter(|(_, line)| line.ends_with([' ', '\t', '\r']))
            .map(|(i, _)| format!("line {i} ends in a space"))
            .collect();
        if !file.text.ends_with('\n') || file.text.ends_with("\n\n") {
            wrong.push("it does not end with one line end".to_owned());
        }
        wrong
    };
    let mut files = everywhere(&[".rs", ".toml", ".sql", "run", "budget", "syncs", ".ci/schedules"]);
    files.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/reliability.md"]
            .map(File::read),
    );
    files.extend(["Cargo.toml", "deny.toml", "clippy.toml", "justfile"].map(File::read));
    check(&files, rule, ("src/a.rs", "let x; \n"));
    check(&files, rule, ("src/a.rs", "let x;"));
}

#[test]
fn lints_are_expected_with_a_reason() {
    let rule: Rule = |file| {
        let lines: Vec<_> = file.code().collect();
        let silenced = |line: &str| ["[allow(", "[expect("].iter().any(|word| line.contains(word));
        let reasoned = |n: usize| {
            let ends = lines[n..].iter().position(|(_, line)| line.contains(")]")).unwrap_or(0);
            lines[n..=n + ends].iter().any(|(_, line)| line.contains("reason ="))
        };
        let bare = |n: &usize| silenced(lines[*n].1) && !reasoned(*n);
        let wrong = (0..lines.len()).filter(bare);
        wrong.map(|n| format!("line {} silences a lint without a reason", lines[n].0)).collect()
    };
    // What is quoted for an expansion cannot know the user's lints, so it allows.
    let files = without(everywhere(&[".rs"]), &["durable-macros/", "tests/ui/"]);
    check(&files, rule, ("src/a.rs", "#[allow(dead_code)]\nfn f() {}"));
    check(&files, rule, ("src/a.rs", "#[expect(dead_code)]\nlet reason = 1;"));
}

#[test]
fn a_room_names_only_what_is_below_it() {
    let rule: Rule = |file| {
        let floor_of = |room: &str| FLOORS.iter().position(|rooms| rooms.contains(&room));
        let Some(own) = file.room().and_then(floor_of) else { return vec!["it has no floor".to_owned()] };
        let mut wrong = Vec::new();
        for (i, line) in file.code() {
            for path in line.split("crate::").skip(1) {
                let room = path.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).next().unwrap();
                if floor_of(room).is_some_and(|floor| floor > own) {
                    wrong.push(format!("line {i} names `{room}`, which is above it"));
                }
            }
        }
        wrong
    };
    let files = files(&["durable-core/src"], &[".rs"]);
    check(&files, rule, ("durable-core/src/key.rs", "use crate::memo::step;"));
    check(&files, rule, ("durable-core/src/cellar.rs", "use std::fmt;"));
}

#[test]
fn what_stands_in_few_rooms_is_named_in_no_other() {
    let rule: Rule = |file| {
        let room = file.room().unwrap();
        let others = IN_FEW_ROOMS.iter().filter(|(_, rooms)| !rooms.contains(&room));
        let words: Vec<_> = others.map(|(word, _)| *word).collect();
        has_any(file.code(), &words)
    };
    let files = files(&["durable-core/src"], &[".rs"]);
    check(&files, rule, ("durable-core/src/memo.rs", "let now = Instant::now();"));
    for (word, _) in IN_FEW_ROOMS {
        assert!(files.iter().any(|file| file.text.contains(word)), "nothing names `{word}` any more");
    }
}

#[test]
fn the_macros_depend_on_syn_quote_and_proc_macro2_alone() {
    let manifest = File::read("durable-macros/Cargo.toml").text;
    let table = manifest.split("[dependencies]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<_> = table.lines().map(|line| line.split(['.', ' ']).next().unwrap()).collect();
    assert_eq!(names, ["proc-macro2", "quote", "syn"]);
}

#[test]
fn every_room_has_its_place_in_the_picture() {
    let picture = File::read("ARCHITECTURE.md").text;
    let quoted = picture.split('`').skip(1).step_by(2);
    let named: HashSet<_> = quoted.flat_map(|path| path.split(['/', '{', '}', ',', '.'])).collect();
    assert!(!named.contains("cellar"));
    for file in library().iter().filter(|file| !file.is_of_tests()) {
        let room = file.path.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")).unwrap();
        assert!(named.contains(room), "ARCHITECTURE.md does not tell of {}", file.path);
    }
}

// A promise whose test was renamed or removed would be shown by nothing.
#[test]
fn every_test_that_the_page_on_reliability_names_is_there() {
    fn names(file: &File) -> Vec<(&str, &str)> {
        file.text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_once(".rs::")).collect()
    }
    let tests = everywhere(&[".rs"]);
    let has = |(file, name): &(&str, &str)| {
        let of_that_name = |test: &&File| test.path.ends_with(&format!("/{file}.rs"));
        tests.iter().filter(of_that_name).any(|test| test.text.contains(&format!("fn {name}(")))
    };
    assert!(!has(&("tidy", "a_test_that_is_not_there")));
    let page = File::read("docs/reliability.md");
    let missing: Vec<_> = names(&page).into_iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty() && names(&page).len() > 20, "{missing:?}");
}

#[test]
fn every_dependency_has_a_sentence_on_what_it_is_for() {
    fn is_ours(line: &str) -> bool {
        line.contains("workspace = true") || line.contains("path = ")
    }
    // A sentence explains all lines up to the next empty line or the next sentence.
    let rule: Rule = |file| {
        let (mut wrong, mut in_table, mut explained) = (Vec::new(), false, false);
        for line in file.text.lines() {
            match line.as_bytes().first() {
                Some(b'[') => (in_table, explained) = (line.ends_with("dependencies]"), false),
                Some(b'#') => explained = line.ends_with('.'),
                None => explained = false,
                _ if in_table && !explained && !is_ours(line) => {
                    wrong.push(format!("`{line}` says not what it is for"));
                }
                _ => {}
            }
        }
        wrong
    };
    let mut files = everywhere(&["/Cargo.toml"]);
    files.push(File::read("Cargo.toml"));
    check(&files, rule, ("Cargo.toml", "[workspace.dependencies]\n# Errors.\na = \"1\"\n\nb = \"2\"\n"));
}

#[test]
fn every_compile_fail_case_is_one_mistake_with_its_text() {
    let rule: Rule = |file| {
        let mut wrong = Vec::new();
        if !file.text.starts_with("// ") {
            wrong.push("its first line does not say what is wrong".to_owned());
        }
        if !file.text.ends_with("fn main() {}\n") {
            wrong.push("its last line is not `fn main() {}`".to_owned());
        }
        if file.text.lines().count() > CASE_LINES_MAX {
            wrong.push(format!("it has more than {CASE_LINES_MAX} lines"));
        }
        wrong
    };
    let cases = without(files(&["tests/ui"], &[".rs"]), &["tests/ui/pass/"]);
    assert!(cases.len() > 45, "{} cases", cases.len());
    check(&cases, rule, ("tests/ui/step/a.rs", "// What is wrong.\nfn main() { step() }\n"));

    // Each case has its text, each text its case.
    let stems = |ending: &str| -> HashSet<String> {
        let paths = without(files(&["tests/ui"], &[ending]), &["tests/ui/pass/"]).into_iter();
        paths.map(|file| file.path.strip_suffix(ending).unwrap().to_owned()).collect()
    };
    let (cases, texts) = (stems(".rs"), stems(".stderr"));
    let alone: Vec<_> = cases.symmetric_difference(&texts).collect();
    assert!(alone.is_empty(), "without a text, or without a case: {alone:?}");
}
