//! `tutti status`.

use clap::Args;
use tutti_control::DeviceInfo;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Printer, Tone},
    words,
};

/// Shows the device itself: name, id, group, addresses
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: StatusArgs, context: &mut Context) -> Result<Exit, Failure> {
    let device = context.client().await?.device().await?;
    if args.json {
        context.printer.json(&device)?;
    } else {
        show(&device, &mut context.printer)?;
    }
    Ok(Exit::Done)
}

fn show(device: &DeviceInfo, printer: &mut Printer) -> Result<(), Failure> {
    let group = &device.group;
    let company = match (group.alone, group.members) {
        (true, _) => "alone; let a device in with: tutti pair".to_owned(),
        (false, members) => words::count(members as usize, "device"),
    };
    let uptime = words::span(device.uptime_ms);
    printer
        .line(Line::of(Tone::Strong, &device.name).plain(format!(" has run for {uptime}, Tutti {}", device.version)))?;
    let mut facts = vec![
        ("id", device.id.clone()),
        ("group", format!("{}, {} of it, {company}", words::short(&group.id), group.role)),
        ("addresses", device.addresses.join(" ")),
        ("state", device.state_dir.clone()),
        ("process", device.pid.to_string()),
        ("api", device.api.socket.clone()),
    ];
    facts.extend(device.api.tcp.clone().map(|tcp| ("api on tcp", tcp)));
    facts
        .into_iter()
        .try_for_each(|(what, fact)| printer.line(Line::of(Tone::Faint, format!("{what:>12}  ")).plain(fact)))
}
