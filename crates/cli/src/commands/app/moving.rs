//! `tutti app move`
//!
//! ```text
//! $ tutti app move sketch --to attic
//! copying: 65536 of 65536 bytes
//! committing
//! sketch is on attic
//! ```

use std::time::Duration;

use clap::Args;
use tutti_control::{AppInstance, Client, InstanceState};

use super::ls;
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    tui,
};

/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// How long nothing may happen before the command says what to do. The move itself has bounds of its own.
const PATIENCE: Duration = Duration::from_secs(30);

/// Moves an instance to another device while it runs
#[derive(Debug, Args)]
pub(crate) struct MoveArgs {
    /// The instance: its id, the first six digits or more of it, or its app's name if there is but one
    instance: String,
    /// The device: name, id or beginning of an id
    #[arg(long, value_name = "DEVICE", required_unless_present = "cancel")]
    to: Option<String>,
    /// Gives a move up that is under way and not decided
    #[arg(long, conflicts_with = "to")]
    cancel: bool,
    /// Only begins it, and does not wait
    #[arg(long)]
    no_wait: bool,
    /// As one JSON document: the instance when it has moved
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: MoveArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let Some(to) = args.to.as_deref().filter(|_| !args.cancel) else {
        let instance = client.cancel_move(&args.instance).await;
        let instance = instance.explain(|| format!("cannot give up moving {}", args.instance))?;
        return ls::show(&instance, args.json, context);
    };
    let failed = || format!("cannot move {} to {to}", args.instance);
    let begun = client.move_instance(&args.instance, to).await.explain(failed)?;
    if args.no_wait {
        return ls::show(&begun, args.json, context);
    }
    let end = tui::asked_to_end();
    let mut end = std::pin::pin!(end);
    let watching = watch(&client, begun, failed, context);
    tokio::select! {
        moved = watching => {
            let moved = moved?;
            if args.json {
                return ls::show(&moved, true, context);
            }
            context.printer.line(format!("{} is on {}", moved.app, moved.device_name))?;
        }
        () = &mut end => {
            return Err(Failure::new("it goes on moving").next("give it up with: tutti app move INSTANCE --cancel"));
        }
    }
    Ok(Exit::Done)
}

/// Until it is at its new home, or came to nothing.
async fn watch(
    client: &Client,
    begun: AppInstance,
    failed: impl Fn() -> String + Copy,
    context: &mut Context,
) -> Result<AppInstance, Failure> {
    let target = begun.moving.as_ref().map(|moving| moving.to.clone()).unwrap_or_default();
    let (mut said, mut since) = (String::new(), std::time::Instant::now());
    loop {
        tokio::time::sleep(LOOK).await;
        let now = client.instance(&begun.id).await.explain(failed)?;
        let says = match (&now.moving, now.state) {
            (_, InstanceState::Running) if now.device == target => return Ok(now),
            (None, InstanceState::Running | InstanceState::Failed | InstanceState::Stopped) => {
                let why = now.reason.unwrap_or_else(|| "it was given up".into());
                return Err(Failure::new(failed()).why(why).next(format!("it is still on {}", now.device_name)));
            }
            (Some(moving), _) if moving.total > 0 => {
                format!("{}: {} of {} bytes", moving.phase, moving.sent, moving.total)
            }
            (Some(moving), _) => moving.phase.to_string(),
            (None, _) => match &now.waiting_for {
                Some(name) => format!("waiting for {name}"),
                None => now.state.to_string(),
            },
        };
        if says != said {
            context.printer.note(Line::of(Tone::Faint, &says));
            (said, since) = (says, std::time::Instant::now());
        }
        if since.elapsed() > PATIENCE {
            let name = now.waiting_for.unwrap_or(now.device_name);
            let next = format!(
                "if {name} is lost for good, an owner ends this with: tutti app recover {} --accept-loss",
                ls::short(&now.id)
            );
            return Err(Failure::new(failed()).why(format!("nothing happens; {said}")).next(next));
        }
    }
}
