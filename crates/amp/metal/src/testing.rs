//! Memory that misbehaves on purpose: a peer that changes bytes under our hands, and caches that do not snoop.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::{DeviceAddr, Memory, Word};

/// Memory that calls a function before each read, with the memory itself, the offset and the length of what is about
/// to be read. A hostile peer in a test changes whatever it likes from there.
#[derive(Debug)]
pub struct Intercepted<M, F> {
    memory: M,
    before_read: Rc<F>,
}

impl<M: Memory, F: Fn(&M, usize, usize)> Intercepted<M, F> {
    /// Wraps `memory`.
    pub fn new(memory: M, before_read: F) -> Self {
        Self { memory, before_read: Rc::new(before_read) }
    }

    fn before(&self, at: usize, len: usize) {
        assert!(self.memory.check(at, len).is_ok(), "an access of {len} bytes at {at} lies outside");
        (self.before_read)(&self.memory, at, len);
    }
}

impl<M: Clone, F> Clone for Intercepted<M, F> {
    fn clone(&self) -> Self {
        Self { memory: self.memory.clone(), before_read: Rc::clone(&self.before_read) }
    }
}

// SAFETY: hands every access on, after checking it.
unsafe impl<M: Memory, F: Fn(&M, usize, usize)> Memory for Intercepted<M, F> {
    fn len(&self) -> usize {
        self.memory.len()
    }
    fn device_base(&self) -> DeviceAddr {
        self.memory.device_base()
    }
    unsafe fn read<T: Word>(&self, at: usize) -> T {
        self.before(at, T::BYTES);
        assert!(at.is_multiple_of(T::BYTES), "a read at {at} is not aligned");
        // SAFETY: checked just above.
        unsafe { self.memory.read(at) }
    }
    unsafe fn write<T: Word>(&self, at: usize, value: T) {
        assert!(self.memory.check(at, T::BYTES).is_ok() && at.is_multiple_of(T::BYTES), "a write at {at} lies outside");
        // SAFETY: checked just above.
        unsafe { self.memory.write(at, value) }
    }
    unsafe fn load(&self, at: usize) -> u16 {
        self.before(at, 2);
        // SAFETY: inside, checked just above; the alignment is the caller's promise.
        unsafe { self.memory.load(at) }
    }
    unsafe fn store(&self, at: usize, value: u16) {
        assert!(self.memory.check(at, 2).is_ok(), "a store at {at} lies outside");
        // SAFETY: inside, checked just above; the alignment is the caller's promise.
        unsafe { self.memory.store(at, value) }
    }
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]) {
        self.before(at, to.len());
        // SAFETY: checked just above.
        unsafe { self.memory.read_bytes(at, to) }
    }
    unsafe fn write_bytes(&self, at: usize, from: &[u8]) {
        assert!(self.memory.check(at, from.len()).is_ok(), "a write at {at} lies outside");
        // SAFETY: checked just above.
        unsafe { self.memory.write_bytes(at, from) }
    }
    fn pointer(&self, at: usize) -> Option<*mut u8> {
        self.memory.pointer(at)
    }
}

/// The bytes of a cache line in [`Incoherent`].
pub const LINE: usize = 64;

/// One side's view of memory through a write-back cache that does not snoop.
///
/// A read fills a line and is then served from it for ever; a write stays in the line. Only `clean` and `invalidate`
/// reach memory, and a seeded eviction, which writes a dirty line back *whole* at any moment, as real caches do: two
/// sides that write to one line destroy each other's bytes here as they would on the chip.
#[derive(Clone, Debug)]
pub struct Incoherent<M> {
    memory: M,
    cache: Rc<RefCell<Cache>>,
}

#[derive(Debug)]
struct Cache {
    lines: BTreeMap<usize, ([u8; LINE], bool)>,
    random: u64,
}

impl Cache {
    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl<M: Memory> Incoherent<M> {
    /// The two sides of `memory`, each behind a cache of its own.
    pub fn pair(memory: M, seed: u64) -> (Self, Self) {
        assert!(memory.len().is_multiple_of(LINE));
        let side = |seed| Self {
            memory: memory.clone(),
            cache: Rc::new(RefCell::new(Cache { lines: BTreeMap::new(), random: seed | 1 })),
        };
        (side(seed), side(!seed))
    }

    fn bytes(&self, at: usize, len: usize, mut each: impl FnMut(usize, &mut u8) -> bool) {
        self.memory.check(at, len).expect("an access inside");
        let mut cache = self.cache.borrow_mut();
        if cache.random().is_multiple_of(8) {
            let victim = cache.random() as usize % (self.memory.len() / LINE);
            self.write_back(&mut cache, victim);
            cache.lines.remove(&victim);
        }
        for i in at..at + len {
            let (line, dirty) = cache.lines.entry(i / LINE).or_insert_with(|| {
                let mut line = [0; LINE];
                self.memory.copy_out(i / LINE * LINE, &mut line).expect("a whole line");
                (line, false)
            });
            *dirty |= each(i - at, &mut line[i % LINE]);
        }
    }

    fn write_back(&self, cache: &mut Cache, line: usize) {
        if let Some((bytes, dirty @ true)) = cache.lines.get_mut(&line) {
            self.memory.copy_in(line * LINE, bytes).expect("a whole line");
            *dirty = false;
        }
    }
}

// SAFETY: every access goes through `bytes`, which checks it; `clean` and `invalidate` do what the contract says.
unsafe impl<M: Memory> Memory for Incoherent<M> {
    fn len(&self) -> usize {
        self.memory.len()
    }
    fn device_base(&self) -> DeviceAddr {
        self.memory.device_base()
    }
    unsafe fn read<T: Word>(&self, at: usize) -> T {
        let mut value = 0u64;
        self.bytes(at, T::BYTES, |i, byte| {
            value |= u64::from(*byte) << (8 * i);
            false
        });
        T::from_u64(value)
    }
    unsafe fn write<T: Word>(&self, at: usize, value: T) {
        let value = value.into_u64();
        self.bytes(at, T::BYTES, |i, byte| {
            *byte = (value >> (8 * i)) as u8;
            true
        });
    }
    unsafe fn load(&self, at: usize) -> u16 {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.read(at) }
    }
    unsafe fn store(&self, at: usize, value: u16) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.write(at, value) }
    }
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]) {
        self.bytes(at, to.len(), |i, byte| {
            to[i] = *byte;
            false
        });
    }
    unsafe fn write_bytes(&self, at: usize, from: &[u8]) {
        self.bytes(at, from.len(), |i, byte| {
            *byte = from[i];
            true
        });
    }
    fn clean(&self, at: usize, len: usize) {
        let mut cache = self.cache.borrow_mut();
        for line in at / LINE..(at + len).div_ceil(LINE) {
            self.write_back(&mut cache, line);
        }
    }
    fn invalidate(&self, at: usize, len: usize) {
        let mut cache = self.cache.borrow_mut();
        for line in at / LINE..(at + len).div_ceil(LINE) {
            // Hardware would drop the bytes; a protocol that relies on that has lost data already.
            assert!(
                !matches!(cache.lines.remove(&line), Some((_, true))),
                "line {line} was invalidated before it was cleaned"
            );
        }
    }
}
