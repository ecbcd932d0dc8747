//! `tutti dt map`.

use std::path::PathBuf;

use clap::Args;
use tutti_devicetree::command;

use super::input::{TreeArgs, write, written};
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Draws who has which memory
#[derive(Debug, Args)]
pub(super) struct MapArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// The file to write: a drawing if it ends in .svg, else Markdown; Markdown to standard output if left out
    #[arg(short, long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(args: MapArgs, context: &mut Context) -> Result<Exit, Failure> {
    let loaded = args.tree.read_well(context)?;
    let name = args.output.as_deref().map(|path| path.to_string_lossy()).unwrap_or_default();
    let map = command::map(&loaded.tree, &name);
    match args.output {
        Some(path) => {
            write(&path, map.as_bytes())?;
            context.printer.line(written(&path, map.as_bytes()))?;
        }
        None => context.printer.source(&map)?,
    }
    Ok(Exit::Done)
}
