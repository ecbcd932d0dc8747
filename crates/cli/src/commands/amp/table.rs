//! `tutti amp table FIRMWARE`.
//!
//! ```text
//! $ tutti amp table echo.elf
//! echo.elf: arm, 32 bits, starts at 0x10000401; resource table of 140 bytes at 0x38000000
//! ENTRY  TYPE      AT          BYTES  WHAT
//! 0      carveout  0x38000000  65536  text, on the bus at 0x38000000
//! 1      vdev      -               -  rpmsg (7), offers 0x1
//!          vring   any             -  256 entries, aligned to 4096, notify 0
//!          vring   any             -  256 entries, aligned to 4096, notify 1
//! sound: Linux takes it
//! ```

use std::{fs::File, os::unix::fs::FileExt, path::Path, path::PathBuf};

use clap::Args;
use serde::Serialize;
use tutti_metal::Region;
use tutti_remoteproc::{
    elf::{Class, Image, Loader, Want},
    table::{Claim, Entry, Finding, Lint, Severity, Table, Vdev},
};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    table as columns,
};

/// A resource table that is longer is nobody's.
const MAX_TABLE: u64 = 1 << 20;

/// Shows what a firmware asks of its host, and what Linux would say to that
#[derive(Debug, Args)]
pub(crate) struct TableArgs {
    /// The firmware: an ELF file, or a resource table alone
    #[arg(value_name = "FIRMWARE")]
    firmware: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found in a file.
struct Found {
    /// `None` for a table alone.
    image: Option<Image>,
    table: Vec<u8>,
}

pub(crate) async fn run(args: TableArgs, context: &mut Context) -> Result<Exit, Failure> {
    let path = args.firmware.clone();
    let found = tokio::task::spawn_blocking(move || find(&path)).await;
    let found = found.map_err(|error| Failure::new(error.to_string()))??;
    let findings: Vec<Finding> = Lint::new(&found.table).collect();
    let table = Table::new_checked(found.table.as_slice()).ok();
    let entries: Vec<Entry<'_>> = table.iter().flat_map(Table::entries).collect();
    if args.json {
        context.printer.json(&Shown::new(&args.firmware, &found, &entries, &findings))?;
    } else {
        show(&args.firmware, &found, &entries, &findings, context)?;
    }
    let refused = findings.iter().any(|finding| finding.severity >= Severity::Refused);
    Ok(if refused { Exit::Failed } else { Exit::Done })
}

fn find(path: &Path) -> Result<Found, Failure> {
    let failed = || format!("cannot read {}", path.display());
    let file = File::open(path).explain(failed)?;
    let len = file.metadata().explain(failed)?.len();
    let mut magic = [0; 4];
    if len < 4 || file.read_exact_at(&mut magic, 0).is_err() || &magic != b"\x7fELF" {
        return Ok(Found { image: None, table: part(&file, 0, len, path)? });
    }
    let image = headers(&file, len, path)?;
    let Some(section) = image.table else {
        return Err(Failure::new(format!("{} has no resource table", path.display()))
            .why("it has no section .resource_table with contents; a firmware without one can run, but not talk")
            .next(
                "place one with tutti_remoteproc::resource_table!, and KEEP(*(.resource_table)) in the linker script",
            ));
    };
    Ok(Found { table: part(&file, section.offset, section.len, path)?, image: Some(image) })
}

fn headers(file: &File, len: u64, path: &Path) -> Result<Image, Failure> {
    let refused = |error| {
        Failure::new(format!("{} cannot be loaded", path.display())).why(error).next("build or copy the firmware again")
    };
    let mut loader = Loader::<64>::new(len, 4096);
    let mut bytes = Vec::new();
    while let Some(Want { offset, len }) = loader.want().map_err(refused)? {
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, offset).explain(|| format!("cannot read {}", path.display()))?;
        loader.give::<Region<'_>>(&bytes, None).map_err(refused)?;
    }
    loader.image().ok_or_else(|| Failure::new(format!("{} cannot be loaded", path.display())))
}

