//! What goes into a [`Keeper`](super::Keeper) and what comes out of it.

use tutti_model::DeviceId;

use super::{Mark, Message, Record, Settings, Terms};
use crate::{
    handover::{self, Ticket, Why},
    ids::Epoch,
};

/// What happens to an instance on a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// What concerns its hand-over, and who is connected.
    Move(handover::Input),
    /// That device says this about it.
    Message(DeviceId, Message),
    /// At its home: that device shall be its standby from now on, in place of whoever is.
    Guard(DeviceId, Settings),
    /// At its home: it shall have no standby.
    Unguard,
    /// At its home: so many saves of it are durable ([`Kept::saves`](crate::home::Kept::saves)).
    Saved(u64),
    /// At its home: bytes of a checkpoint have gone.
    Sent,
    /// At its home: the checkpoint under way cannot be made or sent.
    NotSent,
    /// At a standby: the answer to [`Output::Consider`].
    Considered(Result<(), Why>),
    /// At a standby: a checkpoint under this pact is durable, and stands in place of the one before it.
    Stored(u64, Mark),
    /// At a standby: an increment does not follow what is there, or could not be stored.
    Unfit(u64),
    /// At a standby: the answer to [`Output::Adopt`].
    Adopted(Epoch),
    /// At a standby: it failed, and is to be tried again.
    NotAdopted,
    /// The answer to [`Output::Persist`].
    Persisted(Ticket),
    /// The same, but it may not be on the disk.
    PersistFailed(Ticket),
    /// Time has passed.
    Tick,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Output {
    /// What the hand-over asks for; never `Start` or `Stop`, which stand below.
    Move(handover::Output),
    /// Say this to that device. May be lost.
    Send(DeviceId, Message),
    /// Make this durable in place of what was there, then say so.
    Persist(Ticket, Record),
    /// It may run from here on.
    Start(Epoch),
    /// Take no more events; what is under way may end, be saved, acknowledged and sent.
    Stop,
    /// It must not run, and from this moment on nothing of it may leave: neither effect nor acknowledgement.
    Halt,
    /// At its home: take a checkpoint of what was last made durable, and send it to the standby as what differs from this one; as a whole without.
    Checkpoint(DeviceId, u64, Option<Mark>),
    /// At a standby: may it be guarded here on these terms? Answered by [`Input::Considered`].
    Consider(DeviceId, Terms),
    /// At a standby: make its checkpoint the durable state of the instance; or, if that has more saves in it, what is prepared here for a move. Answered by
    /// [`Input::Adopted`]; said again after a restart, when it may have been done.
    Adopt(Epoch),
    /// At a standby: no checkpoint of it is needed here any more.
    Forget,
    /// For people.
    Event(Event),
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// From now on that device can go on with it.
    Guarded(DeviceId),
    /// It has no standby: it runs without a run-lease, and nobody takes over.
    Unguarded(Option<NotGuarded>),
    /// The standby does not answer, and the run-lease is over. It stands still, or goes on alone, as was preferred.
    Alone,
    /// It stands still until the standby has a newer checkpoint, lest a fail-over lose more than was agreed.
    Behind,
    /// This device has taken over. Said again if it is restarted meanwhile.
    TookOver {
        /// Since when.
        epoch: Epoch,
        /// With what.
        mark: Mark,
        /// How many saves the lost home is known to have had. What was saved after `mark` is lost unless the home comes back, and it is no more than was
        /// done in [`Foretold::most_lost`](super::Foretold::most_lost).
        heard: u64,
    },
    /// The standby has taken over while this device was out of reach. The copy here is kept, to be looked at.
    Succeeded {
        /// In which epoch it goes on there.
        by: Epoch,
        /// With what it went on there, if it is known.
        from: Option<Mark>,
        /// How many saves the copy here has.
        saves: u64,
        /// Whether both ran for a while, because availability is preferred.
        both: bool,
    },
}

/// Why there is no standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NotGuarded {
    /// The device does not run it, or runs it only to move it.
    NotHere,
    /// The device named is this one.
    Itself,
    /// The settings are not possible.
    Settings,
    /// It said no.
    Refused(Why),
    /// It did not answer in time.
    NoAnswer,
    /// It has let go of the instance.
    Released,
    /// The standby that it has does not let go of it; it stays.
    Held,
    /// Something else about its standby or its home is under way.
    Busy,
}

impl std::fmt::Display for NotGuarded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotHere => f.write_str("the instance does not run on this device; ask its home"),
            Self::Itself => f.write_str("a device cannot be its own standby; name another"),
            Self::Settings => f.write_str("the settings are out of bounds"),
            Self::Refused(why) => write!(f, "the standby refused: {why}"),
            Self::NoAnswer => f.write_str("the device does not answer; try again when it is reachable"),
            Self::Released => f.write_str("the standby has let go of it; name one again"),
            Self::Held => f.write_str(
                "the standby it has does not answer, so it stays; reach it, or let an owner accept its loss (app recover)",
            ),
            Self::Busy => f.write_str("its standby or its home is being changed; try again in a moment"),
        }
    }
}
