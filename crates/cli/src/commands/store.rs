//! `tutti store`: files in the storage resources of the pool.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use tutti_control::{Client, ClientError, StorageList};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table::Table,
    target::FileTarget,
    words,
};

/// Lists, gets, puts and removes files in a storage resource
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Lists the files
    Ls {
        /// The storage, and the beginning of the files' paths
        #[arg(value_name = "DEVICE/STORAGE[/PATH]")]
        target: FileTarget,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Fetches a file
    Get {
        /// The file
        #[arg(value_name = "DEVICE/STORAGE/PATH")]
        target: FileTarget,
        /// Where to put it; '-' for standard output; its own name in this folder if left out
        #[arg(value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Stores a file whole, in place of one with the same path
    Put {
        /// The file; '-' for standard input
        #[arg(value_name = "FILE")]
        from: PathBuf,
        /// Where to; under the file's own name if there is no path, or if it ends with '/'
        #[arg(value_name = "DEVICE/STORAGE[/PATH]")]
        target: FileTarget,
    },
    /// Removes a file
    Rm {
        /// The file
        #[arg(value_name = "DEVICE/STORAGE/PATH")]
        target: FileTarget,
    },
}

pub(crate) async fn run(args: StoreArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    match args.what {
        What::Ls { target, json } => {
            let FileTarget { storage, path } = &target;
            let list = client.files(&storage.device, &storage.name, path).await;
            let list = list.explain(|| format!("cannot list {target}"))?;
            if json { context.printer.json(&list)? } else { show(&list, context)? }
        }
        What::Get { target, to } => get(&client, &with_path(target)?, to, context).await?,
        What::Put { from, target } => put(&client, &from, target, context).await?,
        What::Rm { target } => {
            let target = with_path(target)?;
            let FileTarget { storage, path } = &target;
            client.remove(&storage.device, &storage.name, path).await.explain(|| format!("cannot remove {target}"))?;
            context.printer.line(Line::from("removed ").and(Tone::Strong, &target))?;
        }
    }
    Ok(Exit::Done)
}

fn show(list: &StorageList, context: &mut Context) -> Result<(), Failure> {
    let mut table = Table::new(&["PATH", ">SIZE"]);
    for entry in &list.entries {
        table.row([Line::of(Tone::Strong, &entry.path), words::size(entry.size).into()]);
    }
    if !list.entries.is_empty() {
        context.printer.table(&table)?;
    }
    let fill = format!(
        "{}, {} of {} used",
        words::count(list.entries.len(), "file"),
        words::size(list.used),
        words::size(list.quota)
    );
    context.printer.note(Line::of(Tone::Faint, fill));
    Ok(())
}

fn with_path(target: FileTarget) -> Result<FileTarget, Failure> {
    if target.path.is_empty() || target.path.ends_with('/') {
        return Err(Failure::wrong_use(format!("{target} names no file")).next("write it as DEVICE/STORAGE/PATH"));
    }
    Ok(target)
}

async fn get(client: &Client, target: &FileTarget, to: Option<PathBuf>, context: &mut Context) -> Result<(), Failure> {
    let failed = || format!("cannot get {target}");
    let FileTarget { storage, path } = target;
    let to = to.unwrap_or_else(|| PathBuf::from(path.rsplit('/').next().unwrap_or(path)));
    let mut download = client.fetch(&storage.device, &storage.name, path).await.explain(failed)?;
    if to.as_os_str() == "-" {
        while let Some(piece) = download.chunk().await.explain(failed)? {
            context.printer.bytes(&piece)?;
        }
        return Ok(());
    }
    // A transfer that breaks off leaves what was there before.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let writing = || format!("cannot write {}", to.display());
    let mut file = tempfile::NamedTempFile::new_in(folder).explain(writing)?;
    let mut total = 0;
    while let Some(piece) = download.chunk().await.explain(failed)? {
        file.write_all(&piece).explain(writing)?;
        total += piece.len() as u64;
    }
    file.as_file().sync_all().explain(writing)?;
    file.persist(&to).map_err(|error| error.error).explain(writing)?;
    context.printer.line(Line::of(Tone::Strong, to.display()).plain(format!(": {}", words::size(total))))
}

async fn put(client: &Client, from: &Path, mut target: FileTarget, context: &mut Context) -> Result<(), Failure> {
    let name = from.file_name().map(|name| name.to_string_lossy().into_owned()).filter(|_| from.as_os_str() != "-");
    if target.path.is_empty() || target.path.ends_with('/') {
        let name = name.ok_or_else(|| {
            Failure::wrong_use("standard input has no name").next(format!("write the target as {target}/PATH"))
        })?;
        target.path.push_str(&name);
    }
    let FileTarget { storage, path } = &target;
    let stored: Result<_, ClientError> = if from.as_os_str() == "-" {
        client.store(&storage.device, &storage.name, path, tokio::io::stdin()).await
    } else {
        let file = tokio::fs::File::open(from).await.explain(|| format!("cannot read {}", from.display()))?;
        if file.metadata().await.is_ok_and(|about| about.is_dir()) {
            return Err(Failure::new(format!("cannot read {}", from.display()))
                .why(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        client.store(&storage.device, &storage.name, path, file).await
    };
    let stored = stored.explain(|| format!("cannot put {target}"))?;
    context.printer.line(Line::of(Tone::Strong, &target).plain(format!(": {}", words::size(stored.size))))
}
