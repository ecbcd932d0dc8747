//! What RPMsg has beyond what every peer knows: each part takes a feature bit that both sides agree on, and without it
//! not a byte on the wire differs.
//!
//! The bits stand above 1 to 3, which upstream is about to use for buffer sizes (bit 1 in the series for Linux,
//! bit 2 in the one for open-amp).
//!
//! | bit | what it means |
//! |---|---|
//! | 4, [`F_SIZES`] | the device's config space starts with [`Sizes`]: how large it would like the buffers |
//! | 5, [`F_FRAGMENTS`] | a message with bit 15 of the header's flags is a piece of a longer one, and starts with a [`Fragment`] |
//! | 6, [`F_CREDITS`] | a message with bit 14 is no message but a grant: how many messages its receiver may have sent so far |
//!
//! # Credits
//!
//! Buffers are shared by all endpoints of a link: one endpoint that is not read takes them all, and everybody waits.
//! An endpoint with a window ([`Endpoint::set_window`](crate::Endpoint::set_window)) lets its peer have only so many
//! messages under way. Grants are totals modulo 2^32, not differences: a grant that is said twice grants nothing
//! twice. Who has never been granted anything is not limited, since the other endpoint has no window. A peer that
//! sends more than it was granted has the excess given back unread, and counted
//! ([`Stats::over_window`](crate::Stats::over_window)).

use tutti_virtio::Features;

/// The device says how large it would like the buffers.
pub const F_SIZES: Features = Features(1 << 4);
/// Messages longer than a buffer go in pieces.
pub const F_FRAGMENTS: Features = Features(1 << 5);
/// Endpoints may have windows.
pub const F_CREDITS: Features = Features(1 << 6);

/// In the flags of a header: a piece.
pub(crate) const FRAGMENT: u16 = 1 << 15;
/// In the flags of a header: a grant.
pub(crate) const GRANT: u16 = 1 << 14;

/// The start of a device's config space: `to_host, to_remote: u32`, bytes of a buffer with its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// For messages to the host, in queue 0.
    pub to_host: u32,
    /// For messages to the remote, in queue 1.
    pub to_remote: u32,
}

impl Sizes {
    /// Its length.
    pub const BYTES: usize = 8;

    /// Reads them; every pattern of bits is one.
    #[must_use]
    pub fn parse(bytes: &[u8; Self::BYTES]) -> Self {
        let all = u64::from_le_bytes(*bytes);
        Self { to_host: all as u32, to_remote: (all >> 32) as u32 }
    }

    /// Their bytes.
    #[must_use]
    pub const fn emit(self) -> [u8; Self::BYTES] {
        (self.to_host as u64 | (self.to_remote as u64) << 32).to_le_bytes()
    }

    /// The one size that a host takes for all buffers: the larger wish, but at least the usual 512 and at most `most`.
    #[must_use]
    pub fn common(self, most: u32) -> u32 {
        let wished = self.to_host.max(self.to_remote);
        let largest = most.min(crate::LARGEST_BUFFER) / 8 * 8;
        wished.min(largest).next_multiple_of(8).min(largest).max(512)
    }
}

/// What a piece of a long message starts with: `total, offset: u32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fragment {
    /// How long the whole message is.
    pub(crate) total: u32,
    /// Where in it this piece belongs.
    pub(crate) offset: u32,
}

impl Fragment {
    pub(crate) const BYTES: usize = 8;

    pub(crate) fn parse(bytes: &[u8; Self::BYTES]) -> Self {
        let all = u64::from_le_bytes(*bytes);
        Self { total: all as u32, offset: (all >> 32) as u32 }
    }

    pub(crate) const fn emit(self) -> [u8; Self::BYTES] {
        (self.total as u64 | (self.offset as u64) << 32).to_le_bytes()
    }
}

