//! The doorbells between the cores: two message handling units. The first rings for messages; the second tells core 1 to
//! park, at a priority above all that firmware does, and tells core 0 that it has.

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::signal::Signal;
use tutti_metal::Doorbell;

use crate::hardware::{Core, Mhu, barrier, enable_of, interrupt};
use crate::tree::core0;

/// The interrupt of the unit for messages.
pub const MESSAGES: u8 = interrupt(core0::RPMSG_CORE1_DOORBELL_INTERRUPT);
/// The interrupt of the unit for parking.
pub const PARKING: u8 = interrupt(core0::MHU1_INTERRUPTS[0]);

/// The other core has rung for a message.
pub static RUNG: Signal<CriticalSectionRawMutex, ()> = Signal::new();
/// On core 0: core 1 has parked.
pub static PARKED: Signal<CriticalSectionRawMutex, ()> = Signal::new();

/// Rings the other core for messages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bell;

impl Doorbell for Bell {
    fn ring(&self, queue: u32) {
        barrier();
        Mhu::MESSAGES.set(Core::other()).write(1 << (queue & 3));
    }
}

/// Lets an interrupt in.
pub fn listen(interrupt: u8) {
    let (register, bit) = enable_of(interrupt);
    register.write(bit);
}

/// The handler of [`MESSAGES`].
pub extern "C" fn on_message() {
    Mhu::MESSAGES.clear(Core::this()).write(0xf);
    RUNG.signal(());
}

/// The handler of [`PARKING`] on core 0. On core 1 the stub has this interrupt.
pub extern "C" fn on_parked() {
    Mhu::PARKING.clear(Core::First).write(0xf);
    PARKED.signal(());
}
