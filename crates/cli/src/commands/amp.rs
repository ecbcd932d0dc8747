//! `tutti amp`: the other cores of this chip, and their firmware.

mod cores;
mod table;

use clap::{Args, Subcommand};
use tutti_control::CoreAction;

use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Works with the other cores of this chip, and their firmware
#[derive(Debug, Args)]
pub(crate) struct AmpArgs {
    #[command(subcommand)]
    command: Amp,
}

#[derive(Debug, Subcommand)]
enum Amp {
    /// Lists the cores: the kernel's, and those that are processes
    Ls(cores::JsonArgs),
    /// Shows one core
    Info(cores::CoreArgs),
    /// Starts a core, with another firmware if one is named
    Start(cores::StartArgs),
    /// Stops a core
    Stop(cores::CoreArgs),
    /// Stops a core and starts it again
    Restart(cores::CoreArgs),
    /// Puts a core to sleep
    Suspend(cores::CoreArgs),
    /// Wakes a core
    Resume(cores::CoreArgs),
    /// Takes a core over as it runs
    Attach(cores::CoreArgs),
    /// Lets go of a core; it runs on
    Detach(cores::CoreArgs),
    /// Forgets a core that is a process and does not run
    Forget(cores::CoreArgs),
    /// Shows what a core wrote: its trace, its satellite's log, and what happened to it
    Log(cores::LogArgs),
    /// Keeps a core's memory as an ELF core file, which gdb and readelf open
    Dump(cores::DumpArgs),
    /// Measures how long a message takes to a core and back
    Ping(cores::CoreArgs),
    /// Finds out what keeps this machine's cores from being used, and says what to do
    Doctor(cores::JsonArgs),
    /// Shows what a firmware asks of its host, and what Linux would say to that
    Table(table::TableArgs),
}

pub(crate) async fn run(args: AmpArgs, context: &mut Context) -> Result<Exit, Failure> {
    match args.command {
        Amp::Ls(args) => cores::ls(args, context).await,
        Amp::Info(args) => cores::info(args, context).await,
        Amp::Start(args) => cores::start(args, context).await,
        Amp::Stop(args) => cores::act(CoreAction::Stop, args, context).await,
        Amp::Restart(args) => cores::act(CoreAction::Restart, args, context).await,
        Amp::Suspend(args) => cores::act(CoreAction::Suspend, args, context).await,
        Amp::Resume(args) => cores::act(CoreAction::Resume, args, context).await,
        Amp::Attach(args) => cores::act(CoreAction::Attach, args, context).await,
        Amp::Detach(args) => cores::act(CoreAction::Detach, args, context).await,
        Amp::Forget(args) => cores::forget(args, context).await,
        Amp::Log(args) => cores::log(args, context).await,
        Amp::Dump(args) => cores::dump(args, context).await,
        Amp::Ping(args) => cores::ping(args, context).await,
        Amp::Doctor(args) => cores::doctor(args, context).await,
        Amp::Table(args) => table::run(args, context).await,
    }
}
