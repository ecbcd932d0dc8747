//! `tutti app install`
//!
//! ```text
//! $ tutti app install thermo.tutti
//! thermo 0.1.0 is installed
//! author       3b6a27bcce
//! may use      screen (display), thermometer (sensor, °C, required)
//! memory       1024 KiB
//! ```

use std::{path::PathBuf, time::Duration};

use clap::Args;
use tutti_control::App;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// How long it may take: a large app is compiled before it is allowed.
const PATIENCE: Duration = Duration::from_secs(80);

/// Allows an app in the whole group, with all that it wants. For owners
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// The app's file, as `tutti app build` makes it
    file: PathBuf,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: InstallArgs, context: &mut Context) -> Result<Exit, Failure> {
    let failed = || format!("cannot install {}", args.file.display());
    let file = tokio::fs::File::open(&args.file).await.explain(failed)?;
    let app = context.client().await?.timeout(PATIENCE).install_app(file).await.explain(failed)?;
    if args.json {
        context.printer.json(&app)?;
        return Ok(Exit::Done);
    }
    context.printer.line(format!("{} {} is installed", app.name, app.version.as_deref().unwrap_or_default()))?;
    context.printer.table(&facts(&app))?;
    if let Some(obstacle) = &app.obstacle {
        context.printer.note(Line::of(Tone::Warn, obstacle));
    }
    context.printer.note(Line::of(Tone::Faint, format!("Run it with: tutti app run {}", app.name)));
    Ok(Exit::Done)
}

fn facts(app: &App) -> Table {
    let wants: Vec<String> = app
        .wants
        .iter()
        .map(|want| {
            let mut about = vec![want.kind.clone()];
            about.extend(want.unit.clone());
            about.extend(want.required.then(|| "required".to_owned()));
            format!("{} ({})", want.name, about.join(", "))
        })
        .collect();
    let wants = if wants.is_empty() { "nothing".into() } else { wants.join(", ") };
    let mut table = Table::new(&["", ""]);
    for (what, is) in [
        ("author", app.author.chars().take(10).collect()),
        ("may use", wants),
        ("memory", format!("{} KiB", app.memory_kib)),
    ] {
        table.row([Line::of(Tone::Faint, what), is.into()]);
    }
    table
}
