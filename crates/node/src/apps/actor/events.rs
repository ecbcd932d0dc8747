//! What an app at its home handles, and what follows from that: lines of its log, effects, timers.

use std::time::Instant;

use tutti_app::{
    effects::Receiver,
    home::{self, Incoming, Output},
    runtime::host::{Act, Event, Level},
};
use tutti_control::{AppLevel, AuditWhat};
use tutti_model::Reading;

use super::{Actor, NOBODY};
use crate::apps::effects::Body;

/// How many events in a row may be given up before the app is not begun again by itself.
const MAX_POISONED: u8 = 5;

impl Actor {
    pub(super) fn on_reading(&mut self, name: String, reading: Reading) {
        if self.live.as_ref().is_some_and(|live| live.follows.contains_key(&name)) {
            self.home(home::Input::Event(Incoming { origin: None, event: Event::Reading(name, reading) }));
        }
    }

    /// Queues the timers that are due.
    pub(super) fn ring_timers(&mut self) {
        let (now, wall) = (self.now(), self.shared.clock.wall());
        let Some(live) = &mut self.live else { return };
        let Some(running) = &live.running else { return };
        let due: Vec<u32> = running.kept().timers.iter().filter(|(_, at)| **at <= wall).map(|(id, _)| *id).collect();
        let mut rang = false;
        for id in due {
            if live.ringing.insert(id) {
                rang = true;
                let event = Incoming { origin: None, event: Event::Timer(id) };
                live.home.handle(now, home::Input::Event(event));
            }
        }
        if rang {
            self.settle();
        }
    }

    pub(super) fn on_home(&mut self, output: Output<Event>) {
        match output {
            Output::Run(event) => self.handle_event(&event),
            // Said again: by this home when it may, by who waits for it, or by the next.
            Output::Ack(_) | Output::Refuse(..) | Output::Send(_) if !self.may_leave() => {}
            Output::Persist(ticket, kept) => self.persist_state(ticket, kept),
            Output::Restore => self.begin_anew(),
            Output::Ack(origin) => {
                self.shared.applied(origin.from, origin.home.home, Receiver::Instance(self.id), origin.id)
            }
            Output::Refuse(origin, by) => self.shared.superseded(origin.from, origin.home.home, by),
            Output::Busy(incoming) => {
                // Who wants it acknowledged says it again; a timer goes off again; of readings a later one comes.
                if let (Event::Timer(id), Some(live)) = (&incoming.event, &mut self.live) {
                    live.ringing.remove(id);
                }
            }
            Output::Send(effect) => {
                let Some(epoch) = self.live.as_ref().map(|live| live.epoch) else { return };
                self.carry(epoch, effect);
            }
            Output::Poisoned(event) => {
                let what = match &event {
                    Event::Timer(id) => format!("timer {id}"),
                    Event::Reading(name, _) => format!("a reading of {name}"),
                    Event::Key(name, _) => format!("a key at {name}"),
                    Event::Pointer(name, ..) => format!("a pointer at {name}"),
                    Event::Message(from, _) => format!("a message of {from}"),
                    Event::Changed(name, _) => format!("a change of {name}"),
                    Event::Started => "its beginning".into(),
                    Event::Resumed => "going on".into(),
                };
                self.note(AppLevel::System, format!("{what} ended it {} times and is left out", home::MAX_TRAPS));
                let Some(live) = &mut self.live else { return };
                live.poisoned += 1;
                if let Event::Timer(id) = event {
                    live.ringing.remove(&id);
                    if let Some(running) = &mut live.running {
                        running.forget_timer(id);
                    }
                }
                if live.poisoned >= MAX_POISONED || event == Event::Started {
                    let why = self.reason.clone().unwrap_or_else(|| "it ends itself again and again".into());
                    self.fail(why);
                }
            }
            Output::Paused(kept) => {
                let Some(live) = &mut self.live else { return };
                if let Some(reply) = live.stopping.take() {
                    self.live = None;
                    self.note(AppLevel::System, "it was stopped".into());
                    let _ = reply.send(Ok(self.seen()));
                } else {
                    self.at_rest(kept);
                }
            }
            Output::Stale(by) => {
                // Who that is tells it by an owner's word.
                let text = format!("a receiver knows of a later home of it, on {}", self.shared.name_of(by.home));
                self.note(AppLevel::System, text);
            }
        }
    }

    fn handle_event(&mut self, event: &Event) {
        // Whatever else waits: what an owner has taken back is not used for one more event.
        self.recheck();
        let Some(live) = &mut self.live else { return };
        let wait = live.share.wait();
        if !wait.is_zero() {
            // It alone waits: this thread is its own.
            std::thread::sleep(wait);
        }
        let begun = Instant::now();
        let result = match &mut live.running {
            Some(running) => {
                let _ticking = self.shared.engines.ticking();
                running.handle(event)
            }
            None => Err(tutti_app::runtime::Trap { reason: "it is not there".into() }),
        };
        live.share.used(begun.elapsed());
        if let Event::Timer(id) = event {
            live.ringing.remove(id);
        }
        let now = self.shared.clock.now();
        let did = match result {
            Ok(did) => did,
            Err(trap) => {
                live.running = None;
                live.ringing.clear();
                self.restarts += 1;
                self.reason = Some(trap.to_string());
                self.note(AppLevel::System, trap.to_string());
                if let Some(live) = &mut self.live {
                    live.home.handle(now, home::Input::Trapped);
                }
                return;
            }
        };
        live.events += 1;
        live.poisoned = 0;
        let follows = live.running.as_ref().map(|running| &running.kept().follows);
        if let Some(follows) = follows.filter(|follows| **follows != live.follows) {
            live.follows = follows.clone();
            live.binder.follow(&live.follows);
        }
        for (level, text) in did.log {
            let level = match level {
                Level::Debug => AppLevel::Debug,
                Level::Info => AppLevel::Info,
                Level::Warn => AppLevel::Warn,
                Level::Error => AppLevel::Error,
            };
            self.note(level, text);
        }
        let effects: Vec<_> = did.acts.into_iter().filter_map(|act| self.effect_of(act)).collect();
        if let Some(live) = &mut self.live {
            live.home.handle(now, home::Input::Ran(effects));
        }
    }

    /// What an app wants done, with whom it is to be done.
    fn effect_of(&self, act: Act) -> Option<(Receiver, Vec<u8>)> {
        let live = self.live.as_ref()?;
        match act {
            Act::Set { name, value } => {
                let resource = live.binder.resource(&name)?;
                self.audit(AuditWhat::Set, format!("{} to {value}", live.binder.label(&name)));
                Some((Receiver::Resource(resource), Body::Set(value).emit()))
            }
            Act::Show { name, shapes } => {
                let resource = live.binder.resource(&name)?;
                if live.binder.first_use(&name) {
                    self.audit(AuditWhat::Showed, live.binder.label(&name));
                }
                Some((Receiver::Resource(resource), Body::Show(shapes).emit()))
            }
            // What a person told it, it answers to its log.
            Act::Send { to, body } if to == NOBODY => {
                self.note(AppLevel::Info, String::from_utf8_lossy(&body).into_owned());
                None
            }
            Act::Send { to, body } => {
                if live.binder.first_use(&to.to_string()) {
                    self.audit(AuditWhat::Sent, to.to_string());
                }
                Some((Receiver::Instance(to), body))
            }
        }
    }
}
