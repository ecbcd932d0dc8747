//! `tutti forget NAME`.

use clap::Args;

use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Puts a device out of the group
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// The device's name or id
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(args: ForgetArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let question = format!("Forget {}? It can come back only by being paired again.", args.name);
    ask::confirm(context, args.yes, &question).await?;
    client.forget(&args.name).await.explain(|| format!("cannot forget {}", args.name))?;
    context.printer.line(Line::of(Tone::Strong, &args.name).plain(" is no longer in the group"))?;
    Ok(Exit::Done)
}
