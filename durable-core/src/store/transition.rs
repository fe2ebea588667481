//! What each op means for the row of its run. The stores only keep rows; what becomes of them is decided
//! here, so that it is the same in all of them.

use super::{
    Answer, Ask, Awaits, Claim, Disown, End, Epoch, EventRecord, Finish, Fork, Kind, Message, MessageRecord,
    Publish, Release, Reopen, Rewind, RunRecord, RunStatus, Start, StepRecord, StepStatus, Token, Wanted,
};
use crate::clock::Timestamp;
use crate::key::Position;

/// The answer to a start whose id is taken: a repeated start is known by its nonce.
pub(super) fn restart(run: &RunRecord, start: &Start) -> Answer {
    let repeated = run.nonce == start.nonce && run.owner == start.owner;
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
        owner: start.owner.clone(),
        epoch,
        parent: start.parent.clone(),
        recoveries: 0,
        nonce: start.nonce,
        seed: start.seed,
        fingerprint: start.fingerprint,
        escaped: false,
        wake_at: start.wake_at,
        wanted: None,
        awaits: None,
        begins: start.wake_at,
        deadline: start.deadline,
        version: start.version,
        edited: false,
    }
}

pub(super) fn claim(run: &mut RunRecord, claim: &Claim, epoch: Epoch) {
    forget_deadline(run);
    (run.status, run.output, run.error) = (RunStatus::Running, None, None);
    (run.owner, run.epoch, run.updated) = (Some(claim.owner.clone()), epoch, claim.at);
    (run.escaped, run.recoveries, run.wake_at, run.awaits) = (false, claim.recoveries, None, None);
}

/// [`Answer::Done`] if `run` now has that end, also if it had it before.
pub(super) fn finish(run: &mut RunRecord, finish: &Finish) -> Answer {
    let (status, output, error, escaped) = match &finish.end {
        End::Completed(output) => (RunStatus::Completed, Some(output.clone()), None, false),
        End::Failed(error) => (RunStatus::Failed, None, Some(error.clone()), true),
        End::Halted { fault, escaped } => (RunStatus::Halted, None, Some(fault.clone()), *escaped),
        End::Asked(wanted) => (asked_status(*wanted), None, None, false),
    };
    let owned = run.epoch == finish.epoch && run.owner.is_some();
    if owned {
        (run.status, run.output, run.error, run.owner, run.updated) =
            (status, output, error, None, finish.at);
        (run.escaped, run.wanted) = (escaped, None);
        return Answer::Done;
    }
    let repeated =
        run.epoch == finish.epoch && (run.status, &run.output, &run.error) == (status, &output, &error);
    if repeated { Answer::Done } else { Answer::Fenced }
}

/// [`Answer::Done`] if nobody owns `run` by that ownership any more.
pub(super) fn release(run: &mut RunRecord, release: &Release) -> Answer {
    // What was asked of it meanwhile has ended it with the first of two releases.
    let repeated = run.owner.is_none() && matches!(run.status, RunStatus::Cancelled | RunStatus::Paused);
    if run.epoch != release.epoch || run.status != RunStatus::Running && !repeated {
        return Answer::Fenced;
    }
    if run.owner.take().is_some() {
        (run.error, run.updated) = (release.panicked.clone(), release.at);
        (run.escaped, run.wake_at) = (release.panicked.is_some(), release.wake_at);
        run.awaits = release.awaits.as_ref().map(Awaits::token);
        heed(run);
    }
    Answer::Done
}

/// The state of a run that has done what was asked of it.
fn asked_status(wanted: Wanted) -> RunStatus {
    match wanted {
        Wanted::Cancel => RunStatus::Cancelled,
        Wanted::Pause => RunStatus::Paused,
    }
}

/// What was asked of a run that nobody executes any more is done.
fn heed(run: &mut RunRecord) {
    if let Some(wanted) = run.wanted.take() {
        (run.status, run.wake_at, run.error, run.escaped) = (asked_status(wanted), None, None, false);
        run.awaits = None;
    }
}

