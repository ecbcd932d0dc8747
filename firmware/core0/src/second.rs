//! The second core of the chip: the tasks that run it, and the satellite that it is behind this one.

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use mps2::remote::Fault;
use mps2::uart::DUMP;
use mps2::{Spawner, mhu};
use static_cell::StaticCell;

use crate::chip::Chip;
use crate::satellite::Behind;
use crate::{Uplink, commands, messages};

/// Its image.
static IMAGE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/core1.elf"));

/// What it is called behind this satellite.
pub(crate) const CORE1: u8 = 1;
/// What an RPMsg message holds.
pub(crate) const FRAME: usize = 496;

/// A frame on its way to core 1.
pub(crate) struct Frame {
    bytes: [u8; FRAME],
    len: usize,
}

impl Frame {
    fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; FRAME];
        bytes.get_mut(..from.len())?.copy_from_slice(from);
        Some(Self { bytes, len: from.len() })
    }
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Core 1, as whoever is behind this satellite.
pub(crate) struct Second {
    /// What is to go to it. When it is full frames are lost; the host sends them again.
    pub(crate) frames: Channel<NoopRawMutex, Frame, 2>,
}

impl Second {
    pub(crate) const fn new() -> Self {
        Self { frames: Channel::new() }
    }
}

impl Behind for Second {
    fn take(&self, child: u8, frame: &[u8]) {
        if child != CORE1 {
            return;
        }
        if let Some(frame) = Frame::new(frame) {
            let _ = self.frames.try_send(frame);
        }
    }
}

/// Core 1, ready to be started.
///
/// # Errors
/// On another core than core 0.
pub(crate) fn chip() -> Result<&'static Chip, Fault> {
    static CHIP: StaticCell<Chip> = StaticCell::new();
    DUMP.open(None);
    mhu::listen(mhu::MESSAGES);
    mhu::listen(mhu::PARKING);
    Ok(CHIP.init(Chip::new(IMAGE)?))
}

/// Runs it. A task each, so that what wakes one does not have the others look too.
pub(crate) fn spawn(spawner: Spawner, chip: &'static Chip, uplink: &'static Uplink) {
    let (Ok(lead), Ok(exchange), Ok(listen)) = (lead(chip), exchange(chip, uplink), listen(chip)) else { return };
    spawner.spawn(lead);
    spawner.spawn(exchange);
    spawner.spawn(listen);
}

#[embassy_executor::task]
async fn lead(chip: &'static Chip) {
    chip.run().await;
}

#[embassy_executor::task]
async fn exchange(chip: &'static Chip, uplink: &'static Uplink) {
    messages::run(chip, uplink).await;
}

#[embassy_executor::task]
async fn listen(chip: &'static Chip) {
    commands::run(chip).await;
}
