//! `cargo xtask test`: runs the layers, one after the other, and says how each of them went.

pub(crate) mod an521;
mod app_kills;
mod apps;
pub(crate) mod arm64;
mod browser;
pub(crate) mod c_peer;
pub(crate) mod devicetree;
mod image;
mod init;
mod kinds;
pub(crate) mod layers;
pub(crate) mod linux_peer;
pub(crate) mod own_kernel;
mod report;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    layers::{C_PEER, Context, LAYERS, Layer},
    report::{Outcome, Report},
};
use crate::{
    Failure,
    needs::{self, Need},
    process::{Progress, target_dir},
    row,
    table::columns,
};

const USAGE: &str = "\
Usage: cargo xtask test [NAME…] [--list] [--seeds N] [--full] [--path DIR] [--json FILE]

  NAME…        only these layers; without a name, all of the default run
  --list       show the layers and what they need
  --seeds N    how many seeds each simulation runs (default: each test's own small number)
  --full       also the layers outside the default run, and long runs: 200 seeds unless --seeds says otherwise
  --path DIR   where the source trees of c-peer are: rpmsg-lite, or open-amp and libmetal, or all three
  --json FILE  also write the results as JSON

Exit code 0 if all layers passed, 1 if one failed (with CI=true also if one was skipped), 2 for wrong use.
";

/// What the command line asks for.
#[derive(Debug, Default, PartialEq)]
struct Options {
    names: Vec<String>,
    list: bool,
    help: bool,
    full: bool,
    seeds: Option<u32>,
    json: Option<String>,
    path: Option<PathBuf>,
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} wants a value"));
        match arg.as_str() {
            "--list" => options.list = true,
            "--full" => options.full = true,
            "--help" | "-h" => options.help = true,
            "--json" => options.json = Some(value()?.clone()),
            "--path" => options.path = Some(PathBuf::from(value()?)),
            "--seeds" => {
                let number = value()?;
                let seeds = number.parse().ok().filter(|seeds| *seeds > 0);
                options.seeds = Some(seeds.ok_or_else(|| format!("--seeds {number}: not a number from 1"))?);
            }
            name if !name.starts_with('-') => options.names.push(name.into()),
            other => return Err(format!("there is no option {other}")),
        }
    }
    Ok(options)
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let usage = |error| Failure::Usage(format!("{error}\n\n{USAGE}"));
    let options = parse(args).map_err(usage)?;
    if options.help {
        print!("{USAGE}");
        return Ok(());
    }
    if options.list {
        print!("{}", list());
        return Ok(());
    }
    let mut chosen = layers::choose(&options.names, options.full).map_err(usage)?;
    if options.path.is_none() && options.names.is_empty() && chosen.iter().any(|layer| layer.name == C_PEER) {
        println!("{C_PEER}: not run: it takes source trees that --path DIR names");
        chosen.retain(|layer| layer.name != C_PEER);
    }
    let seeds = options.seeds.or(options.full.then_some(200));
    let report = run_layers(&chosen, &Context { seeds, full: options.full, path: options.path.clone() })?;
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", report.json());
        fs::write(path, text).map_err(|error| format!("the results could not be written to {path}: {error}"))?;
    }
    print!("\n{report}");
    if report.good(needs::in_ci()) { Ok(()) } else { Err(Failure::Reported) }
}

fn list() -> String {
    let mut rows = vec![row!["layer", "default", "needs", "what it does"]];
    rows.extend(LAYERS.iter().map(|layer| {
        let needs: Vec<_> = layer.needs.iter().map(Need::to_string).collect();
        row![layer.name, if layer.default { "yes" } else { "no" }, needs.join(", "), layer.about]
    }));
    columns(&rows)
}

fn run_layers(chosen: &[&Layer], context: &Context) -> Result<Report, String> {
    let logs = target_dir().join("xtask");
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let needs: Vec<_> = chosen.iter().flat_map(|layer| layer.needs).copied().collect();
    needs::install(&needs);

    let mut report = Report::default();
    let mut built = None;
    for layer in chosen {
        if let Some(missing) = needs::missing(layer.needs) {
            println!("{}: skipped: {missing}", layer.name);
            report.add(layer.name, Outcome::Skipped, Default::default(), missing);
            continue;
        }
        if layer.needs.contains(&Need::Build) && !*built.get_or_insert_with(|| build(&logs, context, &mut report)) {
            println!("{}: FAILED: the build failed", layer.name);
            report.add(layer.name, Outcome::Failed, Default::default(), "the build failed".into());
            continue;
        }
        run_layer(layer, context, &logs, &mut report);
    }
    Ok(report)
}

/// Builds what most layers share, so that none of them is charged with it.
fn build(logs: &Path, context: &Context, report: &mut Report) -> bool {
    println!("building the workspace and its tests; on a fresh clone that is some 470 packages and takes minutes");
    run_layer(&layers::BUILD, context, logs, report)
}

/// Runs one layer: its steps until one fails.
fn run_layer(layer: &Layer, context: &Context, logs: &Path, report: &mut Report) -> bool {
    let log = logs.join(layer.name).with_extension("log");
    let _ = fs::remove_file(&log);
    let mut progress = Progress::new(layer.name);
    let result = (layer.steps)(context).and_then(|steps| {
        for step in steps {
            let shown = step.shown().to_owned();
            let left = layer.limit.saturating_sub(progress.elapsed());
            step.run(&log, None, left, &mut progress).map_err(|error| format!("{error}\n  {shown}"))?;
        }
        Ok(())
    });
    let output = String::from_utf8_lossy(&fs::read(&log).unwrap_or_default()).into_owned();
    let result = result.and_then(|()| (layer.check)(&output));
    progress.clear();
    let took = progress.elapsed();
    match &result {
        Ok(detail) => {
            println!(
                "{}: passed in {:.1} s{}",
                layer.name,
                took.as_secs_f64(),
                if detail.is_empty() { "" } else { ": " }.to_owned() + detail
            );
            report.add(layer.name, Outcome::Passed, took, detail.clone());
        }
        Err(error) => {
            print!("{output}{}", if output.is_empty() || output.ends_with('\n') { "" } else { "\n" });
            println!("{}: FAILED after {:.1} s: {error}", layer.name, took.as_secs_f64());
            let first = error.lines().next().unwrap_or_default().to_owned();
            report.add(layer.name, Outcome::Failed, took, first);
        }
    }
    result.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Options, String> {
        parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_or_named() {
        let all = parsed(&["sim", "--seeds", "9", "unit", "--full", "--json", "f"]).unwrap();
        assert_eq!(all.names, ["sim", "unit"]);
        assert_eq!((all.seeds, all.full, all.json.as_deref()), (Some(9), true, Some("f")));
        assert_eq!(parsed(&[]), Ok(Options::default()));
        for (wrong, named) in [(&["--seeds"][..], "--seeds"), (&["--seeds", "0"], "--seeds 0"), (&["--fast"], "--fast")]
        {
            assert!(parsed(wrong).unwrap_err().contains(named));
        }
    }

    #[test]
    fn the_list_names_every_layer() {
        let list = list();
        assert!(LAYERS.iter().all(|layer| list.contains(&format!("\n{} ", layer.name))), "{list}");
    }
}
