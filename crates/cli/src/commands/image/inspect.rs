//! `tutti image inspect`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tutti_image::size::Size;

use super::{parse, read, updates};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// Shows what is in an image, how big it is, and why it is there
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    /// The image
    image: PathBuf,
    /// Also every file, the largest first
    #[arg(long)]
    files: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &InspectArgs, context: &mut Context) -> Result<Exit, Failure> {
    let bytes = read(&args.image)?;
    let bundle = parse(&args.image, &bytes)?;
    let (manifest, signer) = (&bundle.head.manifest, bundle.head.signer);
    if args.json {
        context.printer.json(&json!({ "size": bytes.len(), "signer": signer.to_string(), "manifest": manifest }))?;
        return Ok(Exit::Done);
    }
    let size = |bytes: u64| Size(bytes).to_string();
    let printer = &mut context.printer;
    let mut about = Table::new(&["IMAGE", ""]);
    let mut fact = |name: &str, value: String| about.row([Line::of(Tone::Faint, name), Line::from(value)]);
    fact("product", format!("{} {}", manifest.product, manifest.version));
    fact("profile", format!("{} for {} ({})", manifest.profile, manifest.board, manifest.architecture));
    if !manifest.kernel.is_empty() {
        fact("kernel", format!("Linux {}", manifest.kernel));
        fact("command line", manifest.command_line.clone());
        if manifest.settings.contains("[update]\n") {
            fact("updates", updates(&manifest.kernel, manifest.starts_others));
        }
    }
    fact("size", size(bytes.len() as u64));
    fact("signed by", signer.to_string());
    printer.table(&about)?;
    printer.line("")?;
    let mut members = Table::new(&["MEMBER", ">SIZE", "WHY"]);
    for member in &manifest.members {
        members.row([
            Line::of(Tone::Strong, &member.name),
            size(member.size).into(),
            Line::of(Tone::Faint, &member.why),
        ]);
    }
    printer.table(&members)?;
    printer.line("")?;
    let mut parts = Table::new(&["PART", "WHY"]);
    for part in &manifest.parts {
        parts.row([Line::of(Tone::Strong, &part.name), Line::of(Tone::Faint, &part.why)]);
    }
    printer.table(&parts)?;
    let mut files: Vec<_> = manifest.members.iter().flat_map(|member| &member.files).collect();
    files.sort_by_key(|file| (std::cmp::Reverse(file.size), &file.path));
    let all = files.len();
    if !args.files {
        files.truncate(10);
    }
    if !files.is_empty() {
        printer.line("")?;
        let mut table = Table::new(&["FILE", ">SIZE", "WHY"]);
        for file in &files {
            table.row([Line::of(Tone::Strong, &file.path), size(file.size).into(), Line::of(Tone::Faint, &file.why)]);
        }
        printer.table(&table)?;
        if files.len() < all {
            printer
                .note(Line::of(Tone::Faint, format!("The largest of {all} files, not compressed; all with --files")));
        }
    }
    Ok(Exit::Done)
}
