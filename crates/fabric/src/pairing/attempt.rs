//! One connection to the host, from its challenge to the joiner's receipt.
//!
//! ```text
//!             hello, code                stored             confirm             stored            group ready
//!   Hello ───────────────► Counting ──────────────► Confirm ────────► Binding ──────────► Adding ───────────► Receipt
//!     │                                               ▲
//!     └───────────────────────────────────────────────┘
//!             hello, ticket
//! ```

use tutti_model::{BootTime, DeviceId, Name, Role};

use super::{
    frame::{Deframer, Fault, FrameKind, Refusal},
    host_io::AttemptEnd,
    keys::{Keys, Transcript},
    secret::Mode,
};

pub(super) struct Attempt {
    pub(super) remote: DeviceId,
    /// The offer that it is about.
    pub(super) offer: u64,
    /// Grows with each connection.
    pub(super) arrival: u64,
    pub(super) deadline: BootTime,
    pub(super) deframer: Deframer,
    pub(super) phase: Phase,
}

impl Attempt {
    pub(super) fn new(remote: DeviceId, offer: u64, arrival: u64, deadline: BootTime, phase: Phase) -> Self {
        Self { remote, offer, arrival, deadline, deframer: Deframer::default(), phase }
    }
}

/// How far an attempt is.
pub(super) enum Phase {
    /// The challenge is sent.
    Hello { challenge: Vec<u8> },
    /// A try of the code is charged; the reply goes out when that is on disk.
    Counting { serial: u64, reply: Vec<u8>, checks: Box<Checks> },
    /// The reply is sent.
    Confirm(Box<Checks>),
    /// The joiner has shown the right secret; it is added when it is on disk that nobody else can use the offer.
    Binding { serial: u64, name: Name, checks: Box<Checks> },
    /// The caller adds it to the group.
    Adding { name: Name, role: Role, checks: Box<Checks> },
    /// The group is sent.
    Receipt { name: Name, checks: Box<Checks> },
    /// Between two phases.
    Over,
}

impl Phase {
    fn checks(&self) -> Option<&Checks> {
        match self {
            Self::Hello { .. } | Self::Over => None,
            Self::Counting { checks, .. }
            | Self::Confirm(checks)
            | Self::Binding { checks, .. }
            | Self::Adding { checks, .. }
            | Self::Receipt { checks, .. } => Some(checks),
        }
    }

    /// The lane it is in, once it is in one.
    pub(super) fn mode(&self) -> Option<Mode> {
        self.checks().map(|checks| checks.mode)
    }

    /// How many tries are left, where a try was charged and nobody has shown the right code yet.
    pub(super) fn tries_left(&self) -> Option<u8> {
        self.checks().filter(|_| !self.is_confirmed()).and_then(|checks| checks.tries_left)
    }

    /// Whether the joiner has shown the right secret.
    pub(super) const fn is_confirmed(&self) -> bool {
        matches!(self, Self::Binding { .. }) || self.is_added()
    }

    /// Whether the caller was asked to add the joiner.
    pub(super) const fn is_added(&self) -> bool {
        matches!(self, Self::Adding { .. } | Self::Receipt { .. })
    }

    /// The write that it waits for.
    pub(super) const fn awaits_write(&self) -> Option<u64> {
        match self {
            Self::Counting { serial, .. } | Self::Binding { serial, .. } => Some(*serial),
            _ => None,
        }
    }

    /// The frame that it waits for.
    pub(super) const fn due(&self) -> Option<FrameKind> {
        match self {
            Self::Hello { .. } => Some(FrameKind::Hello),
            Self::Confirm(_) => Some(FrameKind::Confirm),
            Self::Receipt { .. } => Some(FrameKind::Receipt),
            Self::Counting { .. } | Self::Binding { .. } | Self::Adding { .. } | Self::Over => None,
        }
    }
}

/// What the codes of the frames to come are checked with.
#[derive(Clone)]
pub(super) struct Checks {
    pub(super) mode: Mode,
    pub(super) tries_left: Option<u8>,
    pub(super) keys: Keys,
    pub(super) transcript: Transcript,
}

impl Checks {
    /// What a confirmation that does not match means.
    pub(super) const fn wrong(&self) -> AttemptEnd {
        match self.mode {
            Mode::Code => AttemptEnd::Refused(Refusal::WrongCode),
            Mode::Ticket => AttemptEnd::Misbehaved(Fault::Forged(FrameKind::Confirm)),
        }
    }
}
