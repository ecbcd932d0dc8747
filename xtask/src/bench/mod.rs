//! `cargo xtask bench`: runs benchmarks, holds what they measured against the goals, and shows one table.
//!
//! # What a benchmark is
//!
//! A `[[bench]]` target with `harness = false`, named `GROUP_what` (`fabric_request`), in the package that it
//! measures. It is built optimised and started without arguments, one at a time. On its standard output it prints
//! rows, one JSON object a line, and nothing else (progress goes to standard error):
//!
//! ```json
//! {"name": "fabric.request-reply", "value": 150.2, "unit": "us", "reference": "bare iroh", "reference_value": 128.9}
//! ```
//!
//! `name` starts with the group. `reference` names what was measured beside it in the same run, if anything was; the
//! ratio of both values is computed here. So is whether the goal was met: see [`goals`].

mod goals;
mod rows;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use self::{
    goals::Goals,
    rows::{Row, Verdict},
};
use crate::{
    Failure,
    cargo::{Target, cargo, targets},
    process::{Progress, root, target_dir},
    row,
    table::columns,
    test::{an521, devicetree, own_kernel},
};

const USAGE: &str = "\
Usage: cargo xtask bench [GROUP] [--list] [--json FILE]

  GROUP        only the benchmarks of this group
  --list       show the benchmarks by group
  --json FILE  also write the rows as JSON: name, value, unit, reference, reference_value, ratio, goal, met

Exit code 0 if everything was measured and every goal in SPECIFICATION.md met, else 1; 2 for wrong use.
";

/// No benchmark takes longer, its build included.
const LIMIT: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Default, PartialEq)]
struct Options {
    group: Option<String>,
    json: Option<String>,
    list: bool,
    help: bool,
}

fn parse(args: &[String]) -> Result<Options, String> {
    let mut options = Options::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--list" => options.list = true,
            "--help" | "-h" => options.help = true,
            "--json" => options.json = Some(args.next().ok_or("--json wants a file")?.clone()),
            group if !group.starts_with('-') && options.group.is_none() => options.group = Some(group.into()),
            other => return Err(format!("what is {other:?}?")),
        }
    }
    Ok(options)
}

pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let options = parse(args).map_err(|error| Failure::Usage(format!("{error}\n\n{USAGE}")))?;
    if options.help {
        print!("{USAGE}");
        return Ok(());
    }
    let all = targets("bench")?;
    let groups: BTreeSet<&str> = all.iter().map(|target| group_of(&target.name)).collect();
    if options.list {
        let rows: Vec<_> = all.iter().map(|it| row![group_of(&it.name), it.name, it.package]).collect();
        print!("{}", columns(&rows));
        return Ok(());
    }
    if let Some(group) = &options.group
        && !groups.contains(group.as_str())
    {
        let known: Vec<_> = groups.into_iter().collect();
        return Err(Failure::Usage(format!("there is no group {group:?}; there are: {}", known.join(", "))));
    }
    let chosen = |group: &str| options.group.as_deref().is_none_or(|it| it == group);
    let goals = read_goals(&root().join("SPECIFICATION.md"))?;

    let (mut measured, mut failed) = (Vec::new(), Vec::new());
    for target in all.iter().filter(|target| chosen(group_of(&target.name))) {
        match measure(target) {
            Ok(rows) => measured.extend(rows),
            Err(error) => {
                println!("{}: FAILED: {error}", target.name);
                failed.push(target.name.as_str());
            }
        }
    }
    let verdicts = rows::judge(measured, &goals)?;
    if let Some(path) = &options.json {
        let rows: Value = verdicts.iter().map(Verdict::json).collect();
        fs::write(path, format!("{rows:#}\n"))
            .map_err(|error| format!("the rows could not be written to {path}: {error}"))?;
    }
    print!("\n{}", rows::table(&verdicts));
    let unmeasured: Vec<_> = goals.unmeasured(&verdicts, chosen).collect();
    for name in &unmeasured {
        println!("{name} has a goal but was not measured");
    }
    for name in &failed {
        println!("{name} failed; its output is above");
    }
    let unmet = verdicts.iter().filter(|verdict| verdict.met() == Some(false)).count();
    let met = verdicts.iter().filter(|verdict| verdict.met() == Some(true)).count();
    println!("{met} goals met, {unmet} not met, {} not measured", unmeasured.len());
    if unmet + unmeasured.len() + failed.len() == 0 { Ok(()) } else { Err(Failure::Reported) }
}

fn group_of(target: &str) -> &str {
    target.split_once('_').map_or(target, |(group, _)| group)
}

fn read_goals(path: &Path) -> Result<Goals, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Goals::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Gets what a group measures, or measures beside, if that is no package of this workspace: the settings that tell it where.
fn prepare(group: &str) -> Result<Vec<(&'static str, PathBuf)>, String> {
    match group {
        "dt" => devicetree::peers(),
        "amp" => an521::image(),
        "image" => own_kernel::for_bench(),
        _ => Ok(Vec::new()),
    }
}

/// Runs one benchmark; what it printed on failure is shown whole.
fn measure(target: &Target) -> Result<Vec<Row>, String> {
    let folder = target_dir().join("xtask");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let path = |kind: &str| folder.join(format!("bench-{}.{kind}", target.name));
    let (log, out) = (path("log"), path("jsonl"));
    let _ = fs::remove_file(&log);
    let stdout = fs::File::create(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let program = cargo(["bench", "-p", &target.package, "--bench", &target.name]);
    let settings = prepare(group_of(&target.name))?;
    let program = settings.iter().fold(program, |program, (name, value)| program.env(name, value));
    let mut progress = Progress::new(&target.name);
    let result = program.run(&log, Some(stdout), LIMIT, &mut progress).map_err(|error| error.to_string());
    progress.clear();
    let printed = fs::read_to_string(&out).unwrap_or_default();
    let rows = result.and_then(|()| rows::parse(&printed, group_of(&target.name)));
    match &rows {
        Ok(rows) => println!("{}: {} rows in {:.1} s", target.name, rows.len(), progress.elapsed().as_secs_f64()),
        Err(_) => print!("{}{printed}", fs::read_to_string(&log).unwrap_or_default()),
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_belongs_to_the_group_that_its_name_starts_with() {
        assert_eq!(group_of("fabric_request_reply"), "fabric");
        assert_eq!(group_of("pool"), "pool");
    }

    #[test]
    fn options_are_read_or_named() {
        let args = |args: &[&str]| parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
        let options = args(&["fabric", "--json", "f"]).unwrap();
        assert_eq!((options.group.as_deref(), options.json.as_deref()), (Some("fabric"), Some("f")));
        assert!(args(&["fabric", "pool"]).unwrap_err().contains("pool"));
        assert!(args(&["--json"]).is_err() && args(&["--fast"]).is_err());
    }
}
