//! Core 0's firmware: it runs core 1, and is its link with the world.
//!
//! | task | what it does |
//! |---|---|
//! | [`chip`] | core 1's life: loads it from this image, starts it, notices its end, keeps a core dump, starts it again |
//! | [`messages`] | RPMsg with core 1: its console, its satellite's frames, and what is asked of it from the command line |
//! | [`satellite`] | this core as a satellite of whoever is at the other end of the second serial line, and core 1's frames within |
//! | [`commands`] | lines that are typed on the first serial line |
//!
//! Core dumps leave by the third.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod chip;
mod commands;
mod messages;
mod satellite;

use an521::uart::{CONSOLE, CONSOLE_INTERRUPT, DUMP, LINE, LINE_INTERRUPT};
use an521::{Spawner, mhu, say, uart};
use chip::Chip;
use satellite::Uplink;
use static_cell::StaticCell;
use tutti_model::Name;
use tutti_satellite::Resource;

/// Core 1's image.
static CORE1: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/core1.elf"));

an521::image!(start, {
    mhu::MESSAGES => mhu::on_message,
    mhu::PARKING => mhu::on_parked,
    CONSOLE_INTERRUPT => uart::on_console,
    LINE_INTERRUPT => uart::on_line,
});

fn start(spawner: Spawner) {
    CONSOLE.open(Some(CONSOLE_INTERRUPT));
    LINE.open(Some(LINE_INTERRUPT));
    DUMP.open(None);
    mhu::listen(mhu::MESSAGES);
    mhu::listen(mhu::PARKING);
    say!("core0: tutti {} on mps2-an521", env!("CARGO_PKG_VERSION"));
    let chip = match Chip::new(CORE1) {
        Ok(chip) => chip,
        Err(error) => return say!("core0: {error}"),
    };
    let (Ok(name), Some(resources)) = (Name::new("an521-core0"), satellite::resources()) else { return };
    static CHIP: StaticCell<Chip> = StaticCell::new();
    static RESOURCES: StaticCell<[Resource; 2]> = StaticCell::new();
    static UPLINK: StaticCell<Uplink<'static>> = StaticCell::new();
    let chip: &'static Chip = CHIP.init(chip);
    let uplink: &'static Uplink<'static> = UPLINK.init(Uplink::new(name, RESOURCES.init(resources)));
    // A task each, so that what wakes one does not have the others look too.
    let tasks = (lead(chip), exchange(chip, uplink), speak(chip, uplink), listen(chip));
    let (Ok(lead), Ok(exchange), Ok(speak), Ok(listen)) = tasks else { return };
    spawner.spawn(lead);
    spawner.spawn(exchange);
    spawner.spawn(speak);
    spawner.spawn(listen);
}

#[embassy_executor::task]
async fn lead(chip: &'static Chip) {
    chip.run().await;
}

#[embassy_executor::task]
async fn exchange(chip: &'static Chip, uplink: &'static Uplink<'static>) {
    messages::run(chip, uplink).await;
}

#[embassy_executor::task]
async fn speak(chip: &'static Chip, uplink: &'static Uplink<'static>) {
    uplink.run(chip).await;
}

#[embassy_executor::task]
async fn listen(chip: &'static Chip) {
    commands::run(chip).await;
}
