//! Drivers that offer this Linux machine's real hardware to the pool.
//!
//! A [`Driver`] is one resource: it says what it is, gives readings, and, if it is an actuator, takes values. All of
//! it is plain blocking code over small files; whoever runs drivers calls them on a thread that may block.
//!
//! | what | where it comes from | module |
//! |---|---|---|
//! | CPU load, load average | `/proc/stat`, `/proc/loadavg` | [`cpu`] |
//! | voltages, currents, fans and the like | `/sys/class/hwmon` | [`hwmon`] |
//! | lines of GPIO chips | `/dev/gpiochip*` | [`gpio`] |
//! | buttons, switches, knobs | `/dev/input/event*` | [`input`] |
//! | temperatures | `/sys/class/hwmon`, `/sys/class/thermal` | [`temperature`] |
//! | memory | `/proc/meminfo` | [`memory`] |
//! | disk space | `/proc/mounts`, `statvfs` | [`disk`] |
//! | network rates | `/proc/net/dev`, `/sys/class/net` | [`network`] |
//! | batteries, mains | `/sys/class/power_supply` | [`power`] |
//! | IIO sensors | `/sys/bus/iio/devices` | [`iio`] |
//! | LEDs, backlights | `/sys/class/leds`, `/sys/class/backlight` | [`led`], [`backlight`] |
//! | a folder with a quota | any folder | [`storage`] |
//! | a display in a window | memory | [`screen`] |
//! | what an outside program offers | memory | [`outside`] |
//! | made-up resources for a demo | arithmetic | [`simulated`] |
//!
//! # What a machine lacks is not offered
//!
//! [`discover`] looks at what is there and costs little: it may be called again whenever hardware may have changed.
//! Names are stable over reboots as far as the kernel's are, and [`Inventory`] keeps the driver of whatever stayed.
//!
//! # Files that lie
//!
//! Every path is below a [`SysRoot`], by default `/`; tests and `--sysfs ROOT` put a fixture tree there. A file may
//! vanish between listing and reading, be endless, be a pipe, hold garbage, or give `EIO` because a chip is
//! asleep: every read is bounded and non-blocking, and every one of these is a [`DriverError`] that says which.
#![forbid(unsafe_code)]

pub mod backlight;
mod clock;
pub mod cpu;
mod discover;
pub mod disk;
mod driver;
pub mod gpio;
pub mod hwmon;
pub mod iio;
pub mod input;
pub mod led;
mod level;
pub mod load;
pub mod machine;
pub mod memory;
mod names;
pub mod network;
pub mod outside;
pub mod power;
mod rate;
mod root;
pub mod screen;
mod signal;
pub mod simulated;
pub mod storage;
pub mod temperature;
mod unserved;

pub use discover::{Changes, Inventory, Options, discover};
pub use driver::{Driver, DriverError, MAX_TAKES};
pub use load::{Gauge, Load};
pub use machine::{MachineFacts, describe_machine};
pub use outside::Offers;
pub use root::SysRoot;
pub use screen::Screen;
pub use signal::Signal;
pub use storage::Storage;
pub use unserved::{Unserved, Why, unserved};
