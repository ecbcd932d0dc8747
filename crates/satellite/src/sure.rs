//! Delivery in order and once, one message at a time, over links that lose, repeat and reorder.

use core::time::Duration;

use tutti_model::BootTime;

use crate::wire::{Body, Envelope};

/// How long an acknowledgement may take before the message is sent again: first, and at most.
const FIRST: Duration = Duration::from_millis(120);
const MOST: Duration = Duration::from_millis(960);

/// What is under way, without what it borrows: sure bodies borrow nothing.
#[derive(Clone, Copy, Debug)]
struct Out {
    seq: u16,
    body: Body<'static>,
    /// When it is to be sent (again), and how long to wait after that.
    due: BootTime,
    wait: Duration,
}

/// One end of the numbering.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sure {
    out: Option<Out>,
    last_sent: u16,
    last_taken: u16,
    ack_due: bool,
}

/// The number after this one; 0 is for bodies without.
fn after(seq: u16) -> u16 {
    seq.checked_add(1).unwrap_or(1)
}

/// What an arrived number means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Arrived {
    /// It has none, or is the next: take it, and say so with [`Sure::took`].
    Fresh,
    /// It was taken before, or cannot be taken yet.
    Pass,
}

impl Sure {
    /// Whether the next message can be given to it.
    pub(crate) fn is_free(&self) -> bool {
        self.out.is_none()
    }

    /// Whether anything was given to it.
    pub(crate) fn has_sent(&self) -> bool {
        self.last_sent != 0
    }

    pub(crate) fn send(&mut self, now: BootTime, body: Body<'static>) {
        self.last_sent = after(self.last_sent);
        self.out = Some(Out { seq: self.last_sent, body, due: now, wait: FIRST });
    }

    /// Looks at the numbers of an envelope.
    pub(crate) fn arrived(&mut self, envelope: &Envelope<'_>) -> Arrived {
        if self.out.is_some_and(|out| out.seq == envelope.ack) {
            self.out = None;
        }
        match envelope.seq {
            0 => Arrived::Fresh,
            seq if seq == after(self.last_taken) => Arrived::Fresh,
            seq => {
                // The acknowledgement was lost; say it again.
                self.ack_due |= seq == self.last_taken;
                Arrived::Pass
            }
        }
    }

    /// The message with this number was taken.
    pub(crate) fn took(&mut self, seq: u16) {
        if seq != 0 {
            self.last_taken = seq;
            self.ack_due = true;
        }
    }

    /// What is to be sent now, if anything is: its number and body.
    pub(crate) fn poll(&mut self, now: BootTime) -> Option<(u16, Body<'static>)> {
        if let Some(out) = self.out.as_mut().filter(|out| out.due <= now) {
            out.due = now + out.wait;
            out.wait = (out.wait * 2).min(MOST);
            return Some((out.seq, out.body));
        }
        self.ack_due.then_some((0, Body::Ack))
    }

    /// An envelope goes out, whichever, and carries the acknowledgement.
    pub(crate) fn ack(&mut self) -> u16 {
        self.ack_due = false;
        self.last_taken
    }

    pub(crate) fn timeout(&self, now: BootTime) -> Option<BootTime> {
        if self.ack_due { Some(now) } else { self.out.map(|out| out.due) }
    }
}
