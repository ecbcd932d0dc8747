//! `tutti app install`
//!
//! ```text
//! $ tutti app install thermo.tutti
//! thermo 0.1.0 is installed
//! author       3b6a27bcce
//! may use      screen (display), thermometer (sensor, °C, required)
//! memory       1024 KiB
//!
//! $ tutti app install --from kitchen thermo      # what its image carries, without having the file
//! ```

use std::{path::Path, time::Duration};

use clap::Args;
use tutti_control::{App, Client, InstallCarried};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// How long it may take: a large app is compiled before it is allowed.
const PATIENCE: Duration = Duration::from_secs(80);

/// Allows an app in the whole group, with all that it wants. For owners
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// The app's file, as `tutti app build` makes it; with --from its name
    #[arg(value_name = "FILE|NAME")]
    app: String,
    /// From what the image of this device carries; `tutti app ls` lists it
    #[arg(long, value_name = "DEVICE")]
    from: Option<String>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: InstallArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?.timeout(PATIENCE);
    let failed = || format!("cannot install {}", args.app);
    let app = match args.from {
        Some(from) => {
            let request = InstallCarried { from: Some(from) };
            client.install_carried(&args.app, &request).await.explain(failed)?
        }
        None => match tokio::fs::File::open(&args.app).await {
            Ok(file) => client.install_app(file).await.explain(failed)?,
            Err(error) => {
                let failure = Failure::new(failed()).why(error);
                return Err(match carrier(&client, &args.app).await {
                    Some(device) => {
                        failure.next(format!("{device} carries it: tutti app install --from {device} {}", args.app))
                    }
                    None => failure,
                });
            }
        },
    };
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

/// A device that carries an app of this name.
async fn carrier(client: &Client, app: &str) -> Option<String> {
    if Path::new(app).components().count() != 1 {
        return None;
    }
    let carried = client.carried_apps().await.ok()?;
    carried.into_iter().find(|it| it.name == app).map(|it| it.device_name)
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
    for (what, is) in
        [("author", words::short(&app.author)), ("may use", wants), ("memory", format!("{} KiB", app.memory_kib))]
    {
        table.row([Line::of(Tone::Faint, what), is.into()]);
    }
    table
}
