//! The side of a move that gives.
//!
//! The package goes first, then rounds of what changed since the round before, all while the app runs; when a round is small, or there were
//! many, the app comes to rest and the last step goes, with what is kept beside the state and the leases.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tutti_app::{
    handover::{Input, Why},
    home,
    ids::Attempt,
    snapshot::{Image, Patch},
};
use tutti_control::{AppLevel, AuditWhat, ErrorCode, ErrorDetail, MovePhase};
use tutti_model::{DeviceId, signed::Signed};

use super::{Actor, Ask, does_not_run, wrong};
use crate::apps::journal::{self, Kept};

/// What is left for the pause if it is not more than this, in bytes.
const SMALL: usize = 256 << 10;
/// After so many rounds the rest is left for the pause, whatever it is.
const ROUNDS: u32 = 10;

/// A move that is under way from here.
pub(super) struct Leaving {
    pub(super) attempt: Attempt,
    pub(super) to: DeviceId,
    pub(super) phase: MovePhase,
    /// The app is to come to rest, and then the last step goes.
    pub(super) rest: bool,
    pub(super) gone: u64,
    /// What is known to have to go, in bytes.
    pub(super) total: Arc<AtomicU64>,
    /// Where steps go; the stream ends when it is dropped.
    steps: Option<mpsc::Sender<Vec<u8>>>,
    /// What the target has.
    there: Option<Image>,
    /// What is on its way to it.
    going: Option<Image>,
    round: u32,
    last: Option<home::Kept>,
    /// When it was to come to rest, how long its own record took since, and when the target said that it runs there.
    pub(super) rested: Option<Instant>,
    pub(super) recorded: Duration,
    pub(super) settled: Option<Instant>,
}

impl Actor {
    /// A person wants it moved: the target gets the package, if it has none.
    pub(super) fn begin_move(&mut self, to: DeviceId) -> Result<(), ErrorDetail> {
        let refuse = |code, what: String, hint: &str| Err(ErrorDetail::new(code, what, hint));
        if to == self.shared.me {
            return Err(wrong("it is there already", ""));
        }
        if !self.runs() {
            return Err(does_not_run());
        }
        if self.leaving.is_some() {
            return refuse(ErrorCode::Busy, "it is being moved".into(), "wait for that to end");
        }
        let Some((digest, _)) = self.package() else {
            return refuse(ErrorCode::Internal, "its package is not known".into(), "");
        };
        let facts = self.shared.packages.find(&digest);
        if let Some(why) = facts.as_ref().and_then(|facts| facts.obstacle.clone()) {
            return refuse(ErrorCode::NotMovable, why, "stop it, and run it anew on the other device");
        }
        if !self.shared.is_connected(to) {
            let what = format!("{} is not reachable now", self.shared.name_of(to));
            return refuse(ErrorCode::Offline, what, "try again when `tutti devices` shows it online");
        }
        let attempt = Attempt(rand::random());
        let size = facts.map_or(0, |facts| facts.size);
        self.leaving = Some(Leaving {
            attempt,
            to,
            phase: MovePhase::Package,
            rest: false,
            gone: 0,
            total: Arc::new(AtomicU64::new(size)),
            steps: None,
            there: None,
            going: None,
            round: 0,
            last: None,
            rested: None,
            recorded: Duration::ZERO,
            settled: None,
        });
        self.reason = None;
        self.note(AppLevel::System, format!("it is to move to {}", self.shared.name_of(to)));
        let (shared, handle) = (self.shared.clone(), self.handle.clone());
        self.shared.runtime.spawn(async move {
            let brought = shared.bring_package(to, digest, |bytes| handle.tell(Ask::Progress(attempt, bytes))).await;
            handle.tell(Ask::PackageThere(attempt, brought));
        });
        Ok(())
    }

