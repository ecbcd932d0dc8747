//! What goes into the host's end and what comes out of it.

use std::fmt;

use tutti_model::{DeviceId, Name, Role};

use super::{
    frame::{Fault, Refusal},
    offer::{OfferTerms, Outcome},
};

/// One connection, numbered by the caller. A number is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// The group as the host hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostGroup {
    /// Its id.
    pub id: [u8; 32],
    /// What this device is called.
    pub host_name: Name,
    /// The encoded group with the joiner in it; at most [`MAX_GROUP`](super::MAX_GROUP) bytes.
    pub bytes: Vec<u8>,
}

/// What happens to the host.
#[derive(Clone, Debug)]
pub enum HostInput {
    /// The owner offers pairing. An offer before this one ends.
    Open(OfferTerms),
    /// The owner withdraws the offer.
    Cancel,
    /// A device has connected and proved its key.
    Connected {
        /// A number for it.
        attempt: AttemptId,
        /// Who it is.
        remote: DeviceId,
    },
    /// Bytes came on the stream, cut anywhere.
    Received {
        /// Which connection.
        attempt: AttemptId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The connection is over, or its stream has ended.
    Closed {
        /// Which connection.
        attempt: AttemptId,
    },
    /// What [`HostOutput::Persist`] asked for is durable.
    Persisted {
        /// Which write; all before it are done as well.
        serial: u64,
    },
    /// What [`HostOutput::Persist`] asked for could not be written.
    PersistFailed {
        /// Which write.
        serial: u64,
    },
    /// What [`HostOutput::AddMember`] asked for is durable; this is the group with it.
    GroupReady {
        /// For which connection.
        attempt: AttemptId,
        /// The group.
        group: HostGroup,
    },
    /// What [`HostOutput::AddMember`] asked for cannot be done.
    GroupRefused {
        /// For which connection.
        attempt: AttemptId,
    },
    /// A moment that [`HostPairing::poll_timeout`](super::HostPairing::poll_timeout) named has come.
    Tick,
}

/// What the host's caller is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostOutput {
    /// Make these bytes durable in place of the ones before, then answer [`HostInput::Persisted`] or
    /// [`HostInput::PersistFailed`]. Writes are done in the order of their serial numbers. The bytes hold the code
    /// and the ticket's secret: only this device's user may read them.
    Persist {
        /// Grows by one with each write.
        serial: u64,
        /// What [`HostPairing::restore`](super::HostPairing::restore) takes.
        bytes: Vec<u8>,
    },
    /// Write these bytes to the stream.
    Send {
        /// Of which connection.
        attempt: AttemptId,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The attempt is over: finish the stream, give the other side a second to read what was sent, and close the
    /// connection. Comes exactly once for each [`HostInput::Connected`].
    Ended {
        /// Which connection.
        attempt: AttemptId,
        /// Who it was.
        device: DeviceId,
        /// How it ended.
        end: AttemptEnd,
    },
    /// Add this device to the group if it is not in it with this role already, make that durable, and answer
    /// [`HostInput::GroupReady`] or [`HostInput::GroupRefused`].
    AddMember {
        /// For which connection.
        attempt: AttemptId,
        /// Who has shown the right code or ticket.
        device: DeviceId,
        /// What it calls itself.
        name: Name,
        /// What it may do.
        role: Role,
    },
    /// The offer is on disk: show the code and the ticket.
    Opened,
    /// The offer has ended. After [`Outcome::Cancelled`] there may still come an [`Outcome::Paired`], of a device that
    /// was already being added.
    Finished(Outcome),
}

/// How an attempt ended, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// The device is in the group and has said so.
    Paired,
    /// Turned away, and told why.
    Refused(Refusal),
    /// The other side broke the protocol.
    Misbehaved(Fault),
    /// The other side gave up and said why; [`Refusal::WrongCode`] is somebody who mistyped.
    GaveUp(Refusal),
    /// The connection was lost.
    Lost,
}

impl fmt::Display for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paired => f.write_str("paired"),
            Self::Refused(why) => write!(f, "turned away: {why}"),
            Self::Misbehaved(fault) => write!(f, "turned away: {fault}"),
            Self::GaveUp(why) => write!(f, "the other side gave up: {why}"),
            Self::Lost => f.write_str("the connection was lost"),
        }
    }
}

impl From<Fault> for AttemptEnd {
    fn from(fault: Fault) -> Self {
        Self::Misbehaved(fault)
    }
}

impl From<Refusal> for AttemptEnd {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}
