//! `tutti dt check`.

use clap::Args;
use serde_json::json;
use tutti_devicetree::{Code, command};

use super::input::TreeArgs;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
};

/// Finds faults, each with the places that collide
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// Say nothing of these faults, named by the word that each finding begins with
    #[arg(long, value_name = "FAULT")]
    allow: Vec<Code>,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: CheckArgs, context: &mut Context) -> Result<Exit, Failure> {
    let mut loaded = args.tree.read()?;
    command::check(&mut loaded);
    loaded.diags.list.retain(|fault| !args.allow.contains(&fault.code));
    let (errors, warnings) = command::counts(&loaded.diags);
    if args.json {
        let findings = loaded.diags.to_json(&loaded.sources);
        context.printer.json(&json!({ "errors": errors, "warnings": warnings, "findings": findings }))?;
    } else {
        if errors + warnings > 0 {
            context.printer.picture(loaded.render(true).trim_end())?;
        }
        let tone = match (errors, warnings) {
            (0, 0) => Tone::Good,
            (0, _) => Tone::Warn,
            _ => Tone::Bad,
        };
        context.printer.line(Line::of(tone, command::summary(&loaded.diags)))?;
    }
    let failed = errors > 0 || (args.strict && warnings > 0);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}
