//! Real file systems of a test's own, mounted for it: on a file through a loop device, and in memory. They take
//! root, `mount` and `mkfs`; where those are missing, what is missing is said.
//! Knows nothing of databases.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// So much a filler grows by at most.
const FILLER_BYTES: usize = 64 << 10;

/// Runs a command; what it said if it failed.
fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let said = Command::new(program).args(arguments).output();
    match said {
        Err(error) => Err(format!("{program}: {error}")),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// A path as an argument.
fn text(path: &Path) -> &str {
    path.to_str().expect("folders of tests have names of letters")
}

/// A file system on a file.
#[derive(Debug)]
pub struct LoopDisk {
    folder: TempDir,
}

impl LoopDisk {
    /// Of this kind and size, mounted.
    pub fn new(kind: &str, bytes: u64) -> Result<Self, String> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let image = fs::File::create(disk.image()).unwrap();
        image.set_len(bytes).unwrap();
        fs::create_dir(disk.mounted()).unwrap();
        // A small image would get blocks of 1 KiB. SQLite's index of a log is mapped memory whose pages it lays out
        // by one byte each, so on a full disk with such blocks the system kills the process (SIGBUS).
        let size: &[&str] = if kind == "ext4" { &["-b", "4096"] } else { &[] };
        run(&format!("mkfs.{kind}"), &[&["-q"], size, &[text(&disk.image())]].concat())?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Where it is seen.
    pub fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// A file on another medium, gone with the disk.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Mounts it where it was.
    pub fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.image()), text(&self.mounted())])
    }

    /// Takes it away.
    pub fn unmount(&self) -> Result<(), String> {
        run("umount", &[text(&self.mounted())])
    }

    /// Fills it up to the last `left` bytes. The disk has space again once the file is removed.
    pub fn fill(&self, left: u64) -> PathBuf {
        let path = self.mounted().join("filler");
        let mut filler = fs::File::create(&path).unwrap();
        let bytes = vec![0x55; FILLER_BYTES];
        let full = loop {
            if let Err(error) = filler.write_all(&bytes) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::StorageFull, "{full}");
        // What is written late has its place from here on.
        filler.sync_all().unwrap();
        filler.set_len(filler.metadata().unwrap().len().saturating_sub(left)).unwrap();
        filler.sync_all().unwrap();
        path
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Where nothing is mounted any more there is nothing to do.
        let _ = self.unmount();
    }
}

/// A file system in memory.
#[derive(Debug)]
pub struct Memory {
    folder: TempDir,
}

impl Memory {
    /// Of this size, mounted.
    pub fn new(bytes: u64) -> Result<Self, String> {
        let memory = Self { folder: tempfile::tempdir().unwrap() };
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs", text(memory.mounted())])?;
        Ok(memory)
    }

    /// Where it is seen.
    pub fn mounted(&self) -> &Path {
        self.folder.path()
    }

    /// Makes it so large.
    pub fn grow(&self, bytes: u64) -> Result<(), String> {
        run("mount", &["-o", &format!("remount,size={bytes}"), text(self.mounted())])
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // Where it could not be mounted there is nothing to do.
        let _ = run("umount", &[text(self.mounted())]);
    }
}
