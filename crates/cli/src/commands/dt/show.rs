//! `tutti dt show`.

use clap::Args;
use tutti_devicetree::command;

use super::input::TreeArgs;
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Shows a node: where it is, who reaches it, who has it
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// The node's path, label or alias
    #[arg(value_name = "PATH")]
    node: String,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: ShowArgs, context: &mut Context) -> Result<Exit, Failure> {
    let loaded = args.tree.read_well(context)?;
    let shown = command::show(&loaded, &args.node).ok_or_else(|| {
        Failure::new(format!("there is no node {:?}", args.node))
            .next("name it by its path from /, its label or its alias")
    })?;
    if args.json {
        context.printer.json(&shown)?;
    } else {
        context.printer.source(&shown.to_string())?;
    }
    Ok(Exit::Done)
}
