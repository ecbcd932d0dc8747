//! Why a device refused what another asked of it.
//!
//! On the wire a refusal is a code, a sentence and the code's own details. A reader that does not know the code
//! (or cannot read its details) still has the sentence, written by the device that refused.

use alloc::vec::Vec;
use core::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use super::lease::Token;
use crate::{
    access::{Audience, Operation, Role},
    id::DeviceId,
    record::Sharing,
    text::Text,
};

/// A short explanation in words, for people.
pub type Explanation = Text<100>;

/// Why a device refused, or failed to do, what it was asked.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The resource's policy does not let this role do that.
    NotAllowed {
        /// What was asked for.
        operation: Operation,
        /// The role of the device that asked.
        role: Role,
        /// Who may.
        needs: Audience,
    },
    /// The device offers nothing by this name.
    NoSuchResource,
    /// The resource gives no readings.
    NotReadable,
    /// The resource takes no values.
    NotWritable,
    /// The resource is for one holder at a time, and no lease was shown.
    LeaseNeeded,
    /// Somebody else holds the lease.
    HeldBy {
        /// Who.
        holder: DeviceId,
        /// How much longer, if it is not renewed.
        remaining: Duration,
    },
    /// The token is not that of a lease which the asker holds: never granted, given back, or expired.
    StaleToken,
    /// A later lease was granted.
    Superseded {
        /// Its token.
        by: Token,
    },
    /// The resource is leased in the other mode.
    WrongMode {
        /// How it is leased.
        sharing: Sharing,
    },
    /// No transfer to this device was reserved.
    NotReserved,
    /// The hand-over is not one that the holder signed for this lease and this device.
    BadHandOver,
    /// The value is outside what the resource takes.
    OutOfRange(Explanation),
    /// The resource takes another sort of value.
    WrongType {
        /// Which, after "it takes": "a switch", "on, off or 0 to 100".
        needs: Text<31>,
    },
    /// Nothing is stored under this path.
    NotFound,
    /// The storage's quota is used up.
    NoSpace {
        /// The bytes that are left.
        free: u64,
    },
    /// It is larger than what is accepted.
    TooLarge {
        /// The most bytes accepted.
        max: u64,
    },
    /// The device is at its limit; try again shortly.
    Busy,
    /// The resource did not answer its device in time.
    TimedOut,
    /// The request could not be read.
    Malformed,
    /// The device does not know this sort of request, or the resource has no such operation.
    Unsupported,
    /// It was tried and failed.
    Failed(Explanation),
    /// A reason that this version does not know, in the words of the device that refused.
    Other {
        /// The reason's code.
        code: u16,
        /// What it means.
        text: Explanation,
    },
}

impl Refusal {
    /// A failure with an error of the operating system or a library.
    pub fn failed(error: &dyn fmt::Display) -> Self {
        Self::Failed(explain(error))
    }

    const fn code(&self) -> u16 {
        match self {
            Self::NotAllowed { .. } => 1,
            Self::NoSuchResource => 2,
            Self::NotReadable => 3,
            Self::NotWritable => 4,
            Self::LeaseNeeded => 5,
            Self::HeldBy { .. } => 6,
            Self::StaleToken => 7,
            Self::Superseded { .. } => 8,
            Self::WrongMode { .. } => 9,
            Self::NotReserved => 10,
            Self::BadHandOver => 11,
            Self::OutOfRange(_) => 12,
            Self::WrongType { .. } => 13,
            Self::NotFound => 14,
            Self::NoSpace { .. } => 15,
            Self::TooLarge { .. } => 16,
            Self::Busy => 17,
            Self::TimedOut => 18,
            Self::Malformed => 19,
            Self::Unsupported => 20,
            Self::Failed(_) => 21,
            Self::Other { code, .. } => *code,
        }
    }

    fn detail(&self) -> Result<Vec<u8>, postcard::Error> {
        match self {
            Self::NotAllowed { operation, role, needs } => postcard::to_allocvec(&(operation, role, needs)),
            Self::HeldBy { holder, remaining } => postcard::to_allocvec(&(holder, remaining)),
            Self::Superseded { by } => postcard::to_allocvec(by),
            Self::WrongMode { sharing } => postcard::to_allocvec(sharing),
            Self::WrongType { needs } => postcard::to_allocvec(needs),
            Self::NoSpace { free: bytes } | Self::TooLarge { max: bytes } => postcard::to_allocvec(bytes),
            _ => Ok(Vec::new()),
        }
    }

    fn read(code: u16, text: Explanation, detail: &[u8]) -> Self {
        fn get<T: DeserializeOwned>(detail: &[u8]) -> Option<T> {
            postcard::take_from_bytes(detail).ok().map(|(value, _)| value)
        }
        let known = match code {
            1 => get(detail).map(|(operation, role, needs)| Self::NotAllowed { operation, role, needs }),
            2 => Some(Self::NoSuchResource),
            3 => Some(Self::NotReadable),
            4 => Some(Self::NotWritable),
            5 => Some(Self::LeaseNeeded),
            6 => get(detail).map(|(holder, remaining)| Self::HeldBy { holder, remaining }),
            7 => Some(Self::StaleToken),
            8 => get(detail).map(|by| Self::Superseded { by }),
            9 => get(detail).map(|sharing| Self::WrongMode { sharing }),
            10 => Some(Self::NotReserved),
            11 => Some(Self::BadHandOver),
            12 => Some(Self::OutOfRange(text)),
            13 => get(detail).map(|needs| Self::WrongType { needs }),
            14 => Some(Self::NotFound),
            15 => get(detail).map(|free| Self::NoSpace { free }),
            16 => get(detail).map(|max| Self::TooLarge { max }),
            17 => Some(Self::Busy),
            18 => Some(Self::TimedOut),
            19 => Some(Self::Malformed),
            20 => Some(Self::Unsupported),
            21 => Some(Self::Failed(text)),
            _ => None,
        };
        known.unwrap_or(Self::Other { code, text })
    }
}

