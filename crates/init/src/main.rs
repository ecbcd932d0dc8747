//! The first program of a Tutti device; see the library.
//!
//! As process 1 it is that. The kernel calls it as its `modprobe`. A person calls it as `tutti-init poweroff`,
//! `reboot` or `halt`.
#![forbid(unsafe_code)]
#![allow(clippy::print_stderr, reason = "there is nobody else to tell")]

use std::{path::Path, process::ExitCode};

use tutti_init::{modules::load, power::Goal};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if std::process::id() == 1 {
        tutti_init::run();
    }
    if let Some(name) = load::kernel_asks(&arguments) {
        return if load::answer_kernel(Path::new("/lib/modules"), name) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        };
    }
    match arguments.get(1).and_then(|word| Goal::named(word)) {
        Some(goal) => match goal.ask() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("tutti-init: process 1 cannot be told: {error}; this takes the user root");
                ExitCode::FAILURE
            }
        },
        None => {
            eprintln!("tutti-init is the first program of a Tutti device; as another it takes: poweroff, reboot, halt");
            ExitCode::from(2)
        }
    }
}
