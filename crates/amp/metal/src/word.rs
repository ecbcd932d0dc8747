//! The integers that can be read from shared memory in one access.

mod sealed {
    pub trait Sealed {}
}

/// An unsigned integer that shared memory holds in little-endian order.
pub trait Word: sealed::Sealed + Copy + Eq + core::fmt::Debug + 'static {
    /// Its length in bytes, which is its alignment too.
    const BYTES: usize;
    /// From the order of the wire to that of this core.
    #[must_use]
    fn of_wire(self) -> Self;
    /// From the order of this core to that of the wire.
    #[must_use]
    fn to_wire(self) -> Self;
    /// The low bytes of a wider number.
    #[must_use]
    fn from_u64(wide: u64) -> Self;
    /// The number itself, wider.
    #[must_use]
    fn into_u64(self) -> u64;
}

macro_rules! word {
    ($($t:ty),*) => {$(
        impl sealed::Sealed for $t {}
        impl Word for $t {
            const BYTES: usize = size_of::<$t>();
            #[inline(always)]
            fn of_wire(self) -> Self {
                <$t>::from_le(self)
            }
            #[inline(always)]
            fn to_wire(self) -> Self {
                self.to_le()
            }
            #[inline(always)]
            fn from_u64(wide: u64) -> Self {
                wide as $t
            }
            #[inline(always)]
            fn into_u64(self) -> u64 {
                u64::from(self)
            }
        }
    )*};
}
word!(u8, u16, u32, u64);
