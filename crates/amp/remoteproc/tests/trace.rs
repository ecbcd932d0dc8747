//! Traces, read while they are written.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::fmt::Write;

use proptest::prelude::*;
use tutti_metal::testing::Intercepted;
use tutti_metal::{DeviceAddr, Memory, Owned};
use tutti_remoteproc::trace::{TraceReader, TraceWriter, Traced};

fn memory() -> Owned {
    Owned::allocate(4096, DeviceAddr(0)).unwrap()
}

fn look(reader: &mut TraceReader, memory: &impl Memory, len: usize) -> (String, Traced) {
    let mut text = Vec::new();
    let traced = reader.read(memory, 16, len, &mut |piece| text.extend_from_slice(piece)).unwrap();
    (String::from_utf8_lossy(&text).into_owned(), traced)
}

#[test]
fn a_plain_buffer_is_read_on_from_where_it_ended_and_around_its_end() {
    let memory = memory();
    let mut reader = TraceReader::new();
    let put = |at: usize, text: &[u8]| memory.copy_in(16 + at, text).unwrap();
    assert_eq!(look(&mut reader, &memory, 100).0, "");
    put(0, b"boot\n\0");
    assert_eq!(look(&mut reader, &memory, 100).0, "boot\n");
    assert_eq!(look(&mut reader, &memory, 100).0, "");
    put(5, &[b'x'; 94]);
    assert_eq!(look(&mut reader, &memory, 100).0, "x".repeat(94));
    // Around the end: the last byte, then on at the front, with the zero behind.
    put(99, b"y");
    put(0, b"zz\0");
    assert_eq!(look(&mut reader, &memory, 100).0, "yzz");
    // Who comes late starts with what is behind the zero, which is older.
    let mut late = TraceReader::new();
    assert_eq!(look(&mut late, &memory, 100).0, format!("t\n{}yzz", "x".repeat(94)));
    assert!(reader.read(&memory, 4000, 97, &mut |_| {}).is_err());
    assert_eq!(look(&mut reader, &memory, 0).1, Traced::default());
    // A buffer without any zero is read once around, and not for ever.
    put(0, &[b'q'; 100]);
    assert_eq!(look(&mut TraceReader::new(), &memory, 100).0.len(), 100);
}

#[test]
fn a_counted_trace_says_what_was_lost() {
    let memory = memory();
    let mut writer = TraceWriter::new(memory.clone(), 16, 8 + 20).unwrap();
    let mut reader = TraceReader::new();
    write!(writer, "hello {}", 7).unwrap();
    assert_eq!(look(&mut reader, &memory, 28), ("hello 7".into(), Traced { bytes: 7, lost: 0 }));
    write!(writer, "0123456789abcdefghijklmno").unwrap();
    assert_eq!(look(&mut reader, &memory, 28), ("56789abcdefghijklmno".into(), Traced { bytes: 20, lost: 5 }));
    assert_eq!(look(&mut TraceReader::new(), &memory, 28).0, "56789abcdefghijklmno");
    assert!(TraceWriter::new(memory.clone(), 16, 8).is_err() && TraceWriter::new(memory, 4090, 16).is_err());
}

#[test]
fn what_is_overwritten_while_it_is_read_is_lost_and_not_made_up() {
    let memory = memory();
    let writer = std::cell::RefCell::new(TraceWriter::new(memory.clone(), 16, 8 + 16).unwrap());
    writer.borrow_mut().write(b"0123456789abcdef");
    let armed = Cell::new(true);
    let racing = Intercepted::new(memory.clone(), |_: &Owned, at, len| {
        // Just before the text is copied, four more characters arrive.
        if len > 4 && at >= 24 && armed.take() {
            writer.borrow_mut().write(b"WXYZ");
        }
    });
    let mut reader = TraceReader::new();
    assert_eq!(look(&mut reader, &racing, 24), ("456789abcdef".into(), Traced { bytes: 12, lost: 4 }));
    assert_eq!(look(&mut reader, &racing, 24).0, "WXYZ");
}

proptest! {
    #[test]
    fn everything_written_is_read_once_or_counted_as_lost(
        writes in prop::collection::vec((prop::collection::vec(1u8..=255, 0..60), any::<bool>()), 0..40),
        room in 1usize..50,
    ) {
        let memory = memory();
        let mut writer = TraceWriter::new(memory.clone(), 16, 8 + room).unwrap();
        let (mut reader, mut all, mut got, mut lost) = (TraceReader::new(), vec![], vec![], 0);
        let mut seen = reader.read(&memory, 16, 8 + room, &mut |_| {}).unwrap().bytes;
        for (text, look) in writes {
            writer.write(&text);
            all.extend(text);
            if look {
                let mut fresh = vec![];
                let traced = reader.read(&memory, 16, 8 + room, &mut |piece| fresh.extend_from_slice(piece)).unwrap();
                lost += traced.lost as usize;
                seen += fresh.len();
                prop_assert_eq!(seen + lost, all.len());
                prop_assert_eq!(&all[all.len() - fresh.len()..], &fresh[..]);
                got.extend(fresh);
            }
        }
        prop_assert!(got.len() <= all.len());
    }

    #[test]
    fn any_bytes_are_a_trace(bytes in prop::collection::vec(any::<u8>(), 64), looks in 1usize..4, len in 0usize..60) {
        let memory = memory();
        memory.copy_in(16, &bytes).unwrap();
        if bytes[0] < 128 {
            memory.copy_in(16, b"TTRC").unwrap();
        }
        let mut reader = TraceReader::new();
        for _ in 0..looks {
            let mut total = 0;
            reader.read(&memory, 16, len, &mut |piece| total += piece.len()).unwrap();
            prop_assert!(total <= len);
        }
    }
}
