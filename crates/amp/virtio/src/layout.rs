//! Where the three tables of a queue lie.

use crate::LayoutError;

/// The number of entries of a queue: a power of two from 1 to 32,768.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QueueSize(u16);

impl QueueSize {
    /// Checks `entries`.
    ///
    /// # Errors
    /// If it is not a power of two from 1 to 32,768.
    pub const fn new(entries: u32) -> Result<Self, LayoutError> {
        if entries.is_power_of_two() && entries <= 1 << 15 {
            Ok(Self(entries as u16))
        } else {
            Err(LayoutError::Size(entries))
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The offsets of the three tables in their memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layout {
    /// How many entries each has.
    pub size: QueueSize,
    /// Where the descriptors are.
    pub descriptors: usize,
    /// Where the available ring is.
    pub available: usize,
    /// Where the used ring is.
    pub used: usize,
}

impl Layout {
    /// One block at `at`, as legacy devices and resource tables have it: descriptors, available ring, padding
    /// up to a multiple of `align`, used ring. Where caches do not snoop, `align` is at least a cache line.
    ///
    /// # Errors
    /// If `align` is not a power of two from 1 to 2^30, or the end is not an address.
    pub const fn legacy(size: QueueSize, align: u32, at: usize) -> Result<Self, LayoutError> {
        if !align.is_power_of_two() || align > 1 << 30 {
            return Err(LayoutError::Align(align));
        }
        let n = size.get() as usize;
        let align = align as usize;
        // At most 16·2^15 + 6 + 2·2^15 + 2^30: it cannot overflow before `at` comes in.
        let used = (16 * n + 6 + 2 * n).next_multiple_of(if align < 4 { 4 } else { align });
        match at.checked_add(used + 6 + 8 * n) {
            Some(_) => Ok(Self { size, descriptors: at, available: at + 16 * n, used: at + used }),
            None => Err(LayoutError::Outside { end: usize::MAX, memory: 0 }),
        }
    }

    /// How many bytes a block of [`legacy`](Self::legacy) takes.
    ///
    /// # Errors
    /// As there.
    pub const fn legacy_bytes(size: QueueSize, align: u32) -> Result<usize, LayoutError> {
        match Self::legacy(size, align, 0) {
            Ok(layout) => Ok(layout.end()),
            Err(error) => Err(error),
        }
    }

    /// Where the last of the three tables ends.
    #[must_use]
    pub const fn end(&self) -> usize {
        let n = self.size.get() as usize;
        let ends = [self.descriptors + 16 * n, self.available + 6 + 2 * n, self.used + 6 + 8 * n];
        let mut end = ends[0];
        if ends[1] > end {
            end = ends[1];
        }
        if ends[2] > end {
            end = ends[2];
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_queue_takes_the_bytes_that_the_specification_gives() {
        let size = QueueSize::new(256).unwrap();
        assert_eq!(Layout::legacy_bytes(size, 4096), Ok(10_246));
        let layout = Layout::legacy(size, 4096, 0x1000).unwrap();
        assert_eq!((layout.descriptors, layout.available, layout.used), (0x1000, 0x2000, 0x3000));
        // rpmsg-lite's default: 256 buffers each way, aligned to 16.
        assert_eq!(Layout::legacy(size, 16, 0).unwrap().used, 4096 + 528);
        assert_eq!(Layout::legacy_bytes(QueueSize::new(1).unwrap(), 1), Ok(24 + 6 + 8));
    }

    #[test]
    fn impossible_sizes_and_alignments_are_refused() {
        for n in [0, 3, 255, 1 << 16, u32::MAX] {
            assert_eq!(QueueSize::new(n), Err(LayoutError::Size(n)));
        }
        let size = QueueSize::new(1 << 15).unwrap();
        for align in [0, 3, 4095, u32::MAX, 1 << 31] {
            assert_eq!(Layout::legacy(size, align, 0), Err(LayoutError::Align(align)));
        }
        assert!(Layout::legacy(size, 4096, usize::MAX - 10).is_err());
    }
}
