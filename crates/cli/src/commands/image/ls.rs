//! `tutti image ls`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tutti_image::{
    board::boards,
    bundle::{BundleError, Head},
    fault::Texts,
    parts::Catalogue,
    size::Size,
};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// Lists images, or what products can be made of
#[derive(Debug, Args)]
pub(super) struct LsArgs {
    /// The folder with the images
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The parts that products may want
    #[arg(long, conflicts_with = "boards")]
    parts: bool,
    /// The boards that are known by name
    #[arg(long)]
    boards: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &LsArgs, context: &mut Context) -> Result<Exit, Failure> {
    if args.parts {
        return parts(args.json, context);
    }
    if args.boards {
        return board_list(args.json, context);
    }
    let entries = std::fs::read_dir(&args.folder).explain(|| format!("cannot list {}", args.folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "tutti")).collect();
    paths.sort();
    let mut table = Table::new(&["FILE", "PRODUCT", "VERSION", "PROFILE", "BOARD", ">SIZE", "SIGNED BY"]);
    let mut list = Vec::new();
    for path in &paths {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match head(path) {
            Ok((head, size)) => {
                let manifest = &head.manifest;
                let signer = head.signer.to_string();
                list.push(json!({
                    "file": path, "product": manifest.product, "version": manifest.version, "profile": manifest.profile,
                    "board": manifest.board, "size": size, "signer": signer,
                }));
                table.row([
                    Line::of(Tone::Strong, name),
                    manifest.product.as_str().into(),
                    manifest.version.as_str().into(),
                    manifest.profile.to_string().into(),
                    manifest.board.as_str().into(),
                    Size(size).to_string().into(),
                    Line::of(Tone::Faint, head.signer.short()),
                ]);
            }
            Err(error) => {
                list.push(json!({ "file": path, "error": error }));
                context.printer.note(Line::of(Tone::Warn, format!("{name}: {error}")));
            }
        }
    }
    if args.json {
        context.printer.json(&list)?;
    } else if table_is_empty(&list) {
        let note = format!("There is no image in {}. Make one with: tutti image build", args.folder.display());
        context.printer.note(Line::of(Tone::Faint, note));
    } else {
        context.printer.table(&table)?;
    }
    Ok(Exit::Done)
}

fn table_is_empty(list: &[serde_json::Value]) -> bool {
    list.iter().all(|entry| entry.get("error").is_some())
}

/// The beginning of an image, which says what it is; members are not checked.
fn head(path: &Path) -> Result<(Head, u64), String> {
    use std::io::Read as _;
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let size = file.metadata().map_err(|error| error.to_string())?.len();
    let mut bytes = Vec::new();
    let most = 2 * tutti_image::bundle::MAX_MANIFEST as u64;
    file.take(most).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let head = Head::parse(&bytes).map_err(|error| error.to_string())?;
    if head.length != size {
        return Err(BundleError::Short { wanted: head.length }.to_string());
    }
    Ok((head, size))
}

fn parts(json: bool, context: &mut Context) -> Result<Exit, Failure> {
    let catalogue = Catalogue::own(&mut Texts::default(), &mut Vec::new());
    let mut table = Table::new(&["PART", "PROFILES", "NEEDS", "GIVES", "ABOUT"]);
    let mut list = Vec::new();
    for part in catalogue.parts.values() {
        let profiles: Vec<_> = part.profiles.iter().map(ToString::to_string).collect();
        let needs = &part.needs;
        let needs = [&needs.parts, &needs.interfaces, &needs.hardware].into_iter().flatten();
        let needs: Vec<_> = needs.map(|need| need.value.as_str()).collect();
        let gives: Vec<_> = part.interfaces.iter().chain(&part.resources).map(String::as_str).collect();
        list.push(json!({
            "name": part.name.value, "about": part.about, "profiles": profiles, "needs": needs, "gives": gives,
        }));
        table.row([
            Line::of(Tone::Strong, &part.name.value),
            profiles.join(", ").into(),
            needs.join(", ").into(),
            gives.join(", ").into(),
            Line::of(Tone::Faint, &part.about),
        ]);
    }
    show(&list, &table, json, context)
}

fn board_list(json: bool, context: &mut Context) -> Result<Exit, Failure> {
    let mut table = Table::new(&["BOARD", "PROFILE", "PROCESSOR", "HAS", "ABOUT"]);
    let mut list = Vec::new();
    for (name, board) in boards() {
        list.push(json!({
            "name": name, "about": board.about, "profile": board.profile, "architecture": board.architecture,
            "has": board.has, "ram": board.ram.0, "flash": board.flash.map(|flash| flash.0),
        }));
        table.row([
            Line::of(Tone::Strong, name),
            board.profile.to_string().into(),
            board.architecture.into(),
            board.has.join(", ").into(),
            Line::of(Tone::Faint, board.about),
        ]);
    }
    show(&list, &table, json, context)
}

fn show(list: &[serde_json::Value], table: &Table, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    if json {
        context.printer.json(&list)?;
    } else {
        context.printer.table(table)?;
    }
    Ok(Exit::Done)
}