/// [`Answer::Done`] if `run` was this owner's.
pub(super) fn disown(run: &mut RunRecord, disown: &Disown) -> Answer {
    if run.owner.as_ref() != Some(&disown.owner) {
        return Answer::Fenced;
    }
    (run.owner, run.updated, run.wake_at, run.awaits) = (None, disown.at, disown.wake_at, None);
    heed(run);
    Answer::Done
}

/// What became of a question to one run.
pub(super) enum Asked {
    /// It is as it was asked for.
    Done,
    /// Its owner is to heed it.
    Owned,
    /// It has ended otherwise.
    Ended,
}

pub(super) fn ask(run: &mut RunRecord, ask: &Ask) -> Asked {
    let wanted = asked_status(ask.wanted);
    let cancels = ask.wanted == Wanted::Cancel;
    match run.status {
        status if status == wanted => Asked::Done,
        RunStatus::Running if run.owner.is_some() && run.owner != ask.dead => {
            // Who is to end has no need to pause.
            if run.wanted != Some(Wanted::Cancel) {
                run.wanted = Some(ask.wanted);
            }
            Asked::Owned
        }
        RunStatus::Running => {
            (run.owner, run.wanted, run.updated) = (None, Some(ask.wanted), ask.at);
            heed(run);
            Asked::Done
        }
        RunStatus::Halted | RunStatus::Paused if cancels => {
            (run.wanted, run.updated) = (Some(ask.wanted), ask.at);
            heed(run);
            Asked::Done
        }
        _ => Asked::Ended,
    }
}

/// Who opens a cancelled run again does not want it cancelled at once by its deadline.
fn forget_deadline(run: &mut RunRecord) {
    run.deadline.take_if(|_| run.status == RunStatus::Cancelled);
}

/// Whether the run has not ended by its deadline, and is to be asked to.
pub(super) fn is_expired(run: &RunRecord, now: Timestamp) -> bool {
    let is_open = run.status == RunStatus::Running && run.wanted != Some(Wanted::Cancel);
    is_open && run.deadline.is_some_and(|deadline| deadline <= now)
}

pub(super) fn reopen(run: &mut RunRecord, reopen: &Reopen) -> Answer {
    forget_deadline(run);
    match run.status {
        RunStatus::Completed => return Answer::Lost,
        // Somebody executes it.
        RunStatus::Running if run.owner.is_some() => return Answer::Done,
        RunStatus::Cancelled | RunStatus::Paused => {
            (run.status, run.error, run.recoveries) = (RunStatus::Running, None, 0);
        }
        RunStatus::Running | RunStatus::Failed | RunStatus::Halted => {}
    }
    (run.wake_at, run.updated, run.awaits) = (Some(reopen.at), reopen.at, None);
    Answer::Done
}

pub(super) fn rewind(run: &mut RunRecord, rewind: &Rewind, epoch: Epoch) {
    forget_deadline(run);
    (run.status, run.output, run.error, run.owner) = (RunStatus::Running, None, None, None);
    (run.epoch, run.updated, run.recoveries, run.escaped) = (epoch, rewind.at, 0, false);
    (run.wake_at, run.wanted, run.awaits) = (None, None, None);
}

/// Whether a rewind to `from` drops `position`: it is there, after it, or the inline child or race around it.
pub(super) fn is_rewound(position: &Position, from: &Position) -> bool {
    position >= from || from.is_below(position)
}

/// Whether `position` lies in another branch of the race at `race` than the one that decided it.
pub(super) fn has_lost(position: &Position, race: &Position, winner: u32) -> bool {
    position.is_below(race) && position.path().get(race.path().len()) != Some(&winner)
}

/// Whether `step` tells that a message like this was received.
pub(super) fn is_receipt(step: &StepRecord, message: &MessageRecord) -> bool {
    let value = step.output.strip_prefix('[').and_then(|value| value.strip_suffix(']'));
    step.name == message.topic && value == Some(&message.value)
}

