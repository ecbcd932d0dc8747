//! Which stretches of its memory a front end shares, checked before anything is mapped.

use std::fmt;

/// The most stretches that a front end may share: what the protocol allows without further negotiation.
pub const MOST_REGIONS: usize = 8;

/// The most address space that they may span together, holes included.
const MOST_SPAN: u64 = 1 << 40;

/// The unit in which files are mapped.
const PAGE: u64 = 4096;

/// One stretch of the front end's memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestRegion {
    /// Its address in descriptors.
    pub guest: u64,
    /// Its length in bytes.
    pub len: u64,
    /// Its address in the front end's own process, which is how the protocol says where the rings are.
    pub user: u64,
    /// Where it starts in the file that is passed with it.
    pub offset: u64,
}

/// Why memory that a front end shares cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// There are none, or more than [`MOST_REGIONS`].
    Count(u64),
    /// A region is empty, or its end is not an address.
    Length {
        /// Which one.
        region: usize,
        /// Its length.
        len: u64,
    },
    /// A region does not start or end at a page.
    Unaligned {
        /// Which one.
        region: usize,
    },
    /// A region has addresses that another one has too.
    Overlap {
        /// Which one.
        region: usize,
    },
    /// The regions lie too far apart.
    Span(u64),
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count} memory regions, where 1 to {MOST_REGIONS} are possible"),
            Self::Length { region, len } => write!(f, "memory region {region} cannot have {len} bytes"),
            Self::Unaligned { region } => write!(f, "memory region {region} does not start and end at pages"),
            Self::Overlap { region } => write!(f, "memory region {region} overlaps another one"),
            Self::Span(span) => write!(f, "the memory regions span {span:#x} bytes, more than {MOST_SPAN:#x}"),
        }
    }
}

impl std::error::Error for TableError {}

/// Regions that can all be mapped side by side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    regions: Vec<GuestRegion>,
    low: u64,
    span: usize,
}

impl Table {
    /// Checks what a front end says.
    ///
    /// # Errors
    /// If there are none or too many, or one is empty, unaligned, beyond the end of addresses, or overlaps another.
    pub fn new(regions: Vec<GuestRegion>) -> Result<Self, TableError> {
        if regions.is_empty() || regions.len() > MOST_REGIONS {
            return Err(TableError::Count(regions.len() as u64));
        }
        for (index, one) in regions.iter().enumerate() {
            let ends = [one.guest, one.user, one.offset].map(|start| start.checked_add(one.len));
            if one.len == 0 || ends.contains(&None) {
                return Err(TableError::Length { region: index, len: one.len });
            }
            if [one.guest, one.len, one.offset].iter().any(|at| !at.is_multiple_of(PAGE)) {
                return Err(TableError::Unaligned { region: index });
            }
            let overlaps = |a: u64, b: u64, len: u64| a < b + len && b < a + one.len;
            let before = regions.iter().take(index);
            if before
                .into_iter()
                .any(|other| overlaps(one.guest, other.guest, other.len) || overlaps(one.user, other.user, other.len))
            {
                return Err(TableError::Overlap { region: index });
            }
        }
        let low = regions.iter().map(|region| region.guest).min().unwrap_or(0);
        let high = regions.iter().map(|region| region.guest + region.len).max().unwrap_or(0);
        let span = high - low;
        match usize::try_from(span) {
            Ok(bytes) if span <= MOST_SPAN => Ok(Self { regions, low, span: bytes }),
            _ => Err(TableError::Span(span)),
        }
    }

    /// The regions, as the front end named them.
    #[must_use]
    pub fn regions(&self) -> &[GuestRegion] {
        &self.regions
    }

    /// The lowest address of all.
    #[must_use]
    pub fn low(&self) -> u64 {
        self.low
    }

    /// From the lowest to the highest address of all.
    #[must_use]
    pub fn span(&self) -> usize {
        self.span
    }

    /// How far above the lowest address `len` bytes lie that descriptors call `guest`, if they lie in one region whole.
    #[inline]
    #[must_use]
    pub fn offset_of_guest(&self, guest: u64, len: u64) -> Option<usize> {
        self.find(guest, len, |region| region.guest)
    }