/// The credits between an endpoint and its peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Flow {
    /// How many messages the peer may have under way; 0 for as many as it likes.
    pub(crate) window: u16,
    /// How many have arrived from it, and how many of those have been taken.
    arrived: u32,
    taken: u32,
    /// Up to which one it was last told that it may send.
    told: Option<u32>,
    /// How many were sent to it, and up to which one it said that they may be.
    sent: u32,
    limit: Option<u32>,
}

impl Flow {
    /// Another peer, or none: counting starts anew.
    pub(crate) const fn new(window: u16) -> Self {
        Self { window, arrived: 0, taken: 0, told: None, sent: 0, limit: None }
    }

    /// One more wants to be sent; false if it may not.
    pub(crate) fn send(&mut self) -> bool {
        if self.limit == Some(self.sent) {
            return false;
        }
        self.sent = self.sent.wrapping_add(1);
        true
    }

    /// It was not sent after all.
    pub(crate) fn unsend(&mut self) {
        self.sent = self.sent.saturating_sub(1);
    }

    /// The peer grants.
    pub(crate) fn granted(&mut self, limit: u32) {
        // A limit behind what was sent already, or behind the last one, is a lie or stale.
        let ahead = limit.wrapping_sub(self.sent);
        let forward = self.limit.is_none_or(|old| limit.wrapping_sub(old) < 1 << 31);
        if ahead < 1 << 31 && forward {
            self.limit = Some(limit);
        }
    }

    /// One more has arrived; false if it should not have.
    pub(crate) fn arrive(&mut self) -> bool {
        if self.told == Some(self.arrived) {
            return false;
        }
        self.arrived = self.arrived.wrapping_add(1);
        true
    }

    /// One more has been taken.
    pub(crate) fn take(&mut self) {
        self.taken = self.taken.wrapping_add(1);
    }

    /// The grant that is due: at first, and whenever half the window has been taken.
    pub(crate) fn due(&self) -> Option<u32> {
        if self.window == 0 {
            return None;
        }
        let limit = self.taken.wrapping_add(u32::from(self.window));
        let fresh = self.told.map_or(u32::MAX, |told| limit.wrapping_sub(told));
        (fresh >= u32::from(self.window).div_ceil(2)).then_some(limit)
    }

    /// It has been said.
    pub(crate) fn said(&mut self, limit: u32) {
        // What arrived before the first grant was not limited, and counts in full.
        self.told = Some(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bounded_by_what_the_host_has_and_by_what_a_header_can_say() {
        let sizes = Sizes::parse(&[0, 8, 0, 0, 0, 16, 0, 0]);
        assert_eq!(sizes, Sizes { to_host: 2048, to_remote: 4096 });
        assert_eq!(sizes.emit(), [0, 8, 0, 0, 0, 16, 0, 0]);
        assert_eq!((sizes.common(u32::MAX), sizes.common(3001), sizes.common(5)), (4096, 3000, 512));
        let lie = Sizes { to_host: u32::MAX, to_remote: 0 };
        assert_eq!(lie.common(u32::MAX) % 8, 0);
        assert!(lie.common(u32::MAX) <= crate::LARGEST_BUFFER);
        assert_eq!(Sizes { to_host: 0, to_remote: 1001 }.common(u32::MAX), 1008);
    }

    #[test]
    fn a_window_bounds_what_is_under_way_and_grants_come_by_halves() {
        let (mut here, mut there) = (Flow::new(4), Flow::new(0));
        assert!(there.due().is_none());
        let limit = here.due().unwrap();
        here.said(limit);
        there.granted(limit);
        let sent = (0..10).filter(|_| there.send()).count();
        assert_eq!(sent, 4);
        assert!((0..4).all(|_| here.arrive()) && !here.arrive(), "the fifth should not have come");
        here.take();
        assert_eq!(here.due(), None);
        here.take();
        there.granted(here.due().unwrap());
        there.granted(1);
        assert_eq!((0..10).filter(|_| there.send()).count(), 2, "a stale grant changes nothing");
    }
}
