//! One value under one key, made durable again and again: what waits for it goes on once it is.
//!
//! While one version is being saved, changes gather for the next; so a burst of changes costs two saves, not many.

use tutti_model::BootTime;

use crate::{io::Ticket, limits::RETRY};

#[derive(Debug)]
pub(super) struct Durable<W> {
    pub(super) key: &'static str,
    saving: Option<(Ticket, Vec<W>)>,
    waiting: Vec<W>,
    dirty_since: Option<BootTime>,
    not_before: BootTime,
}

impl<W> Durable<W> {
    pub(super) fn new(key: &'static str) -> Self {
        Self { key, saving: None, waiting: Vec::new(), dirty_since: None, not_before: BootTime::ZERO }
    }

    /// It has changed; nobody waits for that to be durable.
    pub(super) fn changed(&mut self, now: BootTime) {
        self.dirty_since.get_or_insert(now);
    }

    /// It has changed; `waiter` goes on once that is durable.
    pub(super) fn changed_for(&mut self, now: BootTime, waiter: W) {
        self.changed(now);
        self.waiting.push(waiter);
    }

    pub(super) fn waiters(&self) -> usize {
        self.waiting.len() + self.saving.as_ref().map_or(0, |(_, waiting)| waiting.len())
    }

    /// Whether it is to be saved now, given how long it may wait for more changes. If so, saving has begun.
    pub(super) fn begin(
        &mut self,
        now: BootTime,
        pace: std::time::Duration,
        ticket: impl FnOnce() -> Ticket,
    ) -> Option<Ticket> {
        if self.due(pace)? > now {
            return None;
        }
        let ticket = ticket();
        self.dirty_since = None;
        self.saving = Some((ticket, std::mem::take(&mut self.waiting)));
        Some(ticket)
    }

    /// When it is to be saved.
    pub(super) fn due(&self, pace: std::time::Duration) -> Option<BootTime> {
        let since = self.dirty_since.filter(|_| self.saving.is_none())?;
        Some((since + pace).max(self.not_before))
    }

    /// Saving ended well: whoever waited for it.
    pub(super) fn saved(&mut self, ticket: Ticket) -> Option<Vec<W>> {
        let (_, waiting) = self.saving.take_if(|(saving, _)| *saving == ticket)?;
        Some(waiting)
    }

    /// Saving failed: whoever waited in vain. It is tried again in a while.
    pub(super) fn failed(&mut self, now: BootTime, ticket: Ticket) -> Option<Vec<W>> {
        let waiting = self.saved(ticket)?;
        self.changed(now);
        self.not_before = now + RETRY;
        Some(waiting)
    }
}
