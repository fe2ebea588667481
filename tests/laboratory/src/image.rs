//! What a disk may hold after a power cut: a trace is played up to the cut, and what was not synced by then
//! is drawn from a seed.
//! The rule of images: a sync makes the pending writes of its file durable, and the first sync of a new log
//! also all names of the folder. The shared memory is always gone. Every other pending write may vanish,
//! survive, or survive by sectors of 512 bytes. What was pending when a sync failed may vanish even after a
//! later sync that succeeds, since a system may have dropped it by then ("Can Applications Recover from fsync
//! Failures?", Rebello et al., USENIX ATC 2020).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::dice::Dice;
use crate::recorder::{Event, FileId, Trace};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What happens to the writes that no sync has made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// All vanish.
    Everything,
    /// All survive, as after a kill.
    Nothing,
    /// Each vanishes or survives.
    Writes,
    /// Each vanishes or survives sector by sector.
    Sectors,
}

impl Loss {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Everything, Self::Nothing, Self::Writes, Self::Sectors];
}

/// The state of a disk at a point of a trace.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    files: Vec<File>,
    /// The names that a power cut leaves.
    names: BTreeMap<String, FileId>,
    /// What happened to names since the folder was synced: `None` for a name that was removed.
    pending: Vec<(String, Option<FileId>)>,
}

#[derive(Debug, Clone, Default)]
struct File {
    /// What is durable for good.
    bytes: Vec<u8>,
    /// What came after, in order.
    changes: Vec<(Change, Fate)>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

/// What is known of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// No sync came after it.
    Pending,
    /// The sync after it failed: no later one helps it.
    Doubtful,
    /// It is durable, and only waits for its turn behind a doubtful one.
    Durable,
}

/// The files of a folder.
pub type Image = BTreeMap<String, Vec<u8>>;

impl Disk {
    /// A disk that holds these files, all of them durable.
    pub fn holding(image: Image) -> Self {
        let mut disk = Self::default();
        for (file, (name, bytes)) in image.into_iter().enumerate() {
            disk.file(file).bytes = bytes;
            disk.names.insert(name, file);
        }
        disk
    }

    /// The names of its files as processes see them while there is power.
    pub fn names(&self) -> BTreeMap<String, FileId> {
        let mut names = self.names.clone();
        for (name, file) in &self.pending {
            rename(&mut names, name, *file);
        }
        names
    }

    /// How many files it ever had.
    pub fn files(&self) -> usize {
        let named = self.names().into_values().max().map_or(0, |file| file + 1);
        self.files.len().max(named)
    }

    /// The disk after the first `cut` events of `trace`.
    pub fn after(trace: &Trace, cut: usize) -> Self {
        let mut disk = trace.before.clone();
        for event in &trace.events[..cut] {
            disk.apply(event);
        }
        disk
    }

    /// Plays one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Create { file, name } => self.pending.push((name.clone(), Some(*file))),
            Event::Write { file, offset, bytes } => {
                let change = Change::Write(*offset, bytes.clone());
                self.file(*file).changes.push((change, Fate::Pending));
            }
            Event::Truncate { file, size } => {
                self.file(*file).changes.push((Change::Truncate(*size), Fate::Pending));
            }
            Event::Sync { file, folder, done: true } => {
                self.file(*file).sync();
                if *folder {
                    self.sync_folder();
                }
            }
            Event::Sync { file, done: false, .. } => self.file(*file).doubt(),
            Event::SyncFolder { done: true } => self.sync_folder(),
            Event::Delete { name, folder } => {
                self.pending.push((name.clone(), None));
                if *folder {
                    self.sync_folder();
                }
            }
            Event::SyncFolder { done: false } | Event::Said(_) => {}
        }
    }

    fn file(&mut self, file: FileId) -> &mut File {
        while self.files.len() <= file {
            self.files.push(File::default());
        }
        &mut self.files[file]
    }

    fn sync_folder(&mut self) {
        for (name, file) in std::mem::take(&mut self.pending) {
            rename(&mut self.names, &name, file);
        }
    }

    /// What a power cut leaves.
    pub fn draw(&self, loss: Loss, dice: &mut Dice) -> Image {
        let mut names = self.names.clone();
        let mut vanished = Vec::new();
        for (name, file) in &self.pending {
            // The changes of one name keep their order; those of two names are written in any.
            if !vanished.contains(name) && survives(loss, dice) {
                rename(&mut names, name, *file);
            } else {
                vanished.push(name.clone());
            }
        }
        let draw = |file: FileId, dice: &mut Dice| {
            self.files.get(file).map_or_else(Vec::new, |file| file.draw(loss, dice))
        };
        names.into_iter().map(|(name, file)| (name, draw(file, dice))).collect()
    }
}

fn rename(names: &mut BTreeMap<String, FileId>, name: &str, file: Option<FileId>) {
    match file {
        Some(file) => names.insert(name.to_owned(), file),
        None => names.remove(name),
    };
}

fn survives(loss: Loss, dice: &mut Dice) -> bool {
    match loss {
        Loss::Everything => false,
        Loss::Nothing => true,
        Loss::Writes | Loss::Sectors => dice.coin(),
    }
}

