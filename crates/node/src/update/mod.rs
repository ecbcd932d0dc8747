//! New systems for a device that [`tutti_update`] runs on.
//!
//! A device that was told what it runs ([`System`]) offers two resources, for owners of the group only:
//!
//! * `system-parts`, a storage, takes an image in parts: files `NAME/00000`, `NAME/00001`, …, each stored whole or not at
//!   all. So an upload that broke off anywhere goes on with the first part that is missing, after a power cut too.
//! * `system` says what runs; set to `install NAME COUNT`, it checks the parts as one image, writes it into the free slot,
//!   and has the device started anew.
//!
//! So there is no protocol of its own, and what holds for every resource holds for this: roles, leases, limits, the
//! control API. Everything that decides whether an image is taken is in the image and in [`tutti_update::slots`].
//!
//! [`report`] tells the first program when the device has joined its pool, which a system on trial has to.

mod driver;
mod joined;
mod parts;

use std::{path::Path, sync::Arc};

use tutti_resources::Driver;
use tutti_update::{System, system::FILE};

pub(crate) use joined::report;

/// The resource that says what runs.
pub(crate) const SYSTEM: &str = "system";
/// The storage for parts of an image.
pub(crate) const PARTS: &str = "system-parts";

/// What this device was told, if it was told anything.
pub(crate) fn told() -> Option<System> {
    System::read(Path::new(FILE))
}

/// The resources of a device that was told what it runs.
pub(crate) fn drivers(system: &System) -> Vec<Arc<dyn Driver>> {
    let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
    let parts = match system.updates() {
        Ok(_) => match parts::Parts::open(&system.folder.join("parts")) {
            Ok(parts) => {
                drivers.push(Arc::new(parts.clone()));
                Ok(parts)
            }
            Err(error) => Err(format!("parts of an image cannot be kept: {error}")),
        },
        Err(why) => Err(why),
    };
    drivers.push(Arc::new(driver::SystemDriver::new(system.clone(), parts, tell_init)));
    drivers
}

/// Says something to whoever started this process. Without one there is nobody to tell.
fn tell_init(words: &str) {
    let Some(place) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| socket.send_to(words.as_bytes(), place));
    if let Err(error) = told {
        tracing::warn!(%error, "the first program cannot be told");
    }
}
