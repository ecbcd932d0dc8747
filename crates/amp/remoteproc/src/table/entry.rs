//! The entries of a resource table.

use core::fmt;

use tutti_metal::{DeviceAddr, PhysAddr};
use tutti_virtio::{Features, Status, VringEntry};

use super::{CARVEOUT, DEVMEM, TRACE, VDEV, VDEV_FIXED, VENDOR_FIRST, VENDOR_LAST, VRING};
use crate::bytes::{part, word};

macro_rules! claim {
    ($(#[$doc:meta])* $name:ident, $address:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// No particular one: the host is to choose.
            pub const ANY: Self = Self(u32::MAX);

            /// The address, unless the host is to choose.
            #[must_use]
            pub const fn address(self) -> Option<$address> {
                if self.0 == Self::ANY.0 { None } else { Some($address(self.0 as u64)) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.address() {
                    Some(address) => address.fmt(f),
                    None => f.write_str("any"),
                }
            }
        }
    };
}

claim! {
    /// A device address that a firmware claims.
    Claim, DeviceAddr
}
claim! {
    /// A physical address that a firmware claims. Many write 0 for no particular one, too.
    PhysClaim, PhysAddr
}

/// The name of an entry: up to 31 bytes and a zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Label([u8; Self::BYTES]);

/// Why a label is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LabelError;

impl fmt::Display for LabelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an entry has at most 31 bytes, none of them zero; shorten it")
    }
}

impl core::error::Error for LabelError {}

impl Label {
    pub(crate) const BYTES: usize = 32;
    /// No name.
    pub const EMPTY: Self = Self([0; Self::BYTES]);

    /// Checks a name.
    ///
    /// # Errors
    /// If it is longer than 31 bytes, or contains a zero.
    pub const fn new(text: &str) -> Result<Self, LabelError> {
        let from = text.as_bytes();
        let mut bytes = [0; Self::BYTES];
        if from.len() >= Self::BYTES {
            return Err(LabelError);
        }
        let mut i = 0;
        while i < from.len() {
            if from[i] == 0 {
                return Err(LabelError);
            }
            bytes[i] = from[i];
            i += 1;
        }
        Ok(Self(bytes))
    }

    /// For constants.
    ///
    /// # Panics
    /// If it is no label; in a constant, that is an error of the compiler.
    #[must_use]
    pub const fn literal(text: &str) -> Self {
        match Self::new(text) {
            Ok(label) => label,
            Err(LabelError) => panic!("the name of an entry has at most 31 bytes, none of them zero; shorten it"),
        }
    }

    /// Its bytes, up to the zero or the end of the field.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        let end = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::BYTES);
        self.0.get(..end).unwrap_or(&self.0)
    }

    pub(crate) const fn field(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label(\"{self}\")")
    }
}

/// Memory that must be there, for code, data or buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Carveout {
    /// Where the firmware sees it.
    pub da: Claim,
    /// Where it is on the bus.
    pub pa: PhysClaim,
    /// How many bytes.
    pub len: u32,
    /// IOMMU flags.
    pub flags: u32,
    /// Its name: Linux looks for a reserved memory of this name first.
    pub name: Label,
}

/// Registers that an IOMMU is to map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Devmem {
    /// Where the firmware sees them.
    pub da: Claim,
    /// Where they are on the bus.
    pub pa: PhysClaim,
    /// How many bytes.
    pub len: u32,
    /// IOMMU flags.
    pub flags: u32,
    /// Their name.
    pub name: Label,
}

/// A buffer of text that the firmware writes for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Where it is.
    pub da: Claim,
    /// How many bytes.
    pub len: u32,
    /// Its name.
    pub name: Label,
}

/// A virtio device that the firmware is, for the host to drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vdev<'a> {
    /// The kind of device: 7 is RPMsg.
    pub id: u32,
    /// What to ring for a change of the config space.
    pub notifyid: u32,
    /// What the device offers: bits 0 to 31.
    pub offered: Features,
    /// What the driver has taken; nothing before it runs.
    pub accepted: Features,
    /// How far the driver is.
    pub status: Status,
    /// Its queues.
    pub vrings: Vrings<'a>,
    /// Its config space.
    pub config: &'a [u8],
}

impl<'a> Vdev<'a> {
    /// An RPMsg device as firmwares have it: the name service, two queues of `num` entries at addresses of the
    /// host's choice.
    #[must_use]
    pub const fn rpmsg(vrings: &'a [VringEntry]) -> Self {
        Self {
            id: 7,
            notifyid: 0,
            offered: Features(1),
            accepted: Features::NONE,
            status: Status::RESET,
            vrings: Vrings::of(vrings),
            config: &[],
        }
    }
}

