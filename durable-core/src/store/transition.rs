//! What each op means for the row of its run. The stores only keep rows; what becomes of them is decided
//! here, so that it is the same in all of them.

use super::{
    Answer, Claim, Disown, End, Epoch, Finish, Release, Rewind, RunRecord, RunStatus, Start, StepRecord,
};
use crate::key::Position;

/// The answer to a start whose id is taken: a repeated start is known by its nonce.
pub(super) fn restart(run: &RunRecord, start: &Start) -> Answer {
    let repeated = run.nonce == start.nonce && run.owner.as_ref() == Some(&start.owner);
    if repeated { Answer::Started(run.epoch) } else { Answer::Exists }
}

pub(super) fn start(start: &Start, epoch: Epoch) -> RunRecord {
    RunRecord {
        id: start.id.clone(),
        name: start.name.clone(),
        status: RunStatus::Running,
        input: start.input.clone(),
        output: None,
        error: None,
        created: start.at,
        updated: start.at,
        owner: Some(start.owner.clone()),
        epoch,
        parent: start.parent.clone(),
        recoveries: 0,
        nonce: start.nonce,
        seed: start.seed,
        fingerprint: start.fingerprint,
        escaped: false,
        edited: false,
    }
}

pub(super) fn claim(run: &mut RunRecord, claim: &Claim, epoch: Epoch) {
    (run.status, run.output, run.error) = (RunStatus::Running, None, None);
    (run.owner, run.epoch, run.updated) = (Some(claim.owner.clone()), epoch, claim.at);
    run.escaped = false;
    run.recoveries = claim.recoveries;
}

/// [`Answer::Done`] if `run` now has that end, also if it had it before.
pub(super) fn finish(run: &mut RunRecord, finish: &Finish) -> Answer {
    let (status, output, error, escaped) = match &finish.end {
        End::Completed(output) => (RunStatus::Completed, Some(output.clone()), None, false),
        End::Failed(error) => (RunStatus::Failed, None, Some(error.clone()), true),
        End::Halted { fault, escaped } => (RunStatus::Halted, None, Some(fault.clone()), *escaped),
    };
    let owned = run.epoch == finish.epoch && run.owner.is_some();
    if owned {
        (run.status, run.output, run.error, run.owner, run.updated) =
            (status, output, error, None, finish.at);
        run.escaped = escaped;
        return Answer::Done;
    }
    let repeated =
        run.epoch == finish.epoch && (run.status, &run.output, &run.error) == (status, &output, &error);
    if repeated { Answer::Done } else { Answer::Fenced }
}

/// [`Answer::Done`] if nobody owns `run` by that ownership any more.
pub(super) fn release(run: &mut RunRecord, release: &Release) -> Answer {
    if run.epoch != release.epoch || run.status != RunStatus::Running {
        return Answer::Fenced;
    }
    if run.owner.take().is_some() {
        (run.error, run.updated) = (release.panicked.clone(), release.at);
        run.escaped = release.panicked.is_some();
    }
    Answer::Done
}

/// [`Answer::Done`] if `run` was this owner's.
pub(super) fn disown(run: &mut RunRecord, disown: &Disown) -> Answer {
    if run.owner.as_ref() != Some(&disown.owner) {
        return Answer::Fenced;
    }
    (run.owner, run.updated) = (None, disown.at);
    Answer::Done
}

pub(super) fn rewind(run: &mut RunRecord, rewind: &Rewind, epoch: Epoch) {
    (run.status, run.output, run.error, run.owner) = (RunStatus::Running, None, None, None);
    (run.epoch, run.updated, run.recoveries, run.escaped) = (epoch, rewind.at, 0, false);
}

/// Whether a rewind to `from` drops `position`: it is there, after it, or the inline child around it.
pub(super) fn is_rewound(position: &Position, from: &Position) -> bool {
    position >= from || from.is_below(position)
}

/// The answer to a record at a position that holds `recorded`.
pub(super) fn record_again(recorded: &StepRecord, step: &StepRecord) -> Answer {
    if recorded == step { Answer::Done } else { Answer::Fenced }
}
