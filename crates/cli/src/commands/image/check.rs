//! `tutti image check`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use tutti_image::{Project, kernel::Kernel, resolve::Why};

use super::{cache, faulty, product_file, updates};
use crate::{
    context::Context,
    failure::{Exit, Failure},
    printer::{Line, Tone},
    table::Table,
};

/// Holds a product file against its parts, its hardware and its kernel
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// The product file, or the folder that it is in
    #[arg(default_value = ".")]
    product: PathBuf,
    /// Where kernels are kept
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &CheckArgs, context: &mut Context) -> Result<Exit, Failure> {
    let project = match Project::read(&product_file(&args.product)) {
        Ok(project) => project,
        Err(faults) => return faulty(&faults, args.json, context),
    };
    let kernel = project.kernel(&cache(args.cache.as_deref())?, false, &mut |_| ());
    let kernel = match kernel {
        Ok(kernel) => kernel,
        Err(fault) => return faulty(&project.faults(vec![*fault]), args.json, context),
    };
    if let Some(kernel) = &kernel {
        let lacks = project.hold_against(kernel);
        if !lacks.is_empty() {
            return faulty(&project.faults(lacks), args.json, context);
        }
    }
    let plan = &project.plan;
    let ram = kernel.as_ref().map_or(plan.ram, |kernel| project.ram_with(kernel));
    if args.json {
        let parts: Vec<_> =
            plan.parts.iter().map(|(name, why)| json!({ "name": name, "why": why.to_string() })).collect();
        context.printer.json(&json!({
            "ok": true, "product": project.product.name.value, "version": project.product.version.value.to_string(),
            "parts": parts, "ram": ram.0, "flash": plan.flash.0, "starts_others": kernel.as_ref().and_then(Kernel::starts_others),
            "kernel": kernel.map(|kernel| kernel.release),
        }))?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["PART", "WHY"]);
    for (name, why) in &plan.parts {
        let tone = if *why == Why::Wanted { Tone::Strong } else { Tone::Plain };
        table.row([Line::of(tone, name), Line::of(Tone::Faint, why)]);
    }
    context.printer.table(&table)?;
    let takes = match plan.flash.0 {
        0 => format!("{ram} of RAM"),
        _ => format!("{} of flash, {ram} of RAM", plan.flash),
    };
    let good = format!("{} {} for {}", project.product.name.value, project.product.version.value, project.target.name);
    context.printer.note(Line::of(Tone::Good, "ok ").plain(format!("{good}: it takes {takes}")));
    if let Some(kernel) = kernel.as_ref().filter(|_| project.product.state.is_some()) {
        context.printer.note(Line::of(Tone::Faint, updates(&kernel.release, kernel.starts_others())));
    }
    if kernel.is_none() && project.product.profile.value == tutti_image::manifest::Profile::Standard {
        let note = "the kernel was not looked at: it is fetched by the first build";
        context.printer.note(Line::of(Tone::Faint, note));
    }
    Ok(Exit::Done)
}
