//! Which integration tests are of which layer, how they are run, and what their output says.
//!
//! An integration test whose name starts with `sim` is a seeded simulation and belongs to the layer `sim` (it reads how many
//! seeds to run from `TUTTI_SIM_SEEDS`); `an521`, `image`, `netns`, `linux_peer`, `linux_remoteproc`, `loom` and `core_dump`
//! belong to layers of their own, those in [`FAULTS`] to `faults`, those in [`HOSTILE`] to `hostile`; all others are `unit`.

use crate::{
    cargo::{Target, cargo, has_program, targets},
    process::Program,
};

/// The integration tests of the layer `faults`.
pub(super) const FAULTS: [&str; 3] = ["bad_state", "hostile", "versions"];

/// The integration tests of the layer `hostile`.
pub(super) const HOSTILE: [&str; 2] = ["ring_hostile", "link_hostile"];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Unit,
    Sim,
}

/// What an integration test of this name is; `None` if it has a layer of its own.
fn kind_of(test: &str) -> Option<Kind> {
    match test {
        "an521" | "image" | "netns" | "linux_peer" | "linux_remoteproc" | "loom" | "core_dump" => None,
        test if FAULTS.contains(&test) || HOSTILE.contains(&test) => None,
        test if test.starts_with("sim") => Some(Kind::Sim),
        _ => Some(Kind::Unit),
    }
}

/// The tests of one kind, by cargo-nextest where there is one (it runs the tests of all packages at once).
pub(super) fn tests(kind: Kind) -> Result<Program, String> {
    let all = targets("test")?;
    let (wanted, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| kind_of(&it.name) == Some(kind));
    if wanted.is_empty() && kind == Kind::Sim {
        return Err("no integration test has a name that starts with sim".into());
    }
    if has_program("cargo-nextest") {
        let only = match kind {
            Kind::Unit => format!("not ({})", filter(&others)),
            Kind::Sim => filter(&wanted),
        };
        let quiet = ["--status-level", "fail", "--final-status-level", "slow", "--no-fail-fast"];
        return Ok(cargo(["nextest", "run", "--workspace"]).args(quiet).args(["-E", &only]));
    }
    Ok(cargo(["test", "--workspace", "--no-fail-fast"]).args(selection(kind)?))
}

/// The tests of one kind, as cargo's arguments.
pub(crate) fn selection(kind: Kind) -> Result<Vec<String>, String> {
    let libraries = ["--lib", "--bins"].into_iter().filter(|_| kind == Kind::Unit).map(str::to_owned);
    let wanted = targets("test")?.into_iter().filter(|it| kind_of(&it.name) == Some(kind));
    Ok(libraries.chain(wanted.flat_map(|target| ["--test".to_owned(), target.name])).collect())
}

/// What nextest calls these integration tests. It refuses names that nothing has.
fn filter(targets: &[Target]) -> String {
    let each = |target: &Target| format!("(package(={}) and binary(={}))", target.package, target.name);
    if targets.is_empty() { "none()".into() } else { targets.iter().map(each).collect::<Vec<_>>().join(" or ") }
}

/// How many tests passed, by the words of cargo's or nextest's runner.
#[derive(Debug, PartialEq)]
struct Passed(u64);

impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} tests", self.0)
    }
}

fn test_count(output: &str) -> Result<Passed, String> {
    let of_cargo = |line: &str| line.trim().strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u64>().ok();
    let of_nextest = |line: &str| {
        let (before, _) = line.trim().strip_prefix("Summary ")?.split_once(" passed")?;
        before.split(' ').next_back()?.parse::<u64>().ok()
    };
    Ok(Passed(output.lines().filter_map(|line| of_cargo(line).or_else(|| of_nextest(line))).sum()))
}

/// The demo shows a table of its steps with their bounds. Without it, it has checked nothing.
pub(super) fn some_steps(output: &str) -> Result<String, String> {
    let is_header = |line: &&str| ["step", "bound"].iter().all(|word| line.to_lowercase().contains(word));
    let rows = output.lines().skip_while(|line| !is_header(line)).skip(1).filter(|line| !line.trim().is_empty());
    match rows.count() {
        0 => Err("it showed no table of steps and bounds".into()),
        _ => Ok(String::new()),
    }
}

