//! `tutti dt convert`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use tutti_devicetree::command::{self, Format};

use super::input::{TreeArgs, write, written};
use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Writes the tree in another format
#[derive(Debug, Args)]
pub(super) struct ConvertArgs {
    #[command(flatten)]
    tree: TreeArgs,
    /// The file to write; to standard output if left out
    #[arg(short, long = "output", value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format, if the file's name does not say it
    #[arg(long, value_name = "FORMAT")]
    to: Option<To>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Source
    Dts,
    /// Blob
    Dtb,
    /// YAML
    Yaml,
}

pub(super) fn run(args: ConvertArgs, context: &mut Context) -> Result<Exit, Failure> {
    let named = args.output.as_deref().and_then(Path::to_str).and_then(Format::of);
    let format = match args.to {
        Some(To::Dts) => Some(Format::Dts),
        Some(To::Dtb) => Some(Format::Dtb),
        Some(To::Yaml) => Some(Format::Yaml),
        None => named,
    };
    let format = format.ok_or_else(|| {
        Failure::wrong_use("which format?")
            .next("name a file that ends in .dts, .dtb or .yaml with -o, or the format with --to")
    })?;
    let loaded = args.tree.read_well(context)?;
    let bytes = command::convert(&loaded, format);
    match args.output {
        Some(path) => {
            write(&path, &bytes)?;
            context.printer.line(written(&path, &bytes))?;
        }
        None if format == Format::Dtb => context.printer.bytes(&bytes)?,
        None => context.printer.source(&String::from_utf8_lossy(&bytes))?,
    }
    Ok(Exit::Done)
}
