//! `tutti app logs`

use clap::Args;
use tutti_control::{AppLevel, AppLine};

use crate::{
    commands::log,
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Shows what an instance wrote
#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The instance: its id, the first six digits or more of it, or its app's name if there is but one
    instance: String,
    /// Go on with each new line, wherever it moves, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// As JSON: one document, or with --follow one line for each line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: LogsArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let failed = || format!("cannot read the log of {}", args.instance);
    if args.follow {
        let lines = client.follow_instance_log(&args.instance, 0).await.explain(failed)?;
        return log::follow(lines, args.json, write_line, failed, context).await;
    }
    let lines = client.instance_log(&args.instance, 0).await.explain(failed)?;
    log::show(&lines, args.json, write_line, context)
}

fn write_line(line: &AppLine, context: &mut Context) -> Result<(), Failure> {
    let (tone, mark) = match line.level {
        AppLevel::Debug => (Tone::Faint, "debug "),
        AppLevel::Info => (Tone::Plain, ""),
        AppLevel::Warn => (Tone::Warn, "warn "),
        AppLevel::Error => (Tone::Bad, "error "),
        AppLevel::System => (Tone::Faint, "-- "),
    };
    context.printer.line(Line::of(tone, mark).and(tone, &line.text))
}
