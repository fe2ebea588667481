//! Databases that a released schema version wrote, kept as text, and the workflow that wrote them. Both stay
//! as they are for ever: what comes later must open the ones and go on with the other.
//! The one rule: a golden file is written once, by the program `golden`, when its schema version is new.

use std::fs;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use durable::{Engine, Error, Event, RunError, Topic, step, workflow};

use crate::image::Image;
use crate::notes::World;
use crate::recorder::Recorder;
use crate::trial::DATABASE;
use crate::workloads::{Made, Refused, builder, make, refuse, returned};

/// The run that has ended.
pub const ENDED: &str = "ended";

/// The run that was stopped before its last step.
pub const STOPPED: &str = "stopped";

/// What was sent to the run that was stopped, since version 3.
pub const GOLDEN_TOPIC: Topic<u8> = Topic::new("golden");

/// What both runs publish, since version 3.
pub const GOLDEN_EVENT: Event<String> = Event::new("golden");

/// Whether the workflow stops before its last step, as if its process had died.
#[derive(Debug, Clone, Copy)]
struct Stops(bool);

#[step]
fn golden_step(name: &str) -> Made {
    make(name)
}

#[step(args = record)]
fn golden_values(text: &str, number: f64, perhaps: Option<u8>) -> (String, f64, Option<u8>, Vec<i64>) {
    durable::set_event(GOLDEN_EVENT, text.to_owned());
    (text.to_owned(), number, perhaps, vec![i64::MIN, -1, i64::MAX])
}

#[step]
fn golden_failure(name: &str) -> Result<Made, Refused> {
    Err(refuse(name))
}

#[workflow]
fn golden_child(name: String) -> u64 {
    run(&name)
}

#[workflow]
fn golden(id: String) -> String {
    let name = |part: &str| format!("{id}-{part}");
    let first = run(&name("first"));
    let values = golden_values("ä € 😀 \" \\ \u{1}", -0.1, Some(3));
    let handled = match golden_failure(&name("failure")) {
        Ok(made) => returned(&made),
        Err(_) => run(&name("instead")),
    };
    let joined = durable::join(|| run(&name("left")), || run(&name("right")));
    let mapped = durable::map(0..3_u8, 1, |item| run(&name(&format!("item{item}"))));
    let inline = golden_child(name("inline"));
    let own = golden_child::run_durable(name("own").as_str(), name("own")).unwrap_or_default();
    durable::sleep(Duration::ZERO);
    if durable::resource::<Stops>().0 {
        resume_unwind(Box::new("stopped"));
    }
    format!("{first} {values:?} {handled} {joined:?} {mapped:?} {inline} {own} {}", run(&name("last")))
}

fn run(name: &str) -> u64 {
    returned(&golden_step(name))
}

/// Goes on with one of the two runs.
pub fn go_on(engine: &Engine, id: &str) -> Result<String, Error> {
    let came = golden::durable(id, id.to_owned()).on(engine).run();
    came.map_err(|error| match error {
        RunError::Engine(error) => error,
        RunError::Failed(never) => match never {},
    })
}

/// An engine that goes on with golden runs in this world.
pub fn golden_engine(world: World, path: &Path) -> Result<Engine, Error> {
    golden_builder(world).open(path)
}

pub(crate) fn golden_builder(world: World) -> durable::Builder {
    builder(world).with(Stops(false))
}

/// What one of the two runs comes to.
pub fn golden_value(id: &str) -> String {
    let engine = builder(World::default()).with(Stops(false)).in_memory().unwrap();
    go_on(&engine, id).unwrap()
}

/// A database with both runs: as it is while it is open, with its log, and once it is closed.
pub fn make_golden() -> (Image, Image) {
    let folder = tempfile::tempdir().unwrap();
    // The laboratory's checkpoints keep the log short.
    let _recorder = Recorder::watch(folder.path());
    let open = |stops| builder(World::default()).with(Stops(stops)).open(folder.path().join(DATABASE));
    let stopping = open(true).unwrap();
    let left = open(false).unwrap();
    go_on(&left, ENDED).unwrap();
    go_on(&stopping, STOPPED).unwrap_err();
    left.send(STOPPED, GOLDEN_TOPIC, 7).unwrap();
    let image = |names: &[&str]| -> Image {
        let file = |name: &&str| ((*name).to_owned(), fs::read(folder.path().join(name)).unwrap());
        names.iter().map(file).collect()
    };
    let open = image(&[DATABASE, "runs.db-wal"]);
    drop((stopping, left));
    (open, image(&[DATABASE]))
}

/// The folder of a schema version's files.
pub fn golden_folder(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version.to_string())
}

/// So many bytes of a file are one line of its text.
const LINE_BYTES: usize = 64;

/// A file as text: lines of a place and what stands there; lines of zeros are left out, but for the last.
pub fn to_text(bytes: &[u8]) -> String {
    let lines = bytes.chunks(LINE_BYTES).enumerate();
    let count = bytes.len().div_ceil(LINE_BYTES);
    let shown = lines.filter(|(i, line)| i + 1 == count || line.iter().any(|byte| *byte != 0));
    let hex = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    shown.map(|(i, line)| format!("{:08x} {}\n", i * LINE_BYTES, hex(line))).collect::<Vec<_>>().concat()
}

/// The file that a text stands for.
pub fn from_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines() {
        let (at, hex) = line.split_once(' ').expect("a place and bytes");
        bytes.resize(usize::from_str_radix(at, 16).expect("a place"), 0);
        bytes.extend(
            (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).expect("a byte")),
        );
    }
    bytes
}

/// The kept files of a version, by what they show.
pub fn golden_images(version: u32) -> Vec<(String, Image)> {
    let mut images = Vec::new();
    for folder in fs::read_dir(golden_folder(version)).unwrap() {
        let folder = folder.unwrap();
        let mut image = Image::new();
        for file in fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            let name = file.file_name().into_string().unwrap().replace(".hex", "");
            image.insert(name, from_text(&fs::read_to_string(file.path()).unwrap()));
        }
        images.push((folder.file_name().into_string().unwrap(), image));
    }
    images.sort_by(|(a, _), (b, _)| a.cmp(b));
    images
}
