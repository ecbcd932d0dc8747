//! `tutti down`.

use std::time::Duration;

use clap::Args;
use tutti_control::SelectError;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// How long a device may take to stop.
const STOP: Duration = Duration::from_secs(15);

/// Stops the device
#[derive(Debug, Args)]
pub(crate) struct DownArgs {}

pub(crate) async fn run(_: DownArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = match context.selection.find().await {
        Ok(client) => client,
        Err(
            nothing @ (SelectError::NothingRuns { .. } | SelectError::NotAtState { .. } | SelectError::Stale { .. }),
        ) => {
            // What was asked for is already so.
            context.printer.note(Line::of(Tone::Faint, nothing));
            return Ok(Exit::Done);
        }
        Err(error) => return Err(error.into()),
    };
    let device = client.device().await?;
    client.shutdown().await.explain(|| format!("cannot stop {}", device.name))?;
    let gone = async {
        while tutti_control::runtime::process_lives(device.pid) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(STOP, gone).await.is_err() {
        return Err(Failure::new(format!("{} did not stop within {} s", device.name, STOP.as_secs()))
            .why("it said that it would; its log may tell what it waits for")
            .next(format!("end it with: kill -9 {} (nothing that it acknowledged is lost)", device.pid)));
    }
    context.printer.line(Line::of(Tone::Strong, &device.name).plain(" has stopped"))?;
    Ok(Exit::Done)
}
