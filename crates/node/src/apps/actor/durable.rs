//! What of an app at its home is made durable, and read again.

use std::{io, sync::Arc};

use tutti_app::{
    handover::Ticket,
    home::{self, Incoming},
    runtime::{
        Limits,
        host::{self, Event},
    },
    snapshot::{Image, PAGE, Patch},
    standby,
};
use tutti_control::AppLevel;

use super::{Actor, Ask};
use crate::apps::journal::{self, Journal, Kept, max_patch};

/// A state on its way to the disk.
pub(super) struct Writing {
    ticket: Ticket,
    image: Option<Image>,
    kept: Kept,
    step: Arc<Vec<u8>>,
    /// It begins a new journal.
    number: Option<u64>,
}

impl Actor {
    pub(super) fn persist_state(&mut self, ticket: Ticket, kept: home::Kept) {
        let Some(live) = &mut self.live else { return };
        if live.writing.as_ref().is_none_or(|writing| writing.ticket != ticket) {
            let Some(running) = &mut live.running else { return };
            // Nobody has to wait for a whole one while it stands still.
            let resting = self.leaving.as_ref().is_some_and(|leaving| leaving.rest);
            let long = live.journal.as_ref().is_none_or(|journal| journal.is_long() && !resting);
            let host = running.kept().clone();
            let (image, patch) = if running.fresh().is_some() {
                let _ticking = self.shared.engines.ticking();
                let base = live.image.as_ref().filter(|_| !long);
                match running
                    .snapshot(base)
                    .map_err(|error| error.to_string())
                    .and_then(|(image, patch)| Ok((Some(image), patch.emit().map_err(|error| error.to_string())?)))
                {
                    Ok(taken) => taken,
                    Err(why) => return self.fail(format!("its state cannot be taken: {why}")),
                }
            } else {
                (None, Vec::new())
            };
            let events = live.events;
            let kept = Kept { host, home: kept, events, leases: Vec::new(), last: false };
            let step = Arc::new(journal::emit(&kept, &patch));
            let number = long.then(rand::random);
            live.writing = Some(Writing { ticket, image, kept, step, number });
        }
        let (Some(writing), handle) = (&mut live.writing, self.handle.clone()) else { return };
        let journal = live.journal.take();
        if journal.is_none() {
            // A write failed; what it left is not gone on with.
            writing.number.get_or_insert_with(rand::random);
        }
        let path = writing.number.map(|number| self.folder.journal(number));
        let step = writing.step.clone();
        self.shared.runtime.spawn_blocking(move || {
            let written = match (path, journal) {
                (Some(path), _) => Journal::create(&path).and_then(|mut journal| {
                    journal.append(&step)?;
                    Ok(journal)
                }),
                (None, Some(mut journal)) => journal.append(&step).map(|()| journal),
                (None, None) => Err(io::Error::other("the journal is not there")),
            };
            handle.insist(Ask::Wrote(ticket, written));
        });
    }

    pub(super) fn on_wrote(&mut self, ticket: Ticket, result: io::Result<Journal>) {
        let Some(live) = &mut self.live else { return };
        let Some(writing) = live.writing.as_ref().filter(|writing| writing.ticket == ticket) else { return };
        let written = result.and_then(|journal| {
            if let (Some(number), Some(saved)) = (writing.number, &mut self.saved) {
                let before = saved.journal.replace(number);
                if let Err(error) = self.folder.save(saved) {
                    saved.journal = before;
                    return Err(error);
                }
            }
            Ok(journal)
        });
        let input = match written {
            Ok(journal) => {
                live.journal = Some(journal);
                let begun = live.writing.take().is_some_and(|writing| {
                    (live.image, live.durable) = (writing.image, writing.kept);
                    writing.number.is_some()
                });
                let saves = live.durable.home.saves;
                if begun {
                    self.sweep();
                }
                self.keeper.handle(self.now(), standby::Input::Saved(saves));
                home::Input::Persisted(ticket)
            }
            Err(error) => {
                // A step that is not a whole snapshot needs the journal that it follows, which may be torn now.
                let whole = live.writing.as_ref().is_some_and(|writing| writing.number.is_some());
                if !whole && let Err(why) = self.reopen() {
                    return self.fail(why);
                }
                let text = format!("its state cannot be written, and it waits: {error}");
                self.note(AppLevel::System, text.clone());
                self.reason = Some(text);
                home::Input::PersistFailed(ticket)
            }
        };
        self.home(input);
    }

