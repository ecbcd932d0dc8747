//! Resource tables, version 1: what a firmware asks of whoever starts it.
//!
//! The layout is that of Linux (`include/linux/remoteproc.h`): `ver, num, reserved[2], offset[num]`, then at each offset
//! `type` and the entry. It lies in the firmware's section `.resource_table`, and the running host writes into the loaded
//! copy: where the queues are, which features it takes, the status.
//!
//! * [`Table`] reads one, wherever it came from. Nothing in here panics on any bytes.
//! * [`Entry`] is one entry, read or to be written; [`emit`] writes a table.
//! * [`Lint`] says what is wrong with one, and what Linux would say to it.
//! * [`resource_table!`](crate::resource_table) places one in a firmware, checked while it is compiled.
//!
//! An address in a table is a [`Claim`]: nothing until a region has confirmed it
//! ([`Spaces::locate`](crate::Spaces::locate)).
//!
//! # Attacks, and how each is met
//!
//! | a table | is met by |
//! |---|---|
//! | whose offsets point outside, into its header, at each other | every read is by checked range; two entries at one place are only odd, since entries are copied out, not held |
//! | with 2^32 entries, vrings or bytes of config space | counts are held against the bytes that are there before anything is done as often |
//! | whose names do not end | [`Label`] ends where its field does |
//! | that changes while it is looked at (it lies in shared memory) | it is copied out first; a [`Table`] is over bytes of one's own |

mod emit;
mod entry;
mod lint;

pub use emit::{EmitError, buffer_len, emit};
pub(crate) use emit::{emit_words, words};
pub use entry::{Carveout, Claim, Devmem, Entry, Label, LabelError, PhysClaim, Trace, Vdev, Vendor, Vrings};
pub(crate) use lint::demand_sound;
pub use lint::{Finding, Lint, Severity};

use crate::bytes::{part, word};

/// The bytes of `ver, num, reserved[2]`.
pub const HEADER: usize = 16;
/// The only version that there is.
pub const VERSION: u32 = 1;

pub(crate) const CARVEOUT: u32 = 0;
pub(crate) const DEVMEM: u32 = 1;
pub(crate) const TRACE: u32 = 2;
pub(crate) const VDEV: u32 = 3;
pub(crate) const VENDOR_FIRST: u32 = 128;
pub(crate) const VENDOR_LAST: u32 = 512;
/// The bytes of a vdev entry behind its type, without vrings and config space; those of one vring.
pub(crate) const VDEV_FIXED: usize = 24;
pub(crate) const VRING: usize = 20;

/// A resource table in bytes of one's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table<T> {
    bytes: T,
}

impl<T: AsRef<[u8]>> Table<T> {
    /// The table in `bytes`, which may be longer.
    ///
    /// # Errors
    /// The first reason why it cannot be read whole. What can be read and would still be refused by Linux is for
    /// [`lint`](Self::lint) to say.
    pub fn new_checked(bytes: T) -> Result<Self, Finding> {
        match Lint::new(bytes.as_ref()).find(|finding| finding.severity == Severity::Malformed) {
            Some(finding) => Err(finding),
            None => Ok(Self { bytes }),
        }
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        // Held against the bytes by `new_checked`.
        word(self.bytes.as_ref(), 4).unwrap_or(0) as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).filter_map(|index| self.entry(index))
    }

    /// One entry; `None` beyond the last one.
    pub fn entry(&self, index: usize) -> Option<Entry<'_>> {
        Entry::parse(self.bytes_of(index)?)
    }

    /// Where in the table an entry starts, its type included: the host writes into vdev entries there.
    pub fn offset(&self, index: usize) -> Option<usize> {
        offset(self.bytes.as_ref(), index)
    }

    /// Goes over the entries that are some vendor's business: `each` gets the type and the bytes behind it, up to the next
    /// entry or the end of the table, and says how many of them were its.
    pub fn vendor_entries<E>(&self, mut each: impl FnMut(Vendor<'_>) -> Result<(), E>) -> Result<(), E> {
        self.entries().try_for_each(|entry| match entry {
            Entry::Vendor(vendor) => each(vendor),
            _ => Ok(()),
        })
    }

    /// What is wrong with it.
    pub fn lint(&self) -> Lint<'_> {
        Lint::new(self.bytes.as_ref())
    }

    /// The bytes of an entry: up to where the next one behind it starts.
    fn bytes_of(&self, index: usize) -> Option<&[u8]> {
        let bytes = self.bytes.as_ref();
        let start = offset(bytes, index)?;
        let end = (0..self.len()).filter_map(|other| offset(bytes, other)).filter(|&other| other > start).min();
        let whole = part(bytes, start, bytes.len().checked_sub(start)?)?;
        match end.and_then(|end| part(bytes, start, end - start)) {
            // Entries may overlap, and then what is behind belongs to both.
            Some(short) if Entry::parse(short).is_some() => Some(short),
            _ => Some(whole),
        }
    }
}

/// The offset in the header, if it is there.
pub(crate) const fn offset(bytes: &[u8], index: usize) -> Option<usize> {
    match index.checked_mul(4) {
        Some(at) => match at.checked_add(HEADER) {
            Some(at) => match word(bytes, at) {
                Some(offset) => Some(offset as usize),
                None => None,
            },
            None => None,
        },
        None => None,
    }
}
