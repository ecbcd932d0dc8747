//! What the fuzz targets call; a plain test calls it over their corpora as well.

use crate::{
    image::{Head, Key},
    record::Record,
};

/// An image's beginning and members, by a key that has signed nothing, and a record: nothing panics.
pub fn anything(bytes: &[u8]) {
    let key = bytes.first_chunk::<32>().copied().unwrap_or_default();
    let mut from = bytes.get(32..).unwrap_or_default();
    if let Ok(head) = Head::read(&mut from, Key::new(key)) {
        let _ = head.check_members(&mut from);
    }
    if let Some(record) = Record::parse(bytes) {
        assert_eq!(record.emit().as_slice(), bytes);
    }
}
