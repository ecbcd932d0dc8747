//! `tutti image kernel`.
//!
//! ```text
//! $ tutti image kernel products/gateway -o gateway.config
//! gateway.config: 87 options for the kernel of gateway
//! ```

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tutti_image::{Project, build, kernel::least, manifest::Profile};

use super::{faulty, product_file};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Says which options a kernel has to have that is built for the product alone
#[derive(Debug, Args)]
pub(super) struct KernelArgs {
    /// The product file, or the folder that it is in
    #[arg(default_value = ".")]
    product: PathBuf,
    /// The file to write, for the kernel's merge_config.sh; printed if left out
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &KernelArgs, context: &mut Context) -> Result<Exit, Failure> {
    let project = match Project::read(&product_file(&args.product)) {
        Ok(project) => project,
        Err(faults) => return faulty(&faults, args.json, context),
    };
    let name = &project.product.name.value;
    let profile = project.product.profile.value;
    if profile != Profile::Standard {
        let failure = Failure::wrong_use(format!("{name} has no kernel: it is of the profile {profile}"));
        return Err(failure.next("name a product of the profile standard"));
    }
    let options = match least::options(&project) {
        Ok(options) => options,
        Err(faults) => return faulty(&project.faults(faults), args.json, context),
    };
    let fragment = least::fragment(&project, &options);
    if let Some(output) = &args.output {
        build::write(output, fragment.as_bytes()).explain(|| format!("cannot write {}", output.display()))?;
    }
    if args.json {
        let list: Vec<_> =
            options.iter().map(|it| json!({ "option": it.option, "value": it.value, "parts": it.parts })).collect();
        let arch = least::arch(&project);
        let (target, file) = least::image(arch);
        context.printer.json(&json!({
            "ok": true, "product": name, "version": project.product.version.value.to_string(), "board": project.target.name,
            "arch": arch, "target": target, "file": file, "options": list, "output": args.output,
        }))?;
        return Ok(Exit::Done);
    }
    match &args.output {
        Some(output) => {
            let what = format!(": {} options for the kernel of {name}", options.len());
            context.printer.line(Line::of(Tone::Strong, output.display()).plain(what))?;
            let note = "How it is used is said in it.";
            context.printer.note(Line::of(Tone::Faint, note));
        }
        None => context.printer.source(&fragment)?,
    }
    Ok(Exit::Done)
}
