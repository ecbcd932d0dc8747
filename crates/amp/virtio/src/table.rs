//! Private tables, wherever they are kept.

/// Memory of one's own for private state: an array, a borrowed slice, a `Vec`.
pub trait Table<T> {
    /// All of it.
    fn slots(&self) -> &[T];
    /// All of it, to change.
    fn slots_mut(&mut self) -> &mut [T];
}

impl<T, const N: usize> Table<T> for [T; N] {
    #[inline(always)]
    fn slots(&self) -> &[T] {
        self
    }
    #[inline(always)]
    fn slots_mut(&mut self) -> &mut [T] {
        self
    }
}

impl<T> Table<T> for &mut [T] {
    #[inline(always)]
    fn slots(&self) -> &[T] {
        self
    }
    #[inline(always)]
    fn slots_mut(&mut self) -> &mut [T] {
        self
    }
}

#[cfg(feature = "alloc")]
impl<T> Table<T> for alloc::vec::Vec<T> {
    #[inline(always)]
    fn slots(&self) -> &[T] {
        self
    }
    #[inline(always)]
    fn slots_mut(&mut self) -> &mut [T] {
        self
    }
}
