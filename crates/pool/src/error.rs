//! Why something that this device wanted of a resource did not happen: which resource, whose, and why.

use std::{fmt, time::Duration};

use tutti_model::{
    DeviceId, Name, ResourceId,
    message::{LeaseId, MessageError, Refusal},
};

use crate::io::SendError;

/// A resource, named for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The resource.
    pub resource: ResourceId,
    /// What its device is called.
    pub device: Name,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.resource.name)
    }
}

/// Why something that this device wanted of a resource did not happen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PoolError {
    /// No such device is in the pool.
    UnknownDevice(DeviceId),
    /// The device cannot be reached now.
    Offline {
        /// Of what.
        subject: Box<Subject>,
    },
    /// The device was asked and did not answer. It may have been done all the same.
    NoAnswer {
        /// Of what.
        subject: Box<Subject>,
        /// Why.
        why: SendError,
    },
    /// The device said no.
    Refused {
        /// Of what.
        subject: Box<Subject>,
        /// Why.
        why: Refusal,
    },
    /// The device answered something that is no answer.
    Misbehaved {
        /// Of what.
        subject: Box<Subject>,
        /// What is wrong with it.
        what: MessageError,
    },
    /// This device holds the resource already.
    AlreadyHeld {
        /// Of what.
        subject: Box<Subject>,
    },
    /// This device does not hold that lease, or not any more.
    NotHeld(LeaseId),
    /// The lease's transfer was not reserved before it was to be handed over.
    NotReserved(LeaseId),
    /// The hand-over cannot be read, or is not for this device.
    BadHandOver,
    /// The value or path is too long to be sent.
    TooLong(MessageError),
    /// Too much is under way on this device; try again shortly.
    Busy,
    /// It took too long on this side.
    TimedOut {
        /// Of what.
        subject: Box<Subject>,
        /// How long it was given.
        after: Duration,
    },
    /// A stream broke before its end.
    Broken {
        /// Of what.
        subject: Box<Subject>,
        /// What the network or the file said.
        why: String,
    },
    /// The pool has stopped.
    Stopped,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice(device) => {
                write!(f, "no device {} is in the pool; list the devices to see which are", device.short())
            }
            Self::Offline { subject } => write!(
                f,
                "{subject}: {} cannot be reached now; check that it is switched on and on the network",
                subject.device
            ),
            Self::NoAnswer { subject, why } => write!(f, "{subject}: no answer from {}: {why}", subject.device),
            Self::Refused { subject, why } => write!(f, "{subject}: {} refused: {why}", subject.device),
            Self::Misbehaved { subject, what } => {
                write!(f, "{subject}: {} answered something unreadable: {what}", subject.device)
            }
            Self::AlreadyHeld { subject } => {
                write!(f, "{subject}: another program on this device holds it; wait until it gives it back")
            }
            Self::NotHeld(lease) => write!(f, "this device does not hold the lease {lease} (any more); take a new one"),
            Self::NotReserved(lease) => write!(f, "reserve the transfer of the lease {lease} before handing it over"),
            Self::BadHandOver => f.write_str("the hand-over cannot be read or is for another device"),
            Self::TooLong(error) => error.fmt(f),
            Self::Busy => f.write_str("too much is under way on this device; try again shortly"),
            Self::TimedOut { subject, after } => {
                write!(f, "{subject}: {} was not done within {after:?}", subject.device)
            }
            Self::Broken { subject, why } => write!(f, "{subject}: the stream with {} broke: {why}", subject.device),
            Self::Stopped => f.write_str("the pool on this device has stopped"),
        }
    }
}

impl std::error::Error for PoolError {}

/// Why the pool could not start from its saved state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestoreError {
    /// What is saved under this key cannot be read. Starting without it could grant what is granted already.
    Unreadable {
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        why: tutti_model::section::SectionError,
    },
    /// What is saved under this key belongs to another device.
    Foreign {
        /// The key.
        key: &'static str,
    },
    /// What this device offers cannot be described.
    Description(tutti_model::record::RecordError),
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { key, why } => {
                write!(f, "the saved state {key:?} cannot be read ({why}); restore it from a backup or move it aside")
            }
            Self::Foreign { key } => {
                write!(f, "the saved state {key:?} is that of another device; use the state folder of this device")
            }
            Self::Description(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RestoreError {}
