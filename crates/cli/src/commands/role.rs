//! `tutti role NAME ROLE`.

use clap::Args;
use tutti_control::Role;

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
};

/// Changes what a device may do
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    /// The device's name or id
    name: String,
    /// guest: only what is open to guests; member: uses and offers resources; owner: also pairs and forgets
    role: Role,
}

pub(crate) async fn run(args: RoleArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    client
        .set_role(&args.name, args.role)
        .await
        .explain(|| format!("cannot make {} {}", args.name, with_article(args.role)))?;
    context.printer.line(Line::of(Tone::Strong, &args.name).plain(format!(" is now {}", with_article(args.role))))?;
    Ok(Exit::Done)
}

fn with_article(role: Role) -> String {
    let article = if role == Role::Owner { "an" } else { "a" };
    format!("{article} {role}")
}
