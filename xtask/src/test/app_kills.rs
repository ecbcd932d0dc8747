//! The layer `app-kills`: devices, each a process, killed at seeded moments of moves of apps.

use crate::{cargo::cargo, process::Program};

pub(crate) fn steps(kills: &str, seed: &str) -> Vec<Program> {
    let kill = cargo(["test", "--workspace", "--test", "app_kills", "--", "kills_at_seeded", "--nocapture"]);
    vec![kill.env("TUTTI_APP_KILLS", kills).env("TUTTI_APP_SEED", seed)]
}

/// How many kills there were, and whether anything moved in them.
pub(crate) fn killed(output: &str) -> Result<String, String> {
    let line = output.lines().find(|line| line.contains(" kills: ")).ok_or("nobody was killed")?;
    let number = |before: &str| -> Option<u64> { line.split(before).next()?.split(' ').next_back()?.parse().ok() };
    match (number(" times it had moved"), number(" times it had stayed")) {
        (Some(moved), Some(stayed)) if moved + stayed > 0 => Ok(line.to_owned()),
        _ => Err(format!("it says nothing of what became of the apps: {line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kills_are_counted() {
        let said = "20 kills: 16 times it had moved, 4 times it had stayed";
        assert_eq!(killed(&format!("x\n{said}\n")), Ok(said.into()));
        assert!(killed("").is_err() && killed("0 kills: 0 times it had moved, 0 times it had stayed").is_err());
    }
}
