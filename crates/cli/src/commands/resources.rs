//! `tutti resources`.

use clap::Args;
use tutti_control::{Resource, client::ResourceFilter};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Lists what the devices of the group offer
#[derive(Debug, Args)]
pub(crate) struct ResourcesArgs {
    /// Only those of this device of the group
    #[arg(value_name = "DEVICE")]
    of: Option<String>,
    /// Only those of this kind: sensor, actuator, display, storage, …
    #[arg(long)]
    kind: Option<String>,
    /// Only those with this name
    #[arg(long)]
    name: Option<String>,
    /// Only those with this property; may be given several times
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = property)]
    properties: Vec<String>,
    /// With their properties and access rules
    #[arg(long, short)]
    long: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

fn property(text: &str) -> Result<String, String> {
    words::parse_property(text).map(|_| text.to_owned())
}

pub(crate) async fn run(args: ResourcesArgs, context: &mut Context) -> Result<Exit, Failure> {
    let filter = ResourceFilter { kind: args.kind, device: args.of, name: args.name, properties: args.properties };
    let resources = context.client().await?.resources(&filter).await?;
    if args.json {
        context.printer.json(&resources)?;
    } else if resources.is_empty() {
        let none = if filter == ResourceFilter::default() { "No device offers anything." } else { "Nothing matches." };
        context.printer.note(none);
    } else {
        context.printer.table(&table(&resources, args.long))?;
    }
    Ok(Exit::Done)
}

fn table(resources: &[Resource], long: bool) -> Table {
    let heads = ["RESOURCE", "KIND", ">VALUE", "USE", "NOTE", "READ BY", "CONTROLLED BY", "PROPERTIES"];
    let mut table = Table::new(heads.get(..if long { 8 } else { 5 }).unwrap_or(&heads));
    for resource in resources {
        let value = resource.value.as_ref().map(|value| words::value(value, &resource.unit)).unwrap_or_default();
        let properties = resource.properties.iter().map(|(key, value)| format!("{key}={value}"));
        table.row([
            Line::of(Tone::Strong, &resource.id),
            resource.kind.as_str().into(),
            Line::of(if resource.online { Tone::Plain } else { Tone::Faint }, value),
            usage(resource).into(),
            note(resource),
            resource.access.read.to_string().into(),
            resource.access.control.to_string().into(),
            properties.collect::<Vec<_>>().join(" ").into(),
        ]);
    }
    table
}

fn usage(resource: &Resource) -> &'static str {
    match (resource.readable, resource.writable) {
        (true, true) => "read, set",
        (true, false) => "read",
        (false, true) => "set",
        (false, false) => "",
    }
}

/// What else is to be known: that it is made up, that it cannot be reached, who holds it.
fn note(resource: &Resource) -> Line {
    let held = resource
        .lease
        .as_ref()
        .map(|lease| (Tone::Accent, format!("held by {} for {}", lease.holder_name, words::span(lease.expires_in_ms))));
    let notes = [
        resource.simulated.then(|| (Tone::Warn, "simulated".to_owned())),
        (!resource.online).then(|| (Tone::Bad, "offline".to_owned())),
        held,
    ];
    notes.into_iter().flatten().enumerate().fold(Line::new(), |line, (at, (tone, text))| {
        let line = if at == 0 { line } else { line.plain(", ") };
        line.and(tone, text)
    })
}
