//! `tutti devices`.

use clap::Args;
use tutti_control::{Device, Presence};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Lists the devices of the group
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: DevicesArgs, context: &mut Context) -> Result<Exit, Failure> {
    let devices = context.client().await?.devices().await?;
    if args.json {
        context.printer.json(&devices)?;
        return Ok(Exit::Done);
    }
    context.printer.table(&table(&devices))?;
    if devices.len() == 1 {
        context.printer.note(Line::of(Tone::Faint, "It is alone in its group. Let a device in with: tutti pair"));
    }
    Ok(Exit::Done)
}

/// A line for each device.
fn table(devices: &[Device]) -> Table {
    let mut table = Table::new(&[
        "NAME",
        "STATE",
        "SEEN",
        ">RTT",
        "ROLE",
        "KIND",
        "SYSTEM",
        ">RESOURCES",
        "VIA",
        "ID",
        "LAST ERROR",
    ]);
    for device in devices {
        let via =
            |id: &String| devices.iter().find(|host| host.id == *id).map_or(words::short(id), |host| host.name.clone());
        let system = [device.os.as_str(), device.architecture.as_str()];
        table.row([
            Line::of(Tone::Strong, &device.name),
            presence(device.presence),
            seen(device).into(),
            device.rtt_ms.map(|rtt| format!("{rtt:.1} ms")).unwrap_or_default().into(),
            device.role.map(|role| role.to_string()).unwrap_or_default().into(),
            device.kind.as_str().into(),
            system.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ").into(),
            device.resources.to_string().into(),
            device.via.as_ref().map(via).unwrap_or_default().into(),
            Line::of(Tone::Faint, words::short(&device.id)),
            Line::of(Tone::Warn, device.last_error.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// The word for it in its colour.
fn presence(presence: Presence) -> Line {
    let tone = match presence {
        Presence::Myself => Tone::Accent,
        Presence::Online => Tone::Good,
        Presence::Offline => Tone::Bad,
    };
    Line::of(tone, presence)
}

fn seen(device: &Device) -> String {
    match (device.presence, device.last_seen_ms_ago) {
        (Presence::Offline, Some(ago)) => format!("{} ago", words::span(ago)),
        (Presence::Offline, None) => "never".into(),
        _ => String::new(),
    }
}
