//! The bytes of a message, from Linux `include/linux/rpmsg/*.h` and `drivers/rpmsg/virtio_rpmsg_bus.c`.

use core::fmt;

use tutti_virtio::Features;

/// The virtio device id of RPMsg.
pub const VIRTIO_ID: u32 = 7;
/// The device understands the name service.
pub const F_NS: Features = Features(1);
/// The bytes of a message's header.
pub const HEADER: usize = 16;
/// The most bytes that a buffer may have: a header, and what its length can say, rounded down to a multiple of 8.
pub const LARGEST_BUFFER: u32 = 65_544;

/// Where a message comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u32);

impl Address {
    /// No particular one: asks for a free one.
    pub const ANY: Self = Self(u32::MAX);
    /// The name service.
    pub const NAME_SERVICE: Self = Self(53);
    /// The first address that is given to endpoints that ask for any; those below are for fixed services.
    pub const FIRST_DYNAMIC: Self = Self(1024);
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:#x})", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A message's header: `src, dst, reserved: u32; len, flags: u16`, little-endian.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Where it comes from.
    pub source: Address,
    /// Where it goes to.
    pub destination: Address,
    /// How many bytes follow.
    pub len: u16,
    /// Undefined so far.
    pub flags: u16,
}

impl Header {
    /// Reads a header; every pattern of bits is one. The reserved word is ignored: some receivers write into it.
    #[must_use]
    #[inline(always)]
    pub const fn parse(bytes: &[u8; HEADER]) -> Self {
        let all = u128::from_le_bytes(*bytes);
        Self {
            source: Address(all as u32),
            destination: Address((all >> 32) as u32),
            len: (all >> 96) as u16,
            flags: (all >> 112) as u16,
        }
    }

    /// Its bytes.
    #[must_use]
    #[inline(always)]
    pub const fn emit(self) -> [u8; HEADER] {
        let all = self.source.0 as u128
            | (self.destination.0 as u128) << 32
            | (self.len as u128) << 96
            | (self.flags as u128) << 112;
        all.to_le_bytes()
    }
}

/// The name of a service: up to 31 bytes without a zero (Linux matches names of 32, but keeps only 31 for others).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name([u8; Self::BYTES]);

/// Why a name is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameError;

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a service has 1 to 31 bytes, none of them zero")
    }
}

impl core::error::Error for NameError {}

impl Name {
    const BYTES: usize = 32;

    /// Checks a name.
    ///
    /// # Errors
    /// If it is empty, longer than 31 bytes, or contains a zero.
    pub const fn new(text: &str) -> Result<Self, NameError> {
        let from = text.as_bytes();
        if from.is_empty() || from.len() >= Self::BYTES {
            return Err(NameError);
        }
        let mut bytes = [0; Self::BYTES];
        let mut i = 0;
        while i < from.len() {
            if from[i] == 0 {
                return Err(NameError);
            }
            bytes[i] = from[i];
            i += 1;
        }
        Ok(Self(bytes))
    }

    /// The name that a peer sent: what stands before the first zero, if there is one.
    #[must_use]
    pub fn from_wire(mut bytes: [u8; 32]) -> Self {
        let mut ended = false;
        for byte in &mut bytes {
            ended |= *byte == 0;
            if ended {
                *byte = 0;
            }
        }
        Self(bytes)
    }

    /// Its bytes, without the padding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::BYTES);
        self.0.get(..end).unwrap_or(&self.0)
    }

    /// It as text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        core::str::from_utf8(self.as_bytes()).ok()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name(\"{self}\")")
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// A message of the name service: `name[32]; addr, flags: u32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Announcement {
    /// The name of the service.
    pub name: Name,
    /// Its address.
    pub address: Address,
    /// Whether it came or went.
    pub alive: bool,
}

impl Announcement {
    /// Its length. A message of any other is none.
    pub const BYTES: usize = 40;

    /// Reads one; every pattern of bits is one.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Self {
        let mut name = [0; 32];
        name.copy_from_slice(&bytes[..32]);
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Self { name: Name::from_wire(name), address: Address(word(32)), alive: word(36) & 1 == 0 }
    }

    /// Its bytes.
    #[must_use]
    pub fn emit(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.name.0);
        bytes[32..36].copy_from_slice(&self.address.0.to_le_bytes());
        bytes[36..].copy_from_slice(&u32::from(!self.alive).to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_bytes_that_linux_gives_it() {
        let header = Header { source: Address(0x400), destination: Address(53), len: 40, flags: 0x8001 };
        let bytes = [0, 4, 0, 0, 53, 0, 0, 0, 0, 0, 0, 0, 40, 0, 1, 0x80];
        assert_eq!(header.emit(), bytes);
        let mut touched = bytes;
        touched[8..12].fill(0xff);
        assert_eq!(Header::parse(&touched), header, "the reserved word is the receiver's to write into");
    }

    #[test]
    fn an_announcement_has_the_bytes_that_linux_gives_it() {
        let name = Name::new("rpmsg-tty").unwrap();
        let bytes = Announcement { name, address: Address(0x401), alive: false }.emit();
        assert_eq!(&bytes[..10], b"rpmsg-tty\0");
        assert_eq!(bytes[32..], [1, 4, 0, 0, 1, 0, 0, 0]);
        assert_eq!(Announcement::parse(&bytes), Announcement { name, address: Address(0x401), alive: false });
        let full = Announcement::parse(&[b'a'; 40]);
        assert_eq!(full.name.as_bytes(), [b'a'; 32], "a name need not end in a zero");
        for bad in ["", "a\0b", "0123456789012345678901234567890123"] {
            assert_eq!(Name::new(bad), Err(NameError));
        }
    }
}
