//! What the machine of moves asks for, and what becomes of moves.

use std::{
    io,
    time::{Duration, Instant},
};

use tutti_app::{
    handover::{Event as Moved, Input, Message, Output, Record, Standing, Warrant},
    standby,
};
use tutti_control::{AppLevel, AuditWhat, MovePhase};
use tutti_model::DeviceId;

use super::Actor;
use crate::apps::disk::Saved;

impl Actor {
    /// Whether what another device says about branches is by an owner's word.
    pub(super) fn is_lawful(&self, message: &Message) -> bool {
        let owners = |warrant: &Warrant, branch: u32| {
            warrant.verify(self.id, branch).is_ok() && self.shared.is_owner(warrant.owner)
        };
        match message {
            Message::Supersede(epoch, warrant) => owners(warrant, epoch.branch),
            Message::Offer(offer) if offer.epoch.branch > 0 => {
                offer.claim.as_ref().is_some_and(|claim| owners(&claim.warrant, offer.epoch.branch))
            }
            _ => true,
        }
    }

    pub(super) fn on_mover(&mut self, output: Output) {
        match output {
            Output::Send(to, message) => match message.emit(self.id) {
                Ok(bytes) => self.shared.say(to, bytes),
                Err(error) => tracing::error!(%error, "a step of a move cannot be said"),
            },
            Output::Persist(ticket, record) => {
                let input = match self.persist_record(record) {
                    Ok(()) => Input::Persisted(ticket),
                    Err(error) => {
                        self.note(AppLevel::System, format!("its record cannot be written: {error}"));
                        Input::PersistFailed(ticket)
                    }
                };
                // The caller goes on until nothing is asked for.
                self.keeper.handle(self.now(), standby::Input::Move(input));
            }
            Output::Consider(from, offer) => self.consider(from, offer),
            Output::Copy(attempt, to) => self.copy(attempt, to),
            Output::Reserve(attempt, to) => self.reserve(attempt, to),
            Output::SendRest(attempt, _) => {
                if let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt) {
                    leaving.rest = true;
                    leaving.phase = MovePhase::Pausing;
                    leaving.rested = Some(Instant::now());
                }
            }
            Output::Release(attempt) => self.release(attempt),
            // These are the keeper's.
            Output::Start(_) | Output::Stop => {}
            Output::Remove => {
                self.live = None;
                if let Some(saved) = &mut self.saved {
                    saved.journal = None;
                }
                self.sweep();
            }
            Output::Event(event) => self.on_moved(event),
        }
    }

    /// Makes the record durable, and with it which journal is the state. The app does not run here any more before a record says so.
    fn persist_record(&mut self, record: Record) -> io::Result<()> {
        if !matches!(record.standing, Standing::Home { .. }) {
            self.let_live_go();
        }
        let gone = matches!(record.standing, Standing::Gone { .. });
        if gone && let Some(leaving) = &mut self.leaving {
            leaving.settled.get_or_insert_with(Instant::now);
        }
        let arrived = match record.standing {
            Standing::Prepared { attempt, .. } => self.arriving.as_ref().filter(|it| it.attempt == attempt),
            _ => None,
        };
        let mut saved = match (arrived, &self.saved) {
            (Some(arriving), before) => arriving.saved(before.as_ref()),
            (None, Some(saved)) => saved.clone(),
            (None, None) => Saved::nothing(),
        };
        if gone {
            saved.journal = None;
        }
        saved.record = Some(record);
        let begun = Instant::now();
        self.save(saved)?;
        if let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.recorded.is_zero()) {
            leaving.recorded = begun.elapsed();
        }
        Ok(())
    }

    fn on_moved(&mut self, event: Moved) {
        let name = |device: DeviceId| self.shared.name_of(device);
        match event {
            Moved::NotMoved(attempt, because) => {
                if self.leaving.as_ref().is_some_and(|leaving| leaving.attempt == attempt) {
                    let to = self.leaving.as_ref().map(|leaving| name(leaving.to)).unwrap_or_default();
                    self.not_moved(format!("it was not moved to {to}: {because}"));
                }
            }
            Moved::Decided(_, to) => {
                let text = format!("it is {}'s now; waiting for it to say so", name(to));
                self.note(AppLevel::System, text);
            }
            Moved::Moved(_, to) => {
                self.shared.heard_of(to, self.describe_there(to));
                let mut text = name(to);
                let paused = self.leaving.take().and_then(|it| Some((it.settled? - it.rested?, it.recorded)));
                if let Some((paused, recorded)) = paused {
                    let millis = |it: Duration| it.as_secs_f64() * 1e3;
                    let (paused, recorded) = (millis(paused), millis(recorded));
                    text.push_str(&format!(
                        "; it stood still for {paused:.2} ms, its record here took {recorded:.2} ms"
                    ));
                }
                self.note(AppLevel::System, format!("it has moved to {text}"));
                self.audit(AuditWhat::Left, text);
            }
            Moved::LostAtTarget(to) => {
                let text = format!(
                    "{} has lost what it was sent; `tutti app recover --accept-loss` goes on from the copy here",
                    name(to)
                );
                self.reason = Some(text.clone());
                self.note(AppLevel::System, text);
            }
            Moved::Superseded(by) => {
                let text = format!("an owner gave this copy up; {} goes on with another", name(by.home));
                self.reason = Some(text.clone());
                self.note(AppLevel::System, text);
            }
            Moved::Refused(because) => {
                if self.leaving.as_ref().is_some_and(|leaving| leaving.phase == MovePhase::Asking) {
                    self.not_moved(because.to_string());
                }
                self.refused = Some(because);
            }
        }
    }
}
