//! What a fuzzer does with bytes of its own: a database file that they are or that they damage, and rows that they
//! edit. `fuzz/` drives these two functions, and a test replays the corpus that was kept.
//! The one rule: whatever the bytes say, what comes of them is a value or a typed error. Any panic is a finding, on
//! any thread and even one that the engine catches, and so is a byte of a refused file that changed.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::task::Waker;
use std::time::Duration;

use durable::{Alarm, Clock, Engine, Error, Timestamp};

use crate::bytes::Bytes;
use crate::edits;
use crate::golden::{
    ENDED, GOLDEN_EVENT, STOPPED, go_on, golden_builder, golden_folder, golden_images, golden_value,
};
use crate::image::{Image, files, left_alone, materialise};
use crate::notes::World;
use crate::recorder::Recorder;
use crate::trial::DATABASE;

/// The most changes that one input makes.
const CHANGES_MAX: usize = 32;

/// The most bytes that one change adds.
const GROWTH_MAX: usize = 4_096;

const PAGE_BYTES: usize = 4_096;

/// What a fuzzer found.
pub type Finding = String;

/// Opens a database that is made of `input`, reads all of it and goes on with its runs. The first byte says of what:
/// 0 takes the others as the file itself, `n` as changes of golden file `n`, in the order of their versions.
pub fn fuzz_open(input: &[u8]) -> Result<(), Finding> {
    watched(|| {
        let image = image_of(input);
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        materialise(&image, folder.path());
        let _recorder = Recorder::watch(folder.path());
        let engine = match open(folder.path()) {
            Ok(engine) => engine,
            Err(Error::Open(refused)) => {
                return left_alone(&image, folder.path()).map_err(|what| format!("{what}; {refused}"));
            }
            Err(other) => return Err(format!("not an error of opening: {other:?}")),
        };
        use_all(&engine).map(|_| ())
    })
}

/// Edits rows of the newest golden database as `input` says, then lists it, reads it, and goes on with its runs.
/// An edit that leaves the checksums of its rows alone must not change what a run comes to.
pub fn fuzz_rows(input: &[u8]) -> Result<(), Finding> {
    watched(|| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let newest = bases().last().ok_or("no golden database")?;
        materialise(newest, folder.path());
        let _recorder = Recorder::watch(folder.path());
        let meant = edits::apply(&folder.path().join(DATABASE), input);
        let edited = files(folder.path());
        let engine = match open(folder.path()) {
            Ok(engine) => engine,
            Err(Error::Open(_)) => return left_alone(&edited, folder.path()),
            Err(other) => return Err(format!("not an error of opening: {other:?}")),
        };
        for (id, value) in use_all(&engine)? {
            if !meant && value != value_of(id) {
                return Err(format!("{id} came to {value}, with no checksum edited"));
            }
        }
        Ok(())
    })
}

fn open(folder: &Path) -> Result<Engine, Error> {
    golden_builder(World::default()).clock(Hasty::default()).open(folder.join(DATABASE))
}

/// Reads everything, and goes on with both runs, twice: what they came to, where they came to a value.
fn use_all(engine: &Engine) -> Result<Vec<(&'static str, String)>, Finding> {
    for run in engine.runs() {
        match run {
            Ok(run) => {
                drop((engine.steps(&run.id), engine.messages(&run.id), engine.events(&run.id)));
                drop(engine.get_event(&run.id, GOLDEN_EVENT, Duration::ZERO));
            }
            Err(Error::Read(_) | Error::Store { .. }) => {}
            Err(other) => return Err(format!("not an error of listing: {other:?}")),
        }
    }
    let mut came = Vec::new();
    for id in [STOPPED, ENDED] {
        let first = go_on(engine, id);
        let again = go_on(engine, id);
        let Ok(value) = first else { continue };
        match again {
            Ok(replayed) if replayed == value => came.push((id, value)),
            other => return Err(format!("{id} came to {value}, and then to {other:?}")),
        }
    }
    Ok(came)
}

