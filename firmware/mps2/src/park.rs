//! The resident stub of core 1.
//!
//! The board releases core 1 once; after that nothing but core 1 itself can stop it. So it is released into a stub that belongs
//! to core 0's image, and comes back there for every stop and restart:
//!
//! ```text
//!   CPUWAIT ──▶ rest ◀──────────────┬───────────────┐
//!               │ go: core 0 writes a stack pointer │
//!               ▼ and an entry, and rings           │
//!            firmware ──── fault, or a panic's udf ─┤  registers are kept for a core dump,
//!               └───────── core 0 rings "stop" ─────┘  every active handler is left
//! ```
//!
//! The vectors are the stub's as well: faults and the doorbell that says stop are its own, the others are the firmware's,
//! copied by core 0 at each start. So a firmware that has overwritten its own vectors still ends here, and no firmware needs to do
//! anything for it, but for two things that it must leave alone: VTOR, and the priority of the interrupt of
//! [`mhu::PARKING`](crate::mhu::PARKING), above all others.
//!
//! # What it cannot do
//! A firmware that masks interrupts and never faults does not hear the doorbell, and a core that faults within the stub's own handler
//! is locked up. Neither can be stopped by this board: [`remote`](crate::remote) says so. To make the second unlikely, the stub reads
//! the firmware's stack only where there is memory, and stands on a stack of its own.
#![allow(unsafe_code, reason = "a stub in assembly, and the statics that it shares with core 0")]

use core::sync::atomic::{AtomicU32, Ordering};

use tutti_metal::{Memory, OutOfBounds};

use crate::hardware::{CPUWAIT, Core, INITSVTOR1, Mhu, barrier};
use crate::memory;
use crate::start::INTERRUPTS;
use crate::tree::core0;

core::arch::global_asm!(
    ".equ PARK_STACK_FROM, {from}",
    ".equ PARK_STACK_TO, {to}",
    ".equ PARK_SYSTICK, {systick}",
    ".equ PARK_NVIC, {nvic}",
    ".equ PARK_SCB, {scb}",
    ".equ PARK_MESSAGES, {messages}",
    ".equ PARK_BELL, {bell}",
    ".equ PARK_INTERRUPT, {interrupt}",
    ".equ PARK_WORD, {word}",
    ".equ PARK_BIT, {bit}",
    include_str!("park.s"),
    from = const memory::CORE1_RAM.0,
    to = const memory::CORE1_RAM.0 + memory::CORE1_RAM.1,
    systick = const core0::SYSTICK_BASE,
    nvic = const core0::NVIC0_BASE,
    scb = const core0::SCB_BASE,
    messages = const core0::RPMSG_CORE1_DOORBELL,
    bell = const core0::MHU1_BASE,
    interrupt = const crate::mhu::PARKING,
    // Where in the registers of a bit for each interrupt its own is.
    word = const 4 * (crate::mhu::PARKING as usize / 32),
    bit = const 1u32 << (crate::mhu::PARKING % 32),
);

unsafe extern "C" {
    fn park_reset();
    fn park_taken();
}

const VECTORS: usize = 16 + INTERRUPTS;

#[repr(C, align(1024))]
struct Vectors([AtomicU32; VECTORS]);

#[unsafe(no_mangle)]
static PARK_VECTORS: Vectors = Vectors([const { AtomicU32::new(0) }; VECTORS]);

#[unsafe(no_mangle)]
static PARK_CONTROL: [AtomicU32; 28] = [const { AtomicU32::new(0) }; 28];

#[repr(C, align(8))]
struct Stack([AtomicU32; 64]);

#[unsafe(no_mangle)]
static PARK_STACK: Stack = Stack([const { AtomicU32::new(0) }; 64]);

/// What core 1 does, as the stub says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// It has not been released.
    Waiting,
    /// It rests in the stub.
    Parked,
    /// It runs firmware.
    Running,
}

/// The exception number by which a core parks because it was told to.
pub const TOLD: u32 = 16 + crate::mhu::PARKING as u32;

/// Why core 1 is parked, and with which registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record {
    /// The exception: 0 for reset, 3 for a hard fault, [`TOLD`].
    pub exception: u32,
    /// The configurable fault status.
    pub status: u32,
    /// The address of a bus fault, or else of a memory fault, if one is known.
    pub address: Option<u32>,
    /// r0 to r15 and xpsr.
    pub registers: [u32; 17],
    /// Whether all of them are known. Where the stack was bad, only r4 to r11 are, and the others are zero.
    pub whole: bool,
}

fn word(at: usize) -> u32 {
    PARK_CONTROL.get(at / 4).map_or(0, |word| word.load(Ordering::Relaxed))
}

fn put(at: usize, value: u32) {
    if let Some(word) = PARK_CONTROL.get(at / 4) {
        word.store(value, Ordering::Relaxed);
    }
}

/// What core 1 does.
#[must_use]
pub fn position() -> Position {
    let state = word(0);
    barrier();
    match state {
        1 => Position::Parked,
        2 => Position::Running,
        _ => Position::Waiting,
    }
}

/// Why core 1 is parked.
#[must_use]
pub fn record() -> Record {
    let whole = word(108) == 1;
    let mut registers = [0; 17];
    for (index, register) in registers.iter_mut().enumerate() {
        if whole || (4..12).contains(&index) {
            *register = word(40 + 4 * index);
        }
    }
    let status = word(24);
    // BFARVALID, MMARVALID.
    let address = match (status & 1 << 15 != 0, status & 1 << 7 != 0) {
        (true, _) => Some(word(36)),
        (_, true) => Some(word(32)),
        _ => None,
    };
    Record { exception: word(16), status, address, registers, whole }
}

/// Lets core 1 out of reset, into the stub; the first time, that is.
pub fn release() {
    if CPUWAIT.read() & 2 == 0 {
        return;
    }
    set_vectors(&mut |_| None);
    barrier();
    INITSVTOR1.write(PARK_VECTORS.0.as_ptr() as u32);
    CPUWAIT.write(0);
}

/// Tells core 1 to park. It says so by [`mhu::PARKED`](crate::mhu::PARKED).
pub fn stop() {
    barrier();
    Mhu::PARKING.set(Core::Second).write(1);
}

/// Tells the parked core 1 to run the firmware whose vectors stand at the start of `image`, which is core 1's memory.
///
/// # Errors
/// If the vectors are not there.
pub fn go<M: Memory>(image: &M, generation: u32) -> Result<(), OutOfBounds> {
    let mut vectors = [0; VECTORS];
    for (index, vector) in vectors.iter_mut().enumerate() {
        *vector = image.get::<u32>(4 * index)?;
    }
    set_vectors(&mut |index| vectors.get(index).copied());
    put(8, vectors.first().copied().unwrap_or(0));
    put(12, vectors.get(1).copied().unwrap_or(0));
    barrier();
    put(4, generation.max(1));
    stop();
    Ok(())
}

/// Core 1's vectors: the stub's own, and for the rest the firmware's.
fn set_vectors(firmware: &mut dyn FnMut(usize) -> Option<u32>) {
    let taken = park_taken as *const () as u32 | 1;
    for (index, vector) in PARK_VECTORS.0.iter().enumerate() {
        let value = match index {
            0 => PARK_STACK.0.as_ptr_range().end as u32,
            1 => park_reset as *const () as u32 | 1,
            2..=10 | 12 | 13 => taken,
            _ if index == TOLD as usize => taken,
            _ => firmware(index).unwrap_or(taken),
        };
        vector.store(value, Ordering::Relaxed);
    }
}
