//! The kinds of resources that a device can offer.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $word:literal;)*) => {
        /// What sort of thing a resource is. On the wire a 16-bit code, so that a kind which this version does not
        /// know is kept and shown rather than refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "u16", into = "u16")]
        pub enum ResourceKind {
            $($(#[$doc])* $variant,)*
            /// A kind that a newer version knows.
            Unknown(u16),
        }

        impl ResourceKind {
            /// Every kind that this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word for it, as the command line takes and prints it.
            pub const fn word(self) -> Option<&'static str> {
                match self { $(Self::$variant => Some($word),)* Self::Unknown(_) => None }
            }
        }

        impl From<u16> for ResourceKind {
            fn from(code: u16) -> Self {
                match code { $($code => Self::$variant,)* other => Self::Unknown(other) }
            }
        }

        impl From<ResourceKind> for u16 {
            fn from(kind: ResourceKind) -> Self {
                match kind { $(ResourceKind::$variant => $code,)* ResourceKind::Unknown(code) => code }
            }
        }

        impl FromStr for ResourceKind {
            type Err = UnknownKind;
            fn from_str(word: &str) -> Result<Self, UnknownKind> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => word
                        .strip_prefix("kind-")
                        .and_then(|code| code.parse::<u16>().ok())
                        .map(Self::from)
                        .ok_or(UnknownKind),
                }
            }
        }
    };
}

kinds! {
    /// Measures something: a temperature, a load, a rate.
    Sensor = 1, "sensor";
    /// Shows text and images.
    Display = 2, "display";
    /// Gives pictures.
    Camera = 3, "camera";
    /// Gives sound.
    Microphone = 4, "microphone";
    /// Plays sound.
    Speaker = 5, "speaker";
    /// Gives what a person presses, points at or turns.
    Input = 6, "input";
    /// Keeps bytes.
    Storage = 7, "storage";
    /// Runs apps.
    Compute = 8, "compute";
    /// Runs models.
    Inference = 9, "inference";
    /// Changes something: a lamp, a relay, a backlight.
    Actuator = 10, "actuator";
}

impl fmt::Display for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.word(), self) {
            (Some(word), _) => f.pad(word),
            (None, Self::Unknown(code)) => write!(f, "kind-{code}"),
            (None, _) => Ok(()),
        }
    }
}

/// The word names no kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownKind;

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such kind; known are")?;
        ResourceKind::ALL.iter().try_for_each(|kind| write!(f, " {kind}"))
    }
}

impl core::error::Error for UnknownKind {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_codes_round_trip() {
        for kind in ResourceKind::ALL.iter().copied().chain([ResourceKind::Unknown(777)]) {
            assert_eq!(ResourceKind::from(u16::from(kind)), kind);
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
    }
}
