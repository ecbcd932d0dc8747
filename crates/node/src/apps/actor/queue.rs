//! How an instance is reached, and all that can happen to it.

use std::{
    io,
    sync::{
        Arc, Mutex,
        mpsc::{SyncSender, TrySendError},
    },
};

use tokio::sync::oneshot;
use tutti_app::{
    effects::Receiver as To,
    handover::{Message, Ticket, Why},
    home::Incoming,
    ids::{Attempt, EffectId, Epoch},
    runtime::host::Event,
    standby::{self, Mark, Settings},
};
use tutti_control::{AppInstance, AppLevel, AppLine, ErrorDetail};
use tutti_model::{DeviceId, Reading, signed::Signed};

use super::super::{
    Shared,
    journal::{Journal, Step},
    lines::Lines,
    wire::CheckpointHead,
};
use crate::lock::lock;

/// The answer to what a person asked for.
pub(crate) type Reply = oneshot::Sender<Result<AppInstance, ErrorDetail>>;

/// What happens to an instance.
pub(crate) enum Ask {
    /// A session begins or ends.
    Peer(DeviceId, bool),
    /// A step of a move.
    Message(DeviceId, Message),
    /// Something to handle.
    Event(Incoming<Event>),
    /// A reading of what it follows.
    Reading(String, Reading),
    /// A receiver has an effect.
    Delivered(To, EffectId),
    /// A receiver has heard of a later home.
    Superseded(Epoch),
    /// A step of the journal was written, or not.
    Wrote(Ticket, io::Result<Journal>),
    /// What a person wants.
    Person(Want, Reply),
    /// The package is at the target, or cannot be.
    PackageThere(Attempt, Result<(), String>),
    /// So many bytes have come or gone.
    Progress(Attempt, u64),
    /// A round of a copy is at the target, or never will be.
    Sent(Attempt, Result<(), String>),
    /// Leases are reserved for the target.
    Reserved(Attempt, Result<(), Why>),
    /// Leases are handed over to it.
    HandedOver(Attempt, Vec<Signed>),
    /// A step of the state that comes in; whether to go on is answered.
    Step(Attempt, DeviceId, Box<Step>, Vec<u8>, oneshot::Sender<bool>),
    /// What a home or a standby of it says.
    Guard(DeviceId, standby::Message),
    /// That device is about to ask whether it may be guarded here, and this is its package.
    Expect(DeviceId, [u8; 32]),
    /// A standby could go on with it, or not.
    StandbyReady(DeviceId, Settings, Result<(), String>),
    /// Some of this checkpoint has gone, or it never will be there.
    CheckpointSent(Mark, Result<(), String>),
    /// A checkpoint has come.
    Checkpoint(DeviceId, CheckpointHead, Box<Step>, Vec<u8>, oneshot::Sender<()>),
    /// Grants have changed.
    Recheck,
    /// What the wants are met by has changed.
    Bound,
    /// The device stops.
    Shutdown,
}

/// What a person may want of an instance.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    Move(DeviceId),
    Cancel,
    Stop,
    Start,
    End,
    Recover,
    Tell(String),
    Guard(DeviceId, Settings),
    Unguard,
}

/// Where an instance is reached.
#[derive(Clone)]
pub(crate) struct Handle {
    pub(super) queue: SyncSender<Ask>,
    pub(crate) shown: Arc<Mutex<Option<AppInstance>>>,
    pub(crate) log: Arc<Lines<AppLine>>,
}

impl Handle {
    /// Tells it something that is said again if it is lost.
    pub(crate) fn tell(&self, ask: Ask) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(ask) {
            tracing::debug!("an instance is too busy; what it is told comes again");
        }
    }

    /// Tells it something that is not said again. Blocks while its queue is full.
    pub(crate) fn insist(&self, ask: Ask) {
        let _ = self.queue.send(ask);
    }

    /// A line of its log, said by this device.
    pub(crate) fn log_system(&self, shared: &Shared, text: &str) {
        let at = shared.clock.wall().as_unix_millis();
        self.log.add(AppLine { number: 0, at, level: AppLevel::System, text: text.to_owned() });
    }

    /// What people see of it.
    pub(crate) fn show(&self) -> Option<AppInstance> {
        lock(&self.shown).clone()
    }
}