/// Every golden file, in the order of the versions.
fn bases() -> &'static [Image] {
    static BASES: OnceLock<Vec<Image>> = OnceLock::new();
    BASES.get_or_init(|| {
        let versions = (1..).take_while(|version| golden_folder(*version).exists());
        // The one that is closed comes last.
        versions
            .flat_map(|version| golden_images(version).into_iter().rev())
            .map(|(_, image)| image)
            .collect()
    })
}

fn value_of(id: &str) -> String {
    static VALUES: OnceLock<[String; 2]> = OnceLock::new();
    let [ended, stopped] = VALUES.get_or_init(|| [ENDED, STOPPED].map(golden_value));
    if id == ENDED { ended.clone() } else { stopped.clone() }
}

fn image_of(input: &[u8]) -> Image {
    let mut bytes = Bytes::of(input);
    let base = usize::from(bytes.byte()).checked_sub(1).and_then(|number| bases().get(number));
    let Some(base) = base else {
        return Image::from([(DATABASE.to_owned(), input.get(1..).unwrap_or_default().to_vec())]);
    };
    let mut image = base.clone();
    for _ in 0..CHANGES_MAX {
        if bytes.is_empty() {
            break;
        }
        change(&mut image, &mut bytes);
    }
    image
}

/// One change of one file: its kind, its place, and what it takes.
fn change(image: &mut Image, bytes: &mut Bytes<'_>) {
    let kind = bytes.byte();
    let at = image.len() - 1 - usize::from(kind >> 7) % image.len();
    let Some(file) = image.values_mut().nth(at) else { return };
    let place = bytes.number(3);
    if kind & 7 == 5 {
        let (count, with) = (bytes.number(2) % GROWTH_MAX, bytes.byte());
        return file.extend(std::iter::repeat_n(with, count));
    }
    if file.is_empty() {
        return;
    }
    let (place, pages) = (place % file.len(), file.len().div_ceil(PAGE_BYTES));
    match kind & 7 {
        3 => file.truncate(place),
        4 => {
            let from = bytes.number(1) % pages * PAGE_BYTES;
            let page = file[from..(from + PAGE_BYTES).min(file.len())].to_vec();
            write(file, place / PAGE_BYTES * PAGE_BYTES, &page);
        }
        6 => {
            let (count, with) = (bytes.number(2), bytes.byte());
            write(file, place, &vec![with; count]);
        }
        _ => {
            let count = bytes.number(1);
            write(file, place, bytes.some(count));
        }
    }
}

/// Writes as far as the file goes.
fn write(file: &mut [u8], at: usize, what: &[u8]) {
    let end = file.len().min(at + what.len());
    file[at..end].copy_from_slice(&what[..end - at]);
}

/// A clock on which every wait takes twice as long as all before it, so that a run whose row sleeps until the end of
/// time is there soon.
#[derive(Debug, Default)]
struct Hasty(Mutex<Duration>);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_577_836_800_000).plus(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, time: Duration) {
        let mut elapsed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *elapsed = elapsed.saturating_add(time.max(*elapsed));
    }

    fn wake_after(&self, time: Duration, waker: Waker) -> Alarm {
        self.pause(time);
        waker.wake();
        Alarm::rung()
    }
}

/// What panicked since the last look.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What `body` finds, and every panic that was seen meanwhile.
fn watched(body: impl FnOnce() -> Result<(), Finding>) -> Result<(), Finding> {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| std::panic::set_hook(Box::new(note)));
    let found = catch_unwind(AssertUnwindSafe(body));
    let panics = std::mem::take(&mut *PANICS.lock().unwrap_or_else(PoisonError::into_inner));
    match found {
        _ if !panics.is_empty() => Err(format!("panics: {}", panics.join("; "))),
        Ok(found) => found,
        Err(_) => Err("a panic that no hook was told of".to_owned()),
    }
}

fn note(panic: &PanicHookInfo<'_>) {
    eprintln!("{panic}");
    // The panic of a step that is recorded is given back where the step is called, by the room of the replay.
    let is_recorded =
        panic.location().is_some_and(|place| place.file().ends_with("durable-core/src/memo.rs"));
    if !is_recorded {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string().replace('\n', " "));
    }
}
