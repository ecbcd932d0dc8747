//! The layer `browser`: the console in Debian's Chromium, driven by playwright-core, against devices that the real command
//! runs. The packages are those of the lock file; npm runs none of their scripts.

use crate::process::{Program, root, target_dir};

/// Where the page's sources and tests are.
const WEB: &str = "crates/console/web";

pub(crate) fn steps() -> Vec<Program> {
    let web = root().join(WEB);
    let npm = |args: &[&str]| Program::new("npm").args(["--prefix".as_ref(), web.as_os_str()]).args(args);
    let pictures = target_dir().join("xtask/browser");
    let tests = npm(&["test"])
        .env("TUTTI_BIN", target_dir().join("debug/tutti"))
        .env("TUTTI_BROWSER_OUT", pictures)
        .env("NO_COLOR", "1");
    vec![npm(&["ci", "--ignore-scripts", "--no-audit", "--no-fund"]), tests]
}

/// How many tests passed, by the words of node's runner, and what they measured.
pub(crate) fn check(output: &str) -> Result<String, String> {
    let number = |word: &str| {
        let of_line = |line: &str| line.strip_prefix(word)?.trim().parse::<u64>().ok();
        output.lines().filter_map(of_line).next_back().ok_or_else(|| format!("there is no line {word:?}"))
    };
    let (passed, all) = (number("# pass ")?, number("# tests ")?);
    if passed == 0 || passed != all {
        return Err(format!("{passed} of {all} tests passed"));
    }
    let measured = ["# greyed out", "# still:", "# scrolling:"];
    let told = output.lines().filter(|line| measured.iter().any(|word| line.starts_with(word)));
    Ok([format!("{passed} tests")]
        .into_iter()
        .chain(told.map(|line| line[2..].to_owned()))
        .collect::<Vec<_>>()
        .join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_in_which_all_passed_is_good() {
        let output = "# greyed out after 9 ms\nok 1 - a\n# tests 2\n# pass 2\n# fail 0\n";
        assert_eq!(check(output), Ok("2 tests; greyed out after 9 ms".into()));
        for bad in ["", "# tests 0\n# pass 0\n", "# tests 2\n# pass 1\n"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
