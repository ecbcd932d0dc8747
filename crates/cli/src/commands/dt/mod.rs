//! `tutti dt`: System Device Trees. One description of a chip is checked, looked at and split into what each of its
//! cores gets. Needs no running device.

mod check;
mod convert;
mod diff;
mod domains;
mod input;
mod map;
mod show;
mod split;

use clap::{Args, Subcommand};

use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Checks a System Device Tree and splits it into what each core gets
#[derive(Debug, Args)]
pub(crate) struct DtArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Finds faults, each with the places that collide
    ///
    /// Exit code 0 if there are no errors, 1 if there are.
    Check(check::CheckArgs),
    /// Lists the execution domains
    Domains(domains::DomainsArgs),
    /// Writes all that one domain gets: device tree, code, linker regions, resource table
    ///
    /// The files are named after the domain: NAME.dts and NAME.dtb for all; NAME.rs, NAME-memory.x and
    /// NAME-platform_info.h for what is not Linux; NAME.overlay for Zephyr; NAME-resource_table.bin for a remote that
    /// another domain starts.
    Split(split::SplitArgs),
    /// Writes the tree in another format
    Convert(convert::ConvertArgs),
    /// Shows what two trees say differently
    ///
    /// Order, comments and the numbers of phandles make no difference. Exit code 0 if there is none, 1 if there is one, 2
    /// if a tree cannot be read.
    Diff(diff::DiffArgs),
    /// Draws who has which memory
    Map(map::MapArgs),
    /// Shows a node: where it is, who reaches it, who has it
    Show(show::ShowArgs),
}

pub(crate) fn run(args: DtArgs, context: &mut Context) -> Result<Exit, Failure> {
    match args.what {
        What::Check(args) => check::run(args, context),
        What::Domains(args) => domains::run(args, context),
        What::Split(args) => split::run(args, context),
        What::Convert(args) => convert::run(args, context),
        What::Diff(args) => diff::run(args, context),
        What::Map(args) => map::run(args, context),
        What::Show(args) => show::run(args, context),
    }
}
