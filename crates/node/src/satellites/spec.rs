//! How a link is written: `serial:/dev/ttyACM0@115200`, `unix:/run/board.sock`; and `rpmsg:virtio0.tutti-satellite.-1.1024`, which nobody
//! writes, since such links are found.

use std::{fmt, path::PathBuf, str::FromStr};

use tutti_amp_host::linux::Channel;
use tutti_model::Name;

/// The speed of a serial line of which none is named.
const BAUD: u32 = 115_200;

/// What a link is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Spec {
    /// A serial line.
    Serial {
        /// Its device.
        path: PathBuf,
        /// Its speed, in bits each second.
        baud: u32,
    },
    /// A Unix socket on which somebody listens.
    Unix(PathBuf),
    /// A service on the kernel's RPMsg bus.
    Rpmsg(Channel),
}

/// A link was written in another way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum BadSpec {
    /// It begins with no word that is known.
    Sort(String),
    /// Its path is not absolute.
    Path,
    /// Its speed is no number, or none that lines have.
    Baud,
}

impl fmt::Display for BadSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sort(text) => write!(
                f,
                "{text:?} is no link; write serial:/dev/ttyACM0, with @SPEED if it is not {BAUD}, or unix:/path"
            ),
            Self::Path => f.write_str("the path of a link begins with a slash and has no control characters"),
            Self::Baud => {
                f.write_str("the speed of a line is a number of bits each second from 50 to 4000000, such as @115200")
            }
        }
    }
}

impl std::error::Error for BadSpec {}

impl FromStr for Spec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        let (sort, rest) = text.split_once(':').ok_or_else(|| BadSpec::Sort(text.to_owned()))?;
        let path = |text: &str| {
            let well = text.starts_with('/') && text.len() > 1 && !text.chars().any(char::is_control);
            well.then(|| PathBuf::from(text)).ok_or(BadSpec::Path)
        };
        match sort {
            "serial" => {
                let (file, baud) = rest.rsplit_once('@').unwrap_or((rest, ""));
                let baud = if baud.is_empty() { Ok(BAUD) } else { baud.parse().map_err(|_| BadSpec::Baud) }?;
                if !(50..=4_000_000).contains(&baud) {
                    return Err(BadSpec::Baud);
                }
                Ok(Self::Serial { path: path(file)?, baud })
            }
            "unix" => path(rest).map(Self::Unix),
            _ => Err(BadSpec::Sort(text.to_owned())),
        }
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { path, baud: BAUD } => write!(f, "serial:{}", path.display()),
            Self::Serial { path, baud } => write!(f, "serial:{}@{baud}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Rpmsg(channel) => write!(f, "rpmsg:{}", channel.device),
        }
    }
}

impl Spec {
    /// The same device or socket, whatever the speed.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Serial { path: a, .. }, Self::Serial { path: b, .. }) | (Self::Unix(a), Self::Unix(b)) => a == b,
            _ => false,
        }
    }

    /// What to call it if nobody says.
    pub(crate) fn usual_name(&self) -> Option<Name> {
        let fallback = Name::new("link").ok()?;
        let text = match self {
            Self::Serial { path, .. } | Self::Unix(path) => path.file_stem()?.to_string_lossy(),
            Self::Rpmsg(channel) => channel.device.as_str().into(),
        };
        Some(Name::sanitize(&text, fallback))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_and_written() {
        for text in ["serial:/dev/ttyACM0", "serial:/dev/serial/by-id/a@9600", "unix:/run/board.sock"] {
            assert_eq!(text.parse::<Spec>().unwrap().to_string(), text);
        }
        let usual: Spec = "serial:/dev/ttyACM0@115200".parse().unwrap();
        assert_eq!(usual.to_string(), "serial:/dev/ttyACM0");
        assert_eq!(usual.usual_name().unwrap().as_str(), "ttyACM0");
        assert!(usual.is_same_place(&"serial:/dev/ttyACM0@9600".parse().unwrap()));
        for (text, why) in [
            ("", BadSpec::Sort(String::new())),
            ("/dev/ttyACM0", BadSpec::Sort("/dev/ttyACM0".into())),
            ("tcp:1.2.3.4", BadSpec::Sort("tcp:1.2.3.4".into())),
            ("serial:ttyACM0", BadSpec::Path),
            ("unix:/", BadSpec::Path),
            ("unix:/a\nb", BadSpec::Path),
            ("serial:/dev/x@fast", BadSpec::Baud),
            ("serial:/dev/x@1", BadSpec::Baud),
        ] {
            assert_eq!(text.parse::<Spec>(), Err(why), "{text}");
        }
    }
}
