//! `tutti image run`: the image boots on this machine; its console is this terminal's.
//!
//! With `--join` the device enters the group of this machine's device. A Linux system is handed a ticket in a second archive behind its own,
//! which the image knows nothing of, and which lives as long as the slowest boot, or until the emulator ends ([`invitation`]); a microcontroller's serial line becomes a link of a satellite, which is closed
//! in the end.

mod cable;
mod invitation;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use clap::Args;
use tutti_control::{Client, LinkRequest};
use tutti_image::{
    build,
    bundle::Bundle,
    emulate::{self, Machine},
    manifest::{Profile, Role as MemberRole},
    size::Size,
};

use self::invitation::Invitation;
use super::{parse, read};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    tui,
};

/// How long the emulator has to open the microcontroller's line.
const LINE: Duration = Duration::from_secs(10);

/// How long a device has to end in good order.
const GOODBYE: Duration = Duration::from_secs(20);

/// Boots an image on this machine, in an emulator or as user-mode Linux
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// The image
    image: PathBuf,
    /// Have it enter the group of this machine's device
    #[arg(long)]
    join: bool,
    /// Its memory, such as "64 MiB"; the board's if left out
    #[arg(long, value_name = "SIZE")]
    ram: Option<Size>,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS")]
    append: Option<String>,
    /// A file that is its disk
    #[arg(long, value_name = "FILE")]
    disk: Option<PathBuf>,
    /// More arguments for its node, as `tutti up` takes them
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    node: Vec<String>,
    /// A command of `tutti` that it does once it is up (and in the group, with --join), such as doctor; what that says is on its console
    #[arg(long, value_name = "COMMAND")]
    once: Vec<String>,
    /// Show how it would be started, and do not
    #[arg(long)]
    dry_run: bool,
    /// As one JSON document, with --dry-run
    #[arg(long, requires = "dry_run")]
    json: bool,
}

pub(super) async fn run(args: RunArgs, context: &mut Context) -> Result<Exit, Failure> {
    let bytes = read(&args.image)?;
    let bundle = parse(&args.image, &bytes)?;
    let folder = tempfile::Builder::new().prefix("tutti-image-").tempdir();
    let folder = folder.explain(|| "no folder for the image's members can be made".into())?;
    let client = if args.join { Some(context.client().await?) } else { None };
    let profile = bundle.head.manifest.profile;
    let invitation = match &client {
        Some(client) if profile == Profile::Standard && !args.dry_run => {
            Some(Invitation::make(client).await.explain(|| "cannot let the device in".into())?)
        }
        _ => None,
    };
    let ran = boot(&args, &bundle, folder.path(), client.as_ref(), invitation.as_ref(), context).await;
    if let Some(invitation) = invitation {
        invitation.withdraw().await;
    }
    ran
}

async fn boot(
    args: &RunArgs,
    bundle: &Bundle<'_>,
    folder: &Path,
    client: Option<&Client>,
    invitation: Option<&Invitation<'_>>,
    context: &mut Context,
) -> Result<Exit, Failure> {
    let profile = bundle.head.manifest.profile;
    let once: Vec<Vec<String>> =
        args.once.iter().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    unpack(bundle, folder, invitation.map(Invitation::ticket), &args.node, &once)?;
    let line = (profile != Profile::Standard).then(|| folder.join("line"));
    let words = args.append.iter().map(ToString::to_string).collect();
    let machine = Machine { ram: args.ram, line: line.clone(), words, disk: args.disk.clone() };
    let command = emulate::command(&bundle.head.manifest, folder, &machine);
    let command = command.map_err(|error| Failure::new("the image cannot be booted here").why(error))?;
    if args.dry_run {
        if args.json {
            context.printer.json(&command)?;
        } else {
            context.printer.line(command.join(" "))?;
        }
        return Ok(Exit::Done);
    }
    let (program, arguments) = command.split_first().ok_or_else(|| Failure::new("there is nothing to start"))?;
    context.printer.note(Line::of(Tone::Faint, format!("starting {program}; Ctrl-C ends it")));
    let mut emulator = tokio::process::Command::new(program);
    emulator.args(arguments).kill_on_drop(true);
    let mut network = tokio::task::JoinSet::new();
    if emulate::has_cable(&bundle.head.manifest) {
        let (end, own) = cable::pair().explain(|| "there is no cable for the device's network".into())?;
        emulator.stdin(end);
        network.spawn(cable::serve(own));
    } else {
        emulator.stdin(Stdio::inherit());
    }
    let mut child = emulator.spawn().map_err(|error| {
        let failure = Failure::new(format!("{program} cannot be started")).why(&error);
        match error.kind() {
            std::io::ErrorKind::NotFound => failure.next(format!("install it: apt-get install {}", package(program))),
            _ => failure,
        }
    })?;
    let link = match (client, &line) {
        (Some(client), Some(line)) => Some((client, connect(client, line, &bundle.head.manifest.product).await?)),
        _ => None,
    };
    let ended = tokio::select! {
        ended = child.wait() => Some(ended),
        () = tui::asked_to_end() => None,
    };
    if ended.is_none() && !ends_itself(bundle, folder, &mut child, context).await {
        child.kill().await.explain(|| format!("{program} cannot be ended"))?;
    }
    if let Some((client, name)) = link {
        client.disconnect_satellite(&name).await.explain(|| format!("the link {name} stays"))?;
    }
    match ended {
        Some(Ok(status)) if !status.success() => Err(Failure::new(format!("{program} ended: {status}"))),
        Some(Err(error)) => Err(Failure::new(format!("{program} is lost")).why(error)),
        _ => Ok(Exit::Done),
    }
}

