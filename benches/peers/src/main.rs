//! durable beside its peers, on the same work in the same run: `just peers`, or
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`, prints the tables of `docs/performance.md`; a
//! word on the command line prints the lines alone whose names have it. README.md says what is measured and how.
//!
//! This program measures SQLite alone, durable and memable, and calls the one in `sqlx/` for the others. Each
//! measurement has a process and a folder of its own; within a round all engines take turns.

mod contest;
mod durable;
mod machine;
mod memable;
mod raw;
mod syncs;
mod work;

/// What the raw loops of `benches/ratios` call it.
mod workloads {
    pub(crate) use crate::work::{FILE, OUTPUT};
}

use std::path::PathBuf;
use std::process::Command;

use contest::{Entry, Line};

/// So often each engine does each line; the medians count.
const ROUNDS: usize = 7;

const SEQUENCE: &str = "one workflow, steps in sequence";

const LINES: &[Line] = &[
    Line {
        name: SEQUENCE,
        work: "steps",
        unit: "steps",
        full: true,
        entries: &[
            Entry::new("raw", 1, 2_000).after(1_500),
            Entry::new("durable", 1, 2_000).after(1_500),
            Entry::new("plain", 1, 2_000).after(1_500),
            Entry::new("durare", 1, 2_000).after(1_500),
            Entry::new("memable", 1, 1_000).after(500),
            Entry::new("duroxide", 1, 50).after(20),
        ],
    },
    Line {
        name: "the same at `synchronous=NORMAL`",
        work: "steps",
        unit: "steps",
        full: false,
        entries: &[
            Entry::new("raw", 1, 10_000).after(1_500),
            Entry::new("durable", 1, 10_000).after(1_500),
            Entry::new("plain", 1, 10_000).after(1_500),
            Entry::new("durare", 1, 2_000).after(1_500),
            Entry::cannot("memable", "has no such setting"),
            Entry::new("duroxide", 1, 50).after(20),
        ],
    },
    Line {
        name: "64 workflows at once",
        work: "steps",
        unit: "steps",
        full: true,
        entries: &[
            Entry::new("raw", 64, 50),
            Entry::new("durable", 64, 50),
            Entry::new("durare", 64, 50),
            Entry::new("memable", 64, 50),
            Entry::new("duroxide", 64, 5),
        ],
    },
    Line {
        name: "256 workflows at once",
        work: "steps",
        unit: "steps",
        full: true,
        entries: &[
            Entry::new("raw", 256, 16),
            Entry::new("durable", 256, 16),
            Entry::new("durare", 256, 16),
            Entry::new("memable", 256, 8),
            Entry::new("duroxide", 256, 1),
        ],
    },
    Line {
        name: "workflows of 3 steps, all at once",
        work: "steps",
        unit: "workflows",
        full: true,
        entries: &[
            Entry::new("raw", 1_000, 3),
            Entry::new("durable", 1_000, 3),
            Entry::new("durare", 1_000, 3),
            Entry::new("memable", 300, 3),
            Entry::new("duroxide", 50, 3),
        ],
    },
    Line {
        name: "one workflow, steps all at once",
        work: "parallel",
        unit: "steps",
        full: true,
        entries: &[
            Entry::new("raw", 1, 1_000),
            Entry::new("durable", 1, 1_000),
            Entry::new("durare", 1, 1_000),
            Entry::new("memable", 1, 1_000),
            Entry::new("duroxide", 1, 200),
        ],
    },
    Line {
        name: "replay of one workflow",
        work: "replay",
        unit: "steps",
        full: true,
        entries: &[
            Entry::new("raw", 1, 10_000),
            Entry::new("durable", 1, 10_000),
            Entry::new("durare", 1, 10_000),
            Entry::new("memable", 1, 10_000),
            Entry::new("duroxide", 1, 200),
        ],
    },
    Line {
        name: "resident memory per sleeping workflow",
        work: "memory",
        unit: "bytes",
        full: true,
        entries: &[
            Entry::cannot("raw", "-"),
            Entry::new("durable", 2_000, 0),
            Entry::new("durare", 2_000, 0),
            Entry::new("memable", 2_000, 0),
            Entry::new("duroxide", 200, 0),
        ],
    },
];

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if args.len() > 1 {
        measure(&args[0], &work::Order::parse(&args[1..]));
        return;
    }
    let only = args.first().map_or("", String::as_str);
    let programs = Programs::build();
    println!("{}\n", describe());
    println!(
        "| work | engine | of each | per second (least–most) | of raw | CPU us each |\n|---|---|---|---|---|---|"
    );
    LINES.iter().filter(|line| line.name.contains(only)).for_each(|line| line.print(&programs));
    if "syncs".contains(only) {
        syncs::print(&programs);
    }
}

/// One measurement, in the process that the table's process started for it.
fn measure(who: &str, order: &work::Order) {
    match who {
        "raw" => raw::obey(order),
        "durable" => work::obey::<durable::Durable>(order),
        "plain" => work::obey::<durable::Plain>(order),
        "memable" => work::obey::<memable::Memable>(order),
        other => unreachable!("no such engine: {other}"),
    }
}

/// Where the programs are that measure.
struct Programs {
    this: PathBuf,
    sqlx: PathBuf,
}

impl Programs {
    /// Builds the second program, too.
    fn build() -> Self {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/sqlx/Cargo.toml");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .args(["run", "--release", "--locked", "-q", "--manifest-path", manifest])
            .output();
        let built = built.expect("cargo");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let sqlx = PathBuf::from(String::from_utf8_lossy(&built.stdout).trim());
        Self { this: std::env::current_exe().expect("a path"), sqlx }
    }

    /// The command that measures `who`.
    fn of(&self, who: &str) -> Command {
        let of_sqlx = ["durare", "duroxide"].contains(&who);
        let mut command = Command::new(if of_sqlx { &self.sqlx } else { &self.this });
        // What an engine prints of its own accord is not measured; duroxide does.
        command.arg(who).env("RUST_LOG", "off");
        command
    }
}

fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{cores} cores, {} {}, tokio with a worker per core, medians of {ROUNDS} rounds in turns",
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}

/// The name of an engine in the tables.
fn title(who: &str) -> &str {
    match who {
        "raw" => "SQLite alone",
        "plain" => "durable, plain functions",
        other => other,
    }
}
