//! `tutti place`: why apps are where they are.
//!
//! ```text
//! $ tutti place why thermo
//! thermo fits best on kitchen: 2 points
//!   0: sensor is there
//!   2 for how busy it is
//! then attic: 200 points
//! 1 not: not reachable
//! ```

use clap::{Args, Subcommand};
use tutti_control::PlaceOption;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Says why apps are where they are
#[derive(Debug, Args)]
pub(crate) struct PlaceArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Explains where an app would run, or why an instance is where it is
    Why {
        /// The app
        app: String,
        /// An instance of it, rather than a new one
        #[arg(long)]
        instance: Option<String>,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
}

pub(crate) async fn run(args: PlaceArgs, context: &mut Context) -> Result<Exit, Failure> {
    let What::Why { app, instance, json } = args.what;
    let why = context.client().await?.place_why(&app, instance.as_deref()).await;
    let why = why.explain(|| format!("cannot explain {app}"))?;
    if json {
        context.printer.json(&why)?;
        return Ok(Exit::Done);
    }
    let terms =
        |option: &PlaceOption| option.terms.iter().map(|term| Line::of(Tone::Faint, format!("  {term}"))).collect();
    match &why.best {
        Some(best) => {
            let verb = if why.instance.is_some() { "is" } else { "fits best" };
            context.printer.line(format!("{app} {verb} on {}: {} points", best.device_name, best.cost))?;
            let terms: Vec<Line> = terms(best);
            terms.into_iter().try_for_each(|line| context.printer.line(line))?;
        }
        None => context.printer.line(Line::of(Tone::Bad, format!("{app} can run nowhere now")))?,
    }
    for other in &why.others {
        context.printer.line(format!("then {}: {} points", other.device_name, other.cost))?;
    }
    for obstacle in &why.obstacles {
        context.printer.line(Line::of(Tone::Faint, format!("{} not: {}", obstacle.devices, obstacle.why)))?;
    }
    Ok(if why.best.is_some() { Exit::Done } else { Exit::Failed })
}
