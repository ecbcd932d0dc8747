//! What goes into the pool's machine and what comes out of it.

use std::time::Duration;

use bytes::Bytes;
use tutti_model::{
    BootTime, Capacity, DeviceId, Name, ProtocolVersion, Reading, ResourceDescription, ResourceId, Role, Text, Value,
    message::{Grant, LeaseId, LeaseMode, Refusal, StoragePath, StreamHeader, Token},
    record::RecordError,
    signed::Signed,
};

use crate::{catalogue::RecordRefusal, error::PoolError, group::Group};

/// A call into the machine that gets exactly one answer: a command of this device, a request or a stream of another.
/// Numbered by the driver; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// A request that the machine sends. Numbered by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// An operation that the machine wants performed on a local resource. Numbered by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerformId(pub u64);

/// Something to be made durable. Numbered by the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What does not change about this device while it runs, apart from its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identity {
    /// What people call it.
    pub name: Name,
    /// What it is: `laptop`, `board`, `server`, …
    pub kind: Text<31>,
    /// Its processor architecture.
    pub architecture: Text<31>,
    /// Its operating system and version.
    pub os: Text<63>,
    /// The profile that its image was built from.
    pub profile: Text<31>,
    /// The version of the Tutti software it runs.
    pub software: Text<31>,
    /// What it has to run things with, if that is known.
    pub capacity: Option<Capacity>,
}

/// A device that is not on the network itself: this one hosts it, vouches for it and answers for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Satellite {
    /// Its id. The host chooses it, so that no satellite can claim to be somebody else; nobody has a key to it.
    pub device: DeviceId,
    /// What it says of itself.
    pub identity: Identity,
    /// What it offers.
    pub resources: Vec<ResourceDescription>,
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The trust group is this from now on.
    Group(Group),
    /// A session with a member came up. One that was up before is over.
    PeerUp {
        /// Which member.
        device: DeviceId,
        /// The version that both speak.
        version: ProtocolVersion,
        /// Differs for each session.
        generation: u64,
    },
    /// The session with a member is over.
    PeerDown {
        /// Which member.
        device: DeviceId,
    },
    /// A member sent a notice.
    Notice {
        /// Who, as the session proved.
        from: DeviceId,
        /// What.
        bytes: Bytes,
    },
    /// A notice left, or did not.
    NoticeDone {
        /// To whom.
        to: DeviceId,
        /// In which session.
        generation: u64,
        /// Whether it left.
        sent: bool,
    },
    /// A member asks for something; [`Output::Reply`] answers.
    Request {
        /// The call.
        call: CallId,
        /// Who, as the session proved.
        from: DeviceId,
        /// What.
        bytes: Bytes,
    },
    /// A member opened a stream; [`Output::Perform`] with this call accepts it, [`Output::Reply`] refuses it.
    Stream {
        /// The call.
        call: CallId,
        /// Who, as the session proved.
        from: DeviceId,
        /// What it is for.
        header: Bytes,
    },
    /// The answer to an [`Output::Request`]. Every one gets an answer within its time.
    Response {
        /// The request.
        id: RequestId,
        /// The answer, or why there is none.
        result: Result<Bytes, SendError>,
    },
    /// This device wants something; [`Output::Done`] answers.
    Command {
        /// The call.
        call: CallId,
        /// What.
        command: Command,
    },
    /// An [`Output::Perform`] ended. Every one does, soon after [`Output::Cut`] at the latest.
    Performed {
        /// Which.
        id: PerformId,
        /// What came of it; for streams, nothing is done with it.
        result: Result<Performed, Refusal>,
    },
    /// What was to be made durable is.
    Persisted {
        /// Which.
        ticket: Ticket,
    },
    /// It could not be made durable; whether it was is not known.
    PersistFailed {
        /// Which.
        ticket: Ticket,
        /// Why.
        why: String,
    },
    /// This device offers these resources from now on.
    Resources(Vec<ResourceDescription>),
    /// These satellites are there from now on, and no others.
    Satellites(Vec<Satellite>),
    /// This device is called this from now on.
    Rename(Name),
    /// Time has passed.
    Tick,
}

/// What this device wants of a resource, its own or another's.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Take a reading.
    Read(ResourceId),
    /// Set a value.
    Write {
        /// Of what.
        resource: ResourceId,
        /// To what.
        value: Value,
        /// The lease to do it under. If none is given and this device holds one on it, that one.
        token: Option<Token>,
    },
    /// Open a stream.
    Open(StreamHeader),
    /// Get a lease.
    Acquire {
        /// On what.
        resource: ResourceId,
        /// In which mode.
        mode: LeaseMode,
        /// For how long.
        duration: Duration,
        /// Whether it is renewed by itself until it is given back.
        renewed: bool,
    },
    /// Let a lease last this long from now.
    Renew {
        /// Which.
        lease: LeaseId,
        /// How long.
        duration: Duration,
    },
    /// Give a lease back. It is not held any more at once; its owner is told when it can be reached.
    Release(LeaseId),
    /// Have the transfer of a lease reserved.
    Reserve {
        /// Which.
        lease: LeaseId,
        /// To whom.
        to: DeviceId,
    },
    /// Hand a lease over to whom it is reserved for. It is not held any more at once.
    HandOver(LeaseId),
    /// Take a lease over that was handed over to this device.
    Take {
        /// The old holder's word.
        hand_over: Signed,
        /// For how long.
        duration: Duration,
        /// Whether it is renewed by itself until it is given back.
        renewed: bool,
    },
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It is done.
    Done,
    /// The reading.
    Reading(Reading),
    /// The lease.
    Lease(HeldLease),
    /// The word that lets the other device take the lease.
    HandOver(Signed),
}

