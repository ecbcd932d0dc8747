//! `tutti app inspect`: what is in an app's file. Needs no running device.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tutti_app::{
    carry,
    package::{Installers, MAX_PACKAGE, Package, Want},
};
use tutti_model::Name;

use super::build::read;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Says what is in an app's file: its author, what it wants, its limits, whether it can be moved
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The app's file
    file: PathBuf,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InspectArgs, context: &mut Context) -> Result<Exit, Failure> {
    let bytes = read(&args.file, MAX_PACKAGE)?;
    let package = Package::parse(&bytes).map_err(|error| {
        Failure::new(format!("{} is no app", args.file.display())).why(error).next("`tutti app build` makes one")
    })?;
    let obstacle = carry::check_component(package.component()).err().map(|why| why.to_string());
    let digest = data_encoding::HEXLOWER.encode(package.digest());
    let manifest = package.manifest();
    let by = match manifest.install {
        Installers::Owners => "owners",
        Installers::Members => "members",
    };
    let limits = manifest.limits;
    if args.json {
        let wants = manifest.wants.iter().map(|(name, want)| {
            json!({
                "name": name.to_string(), "kind": want.kind.to_string(), "unit": want.unit.map(|it| it.to_string()),
                "required": want.required, "min": want.min, "max": want.max,
            })
        });
        context.printer.json(&json!({
            "name": manifest.name.to_string(), "version": manifest.version.to_string(), "about": manifest.about,
            "author": package.author().to_string(), "digest": digest, "size": bytes.len(),
            "component": package.component().len(), "icon": package.icon().map(<[u8]>::len),
            "wants": wants.collect::<Vec<_>>(), "install": by,
            "limits": { "memory_kib": limits.memory_kib, "cpu": limits.cpu, "storage_kib": limits.storage_kib },
            "movable": obstacle.is_none(), "obstacle": obstacle,
        }))?;
        return Ok(Exit::Done);
    }
    let size = |bytes: usize| words::size(bytes as u64);
    let icon = package.icon().map(|icon| format!(", icon {}", size(icon.len()))).unwrap_or_default();
    let storage = match limits.storage_kib {
        0 => String::new(),
        kib => format!(", {} of files", words::size(u64::from(kib) << 10)),
    };
    let memory = words::size(u64::from(limits.memory_kib) << 10);
    let rows = [
        ("author", package.author().to_string()),
        ("digest", digest),
        ("size", format!("{}: component {}{icon}", size(bytes.len()), size(package.component().len()))),
        ("limits", format!("{memory} of memory, {}/1000 of a processor{storage}", limits.cpu)),
        ("install", format!("by {by}")),
    ];
    let head = Line::of(Tone::Strong, format!("{} {}", manifest.name, manifest.version));
    context.printer.line(if manifest.about.is_empty() { head } else { head.plain(format!(": {}", manifest.about)) })?;
    let mut facts = Table::new(&["", ""]);
    for (name, fact) in rows {
        facts.row([Line::of(Tone::Faint, name), fact.into()]);
    }
    // Without the line of heads, which these have none of.
    facts.lines().into_iter().skip(1).try_for_each(|line| context.printer.line(line))?;
    let mut wants = Table::new(&["wants", "kind", "unit", "range", ""]);
    for (name, want) in &manifest.wants {
        wants.row(row(name, want));
    }
    match manifest.wants.is_empty() {
        true => context.printer.line("it wants nothing of the pool")?,
        false => context.printer.table(&wants)?,
    }
    match obstacle {
        Some(why) => context.printer.line(Line::of(Tone::Warn, why))?,
        None => context.printer.line(Line::of(Tone::Good, "an instance of it can be moved while it runs"))?,
    }
    Ok(Exit::Done)
}

fn row(name: &Name, want: &Want) -> [Line; 5] {
    let range = match (want.min, want.max) {
        (None, None) => String::new(),
        (Some(min), None) => format!("from {min}"),
        (None, Some(max)) => format!("to {max}"),
        (Some(min), Some(max)) => format!("{min} to {max}"),
    };
    [
        name.to_string().into(),
        want.kind.to_string().into(),
        want.unit.map(|it| it.to_string()).unwrap_or_default().into(),
        range.into(),
        if want.required { "required" } else { "if there is one" }.into(),
    ]
}
