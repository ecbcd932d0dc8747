//! `tutti console`: a link that opens the pool in a browser.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use clap::Args;
use tutti_control::{ConsoleRequest, NetworkLink};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    qr,
};

/// What opens a file in the person's browser on a desktop.
const OPENER: &str = "xdg-open";

/// Opens the pool in a browser
///
/// Prints a link that lets one browser in, once, within two minutes; it then stays in for twelve hours. The page is
/// served on loopback only, from when it is first asked for until the device stops.
///
/// With --network, the link is for a browser of another machine: a phone, say. The page is then also served over TLS at
/// every address of this machine, until the device stops or the door is shut. The browser will warn that nobody vouches for
/// the certificate: compare its fingerprint with the one shown here, then go on.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    /// Open the link in the browser as well
    #[arg(long)]
    open: bool,
    /// The port to serve the page at; any free one if left out
    #[arg(long)]
    port: Option<u16>,
    /// For a browser of another machine
    #[arg(long, conflicts_with = "open")]
    network: bool,
    /// Shut the door for browsers of other machines, and end what they have open
    #[arg(long, requires = "network", conflicts_with = "port")]
    shut: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: ConsoleArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let device = client.device().await?;
    if args.shut {
        client.shut_console().await.explain(|| format!("{} did not shut its door", device.name))?;
        if args.json {
            context.printer.json(&serde_json::json!({ "shut": true }))?;
        } else {
            context.printer.line("browsers of other machines are shut out")?;
        }
        return Ok(Exit::Done);
    }
    let request = ConsoleRequest { port: args.port, network: args.network };
    let link = client.console(&request).await.explain(|| format!("{} makes no link to its console", device.name))?;
    if args.json {
        context.printer.json(&link)?;
    } else {
        let life = link.expires_in_ms / 60_000;
        match &link.network {
            Some(network) => show(context, network, life)?,
            None => {
                context.printer.line(Line::of(Tone::Strong, &link.url))?;
                let note = format!("It lets one browser of this machine in, once, within {life} minutes.");
                context.printer.line(Line::of(Tone::Faint, note))?;
            }
        }
    }
    if args.open {
        open(Path::new(&device.state_dir), &link.url).map_err(|error| {
            Failure::new("the browser did not open").why(error).next("copy the link into a browser of this machine")
        })?;
    }
    Ok(Exit::Done)
}

/// What a person at another machine needs.
fn show(context: &mut Context, network: &NetworkLink, minutes: u64) -> Result<(), Failure> {
    let Some(first) = network.urls.first() else { return Ok(()) };
    for url in &network.urls {
        context.printer.line(Line::of(Tone::Strong, url))?;
    }
    qr::show(first, &mut context.printer)?;
    let page = first.split_once('#').map_or(first.as_str(), |(page, _)| page);
    for line in [
        format!("code {} at {page}", network.code),
        format!(
            "One browser comes in, once, within {minutes} minutes. It will warn of the certificate; its SHA-256 must be"
        ),
        network.fingerprint.clone(),
    ] {
        context.printer.line(Line::of(Tone::Faint, line))?;
    }
    Ok(())
}

/// Opens the link by a file that only this user may read: on a command line every user of the machine could see it.
fn open(folder: &Path, url: &str) -> io::Result<()> {
    let page = redirect(folder, url)?;
    let opener = std::process::Command::new(OPENER)
        .arg(&page)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .map_err(|error| io::Error::new(error.kind(), format!("{OPENER}: {error}")))?;
    if opener.success() { Ok(()) } else { Err(io::Error::other(format!("{OPENER} failed"))) }
}

fn redirect(folder: &Path, url: &str) -> io::Result<PathBuf> {
    let path = folder.join("console.html");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    // The link is digits, letters and punctuation that needs no escape.
    write!(file, "<!doctype html><title>Tutti</title><meta http-equiv=\"refresh\" content=\"0;url={url}\">")?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_page_that_leads_there_is_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        for token in ["aa", "bb"] {
            let path = redirect(folder.path(), &format!("http://127.0.0.1:1/#login={token}")).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert!(fs::read_to_string(path).unwrap().contains(token));
        }
    }
}
