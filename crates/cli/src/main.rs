//! The command `tutti`: many devices as one pool.
//!
//! `tutti up` is a device; every other command is a thin client of a running device's control API, so that whatever
//! a person does here, a program can do there.
//!
//! * [`args`] says which commands there are; each of [`commands`] holds its arguments and what it does.
//! * [`printer`] is the only way to the terminal; [`failure`] is how every command ends that did not succeed.
//! * [`tui`] draws the live views; [`demo`] runs three devices on one machine and holds them to their promises.
//!
//! Exit codes: 0 done, 1 it failed, 2 wrong use.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod ask;
mod commands;
mod context;
mod demo;
mod failure;
mod printer;
mod qr;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod tui;
mod words;

use std::process::ExitCode;

use clap::Parser;

use crate::{args::Cli, context::Context, failure::Exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tutti_node::runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Context::new(&cli.global).report(&failure::no_runtime(&error)).into(),
    };
    let exit = runtime.block_on(run(cli));
    // A thread may still wait for a key or a line of input; it must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

async fn run(cli: Cli) -> Exit {
    let mut context = Context::new(&cli.global);
    match commands::run(cli.command, &mut context).await {
        Ok(exit) => exit,
        Err(failure) => context.report(&failure),
    }
}
