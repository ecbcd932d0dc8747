//! `tutti app ls`
//!
//! ```text
//! $ tutti app ls
//! APP     VERSION  INSTANCES  MEMORY    ABOUT
//! thermo  0.1.0    1          1024 KiB  Shows any temperature sensor on any display
//!
//! INSTANCE  APP     VERSION  STATE              DEVICE   STANDBY  EVENTS
//! 5f0c3a91  thermo  0.1.0    waiting for attic  kitchen  attic    412
//!
//! CARRIED  VERSION  BY     AUTHOR      WANTS               ABOUT
//! relay    0.1.0    panel  3b6a27bcce  thermometer, switch  Turns a switch on when it is cold
//! ```

use clap::Args;
use tutti_control::{AppInstance, AppsState, CarriedApp, InstanceState};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Lists what is installed, what runs where, and what images of devices carry besides
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: LsArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let (apps, instances, carried) = (client.apps().await?, client.instances().await?, client.carried_apps().await?);
    if args.json {
        context.printer.json(&AppsState { apps, instances, carried })?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["APP", "VERSION", ">INSTANCES", ">MEMORY", "ABOUT"]);
    for app in &apps {
        table.row([
            Line::from(app.name.as_str()),
            app.version.clone().unwrap_or_else(|| format!("{}+", app.floor)).into(),
            app.instances.to_string().into(),
            format!("{} KiB", app.memory_kib).into(),
            app.about.as_str().into(),
        ]);
    }
    if apps.is_empty() {
        context
            .printer
            .note(Line::of(Tone::Faint, "No app is installed. An owner installs one with: tutti app install FILE"));
    } else {
        context.printer.table(&table)?;
    }
    if !instances.is_empty() {
        context.printer.line("")?;
        context.printer.table(&listing(&instances))?;
    }
    let waiting: Vec<_> = carried.iter().filter(|it| !it.installed).collect();
    if let Some(first) = waiting.first() {
        context.printer.line("")?;
        context.printer.table(&shelf(&waiting))?;
        let how = format!("An owner installs it with: tutti app install --from {} {}", first.device_name, first.name);
        context.printer.note(Line::of(Tone::Faint, how));
    }
    Ok(Exit::Done)
}

/// What is carried and not installed.
fn shelf(carried: &[&CarriedApp]) -> Table {
    let mut table = Table::new(&["CARRIED", "VERSION", "BY", "AUTHOR", "WANTS", "ABOUT"]);
    for it in carried {
        let wants: Vec<_> = it.wants.iter().map(|want| want.name.as_str()).collect();
        table.row([
            Line::from(it.name.as_str()),
            it.version.as_str().into(),
            it.device_name.as_str().into(),
            words::short(&it.author).into(),
            wants.join(", ").into(),
            it.about.as_str().into(),
        ]);
    }
    table
}

/// One instance.
pub(super) fn show(instance: &AppInstance, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    if json {
        context.printer.json(instance)?;
    } else {
        context.printer.table(&listing(std::slice::from_ref(instance)))?;
    }
    Ok(Exit::Done)
}

/// The beginning of an id that stands for it.
pub(super) fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

fn listing(instances: &[AppInstance]) -> Table {
    let mut table =
        Table::new(&["INSTANCE", "APP", "VERSION", "STATE", "DEVICE", "STANDBY", ">EVENTS", "LAST TROUBLE"]);
    for it in instances {
        table.row([
            Line::from(short(&it.id)),
            it.app.as_str().into(),
            it.version.as_str().into(),
            state(it),
            it.device_name.as_str().into(),
            it.standby.clone().unwrap_or_default().into(),
            it.events.to_string().into(),
            Line::of(Tone::Faint, it.reason.clone().unwrap_or_default()),
        ]);
    }
    table
}

/// What it does, in words.
pub(super) fn state(it: &AppInstance) -> Line {
    let (tone, text) = match it.state {
        InstanceState::Running => (Tone::Good, "running".to_owned()),
        InstanceState::Moving => {
            let to = it.moving.as_ref().map(|moving| format!("moving to {}", moving.to_name));
            (Tone::Warn, to.unwrap_or_else(|| "moving".into()))
        }
        InstanceState::Waiting => {
            let whom = it.waiting_for.as_deref().map(|name| format!("waiting for {name}"));
            (Tone::Warn, whom.unwrap_or_else(|| "waiting".into()))
        }
        InstanceState::Failed => (Tone::Bad, "failed".into()),
        InstanceState::GivenUp => (Tone::Bad, "given up".into()),
        other => (Tone::Faint, other.to_string()),
    };
    Line::of(tone, text)
}
