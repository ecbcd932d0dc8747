//! Harnesses for Kani (`cargo kani -p tutti-virtio`), where it is installed: for all values, not for some.
//!
//! The same is tested by properties and by the hostile peer, which need no tool; these are kept so that whoever has Kani can
//! run them. Miri runs the plain tests: `cargo +nightly miri test -p tutti-metal -p tutti-virtio --test pair`.

use crate::cursor::Cursor;
use crate::{Field, Layout, QueueSize, passes};

/// A queue of any size at any place lies behind `at`, in order, and ends where it says.
#[kani::proof]
fn a_layout_never_overlaps_itself() {
    let (Ok(size), at) = (QueueSize::new(kani::any()), kani::any()) else { return };
    let Ok(layout) = Layout::legacy(size, kani::any(), at) else { return };
    let n = usize::from(size.get());
    assert!(layout.descriptors == at && layout.available == at + 16 * n);
    assert!(layout.used >= layout.available + 6 + 2 * n && layout.end() == layout.used + 6 + 8 * n);
}

/// Whatever index the other side writes, no more is believed than it can have handed over, and a lie stays one.
#[kani::proof]
fn an_index_is_believed_only_within_bounds() {
    let mut cursor = Cursor { taken: kani::any(), ..Cursor::default() };
    let (taken, index, most) = (cursor.taken, kani::any(), kani::any());
    // Nothing has been seen beyond what was taken.
    cursor.found(crate::Corrupt { field: Field::UsedIndex, value: 0, limit: 0 });
    cursor.corrupt = None;
    let found = cursor.look(index, most, Field::UsedIndex);
    let ahead = index.wrapping_sub(taken);
    assert_eq!(cursor.corrupt.is_some(), ahead > most);
    assert_eq!(found, ahead > 0 && ahead <= most);
    assert_eq!(cursor.has_more(), found);
}

/// The rule of VIRTIO 1.2, 2.7.10: a wake-up exactly if the event lies in what was added, wrap-around included.
#[kani::proof]
fn a_step_passes_an_event_exactly_if_it_lies_inside() {
    let (event, old, step): (u16, u16, u16) = (kani::any(), kani::any(), kani::any());
    let inside = event.wrapping_sub(old) < step;
    assert_eq!(passes(event, old.wrapping_add(step), old), inside);
}