/// Whether what is recorded at `position` rests on the message that was received at `receipt`, in its branch of the
/// race at `race`: it is the receipt, comes after it, or is around it.
pub(super) fn rests_on(position: &Position, receipt: &Position, race: &Position) -> bool {
    let (path, received) = (position.path(), receipt.path());
    let branch = race.path().len() + 1;
    if path.len() <= branch || path[..branch] != received[..branch] {
        return false;
    }
    // Numbers stand at even places and order, branches stand at odd ones and run at once.
    let apart = path.iter().zip(received).position(|(a, b)| a != b);
    apart.is_none_or(|at| at % 2 == 0 && path[at] > received[at])
}

/// Whether `step` is what became of an operation that `recorded` says had begun, by the same ownership.
pub(super) fn completes(recorded: &StepRecord, step: &StepRecord) -> bool {
    let is_once = recorded.kind == Kind::Once && step.kind == Kind::Once;
    let same = recorded.name == step.name && recorded.epoch == step.epoch;
    is_once && same && recorded.attempts == 0 && step.attempts > 0
}

/// The new run of a fork of `run`. It began when `run` did, since that is what `now()` tells before the first
/// step; nobody has started it, so it has neither a parent nor a deadline.
pub(super) fn fork(run: &RunRecord, fork: &Fork, epoch: Epoch) -> RunRecord {
    RunRecord {
        id: fork.to.clone(),
        status: RunStatus::Running,
        output: None,
        error: None,
        updated: fork.at,
        owner: None,
        epoch,
        parent: None,
        recoveries: 0,
        nonce: fork.nonce,
        escaped: false,
        wake_at: None,
        wanted: None,
        awaits: None,
        deadline: None,
        edited: false,
        ..run.clone()
    }
}

/// Whether `found` is what a fork of `run` has made, and nobody has executed it.
pub(super) fn is_fork(found: &RunRecord, run: &RunRecord, op: &Fork) -> bool {
    let made = fork(run, op, found.epoch);
    *found == RunRecord { nonce: found.nonce, updated: found.updated, ..made } && found.nonce != run.nonce
}

/// `step` as a fork copies it; `None` if it does not.
pub(super) fn forked(step: StepRecord, fork: &Fork) -> Option<StepRecord> {
    if is_rewound(&step.position, &fork.from) {
        return None;
    }
    Some(match &fork.changed {
        Some((position, output)) if *position == step.position => {
            // One that had only begun has ended like this.
            let (output, attempts) = (output.clone(), step.attempts.max(1));
            StepRecord { status: StepStatus::Completed, output, attempts, edited: true, ..step }
        }
        _ => step,
    })
}

/// The answer to a record at a position that holds `recorded`.
pub(super) fn record_again(recorded: &StepRecord, step: &StepRecord) -> Answer {
    if recorded == step { Answer::Done } else { Answer::Fenced }
}

/// Why a message cannot be put into the mailbox of `run`, if it cannot: a run that has completed does not look.
pub(super) fn refuses_mail(run: Option<&RunRecord>) -> Option<Answer> {
    match run.map(|run| run.status) {
        None => Some(Answer::Undelivered(None)),
        Some(RunStatus::Completed) => Some(Answer::Undelivered(Some(RunStatus::Completed))),
        Some(_) => None,
    }
}

pub(super) fn message(send: &Message, number: i64) -> MessageRecord {
    MessageRecord {
        number,
        workflow: send.to.clone(),
        topic: send.topic.clone(),
        key: send.key.clone(),
        value: send.value.clone(),
        timestamp: send.at,
        received: None,
        edited: false,
    }
}

pub(super) fn event(publish: &Publish) -> EventRecord {
    EventRecord {
        workflow: publish.id.clone(),
        name: publish.name.clone(),
        value: publish.value.clone(),
        timestamp: publish.at,
        edited: false,
    }
}

/// Has `run` taken up if it waits for `token`; whether it did.
pub(super) fn wake(run: &mut RunRecord, token: &Token, at: Timestamp) -> bool {
    let waits = run.awaits.as_ref() == Some(token);
    if waits {
        (run.awaits, run.wake_at) = (None, Some(at));
    }
    waits
}
