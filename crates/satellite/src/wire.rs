//! What travels: one envelope in a frame, encoded by [postcard](https://postcard.jamesmunns.com/wire-format).
//!
//! Fields are only ever appended to bodies, and bodies to the list; each end says in its first message which versions it
//! speaks. A frame that does not decode is dropped, as one that was lost is.

use serde::{Deserialize, Serialize};
use tutti_model::{Name, ResourceKind, Text, Unit};

/// The version of the protocol that this crate speaks.
pub const VERSION: u8 = 1;

/// The longest frame. Links with smaller ones (RPMsg has 496 bytes) only limit what is relayed.
pub const MAX_FRAME: usize = 512;

/// A value of a resource on a microcontroller. On the wire the first four kinds of `tutti_model::Value`.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Measure {
    /// A switch.
    Bool(bool),
    /// A count.
    Int(i64),
    /// A measure, in the resource's unit.
    Float(f64),
    /// A few words.
    Text(Text<31>),
}

#[cfg(feature = "alloc")]
impl From<Measure> for tutti_model::Value {
    fn from(measure: Measure) -> Self {
        match measure {
            Measure::Bool(on) => Self::Bool(on),
            Measure::Int(count) => Self::Int(count),
            Measure::Float(measure) => Self::Float(measure),
            Measure::Text(text) => Self::Text(text.as_str().into()),
        }
    }
}

#[cfg(feature = "alloc")]
impl TryFrom<&tutti_model::Value> for Measure {
    type Error = Denied;
    fn try_from(value: &tutti_model::Value) -> Result<Self, Denied> {
        use tutti_model::Value;
        match value {
            Value::Bool(on) => Ok(Self::Bool(*on)),
            Value::Int(count) => Ok(Self::Int(*count)),
            Value::Float(measure) => Ok(Self::Float(*measure)),
            Value::Text(text) => Text::new(text).map(Self::Text).map_err(|_| Denied::BadValue),
            _ => Err(Denied::BadValue),
        }
    }
}

/// What a satellite says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// What people call it.
    pub name: Name,
    /// Its processor: `thumbv8m`, …
    pub architecture: Text<31>,
    /// Its operating system: `embassy`, …
    pub os: Text<31>,
    /// The version of its firmware.
    pub firmware: Text<31>,
}

/// What it says of one resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resource {
    /// Its name, unique on this satellite.
    pub name: Name,
    /// What sort of thing it is.
    pub kind: ResourceKind,
    /// The unit of its values.
    pub unit: Unit,
    /// Whether it gives readings.
    pub readable: bool,
    /// Whether it takes values.
    pub writable: bool,
    /// Whether its values are made up.
    pub simulated: bool,
}

#[cfg(feature = "alloc")]
impl Resource {
    /// The same as the pool describes it.
    #[must_use]
    pub fn description(&self) -> tutti_model::ResourceDescription {
        use tutti_model::{ResourceDescription, Sharing};
        let base = ResourceDescription::sensor(self.name, self.unit);
        let sharing = if self.writable { Sharing::Exclusive } else { Sharing::Shared };
        ResourceDescription {
            kind: self.kind,
            readable: self.readable,
            writable: self.writable,
            simulated: self.simulated,
            sharing,
            ..base
        }
    }
}

/// Why a satellite did not do what it was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Denied {
    /// There is no such resource, or not for this.
    NoSuchResource,
    /// The value is not one for it.
    BadValue,
    /// The hardware did not do it.
    Failed,
    /// Too much is under way already.
    Busy,
    /// The host heard nothing in time. Never sent.
    TimedOut,
    /// The satellite restarted or went away before it answered; whether it was done is not known. Never sent.
    Lost,
}

impl core::fmt::Display for Denied {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoSuchResource => "the satellite has no such resource, or not for this",
            Self::BadValue => "the satellite's resource does not take this value",
            Self::Failed => "the satellite tried and failed; see its log",
            Self::Busy => "the satellite is busy; try again",
            Self::TimedOut => "the satellite did not answer in time; it may be busy or the link bad",
            Self::Lost => "the satellite went away before it answered; whether it was done is not known",
        })
    }
}

impl core::error::Error for Denied {}

/// How bad a line of the log is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Level {
    /// For developers.
    Debug,
    /// For whoever wants to know.
    Info,
    /// Worth a look.
    Warn,
    /// Wrong.
    Error,
}

/// A body. Those marked *sure* are sent again until they are acknowledged, in order; the others may be lost.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) enum Body<'a> {
    /// Nothing but the acknowledgement.
    Ack,
    /// Satellite, sure, the first of its session.
    Hello { lowest: u8, highest: u8, resources: u8, about: About },
    /// Host, sure, its answer.
    Welcome { version: u8, wall_millis: u64 },
    /// Satellite, sure: the next resource.
    Resource(Resource),
    /// Host: it lives, and it is so late.
    HostAlive { wall_millis: u64 },
    /// Satellite: it lives, for so long.
    Alive { uptime_millis: u64 },
    /// Satellite: a reading, taken then.
    Reading { resource: u8, measure: Measure, uptime_millis: u64 },
    /// Host, sure: readings of this resource every so often; 0 for none.
    Subscribe { resource: u8, every_millis: u32 },
    /// Host, sure: read it once.
    Read { request: u16, resource: u8 },
    /// Host, sure: set it.
    Set { request: u16, resource: u8, measure: Measure },
    /// Satellite, sure: it was read, set, or not.
    Answer { request: u16, outcome: Result<Option<Measure>, Denied> },
    /// Satellite: a line of its log, and how many were lost before it.
    Log { level: Level, lost: u16, text: Text<63> },
    /// Either: a frame of (or for) a satellite behind this one.
    Relay { child: u8, frame: &'a [u8] },
    /// Host: this session is not known here; begin a new one.
    Unknown,
}

/// What is in a frame.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Envelope<'a> {
    /// Chosen by the satellite, another one for each beginning.
    pub(crate) session: u32,
    /// The number of a sure body; 0 for others.
    pub(crate) seq: u16,
    /// The last number that was taken; 0 for none.
    pub(crate) ack: u16,
    #[serde(borrow)]
    pub(crate) body: Body<'a>,
}

impl<'a> Envelope<'a> {
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        if frame.len() > MAX_FRAME {
            return None;
        }
        match postcard::take_from_bytes(frame) {
            Ok((envelope, [])) => Some(envelope),
            _ => None,
        }
    }

    /// Its bytes at the front of `to`; how many, or `None` if there is not enough room.
    pub(crate) fn emit(&self, to: &mut [u8]) -> Option<usize> {
        postcard::to_slice(self, to).ok().map(|used| used.len())
    }
}
