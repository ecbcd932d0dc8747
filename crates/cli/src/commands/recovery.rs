//! `tutti recovery`.

use clap::{Args, Subcommand};

use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    words,
};

/// Keeps a way back for a group whose owner is lost
#[derive(Debug, Args)]
pub(crate) struct RecoveryArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Shows words that make a device an owner again: once, so write them down
    Export {
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Makes this device an owner of its group again
    Use {
        /// The words; asked for if left out (then they stay out of the shell's history)
        #[arg(value_name = "WORD")]
        words: Vec<String>,
    },
}

pub(crate) async fn run(args: RecoveryArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    match args.what {
        What::Export { yes, json } => {
            let question = "The words are shown once, and whoever has them owns the group. Show them now?";
            ask::confirm(context, yes, question).await?;
            let recovery = client.export_recovery().await.explain(|| "cannot export the recovery words".into())?;
            if json {
                context.printer.json(&recovery)?;
            } else {
                context.printer.line(Line::of(Tone::Accent, recovery.words))?;
                context.printer.note("Write them down on paper. They are not shown again.");
            }
        }
        What::Use { words } => {
            let words = if words.is_empty() {
                ask::text(context, "The recovery words?", "tutti recovery use WORD…").await?
            } else {
                words.join(" ")
            };
            let group = client.recover(&words).await.explain(|| "cannot make this device an owner".into())?;
            let id = words::short(&group.id);
            context.printer.line(format!("this device is now {} of group {id}", group.role))?;
        }
    }
    Ok(Exit::Done)
}
