//! `tutti doctor`: why do I see nobody?
//!
//! Works with no device running: first what this machine allows, then, if a device runs, its own checks.

mod local;

use clap::Args;
use serde::Serialize;
use tutti_control::{Check, CheckState};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Printer, Tone},
};

/// Finds out why nobody is seen, and says what to do
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    /// Checks of this machine.
    machine: Vec<Check>,
    /// The device's checks of itself; none if none can be asked.
    device: Option<Vec<Check>>,
}

pub(crate) async fn run(args: DoctorArgs, context: &mut Context) -> Result<Exit, Failure> {
    let found = context.selection.find().await;
    let mut selection = context.selection.clone();
    if let (None, Ok(client)) = (&selection.state, &found) {
        // The folder that matters is that of the device that runs.
        selection.state = client.device().await.ok().map(|device| device.state_dir.into());
    }
    let mut machine = tokio::task::spawn_blocking(move || local::checks(&selection))
        .await
        .map_err(|error| Failure::new("the checks of this machine broke off").why(error))?;
    let device = match found {
        Ok(client) => match client.doctor().await {
            Ok(checks) => Some(checks),
            Err(error) => {
                machine.push(check("device", CheckState::Fail, error.to_string(), error.hint()));
                None
            }
        },
        Err(error) => {
            machine.push(check("device", CheckState::Warn, error.to_string(), error.hint()));
            None
        }
    };
    let report = Report { machine, device };
    let all = || report.machine.iter().chain(report.device.iter().flatten());
    if args.json {
        context.printer.json(&report)?;
    } else {
        show("this machine", &report.machine, &mut context.printer)?;
        if let Some(checks) = &report.device {
            show("the device", checks, &mut context.printer)?;
        }
        let count = |state| all().filter(|check| check.ok == state).count();
        context.printer.line(match (count(CheckState::Fail), count(CheckState::Warn)) {
            (0, 0) => Line::of(Tone::Good, "All is well."),
            (0, warnings) => Line::of(Tone::Warn, format!("It works; worth a look: {warnings}.")),
            (failures, _) => Line::of(Tone::Bad, format!("To be mended: {failures}.")),
        })?;
    }
    let failed = all().any(|check| check.ok == CheckState::Fail);
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn check(name: &str, ok: CheckState, what: impl Into<String>, advice: impl Into<String>) -> Check {
    Check { name: name.into(), ok, what: what.into(), advice: Some(advice.into()).filter(|advice| !advice.is_empty()) }
}

/// Shows checks and what to do about them, below a title.
pub(crate) fn show(title: &str, checks: &[Check], printer: &mut Printer) -> Result<(), Failure> {
    printer.line(Line::of(Tone::Strong, title))?;
    for check in checks {
        let (sign, tone) = match check.ok {
            CheckState::Ok => (" ok ", Tone::Good),
            CheckState::Warn => ("warn", Tone::Warn),
            CheckState::Fail => ("FAIL", Tone::Bad),
        };
        let mut what = check.what.lines();
        let first = what.next().unwrap_or_default();
        printer.line(Line::from("  ").and(tone, sign).plain(format!("  {}: {first}", check.name)))?;
        what.try_for_each(|line| printer.line(Line::from("        ").plain(line)))?;
        if let Some(advice) = &check.advice {
            advice.lines().try_for_each(|line| printer.line(Line::of(Tone::Faint, "        → ").plain(line)))?;
        }
    }
    Ok(())
}
