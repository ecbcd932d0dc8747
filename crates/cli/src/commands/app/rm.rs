//! `tutti app rm`

use clap::Args;
use tutti_control::ErrorCode;

use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Ends an instance for good, with its state; or removes an app of which no instance is left
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// An instance (its id, or the first six digits or more of it), or an app
    what: String,
    /// The app, also if instances of it are left: each stops as soon as its device hears of it. Their state is kept
    #[arg(long)]
    stop_instances: bool,
    /// Without asking
    #[arg(long, short)]
    yes: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: RmArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let failed = || format!("cannot remove {}", args.what);
    let instance = match client.instance(&args.what).await {
        // Whose app is meant, not the one instance that there is of it.
        Ok(_) if args.stop_instances => None,
        Ok(instance) => Some(instance),
        Err(error) if error.code() == Some(ErrorCode::Ambiguous) && args.stop_instances => None,
        Err(error) if error.code() == Some(ErrorCode::NoSuchInstance) => None,
        Err(error) => return Err(error).explain(failed),
    };
    let (what, id) = match &instance {
        Some(it) => (format!("{} on {}, with its state", it.app, it.device_name), it.id.clone()),
        None => (format!("the app {} from the whole group", args.what), args.what.clone()),
    };
    let left = match args.stop_instances {
        true => client.instances().await.explain(failed)?.iter().filter(|it| it.app == args.what).count(),
        false => 0,
    };
    let question = match left {
        0 => format!("Remove {what}? It cannot be had back."),
        left => format!("Remove {what}? {left} instances of it stop, and keep their state."),
    };
    ask::confirm(context, args.yes, &question).await?;
    match &instance {
        Some(it) => client.end_instance(&it.id).await.explain(failed)?,
        None if args.stop_instances => client.withdraw_app(&args.what).await.explain(failed)?,
        None => client.remove_app(&args.what).await.explain(failed)?,
    }
    if args.json {
        context.printer.json(&serde_json::json!({ "removed": id }))?;
    } else {
        context.printer.note(Line::of(Tone::Faint, format!("removed: {what}")));
    }
    Ok(Exit::Done)
}
