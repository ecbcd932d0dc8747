//! `tutti app run`
//!
//! ```text
//! $ tutti app run thermo
//! INSTANCE  APP     VERSION  STATE    DEVICE   EVENTS
//! 5f0c3a91  thermo  0.1.0    running  kitchen  1
//! $ tutti app run counter --on kitchen --standby attic --yes
//! INSTANCE  APP      VERSION  STATE    DEVICE   STANDBY  EVENTS
//! 91c05f3a  counter  0.1.0    running  kitchen  attic    1
//! If kitchen is lost, attic goes on with it 10.1 s after it last heard of kitchen; at most the last 10.0 s of its work are lost.
//! ```

use std::time::Duration;

use clap::Args;
use tutti_control::RunRequest;

use super::standby;
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
};

/// How long it may take: the package may have to go there, and be compiled.
const PATIENCE: Duration = Duration::from_secs(85);

/// Begins a new instance of an app, where it fits best or on a device
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The app
    app: String,
    /// The device to run it on; where it fits best if left out (`tutti place why APP` says why there)
    #[arg(long, value_name = "DEVICE")]
    on: Option<String>,
    /// The device that goes on with it if its home is lost; it gets the app and, now and then, what has changed
    #[arg(long, value_name = "DEVICE")]
    standby: Option<String>,
    #[command(flatten)]
    settings: standby::Settings,
    /// Without asking about what its standby means
    #[arg(long, short)]
    yes: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: RunArgs, context: &mut Context) -> Result<Exit, Failure> {
    if args.standby.is_none() && args.settings.any() {
        let what = "--available, --lease and --checkpoint say how a standby goes on with it, and there is none";
        return Err(Failure::wrong_use(what).next("name one with --standby DEVICE"));
    }
    let client = context.client().await?.timeout(PATIENCE);
    let failed = || format!("cannot run {}", args.app);
    let standby = args.standby.map(|device| args.settings.request(device));
    if let Some(request) = &standby {
        let means = client.foretell_standby(request).await.explain(failed)?;
        let (home, question) = (args.on.as_deref().unwrap_or("its home"), format!("Is {} to be run so?", args.app));
        standby::ask_before(home, &means, &question, args.yes, context).await?;
    }
    let request = RunRequest { on: args.on, standby };
    let instance = client.run_app(&args.app, &request).await.explain(failed)?;
    standby::show(&instance, args.json, context)
}
