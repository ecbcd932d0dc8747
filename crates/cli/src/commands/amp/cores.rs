//! The commands of `tutti amp` that speak to the device: its cores and their lives.
//!
//! ```text
//! $ tutti amp start brain /opt/brain.elf
//! NAME   STATE    KIND     FIRMWARE        GENERATION  SATELLITES
//! brain  running  process  /opt/brain.elf  1           m33-core
//! ```

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::Args;
use tutti_control::{Core, CoreAction, CoreCrash, CoreKind, CoreLine, CoreRequest, CoreState, StopMessage};

use crate::{
    commands::{doctor, log},
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table::Table,
    words,
};

/// Whether to print JSON.
#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// One core.
#[derive(Debug, Args)]
pub(crate) struct CoreArgs {
    /// The core's name; `tutti amp ls` lists them
    name: String,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// Starts a core, with another firmware if one is named
///
/// With a NAME that is new and the file of a program, makes a core that is a process of the device's own: for firmware
/// that is being developed, and for programs that are to crash alone. The kernel's cores (remoteproc0, …) take the name of
/// a file in /lib/firmware.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// The core's name
    name: String,
    /// Its firmware from now on
    firmware: Option<String>,
    /// The message that asks a program to stop before it is stopped by force: the address of its endpoint, and bytes in
    /// hexadecimal, such as 1024:73746f70
    #[arg(long, value_name = "ENDPOINT:BYTES", value_parser = stop_message, requires = "firmware")]
    stop_message: Option<StopMessage>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
    /// The arguments of a program
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// Shows what a core wrote: its trace, its satellite's log, and what happened to it
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The core's name
    name: String,
    /// Go on with each new line, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// As JSON: one document, or with --follow one line for each line
    #[arg(long)]
    json: bool,
}

/// Keeps a core's memory as an ELF core file, which gdb and readelf open
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The core's name
    name: String,
    /// Where to; NAME.core in this folder if left out
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// As one JSON document: the file and its size
    #[arg(long)]
    json: bool,
}

fn stop_message(text: &str) -> Result<StopMessage, String> {
    let (endpoint, bytes) = text.split_once(':').ok_or("write ENDPOINT:BYTES, such as 1024:73746f70")?;
    let endpoint = endpoint.parse().map_err(|_| format!("{endpoint:?} is no address of an endpoint"))?;
    Ok(StopMessage { endpoint, bytes: bytes.to_owned() })
}

pub(crate) async fn ls(args: JsonArgs, context: &mut Context) -> Result<Exit, Failure> {
    let cores = context.client().await?.cores().await?;
    if args.json {
        context.printer.json(&cores)?;
        return Ok(Exit::Done);
    }
    context.printer.table(&table(&cores))?;
    if cores.is_empty() {
        let note = "There is no other core. See why with: tutti amp doctor";
        context.printer.note(Line::of(Tone::Faint, note));
    }
    Ok(Exit::Done)
}

