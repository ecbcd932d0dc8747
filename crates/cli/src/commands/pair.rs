//! `tutti pair`: lets a device in, or enters another's group.

use std::time::{Duration, Instant};

use clap::Args;
use tutti_control::{Client, JoinRequest, PairingOffer, PairingState, PairingStatus, Role};

use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Printer, Tone},
    qr, tui, words,
};

/// How often is asked whether the other device came in.
const POLL: Duration = Duration::from_millis(250);

/// How long proving the code to each other may take.
const JOIN: Duration = Duration::from_secs(60);

/// The longest name of a device, and the length of an id: what is longer is a ticket.
const LONGEST_NAME: usize = 64;

/// Brings two devices into one group: lets one in, or enters another's
///
/// Without DEVICE, shows a code, a ticket and a QR code, and waits for the other device. With DEVICE, enters the group
/// of that device, which shows a code; its ticket does instead of its name.
#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// The nearby device whose group to enter, or its ticket
    #[arg(value_name = "DEVICE|TICKET")]
    target: Option<String>,
    /// The code that the other device shows; asked for if left out
    #[arg(long, requires = "target", conflicts_with = "ticket")]
    code: Option<String>,
    /// The ticket that the other device shows
    #[arg(long, conflicts_with_all = ["target", "role", "timeout"])]
    ticket: Option<String>,
    /// What the device that comes in may do
    #[arg(long, value_name = "ROLE", default_value_t = Role::Member, conflicts_with = "target")]
    role: Role,
    /// Wait no longer than this for the device; the code ends by itself after 2 minutes
    #[arg(long, value_name = "TIME", value_parser = words::parse_span, conflicts_with = "target")]
    timeout: Option<Duration>,
    /// As JSON lines: the offer, then the outcome
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: PairArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let ticket = args.ticket.or_else(|| args.target.clone().filter(|target| target.len() > LONGEST_NAME));
    match (ticket, args.target) {
        (Some(ticket), _) => {
            join(&client, JoinRequest { ticket: Some(ticket), ..JoinRequest::default() }, args.json, context).await
        }
        (None, Some(device)) => {
            let code = match args.code {
                Some(code) => code,
                None => ask::text(context, &format!("The code that {device} shows?"), "--code CODE").await?,
            };
            let request = JoinRequest { device: Some(device), code: Some(code), ticket: None };
            join(&client, request, args.json, context).await
        }
        (None, None) => offer(&client, args.role, args.timeout, args.json, context).await,
    }
}

async fn join(client: &Client, request: JoinRequest, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    let whom = request.device.clone().unwrap_or_else(|| "the device of the ticket".into());
    let joined =
        client.clone().timeout(JOIN).join(&request).await.explain(|| format!("cannot enter the group of {whom}"))?;
    if json {
        context.printer.json_line(&joined)?;
    } else {
        let line = Line::of(Tone::Good, "paired").plain(" with ").and(Tone::Strong, &joined.host_name);
        context.printer.line(line.plain(format!(": this device is a {} of its group", joined.role)))?;
        context.printer.note(Line::of(Tone::Faint, "See who is in it with: tutti devices"));
    }
    Ok(Exit::Done)
}

async fn offer(
    client: &Client,
    role: Role,
    timeout: Option<Duration>,
    json: bool,
    context: &mut Context,
) -> Result<Exit, Failure> {
    let offer = client.offer_pairing(role).await.explain(|| "cannot let a device in".into())?;
    let name = client.device().await.map(|device| device.name).unwrap_or_else(|_| "NAME".into());
    let printer = &mut context.printer;
    if json {
        printer.json_line(&offer)?;
    } else {
        show(&offer, &name, printer)?;
    }
    let waited = tokio::select! {
        outcome = wait(client, json, printer) => Some(outcome?),
        () = tui::asked_to_end() => None,
        () = after(timeout) => None,
    };
    if !json {
        printer.progress_done()?;
    }
    let Some(status) = waited else {
        client.cancel_pairing().await.explain(|| "the code cannot be taken back".into())?;
        // It may have come in at the last moment.
        let status = client.pairing().await?;
        if status.state == PairingState::Paired {
            return outcome(&status, json, printer);
        }
        return Err(
            Failure::new("no device came in; the code no longer counts").next("show a new one with: tutti pair")
        );
    };
    outcome(&status, json, printer)
}

