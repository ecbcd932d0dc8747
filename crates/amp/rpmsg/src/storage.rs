//! Where a link keeps its private tables.

use tutti_virtio::Table;

/// A way to keep tables whose sizes are known when a link is made.
pub trait Storage {
    /// A table with one slot for each entry of a queue.
    type Ring<T>: Table<T>;
    /// A table with one slot for each endpoint, or each service of the other side.
    type Endpoints<T>: Table<T>;

    /// A table for a queue of `entries`; it may turn out smaller, which the link notices.
    fn ring<T: Default>(&self, entries: usize) -> Self::Ring<T>;
    /// A table for endpoints.
    fn endpoints<T: Default>(&self) -> Self::Endpoints<T>;
}

/// In place, without a heap: for queues of up to `RING` entries, and `ENDPOINTS` endpoints.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inline<const RING: usize, const ENDPOINTS: usize>;

impl<const RING: usize, const ENDPOINTS: usize> Storage for Inline<RING, ENDPOINTS> {
    type Ring<T> = [T; RING];
    type Endpoints<T> = [T; ENDPOINTS];

    fn ring<T: Default>(&self, _: usize) -> [T; RING] {
        core::array::from_fn(|_| T::default())
    }
    fn endpoints<T: Default>(&self) -> [T; ENDPOINTS] {
        core::array::from_fn(|_| T::default())
    }
}

/// On the heap, as large as the queues turn out to be.
#[cfg(feature = "alloc")]
#[derive(Clone, Copy, Debug)]
pub struct Heap {
    /// How many endpoints there may be.
    pub endpoints: usize,
}

#[cfg(feature = "alloc")]
impl Storage for Heap {
    type Ring<T> = alloc::vec::Vec<T>;
    type Endpoints<T> = alloc::vec::Vec<T>;

    fn ring<T: Default>(&self, entries: usize) -> alloc::vec::Vec<T> {
        core::iter::repeat_with(T::default).take(entries).collect()
    }
    fn endpoints<T: Default>(&self) -> alloc::vec::Vec<T> {
        core::iter::repeat_with(T::default).take(self.endpoints).collect()
    }
}