/// The queues of a virtio device: in a list, or as they stand in a table.
#[derive(Clone, Copy)]
pub struct Vrings<'a>(Held<'a>);

#[derive(Clone, Copy)]
enum Held<'a> {
    List(&'a [VringEntry]),
    Bytes(&'a [u8]),
}

impl<'a> Vrings<'a> {
    /// These.
    #[must_use]
    pub const fn of(list: &'a [VringEntry]) -> Self {
        Self(Held::List(list))
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Held::List(list) => list.len(),
            Held::Bytes(bytes) => bytes.len() / VRING,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One of them.
    #[must_use]
    pub const fn get(&self, index: usize) -> Option<VringEntry> {
        if index >= self.len() {
            return None;
        }
        match self.0 {
            Held::List(list) => Some(list[index]),
            Held::Bytes(bytes) => {
                let at = index * VRING;
                match (word(bytes, at), word(bytes, at + 4), word(bytes, at + 8), word(bytes, at + 12)) {
                    (Some(da), Some(align), Some(num), Some(notifyid)) => Some(VringEntry { da, align, num, notifyid }),
                    _ => None,
                }
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = VringEntry> + use<'_, 'a> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

impl PartialEq for Vrings<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Vrings<'_> {}

impl fmt::Debug for Vrings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// An entry of some vendor's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Vendor<'a> {
    /// Its type, 128 to 512.
    pub kind: u32,
    /// What stands behind the type, up to the next entry or the end of the table. Many begin with their length.
    pub bytes: &'a [u8],
}

/// One entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry<'a> {
    /// Memory.
    Carveout(Carveout),
    /// Registers.
    Devmem(Devmem),
    /// Text.
    Trace(Trace),
    /// A virtio device.
    Vdev(Vdev<'a>),
    /// Some vendor's.
    Vendor(Vendor<'a>),
    /// Of a type that nobody has defined; Linux passes over it.
    Unknown(Vendor<'a>),
}

impl<'a> Entry<'a> {
    /// Reads an entry, its type included; `None` if it is cut off.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let kind = word(bytes, 0)?;
        let bytes = bytes.get(4..)?;
        Some(match kind {
            CARVEOUT | DEVMEM => {
                let (da, pa) = (Claim(word(bytes, 0)?), PhysClaim(word(bytes, 4)?));
                let (len, flags, name) = (word(bytes, 8)?, word(bytes, 12)?, label(bytes, 20)?);
                if kind == CARVEOUT {
                    Self::Carveout(Carveout { da, pa, len, flags, name })
                } else {
                    Self::Devmem(Devmem { da, pa, len, flags, name })
                }
            }
            TRACE => Self::Trace(Trace { da: Claim(word(bytes, 0)?), len: word(bytes, 4)?, name: label(bytes, 12)? }),
            VDEV => Self::Vdev(vdev(bytes)?),
            VENDOR_FIRST..=VENDOR_LAST => Self::Vendor(Vendor { kind, bytes }),
            _ => Self::Unknown(Vendor { kind, bytes }),
        })
    }

    /// The word for what it is.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Carveout(_) => "carveout",
            Self::Devmem(_) => "devmem",
            Self::Trace(_) => "trace",
            Self::Vdev(_) => "vdev",
            Self::Vendor(_) => "vendor",
            Self::Unknown(_) => "unknown",
        }
    }
}

fn label(bytes: &[u8], at: usize) -> Option<Label> {
    let mut field = [0; Label::BYTES];
    field.copy_from_slice(part(bytes, at, Label::BYTES)?);
    Some(Label(field))
}

fn vdev(bytes: &[u8]) -> Option<Vdev<'_>> {
    let (config, vrings) = (word(bytes, 16)? as usize, usize::from(*bytes.get(21)?));
    let behind = VDEV_FIXED + VRING * vrings;
    Some(Vdev {
        id: word(bytes, 0)?,
        notifyid: word(bytes, 4)?,
        offered: Features(u64::from(word(bytes, 8)?)),
        accepted: Features(u64::from(word(bytes, 12)?)),
        status: Status(*bytes.get(20)?),
        vrings: Vrings(Held::Bytes(part(bytes, VDEV_FIXED, VRING * vrings)?)),
        config: part(bytes, behind, config)?,
    })
}