async fn after(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

/// Until the offer has an outcome.
async fn wait(client: &Client, json: bool, printer: &mut Printer) -> Result<PairingStatus, Failure> {
    let mut tries = None;
    let start = Instant::now();
    loop {
        let status = client.pairing().await.explain(|| "cannot see how the pairing stands".into())?;
        if status.state != PairingState::Open {
            return Ok(status);
        }
        if !json {
            if tries.is_some_and(|before| Some(before) > status.tries_left) {
                printer.progress_done()?;
                printer.note(Line::of(Tone::Warn, "A wrong code was tried."));
            }
            tries = status.tries_left.or(tries);
            let turning = ["|", "/", "-", "\\"];
            let sign = turning.get((start.elapsed().as_millis() / 250 % 4) as usize).copied().unwrap_or_default();
            let left = words::span(status.expires_in_ms.unwrap_or_default() / 1000 * 1000);
            let tries = tries
                .map(|tries| format!(", {} left", words::count_of(tries.into(), "try", "tries")))
                .unwrap_or_default();
            printer.progress(Line::of(Tone::Faint, format!("{sign} waiting: the code counts for {left}{tries}")))?;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn show(offer: &PairingOffer, name: &str, printer: &mut Printer) -> Result<(), Failure> {
    printer.line("")?;
    for line in large(&offer.code) {
        printer.line(Line::from("    ").and(Tone::Accent, line))?;
    }
    printer.line("")?;
    printer.line(
        Line::from("On the other device:  ").and(Tone::Strong, format!("tutti pair {name} --code {}", offer.code)),
    )?;
    printer.line(Line::from("or with the ticket:   ").and(Tone::Strong, format!("tutti pair {}", offer.ticket)))?;
    printer.line("")?;
    qr::show(&offer.ticket, printer)?;
    let line = format!("It comes in as {}. Ctrl-C takes the code back.", offer.role);
    printer.line(Line::of(Tone::Faint, line))
}

fn outcome(status: &PairingStatus, json: bool, printer: &mut Printer) -> Result<Exit, Failure> {
    if json {
        printer.json_line(status)?;
    }
    let failed = |what: &str| Err(Failure::new(what).next("show a new code with: tutti pair"));
    match status.state {
        PairingState::Paired => {
            let name = status.name.clone().unwrap_or_else(|| "the device".into());
            if !json {
                let id = status.device.as_deref().map(words::short).unwrap_or_default();
                let line = Line::of(Tone::Good, "paired").plain(" with ").and(Tone::Strong, name);
                printer.line(line.and(Tone::Faint, format!(" {id}")))?;
            }
            Ok(Exit::Done)
        }
        PairingState::Expired => failed("the time ran out before a device came in"),
        PairingState::None => failed("the code was taken back"),
        PairingState::Failed | PairingState::Open => {
            let failure = Failure::new("no device came in").next("show a new code with: tutti pair");
            Err(match &status.why {
                Some(why) => failure.why(why),
                None => failure,
            })
        }
    }
}

/// The code in large digits, three lines high.
fn large(code: &str) -> [String; 3] {
    const ROWS: [[&str; 10]; 3] = [
        ["┏━┓", "╺┓ ", "╺━┓", "╺━┓", "╻ ╻", "┏━╸", "┏━╸", "╺━┓", "┏━┓", "┏━┓"],
        ["┃ ┃", " ┃ ", "┏━┛", "╺━┫", "┗━┫", "┗━┓", "┣━┓", "  ┃", "┣━┫", "┗━┫"],
        ["┗━┛", "╺┻╸", "┗━╸", "╺━┛", "  ╹", "╺━┛", "┗━┛", "  ╹", "┗━┛", "╺━┛"],
    ];
    ROWS.map(|row| {
        let digits = code.chars().map(|c| {
            let digit = c.to_digit(10).and_then(|digit| row.get(digit as usize));
            digit.map_or_else(|| format!(" {c} "), |digit| (*digit).to_owned())
        });
        digits.collect::<Vec<_>>().join(" ")
    })
}
