//! What durability each engine really ran with: what its connections say, and how often it has the system sync,
//! which `strace` counts.

use std::path::Path;
use std::process::Command;

use crate::contest::run;
use crate::{Programs, title};

/// The system calls that make a file durable.
const CALLS: &str = "trace=fsync,fdatasync,sync_file_range,msync,sync,syncfs";

/// Engines, and how many steps each does, less and more.
const ENGINES: [(&str, [u32; 2]); 5] = [
    ("durable", [100, 500]),
    ("plain", [100, 500]),
    ("durare", [100, 500]),
    ("memable", [100, 500]),
    ("duroxide", [10, 50]),
];

pub(crate) fn print(programs: &Programs) {
    println!(
        "\n| engine | what its connections say of their durability | syncs per sequential step |\n|---|---|---|"
    );
    for (who, steps) in ENGINES {
        let folder = tempfile::tempdir_in(".").expect("a folder");
        let mut settings = programs.of(who);
        settings.arg("settings").arg(folder.path()).args(["full", "0", "0", "0"]);
        let settings = run(settings).unwrap_or_else(|failure| failure);
        println!("| {} | {settings} | {} |", title(who), per_step(programs, who, steps));
    }
}

/// The difference of two runs, so that opening and ending are not in it.
fn per_step(programs: &Programs, who: &str, [less, more]: [u32; 2]) -> String {
    match (syncs(programs, who, less), syncs(programs, who, more)) {
        (Some(of_less), Some(of_more)) => {
            format!("{:.2}", (f64::from(of_more) - f64::from(of_less)) / f64::from(more - less))
        }
        _ => "`strace` is not there".to_owned(),
    }
}

fn syncs(programs: &Programs, who: &str, steps: u32) -> Option<u32> {
    let folder = tempfile::tempdir_in(".").ok()?;
    let counts = folder.path().join("counts");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-c", "-e", CALLS, "-o"]).arg(&counts);
    let order = programs.of(who);
    strace.arg(order.get_program()).args(order.get_args());
    strace.arg("steps").arg(folder.path()).args(["full", "1", &steps.to_string(), "0"]);
    run(strace).ok()?;
    Some(count(&counts))
}

/// The fourth column of the lines that name a call.
fn count(counts: &Path) -> u32 {
    let text = std::fs::read_to_string(counts).unwrap_or_default();
    let calls = text.lines().filter(|line| line.trim_end().ends_with("sync"));
    calls.filter_map(|line| line.split_whitespace().nth(3)?.parse::<u32>().ok()).sum()
}
