//! A made-up GPIO chip (`Documentation/admin-guide/gpio/gpio-sim.rst`): lines with names, for products that are tried without hardware.
//!
//! The module `gpio-sim` makes a chip out of folders in configfs, once it is told that they are complete. Names come from the image's settings,
//! which hold them against what can be a folder's file.

use std::{fs, io, path::Path};

use crate::log::Log;

/// The most lines of the chip.
pub(crate) const MOST: usize = 32;

/// Where the module takes what a chip is to be.
const CONFIG: &str = "/sys/kernel/config/gpio-sim";

/// Whether a line can be called so.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '-';
    (1..=32).contains(&name.len()) && name.chars().all(plain)
}

/// Makes the chip, if there is to be one.
pub(crate) fn make(lines: &[String], log: &mut Log) {
    if lines.is_empty() {
        return;
    }
    match chip(Path::new(CONFIG), lines) {
        Ok(()) => log.say(format_args!("a made-up GPIO chip has the lines {}", lines.join(", "))),
        Err(error) => {
            log.say(format_args!("there is no made-up GPIO chip: {error}; is the module gpio-sim in the image?"))
        }
    }
}

fn chip(config: &Path, lines: &[String]) -> io::Result<()> {
    let chip = config.join("tutti");
    let bank = chip.join("bank0");
    fs::create_dir(&chip)?;
    fs::create_dir(&bank)?;
    fs::write(bank.join("num_lines"), lines.len().to_string())?;
    for (number, name) in lines.iter().enumerate() {
        let line = bank.join(format!("line{number}"));
        fs::create_dir(&line)?;
        fs::write(line.join("name"), name)?;
    }
    fs::write(chip.join("live"), "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_told_of_every_line() {
        let config = tempfile::tempdir().unwrap();
        chip(config.path(), &["button".into(), "lamp".into()]).unwrap();
        let holds = |file: &str| fs::read_to_string(config.path().join("tutti").join(file)).unwrap();
        assert_eq!(
            (holds("bank0/num_lines"), holds("bank0/line1/name"), holds("live")),
            ("2".into(), "lamp".into(), "1".into())
        );
        assert!(chip(config.path(), &[]).is_err(), "one is enough");
    }

    #[test]
    fn names_are_plain() {
        assert!(is_name("door-2"));
        for bad in ["", "a/b", "..", "a b", "a\n", &"x".repeat(33)] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
