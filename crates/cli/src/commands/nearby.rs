//! `tutti nearby`.

use clap::Args;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Lists devices that were discovered and are not in the group
#[derive(Debug, Args)]
pub(crate) struct NearbyArgs {
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: NearbyArgs, context: &mut Context) -> Result<Exit, Failure> {
    let nearby = context.client().await?.nearby().await?;
    if args.json {
        context.printer.json(&nearby)?;
        return Ok(Exit::Done);
    }
    if nearby.is_empty() {
        context.printer.note("No other device is seen. Why? Ask: tutti doctor");
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["NAME", "PAIRING", "FOUND BY", "ADDRESSES", "ID"]);
    for device in &nearby {
        table.row([
            Line::of(Tone::Strong, &device.name),
            if device.pairing_open { Line::of(Tone::Good, "shows a code") } else { Line::new() },
            device.source.to_string().into(),
            device.addresses.join(" ").into(),
            Line::of(Tone::Faint, words::short(&device.id)),
        ]);
    }
    context.printer.table(&table)?;
    Ok(Exit::Done)
}
