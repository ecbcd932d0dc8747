//! `tutti image build`.

use std::{path::PathBuf, time::Instant};

use clap::Args;
use serde_json::json;
use tutti_image::{
    Project,
    build::{self, BuildError, Compression, Options, ProgramError, Programs},
    key,
    manifest::Profile,
    size::Size,
};

use super::{cache, faulty, product_file};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Builds the image
#[derive(Debug, Args)]
pub(super) struct BuildArgs {
    /// The product file, or the folder that it is in
    #[arg(default_value = ".")]
    product: PathBuf,
    /// The image's file; NAME-VERSION.tutti beside the product file if left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The folder with the programs `tutti` and `tutti-init` for the device; that of this program if left out.
    /// A `tutti-without-apps` beside them, which is built with --no-default-features, goes into products that run none
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Compress in a quarter of the time; the image becomes a fifth larger
    #[arg(long)]
    fast: bool,
    /// Look for a newer kernel, although one was fetched before
    #[arg(long)]
    refresh: bool,
    /// Where kernels are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &BuildArgs, context: &mut Context) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let file = product_file(&args.product);
    let project = match Project::read(&file) {
        Ok(project) => project,
        Err(faults) => return faulty(&faults, args.json, context),
    };
    let programs = programs(args)?;
    if project.product.profile.value == Profile::Standard {
        // A kernel is fetched for minutes.
        programs.check(&project.target.architecture).map_err(|error| no_program(&error))?;
    }
    let mut cache = cache(args.cache.as_deref())?;
    cache.refresh = args.refresh;
    let quiet = args.json;
    let printer = &mut context.printer;
    let mut say = |what: &str| {
        if !quiet {
            let _ = printer.progress(Line::of(Tone::Faint, what));
        }
    };
    let kernel = match project.kernel(&cache, true, &mut say) {
        Ok(kernel) => kernel,
        Err(fault) => return faulty(&project.faults(vec![*fault]), args.json, context),
    };
    let key_file = match &project.product.update_key {
        Some(said) => project.path(said),
        None => project.folder.join("update.key"),
    };
    let (key, new_key) = key::load_or_make(&key_file).map_err(|error| Failure::new(error.to_string()))?;
    let shell = match project.shell(&cache, &mut say) {
        Ok(shell) => shell,
        Err(fault) => return faulty(&project.faults(vec![*fault]), args.json, context),
    };
    let programs = Programs { shell, ..programs };
    let compression = if args.fast { Compression::Zstd(3) } else { Compression::Zstd(19) };
    // A kernel that does not say what it can unpack gets what every one can.
    let zstd = kernel.as_ref().and_then(|kernel| kernel.config.as_ref()?.get("RD_ZSTD")).is_some();
    let compression = if zstd { compression } else { Compression::None };
    let options = Options { programs: &programs, compression, key: &key };
    let built = build::build(&project, kernel.as_ref(), &options, &mut say);
    let image = match built {
        Ok(image) => image,
        Err(BuildError::Faults(faults)) => return faulty(&faults, args.json, context),
        Err(BuildError::Program(error)) => return Err(no_program(&error)),
        Err(error) => return Err(Failure::new(NOT_BUILT).why(error)),
    };
    let output = args.output.clone().unwrap_or_else(|| project.folder.join(image.manifest.file_name()));
    build::write(&output, &image.bytes).explain(|| format!("cannot write {}", output.display()))?;
    let took = begun.elapsed();
    let members: Vec<_> =
        image.manifest.members.iter().map(|member| json!({ "name": member.name, "size": member.size })).collect();
    if args.json {
        context.printer.json(&json!({
            "ok": true, "file": output, "size": image.bytes.len(), "members": members, "key": key_file, "new_key": new_key,
            "took_ms": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        }))?;
        return Ok(Exit::Done);
    }
    context.printer.progress_done()?;
    let size = Size(image.bytes.len() as u64);
    let line = Line::of(Tone::Good, "built ").and(Tone::Strong, output.display());
    context.printer.line(line.plain(format!(": {size} in {:.1} s", took.as_secs_f64())))?;
    if new_key {
        let note =
            format!("{} signs this product's images from now on: keep it, and give it to nobody", key_file.display());
        context.printer.note(Line::of(Tone::Warn, note));
    }
    context.printer.note(Line::of(Tone::Faint, format!("Boot it here with: tutti image run {}", output.display())));
    Ok(Exit::Done)
}

const NOT_BUILT: &str = "no image was built";

fn no_program(error: &ProgramError) -> Failure {
    Failure::new(NOT_BUILT).why(error).next(error.help())
}

/// The programs of the system: those that are named, or this one and its neighbour.
fn programs(args: &BuildArgs) -> Result<Programs, Failure> {
    let own = || -> std::io::Result<PathBuf> {
        let program = std::env::current_exe()?;
        Ok(program.parent().map(PathBuf::from).unwrap_or_default())
    };
    let folder = match &args.programs {
        Some(folder) => folder.clone(),
        None => own().explain(|| "it is not known where this program is".into())?,
    };
    let program = |name: &str| folder.join(name);
    let without_apps = Some(program("tutti-without-apps")).filter(|path| path.is_file());
    Ok(Programs { tutti: program("tutti"), without_apps, init: program("tutti-init"), shell: None })
}
