//! What one side has taken of what the other side hands over by an index: the same for both directions.

use crate::{Corrupt, Field};

/// How many entries ahead the buffers of a batch set out towards this core: their lines then come side by side.
pub(crate) const AHEAD: u16 = 4;

/// How far one has come, how far the other side is known to have come, and whether it lied.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cursor {
    /// The next entry to take.
    pub(crate) taken: u16,
    /// The last index that was seen and believed; never behind `taken`, and equal to it once corrupt.
    seen: u16,
    pub(crate) corrupt: Option<Corrupt>,
}

impl Cursor {
    /// The next entry is this one, and none is known to be there.
    pub(crate) const fn start_at(&mut self, index: u16) {
        (self.taken, self.seen) = (index, index);
    }

    /// Whether an entry is known to be there. Then nothing is corrupt.
    #[inline(always)]
    pub(crate) const fn has_more(&self) -> bool {
        self.taken != self.seen
    }

    /// How many entries are known to be there.
    #[inline(always)]
    pub(crate) const fn known(&self) -> usize {
        self.seen.wrapping_sub(self.taken) as usize
    }

    /// The entry this many ahead, if it is known to be there.
    #[inline(always)]
    pub(crate) const fn ahead(&self, by: u16) -> Option<u16> {
        if self.seen.wrapping_sub(self.taken) > by { Some(self.taken.wrapping_add(by)) } else { None }
    }

    #[inline(always)]
    pub(crate) const fn advance(&mut self) {
        self.taken = self.taken.wrapping_add(1);
    }

    /// Takes in an index that the other side wrote; true if there is something to take. It may be ahead of what was
    /// taken by at most `most`, which is what an honest other side can have handed over.
    #[inline(always)]
    pub(crate) fn look(&mut self, index: u16, most: u16, field: Field) -> bool {
        let fresh = index.wrapping_sub(self.taken);
        if fresh > most || self.corrupt.is_some() {
            self.refuse(index, most, field);
            return false;
        }
        self.seen = index;
        fresh > 0
    }

    #[cold]
    fn refuse(&mut self, index: u16, most: u16, field: Field) {
        if self.corrupt.is_none() {
            let limit = u64::from(self.taken.wrapping_add(most));
            self.found(Corrupt { field, value: u64::from(index), limit });
        }
    }

    /// What it means that nothing was taken.
    #[inline(always)]
    pub(crate) fn nothing<T>(&self) -> Result<Option<T>, Corrupt> {
        self.corrupt.map_or(Ok(None), Err)
    }

    /// Whether there is something to take.
    pub(crate) fn verdict(&self, found: bool) -> Result<bool, Corrupt> {
        self.corrupt.map_or(Ok(found), Err)
    }

    /// Notes a lie: whatever else was seen is not to be taken either.
    #[cold]
    pub(crate) fn found(&mut self, corrupt: Corrupt) -> Corrupt {
        self.corrupt = Some(corrupt);
        self.stop();
        corrupt
    }

    /// After a [`lie`]: whatever else was seen is not to be taken either.
    #[cold]
    pub(crate) const fn stop(&mut self) {
        self.seen = self.taken;
    }
}

/// Notes that a field of a word at most is a lie.
#[cold]
pub(crate) fn lie<T>(noted: &mut Option<Corrupt>, field: Field, value: u32, limit: u32) -> Option<T> {
    *noted = Some(Corrupt { field, value: u64::from(value), limit: u64::from(limit) });
    None
}
