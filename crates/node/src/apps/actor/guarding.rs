//! Checkpoints and fail-over: what [`Keeper`](tutti_app::standby::Keeper) asks for, and the side of its home. [`replica`](super::replica) is the other.
//!
//! A checkpoint is a step of a journal, as the rounds of a move are: the state that was last made durable, against what the standby has, with what is
//! kept beside it. Whoever ends or stops an instance that has a standby ends that first, lest it goes on there.

use tutti_app::{
    handover::{Input as Moved, Standing},
    home,
    ids::Epoch,
    runtime::host,
    snapshot::{Image, Patch},
    standby::{self, Event, Input, Mark, Output, Settings, Terms},
};
use tutti_control::{AppLevel, AuditWhat, ErrorCode, ErrorDetail};
use tutti_model::DeviceId;

use super::{Actor, Ask, Reply, Want, does_not_run, replica::Copied, wrong};
use crate::apps::{
    Shared,
    disk::Saved,
    journal::{self, Kept},
    wire::{self, Answer, CheckpointHead},
};

/// What of an instance its standby has, as far as its home knows.
#[derive(Default)]
pub(super) struct Sent {
    /// It has this.
    there: Option<(Mark, Image)>,
    /// This is on its way, or has just come.
    going: Option<(Mark, Image)>,
}

impl Sent {
    /// The state with this mark, if the standby may have it.
    fn base(&mut self, mark: Mark) -> Option<&(Mark, Image)> {
        if let Some(going) = self.going.take_if(|(going, _)| *going == mark) {
            self.there = Some(going);
        }
        self.there.as_ref().filter(|(there, _)| *there == mark)
    }
}

/// What is under way about run-leases.
#[derive(Default)]
pub(super) struct Guarding {
    /// Who wants it to have a standby.
    asked: Option<Reply>,
    /// What a person wants once it has none.
    after: Option<(Want, Reply)>,
    /// The checkpoint that is being sent.
    sending: Option<Mark>,
    /// Why there was none to send, as it was said.
    trouble: Option<String>,
    /// At a standby: who is about to ask, and the package.
    pub(super) expected: Option<(DeviceId, [u8; 32])>,
    /// At a standby: what is on its disk.
    pub(super) copied: Option<Copied>,
}

impl Guarding {
    /// Somebody is answered when it has a standby, or will not get one.
    pub(super) fn wait(&mut self, reply: Reply) {
        self.asked = Some(reply);
    }
}

impl Shared {
    /// Sees to it that a device could go on with an instance of a package: it has it, may run it, and has room.
    pub(in crate::apps) async fn offer_to_guard(
        self: &std::sync::Arc<Self>,
        to: DeviceId,
        instance: Option<tutti_app::ids::InstanceId>,
        package: [u8; 32],
    ) -> Result<(), String> {
        self.bring_package(to, package, |_| {}).await?;
        match self.ask(to, &wire::Ask::Guard(instance, package)).await? {
            Answer::Yes => Ok(()),
            Answer::Never(why) => Err(why),
            _ => Err("it answers what makes no sense".into()),
        }
    }
}

impl Actor {
    /// Its standby, if this is its home.
    pub(super) fn guard(&self) -> Option<Terms> {
        let terms = self.keeper.record().terms;
        terms.filter(|_| matches!(self.standing(), Some(Standing::Home { .. })))
    }

    /// Whether what it did may be told to others now.
    pub(super) fn may_leave(&self) -> bool {
        self.guard().is_none() || self.keeper.may_run(self.now()).is_some()
    }

    pub(super) fn on_keeper(&mut self, output: Output) {
        let now = self.now();
        match output {
            Output::Move(output) => self.on_mover(output),
            Output::Start(epoch) => self.start(epoch),
            Output::Stop => self.rest(home::Input::Pause),
            Output::Halt => {
                self.rest(home::Input::Halt);
                if let Some(live) = &self.live {
                    live.binder.rest();
                }
            }
            Output::Send(to, message) => match message.emit(self.id) {
                Ok(bytes) => self.shared.say_guard(to, bytes),
                Err(error) => tracing::error!(%error, "what a home and its standby say cannot be said"),
            },
            Output::Persist(ticket, record) => {
                let input = match self.persist_guard(record) {
                    Ok(()) => Input::Persisted(ticket),
                    Err(error) => {
                        self.note(AppLevel::System, format!("its record cannot be written: {error}"));
                        Input::PersistFailed(ticket)
                    }
                };
                self.keeper.handle(now, input);
            }
            Output::Checkpoint(to, pact, base) => self.checkpoint(to, pact, base),
            Output::Consider(from, _) => {
                let verdict = self.consider_guarding(from);
                self.keeper.handle(now, Input::Considered(verdict));
            }
            Output::Adopt(epoch) => {
                let input = match self.adopt() {
                    Ok(()) => Input::Adopted(epoch),
                    Err(why) => {
                        self.note(AppLevel::System, format!("it cannot go on here yet: {why}"));
                        Input::NotAdopted
                    }
                };
                self.keeper.handle(now, input);
            }
            Output::Forget => self.forget_replica(),
            Output::Event(event) => self.on_guarded(event),
        }
    }

