//! `tutti app run`
//!
//! ```text
//! $ tutti app run thermo
//! INSTANCE  APP     VERSION  STATE    DEVICE   EVENTS
//! 5f0c3a91  thermo  0.1.0    running  kitchen  1
//! ```

use std::time::Duration;

use clap::Args;
use tutti_control::RunRequest;

use super::ls;
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
    /// The device that goes on with it if its home is lost
    #[arg(long, value_name = "DEVICE")]
    standby: Option<String>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: RunArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?.timeout(PATIENCE);
    let request = RunRequest { on: args.on, standby: args.standby };
    let instance = client.run_app(&args.app, &request).await.explain(|| format!("cannot run {}", args.app))?;
    ls::show(&instance, args.json, context)
}
