//! The least remote: it announces `rpmsg-raw`, as Linux knows it, and echoes what it gets.
//!
//! Queues and window are agreed on at build time, without a resource table; see `memory.x`. The porting guide
//! (`crates/amp/PORTING.md`) walks through this file.
#![no_std]
#![no_main]

mod ipcc;

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use tutti_metal::{DeviceAddr, Local, Region};
use tutti_rpmsg::{Address, Inline, Link, Name, Platform, Remote, RemoteSetup, StaticVrings};

use ipcc::Ipcc;

/// Buffers each way.
const BUFFERS: usize = 4;
const IPCC: usize = 0x4c00_1000;

enum Chip {}

impl Platform for Chip {
    type Memory = Region<'static>;
    type Doorbell = Ipcc;
    type Locks = Local;
    type Storage = Inline<BUFFERS, 1>;
}

/// The link stands here, not on the stack, so that what is reported as RAM is all that there is.
struct Place(UnsafeCell<MaybeUninit<Link<Chip, Remote>>>);
// SAFETY: only `main` touches it, which runs once, and no interrupt handler does.
unsafe impl Sync for Place {}
static LINK: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));

unsafe extern "C" {
    static shared_start: u8;
    static shared_length: u8;
}

fn main() -> Option<()> {
    // SAFETY: the linker script gives the window's place and length; nothing else is there, and it is not cached.
    let window = unsafe {
        let start = (&raw const shared_start).cast_mut();
        Region::from_raw(start, (&raw const shared_length) as usize, DeviceAddr(start as u64))
    };
    let window = window.ok()?;
    // SAFETY: the only use of the controller.
    let bell = unsafe { Ipcc::new(IPCC) };
    let vrings = StaticVrings { at: 0, entries: BUFFERS as u32, align: 16 };
    let setup = RemoteSetup::new(vrings.both(window).ok()?, window);
    // SAFETY: `main` runs once, and this is the only reference to the place.
    let place = unsafe { &mut *LINK.0.get() };
    let link = place.write(Link::new(setup, bell, Inline).ok()?);
    let echo = link.endpoint(Some(Name::new("rpmsg-raw").ok()?), Address::ANY).ok()?;
    loop {
        while let Ok(Some(received)) = echo.try_receive() {
            if let Ok(mut answer) = link.try_loan()
                && answer.bytes().copy_from(&received.bytes()).is_ok()
            {
                let _ = answer.send(echo.address(), received.source(), received.len());
            }
        }
        // Interrupts are off: one that comes between the last look and the sleep is pending then, and ends it.
        if link.listen() == Ok(false) {
            wait_for_interrupt();
        }
        bell.take();
    }
}

fn wait_for_interrupt() {
    // SAFETY: it sleeps until an interrupt is pending; nothing else changes.
    unsafe { core::arch::asm!("wfi", options(nomem, nostack, preserves_flags)) }
}

/// Copies `.data`, zeroes `.bss`, and goes.
#[unsafe(no_mangle)]
unsafe extern "C" fn reset() -> ! {
    unsafe extern "C" {
        static mut data_start: u32;
        static mut data_end: u32;
        static data_load: u32;
        static mut bss_start: u32;
        static mut bss_end: u32;
    }
    // SAFETY: the symbols are the linker's; nothing has run yet that uses what lies between them.
    unsafe {
        core::arch::asm!("cpsid i", options(nomem, nostack));
        let (mut to, mut from) = (&raw mut data_start, &raw const data_load);
        while to < &raw mut data_end {
            to.write_volatile(from.read());
            (to, from) = (to.add(1), from.add(1));
        }
        let mut to = &raw mut bss_start;
        while to < &raw mut bss_end {
            to.write_volatile(0);
            to = to.add(1);
        }
    }
    main();
    loop {
        wait_for_interrupt();
    }
}

unsafe extern "C" {
    static stack_top: u8;
}

/// The first two words of a Cortex-M's vector table: its stack and its start.
#[repr(C)]
struct Vectors(*const u8, unsafe extern "C" fn() -> !);
// SAFETY: it is only read.
unsafe impl Sync for Vectors {}
#[unsafe(link_section = ".vectors")]
#[used]
static VECTORS: Vectors = Vectors(&raw const stack_top, reset);

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        wait_for_interrupt();
    }
}
