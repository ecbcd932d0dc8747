//! `tutti image new`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tutti_image::{
    board::boards,
    build,
    fault::{Faults, Texts},
    product::{self, Answers},
};

use crate::{
    ask,
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Writes a product file to begin with, in a folder of its own
#[derive(Debug, Args)]
pub(super) struct NewArgs {
    /// What the device is called; its folder too
    name: Option<String>,
    /// What it is made of; `tutti image ls --boards` lists the boards
    #[arg(long)]
    board: Option<String>,
    /// What it is to do, as often as needed; `tutti image ls --parts` lists the parts
    #[arg(long = "part", value_name = "PART", value_delimiter = ',')]
    parts: Vec<String>,
    /// The ticket of the group to join; a person pairs it if left out
    #[arg(long)]
    ticket: Option<String>,
    /// The folder; the name's if left out
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: NewArgs, context: &mut Context) -> Result<Exit, Failure> {
    let name = match args.name {
        Some(name) => name,
        None => ask::text(context, "What is the device called?", "NAME").await?,
    };
    let boards = boards();
    let board = match args.board {
        Some(board) => board,
        None => {
            let known: Vec<_> = boards.keys().map(String::as_str).collect();
            let question = format!("Which board is it for ({})?", known.join(", "));
            ask::text(context, &question, "--board NAME").await?
        }
    };
    let Some(known) = boards.get(&board) else {
        let names: Vec<_> = boards.keys().map(String::as_str).collect();
        return Err(
            Failure::wrong_use(format!("there is no board {board:?}")).next(format!("choose of {}", names.join(", ")))
        );
    };
    let answers = Answers { name: name.clone(), profile: known.profile, board, parts: args.parts, ticket: args.ticket };
    let text = product::write(&answers);
    // What is written is read as every product file is, so that a bad name is told now.
    let mut faults = Faults::default();
    let mut texts = Texts::default();
    if product::parse(&mut texts, "product.toml", &text, &mut faults.list).is_none() {
        let first = faults.list.first().map(|fault| fault.message.clone()).unwrap_or_default();
        return Err(Failure::wrong_use(first));
    }
    let folder = args.folder.unwrap_or_else(|| PathBuf::from(&name));
    let path = folder.join("product.toml");
    if path.exists() {
        return Err(
            Failure::new(format!("{} is there already", path.display())).next("name another folder: --folder DIR")
        );
    }
    std::fs::create_dir_all(&folder).explain(|| format!("cannot make the folder {}", folder.display()))?;
    build::write(&path, text.as_bytes()).explain(|| format!("cannot write {}", path.display()))?;
    if args.json {
        context.printer.json(&json!({ "file": path }))?;
        return Ok(Exit::Done);
    }
    context.printer.line(Line::of(Tone::Good, "wrote ").and(Tone::Strong, path.display()))?;
    let next = format!("Change it as you like, then: tutti image build {}", folder.display());
    context.printer.note(Line::of(Tone::Faint, next));
    Ok(Exit::Done)
}
