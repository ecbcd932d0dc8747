//! This process as the device.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    io::IsTerminal,
    path::Path,
};

use tracing_subscriber::EnvFilter;
use tutti_control::runtime;
use tutti_node::Options;

use super::UpArgs;
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Printer, Tone},
    tui,
};

/// What is logged unless `TUTTI_LOG` says otherwise (as <https://docs.rs/tracing-subscriber> describes filters).
const DEFAULT_LOG: &str = "info,iroh=warn,noq=warn,mdns_sd=error";

pub(super) async fn run(args: UpArgs, state: &Path, context: &mut Context) -> Result<Exit, Failure> {
    if args.detach {
        // Closing the terminal is then no longer of concern. It fails if that is so already.
        let _ = rustix::process::setsid();
    }
    log()?;
    let options = options(&args, state)?;
    let exit_with_stdin = args.exit_with_stdin;
    let shutdown = async move {
        tokio::select! {
            () = tui::asked_to_end() => {}
            () = input_closed(), if exit_with_stdin => {}
        }
        tracing::info!("stopping");
        tell_systemd(&[sd_notify::NotifyState::Stopping]);
    };
    tokio::spawn(heart());
    let printer = &mut context.printer;
    let ready = |device: tutti_node::Ready| {
        let status = format!("{} is up", device.name);
        tell_systemd(&[sd_notify::NotifyState::Ready, sd_notify::NotifyState::Status(&status)]);
        // Whoever started this waits for the line; one who does not read it need not be told.
        let line = Line::of(Tone::Good, "ready");
        let _ = printer.line(line.plain(format!(" {} {} {}", device.name, device.id, device.socket.display())));
    };
    tutti_node::run(options, ready, shutdown).await.map(|()| Exit::Done).map_err(|error| {
        tracing::error!("{error}");
        Failure::new(error.to_string()).next(error.hint())
    })
}

/// What was asked for, as the device takes it.
fn options(args: &UpArgs, state: &Path) -> Result<Options, Failure> {
    let runtime_dir = args.runtime_dir.clone().unwrap_or_else(runtime::runtime_dir);
    let mut options = Options::new(state.to_owned(), runtime_dir);
    if let Some(name) = &args.name {
        let name = name.parse().map_err(|error| Failure::wrong_use(format!("{name:?} cannot be a name: {error}")))?;
        options.name = Some(name);
    }
    let parse = |word: &String| word.parse().map_err(|error| Failure::wrong_use(format!("--simulate {word}: {error}")));
    options.simulated = args.simulate.iter().map(parse).collect::<Result<_, _>>()?;
    // Two devices on one machine shall not show the same made-up values.
    let mut hasher = DefaultHasher::new();
    (state, &args.name).hash(&mut hasher);
    options.seed = hasher.finish();
    options.device_tree.clone_from(&args.device_tree);
    options.app_memory = args.app_memory;
    options.carried.clone_from(&args.carried);
    options.port = args.port;
    options.mdns = !args.no_mdns;
    options.hardware = !args.no_hardware;
    options.api_tcp = args.api_tcp;
    options.reset_corrupt = args.reset_corrupt;
    if let Some(version) = args.speak_version {
        options.speak_only(version);
    }
    if let Some(root) = &args.sysfs {
        options.sysfs.clone_from(root);
    }
    match (args.storage_quota, &mut options.storage) {
        (Some(0), storage) => *storage = None,
        (Some(quota), Some(storage)) => storage.quota = quota,
        _ => {}
    }
    Ok(options)
}

fn log() -> Result<(), Failure> {
    let filter = std::env::var("TUTTI_LOG").unwrap_or_else(|_| DEFAULT_LOG.into());
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Failure::wrong_use(format!("TUTTI_LOG={filter} is no filter"))
            .why(error)
            .next("write it as info, or tutti_pool=debug,warn")
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(Printer::log_takes_colour() && std::io::stderr().is_terminal())
        .with_target(false)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| Failure::new("cannot log").why(error))
}

/// Returns when standard input is closed; what comes in before is of no interest.
///
/// A thread reads it, since reading a pipe blocks; the end of the process ends the thread.
async fn input_closed() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let ended = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        sender.send(ended)
    });
    // A sender that has gone has seen the end as well.
    let _ = receiver.await;
}

/// Beats for as long as this runtime runs tasks, if whoever started this process wants to hear it.
async fn heart() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((within / 3).max(std::time::Duration::from_millis(100)));
    loop {
        beat.tick().await;
        tell_systemd(&[sd_notify::NotifyState::Watchdog]);
    }
}

fn tell_systemd(states: &[sd_notify::NotifyState<'_>]) {
    // Without systemd there is nobody to tell, and that is no error.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}
