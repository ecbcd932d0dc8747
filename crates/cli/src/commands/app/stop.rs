//! `tutti app stop` and `tutti app start`

use clap::Args;

use super::ls;
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
};

/// One instance
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The instance: its id, the first six digits or more of it, or its app's name if there is but one
    instance: String,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn stop(args: StopArgs, context: &mut Context) -> Result<Exit, Failure> {
    let stopped = context.client().await?.stop_instance(&args.instance).await;
    ls::show(&stopped.explain(|| format!("cannot stop {}", args.instance))?, args.json, context)
}

pub(crate) async fn start(args: StopArgs, context: &mut Context) -> Result<Exit, Failure> {
    let started = context.client().await?.start_instance(&args.instance).await;
    ls::show(&started.explain(|| format!("cannot start {}", args.instance))?, args.json, context)
}