fn part(file: &File, offset: u64, len: u64, path: &Path) -> Result<Vec<u8>, Failure> {
    if len > MAX_TABLE {
        return Err(Failure::new(format!("the resource table of {} is too large", path.display()))
            .why(format!("it has {len} bytes; {MAX_TABLE} are shown"))
            .next("give an ELF file with a section .resource_table, or the table alone"));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, offset).explain(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

fn show(
    path: &Path,
    found: &Found,
    entries: &[Entry<'_>],
    findings: &[Finding],
    context: &mut Context,
) -> Result<(), Failure> {
    let mut head = Line::of(Tone::Strong, path.display());
    if let Some(image) = &found.image {
        head = head.plain(format!(": {}, {} bits, starts at {}", machine(image), bits(image), image.entry));
    }
    let at = found.image.and_then(|image| image.table).map(|section| format!(" at {}", section.da));
    let len = found.table.len();
    context.printer.line(head.plain(format!("; resource table of {len} bytes{}", at.unwrap_or_default())))?;
    let mut table = columns::Table::new(&["ENTRY", "TYPE", "AT", ">BYTES", "WHAT"]);
    for (index, entry) in entries.iter().enumerate() {
        rows(&mut table, index, entry);
    }
    if !entries.is_empty() {
        context.printer.table(&table)?;
    }
    for finding in findings {
        let tone = match finding.severity {
            Severity::Malformed | Severity::Refused => Tone::Bad,
            Severity::Depends => Tone::Warn,
            Severity::Ignored | Severity::Odd => Tone::Accent,
        };
        context.printer.line(Line::of(tone, finding.severity.word()).plain(": ").plain(finding))?;
    }
    if findings.is_empty() {
        context.printer.line(Line::of(Tone::Good, "sound").plain(": Linux takes it"))?;
    }
    Ok(())
}

fn rows(table: &mut columns::Table, index: usize, entry: &Entry<'_>) {
    let mut row = |kind: &str, at: String, bytes: String, what: String| {
        table.row([index.to_string().into(), kind.into(), at.into(), bytes.into(), what.into()]);
    };
    let word = entry.word();
    match entry {
        Entry::Carveout(it) => row(word, it.da.to_string(), it.len.to_string(), on_bus(&it.name, it.pa)),
        Entry::Devmem(it) => row(word, it.da.to_string(), it.len.to_string(), on_bus(&it.name, it.pa)),
        Entry::Trace(it) => row(word, it.da.to_string(), it.len.to_string(), it.name.to_string()),
        Entry::Vdev(it) => {
            let bytes = if it.config.is_empty() { "-".into() } else { it.config.len().to_string() };
            row(word, "-".into(), bytes, format!("{}, offers {:#x}", device(it), it.offered.0));
            for vring in it.vrings.iter() {
                let what =
                    format!("{} entries, aligned to {}, notify {}", vring.num, vring.align, Claim(vring.notifyid).0);
                row("  vring", Claim(vring.da).to_string(), "-".into(), what);
            }
        }
        Entry::Vendor(it) | Entry::Unknown(it) => {
            row(word, "-".into(), it.bytes.len().to_string(), format!("type {}", it.kind));
        }
    }
}

fn on_bus(name: &impl ToString, pa: tutti_remoteproc::table::PhysClaim) -> String {
    format!("{}, on the bus at {pa}", name.to_string())
}

fn device(vdev: &Vdev<'_>) -> String {
    match vdev.id {
        7 => "rpmsg (7)".into(),
        other => format!("virtio device {other}"),
    }
}

fn machine(image: &Image) -> String {
    let machine = image.header.machine;
    machine.name().map_or_else(|| format!("machine {}", machine.0), str::to_owned)
}

fn bits(image: &Image) -> u8 {
    match image.header.class {
        Class::Elf32 => 32,
        Class::Elf64 => 64,
    }
}

/// The JSON document.
#[derive(Serialize)]
struct Shown {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ShownImage>,
    bytes: usize,
    entries: Vec<ShownEntry>,
    findings: Vec<ShownFinding>,
    /// Whether Linux takes it.
    accepted: bool,
}

#[derive(Serialize)]
struct ShownImage {
    machine: String,
    bits: u8,
    entry: u64,
    table: u64,
}

#[derive(Serialize, Default)]
struct ShownEntry {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `null` for an address of the host's choice; left out where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    da: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pa: Option<Option<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    len: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vrings: Vec<ShownVring>,
}

#[derive(Serialize)]
struct ShownVring {
    da: Option<u64>,
    align: u32,
    num: u32,
    notifyid: u32,
}

#[derive(Serialize)]
struct ShownFinding {
    severity: &'static str,
    entry: Option<u32>,
    field: &'static str,
    value: u64,
    advice: &'static str,
}

impl Shown {
    fn new(path: &Path, found: &Found, entries: &[Entry<'_>], findings: &[Finding]) -> Self {
        let image = found.image.map(|image| ShownImage {
            machine: machine(&image),
            bits: bits(&image),
            entry: image.entry.0,
            table: image.table.map_or(0, |section| section.da.0),
        });
        let finding = |it: &Finding| ShownFinding {
            severity: it.severity.word(),
            entry: it.entry,
            field: it.field,
            value: it.value,
            advice: it.advice,
        };
        Self {
            file: path.display().to_string(),
            image,
            bytes: found.table.len(),
            entries: entries.iter().map(shown).collect(),
            findings: findings.iter().map(finding).collect(),
            accepted: !findings.iter().any(|it| it.severity >= Severity::Refused),
        }
    }
}

fn shown(entry: &Entry<'_>) -> ShownEntry {
    let address = |claim: Claim| Some(claim.address().map(|address| address.0));
    let base = ShownEntry { r#type: entry.word(), ..ShownEntry::default() };
    match entry {
        Entry::Carveout(it) => ShownEntry {
            name: Some(it.name.to_string()),
            da: address(it.da),
            pa: Some(it.pa.address().map(|address| address.0)),
            len: Some(it.len as usize),
            ..base
        },
        Entry::Devmem(it) => ShownEntry {
            name: Some(it.name.to_string()),
            da: address(it.da),
            pa: Some(it.pa.address().map(|address| address.0)),
            len: Some(it.len as usize),
            ..base
        },
        Entry::Trace(it) => {
            ShownEntry { name: Some(it.name.to_string()), da: address(it.da), len: Some(it.len as usize), ..base }
        }
        Entry::Vdev(it) => ShownEntry {
            id: Some(it.id),
            features: Some(it.offered.0),
            len: Some(it.config.len()),
            vrings: it
                .vrings
                .iter()
                .map(|vring| ShownVring {
                    da: Claim(vring.da).address().map(|address| address.0),
                    align: vring.align,
                    num: vring.num,
                    notifyid: vring.notifyid,
                })
                .collect(),
            ..base
        },
        Entry::Vendor(it) | Entry::Unknown(it) => ShownEntry { id: Some(it.kind), len: Some(it.bytes.len()), ..base },
    }
}