pub(crate) async fn info(args: CoreArgs, context: &mut Context) -> Result<Exit, Failure> {
    let core = context.client().await?.core(&args.name).await.explain(|| format!("cannot look at {}", args.name))?;
    show(&core, args.json, context)?;
    if !args.json && !core.crashes.is_empty() {
        context.printer.line(Line::default())?;
        context.printer.table(&crashes(&core.crashes))?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn start(args: StartArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let failed = || format!("cannot start {}", args.name);
    let known = client.cores().await.explain(failed)?.into_iter().find(|core| core.name == args.name);
    // What is a file here is one for the device, whose folder is another.
    let is_kernels = known.is_some_and(|core| core.kind == CoreKind::Linux);
    let firmware =
        args.firmware.clone().map(|file| if is_kernels { Ok(file) } else { whole_path(&file) }).transpose()?;
    let request = CoreRequest { firmware, arguments: args.arguments.clone(), stop_message: args.stop_message.clone() };
    let core = client.act_on_core(&args.name, CoreAction::Start, &request).await.explain(failed)?;
    show(&core, args.json, context)
}

pub(crate) async fn act(action: CoreAction, args: CoreArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let done = client.act_on_core(&args.name, action, &CoreRequest::default()).await;
    let core = done.explain(|| format!("cannot {action} {}", args.name))?;
    show(&core, args.json, context)
}

pub(crate) async fn forget(args: CoreArgs, context: &mut Context) -> Result<Exit, Failure> {
    context.client().await?.forget_core(&args.name).await.explain(|| format!("cannot forget {}", args.name))?;
    if args.json {
        context.printer.json(&serde_json::json!({ "forgotten": args.name }))?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn log(args: LogArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let failed = || format!("cannot read the log of {}", args.name);
    if args.follow {
        let lines = client.follow_core_log(&args.name, 0).await.explain(failed)?;
        return log::follow(lines, args.json, write_line, failed, context).await;
    }
    let lines = client.core_log(&args.name, 0).await.explain(failed)?;
    log::show(&lines, args.json, write_line, context)
}

pub(crate) async fn dump(args: DumpArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let failed = || format!("cannot dump {}", args.name);
    let to = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.core", args.name)));
    let mut dump = client.core_dump(&args.name).await.explain(failed)?;
    let mut file = std::fs::File::create(&to).explain(|| format!("cannot write {}", to.display()))?;
    let mut size = 0;
    while let Some(piece) = dump.chunk().await.explain(failed)? {
        file.write_all(&piece).explain(|| format!("cannot write {}", to.display()))?;
        size += piece.len();
    }
    if args.json {
        context.printer.json(&serde_json::json!({ "file": to, "size": size }))?;
    } else {
        context.printer.line(format!("{} ({size} bytes)", to.display()))?;
        context.printer.note(Line::of(Tone::Faint, format!("look at it with: gdb FIRMWARE {}", to.display())));
    }
    Ok(Exit::Done)
}

pub(crate) async fn ping(args: CoreArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let ping = client.ping_core(&args.name).await.explain(|| format!("cannot ping {}", args.name))?;
    if args.json {
        context.printer.json(&ping)?;
    } else {
        context.printer.line(format!("{}: {} µs there and back", args.name, ping.round_trip_us))?;
    }
    Ok(Exit::Done)
}

pub(crate) async fn doctor(args: JsonArgs, context: &mut Context) -> Result<Exit, Failure> {
    let checks = context.client().await?.cores_doctor().await?;
    if args.json {
        context.printer.json(&checks)?;
        return Ok(Exit::Done);
    }
    doctor::show("cores that the kernel leads", &checks, &mut context.printer)?;
    let note = "Cores that are processes need nothing of the kernel: tutti amp start NAME PROGRAM";
    context.printer.note(Line::of(Tone::Faint, note));
    Ok(Exit::Done)
}

fn show(core: &Core, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    if json {
        context.printer.json(core)?;
    } else {
        context.printer.table(&table(std::slice::from_ref(core)))?;
    }
    Ok(Exit::Done)
}

fn write_line(line: &CoreLine, context: &mut Context) -> Result<(), Failure> {
    let tone = if line.text.starts_with("-- ") { Tone::Faint } else { Tone::Plain };
    context.printer.line(Line::of(tone, &line.text))
}

fn whole_path(file: &str) -> Result<String, Failure> {
    let whole = std::fs::canonicalize(Path::new(file)).explain(|| format!("cannot use {file}"))?;
    whole.into_os_string().into_string().map_err(|_| Failure::wrong_use(format!("the path of {file} is no UTF-8")))
}

/// A line for each core.
fn table(cores: &[Core]) -> Table {
    let mut table =
        Table::new(&["NAME", "STATE", "KIND", "FIRMWARE", ">GENERATION", ">RECOVERIES", "SATELLITES", "LAST ERROR"]);
    for core in cores {
        let tone = match core.state {
            CoreState::Running | CoreState::Attached => Tone::Good,
            CoreState::Crashed => Tone::Bad,
            CoreState::Suspended | CoreState::Detached => Tone::Warn,
            CoreState::Offline => Tone::Faint,
        };
        table.row([
            Line::of(Tone::Strong, &core.name),
            Line::of(tone, core.state),
            core.kind.to_string().into(),
            core.firmware.as_str().into(),
            core.generation.to_string().into(),
            core.recoveries.to_string().into(),
            core.satellites.join(", ").into(),
            Line::of(Tone::Warn, core.last_error.as_deref().unwrap_or_default()),
        ]);
    }
    table
}

/// Its crashes, the latest first.
fn crashes(crashes: &[CoreCrash]) -> Table {
    let mut table = Table::new(&["CRASHED", ">GENERATION", "HOW"]);
    for crash in crashes.iter().rev() {
        table.row([
            Line::of(Tone::Faint, words::since(crash.at)),
            crash.generation.to_string().into(),
            crash.what.as_str().into(),
        ]);
    }
    table
}
