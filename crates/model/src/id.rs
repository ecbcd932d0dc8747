//! Who and what: the ids of devices and resources.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::text::Name;

/// A device's identity: its Ed25519 public key, 32 bytes.
///
/// Shown as 64 hexadecimal digits; [`DeviceId::short`] shows the first ten, enough to tell devices apart by eye.
/// An id is only a claim until the device has proved that it holds the key (every connection does).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeviceId([u8; 32]);

impl DeviceId {
    /// The id with these key bytes. Whether they are a valid curve point shows when a signature is checked.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key's bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first ten digits.
    pub fn short(&self) -> impl fmt::Display + use<> {
        Short(self.0)
    }
}

struct Short([u8; 32]);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0[..5], f)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceId({}..)", self.short())
    }
}

/// Writes bytes as lower-case hexadecimal digits.
pub fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `N` bytes from `2 N` hexadecimal digits of either case.
pub fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let mut out = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(out)
}

/// A device id was not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseIdError;

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a device id has 64 hexadecimal digits")
    }
}

impl core::error::Error for ParseIdError {}

impl FromStr for DeviceId {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        read_hex(text).map(Self).ok_or(ParseIdError)
    }
}

/// One resource of one device. People write it `kitchen/cpu-temperature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ResourceId {
    /// The device that owns it and is the only authority on it.
    pub device: DeviceId,
    /// Its name, unique on that device.
    pub name: Name,
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device.short(), self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_as_they_print() {
        let id = DeviceId::from_bytes(core::array::from_fn(|i| i as u8 * 7));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        assert_eq!(id.short().to_string(), "00070e151c");
        assert_eq!("0007".parse::<DeviceId>(), Err(ParseIdError));
        assert_eq!("zz".repeat(32).parse::<DeviceId>(), Err(ParseIdError));
        assert_eq!("é".repeat(32).parse::<DeviceId>(), Err(ParseIdError));
    }
}
