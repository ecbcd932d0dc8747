//! `tutti api`: the description of the control API, for programs that generate a client from it.

use clap::Args;

use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Prints the description of the control API (OpenAPI)
#[derive(Debug, Args)]
pub(crate) struct ApiArgs {}

pub(crate) fn run(_: ApiArgs, context: &mut Context) -> Result<Exit, Failure> {
    context.printer.json(&tutti_control::openapi())?;
    Ok(Exit::Done)
}
