//! `tutti lease`.

use std::time::Duration;

use clap::{Args, Subcommand};
use tutti_control::{Lease, LeaseMode, LeaseRequest, RenewLease};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Printer, Tone},
    table::Table,
    target::Target,
    words,
};

/// Keeps a resource to this device for a while
#[derive(Debug, Args)]
pub(crate) struct LeaseArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Takes a lease; its token goes with: tutti set --lease TOKEN
    Take {
        /// What to lease, such as kitchen/lamp
        #[arg(value_name = "DEVICE/RESOURCE")]
        target: Target,
        /// For how long; the other device may grant less
        #[arg(long = "for", value_name = "TIME", value_parser = words::parse_span, default_value = "30s")]
        duration: Duration,
        /// Let others have it at the same time
        #[arg(long)]
        shared: bool,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Lists the leases
    Ls {
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Renews a lease before it ends
    Renew {
        /// The lease's id
        id: String,
        /// For how long from now: as before if left out
        #[arg(long = "for", value_name = "TIME", value_parser = words::parse_span)]
        duration: Option<Duration>,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Gives a lease back
    Release {
        /// The lease's id
        id: String,
    },
}

pub(crate) async fn run(args: LeaseArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match args.what {
        What::Take { target, duration, shared, json } => {
            let mode = if shared { LeaseMode::Shared } else { LeaseMode::Exclusive };
            let request = LeaseRequest { resource: target.to_string(), mode, duration_ms: Some(millis(duration)) };
            let lease = client.take_lease(&request).await.explain(|| format!("cannot lease {target}"))?;
            show(&lease, json, &mut context.printer)?;
        }
        What::Renew { id, duration, json } => {
            let request = RenewLease { duration_ms: duration.map(millis) };
            let lease = client.renew_lease(&id, &request).await.explain(|| format!("cannot renew the lease {id}"))?;
            show(&lease, json, &mut context.printer)?;
        }
        What::Release { id } => {
            client.release_lease(&id).await.explain(|| format!("cannot release the lease {id}"))?;
            context.printer.line(Line::from("released ").and(Tone::Strong, id))?;
        }
        What::Ls { json } => {
            let leases = client.leases().await?;
            if json {
                context.printer.json(&leases)?;
            } else if leases.is_empty() {
                context.printer.note("No lease was taken.");
            } else {
                context.printer.table(&table(&leases))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn show(lease: &Lease, json: bool, printer: &mut Printer) -> Result<(), Failure> {
    if json { printer.json(lease) } else { printer.table(&table(std::slice::from_ref(lease))) }
}

fn table(leases: &[Lease]) -> Table {
    let mut table = Table::new(&["LEASE", "RESOURCE", ">TOKEN", "MODE", "ENDS IN"]);
    for lease in leases {
        table.row([
            Line::of(Tone::Strong, &lease.id),
            lease.resource.as_str().into(),
            Line::of(Tone::Accent, lease.token),
            lease.mode.to_string().into(),
            words::span(lease.expires_in_ms).into(),
        ]);
    }
    table
}
