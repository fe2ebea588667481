//! Whatever the order in which outputs are taken, each comes as it was, and little is read more than once.

use super::*;

/// Outputs and what it took to have them; a row is some 10 bytes long.
struct Bench {
    texts: Texts,
    outputs: Vec<String>,
    reads: usize,
    rows: usize,
}

impl Bench {
    fn new(count: usize, room: usize) -> Self {
        let outputs: Vec<_> = (0..count).map(|number| format!("output {number}")).collect();
        let mut texts = Texts::with_room(room);
        for (number, output) in outputs.iter().enumerate() {
            texts.load(number, Some(output));
        }
        texts.close();
        Self { texts, outputs, reads: 0, rows: 0 }
    }

    /// Takes an output, as a run does.
    #[track_caller]
    fn take(&mut self, number: usize) {
        let text = self.texts.take(number).unwrap_or_else(|| {
            self.reads += 1;
            let (rows, mut window) = (self.texts.rows_from(number), Window::at(number));
            while !window.is_full(rows) && window.next() < self.outputs.len() {
                self.rows += 1;
                window.push(&self.outputs[window.next()]).unwrap();
            }
            self.texts.insert(window).unwrap()
        });
        assert_eq!(text.as_str(), self.outputs[number]);
    }

    fn kept(&self) -> usize {
        self.texts.slots.iter().filter(|slot| lock(slot).is_some()).count()
    }
}

#[test]
fn what_has_room_is_not_read_again() {
    let mut bench = Bench::new(1_000, 1 << 20);
    (0..1_000).for_each(|number| bench.take(number));
    assert_eq!((bench.reads, bench.kept()), (0, 0), "and is let go of");
}

#[test]
fn what_comes_first_is_kept_and_the_rest_is_read_once() {
    let mut bench = Bench::new(10_000, 10_000);
    let kept = bench.kept();
    assert!((1..10).contains(&kept), "{kept} windows");
    (0..10_000).for_each(|number| bench.take(number));
    assert_eq!(bench.rows, 10_000 - kept * ROWS_MAX);
    assert_eq!((bench.reads, bench.kept()), (bench.rows.div_ceil(ROWS_MAX), 0));
}

#[test]
fn without_any_room_each_output_still_comes() {
    let mut bench = Bench::new(1_000, 0);
    (0..1_000).rev().for_each(|number| bench.take(number));
    assert_eq!(bench.kept(), 0);
    assert!(bench.rows < 3_000, "{} rows", bench.rows);
}

#[test]
fn what_is_kept_takes_no_more_than_its_share_of_the_room() {
    for room in 0..4_000 {
        let bench = Bench::new(300, room);
        let kept = bench.texts.slots.iter().filter_map(|slot| Some(lock(slot).as_ref()?.bytes()));
        assert!(kept.sum::<usize>() <= room - room / READ_SHARE, "in a room of {room} bytes");
    }
}

#[test]
fn a_window_ends_where_it_has_enough_bytes() {
    let mut window = Window::at(7);
    while !window.is_full(ROWS_MAX) {
        window.push(&"x".repeat(READ_BYTES_MAX / 4 + 1)).unwrap();
    }
    assert_eq!(window.next(), 7 + 4);
}

/// Branches that take turns, in far more places than there is room for windows: what is read ahead in one is
/// dropped before its turn comes again. Reading whole windows would read 128 rows for each.
#[test]
fn branches_that_take_turns_read_little_more_than_they_take() {
    let (branches, steps) = (1_000, 130);
    let mut bench = Bench::new(branches * steps, 4 * 50_000);
    for step in 0..steps {
        (0..branches).for_each(|branch| bench.take(branch * steps + step));
    }
    assert!(bench.rows < 3 * branches * steps, "{} rows for {}", bench.rows, branches * steps);
    assert!(lock(&bench.texts.read).bytes <= 50_000);
}
