//! A resource table in a firmware's own image.
#![allow(unsafe_code, reason = "the one module of this crate that hands a static out as shared memory")]

use core::sync::atomic::AtomicU32;

use tutti_metal::{DeviceAddr, OutOfBounds, Region};

use crate::table::{Entry, demand_sound, emit_words, words};

/// A table of `WORDS` words at a fixed place: what [`resource_table!`](crate::resource_table) makes.
///
/// The host writes into it while the firmware runs, so it is made of atomics, which the linker puts where writing is allowed;
/// it can be reached through [`region`](Self::region) only.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Placed<const WORDS: usize>([AtomicU32; WORDS]);

impl<const WORDS: usize> Placed<WORDS> {
    /// The table with these entries.
    ///
    /// # Panics
    /// If Linux would refuse it, or it has not exactly `WORDS` words. In a static, that is an error of the compiler.
    #[must_use]
    pub const fn new(entries: &[Entry<'_>]) -> Self {
        assert!(words(entries) == WORDS, "the table has another length; use resource_table!");
        let mut bytes = [[0; 4]; WORDS];
        emit_words(entries, &mut bytes);
        demand_sound(bytes.as_flattened());
        let mut table = [const { AtomicU32::new(0) }; WORDS];
        let mut i = 0;
        while i < WORDS {
            // In the order of the wire, whatever the core's own is.
            table[i] = AtomicU32::new(u32::from_ne_bytes(bytes[i]));
            i += 1;
        }
        Self(table)
    }

    /// The table as shared memory, which the host calls `device`: to be given to
    /// [`VdevEntry`](tutti_virtio::VdevEntry). The host is expected to be coherent with this core here; where it is not,
    /// wrap the region as [`tutti_metal::Memory`] describes.
    ///
    /// # Errors
    /// If `device` plus its length is not an address.
    pub fn region(&'static self, device: DeviceAddr) -> Result<Region<'static>, OutOfBounds> {
        let base = self.0.as_ptr().cast_mut().cast();
        // SAFETY: the words are atomics that live for ever, aligned to 16; they are private, and nothing here reads or
        // writes them in any other way or makes a reference to one.
        unsafe { Region::from_raw(base, WORDS * 4, device) }
    }
}

/// How many words the table with these entries has; for the macro.
#[doc(hidden)]
#[must_use]
pub const fn placed_words(entries: &[Entry<'_>]) -> usize {
    words(entries)
}

/// Places a resource table in a firmware: in the section `.resource_table`, where Linux and Tutti look for it.
///
/// It is checked while it is compiled: what Linux refuses does not compile. The linker script has to keep the section
/// (`KEEP(*(.resource_table))`) in memory that is loaded and writable.
///
/// ```
/// use tutti_remoteproc::table::{Carveout, Claim, Entry, Label, PhysClaim, Trace, Vdev};
/// use tutti_virtio::VringEntry;
///
/// const QUEUE: VringEntry = VringEntry { da: Claim::ANY.0, align: 4096, num: 256, notifyid: 0 };
/// const LOG: Trace = Trace { da: Claim(0x3ed8_0000), len: 0x1000, name: Label::literal("log") };
///
/// tutti_remoteproc::resource_table! {
///     /// What this firmware needs.
///     pub static TABLE = &[
///         Entry::Vdev(Vdev::rpmsg(&[QUEUE, VringEntry { notifyid: 1, ..QUEUE }])),
///         Entry::Trace(LOG),
///     ];
/// }
/// # fn main() {
/// assert_eq!(TABLE.region(tutti_metal::DeviceAddr(0x3ed0_0000)).is_ok(), true);
/// # }
/// ```
///
/// Three queues in one device, which Linux refuses:
///
/// ```compile_fail
/// use tutti_remoteproc::table::{Entry, Vdev};
/// use tutti_virtio::VringEntry;
/// const QUEUE: VringEntry = VringEntry { da: u32::MAX, align: 4096, num: 256, notifyid: 0 };
/// tutti_remoteproc::resource_table! {
///     static TABLE = &[Entry::Vdev(Vdev::rpmsg(&[QUEUE, QUEUE, QUEUE]))];
/// }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! resource_table {
    ($(#[$meta:meta])* $vis:vis static $name:ident = $entries:expr;) => {
        $(#[$meta])*
        #[unsafe(link_section = ".resource_table")]
        #[used]
        $vis static $name: $crate::Placed<{ $crate::placed_words($entries) }> = $crate::Placed::new($entries);
    };
}
