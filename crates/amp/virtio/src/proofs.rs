//! Harnesses for [Kani](https://model-checking.github.io/kani) (`cargo kani -p tutti-virtio`), where it is installed:
//! for all values, not for some.
//!
//! Elsewhere the same harnesses are tests, which draw [`SAMPLES`] values each, half of them near the ends of their
//! range: so they always compile, and always hold for these. Miri runs them and the plain tests, where it is
//! installed: `cargo +nightly miri test -p tutti-metal -p tutti-virtio --lib --test golden`
//! (`MIRIFLAGS=-Zmiri-disable-isolation`).

use crate::cursor::Cursor;
use crate::{Field, Layout, QueueSize, passes};

#[cfg(not(kani))]
use drawn as kani;

/// What stands for Kani where it is not.
#[cfg(not(kani))]
mod drawn {
    use std::cell::Cell;

    std::thread_local! {
        static STATE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
    }

    pub(super) trait Drawn {
        fn of(bits: u64) -> Self;
    }

    macro_rules! drawn {
        ($($t:ty),*) => { $(impl Drawn for $t {
            fn of(bits: u64) -> Self {
                // An eighth each of the smallest and the largest, a quarter of powers of two, else anything.
                match bits % 8 {
                    0 => (bits >> 60) as $t,
                    1 => <$t>::MAX - (bits >> 60) as $t,
                    2 | 3 => 1 << ((bits >> 8) % u64::from(<$t>::BITS)),
                    _ => (bits >> 3) as $t,
                }
            }
        })* };
    }

    drawn!(u16, u32, usize);

    pub(super) fn any<T: Drawn>() -> T {
        // xorshift64*.
        let mut state = STATE.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        STATE.set(state);
        T::of(state.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }
}

/// How often a harness runs as a test.
#[cfg(not(kani))]
const SAMPLES: usize = if cfg!(miri) { 100 } else { 100_000 };

/// Kani sees all values at once; a test goes through some.
fn for_all(harness: fn()) {
    #[cfg(kani)]
    harness();
    #[cfg(not(kani))]
    (0..SAMPLES).for_each(|_| harness());
}

/// A queue of any size at any place lies behind `at`, in order, and ends where it says.
#[cfg_attr(kani, kani::proof)]
#[cfg_attr(not(kani), test)]
fn a_layout_never_overlaps_itself() {
    for_all(|| {
        let (Ok(size), at) = (QueueSize::new(kani::any()), kani::any()) else { return };
        let Ok(layout) = Layout::legacy(size, kani::any(), at) else { return };
        let n = usize::from(size.get());
        assert!(layout.descriptors == at && layout.available == at + 16 * n);
        assert!(layout.used >= layout.available + 6 + 2 * n && layout.end() == layout.used + 6 + 8 * n);
    });
}

/// Whatever index the other side writes, no more is believed than it can have handed over, and a lie stays one.
#[cfg_attr(kani, kani::proof)]
#[cfg_attr(not(kani), test)]
fn an_index_is_believed_only_within_bounds() {
    for_all(|| {
        let mut cursor = Cursor::default();
        // Nothing has been seen beyond what was taken.
        cursor.start_at(kani::any());
        let (taken, index, most): (u16, u16, u16) = (cursor.taken, kani::any(), kani::any());
        let found = cursor.look(index, most, Field::UsedIndex);
        let ahead = index.wrapping_sub(taken);
        assert_eq!(cursor.corrupt.is_some(), ahead > most);
        assert_eq!(found, ahead > 0 && ahead <= most);
        assert_eq!(cursor.has_more(), found);
        assert_eq!(cursor.known(), if found { usize::from(ahead) } else { 0 });
    });
}

/// The rule of VIRTIO 1.2, 2.7.10: a wake-up exactly if the event lies in what was added, wrap-around included.
#[cfg_attr(kani, kani::proof)]
#[cfg_attr(not(kani), test)]
fn a_step_passes_an_event_exactly_if_it_lies_inside() {
    for_all(|| {
        let (event, old, step): (u16, u16, u16) = (kani::any(), kani::any(), kani::any());
        let inside = event.wrapping_sub(old) < step;
        assert_eq!(passes(event, old.wrapping_add(step), old), inside);
    });
}
