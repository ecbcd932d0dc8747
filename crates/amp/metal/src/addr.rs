//! Addresses, one type for each of the three meanings that chips give to a number.

use core::fmt;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        #[repr(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The address `bytes` further on, if there is one.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// How far `self` lies behind `base`, if it does not lie before it.
            #[must_use]
            pub const fn checked_sub(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// An address on the bus as this core's own memory controller sees it.
    PhysAddr
}
address! {
    /// An address as the two sides agreed to name it in descriptors and resource tables (`da`, or a DMA address).
    ///
    /// Whatever arrives in one is a claim: [`Memory::offset_of`](crate::Memory::offset_of) checks it.
    DeviceAddr
}