impl File {
    fn sync(&mut self) {
        for (_, fate) in &mut self.changes {
            if *fate == Fate::Pending {
                *fate = Fate::Durable;
            }
        }
        let durable = self.changes.iter().take_while(|(_, fate)| *fate == Fate::Durable).count();
        for (change, _) in self.changes.drain(..durable) {
            change.apply(&mut self.bytes);
        }
    }

    fn doubt(&mut self) {
        for (_, fate) in &mut self.changes {
            if *fate == Fate::Pending {
                *fate = Fate::Doubtful;
            }
        }
    }

    fn draw(&self, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (change, fate) in &self.changes {
            match change {
                _ if *fate == Fate::Durable => change.apply(&mut bytes),
                Change::Write(offset, written) if loss == Loss::Sectors => {
                    write_sectors(&mut bytes, *offset, written, dice);
                }
                _ if survives(loss, dice) => change.apply(&mut bytes),
                _ => {}
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => write(bytes, *offset, written),
            Self::Truncate(size) => bytes.resize(*size, 0),
        }
    }
}

fn write(bytes: &mut Vec<u8>, offset: usize, written: &[u8]) {
    let end = offset + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(written);
}

/// Writes the parts that lie in sectors which heads choose.
fn write_sectors(bytes: &mut Vec<u8>, offset: usize, written: &[u8], dice: &mut Dice) {
    let mut from = 0;
    while from < written.len() {
        let left = SECTOR_BYTES - (offset + from) % SECTOR_BYTES;
        let to = written.len().min(from + left);
        if dice.coin() {
            write(bytes, offset + from, &written[from..to]);
        }
        from = to;
    }
}

/// Writes an image to an empty folder.
pub fn materialise(image: &Image, folder: &Path) {
    for (name, bytes) in image {
        fs::write(folder.join(name), bytes).unwrap();
    }
}

/// The files of a folder.
pub fn files(folder: &Path) -> Image {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let read =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    entries.map(read).collect()
}

/// That a folder holds what it held, where a database was refused. The index of a log is made by whoever reads the log
/// first, and holds nothing.
pub fn left_alone(before: &Image, folder: &Path) -> Result<(), String> {
    let mut now = files(folder);
    if before.keys().any(|name| name.ends_with("-wal")) {
        now.retain(|name, _| !name.ends_with("-shm"));
    }
    let mut changed: Vec<_> = now.keys().chain(before.keys()).collect();
    changed.retain(|name| now.get(*name) != before.get(*name));
    if changed.is_empty() { Ok(()) } else { Err(format!("refused, and changed: {changed:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(events: Vec<Event>) -> Trace {
        Trace { before: Disk::holding([("a.db".to_owned(), b"old".to_vec())].into()), events }
    }

    fn written(offset: usize, bytes: &[u8]) -> Event {
        Event::Write { file: 0, offset, bytes: bytes.to_vec() }
    }

    fn sync(done: bool) -> Event {
        Event::Sync { file: 0, folder: false, done }
    }

    /// All that the database can hold after these events.
    fn images(events: Vec<Event>) -> Vec<Vec<u8>> {
        let trace = trace(events);
        let disk = Disk::after(&trace, trace.events.len());
        let mut dice = Dice::new(1);
        let draws = Loss::ALL.iter().cycle().take(200);
        let mut images: Vec<_> =
            draws.map(|loss| disk.draw(*loss, &mut dice).remove("a.db").unwrap()).collect();
        images.sort();
        images.dedup();
        images
    }

    #[test]
    fn a_write_may_vanish_until_a_sync() {
        assert_eq!(images(vec![written(0, b"new")]), [b"new", b"old"]);
        assert_eq!(images(vec![written(0, b"new"), sync(true)]), [b"new"]);
    }

    #[test]
    fn a_later_sync_does_not_help_what_a_failed_one_left() {
        assert_eq!(images(vec![written(0, b"new"), sync(false), sync(true)]), [b"new", b"old"]);
        let again = vec![written(0, b"new"), sync(false), written(0, b"two"), sync(true)];
        assert_eq!(images(again), [b"two"], "what is written again is durable");
    }

    #[test]
    fn a_write_survives_by_sectors() {
        let empty = [0, 1024].map(|size| Event::Truncate { file: 0, size });
        let sectors = images([&empty[..], &[sync(true), written(0, &[1; 1024])]].concat());
        let ends: Vec<_> = sectors.iter().map(|image| (image[0], image[1023])).collect();
        for both in [(0, 1), (1, 0), (1, 1)] {
            assert!(ends.contains(&both), "{ends:?}");
        }
        assert!(sectors.iter().all(|image| image[0] == image[511] && image[512] == image[1023]));
    }

    #[test]
    fn a_name_may_vanish_until_the_folder_is_synced() {
        let create = Event::Create { file: 1, name: "a.db-wal".into() };
        let synced = |folder| Event::Sync { file: 1, folder, done: true };
        for (folder, least) in [(false, 1), (true, 2)] {
            let trace = trace(vec![create.clone(), synced(folder)]);
            let image = Disk::after(&trace, 2).draw(Loss::Everything, &mut Dice::new(1));
            assert_eq!(image.len(), least);
        }
    }
}
