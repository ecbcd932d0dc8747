//! `tutti read DEVICE/RESOURCE`.

use std::time::Duration;

use clap::Args;
use tutti_control::Reading;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Printer, Tone},
    target::Target,
    tui, words,
};

/// Reads a sensor, or anything else that gives readings
#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// What to read, such as kitchen/cpu-temperature
    #[arg(value_name = "DEVICE/RESOURCE")]
    target: Target,
    /// Go on with each new reading, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// The least time between two readings
    #[arg(long, value_name = "TIME", value_parser = words::parse_span, requires = "follow")]
    interval: Option<Duration>,
    /// As JSON: one document, or with --follow one line for each reading
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: ReadArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let Target { device, name } = &args.target;
    let failed = || format!("cannot read {}", args.target);
    if !args.follow {
        let reading = client.read(device, name).await.explain(failed)?;
        if args.json {
            context.printer.json(&reading)?;
        } else {
            show(&reading, &mut context.printer)?;
        }
        return Ok(Exit::Done);
    }
    let mut readings = client.follow(device, name, args.interval).await.explain(failed)?;
    let end = tui::asked_to_end();
    let mut end = std::pin::pin!(end);
    loop {
        let reading = tokio::select! {
            reading = readings.next() => reading.explain(failed)?,
            () = &mut end => return Ok(Exit::Done),
        };
        let Some(reading) = reading else {
            return Err(Failure::new(format!("the readings of {} ended", args.target))
                .why("the device stopped or no longer offers it")
                .next(format!("see what it offers with: tutti resources {device}")));
        };
        if args.json {
            context.printer.json_line(&reading)?;
        } else {
            show(&reading, &mut context.printer)?;
        }
    }
}

fn show(reading: &Reading, printer: &mut Printer) -> Result<(), Failure> {
    let line = Line::of(Tone::Strong, words::value(&reading.value, &reading.unit));
    printer.line(if reading.simulated { line.and(Tone::Warn, "  simulated") } else { line })
}
