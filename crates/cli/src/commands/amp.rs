//! `tutti amp`: the other cores of this chip, and their firmware.

mod table;

use clap::{Args, Subcommand};

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
    /// Shows what a firmware asks of its host, and what Linux would say to that
    Table(table::TableArgs),
}

pub(crate) async fn run(args: AmpArgs, context: &mut Context) -> Result<Exit, Failure> {
    match args.command {
        Amp::Table(args) => table::run(args, context).await,
    }
}
