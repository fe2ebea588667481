//! What the attributes cost at compile time: a program of 300 steps and 30 workflows, half of them async, beside the
//! same functions without attributes (`just compile`). Both depend on the same crates, and only the program itself is
//! compiled in what is measured, as after an edit. The two take turns, seven times; the medians are printed.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench prints, and ends at a fault")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const WORKFLOWS: usize = 30;
const STEPS_PER_WORKFLOW: usize = 10;
const ROUNDS: usize = 7;

/// A tick of `/proc/self/stat`: 100 a second on Linux (`sysconf(_SC_CLK_TCK)`, in the manual page of `/proc/pid/stat`).
const TICK: Duration = Duration::from_millis(10);

/// A package with one program, compiled again and again.
struct Package {
    folder: PathBuf,
    edits: usize,
}

impl Package {
    fn new(folder: &Path, name: &str, is_durable: bool) -> Self {
        let own = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = folder.join(name);
        fs::create_dir_all(folder.join("src")).unwrap();
        let manifest = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\ndurable = {{ path = \"{}\" }}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n\n[workspace]\n",
            own.display()
        );
        fs::write(folder.join("Cargo.toml"), manifest).unwrap();
        fs::copy(own.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        fs::write(folder.join("src/main.rs"), source(is_durable)).unwrap();
        Self { folder, edits: 0 }
    }

    /// What `cargo <command>` costs after an edit: time on the wall, and of processors.
    fn cost(&mut self, command: &str) -> (Duration, Duration) {
        self.edits += 1;
        let path = self.folder.join("src/main.rs");
        let mut text = fs::read_to_string(&path).unwrap();
        writeln!(text, "\npub fn edit_{}() -> usize {{ {} }}", self.edits, self.edits).unwrap();
        fs::write(&path, text).unwrap();
        let (cpu, start) = (cpu_of_children(), Instant::now());
        let status = Command::new(env!("CARGO"))
            .args([command, "--quiet"])
            .current_dir(&self.folder)
            // What a stranger's machine has: incremental, with the default profile, and nothing of this bench's.
            .env("CARGO_TARGET_DIR", self.folder.join("../target"))
            .env_remove("RUSTFLAGS")
            .status()
            .unwrap();
        assert!(status.success());
        (start.elapsed(), cpu_of_children().saturating_sub(cpu))
    }
}

/// The program: each step takes and returns other types than the one before.
fn source(is_durable: bool) -> String {
    let (step, workflow) =
        if is_durable { ("#[durable::step]\n", "#[durable::workflow]\n") } else { ("", "") };
    let mut text = "#![allow(dead_code)]\nuse serde::{Deserialize, Serialize};\n\n".to_owned();
    text += "#[derive(Debug, Clone, Serialize, Deserialize)]\npub struct Order { pub id: u64, pub items: Vec<String> }\n\n";
    for flow in 0..WORKFLOWS {
        let (asynchronous, wait) = if flow % 2 == 0 { ("", "") } else { ("async ", ".await") };
        for n in 0..STEPS_PER_WORKFLOW {
            let name = format!("step_{flow}_{n}");
            text += step;
            let step = match n % 3 {
                0 => format!(
                    "{asynchronous}fn {name}(order: &Order, n: u64) -> u64 {{ order.id + n + {n} }}\n\n"
                ),
                1 => format!(
                    "{asynchronous}fn {name}(name: &str, n: u64) -> Result<String, String> {{\n    \
                     if n == {n} {{ return Err(name.to_owned()); }}\n    Ok(format!(\"{{name}}{{n}}\"))\n}}\n\n"
                ),
                _ => format!(
                    "{asynchronous}fn {name}(n: u64) -> Order {{ Order {{ id: n, items: vec![\"{n}\".to_owned()] }} }}\n\n"
                ),
            };
            text += &step;
        }
        text += workflow;
        writeln!(text, "{asynchronous}fn flow_{flow}(order: Order) -> Result<u64, String> {{").unwrap();
        text += "    let (mut order, mut n, mut name) = (order, 0_u64, String::new());\n";
        for step in 0..STEPS_PER_WORKFLOW {
            let call = format!("step_{flow}_{step}");
            let line = match step % 3 {
                0 => format!("    n += {call}(&order, n){wait};\n"),
                1 => format!("    name = {call}(&name, n){wait}?;\n"),
                _ => format!("    order = {call}(n){wait};\n"),
            };
            text += &line;
        }
        text += "    Ok(n + order.id + name.len() as u64)\n}\n\n";
    }
    text + "fn main() {}\n"
}

/// User and system time of the processes that have ended.
fn cpu_of_children() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    TICK * fields.skip(13).take(2).map(|ticks| ticks.parse::<u32>().unwrap()).sum::<u32>()
}

fn median(mut of: Vec<Duration>) -> f64 {
    of.sort();
    of[of.len() / 2].as_secs_f64()
}

fn main() {
    let folder = TempDir::new().unwrap();
    let mut packages =
        [("plain", false), ("attributes", true)].map(|(name, is)| Package::new(folder.path(), name, is));
    println!(
        "| {} steps, {WORKFLOWS} workflows, after an edit | plain wall, CPU s | with attributes wall, CPU s | more CPU s |",
        WORKFLOWS * STEPS_PER_WORKFLOW
    );
    println!("|---|---|---|---|");
    for command in ["check", "build"] {
        for package in &mut packages {
            package.cost(command);
        }
        let mut costs = [const { (Vec::new(), Vec::new()) }; 2];
        for _ in 0..ROUNDS {
            for (package, (wall, cpu)) in packages.iter_mut().zip(&mut costs) {
                let cost = package.cost(command);
                wall.push(cost.0);
                cpu.push(cost.1);
            }
        }
        let [plain, durable] = costs.map(|(wall, cpu)| (median(wall), median(cpu)));
        println!(
            "| cargo {command} | {:.2}, {:.2} | {:.2}, {:.2} | {:.2} |",
            plain.0,
            plain.1,
            durable.0,
            durable.1,
            durable.1 - plain.1
        );
    }
}
