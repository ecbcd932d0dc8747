//! Reading and writing little-endian numbers in bytes whose length nobody vouches for.

/// The word at `at`, if it lies inside.
pub(crate) const fn word(bytes: &[u8], at: usize) -> Option<u32> {
    match at.checked_add(4) {
        Some(end) if end <= bytes.len() => {
            Some(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
        }
        _ => None,
    }
}

/// The part `at..at + len`, if it lies inside.
pub(crate) const fn part(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    match at.checked_add(len) {
        Some(end) if end <= bytes.len() => Some(bytes.split_at(end).0.split_at(at).1),
        _ => None,
    }
}
