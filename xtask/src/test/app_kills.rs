//! The layer `app-kills`: devices, each a process, killed at seeded moments of moves and of fail-overs of apps.

use crate::{cargo::cargo, process::Program};

pub(crate) fn steps(kills: &str, seed: &str) -> Vec<Program> {
    let kill = cargo([
        "test",
        "--workspace",
        "--test",
        "app_kills",
        "--",
        "kills_at_seeded",
        "--nocapture",
        "--test-threads=1",
    ]);
    vec![kill.env("TUTTI_APP_KILLS", kills).env("TUTTI_APP_SEED", seed)]
}

/// How many kills there were of each kind, and whether anything came of them.
pub(crate) fn killed(output: &str) -> Result<String, String> {
    let said = |what: &str| {
        let line = output.lines().find(|line| line.contains(" kills") && line.contains(what));
        line.ok_or_else(|| format!("nothing is said of {what:?}"))
    };
    let number = |line: &str, before: &str| -> u64 {
        let word = line.split(before).next().and_then(|head| head.split(' ').next_back());
        word.and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    let (moves, overs) = (said("times it had moved")?, said("times it went on elsewhere")?);
    let came = number(moves, " times it had moved") + number(moves, " times it had stayed");
    if came == 0 || number(overs, " kills of ") == 0 {
        return Err(format!("nobody was killed: {moves}; {overs}"));
    }
    Ok(format!("{moves}; {overs}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted() {
        let moves = "10 kills: 8 times it had moved, 2 times it had stayed";
        let overs = "10 kills of 4 homes, 3 standbys, 3 pairs: 5 times it went on elsewhere, 2 events lost";
        assert_eq!(killed(&format!("x\n{moves}\ny\n{overs}\n")), Ok(format!("{moves}; {overs}")));
        assert!(killed("").is_err() && killed(moves).is_err() && killed(overs).is_err());
        let none = "0 kills of 0 homes, 0 standbys, 0 pairs: 0 times it went on elsewhere, 0 events lost";
        assert!(killed(&format!("{moves}\n{none}")).is_err());
    }
}
