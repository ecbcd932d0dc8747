//! `tutti image diff`.

use std::path::PathBuf;

use clap::Args;
use tutti_image::diff;

use super::{parse, read};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// Shows what two images have differently
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// One image
    a: PathBuf,
    /// The other
    b: PathBuf,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &DiffArgs, context: &mut Context) -> Result<Exit, Failure> {
    // What cannot be read is no difference.
    let wrong = |failure: Failure| Failure { exit: Exit::WrongUse, ..failure };
    let (a, b) = (read(&args.a).map_err(wrong)?, read(&args.b).map_err(wrong)?);
    let first = parse(&args.a, &a).map_err(wrong)?;
    let second = parse(&args.b, &b).map_err(wrong)?;
    let mut all = diff::diff(&first.head.manifest, &second.head.manifest);
    if first.head.signer != second.head.signer {
        let (before, after) = (first.head.signer.to_string(), second.head.signer.to_string());
        all.push(diff::Difference { what: "signed by".into(), before: Some(before), after: Some(after) });
    }
    if args.json {
        context.printer.json(&all)?;
    } else {
        let mut table = Table::new(&["WHAT", "BEFORE", "AFTER"]);
        for one in &all {
            let side = |text: &Option<String>, tone| {
                text.as_ref().map_or(Line::of(Tone::Faint, "–"), |it| Line::of(tone, it))
            };
            table.row([Line::of(Tone::Strong, &one.what), side(&one.before, Tone::Bad), side(&one.after, Tone::Good)]);
        }
        if all.is_empty() {
            context.printer.note(Line::of(Tone::Faint, "no difference"));
        } else {
            context.printer.table(&table)?;
        }
    }
    Ok(if all.is_empty() { Exit::Done } else { Exit::Failed })
}
