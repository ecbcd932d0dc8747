//! `tutti app`: apps that are written once, run where they fit, and move while they run.

mod audit;
mod build;
mod inspect;
mod install;
mod logs;
mod ls;
mod moving;
mod new;
mod recover;
mod rm;
mod run;
mod standby;
mod stop;
mod tell;
mod toolchain;

use clap::{Args, Subcommand};

use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Makes, installs and runs apps, and moves them while they run
#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Begins a new app: a folder with a small one that works, to go on from
    New(new::NewArgs),
    /// Builds an app and signs it as its author: one file, to be installed
    ///
    /// Needs Rust with the target wasm32-unknown-unknown, and says how to get it if it is not there. A component that was made
    /// in another way, from Python perhaps, is packed with --component; it may not be movable, which is said.
    Build(build::BuildArgs),
    /// Says what is in an app's file: its author, what it wants, its limits, whether it can be moved
    Inspect(inspect::InspectArgs),
    /// Allows an app in the whole group, with all that it wants. For owners
    Install(install::InstallArgs),
    /// Begins a new instance of an app, where it fits best or on a device
    Run(run::RunArgs),
    /// Lists what is installed and what runs where
    Ls(ls::LsArgs),
    /// Moves an instance to another device while it runs
    Move(moving::MoveArgs),
    /// Names who goes on with an instance if its home is lost, changes how, or takes it away
    ///
    /// The home asks that device for the right to run, a run-lease, and sends it what has changed; when the device has not heard of the home for as long as the
    /// lease, it goes on from what it has. Both figures can be chosen, also while the app runs, and what they mean is said before
    /// anything is done.
    Standby(standby::StandbyArgs),
    /// Stops an instance; its state is kept
    Stop(stop::StopArgs),
    /// Lets an instance go on that was stopped or failed
    Start(stop::StopArgs),
    /// Shows what an instance wrote
    Logs(logs::LogsArgs),
    /// Tells an instance something; what it answers is in its log
    Tell(tell::TellArgs),
    /// Ends an instance for good, with its state; or removes an app of which no instance is left
    Rm(rm::RmArgs),
    /// Shows what apps did with what they were granted, on this device
    Audit(audit::AuditArgs),
    /// Goes on from the copy here, if the device that it waits for is lost for good. For owners
    Recover(recover::RecoverArgs),
}

pub(crate) async fn run(args: AppArgs, context: &mut Context) -> Result<Exit, Failure> {
    match args.what {
        What::New(args) => new::run(&args, context),
        What::Build(args) => build::run(args, context),
        What::Inspect(args) => inspect::run(&args, context),
        What::Install(args) => install::run(args, context).await,
        What::Run(args) => run::run(args, context).await,
        What::Ls(args) => ls::run(args, context).await,
        What::Move(args) => moving::run(args, context).await,
        What::Standby(args) => standby::run(args, context).await,
        What::Stop(args) => stop::stop(args, context).await,
        What::Start(args) => stop::start(args, context).await,
        What::Logs(args) => logs::run(args, context).await,
        What::Tell(args) => tell::run(args, context).await,
        What::Rm(args) => rm::run(args, context).await,
        What::Audit(args) => audit::run(args, context).await,
        What::Recover(args) => recover::run(args, context).await,
    }
}
