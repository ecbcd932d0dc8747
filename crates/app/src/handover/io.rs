//! What goes into a [`HandOver`](super::HandOver) and what comes out of it.

use std::fmt;

use tutti_model::DeviceId;

use super::{Message, Offer, Record, Warrant, Why};
use crate::ids::{Attempt, Epoch};

/// A write to the store that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What happens to an instance on a device.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "an input lives for a moment")]
pub enum Input {
    /// A session with this device is there.
    PeerUp(DeviceId),
    /// It is over.
    PeerDown(DeviceId),
    /// That device says this about the instance. A [`Message::Supersede`] or an [`Offer`] in a branch above the first has been held against its warrant.
    Message(DeviceId, Message),
    /// Move it.
    Move {
        /// Where to.
        to: DeviceId,
        /// A random number.
        attempt: Attempt,
        /// The BLAKE3 digest of its package.
        package: [u8; 32],
        /// The bytes of its state now.
        size: u64,
    },
    /// Give a move up, if it can be.
    Cancel,
    /// The answer to [`Output::Consider`].
    Considered(Attempt, Result<(), Why>),
    /// Bytes of this attempt have come or gone.
    Progress(Attempt),
    /// The answer to [`Output::Copy`]: so little changes between rounds that the rest can wait for the pause; or it failed.
    Copied(Attempt, Result<(), Why>),
    /// The answer to [`Output::Reserve`]: every lease is reserved for the target; or one is not.
    Reserved(Attempt, Result<(), Why>),
    /// At the target: the whole state is on its disk and is what was announced; or not.
    Stored(Attempt, Result<(), Why>),
    /// The answer to [`Output::Persist`].
    Persisted(Ticket),
    /// The same, but it may not be on the disk.
    PersistFailed(Ticket),
    /// An owner accepts the loss of whatever another device may have of it.
    Recover(Warrant),
    /// It is stopped for good by its owner, here at its home.
    Retire,
    /// A copy that was given up is not wanted any more.
    Discard,
    /// Time has passed.
    Tick,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// Say this to that device. May be lost.
    Send(DeviceId, Message),
    /// Make this durable in place of what was there, then say so.
    Persist(Ticket, Record),
    /// At a target: may it come here? Answered by [`Input::Considered`].
    Consider(DeviceId, Offer),
    /// At a source: copy package and state while it runs. Answered by [`Input::Copied`].
    Copy(Attempt, DeviceId),
    /// Have each of its leases reserved for that device. Answered by [`Input::Reserved`].
    Reserve(Attempt, DeviceId),
    /// Take no more events, finish the one under way, make its effects durable, and then send what is left of the state and the end of
    /// the stream.
    SendRest(Attempt, DeviceId),
    /// A move came to nothing: let what was reserved or copied for it go.
    Release(Attempt),
    /// It may run from here on.
    Start(Epoch),
    /// It must not run from here on. Comes before anything else is done about it.
    Stop,
    /// Nobody needs the state here any longer.
    Remove,
    /// For people.
    Event(Event),
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The move has come to nothing; it runs on here.
    NotMoved(Attempt, Because),
    /// The move is decided; the target may not know yet.
    Decided(Attempt, DeviceId),
    /// The target runs it.
    Moved(Attempt, DeviceId),
    /// The target has lost its copy; only an owner's `recover` at this device ends that.
    LostAtTarget(DeviceId),
    /// Another copy took this one's place by an owner's word.
    Superseded(Epoch),
    /// What was asked for cannot be done now.
    Refused(Because),
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Because {
    /// The instance does not run here.
    NotHere,
    /// A move of it is under way.
    Moving,
    /// It is here already.
    AlreadyThere,
    /// There is no session with that device.
    NotConnected,
    /// The other side said no.
    Refused(Why),
    /// A lease could not be reserved, or copying failed here.
    Failed(Why),
    /// Somebody took too long.
    TookTooLong,
    /// Somebody asked for it.
    Cancelled,
    /// It is decided and cannot be taken back.
    Decided,
    /// The other side has let go of the attempt.
    Void,
    /// The warrant is not for this instance or its next branch.
    BadWarrant,
    /// There is nothing here to go on from.
    NothingHere,
    /// Its standby does not answer, or is being changed.
    NoLease,
    /// It has a standby, which would go on with it.
    Guarded,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHere => f.write_str("the instance does not run on this device; ask its home"),
            Self::Moving => f.write_str("it is being moved; wait for that to end"),
            Self::AlreadyThere => f.write_str("it is there already"),
            Self::NotConnected => f.write_str("that device is not reachable now"),
            Self::Refused(why) => write!(f, "the target refused: {why}"),
            Self::Failed(why) => write!(f, "it could not be sent: {why}"),
            Self::TookTooLong => f.write_str("the other device took too long; it runs on here"),
            Self::Cancelled => f.write_str("it was cancelled"),
            Self::Decided => f.write_str("the move is decided; it can no longer be taken back"),
            Self::Void => f.write_str("the other device has given up this attempt"),
            Self::BadWarrant => f.write_str("the owner's word is not for this instance and its next branch"),
            Self::NoLease => f.write_str(
                "its standby does not answer, is being changed or has yet to get its state; try again in a moment",
            ),
            Self::Guarded => f.write_str("it has a standby, which would go on with it; take the standby away first"),
            Self::NothingHere => f.write_str("there is no copy on this device to go on from"),
        }
    }
}
