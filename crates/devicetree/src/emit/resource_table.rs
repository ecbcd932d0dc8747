//! The resource table of a remote's firmware, version 1 (Linux `remoteproc.h`): carveouts for what it is loaded
//! into, one RPMsg device with two vrings for each channel. The only place in this crate that knows the layout.

use std::fmt;

use super::layout::Layout;
use crate::system::RelationKind;

const VIRTIO_ID_RPMSG: u32 = 7;
/// `VIRTIO_RPMSG_F_NS`: channels are announced by name.
const FEATURES: u32 = 1;
const VRING_ALIGN: u32 = 4096;

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Memory that must be there.
    Carveout {
        /// Device address.
        da: u32,
        /// Physical address.
        pa: u32,
        /// Bytes.
        len: u32,
        /// Name.
        name: String,
    },
    /// A virtio device.
    Vdev {
        /// Virtio id.
        id: u32,
        /// Feature bits offered.
        features: u32,
        /// Device address, alignment and number of descriptors of each vring.
        vrings: Vec<(u32, u32, u32)>,
    },
}

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableError {
    /// An address that does not fit in the table's 32 bits.
    Address(String),
    /// A channel without two vrings.
    Vrings(String),
    /// Bytes that are no table.
    Malformed,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(name) => write!(f, "{name} lies above 4 GiB, which a resource table cannot say"),
            Self::Vrings(peer) => write!(f, "the channel to '{peer}' has not two vrings"),
            Self::Malformed => f.write_str("these bytes are no resource table of version 1"),
        }
    }
}

impl std::error::Error for TableError {}

/// The entries for a domain's firmware.
///
/// # Errors
/// See [`TableError`].
pub fn entries(layout: &Layout) -> Result<Vec<Entry>, TableError> {
    let narrow = |n: u64, name: &str| u32::try_from(n).map_err(|_| TableError::Address(name.to_owned()));
    let mut list = Vec::new();
    for region in layout.firmware.iter().filter(|r| r.kind == super::RegionKind::Carveout) {
        list.push(Entry::Carveout {
            da: narrow(region.region.start, &region.name)?,
            pa: narrow(region.global.start, &region.name)?,
            len: narrow(region.region.size, &region.name)?,
            name: region.name.to_lowercase(),
        });
    }
    for channel in layout.channels.iter().filter(|c| c.kind == RelationKind::Rpmsg && !c.host) {
        if channel.vrings.len() != 2 {
            return Err(TableError::Vrings(channel.peer.clone()));
        }
        let vrings = channel
            .vrings
            .iter()
            .map(|v| Ok((narrow(v.region.start, &v.name)?, VRING_ALIGN, channel.num)))
            .collect::<Result<_, TableError>>()?;
        list.push(Entry::Vdev { id: VIRTIO_ID_RPMSG, features: FEATURES, vrings });
    }
    Ok(list)
}

/// The table's bytes for the section `.resource_table`.
///
/// # Errors
/// See [`TableError`].
pub fn resource_table(layout: &Layout) -> Result<Vec<u8>, TableError> {
    Ok(emit(&entries(layout)?))
}

fn emit(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    let put = |out: &mut Vec<u8>, word: u32| out.extend_from_slice(&word.to_le_bytes());
    [1, entries.len() as u32, 0, 0].iter().for_each(|w| put(&mut out, *w));
    let offsets_at = out.len();
    out.resize(offsets_at + 4 * entries.len(), 0);
    for (i, entry) in entries.iter().enumerate() {
        let at = (out.len() as u32).to_le_bytes();
        out[offsets_at + 4 * i..offsets_at + 4 * i + 4].copy_from_slice(&at);
        match entry {
            Entry::Carveout { da, pa, len, name } => {
                [0, *da, *pa, *len, 0, 0].iter().for_each(|w| put(&mut out, *w));
                let mut field = [0u8; 32];
                for (slot, byte) in field.iter_mut().zip(name.bytes().take(31)) {
                    *slot = byte;
                }
                out.extend_from_slice(&field);
            }
            Entry::Vdev { id, features, vrings } => {
                [3, *id, 0, *features, 0, 0].iter().for_each(|w| put(&mut out, *w));
                out.extend_from_slice(&[0, vrings.len() as u8, 0, 0]);
                for (i, (da, align, num)) in vrings.iter().enumerate() {
                    [*da, *align, *num, i as u32, 0].iter().for_each(|w| put(&mut out, *w));
                }
            }
        }
    }
    out
}

/// Reads a table back.
///
/// # Errors
/// [`TableError::Malformed`].
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, TableError> {
    let word = |at: usize| -> Result<u32, TableError> {
        let field = at.checked_add(4).and_then(|end| bytes.get(at..end)).ok_or(TableError::Malformed)?;
        Ok(u32::from_le_bytes([field[0], field[1], field[2], field[3]]))
    };
    let count = word(4)? as usize;
    if word(0)? != 1 || word(8)? != 0 || word(12)? != 0 || count > bytes.len() / 4 {
        return Err(TableError::Malformed);
    }
    (0..count)
        .map(|i| {
            let at = word(16 + 4 * i)? as usize;
            match word(at)? {
                0 => {
                    let field = bytes.get(at + 24..at + 56).ok_or(TableError::Malformed)?;
                    let end = field.iter().position(|b| *b == 0).unwrap_or(32);
                    let name = String::from_utf8_lossy(&field[..end]).into_owned();
                    Ok(Entry::Carveout { da: word(at + 4)?, pa: word(at + 8)?, len: word(at + 12)?, name })
                }
                3 => {
                    let vrings = usize::from(*bytes.get(at + 25).ok_or(TableError::Malformed)?);
                    let vrings = (0..vrings)
                        .map(|v| {
                            let at = at + 28 + 20 * v;
                            Ok((word(at)?, word(at + 4)?, word(at + 8)?))
                        })
                        .collect::<Result<_, TableError>>()?;
                    Ok(Entry::Vdev { id: word(at + 4)?, features: word(at + 12)?, vrings })
                }
                _ => Err(TableError::Malformed),
            }
        })
        .collect()
}
