//! `tutti satellite`: microcontrollers without a network that join the pool through this device.
//!
//! ```text
//! $ tutti satellite connect serial:/dev/ttyACM0 --name bench
//! $ tutti satellite ls
//! NAME   LINK                 STATE   SATELLITES  FIRMWARE
//! bench  serial:/dev/ttyACM0  joined  bench       0.1.0
//! ```

use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use tutti_control::{Client, LinkRequest, LinkState, SatelliteLink};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// How long a satellite has to say what it is before the command says that there is none yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects microcontrollers without a network, which join the pool through this device
#[derive(Debug, Args)]
pub(crate) struct SatelliteArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Looks for a satellite on a link, from now on and after a restart
    ///
    /// A LINK is serial:/dev/ttyACM0, with @SPEED if that is not 115200, or unix:/path for a socket that an emulator or
    /// another program listens on. When it breaks it is tried again.
    Connect {
        /// Where the satellite is
        link: String,
        /// What to call the link, and the satellite at its end; what it calls itself if left out
        #[arg(long)]
        name: Option<String>,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Lists the links and who is there
    Ls {
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Closes a link for good
    Disconnect {
        /// The link's name
        name: String,
    },
}

pub(crate) async fn run(args: SatelliteArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    match args.what {
        What::Connect { link, name, json } => {
            let failed = || format!("cannot connect {link}");
            let made = client.connect_satellite(&LinkRequest { link: link.clone(), name }).await.explain(failed)?;
            let made = joined(&client, made).await.explain(failed)?;
            if json {
                context.printer.json(&made)?;
                return Ok(Exit::Done);
            }
            context.printer.table(&table(std::slice::from_ref(&made)))?;
            if made.state != LinkState::Joined {
                let why = made.last_error.unwrap_or_else(|| "the satellite has not said what it is yet".into());
                let note = format!("nobody is there yet ({why}); the device goes on looking: tutti satellite ls");
                context.printer.note(Line::of(Tone::Warn, note));
            }
        }
        What::Ls { json } => {
            let links = client.satellites().await?;
            if json {
                context.printer.json(&links)?;
                return Ok(Exit::Done);
            }
            context.printer.table(&table(&links))?;
            if links.is_empty() {
                context
                    .printer
                    .note(Line::of(Tone::Faint, "There is no link. Make one with: tutti satellite connect LINK"));
            }
        }
        What::Disconnect { name } => {
            client.disconnect_satellite(&name).await.explain(|| format!("cannot disconnect {name}"))?;
            context.printer.note(Line::of(Tone::Faint, format!("{name} is closed")));
        }
    }
    Ok(Exit::Done)
}

/// The link once a satellite is there, or as it is after a while.
async fn joined(client: &Client, mut link: SatelliteLink) -> Result<SatelliteLink, tutti_control::ClientError> {
    let end = Instant::now() + PATIENCE;
    while link.state != LinkState::Joined && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = client.satellites().await?.into_iter().find(|other| other.name == link.name);
        link = now.unwrap_or(link);
    }
    Ok(link)
}

/// A line for each link.
fn table(links: &[SatelliteLink]) -> Table {
    let mut table = Table::new(&["NAME", "LINK", "STATE", "SATELLITES", "FIRMWARE", ">DROPPED", "LAST ERROR"]);
    for link in links {
        let tone = match link.state {
            LinkState::Joined => Tone::Good,
            LinkState::Open => Tone::Warn,
            LinkState::Waiting => Tone::Bad,
        };
        let list = |field: fn(&tutti_control::LinkedSatellite) -> &str| {
            link.satellites.iter().map(field).collect::<Vec<_>>().join(", ")
        };
        table.row([
            Line::of(Tone::Strong, &link.name),
            link.link.as_str().into(),
            Line::of(tone, link.state),
            list(|one| &one.name).into(),
            list(|one| &one.firmware).into(),
            link.dropped.to_string().into(),
            Line::of(
                Tone::Warn,
                link.last_error.as_deref().filter(|_| link.state != LinkState::Joined).unwrap_or_default(),
            ),
        ]);
    }
    table
}
