//! Set-up, tests and benchmarks of this repository: `cargo xtask test`, `cargo xtask bench`, `cargo xtask setup`.
//!
//! One file per command. What it starts is bounded in time and ends with it ([`process`]), and what it needs from
//! the machine it names before it installs it ([`needs`]).
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

mod bench;
mod cargo;
mod deny;
mod firmware;
mod needs;
mod process;
mod programs;
mod rustdoc;
mod setup;
mod table;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test [NAME…]     run all layers of tests, or these; `test --list` shows them
  bench [GROUP]    run all benchmarks, or one group, and compare them with the goals in SPECIFICATION.md
  firmware         build the images for microcontrollers and remote cores, and show their sizes
  programs ARCH    build what a device with another processor runs, for `tutti image build --programs`
  setup [NAME…]    install what the layers need, without running them

Each has --help.
";

/// Why a command ended without having done its work.
enum Failure {
    /// It was called wrongly: exit code 2.
    Usage(String),
    /// Something did not work: exit code 1.
    Failed(String),
    /// All that there is to say has been said: exit code 1.
    Reported,
}

impl From<String> for Failure {
    fn from(what: String) -> Self {
        Self::Failed(what)
    }
}

fn main() -> ExitCode {
    if let Some(code) = rustdoc::stand_in() {
        return code;
    }
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match command.as_str() {
        "test" => test::run(&rest),
        "bench" => bench::run(&rest),
        "firmware" => firmware::run(&rest),
        "programs" => programs::run(&rest),
        "setup" => setup::run(&rest),
        "" | "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(Failure::Usage(format!("there is no command {other:?}\n\n{USAGE}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Reported) => ExitCode::FAILURE,
        Err(Failure::Failed(what)) => {
            eprintln!("xtask: {what}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(what)) => {
            eprintln!("xtask: {what}");
            ExitCode::from(2)
        }
    }
}
