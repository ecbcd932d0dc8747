//! `tutti app run`
//!
//! ```text
//! $ tutti app run thermo
//! INSTANCE  APP     VERSION  STATE    DEVICE   EVENTS
//! 5f0c3a91  thermo  0.1.0    running  kitchen  1
//! $ tutti app run counter --on kitchen --standby attic
//! INSTANCE  APP      VERSION  STATE    DEVICE   STANDBY  EVENTS
//! 91c05f3a  counter  0.1.0    running  kitchen  attic    1
//! If kitchen is lost, attic goes on with it 10.1 s after it last heard of kitchen; at most the last 10.0 s of its work are lost.
//! ```

use std::time::Duration;

use clap::Args;
use tutti_control::{AppInstance, RunRequest};

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
    /// The device that goes on with it if its home is lost; it gets the app and a copy of the state every two seconds
    #[arg(long, value_name = "DEVICE")]
    standby: Option<String>,
    /// Going on matters more than that only one copy runs: while the two devices do not hear of each other, both may run
    #[arg(long, requires = "standby")]
    available: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: RunArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?.timeout(PATIENCE);
    let request = RunRequest { on: args.on, standby: args.standby, available: args.available };
    let instance = client.run_app(&args.app, &request).await.explain(|| format!("cannot run {}", args.app))?;
    let exit = ls::show(&instance, args.json, context)?;
    if !args.json
        && let Some(foretold) = foretold(&instance)
    {
        context.printer.line(foretold)?;
    }
    Ok(exit)
}

/// What its standby means, beforehand.
fn foretold(it: &AppInstance) -> Option<String> {
    let (standby, home) = (it.standby.as_ref()?, &it.device_name);
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let when = seconds(it.fail_over_ms?);
    let lost = match it.most_lost_ms {
        Some(most) => format!("at most the last {:.1} s of its work are lost", seconds(most)),
        None => "how much of its work is lost has no bound".to_owned(),
    };
    Some(format!("If {home} is lost, {standby} goes on with it {when:.1} s after it last heard of {home}; {lost}."))
}