/// Has the device end in good order, as a PC does by three keys, and others by their power button; whether it did.
async fn ends_itself(
    bundle: &Bundle<'_>,
    folder: &Path,
    child: &mut tokio::process::Child,
    context: &mut Context,
) -> bool {
    let Some(end) = emulate::end(&bundle.head.manifest) else { return false };
    // The monitor does what it is told only while somebody is there.
    let Ok(_monitor) = tell(folder, &end).await else { return false };
    context.printer.note(Line::of(Tone::Faint, "the device was told to end; Ctrl-C again ends it at once"));
    tokio::select! {
        ended = child.wait() => ended.is_ok(),
        () = tokio::time::sleep(GOODBYE) => false,
        () = tui::asked_to_end() => false,
    }
}

/// Tells the emulator's monitor something.
async fn tell(folder: &Path, what: &str) -> std::io::Result<tokio::net::UnixStream> {
    use tokio::io::AsyncWriteExt as _;
    let mut monitor = tokio::net::UnixStream::connect(folder.join(emulate::MONITOR)).await?;
    monitor.write_all(what.as_bytes()).await?;
    Ok(monitor)
}

/// Writes the members to a folder; behind the system what it is told besides.
fn unpack(
    bundle: &Bundle<'_>,
    folder: &Path,
    ticket: Option<&str>,
    node: &[String],
    once: &[Vec<String>],
) -> Result<(), Failure> {
    let manifest = &bundle.head.manifest;
    for member in &manifest.members {
        let path = folder.join(&member.name);
        let mut bytes = bundle.member(&member.name).unwrap_or_default().to_vec();
        if member.role == MemberRole::Initramfs && (ticket.is_some() || !node.is_empty() || !once.is_empty()) {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes.extend(build::overlay(manifest, ticket, node, once));
        }
        build::write(&path, &bytes).explain(|| format!("cannot write {}", path.display()))?;
        if member.role == MemberRole::Kernel {
            // User-mode Linux is a program.
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(&path, mode).explain(|| format!("cannot make {} a program", path.display()))?;
        }
    }
    Ok(())
}

/// Has this machine's device look for the microcontroller; the link's name.
async fn connect(client: &Client, line: &Path, product: &str) -> Result<String, Failure> {
    let begun = tokio::time::Instant::now();
    while !line.exists() && begun.elapsed() < LINE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let link = LinkRequest { link: format!("unix:{}", line.display()), name: Some(product.to_owned()) };
    let made = client.connect_satellite(&link).await.explain(|| "this machine's device cannot be its host".into())?;
    Ok(made.name)
}

/// Debian's package for an emulator.
fn package(program: &str) -> &'static str {
    match program {
        "qemu-system-x86_64" => "qemu-system-x86",
        _ => "qemu-system-arm",
    }
}