    fn rest(&mut self, how: home::Input<host::Event>) {
        let now = self.now();
        if let Some(live) = &mut self.live {
            live.home.handle(now, how);
        }
    }

    /// Makes durable what concerns run-leases.
    fn persist_guard(&mut self, record: standby::Record) -> std::io::Result<()> {
        let mut saved = self.saved.clone().unwrap_or_else(Saved::nothing);
        saved.guard = Some(record);
        self.save(saved)
    }

    // --- what people want ------------------------------------------------------------------------------------

    /// A person wants it to have a standby: that device is asked whether it could go on with it, then for a run-lease.
    pub(super) fn begin_guard(&mut self, standby: DeviceId, settings: Settings) -> Result<(), ErrorDetail> {
        // Whoever asked before and waits no longer is in nobody's way.
        if self.guarding.asked.as_ref().is_some_and(|reply| !reply.is_closed()) || self.leaving.is_some() {
            return Err(wrong("its standby or its home is being changed", "wait for that to end"));
        }
        if !self.runs() {
            return Err(does_not_run());
        }
        if standby == self.shared.me {
            return Err(self.shared.runs_there(standby));
        }
        let Some((package, _)) = self.package() else {
            return Err(wrong("its package is not known", ""));
        };
        let (shared, handle, id) = (self.shared.clone(), self.handle.clone(), self.id);
        self.shared.runtime.spawn(async move {
            let ready = shared.offer_to_guard(standby, Some(id), package).await;
            handle.tell(Ask::StandbyReady(standby, settings, ready));
        });
        Ok(())
    }

    pub(super) fn on_standby_ready(&mut self, standby: DeviceId, settings: Settings, result: Result<(), String>) {
        match result {
            Ok(()) => {
                // It has just answered, whether or not the news of its session has come here.
                if self.shared.is_connected(standby) {
                    self.mover(Moved::PeerUp(standby));
                }
                self.keep(Input::Guard(standby, settings));
            }
            Err(why) => {
                let what = format!("{} cannot be its standby: {why}", self.shared.name_of(standby));
                self.answer_guard(Err(ErrorDetail::new(ErrorCode::DoesNotFit, what, "name another device")));
            }
        }
    }

    fn answer_guard(&mut self, result: Result<(), ErrorDetail>) {
        if let Some(reply) = self.guarding.asked.take() {
            let _ = reply.send(result.map(|()| self.seen()));
        }
    }

    /// It is to be stopped or ended: its standby lets go of it first.
    pub(super) fn unguard_for(&mut self, want: Want, reply: Reply) {
        if self.guarding.after.is_some() {
            let busy = ErrorDetail::new(ErrorCode::Busy, "its standby is being taken away", "wait for that to end");
            let _ = reply.send(Err(busy));
            return;
        }
        self.guarding.after = Some((want, reply));
        self.keep(Input::Unguard);
    }

    /// What people are told.
    fn on_guarded(&mut self, event: Event) {
        let name = |device: DeviceId| self.shared.name_of(device);
        let standby = self.keeper.record().terms.map(|terms| name(terms.standby)).unwrap_or_default();
        match event {
            Event::Guarded(device) => {
                let foretold = self.guard().map(|terms| terms.settings.foretell().to_string()).unwrap_or_default();
                self.note(AppLevel::System, format!("{} is its standby: it {foretold}", name(device)));
                self.answer_guard(Ok(()));
            }
            Event::Unguarded(None) => {
                self.note(AppLevel::System, "it has no standby any more".into());
                let gone = "its standby was taken away meanwhile";
                self.answer_guard(Err(wrong(gone, "name one again")));
                if let Some((want, reply)) = self.guarding.after.take() {
                    self.on_person(want, reply);
                }
            }
            Event::Unguarded(Some(why)) => {
                self.note(AppLevel::System, format!("about its standby: {why}"));
                let error = || wrong(why.to_string(), "`tutti app ls` shows it");
                if let Some((_, reply)) = self.guarding.after.take() {
                    let _ = reply.send(Err(error()));
                }
                self.answer_guard(Err(error()));
            }
            Event::Alone => {
                let text = format!("its standby {standby} does not answer, and its run-lease is over");
                self.note(AppLevel::System, text);
            }
            Event::Behind => {
                let text = format!("it waits until {standby} has what it did, lest more than was agreed can be lost");
                self.note(AppLevel::System, text);
            }
            Event::TookOver { mark, heard, .. } => {
                let from = name(mark.epoch.home);
                let text = match heard.saturating_sub(mark.saves) {
                    0 => format!("{from} was silent: it goes on here, with all that {from} is known to have saved"),
                    more => format!("{from} was silent: it goes on here, without the last {more} saves of {from}"),
                };
                self.note(AppLevel::System, text.clone());
                self.audit(AuditWhat::Arrived, text);
            }
            Event::Succeeded { by, from, saves, both } => {
                let lost = from.map_or(String::new(), |mark| {
                    format!("; this copy has {} saves that the other has not", saves.saturating_sub(mark.saves))
                });
                let both = if both { ", and both ran for a while" } else { "" };
                let text = format!("{} has taken over meanwhile{both}{lost}", name(by.home));
                self.note(AppLevel::System, text.clone());
                self.reason = Some(text);
            }
        }
    }

