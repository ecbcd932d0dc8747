//! `tutti dt split`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tutti_devicetree::command;

use super::input::{TreeArgs, write, written};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Writes all that one domain gets: device tree, code, linker regions, resource table
#[derive(Debug, Args)]
pub(super) struct SplitArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// The domain, by its name, label or path
    #[arg(long, value_name = "NAME")]
    domain: String,
    /// The folder to write into; it is made if it is not there
    #[arg(short, long = "output", value_name = "DIR")]
    output: PathBuf,
    /// Split a tree that `dt check` finds errors in
    #[arg(long)]
    force: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: SplitArgs, context: &mut Context) -> Result<Exit, Failure> {
    let mut loaded = args.tree.read_well(context)?;
    let said = loaded.diags.list.len();
    command::check(&mut loaded);
    let found = loaded.diags.list.split_off(said);
    loaded.diags.list = found;
    context.printer.note_picture(loaded.render(true).trim_end());
    if loaded.diags.has_errors() && !args.force {
        return Err(Failure::new("the tree has errors, so nothing was written")
            .next("mend them, or split it all the same with --force"));
    }
    let (files, notes) = command::split(&loaded, &args.domain).ok_or_else(|| {
        let names: Vec<_> = command::domains(&loaded.tree).into_iter().map(|domain| domain.name).collect();
        let there =
            if names.is_empty() { "the tree has no domains".into() } else { format!("it has {}", names.join(", ")) };
        Failure::new(format!("there is no domain {:?}", args.domain)).why(there)
    })?;
    std::fs::create_dir_all(&args.output).explain(|| format!("cannot make the folder {}", args.output.display()))?;
    let mut list = Vec::new();
    for file in &files {
        let path = args.output.join(&file.name);
        write(&path, &file.bytes)?;
        if !args.json {
            context.printer.line(written(&path, &file.bytes))?;
        }
        list.push(json!({ "path": path, "size": file.bytes.len() }));
    }
    if args.json {
        context.printer.json(&json!({ "domain": args.domain, "files": list, "notes": notes }))?;
    } else {
        notes.iter().for_each(|note| context.printer.note(Line::of(Tone::Faint, note)));
    }
    Ok(Exit::Done)
}
