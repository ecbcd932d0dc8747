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
///
/// Reads source (.dts, with the C preprocessor's directives), blobs (.dtb) and YAML. Where several files may be named,
/// the first is the tree and the others, YAML or overlays, are laid over it.
#[derive(Debug, Args)]
pub(crate) struct DtArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Finds faults, each with the places that collide; exit code 1 if there are errors
    Check(check::CheckArgs),
    /// Lists the execution domains
    Domains(domains::DomainsArgs),
    /// Writes everything that one domain gets: device tree, code, linker regions, resource table
    Split(split::SplitArgs),
    /// Writes the tree in another format
    Convert(convert::ConvertArgs),
    /// Shows what two trees say differently; exit code 0 if nothing, 1 if something, 2 if one cannot be read
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