    // --- checkpoints -----------------------------------------------------------------------------------------

    fn checkpoint(&mut self, to: DeviceId, pact: u64, base: Option<Mark>) {
        match self.make_checkpoint(pact, base) {
            Ok((head, step)) => {
                (self.guarding.sending, self.guarding.trouble) = (Some(head.mark), None);
                let (shared, id, handle) = (self.shared.clone(), self.id, self.handle.clone());
                let sending = async move { shared.send_checkpoint(to, id, head, step, handle).await };
                self.shared.runtime.spawn(sending);
            }
            Err(why) => {
                let text = format!("its standby gets nothing: {why}");
                if self.guarding.trouble.as_ref() != Some(&text) {
                    self.note(AppLevel::System, text.clone());
                    self.guarding.trouble = Some(text);
                }
                self.keeper.handle(self.now(), Input::NotSent);
            }
        }
    }

    fn make_checkpoint(&mut self, pact: u64, base: Option<Mark>) -> Result<(CheckpointHead, Vec<u8>), String> {
        let Some(Standing::Home { epoch }) = self.standing().cloned() else { return Err("it is not here".into()) };
        let (package, _) = self.package().ok_or("its package is not known")?;
        let (mark, base, kept, patch) = match &mut self.live {
            Some(live) => {
                let image = live.image.clone().ok_or("nothing of it is durable yet")?;
                let kept = live.durable.clone();
                let mark = Mark { epoch, saves: kept.home.saves };
                let (base, patch) = match base.and_then(|mark| live.sent.base(mark)) {
                    Some((mark, before)) => (Some(*mark), image.since(before)),
                    None => {
                        let fresh = live.running.as_ref().and_then(|running| running.fresh());
                        (None, image.since(fresh.ok_or("it is being begun anew")?))
                    }
                };
                live.sent.going = Some((mark, image));
                (mark, base, kept, patch)
            }
            None => self.checkpoint_of_disk(epoch)?,
        };
        let patch = patch.emit().map_err(|error| error.to_string())?;
        let kept = Kept { leases: Vec::new(), last: false, ..kept };
        Ok((CheckpointHead { pact, mark, base, package }, journal::emit(&kept, &patch)))
    }

    /// It does not run yet: what is on the disk goes, whole.
    fn checkpoint_of_disk(&self, epoch: Epoch) -> Result<(Mark, Option<Mark>, Kept, Patch), String> {
        let saved = self.saved.as_ref().ok_or("nothing of it is durable yet")?;
        let number = saved.journal.ok_or("nothing of it is durable yet")?;
        let (fresh, limits) = self.fresh_of(&saved.package)?;
        let (_, image, kept) = self.read_state(number, Some(fresh.clone()), limits)?;
        let image = image.ok_or("it cannot be carried")?;
        Ok((Mark { epoch, saves: kept.home.saves }, None, kept, image.since(&fresh)))
    }

    /// The state of a fresh instance of a package.
    pub(super) fn fresh_of(&self, package: &[u8; 32]) -> Result<(Image, tutti_app::runtime::Limits), String> {
        let (package, app, limits) = self.shared.runnable(package)?;
        let (running, _binder) = self.fresh(&package, &app, limits).map_err(|error| error.to_string())?;
        let fresh = running.fresh().cloned().ok_or("it cannot be carried")?;
        Ok((fresh, limits))
    }

    pub(super) fn on_checkpoint_sent(&mut self, mark: Mark, result: Result<(), String>) {
        if self.guarding.sending != Some(mark) {
            return;
        }
        match result {
            Ok(()) => self.keep(Input::Sent),
            Err(why) => {
                tracing::debug!(instance = %self.id, "a checkpoint did not arrive: {why}");
                self.guarding.sending = None;
                self.keep(Input::NotSent);
            }
        }
    }
}
