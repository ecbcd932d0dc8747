//! `tutti up`: makes this machine a device of the pool.
//!
//! With `--foreground` this process is the device; it logs to standard error and prints one line to standard output
//! when it is ready (systemd is told as well). Without, it starts itself so in the background, waits until it is
//! ready, and says what to do next.

mod background;
mod foreground;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::Args;
use tutti_control::runtime;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    words,
};

/// Makes this machine a device of the pool
#[derive(Debug, Clone, Args)]
pub(crate) struct UpArgs {
    /// What people call the device; the machine's name if left out, and kept from then on
    #[arg(long)]
    name: Option<String>,
    /// The UDP port that other devices reach it at; any free one if left out
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Stay in the foreground, log to standard error, and print a line when ready
    #[arg(long)]
    foreground: bool,
    /// Offer the control API on loopback TCP too; the token is in the file api-token of the state folder
    #[arg(long, visible_alias = "listen-tcp", value_name = "ADDRESS:PORT", num_args = 0..=1,
        default_missing_value = "127.0.0.1:0", value_parser = loopback)]
    api_tcp: Option<SocketAddr>,
    /// Look for this machine's hardware below this folder instead of /
    #[arg(long, value_name = "ROOT")]
    sysfs: Option<PathBuf>,
    /// The chip's System Device Tree, for the memory map; then what to lay over it. Else system.dts in the state folder
    #[arg(long, value_name = "FILE", num_args = 1..)]
    device_tree: Vec<PathBuf>,
    /// The list of what this device's image carries: apps to offer to the group, and other cores' firmware to start
    #[arg(long, value_name = "FILE")]
    carried: Option<PathBuf>,
    /// Offer made-up resources too, marked as simulated: room-temperature, light-level, lamp, knob
    #[arg(long, value_name = "WHAT", num_args = 1.., value_delimiter = ',')]
    simulate: Vec<String>,
    /// How much others may store here, such as 500M; 0 for nothing
    #[arg(long, value_name = "SIZE", value_parser = words::parse_size)]
    storage_quota: Option<u64>,
    /// How much memory apps may have here together, such as 64M; half of the machine's if left out
    #[arg(long, value_name = "SIZE", value_parser = words::parse_size)]
    app_memory: Option<u64>,
    /// Neither announce the device on the local network nor look for others there
    #[arg(long)]
    no_mdns: bool,
    /// Where running devices of this host find each other
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Offer none of this machine's own hardware
    #[arg(long)]
    no_hardware: bool,
    /// Move aside what is damaged in the state folder and begin anew; the device may then have to be paired again
    #[arg(long)]
    reset_corrupt: bool,
    /// Speak this version of the protocol between devices and no other: for tests of devices of other versions
    #[arg(long, value_name = "N", hide = true)]
    speak_version: Option<u16>,
    /// End when standard input is closed: whoever holds the other end of a pipe takes this with it
    #[arg(long, requires = "foreground", hide = true)]
    exit_with_stdin: bool,
    /// Leave the session of the terminal
    #[arg(long, requires = "foreground", hide = true)]
    detach: bool,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| format!("{text:?} is no address; write it as 127.0.0.1:8080"))?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("only loopback addresses are taken: 127.0.0.1 or [::1]".into())
    }
}

pub(crate) async fn run(args: UpArgs, context: &mut Context) -> Result<Exit, Failure> {
    let state = match context.selection.state.clone().or_else(runtime::default_state_dir) {
        Some(state) => state,
        None => {
            return Err(
                Failure::wrong_use("there is no home folder to keep the state in").next("name one with --state DIR")
            );
        }
    };
    let state = std::path::absolute(&state).unwrap_or(state);
    let device_tree = args.device_tree.iter().map(|path| named_tree(path)).collect::<Result<_, _>>()?;
    // A device in the background is at home elsewhere.
    let carried = args.carried.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    let args = UpArgs { device_tree, carried, ..args };
    if args.foreground {
        foreground::run(args, &state, context).await
    } else {
        background::run(&args, &state, context).await
    }
}

/// A device tree that was named: as a whole path, since a device in the background is at home elsewhere.
fn named_tree(path: &Path) -> Result<PathBuf, Failure> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match std::fs::metadata(&whole) {
        Ok(found) if found.is_file() => Ok(whole),
        Ok(_) => Err(Failure::wrong_use(format!("{} is no file", path.display()))),
        Err(error) => Err(Failure::wrong_use(format!("cannot read the device tree {}", path.display())).why(error)),
    }
}

/// The arguments with which this program runs the same in the foreground.
fn foreground_arguments(args: &UpArgs, state: &Path) -> Vec<std::ffi::OsString> {
    let mut all: Vec<std::ffi::OsString> = ["up", "--foreground", "--detach", "--state"].map(Into::into).into();
    all.push(state.into());
    let mut pair = |flag: &str, value: Option<std::ffi::OsString>| {
        all.extend(value.into_iter().flat_map(|value| [flag.into(), value]));
    };
    pair("--name", args.name.as_ref().map(Into::into));
    pair("--port", Some(args.port.to_string().into()));
    pair("--api-tcp", args.api_tcp.map(|address| address.to_string().into()));
    pair("--sysfs", args.sysfs.as_ref().map(Into::into));
    pair("--carried", args.carried.as_ref().map(Into::into));
    pair("--storage-quota", args.storage_quota.map(|quota| quota.to_string().into()));
    pair("--app-memory", args.app_memory.map(|most| most.to_string().into()));
    pair("--runtime-dir", args.runtime_dir.as_ref().map(Into::into));
    pair("--speak-version", args.speak_version.map(|version| version.to_string().into()));
    pair("--simulate", Some(args.simulate.join(",").into()).filter(|_| !args.simulate.is_empty()));
    for tree in &args.device_tree {
        all.extend(["--device-tree".into(), tree.into()]);
    }
    let switches =
        [("--no-mdns", args.no_mdns), ("--no-hardware", args.no_hardware), ("--reset-corrupt", args.reset_corrupt)];
    all.extend(switches.into_iter().filter(|(_, on)| *on).map(|(switch, _)| switch.into()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    #[test]
    fn the_background_gets_every_argument() {
        let line = "tutti up --state /s --name a --port 7 --api-tcp --sysfs /r --simulate sensor actuator --storage-quota 1k \
            --app-memory 64M \
            --no-mdns --carried /c --speak-version 1 --runtime-dir /d --device-tree /a.dts /b.yaml --no-hardware --reset-corrupt";
        let parse = |arguments: Vec<std::ffi::OsString>| match Cli::try_parse_from(arguments).unwrap() {
            Cli { command: Command::Up(args), global } => (args, global.state),
            other => panic!("{other:?}"),
        };
        let (first, state) = parse(line.split_whitespace().map(Into::into).collect());
        let mut again = vec!["tutti".into()];
        again.extend(foreground_arguments(&first, state.as_deref().unwrap()));
        let (second, state_again) = parse(again);
        assert_eq!(state_again, state);
        let expected = UpArgs { foreground: true, detach: true, ..first };
        assert_eq!(format!("{second:?}"), format!("{expected:?}"));
    }

    #[test]
    fn the_api_stays_on_this_machine() {
        assert!(loopback("127.0.0.1:80").is_ok());
        assert!(loopback("[::1]:0").is_ok());
        assert!(loopback("0.0.0.0:80").unwrap_err().contains("only loopback"));
        assert!(loopback("localhost").is_err());
    }
}
