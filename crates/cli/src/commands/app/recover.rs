//! `tutti app recover`

use clap::Args;

use super::ls;
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
};

/// Goes on from the copy here, if the device that it waits for is lost for good. For owners
///
/// What that device did with the instance since is given up. Should it come back, its copy is kept, to be looked at, and does not run.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The instance: its id, the first six digits or more of it, or its app's name if there is but one
    instance: String,
    /// That this is understood
    #[arg(long)]
    accept_loss: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: RecoverArgs, context: &mut Context) -> Result<Exit, Failure> {
    if !args.accept_loss {
        let what = format!("going on with {} gives up what the lost device did with it", args.instance);
        return Err(Failure::wrong_use(what).next("if that is to be, say --accept-loss"));
    }
    let recovered = context.client().await?.recover_instance(&args.instance, true).await;
    ls::show(&recovered.explain(|| format!("cannot recover {}", args.instance))?, args.json, context)
}
