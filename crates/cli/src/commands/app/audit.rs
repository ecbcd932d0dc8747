//! `tutti app audit`

use clap::Args;

use super::ls;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Shows what apps did with what they were granted, on this device
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only this app
    app: Option<String>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: AuditArgs, context: &mut Context) -> Result<Exit, Failure> {
    let mut lines = context.client().await?.audit(0).await?;
    lines.retain(|line| args.app.as_ref().is_none_or(|app| *app == line.app));
    if args.json {
        context.printer.json(&lines)?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["WHEN", "APP", "INSTANCE", "WHAT", "ABOUT"]);
    for line in &lines {
        table.row([
            Line::of(Tone::Faint, words::since(line.at)),
            line.app.as_str().into(),
            line.instance.as_deref().map(ls::short).unwrap_or_default().into(),
            line.what.to_string().into(),
            line.about.as_str().into(),
        ]);
    }
    context.printer.table(&table)?;
    Ok(Exit::Done)
}
