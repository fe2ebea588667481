//! The table of the lint: what is refused, by name, why, and the durable way to write it.
//! A name is here only if it is hardly ever anything else: a wrong refusal costs a user more than a missed
//! one.

use super::Family;

/// Some names that are refused for one reason.
pub(super) struct Rule {
    pub(super) family: Family,
    /// Follows "cannot be used in a workflow: ".
    pub(super) reason: &'static str,
    /// What to write.
    pub(super) instead: &'static str,
    /// `Type::function` is the end of a path, `krate::*` the start of one, `name!` a macro, `.name` a
    /// method.
    names: &'static [&'static str],
}

const RULES: &[Rule] = &[
    Rule {
        family: Family::Clock,
        reason: "a replay would read another time",
        instead: "use `durable::now()`",
        names: &[
            "SystemTime::now",
            "Instant::now",
            "Utc::now",
            "Local::now",
            "OffsetDateTime::now_utc",
            "OffsetDateTime::now_local",
            "UtcDateTime::now",
            "Zoned::now",
            "jiff::Timestamp::now",
        ],
    },
    Rule {
        family: Family::Random,
        reason: "a replay would get another id",
        instead: "use `durable::uuid()`",
        names: &[
            "Uuid::new_v4",
            "Uuid::now_v1",
            "Uuid::now_v6",
            "Uuid::now_v7",
            "Ulid::new",
            "nanoid!",
            "Xid::new",
        ],
    },
    Rule {
        family: Family::Random,
        reason: "a replay would draw another value",
        instead: "use `durable::random()`",
        names: &[
            "rand::random",
            "rand::random_bool",
            "rand::random_iter",
            "rand::random_range",
            "rand::random_ratio",
            "rand::rng",
            "rand::fill",
            "thread_rng",
            "OsRng",
            "StdRng::from_os_rng",
            "StdRng::from_entropy",
            "SmallRng::from_os_rng",
            "SmallRng::from_entropy",
            "RandomState::new",
            "fastrand::*",
            "getrandom::*",
        ],
    },
    Rule {
        family: Family::Thread,
        reason: "steps on a thread that the run does not know are not recorded",
        instead: "use `durable::join`, `durable::scope` or `durable::map`",
        names: &["thread::spawn", "thread::scope", "thread::Builder::new", "rayon::spawn", "rayon::scope"],
    },
    Rule {
        family: Family::Thread,
        reason: "steps in a task that the run does not know are not recorded",
        instead: "use `durable::join!`, `durable::future::join_all` or `durable::future::map`",
        names: &[
            "tokio::spawn",
            "task::spawn",
            "task::spawn_blocking",
            "task::spawn_local",
            "task::block_in_place",
            "JoinSet::new",
            "smol::spawn",
            "smol::unblock",
        ],
    },
    Rule {
        family: Family::Thread,
        reason: "a replay would wait again from the start",
        instead: "use `durable::sleep`, which records when it ends",
        names: &["thread::sleep", "thread::sleep_ms", "thread::park_timeout"],
    },
    Rule {
        family: Family::Thread,
        reason: "a replay would wait again from the start",
        instead: "await `durable::future::sleep`, which records when it ends",
        names: &[
            "time::interval",
            "time::sleep",
            "time::sleep_until",
            "task::sleep",
            "Timer::after",
            "Timer::at",
            "Delay::new",
        ],
    },
    Rule {
        family: Family::Concurrency,
        reason: "branches in one scope take their positions in the order of the scheduler",
        instead: "use `durable::join!`, `durable::future::join_all` or `durable::future::map`, \
                  where each branch has positions of its own",
        names: &[
            "tokio::join!",
            "futures::join!",
            "futures_util::join!",
            "futures::future::join",
            "futures::future::join_all",
            "futures_util::future::join",
            "futures_util::future::join_all",
            "futures_lite::future::zip",
            "smol::future::zip",
            "FuturesOrdered::new",
            ".buffered",
        ],
    },
    Rule {
        family: Family::Concurrency,
        reason: "which error comes first depends on timing, and a replay may see another one",
        instead: "use `durable::try_join!` or `durable::future::try_join_all`, which record that",
        names: &[
            "tokio::try_join!",
            "futures::try_join!",
            "futures_util::try_join!",
            "futures::future::try_join",
            "futures::future::try_join_all",
            "futures_util::future::try_join",
            "futures_util::future::try_join_all",
            "futures_lite::future::try_zip",
            "smol::future::try_zip",
        ],
    },
    Rule {
        family: Family::Concurrency,
        reason: "the order in which branches end depends on timing, and a replay may see another one",
        instead: "use `durable::unordered`, which records that order, or `durable::future::map`, \
                  which keeps that of the items",
        names: &[
            "FuturesUnordered::new",
            ".buffer_unordered",
            ".for_each_concurrent",
            ".try_for_each_concurrent",
        ],
    },
    Rule {
        family: Family::Concurrency,
        reason: "steps on a thread that the run does not know are not recorded",
        instead: "use `durable::map`, which gives each item positions of its own",
        names: &["rayon::join", ".par_iter", ".par_iter_mut", ".into_par_iter", ".par_bridge", ".par_chunks"],
    },
    Rule {
        family: Family::Concurrency,
        reason: "which branch wins depends on timing, and a replay may see another one win",
        instead: "use `durable::select!`, `durable::race!` or `durable::race`, which record who won",
        names: &[
            "tokio::select!",
            "futures::select!",
            "futures::select_biased!",
            "futures_util::select!",
            "futures_util::select_biased!",
            "crossbeam_channel::select!",
            "crossbeam::select!",
            "select!",
            "select_biased!",
            "futures::future::select",
            "futures::future::select_all",
            "futures::future::select_ok",
            "futures_util::future::select",
            "futures_util::future::select_all",
            "futures_util::future::select_ok",
            "futures_lite::future::or",
            "futures_lite::future::race",
            "smol::future::or",
            "smol::future::race",
        ],
    },
    Rule {
        family: Family::Concurrency,
        reason: "whether it ends in time may differ on a replay, which also starts the time anew",
        instead: "use `durable::timeout`, which records both",
        names: &["time::timeout", "time::timeout_at"],
    },
    Rule {
        family: Family::Blocking,
        reason: "it blocks the thread of the executor",
        instead: "await `durable::future::sleep` or `durable::future::sleep_until`",
        names: &["durable::sleep", "durable::sleep_until"],
    },
    Rule {
        family: Family::Io,
        reason: "a replay may find something else there, and an effect would happen again",
        instead: "move it into a step",
        names: &[
            "std::fs::*",
            "tokio::fs::*",
            "std::net::*",
            "io::stdin",
            "fs::read",
            "fs::read_to_string",
            "fs::read_dir",
            "fs::write",
            "fs::copy",
            "fs::rename",
            "fs::remove_file",
            "fs::remove_dir_all",
            "fs::create_dir",
            "fs::create_dir_all",
            "fs::metadata",
            "File::open",
            "File::create",
            "File::create_new",
            "OpenOptions::new",
            "TcpStream::connect",
            "TcpListener::bind",
            "UdpSocket::bind",
            "UnixStream::connect",
            "Command::new",
            "reqwest::*",
            "ureq::*",
        ],
    },
    Rule {
        family: Family::Env,
        reason: "a replay may run on another machine, or with other settings",
        instead: "pass it as an argument, or read it in a step",
        names: &[
            "env::var",
            "env::var_os",
            "env::vars",
            "env::vars_os",
            "env::args",
            "env::args_os",
            "env::current_dir",
            "env::current_exe",
            "env::temp_dir",
            "process::id",
            "thread::available_parallelism",
        ],
    },
];

