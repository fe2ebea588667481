//! Writes the golden databases of a schema version that has none yet: `golden <version>`, run once, before the
//! version is released. What is there is never written over.

use std::fs;
use std::process::ExitCode;

use durable_laboratory::{golden_folder, make_golden, to_text};

fn main() -> ExitCode {
    let Some(version) = std::env::args().nth(1).and_then(|version| version.parse().ok()) else {
        eprintln!("name the schema version");
        return ExitCode::FAILURE;
    };
    let folder = golden_folder(version);
    if folder.exists() {
        eprintln!("{} is there already, and stays as it is", folder.display());
        return ExitCode::FAILURE;
    }
    let (open, closed) = make_golden();
    for (name, image) in [("open", open), ("closed", closed)] {
        fs::create_dir_all(folder.join(name)).expect("a folder");
        for (file, bytes) in image {
            fs::write(folder.join(name).join(format!("{file}.hex")), to_text(&bytes)).expect("a file");
        }
    }
    ExitCode::SUCCESS
}
