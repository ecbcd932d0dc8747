//! The command line: which commands there are, and what holds for all of them.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use tutti_control::Selection;

use crate::commands::{
    amp, api, app, bench, completions, console, demo, devices, doctor, down, dt, forget, image, lease, leave, man,
    nearby, offer, pair, place, read, recovery, rename, resources, role, satellite, screen, set, show, status, store,
    up, update, watch,
};

/// Many devices as one pool: they find, trust and use each other.
#[derive(Debug, Parser)]
#[command(name = "tutti", version, max_term_width = 100, arg_required_else_help = true, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which running device of this host a command speaks to. Only needed if there are several.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which device of this host")]
pub(crate) struct Global {
    /// The one that keeps its state in this folder
    #[arg(long, global = true, value_name = "DIR", env = "TUTTI_STATE", hide_env = true)]
    pub(crate) state: Option<PathBuf>,
    /// The one with this name or id
    #[arg(long, global = true, value_name = "NAME", env = "TUTTI_DEVICE", hide_env = true)]
    pub(crate) device: Option<String>,
    /// The one whose API answers at this loopback address; the token is read from TUTTI_API_TOKEN
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS:PORT",
        env = "TUTTI_API",
        hide_env = true,
        hide_short_help = true
    )]
    pub(crate) api: Option<SocketAddr>,
}

impl Global {
    /// The same for the client.
    pub(crate) fn selection(&self) -> Selection {
        let token = || std::env::var("TUTTI_API_TOKEN").unwrap_or_default();
        Selection {
            state: self.state.clone(),
            device: self.device.clone(),
            api: self.api.map(|addr| (addr, token())),
            runtime_dir: None,
        }
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes this machine a device of the pool
    Up(up::UpArgs),
    /// Stops the device
    Down(down::DownArgs),
    /// Shows the device itself: name, id, group, addresses
    Status(status::StatusArgs),
    /// Lists the devices of the group
    Devices(devices::DevicesArgs),
    /// Lists devices that were discovered and are not in the group
    Nearby(nearby::NearbyArgs),
    /// Lists what the devices of the group offer
    Resources(resources::ResourcesArgs),
    /// Reads a sensor, or anything else that gives readings
    Read(read::ReadArgs),
    /// Sets a lamp, or anything else that takes values
    Set(set::SetArgs),
    /// Keeps a resource to this device for a while
    Lease(lease::LeaseArgs),
    /// Brings two devices into one group: lets one in, or enters another's
    Pair(pair::PairArgs),
    /// Puts a device out of the group
    Forget(forget::ForgetArgs),
    /// Leaves the group
    Leave(leave::LeaveArgs),
    /// Changes what a device may do
    Role(role::RoleArgs),
    /// Renames the device
    Rename(rename::RenameArgs),
    /// Keeps a way back for a group whose owner is lost
    Recovery(recovery::RecoveryArgs),
    /// Offers a resource of your own: a command's output, or lines of input
    Offer(offer::OfferArgs),
    /// Lists, gets, puts and removes files in a storage resource
    Store(store::StoreArgs),
    /// Connects microcontrollers without a network, which join the pool through this device
    Satellite(satellite::SatelliteArgs),
    /// Makes this terminal a display that others can draw on
    Screen(screen::ScreenArgs),
    /// Shows text or an image on a display
    Show(show::ShowArgs),
    /// Gives a device of the pool a new system
    Update(update::UpdateArgs),
    /// Shows the pool as it lives
    Watch(watch::WatchArgs),
    /// Opens the pool in a browser
    Console(console::ConsoleArgs),
    /// Finds out why nobody is seen, and says what to do
    Doctor(doctor::DoctorArgs),
    /// Runs three devices on this machine and shows what they do together
    Demo(demo::DemoArgs),
    /// Is the coprocessor of the demo
    #[command(hide = true)]
    DemoCore(crate::demo::core::DemoCoreArgs),
    /// Measures this machine
    Bench(bench::BenchArgs),
    /// Checks a System Device Tree and splits it into what each core gets
    ///
    /// Reads source (.dts, with the C preprocessor's directives), blobs (.dtb) and YAML. Where several files may be named,
    /// the first is the tree and the others, YAML or overlays, are laid over it. Needs no running device.
    Dt(dt::DtArgs),
    /// Makes the image of a device from one product file, and boots it
    Image(image::ImageArgs),
    /// Makes, installs and runs apps, and moves them while they run
    App(app::AppArgs),
    /// Says why apps are where they are
    Place(place::PlaceArgs),
    /// Works with the other cores of this chip, and their firmware
    Amp(amp::AmpArgs),
    /// Prints the description of the control API (OpenAPI)
    Api(api::ApiArgs),
    /// Prints what completes these commands in a shell
    Completions(completions::CompletionsArgs),
    /// Writes the manual pages into a folder
    Man(man::ManArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
