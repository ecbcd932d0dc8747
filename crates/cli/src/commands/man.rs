//! `tutti man DIR`.

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::{
    args::Cli,
    context::Context,
    failure::{Exit, Explain, Failure},
    words,
};

/// Writes the manual pages into a folder
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder, such as ~/.local/share/man/man1; it is made if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: ManArgs, context: &mut Context) -> Result<Exit, Failure> {
    let folder = args.folder;
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &folder))
        .and_then(|()| Ok(std::fs::read_dir(&folder)?.count()));
    let pages = written.explain(|| format!("cannot write manual pages into {}", folder.display()))?;
    context.printer.line(format!("{} in {}", words::count(pages, "page"), folder.display()))?;
    Ok(Exit::Done)
}
