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

/// What a host says: the list of [`Body`], without the contents of what only satellites say. So a satellite carries no code to read
/// those, which would be a tenth of a small one's.
#[derive(Deserialize)]
enum Spoken<'a> {
    Ack,
    Hello,
    Welcome {
        version: u8,
        wall_millis: u64,
    },
    Resource,
    HostAlive {
        wall_millis: u64,
    },
    Alive,
    Reading,
    Subscribe {
        resource: u8,
        every_millis: u32,
    },
    Read {
        request: u16,
        resource: u8,
    },
    Set {
        request: u16,
        resource: u8,
        measure: Measure,
    },
    Answer,
    Log,
    Relay {
        child: u8,
        #[serde(borrow)]
        frame: &'a [u8],
    },
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
    /// Reads a frame of whichever end.
    #[cfg(any(test, feature = "alloc"))]
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        if frame.len() > MAX_FRAME {
            return None;
        }
        match postcard::take_from_bytes(frame) {
            Ok((envelope, [])) => Some(envelope),
            _ => None,
        }
    }

    /// The same of a frame that comes from a host; `None` also for what only satellites say.
    pub(crate) fn parse_spoken(frame: &'a [u8]) -> Option<Self> {
        if frame.len() > MAX_FRAME {
            return None;
        }
        let parsed = postcard::take_from_bytes::<(u32, u16, u16, Spoken<'a>)>(frame);
        let Ok(((session, seq, ack, spoken), [])) = parsed else { return None };
        let body = match spoken {
            Spoken::Ack => Body::Ack,
            Spoken::Welcome { version, wall_millis } => Body::Welcome { version, wall_millis },
            Spoken::HostAlive { wall_millis } => Body::HostAlive { wall_millis },
            Spoken::Subscribe { resource, every_millis } => Body::Subscribe { resource, every_millis },
            Spoken::Read { request, resource } => Body::Read { request, resource },
            Spoken::Set { request, resource, measure } => Body::Set { request, resource, measure },
            Spoken::Relay { child, frame } => Body::Relay { child, frame },
            Spoken::Unknown => Body::Unknown,
            Spoken::Hello | Spoken::Resource | Spoken::Alive | Spoken::Reading | Spoken::Answer | Spoken::Log => {
                return None;
            }
        };
        Some(Self { session, seq, ack, body })
    }

    /// Its bytes at the front of `to`; how many, or `None` if there is not enough room.
    pub(crate) fn emit(&self, to: &mut [u8]) -> Option<usize> {
        postcard::to_slice(self, to).ok().map(|used| used.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_satellite_reads_all_that_a_host_says_and_nothing_else() {
        let name = Name::new("x").unwrap();
        let (text, measure) = (Text::lossy("y"), Measure::Float(1.5));
        let about = About { name, architecture: text, os: text, firmware: text };
        let kind = ResourceKind::Sensor;
        let resource = Resource { name, kind, unit: Unit::EMPTY, readable: true, writable: true, simulated: false };
        let spoken = [
            Body::Ack,
            Body::Welcome { version: 1, wall_millis: u64::MAX },
            Body::HostAlive { wall_millis: 7 },
            Body::Subscribe { resource: 255, every_millis: 1000 },
            Body::Read { request: 9, resource: 1 },
            Body::Set { request: 300, resource: 2, measure },
            Body::Set { request: 1, resource: 0, measure: Measure::Text(Text::lossy("on")) },
            Body::Relay { child: 1, frame: &[1, 2, 3] },
            Body::Unknown,
        ];
        let others = [
            Body::Hello { lowest: 1, highest: 1, resources: 0, about },
            Body::Resource(resource),
            Body::Alive { uptime_millis: 1 },
            Body::Reading { resource: 1, measure, uptime_millis: 1 },
            Body::Answer { request: 1, outcome: Ok(None) },
            Body::Log { level: Level::Info, lost: 0, text: Text::lossy("z") },
        ];
        let mut bytes = [0; MAX_FRAME];
        for (bodies, is_read) in [(&spoken[..], true), (&others[..], false)] {
            for body in bodies {
                let envelope = Envelope { session: 0xdead_beef, seq: 3, ack: 0xffff, body: *body };
                let frame = envelope.emit(&mut bytes).unwrap();
                assert_eq!(Envelope::parse(&bytes[..frame]), Some(envelope));
                assert_eq!(Envelope::parse_spoken(&bytes[..frame]), is_read.then_some(envelope));
            }
        }
    }
}
