//! `tutti app tell`

use clap::Args;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
};

/// Tells an instance something; what it answers is in its log
#[derive(Debug, Args)]
pub(crate) struct TellArgs {
    /// The instance: its id, the first six digits or more of it, or its app's name if there is but one
    instance: String,
    /// What it is told
    text: String,
}

pub(crate) async fn run(args: TellArgs, context: &mut Context) -> Result<Exit, Failure> {
    let told = context.client().await?.tell_instance(&args.instance, &args.text).await;
    told.explain(|| format!("cannot tell {}", args.instance))?;
    Ok(Exit::Done)
}
