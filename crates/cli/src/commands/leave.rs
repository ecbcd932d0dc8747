//! `tutti leave`.

use clap::Args;

use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    words,
};

/// Leaves the group
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(args: LeaveArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let device = client.device().await?;
    let question = format!(
        "Shall {} leave its group of {}? It can come back only by being paired again.",
        device.name,
        words::count(device.group.members as usize, "device"),
    );
    ask::confirm(context, args.yes, &question).await?;
    let group = client.leave().await.explain(|| "cannot leave the group".into())?;
    context.printer.line(format!("{} is now alone, the owner of group {}", device.name, words::short(&group.id)))?;
    Ok(Exit::Done)
}