/// As much of an explanation as fits.
pub fn explain(error: &dyn fmt::Display) -> Explanation {
    Explanation::lossy(&alloc::format!("{error}"))
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAllowed { operation, role, needs } => {
                let needs = match needs {
                    Audience::Nobody => "only its own device",
                    Audience::Owners => "only owners of the group",
                    Audience::Members => "only members and owners of the group",
                    Audience::Guests => "everybody in the group",
                };
                write!(f, "a {role} may not {operation} it; {needs} may")
            }
            Self::NoSuchResource => f.write_str("it offers nothing by this name"),
            Self::NotReadable => f.write_str("it gives no readings"),
            Self::NotWritable => f.write_str("it takes no values"),
            Self::LeaseNeeded => f.write_str("it has one user at a time; take a lease on it first"),
            Self::HeldBy { holder, remaining } => {
                write!(f, "device {} holds it for another {} s", holder.short(), remaining.as_secs().max(1))
            }
            Self::StaleToken => f.write_str("the lease is over; take a new one"),
            Self::Superseded { by } => write!(f, "a later lease ({by}) was granted; take a new one"),
            Self::WrongMode { sharing: Sharing::Shared } => f.write_str("its leases are shared; ask for a shared one"),
            Self::WrongMode { sharing: Sharing::Exclusive } => {
                f.write_str("its leases are exclusive; ask for an exclusive one")
            }
            Self::NotReserved => f.write_str("no transfer of the lease to this device is reserved"),
            Self::BadHandOver => f.write_str("the hand-over is not the holder's for this lease and device"),
            Self::OutOfRange(text) => write!(f, "it does not take this value: {text}"),
            Self::WrongType { needs } => write!(f, "it takes {needs}"),
            Self::NotFound => f.write_str("nothing is stored under this path"),
            Self::NoSpace { free } => write!(f, "it has room for {free} more bytes"),
            Self::TooLarge { max } => write!(f, "it takes at most {max} bytes"),
            Self::Busy => f.write_str("it is busy; try again shortly"),
            Self::TimedOut => f.write_str("the resource did not answer its device in time"),
            Self::Malformed => f.write_str("it could not read the request"),
            Self::Unsupported => f.write_str("it does not know this request"),
            Self::Failed(text) => write!(f, "it failed: {text}"),
            Self::Other { code, text } => write!(f, "{text} (reason {code})"),
        }
    }
}

impl core::error::Error for Refusal {}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = match self {
            Self::OutOfRange(text) | Self::Failed(text) | Self::Other { text, .. } => *text,
            other => explain(other),
        };
        (self.code(), text, self.detail().map_err(serde::ser::Error::custom)?).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (code, text, detail) = <(u16, Explanation, Vec<u8>)>::deserialize(deserializer)?;
        Ok(Self::read(code, text, &detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_survives_the_wire() {
        let all = [
            Refusal::NotAllowed { operation: Operation::Control, role: Role::Guest, needs: Audience::Members },
            Refusal::NoSuchResource,
            Refusal::NotReadable,
            Refusal::NotWritable,
            Refusal::LeaseNeeded,
            Refusal::HeldBy { holder: DeviceId::from_bytes([3; 32]), remaining: Duration::from_millis(2500) },
            Refusal::StaleToken,
            Refusal::Superseded { by: Token(9) },
            Refusal::WrongMode { sharing: Sharing::Exclusive },
            Refusal::NotReserved,
            Refusal::BadHandOver,
            Refusal::OutOfRange(explain(&"0 to 255")),
            Refusal::WrongType { needs: Text::lossy("switch") },
            Refusal::NotFound,
            Refusal::NoSpace { free: 12 },
            Refusal::TooLarge { max: 13 },
            Refusal::Busy,
            Refusal::TimedOut,
            Refusal::Malformed,
            Refusal::Unsupported,
            Refusal::failed(&"no such file"),
            Refusal::Other { code: 999, text: explain(&"the moon is full") },
        ];
        let codes: alloc::collections::BTreeSet<u16> = all.iter().map(Refusal::code).collect();
        assert_eq!(codes.len(), all.len(), "codes differ");
        for refusal in all {
            let bytes = postcard::to_allocvec(&refusal).unwrap();
            assert_eq!(postcard::from_bytes::<Refusal>(&bytes).unwrap(), refusal);
        }
    }

    #[test]
    fn an_unknown_reason_keeps_its_sentence() {
        let bytes = postcard::to_allocvec(&(700u16, "the lid is closed", [1u8, 2].as_slice())).unwrap();
        let refusal: Refusal = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(refusal.to_string(), "the lid is closed (reason 700)");
        let bytes = postcard::to_allocvec(&(6u16, "held by a newer sort of holder", [0xffu8; 3].as_slice())).unwrap();
        let refusal: Refusal = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(refusal.to_string(), "held by a newer sort of holder (reason 6)", "unreadable details");
    }
}
