//! How both sides find each other through a resource table, lose each other, and start anew.
//!
//! The only word between them besides the rings is the vdev's status byte. The host zeroes the queues, writes where
//! they are and which features it takes, and sets `DRIVER_OK`; it rings for none of that, so the remote polls. When
//! the host restarts or unbinds its driver, the byte loses `DRIVER_OK`; and open-amp's host writes 0x40 and waits for
//! the remote to answer 0. Whatever the remote remembers of the queues is wrong from then on, including where they
//! are. So a remote lives in two loops:
//!
//! ```text
//!   loop {                                     until the chip is switched off
//!       wait for Change::Up                    queues and features are read now, not before
//!       Link::new(attachment.setup(…)?, …)     all shadows are new; endpoints are announced again
//!       while poll() is Change::Same {         until the host goes
//!           messages
//!       }                                      the link is dropped, with what was held of it
//!   }
//! ```
//!
//! A host that resets and is ready again between two polls has zeroed the queues meanwhile: the ring sees an index
//! that went back, which is a [`Corrupt`](crate::Corrupt) like any other. Leave the inner loop then too, by
//! [`Attachment::lost`].

use core::convert::Infallible;
use core::fmt;
use core::time::Duration;

use tutti_metal::{Clock, Memory, Sleep};
use tutti_virtio::{Features, Status, VdevEntry, VdevError, Vring};

use crate::wait::wait_within;
use crate::{F_SIZES, HostSetup, RemoteSetup, Sizes, VIRTIO_ID};

/// What a look at the status byte showed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Nothing new.
    Same,
    /// The host is ready, and takes these features.
    Up(Features),
    /// It was ready and is no more: what is known of the queues is void.
    Down,
}

/// Why one cannot attach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttachError {
    /// The vdev is another device.
    NotRpmsg(u32),
    /// The host is not ready, so the table does not yet say where the queues are.
    NotReady,
    /// The table says something that cannot be.
    Vdev(VdevError),
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRpmsg(id) => {
                write!(f, "the vdev is device {id}, not RPMsg, which is {VIRTIO_ID}; name another entry")
            }
            Self::NotReady => f.write_str("the host is not ready yet; poll until it is"),
            Self::Vdev(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for AttachError {}

impl From<VdevError> for AttachError {
    fn from(error: VdevError) -> Self {
        Self::Vdev(error)
    }
}

fn rpmsg<M: Memory>(entry: &VdevEntry<M>) -> Result<(), AttachError> {
    match entry.id() {
        VIRTIO_ID => Ok(()),
        other => Err(AttachError::NotRpmsg(other)),
    }
}

/// The remote's view of its host, through the vdev of its resource table.
#[derive(Debug)]
pub struct Attachment<M> {
    entry: VdevEntry<M>,
    up: bool,
}

impl<M: Memory> Attachment<M> {
    /// Over this entry; the host is taken to be away until the first poll.
    ///
    /// # Errors
    /// If the entry is of another device.
    pub fn new(entry: VdevEntry<M>) -> Result<Self, AttachError> {
        rpmsg(&entry)?;
        Ok(Self { entry, up: false })
    }

    /// Looks at the status byte; to be called now and then while messages are exchanged, and after each
    /// [`Corrupt`](crate::Corrupt).
    pub fn poll(&mut self) -> Change {
        let status = self.entry.status();
        if status.0 & Status::NEEDS_RESET.0 != 0 {
            // The host asks, and waits for this answer.
            self.entry.set_status(Status::RESET);
        }
        let change = match (self.up, status.is_ready()) {
            (false, true) => Change::Up(self.entry.agreed()),
            (true, false) => Change::Down,
            _ => Change::Same,
        };
        self.up = status.is_ready();
        change
    }

    /// Takes the host to be away, whatever the status says: the next poll that finds it ready is [`Change::Up`].
    pub fn lost(&mut self) {
        self.up = false;
    }

    /// Polls until the host is ready, but no longer than `within`; `None` if it was not.
    pub fn wait_within(&mut self, within: Duration, clock: &impl Clock, sleep: &impl Sleep) -> Option<Features> {
        let attempt = || match self.poll() {
            Change::Up(features) => Ok(Some(features)),
            Change::Same | Change::Down => Ok(None),
        };
        // Nobody rings for a change of the status.
        let Ok(features) = wait_within(within, clock, sleep, attempt, || Ok::<_, Infallible>(false));
        features
    }

    /// What a link is made from, as the table says it now: the queues lie in `queues`, buffers in `buffers`.
    ///
    /// # Errors
    /// If the host is not ready, or wrote something that cannot be.
    pub fn setup(&self, queues: M, buffers: M) -> Result<RemoteSetup<M>, AttachError> {
        if !self.up {
            return Err(AttachError::NotReady);
        }
        let notify = |queue| Ok::<_, VdevError>(self.entry.queue(queue)?.notifyid);
        let vrings = [self.entry.vring(0, queues.clone())?, self.entry.vring(1, queues)?];
        Ok(RemoteSetup { vrings, buffers, features: self.entry.agreed(), notify: [notify(0)?, notify(1)?] })
    }
}

/// The host's side of the same entry.
#[derive(Debug)]
pub struct Attaching<M> {
    entry: VdevEntry<M>,
}

impl<M: Memory> Attaching<M> {
    /// Over this entry.
    ///
    /// # Errors
    /// If it is of another device.
    pub fn new(entry: VdevEntry<M>) -> Result<Self, AttachError> {
        rpmsg(&entry)?;
        Ok(Self { entry })
    }

    /// Takes the remote away from the queues: the remote sees it at its next poll. To be called before queues are set
    /// up anew, and it takes the remote a poll to let go of the old ones.
    pub fn reset(&self) {
        self.entry.set_status(Status::RESET);
    }

    /// Writes where the two queues are, in the remote's addresses, and what was agreed on of `known`: what a link is
    /// made from. Buffers are as large as the remote wishes, but no larger than `most`.
    ///
    /// # Errors
    /// If the entry says something that cannot be.
    pub fn setup(
        &self,
        queues: [(u32, u32); 2],
        memory: &M,
        buffers_at: usize,
        known: Features,
        most: u32,
    ) -> Result<HostSetup<M>, AttachError> {
        for (queue, (da, notifyid)) in queues.into_iter().enumerate() {
            self.entry.set_queue(queue, da, notifyid)?;
        }
        let vring = |queue| -> Result<Vring<M>, VdevError> { self.entry.vring(queue, memory.clone()) };
        let mut setup = HostSetup::new([vring(0)?, vring(1)?], memory.clone(), buffers_at);
        setup.notify = [queues[0].1, queues[1].1];
        setup.features = self.entry.offered().common(known);
        let mut sizes = [0; Sizes::BYTES];
        if setup.features.has(F_SIZES) && self.entry.config(&mut sizes) == Sizes::BYTES {
            setup.buffer_size = Sizes::parse(&sizes).common(most);
        }
        self.entry.accept(setup.features);
        Ok(setup)
    }

    /// The link is made, its queues zeroed and filled: the remote may start.
    pub fn ready(&self) {
        self.entry.set_status(Status(Status::ACKNOWLEDGE.0 | Status::DRIVER.0 | Status::DRIVER_OK.0));
    }
}
