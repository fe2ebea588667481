//! Which runs a store finds: those that fit, page by page, whatever else is written between two pages.

use super::background::{ask, start_later, wait};
use super::*;
use crate::store::Wanted;

/// Filters that fit some of the runs that the suite makes, none, or all.
pub(super) fn filters() -> Vec<Filter> {
    let all = Filter::all;
    vec![
        all(),
        all().status(RunStatus::Running),
        all().status(RunStatus::Failed).status(RunStatus::Completed).status(RunStatus::Cancelled),
        all().status(RunStatus::Paused),
        all().name("fulfil"),
        all().name("fulfi"),
        all().id_prefix("a"),
        all().id_prefix("a'--"),
        all().id_prefix("a'--x"),
        all().id_prefix("👩"),
        all().id_prefix("\u{10ffff}"),
        all().parent(&workflow("a")),
        all().parent(&workflow("a")).id_prefix("B"),
        all().parent(&workflow("ä")).status(RunStatus::Running),
        all().created_from(at(1)),
        all().created_from(at(2)),
        all().created_before(at(1)),
        all().created_before(at(2)).status(RunStatus::Running),
        all().updated_from(at(4)).updated_before(at(7)),
        all().updated_from(at(7)).updated_before(at(7)),
        all().waiting(),
        all().waiting().updated_from(at(5)).name("fulfil"),
    ]
}

impl Bench {
    /// The ids of the runs that fit, read in pages of `limit`.
    #[track_caller]
    fn list(&mut self, filter: &Filter, after: Option<&str>, limit: u32) -> Vec<String> {
        let (mut ids, mut next) = (Vec::new(), Some(after.unwrap_or_default().as_bytes().to_vec()));
        while let Some(after) = next {
            let page = self.reader.runs(filter, Some(&after), limit).unwrap();
            assert!(page.runs.len() <= limit as usize);
            assert!(page.next.as_ref().is_none_or(|next| *next > after), "it comes to an end");
            ids.extend(page.runs.into_iter().map(|run| run.unwrap().id.as_str().to_owned()));
            next = page.next;
        }
        ids
    }

    /// That every filter finds among the stored runs what fits it.
    #[track_caller]
    pub(super) fn check_filters(&mut self) {
        let runs = self.runs();
        for filter in filters() {
            let fitting = runs.iter().filter(|run| filter.fits(run)).map(|run| run.id.as_str());
            assert_eq!(
                self.list(&filter, None, u32::MAX),
                fitting.collect::<Vec<_>>(),
                "{}: {filter:?}",
                self.name
            );
        }
    }

    /// Runs in many states: one lives, one waits, one has failed, one was cancelled, one completed.
    fn with_runs(&mut self) {
        self.apply(start("a", 1));
        self.apply(start_later("B", Some(20), Some("a")));
        for (id, parent) in [("a'--", None), ("ä", Some("a")), ("👩‍🚀", Some("ä"))] {
            let Op::Start(start) = start(id, 1) else { unreachable!() };
            let (name, parent) = (format!("name of {id}"), parent.map(workflow));
            self.apply(Op::Start(Start { at: at(2), name, parent, ..start }));
        }
        let epoch = |bench: &mut Self, id| bench.run(id).epoch;
        let failed = epoch(self, "a'--");
        self.apply(finish("a'--", failed, End::Failed("1".into())));
        let done = epoch(self, "ä");
        self.apply(completed("ä", done, "1"));
        let waits = epoch(self, "👩‍🚀");
        self.apply(wait("👩‍🚀", waits, 30));
    }
}

#[test]
fn what_fits_is_found_page_by_page_from_anywhere() {
    each_store(|bench| {
        bench.with_runs();
        bench.check_filters();
        let runs = bench.runs();
        for filter in filters() {
            for after in IDS.into_iter().chain(["", "b", "\u{10ffff}"]) {
                let fits = |run: &&RunRecord| filter.fits(run) && run.id.as_str() > after;
                let fitting: Vec<_> = runs.iter().filter(fits).map(|run| run.id.as_str()).collect();
                for limit in 1..4 {
                    assert_eq!(
                        bench.list(&filter, Some(after), limit),
                        fitting,
                        "{filter:?} after {after:?}"
                    );
                }
            }
        }
    });
}

#[test]
fn each_condition_counts_by_itself() {
    each_store(|bench| {
        bench.with_runs();
        bench.apply(ask("👩‍🚀", Wanted::Pause, None));
        let mut check =
            |filter: Filter, ids: &[&str]| assert_eq!(bench.list(&filter, None, 9), ids, "{filter:?}");
        let all = Filter::all;
        check(all().status(RunStatus::Failed), &["a'--"]);
        check(all().status(RunStatus::Paused).status(RunStatus::Completed), &["ä", "👩‍🚀"]);
        check(all().name("fulfil"), &["B", "a"]);
        check(all().id_prefix("a"), &["a", "a'--"]);
        check(all().parent(&workflow("a")), &["B", "ä"]);
        check(all().created_from(at(2)), &["a'--", "ä", "👩‍🚀"]);
        check(all().created_before(at(2)), &["B", "a"]);
        check(all().updated_from(at(6)), &["👩‍🚀"]);
        check(all().updated_before(at(4)), &["B", "a"]);
        check(all().waiting(), &["B"]);
    });
}

#[test]
fn what_is_written_between_two_pages_moves_no_other_run() {
    each_store(|bench| {
        bench.with_runs();
        let page = bench.reader.runs(&Filter::all(), None, 3).unwrap();
        let ids: Vec<_> = page.runs.iter().map(|run| run.as_ref().unwrap().id.as_str()).collect();
        assert_eq!(ids, ["B", "a", "a'--"]);
        for id in ["a", "a'--", "ä"] {
            let epoch = bench.run(id).epoch;
            bench.apply(reset(id, epoch));
        }
        let next = bench.reader.runs(&Filter::all(), Some(b"a'--"), 3).unwrap();
        assert_eq!(next.runs.len(), 1);
        assert_eq!(next.runs[0].as_ref().unwrap().id.as_str(), "👩‍🚀");
    });
}
