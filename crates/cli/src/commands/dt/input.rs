//! What all of `tutti dt` reads, how, and where it writes.

use std::path::{Path, PathBuf};

use clap::Args;
use tutti_devicetree::{Disk, Loaded, Reading, load};

use crate::{
    context::Context,
    failure::{Explain, Failure},
    printer::{Line, Tone},
    words,
};

/// How source is read.
#[derive(Debug, Clone, Args)]
pub(super) struct SourceArgs {
    /// Look for included files here too
    #[arg(short = 'I', long = "include", value_name = "DIR")]
    include: Vec<String>,
    /// Define a macro
    #[arg(short = 'D', long = "define", value_name = "NAME[=VALUE]")]
    define: Vec<String>,
    /// Keep labels in /__symbols__, for overlays (as dtc -@)
    #[arg(short = '@', long)]
    symbols: bool,
}

impl SourceArgs {
    /// Reads files into one tree. The messages are in the result; nothing is said yet.
    pub(super) fn read(&self, files: &[PathBuf]) -> Result<Loaded, Failure> {
        let mut reading = Reading { symbols: self.symbols, ..Reading::default() };
        reading.options.include.clone_from(&self.include);
        reading.options.define.clone_from(&self.define);
        let name = |path: &PathBuf| {
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| {
                Failure::new(format!("cannot read {}", path.display()))
                    .why("its name is not in UTF-8, which messages need")
                    .next("rename it")
            })
        };
        let names = files.iter().map(name).collect::<Result<Vec<_>, _>>()?;
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        Ok(load(&names, &Disk, &reading))
    }

    /// Reads files into one tree, says what is to be said about it, and fails if that is an error.
    pub(super) fn read_well(&self, files: &[PathBuf], context: &mut Context) -> Result<Loaded, Failure> {
        let loaded = self.read(files)?;
        context.printer.note_picture(loaded.render(true).trim_end());
        if loaded.diags.has_errors() {
            let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            return Err(Failure::new(format!("{} cannot be read without errors", names.join(", ")))
                .next("mend what is named above"));
        }
        Ok(loaded)
    }
}

/// The files of one tree, and how they are read.
#[derive(Debug, Clone, Args)]
pub(super) struct TreeArgs {
    /// The tree; then YAML descriptions and overlays to lay over it
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
}

impl TreeArgs {
    /// As [`SourceArgs::read`].
    pub(super) fn read(&self) -> Result<Loaded, Failure> {
        self.source.read(&self.files)
    }

    /// As [`SourceArgs::read_well`].
    pub(super) fn read_well(&self, context: &mut Context) -> Result<Loaded, Failure> {
        self.source.read_well(&self.files, context)
    }
}

/// Writes a file.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).explain(|| format!("cannot write {}", path.display()))
}

/// A line about a file that was written.
pub(super) fn written(path: &Path, bytes: &[u8]) -> Line {
    Line::of(Tone::Strong, path.display()).plain(format!(": {}", words::size(bytes.len() as u64)))
}
