//! `tutti image`: one product file becomes the image of a device, which is booted here or put on the device.
//!
//! ```text
//! $ tutti image new gateway --board qemu-x86-64 --part storage
//! $ tutti image build gateway/product.toml
//! $ tutti image run gateway/gateway-0.1.0.tutti --join
//! ```

mod build;
mod check;
mod diff;
mod inspect;
mod kernel;
mod ls;
mod new;
mod run;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use tutti_image::{bundle::Bundle, fault::Faults, kernel::debian::Cache};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// The largest image that is read, in bytes.
const MAX_IMAGE: u64 = 2 << 30;

/// Makes the image of a device from one product file, and boots it
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Writes a product file to begin with, in a folder of its own
    New(new::NewArgs),
    /// Holds a product file against its parts, its hardware and its kernel
    ///
    /// Exit code 0 if an image can be built of it, 1 if not.
    Check(check::CheckArgs),
    /// Says which options a kernel has to have that is built for the product alone, as small devices want it
    ///
    /// A fragment for the kernel's tinyconfig, each option with the parts that want it; how it is used is said in it.
    Kernel(kernel::KernelArgs),
    /// Builds the image
    ///
    /// The same product, the same programs and the same kernel make the same bytes. The first build makes the update key,
    /// and fetches Debian's kernel unless the product names another; it is kept for later builds.
    Build(build::BuildArgs),
    /// Boots an image on this machine, in an emulator or as user-mode Linux
    Run(run::RunArgs),
    /// Lists images, or what products can be made of
    Ls(ls::LsArgs),
    /// Shows what is in an image, how big it is, and why it is there
    Inspect(inspect::InspectArgs),
    /// Shows what two images have differently
    ///
    /// Exit code 0 if there is no difference, 1 if there is one.
    Diff(diff::DiffArgs),
}

pub(crate) async fn run(args: ImageArgs, context: &mut Context) -> Result<Exit, Failure> {
    match args.what {
        What::New(args) => new::run(args, context).await,
        What::Check(args) => check::run(&args, context),
        What::Kernel(args) => kernel::run(&args, context),
        What::Build(args) => build::run(&args, context),
        What::Run(args) => run::run(args, context).await,
        What::Ls(args) => ls::run(&args, context),
        What::Inspect(args) => inspect::run(&args, context),
        What::Diff(args) => diff::run(&args, context),
    }
}

/// A product file: the one that is named, or the one in the folder that is named.
fn product_file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join("product.toml") } else { path.to_path_buf() }
}

/// Says what is wrong with a product; the failure that ends the command.
fn faulty(faults: &Faults, json: bool, context: &mut Context) -> Result<Exit, Failure> {
    if json {
        context.printer.json(&serde_json::json!({ "ok": false, "faults": faults.to_json() }))?;
    } else {
        context.printer.note_picture(faults.render(context.printer.is_terminal()).trim_end());
        let count = faults.list.len();
        let what = if count == 1 { "a fault".to_owned() } else { format!("{count} faults") };
        context.printer.note(Line::of(Tone::Bad, format!("{what}: no image can be built of it")));
    }
    Ok(Exit::Failed)
}

/// Where Debian's kernels are kept.
fn cache(folder: Option<&Path>) -> Result<Cache, Failure> {
    match folder {
        Some(folder) => Ok(Cache::new(folder)),
        None => Cache::of_user().ok_or_else(|| {
            Failure::wrong_use("neither XDG_CACHE_HOME nor HOME says where to keep kernels")
                .next("name a folder: --cache DIR")
        }),
    }
}

/// The bytes of an image's file.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let about = std::fs::metadata(path).explain(|| format!("cannot read {}", path.display()))?;
    if about.len() > MAX_IMAGE {
        return Err(Failure::new(format!("{} is too large for an image", path.display())));
    }
    std::fs::read(path).explain(|| format!("cannot read {}", path.display()))
}

/// An image that was checked: whole, and by whoever it says.
fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Bundle<'a>, Failure> {
    Bundle::parse(bytes).map_err(|error| Failure::new(format!("{} cannot be used", path.display())).why(error))
}

/// What an update can do about the kernel of a device that is updated at all.
fn updates(kernel: &str, starts_others: Option<bool>) -> String {
    match starts_others {
        Some(true) => "an update may bring another kernel".into(),
        Some(false) => format!("an update cannot bring another kernel: {kernel} has no CONFIG_KEXEC_FILE"),
        None => format!(
            "whether an update can bring another kernel is not known: the configuration of {kernel} is not named"
        ),
    }
}