/// Both runs of the demo: the one with the table, and the one that killed as often as it was told to.
pub(super) fn some_steps_and_kills(output: &str) -> Result<String, String> {
    some_steps(output)?;
    let asked = output.lines().filter_map(|line| line.strip_prefix("$ ")).find_map(|command| {
        let (_, after) = command.split_once("--kills ")?;
        let (kills, seed) = after.split_once(" --seed ")?;
        Some((kills.parse::<usize>().ok()?, seed.trim().to_owned()))
    });
    let Some((kills, seed)) = asked else { return Err("it was not asked to kill".into()) };
    let killed = output.lines().filter(|line| line.starts_with("ok ") && line.contains("  kill ")).count();
    if killed == kills {
        Ok(format!("{kills} kills, seed {seed}"))
    } else {
        Err(format!("{killed} of {kills} kills were survived (seed {seed})"))
    }
}

/// What the tests said of these parts, all of which they must have reached.
pub(super) fn said(output: &str, parts: &[&str]) -> Result<String, String> {
    let said: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("ok ")?.split_once(": ")).collect();
    match parts.iter().find(|part| !said.iter().any(|(name, _)| name == *part)) {
        Some(part) => Err(format!("the part {part} was not reached")),
        None => {
            let ours = said.iter().filter(|(name, _)| parts.contains(name));
            Ok(ours.map(|(_, what)| *what).collect::<Vec<_>>().join("; "))
        }
    }
}

/// A layer of tests that ran none has not passed.
pub(crate) fn some_tests(output: &str) -> Result<String, String> {
    match test_count(output)? {
        Passed(0) => Err("it ran no test".into()),
        passed => Ok(passed.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integration_tests_have_their_layers() {
        assert!(kind_of("sim_partitions") == Some(Kind::Sim));
        assert!(kind_of("routes") == Some(Kind::Unit));
        assert!(
            kind_of("netns").is_none()
                && kind_of("linux_peer").is_none()
                && kind_of("linux_remoteproc").is_none()
                && kind_of("hostile").is_none()
        );
    }

    #[test]
    fn nextest_is_told_names_that_exist() {
        let target = |name: &str| Target { package: "p".into(), name: name.into() };
        assert_eq!(filter(&[]), "none()");
        let both = filter(&[target("sim_a"), target("netns")]);
        assert_eq!(both, "(package(=p) and binary(=sim_a)) or (package(=p) and binary(=netns))");
    }

    #[test]
    fn tests_are_counted() {
        let cargo = "running 2 tests\ntest result: ok. 2 passed; 0 failed\ntest result: ok. 40 passed; 0 failed;\n";
        assert_eq!(test_count(cargo), Ok(Passed(42)));
        let nextest = "     Summary [   2.671s] 97 tests run: 97 passed (1 slow), 3 skipped\n";
        assert_eq!(test_count(nextest), Ok(Passed(97)));
        assert_eq!(some_tests(nextest), Ok("97 tests".into()));
        assert!(some_steps("$ cargo run\nwarning: x\n").is_err() && some_steps("step  bound\n").is_err());
        assert!(some_steps("Step  time  Bound  ok\nstart  1.2 s  3 s  yes\n").is_ok());
        let table = "$ cargo run -q -- demo --check\nStep  time  Bound  ok\nstart  1.2 s  3 s  yes\n\n";
        let kills = "$ cargo run -q -- demo --check --kills 2 --seed 7\nok    1.000 s  kill 1: a after 5ms\n";
        let second = "ok   13.000 s  kill 2: b after 5ms, and again 3ms into its start\n";
        let both = format!("{table}{kills}{second}");
        assert_eq!(some_steps_and_kills(&both), Ok("2 kills, seed 7".into()));
        assert!(some_steps_and_kills(&format!("{table}{kills}")).unwrap_err().contains("1 of 2"));
        assert!(some_steps_and_kills(&format!("{kills}{second}")).is_err() && some_steps_and_kills(table).is_err());
        assert!(some_tests("running 0 tests\ntest result: ok. 0 passed").is_err());
    }
}
