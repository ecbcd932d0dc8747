//! `tutti rename [NAME] NEW`.

use clap::Args;
use tutti_control::Selection;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Renames the device
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct RenameArgs {
    /// The device of this host to rename, if there are several; a device is renamed where it runs
    name: Option<String>,
    /// Its new name: letters, digits, '-', '_' and '.'
    new: String,
}

pub(crate) async fn run(args: RenameArgs, context: &mut Context) -> Result<Exit, Failure> {
    if let Some(old) = args.name {
        let runtime_dir = context.selection.runtime_dir.take();
        context.selection = Selection { device: Some(old), runtime_dir, ..Selection::default() };
    }
    let client = context.client().await?;
    let before = client.device().await?.name;
    let device = client.rename(&args.new).await.explain(|| format!("cannot rename {before} to {}", args.new))?;
    context.printer.line(Line::from(before).plain(" is now called ").and(Tone::Strong, device.name))?;
    Ok(Exit::Done)
}
