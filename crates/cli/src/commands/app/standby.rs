//! `tutti app standby`
//!
//! ```text
//! $ tutti app standby counter --on attic --lease 5s --checkpoint 1s
//! If kitchen is lost, attic goes on with it 5.1 s after it last heard of kitchen; at most the last 5.0 s of its work are lost.
//! Is attic to be its standby? [y/N] y
//! INSTANCE  APP      VERSION  STATE    DEVICE   STANDBY  EVENTS
//! 91c05f3a  counter  0.1.0    running  kitchen  attic    17
//! $ tutti app standby counter --none --yes
//! ```

use std::time::Duration;

use clap::Args;
use tutti_control::{AppInstance, StandbyForetold, StandbyRequest};

use super::ls;
use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    words,
};

/// How long it may take: the app may have to go there, be compiled, and be copied.
const PATIENCE: Duration = Duration::from_secs(85);

/// Names who goes on with an instance if its home is lost, changes how, or takes it away; without options says who it is
#[derive(Debug, Args)]
pub(crate) struct StandbyArgs {
    /// The instance: its id, the first six digits or more of it, or its app's name if there is but one
    instance: String,
    /// The device that goes on with it, in place of whoever does now; who does now, if only settings are changed
    #[arg(long, value_name = "DEVICE")]
    on: Option<String>,
    /// Nobody is to go on with it any more
    #[arg(long, conflicts_with_all = ["on", "available", "lease", "checkpoint"])]
    none: bool,
    #[command(flatten)]
    settings: Settings,
    /// Without asking
    #[arg(long, short)]
    yes: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// How an instance is guarded.
#[derive(Debug, Args)]
pub(super) struct Settings {
    /// Going on matters more than that only one copy runs: while the two devices do not hear of each other, both may run
    #[arg(long)]
    pub(super) available: bool,
    /// How long its home may run without hearing of the standby, which goes on after that time: 1s to 1h, 10s if left out
    #[arg(long, value_name = "TIME", value_parser = words::parse_span)]
    pub(super) lease: Option<Duration>,
    /// How often the standby gets what has changed: 100ms to 1h, 2s if left out. At most five times as much work is lost
    #[arg(long, value_name = "TIME", value_parser = words::parse_span)]
    pub(super) checkpoint: Option<Duration>,
}

impl Settings {
    pub(super) fn any(&self) -> bool {
        self.available || self.lease.is_some() || self.checkpoint.is_some()
    }

    /// With this device.
    pub(super) fn request(&self, device: String) -> StandbyRequest {
        let millis = |span: Option<Duration>| span.map(|span| span.as_millis() as u64);
        let (lease_ms, checkpoint_ms) = (millis(self.lease), millis(self.checkpoint));
        StandbyRequest { device, available: self.available, lease_ms, checkpoint_ms }
    }
}

pub(crate) async fn run(args: StandbyArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?.timeout(PATIENCE);
    let failed = || format!("cannot change the standby of {}", args.instance);
    let it = client.instance(&args.instance).await.explain(failed)?;
    if args.none {
        let lost = format!("If {} is lost, nobody goes on with {} then.", it.device_name, it.app);
        ask::confirm(context, args.yes, &format!("{lost} Is its standby to be taken away?")).await?;
        let changed = client.remove_standby(&it.id).await.explain(failed)?;
        return ls::show(&changed, args.json, context);
    }
    let device = match args.on {
        Some(device) => device,
        None if !args.settings.any() => return say(&it, args.json, context),
        None => it.standby.clone().ok_or_else(|| {
            Failure::wrong_use(format!("{} has no standby yet", args.instance)).next("name one with --on DEVICE")
        })?,
    };
    let request = args.settings.request(device);
    let means = client.foretell_standby(&request).await.explain(failed)?;
    let question = format!("Is {} to be its standby?", means.device_name);
    ask_before(&it.device_name, &means, &question, args.yes, context).await?;
    let changed = client.set_standby(&it.id, &request).await.explain(failed)?;
    show(&changed, args.json, context)
}

/// Who goes on with it as things are.
fn say(it: &AppInstance, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    let exit = show(it, json, context)?;
    if !json && it.standby.is_none() {
        context.printer.line(format!("If {} is lost, nobody goes on with it.", it.device_name))?;
    }
    Ok(exit)
}

/// An instance, and what its standby means.
pub(super) fn show(it: &AppInstance, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    let exit = ls::show(it, json, context)?;
    if let (false, Some(standby), Some(fail_over)) = (json, &it.standby, it.fail_over_ms) {
        context.printer.line(sentence(&it.device_name, standby, fail_over, it.most_lost_ms))?;
    }
    Ok(exit)
}

/// Says what a standby would mean, and asks.
pub(super) async fn ask_before(
    home: &str,
    means: &StandbyForetold,
    question: &str,
    yes: bool,
    context: &mut Context,
) -> Result<(), Failure> {
    let what = sentence(home, &means.device_name, means.fail_over_ms, means.most_lost_ms);
    ask::confirm(context, yes, &format!("{what} {question}")).await
}

/// What a standby means.
fn sentence(home: &str, standby: &str, fail_over_ms: u64, most_lost_ms: Option<u64>) -> String {
    let seconds = |millis: u64| millis as f64 / 1000.0;
    let when = seconds(fail_over_ms);
    let lost = match most_lost_ms {
        Some(most) => format!("at most the last {:.1} s of its work are lost", seconds(most)),
        None => "while they do not hear of each other both may run, and the earlier copy is kept".to_owned(),
    };
    format!("If {home} is lost, {standby} goes on with it {when:.1} s after it last heard of {home}; {lost}.")
}