/// A lease that this device holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeldLease {
    /// Which.
    pub lease: LeaseId,
    /// Its mode.
    pub mode: LeaseMode,
    /// How long each renewal lasts.
    pub duration: Duration,
    /// Until when this device may act on it, by its own clock: check before each effect.
    pub until: BootTime,
    /// Whether it is renewed by itself.
    pub renewed: bool,
    /// To whom its transfer is reserved.
    pub reserved: Option<DeviceId>,
}

/// A lease as this device knows of it: granted by itself, or by another that told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownLease {
    /// Which.
    pub lease: LeaseId,
    /// Its mode.
    pub mode: LeaseMode,
    /// Who holds it.
    pub holder: DeviceId,
    /// Until when, if it is not renewed, by this device's clock; an estimate for others' resources.
    pub until: BootTime,
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// There is no session with the device.
    NotConnected,
    /// No answer in time. It may have been done all the same.
    TimedOut,
    /// The session broke, or something else went wrong, in words. It may have been done all the same.
    Lost(String),
}

impl std::fmt::Display for SendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotConnected => f.write_str("it cannot be reached now"),
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SendError {}

/// An operation on one of this device's resources.
#[derive(Clone, Debug, PartialEq)]
pub enum Work {
    /// Take a reading.
    Read,
    /// Set a value.
    Write(Value),
    /// Send readings as they come.
    Follow {
        /// At most one in this time.
        min_interval: Duration,
    },
    /// List what is stored.
    List {
        /// Only paths that begin with this.
        prefix: String,
    },
    /// Send what is stored.
    Get(StoragePath),
    /// Store what comes.
    Put {
        /// Where.
        path: StoragePath,
        /// How many bytes will come, if known.
        size: Option<u64>,
    },
    /// Remove what is stored.
    Delete(StoragePath),
}

/// What came of an operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Performed {
    /// It is done.
    Done,
    /// A reading was taken.
    Reading(Reading),
}

/// What the driver must do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a notice; report with [`Input::NoticeDone`].
    Notify {
        /// To whom.
        to: DeviceId,
        /// In which session: if it is over, do not send.
        generation: u64,
        /// What.
        bytes: Bytes,
    },
    /// Send a request; report with [`Input::Response`].
    Request {
        /// Its number.
        id: RequestId,
        /// To whom.
        to: DeviceId,
        /// What.
        bytes: Bytes,
        /// How long it may take.
        timeout: Duration,
    },
    /// Answer a request, or refuse a stream (then it is a frame for it).
    Reply {
        /// The call.
        call: CallId,
        /// The answer.
        bytes: Bytes,
    },
    /// Do something with a local resource; report with [`Input::Performed`].
    Perform {
        /// Its number.
        id: PerformId,
        /// With which resource, of this device or of one of its satellites.
        resource: ResourceId,
        /// What.
        work: Work,
        /// For whom.
        from: DeviceId,
        /// With which role.
        role: Role,
        /// Under which lease. Whoever drives a thing that fences by itself can pass it on.
        token: Option<Token>,
        /// The stream that it is about, if it is about one.
        stream: Option<CallId>,
    },
    /// Stop an operation at once: it is not allowed any more.
    Cut {
        /// Which.
        id: PerformId,
        /// Why.
        why: Refusal,
    },
    /// Open a stream to another device, for the command of this number.
    Open {
        /// The command.
        call: CallId,
        /// To whom.
        to: DeviceId,
        /// What it is for.
        header: Bytes,
    },
    /// A command is answered.
    Done {
        /// Which.
        call: CallId,
        /// What came of it.
        result: Result<Answer, PoolError>,
    },
    /// Make this durable under the key, then report with [`Input::Persisted`]. For one key there is one at a time.
    Persist {
        /// Its number.
        ticket: Ticket,
        /// Under which key.
        key: &'static str,
        /// What.
        bytes: Vec<u8>,
    },
    /// Something that others want to know.
    Event(Event),
}

/// Something that others want to know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The catalogue is not what it was: a record, the group, or somebody's presence.
    CatalogueChanged,
    /// The leases held or known of are not what they were.
    LeasesChanged,
    /// A lease that this device held is over though it was not given back.
    LeaseLost {
        /// Which.
        lease: LeaseId,
        /// Why its owner says so; none if its time ran out without a renewal.
        why: Option<Refusal>,
    },
    /// A device signed two different records with the same number.
    Equivocation {
        /// Which device.
        device: DeviceId,
        /// The number.
        seq: u64,
    },
    /// A record was refused.
    RecordRefused {
        /// Who sent it.
        from: DeviceId,
        /// Why.
        why: RecordRefusal,
    },
    /// A member sent a notice that cannot be read.
    Misbehaved {
        /// Who.
        from: DeviceId,
        /// What is wrong.
        what: tutti_model::message::MessageError,
    },
    /// What this device or one of its satellites offers cannot be described; the description before stays, and the
    /// satellite is left out.
    OwnRecordRefused(RecordError),
    /// Something could not be made durable; it is tried again.
    StoreFailed {
        /// Under which key.
        key: &'static str,
        /// Why.
        why: String,
    },
}

/// A granted or renewed lease as a reply says it.
pub(crate) fn grant(resource: ResourceId, token: Token, mode: LeaseMode, duration: Duration) -> Grant {
    Grant { lease: LeaseId { resource, token }, mode, duration }
}
