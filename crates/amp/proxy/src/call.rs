//! The calls, for a firmware: each writes one frame to the front of a buffer, and says how long it is; `None` if the
//! buffer is too short. The answer is a [`Frame`](crate::Frame) with the same id.

use crate::wire::{HEADER, Op, Repr, VERSION};

/// Opens a file, with flags as Linux numbers them.
pub fn open(path: &str, flags: i32, mode: i32, to: &mut [u8]) -> Option<usize> {
    with_zero(Op::Open, (flags, mode), path.as_bytes(), to)
}

/// Closes a file.
pub fn close(handle: i32, to: &mut [u8]) -> Option<usize> {
    Repr { op: Op::Close, field1: handle, field2: 0, data: &[] }.emit(to)
}

/// Writes to a file, or to the console: handles 1 and 2.
pub fn write(handle: i32, bytes: &[u8], to: &mut [u8]) -> Option<usize> {
    let len = i32::try_from(bytes.len()).ok()?;
    if handle == 1 {
        return with_zero(Op::Write, (handle, len), bytes, to);
    }
    Repr { op: Op::Write, field1: handle, field2: len, data: bytes }.emit(to)
}

/// Reads from a file, or from the console: handle 0.
pub fn read(handle: i32, most: i32, to: &mut [u8]) -> Option<usize> {
    Repr { op: Op::Read, field1: handle, field2: most, data: &[] }.emit(to)
}

/// Asks which version of the extension the host speaks. A host without it does not answer.
pub fn version(to: &mut [u8]) -> Option<usize> {
    Repr { op: Op::Version, field1: VERSION, field2: 0, data: &[] }.emit(to)
}

/// Goes to a place in a file: `whence` 0 from its start, 1 from here, 2 from its end. Part of the extension.
pub fn seek(handle: i32, whence: i32, offset: i64, to: &mut [u8]) -> Option<usize> {
    Repr { op: Op::Seek, field1: handle, field2: whence, data: &offset.to_le_bytes() }.emit(to)
}

/// Says that the remote ends.
pub fn terminate(to: &mut [u8]) -> Option<usize> {
    Repr { op: Op::Terminate, field1: 0, field2: 0, data: &[] }.emit(to)
}

fn with_zero(op: Op, fields: (i32, i32), bytes: &[u8], to: &mut [u8]) -> Option<usize> {
    let len = HEADER + bytes.len() + 1;
    let room = to.get_mut(..len)?;
    let (field1, field2) = fields;
    let head = Repr { op, field1, field2, data: bytes }.emit(room)?;
    room.get_mut(head..)?.fill(0);
    let data_len = u32::try_from(bytes.len() + 1).ok()?;
    room.get_mut(12..HEADER)?.copy_from_slice(&data_len.to_le_bytes());
    Some(len)
}
