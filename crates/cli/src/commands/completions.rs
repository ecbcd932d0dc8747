//! `tutti completions SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::{
    args::Cli,
    context::Context,
    failure::{Exit, Failure},
};

/// Prints what completes these commands in a shell
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: CompletionsArgs, context: &mut Context) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tutti", &mut script);
    context.printer.picture(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