    /// Opens the journal again after a failed write.
    fn reopen(&mut self) -> Result<(), String> {
        let number = self.saved.as_ref().and_then(|saved| saved.journal).ok_or("its journal is not known")?;
        let path = self.folder.journal(number);
        let Some(live) = &mut self.live else { return Ok(()) };
        let opened = Journal::open(&path, max_patch(live.limits.memory), |_| Ok(()));
        live.journal = Some(opened.map_err(|error| format!("its journal cannot be opened again: {error}"))?);
        Ok(())
    }

    /// Begins anew from the state that is durable, after the app ended itself.
    pub(super) fn begin_anew(&mut self) {
        let now = self.now();
        let Some(live) = &mut self.live else { return };
        let _ticking = self.shared.engines.ticking();
        let begun = live.app.start(live.limits, live.binder.world()).map_err(|error| error.to_string());
        let restored = begun.and_then(|mut running| {
            if let Some(image) = &live.image {
                running.restore(image, live.durable.host.clone()).map_err(|error| error.to_string())?;
            }
            Ok(running)
        });
        match restored {
            Ok(running) => {
                live.running = Some(running);
                live.home.handle(now, home::Input::Restored);
                // What was never durable begins as if it was new.
                let again = match live.image {
                    Some(_) => Some(Event::Resumed),
                    None => (live.events > 0).then_some(Event::Started),
                };
                if let Some(event) = again {
                    live.home.handle(now, home::Input::Event(Incoming { origin: None, event }));
                }
            }
            Err(why) => self.fail(why),
        }
    }

    /// The state as it is now, and that of a fresh instance.
    pub(super) fn capture(&mut self) -> Result<(Image, Image), String> {
        let running = self.live.as_mut().and_then(|live| live.running.as_mut()).ok_or("it does not run")?;
        let _ticking = self.shared.engines.ticking();
        let image = running.capture().map_err(|error| error.to_string())?;
        let fresh = running.fresh().ok_or("it cannot be carried")?;
        Ok((image, fresh.clone()))
    }

    /// It does not run here any more. Its memory is given back beside this thread, which has others wait for it.
    pub(super) fn let_live_go(&mut self) {
        let Some(mut live) = self.live.take() else { return };
        let memory = (live.running.take(), live.image.take(), std::mem::take(&mut live.sent));
        drop(live);
        self.shared.runtime.spawn_blocking(move || drop(memory));
    }

    /// What is kept beside it now.
    pub(super) fn host_kept(&self) -> Option<(host::Kept, u64)> {
        let live = self.live.as_ref()?;
        Some((live.running.as_ref()?.kept().clone(), live.events))
    }

    /// What a journal leads to.
    pub(super) fn read_state(
        &self,
        number: u64,
        fresh: Option<Image>,
        limits: Limits,
    ) -> Result<(Journal, Option<Image>, Kept), String> {
        let (mut image, mut kept) = (fresh, Kept::default());
        let journal = Journal::open(&self.folder.journal(number), max_patch(limits.memory), |step| {
            if let Some(before) = image.take().filter(|_| !step.patch.is_empty()) {
                image = Some(follow(&before, &step.patch, limits).map_err(io::Error::other)?);
            }
            kept = step.kept;
            Ok(())
        });
        let journal = journal.map_err(|error| format!("its state cannot be read: {error}"))?;
        Ok((journal, image, kept))
    }
}

/// The image that a patch leads to.
pub(super) fn follow(image: &Image, patch: &[u8], limits: Limits) -> Result<Image, String> {
    let pages = (limits.memory / PAGE) as u32;
    let patch = Patch::parse(patch, pages).map_err(|error| error.to_string())?;
    patch.apply(image).map_err(|error| error.to_string())
}