    pub(super) fn on_package(&mut self, attempt: Attempt, result: Result<(), String>) {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt) else { return };
        match result {
            Ok(()) => {
                leaving.phase = MovePhase::Asking;
                leaving.gone = 0;
                leaving.total.store(0, Ordering::Relaxed);
                let to = leaving.to;
                let size = self.live.as_ref().and_then(|live| live.image.as_ref()).map_or(0, Image::size);
                let Some((package, _)) = self.package() else { return };
                // It has just answered, whether or not the news of its session has come here.
                if self.shared.is_connected(to) {
                    self.mover(Input::PeerUp(to));
                }
                self.mover(Input::Move { to, attempt, package, size: size as u64 });
            }
            Err(why) => self.not_moved(why),
        }
    }

    /// It came to nothing; it runs on.
    pub(super) fn not_moved(&mut self, why: String) {
        self.leaving = None;
        self.note(AppLevel::System, why.clone());
        self.reason = Some(why);
    }

    pub(super) fn cancel_move(&mut self) -> Result<(), ErrorDetail> {
        match &self.leaving {
            None => Err(wrong("it is not being moved", "")),
            Some(leaving) if leaving.phase == MovePhase::Package => {
                self.not_moved("the move was cancelled".into());
                Ok(())
            }
            Some(_) => {
                self.mover(Input::Cancel);
                match self.refused.take() {
                    Some(because) => Err(wrong(because.to_string(), "")),
                    None => Ok(()),
                }
            }
        }
    }

    pub(super) fn on_progress(&mut self, attempt: Attempt, bytes: u64) {
        if let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt) {
            leaving.gone += bytes;
        }
        self.mover(Input::Progress(attempt));
    }

    /// The target will have it: the stream is opened, and the first round begins.
    pub(super) fn copy(&mut self, attempt: Attempt, to: DeviceId) {
        let (sender, steps) = mpsc::channel(1);
        if let Err(error) = self.folder.ready() {
            // The record is written all the same, or it is said then why not.
            tracing::debug!(instance = %self.id, %error, "its record cannot be made ready");
        }
        if let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt) {
            leaving.phase = MovePhase::Copying;
            leaving.steps = Some(sender);
            let (shared, id, handle) = (self.shared.clone(), self.id, self.handle.clone());
            self.shared.runtime.spawn(async move { shared.send_steps(to, id, attempt, steps, handle).await });
        }
        self.send_round();
    }

    /// Sends what changed since the last round, or says that it is little. The app waits for no more than a comparison with what is known of
    /// its memory: the rest is done beside it.
    fn send_round(&mut self) {
        let taken = self.capture();
        let Some(leaving) = &mut self.leaving else { return };
        let (attempt, round) = (leaving.attempt, leaving.round);
        let (image, fresh) = match taken {
            Ok(taken) => taken,
            Err(why) => {
                self.note(AppLevel::System, format!("its state cannot be copied: {why}"));
                return self.mover(Input::Copied(attempt, Err(Why::Failed)));
            }
        };
        let patch = leaving.there.as_ref().map(|there| image.since(there));
        if round >= ROUNDS || patch.as_ref().is_some_and(|patch| patch.size() <= SMALL) {
            leaving.phase = MovePhase::Reserving;
            return self.mover(Input::Copied(attempt, Ok(())));
        }
        leaving.going = Some(image.clone());
        leaving.round += 1;
        let (Some(steps), total) = (leaving.steps.clone(), leaving.total.clone()) else {
            return self.mover(Input::Copied(attempt, Err(Why::Failed)));
        };
        let host = self.host_kept().map(|(host, _)| host).unwrap_or_default();
        let (kept, handle) = (Kept { host, ..Kept::default() }, self.handle.clone());
        self.shared.runtime.spawn_blocking(move || {
            let patch = patch.unwrap_or_else(|| image.since(&fresh));
            match step_of(&kept, &patch, &total) {
                // If nobody takes it any more, that is said by whoever should have.
                Ok(step) => _ = steps.try_send(step),
                Err(why) => handle.insist(Ask::Sent(attempt, Err(why))),
            }
        });
    }

    fn send_step(&mut self, kept: &Kept, patch: &Patch) -> bool {
        let Some(leaving) = &mut self.leaving else { return false };
        let Ok(step) = step_of(kept, patch, &leaving.total) else { return false };
        leaving.steps.as_ref().is_some_and(|steps| steps.try_send(step).is_ok())
    }

    pub(super) fn on_sent(&mut self, attempt: Attempt, result: Result<(), String>) {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt) else { return };
        match result {
            Ok(()) => {
                if let Some(image) = leaving.going.take() {
                    leaving.there = Some(image);
                }
                if leaving.phase == MovePhase::Copying {
                    self.mover(Input::Progress(attempt));
                    self.send_round();
                }
            }
            Err(why) if leaving.phase == MovePhase::Copying => {
                self.note(AppLevel::System, format!("copying its state broke off: {why}"));
                self.mover(Input::Copied(attempt, Err(Why::Failed)));
            }
            // The machine's own bounds end it.
            Err(_) => {}
        }
    }

    /// Has the leases that it holds reserved for the target.
    pub(super) fn reserve(&mut self, attempt: Attempt, to: DeviceId) {
        let handle = self.handle.clone();
        match &self.live {
            Some(live) => live.binder.reserve(to, move |result| handle.tell(Ask::Reserved(attempt, result))),
            None => self.mover(Input::Reserved(attempt, Err(Why::Failed))),
        }
    }

    /// It is at rest and durable: leases are handed over, if there are any, then the last step goes.
    pub(super) fn at_rest(&mut self, kept: home::Kept) {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.rest) else { return };
        leaving.last = Some(kept);
        let (attempt, handle) = (leaving.attempt, self.handle.clone());
        let asked = self
            .live
            .as_ref()
            .is_some_and(|live| live.binder.hand_over(move |leases| handle.tell(Ask::HandedOver(attempt, leases))));
        if !asked {
            self.send_last(attempt, Vec::new());
        }
    }

    pub(super) fn send_last(&mut self, attempt: Attempt, leases: Vec<Signed>) {
        let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt && leaving.rest) else {
            return;
        };
        let Some(home) = leaving.last.take() else { return };
        let there = leaving.there.take();
        // What is durable is what there is, since nothing was handled after it.
        let durable = self.live.as_ref().and_then(|live| live.image.as_ref());
        let (Some(there), Some(durable)) = (there, durable) else { return self.mover(Input::Cancel) };
        let patch = durable.since(&there);
        let Some((host, events)) = self.host_kept() else { return self.mover(Input::Cancel) };
        let kept = Kept { host, home, events, leases, last: true };
        if !self.send_step(&kept, &patch) {
            return self.mover(Input::Cancel);
        }
        if let Some(leaving) = &mut self.leaving {
            leaving.phase = MovePhase::Committing;
            // Nothing comes behind it.
            leaving.steps = None;
        }
    }

    /// What was reserved or copied for a move is let go.
    pub(super) fn release(&mut self, attempt: Attempt) {
        if self.leaving.as_ref().is_some_and(|leaving| leaving.attempt == attempt) {
            if let Some(live) = &self.live {
                live.binder.keep();
            }
            // Its reason comes with the event; what is sent is cut off with the stream.
            if let Some(leaving) = &mut self.leaving {
                leaving.steps = None;
            }
        }
        self.let_go(attempt);
    }

    /// For the audit log: an offer that was turned away.
    pub(super) fn turned_away(&self, app: &str, why: String) {
        self.shared.audit(app, Some(self.id), AuditWhat::Refused, why);
    }
}

/// A step as bytes, counted among what has to go.
fn step_of(kept: &Kept, patch: &Patch, total: &AtomicU64) -> Result<Vec<u8>, String> {
    let step = journal::emit(kept, &patch.emit().map_err(|error| error.to_string())?);
    total.fetch_add(step.len() as u64, Ordering::Relaxed);
    Ok(step)
}