/// The rule against the path `path`, written `std::time::SystemTime::now`.
pub(super) fn for_path(path: &str) -> Option<&'static Rule> {
    find(|name| match name.strip_suffix("::*") {
        Some(start) => path.strip_prefix(start).is_some_and(|rest| rest.starts_with("::")),
        None => ends_with_path(path, name),
    })
}

/// The rule against the macro `path`, without its `!`.
///
/// A macro is known by its whole path: `select!` is refused, `mine::select!` is not.
pub(super) fn for_macro(path: &str) -> Option<&'static Rule> {
    find(|name| name.strip_suffix('!').is_some_and(|name| name == path))
}

/// The rule against a method of the name `name`.
pub(super) fn for_method(name: &str) -> Option<&'static Rule> {
    find(|listed| listed.strip_prefix('.').is_some_and(|listed| listed == name))
}

fn find(is_meant: impl Fn(&str) -> bool) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.names.iter().any(|name| is_meant(name)))
}

/// Whether `path` ends in the segments of `name`, and is not one of ours.
fn ends_with_path(path: &str, name: &str) -> bool {
    match path.strip_suffix(name) {
        Some(before) => before.is_empty() || (before.ends_with("::") && !before.starts_with("durable::")),
        None => false,
    }
}

#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static Rule, &'static str)> {
    RULES.iter().flat_map(|rule| rule.names.iter().map(move |name| (rule, *name)))
}
