//! `tutti dt diff`.

use std::path::PathBuf;

use clap::Args;
use tutti_devicetree::diff::{Difference, diff};

use super::input::SourceArgs;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
};

/// Shows what two trees say differently
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// The one tree
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The other
    #[arg(value_name = "B")]
    after: PathBuf,
    #[command(flatten)]
    source: SourceArgs,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: DiffArgs, context: &mut Context) -> Result<Exit, Failure> {
    let mut read = |file: &PathBuf| {
        let read = args.source.read_well(std::slice::from_ref(file), context);
        read.map_err(|failure| Failure { exit: Exit::WrongUse, ..failure })
    };
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let found = diff(&before.tree, &after.tree);
    if args.json {
        context.printer.json(&found)?;
    } else {
        for difference in &found {
            let tone = match difference {
                Difference::NodeGone { .. } => Tone::Bad,
                Difference::NodeNew { .. } => Tone::Good,
                Difference::Property { .. } | Difference::Reservations => Tone::Warn,
            };
            context.printer.line(Line::of(tone, difference))?;
        }
    }
    Ok(if found.is_empty() { Exit::Done } else { Exit::Failed })
}
