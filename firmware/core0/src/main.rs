//! The first core's firmware: the board as a satellite of whoever is at the other end of its second serial line.
//!
//! | task | what it does |
//! |---|---|
//! | [`satellite`] | this board as a satellite, with the parts that the image was built with |
//! | `chip` | core 1's life: loads it from this image, starts it, notices its end, keeps a core dump, starts it again |
//! | `messages` | RPMsg with core 1: its console, its satellite's frames, and what is asked of it from the command line |
//! | `commands` | lines that are typed on the first serial line |
//!
//! The last three are the part `second-core`, which the AN386 cannot have; core dumps leave by the third serial line. Which board it is
//! for, and which parts it has, are features: an image has no code of what its product does not want.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

#[cfg(feature = "second-core")]
mod chip;
#[cfg(feature = "second-core")]
mod commands;
#[cfg(feature = "second-core")]
mod messages;
mod satellite;
#[cfg(feature = "second-core")]
mod second;

use mps2::uart::{CONSOLE, LINE, LINE_INTERRUPT};
use mps2::{Spawner, say, uart};
use parts::{Part, Uptime};
use static_cell::StaticCell;
use tutti_model::Name;
use tutti_satellite::Resource;

/// How many parts this image has.
const PARTS: usize = 1
    + cfg!(feature = "second-core") as usize
    + cfg!(feature = "thermometer") as usize
    + cfg!(feature = "lamp") as usize;

#[cfg(feature = "second-core")]
type Uplink = satellite::Uplink<PARTS, second::Second>;
#[cfg(not(feature = "second-core"))]
type Uplink = satellite::Uplink<PARTS, ()>;

#[cfg(feature = "second-core")]
mps2::image!(start, {
    mps2::mhu::MESSAGES => mps2::mhu::on_message,
    mps2::mhu::PARKING => mps2::mhu::on_parked,
    uart::CONSOLE_INTERRUPT => uart::on_console,
    LINE_INTERRUPT => uart::on_line,
});
#[cfg(not(feature = "second-core"))]
mps2::image!(start, { LINE_INTERRUPT => uart::on_line });

fn start(spawner: Spawner) {
    // Only the second core has a command line.
    CONSOLE.open(cfg!(feature = "second-core").then_some(uart::CONSOLE_INTERRUPT));
    LINE.open(Some(LINE_INTERRUPT));
    say!("core0: tutti {} on {}", env!("CARGO_PKG_VERSION"), mps2::BOARD);
    #[cfg(feature = "second-core")]
    let (chip, behind) = match second::chip() {
        Ok(chip) => (chip, second::Second::new()),
        Err(error) => return say!("core0: {error}"),
    };
    #[cfg(not(feature = "second-core"))]
    let behind = ();
    let parts: [&'static dyn Part; PARTS] = [
        &Uptime,
        #[cfg(feature = "second-core")]
        chip,
        #[cfg(feature = "thermometer")]
        &parts::Thermometer,
        #[cfg(feature = "lamp")]
        &parts::Lamp(mps2::hardware::BOARD_LEDS),
    ];
    static RESOURCES: StaticCell<[Resource; PARTS]> = StaticCell::new();
    static UPLINK: StaticCell<Uplink> = StaticCell::new();
    let (Ok(name), Some(resources)) = (Name::new(mps2::NAME), parts::resources(&parts)) else { return };
    let uplink: &'static Uplink = UPLINK.init(Uplink::new(name, parts, RESOURCES.init(resources), behind));
    let Ok(speak) = speak(uplink) else { return };
    spawner.spawn(speak);
    #[cfg(feature = "second-core")]
    second::spawn(spawner, chip, uplink);
}

#[embassy_executor::task]
async fn speak(uplink: &'static Uplink) {
    uplink.run().await;
}