    /// The same for the front end's own addresses.
    #[must_use]
    pub fn offset_of_user(&self, user: u64, len: u64) -> Option<usize> {
        self.find(user, len, |region| region.user)
    }

    #[inline(always)]
    fn find(&self, addr: u64, len: u64, start: impl Fn(&GuestRegion) -> u64) -> Option<usize> {
        self.regions.iter().find_map(|region| {
            let within = addr.checked_sub(start(region))?;
            let end = within.checked_add(len)?;
            // The sum is an address of this region, so it does not overflow and lies within the span.
            (end <= region.len).then(|| (region.guest - self.low + within) as usize)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(guest: u64, len: u64, user: u64) -> GuestRegion {
        GuestRegion { guest, len, user, offset: 0 }
    }

    #[test]
    fn addresses_are_found_in_the_region_that_has_them_whole() {
        let table = vec![region(0x10_0000, 0x4000, 0x7000_0000), region(0, 0x1000, 0x1000)];
        let table = Table::new(table).unwrap();
        assert_eq!((table.low(), table.span()), (0, 0x10_4000));
        assert_eq!(table.offset_of_guest(0x10_0010, 16), Some(0x10_0010));
        assert_eq!(table.offset_of_user(0x7000_0010, 16), Some(0x10_0010));
        assert_eq!(table.offset_of_user(0x1ff8, 8), Some(0xff8));
        for (addr, len) in [(0x1000, 1), (0xfff, 2), (0x10_3fff, 2), (u64::MAX, 1), (0, u64::MAX), (0xf_ffff, 0x100)] {
            assert_eq!(table.offset_of_guest(addr, len), None, "{len} bytes at {addr:#x}");
        }
    }

    #[test]
    fn tables_that_cannot_be_are_refused_by_what_is_wrong() {
        let refused = |regions: &[GuestRegion]| Table::new(regions.to_vec()).unwrap_err();
        assert_eq!(refused(&[]), TableError::Count(0));
        let many: Vec<_> = (0..9).map(|i| region(i << 12, 0x1000, i << 12)).collect();
        assert_eq!(refused(&many), TableError::Count(9));
        assert_eq!(refused(&[region(0, 0, 0)]), TableError::Length { region: 0, len: 0 });
        let far = region(u64::MAX - 0xfff, 0x2000, 0);
        assert_eq!(refused(&[far]), TableError::Length { region: 0, len: 0x2000 });
        let far = region(0, 0x2000, u64::MAX - 0xfff);
        assert_eq!(refused(&[far]), TableError::Length { region: 0, len: 0x2000 });
        assert_eq!(refused(&[region(8, 0x1000, 0)]), TableError::Unaligned { region: 0 });
        let two = [region(0, 0x2000, 0), region(0x1000, 0x1000, 0x8000)];
        assert_eq!(refused(&two), TableError::Overlap { region: 1 });
        let two = [region(0, 0x2000, 0), region(0x2000, 0x1000, 0x1000)];
        assert_eq!(refused(&two), TableError::Overlap { region: 1 });
        let two = [region(0, 0x1000, 0), region(1 << 40, 0x1000, 0x1000)];
        assert_eq!(refused(&two), TableError::Span((1 << 40) + 0x1000));
    }

    proptest! {
        #[test]
        fn whatever_is_found_lies_in_one_region_and_in_the_span(
            regions in prop::collection::vec((0u64..64, 1u64..16, 0u64..64), 1..8),
            addr in 0u64..(80 << 12),
            len in 0u64..0x9000,
        ) {
            let regions = regions.into_iter().map(|(guest, len, user)| region(guest << 12, len << 12, user << 12));
            let Ok(table) = Table::new(regions.collect()) else { return Ok(()) };
            let inside = table.regions().iter().any(|it| it.guest <= addr && addr + len <= it.guest + it.len);
            let found = table.offset_of_guest(addr, len);
            prop_assert_eq!(found.is_some(), inside);
            if let Some(at) = found {
                prop_assert_eq!(at as u64 + table.low(), addr);
                prop_assert!(at as u64 + len <= table.span() as u64);
            }
        }
    }
}
