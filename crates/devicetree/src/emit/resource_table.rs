//! The resource table of a remote's firmware: carveouts for what it is loaded into, one RPMsg device with two vrings for
//! each channel. The layout, and what Linux refuses, are `tutti-remoteproc`'s.

use std::fmt;

use tutti_remoteproc::table::{self, Carveout, Claim, Entry, Finding, Label, Lint, PhysClaim, Severity, Vdev};
use tutti_virtio::VringEntry;

use super::layout::{Channel, Layout};
use crate::system::RelationKind;

/// What vrings are aligned to: Linux' pages.
pub(super) const VRING_ALIGN: u32 = 4096;

/// Why there is no table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableError {
    /// An address that does not fit in the table's 32 bits.
    Address(String),
    /// A channel without two vrings.
    Vrings(String),
    /// A name that holds what no name in a table can.
    Name(String),
    /// What Linux would refuse.
    Refused(Finding),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(name) => write!(f, "{name} lies above 4 GiB, which a resource table cannot say"),
            Self::Vrings(peer) => write!(f, "the channel to '{peer}' has not two vrings"),
            Self::Name(name) => write!(f, "{name:?} cannot be the name of a carveout"),
            Self::Refused(finding) => write!(f, "Linux would refuse the resource table: {finding}"),
        }
    }
}

impl std::error::Error for TableError {}

/// The table's bytes for the section `.resource_table`; none if there is nothing to say in it.
///
/// # Errors
/// See [`TableError`].
pub fn resource_table(layout: &Layout) -> Result<Option<Vec<u8>>, TableError> {
    let carveouts = layout.firmware.iter().filter(|region| region.kind == super::RegionKind::Carveout);
    let carveouts = carveouts.map(|region| {
        let at = |n: u64| narrow(n, &region.name);
        Ok(Entry::Carveout(Carveout {
            da: Claim(at(region.region.start)?),
            pa: PhysClaim(at(region.global.start)?),
            len: at(region.region.size)?,
            flags: 0,
            name: label(&region.name)?,
        }))
    });
    let mut entries = carveouts.collect::<Result<Vec<_>, TableError>>()?;
    let channels = layout.channels.iter().filter(|channel| channel.kind == RelationKind::Rpmsg && !channel.host);
    let vrings = channels.map(vrings).collect::<Result<Vec<_>, _>>()?;
    entries.extend(vrings.iter().map(|vrings| Entry::Vdev(Vdev::rpmsg(vrings))));
    if entries.is_empty() {
        return Ok(None);
    }
    let mut bytes = vec![0; table::buffer_len(&entries)];
    // Cannot fail: the buffer has the table's length, and each device two queues.
    let written = table::emit(&entries, &mut bytes);
    debug_assert_eq!(written, Ok(bytes.len()));
    match Lint::new(&bytes).find(|finding| finding.severity >= Severity::Refused) {
        Some(finding) => Err(TableError::Refused(finding)),
        None => Ok(Some(bytes)),
    }
}

/// An address or a length; all ones would ask the host to choose.
fn narrow(n: u64, name: &str) -> Result<u32, TableError> {
    match u32::try_from(n) {
        Ok(n) if n != u32::MAX => Ok(n),
        _ => Err(TableError::Address(name.to_owned())),
    }
}

/// As much of a name as a table holds.
fn label(name: &str) -> Result<Label, TableError> {
    let name = name.to_lowercase();
    Label::new(&name[..name.floor_char_boundary(31)]).map_err(|_| TableError::Name(name))
}

fn vrings(channel: &Channel) -> Result<[VringEntry; 2], TableError> {
    let [first, second] = channel.vrings.as_slice() else {
        return Err(TableError::Vrings(channel.peer.clone()));
    };
    let entry = |notifyid, name: &str, start| {
        Ok(VringEntry { da: narrow(start, name)?, align: VRING_ALIGN, num: channel.num, notifyid })
    };
    Ok([entry(0, &first.name, first.region.start)?, entry(1, &second.name, second.region.start)?])
}
