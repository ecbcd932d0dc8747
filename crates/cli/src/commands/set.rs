//! `tutti set DEVICE/RESOURCE VALUE`.

use clap::Args;
use tutti_control::{SetValue, Value};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    target::Target,
};

/// Sets a lamp, or anything else that takes values
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// What to set, such as kitchen/lamp
    #[arg(value_name = "DEVICE/RESOURCE")]
    target: Target,
    /// The value: on, off, a number, or text
    #[arg(allow_hyphen_values = true)]
    value: String,
    /// Take the value as text, even if it looks like a switch or a number
    #[arg(long)]
    text: bool,
    /// Use the lease with this token (see: tutti lease); without it, what needs a lease gets one for the moment
    #[arg(long, value_name = "TOKEN")]
    lease: Option<u64>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: SetArgs, context: &mut Context) -> Result<Exit, Failure> {
    let value = if args.text { Value::Text(args.value) } else { Value::from_word(&args.value) };
    let request = SetValue { value, token: args.lease };
    let Target { device, name } = &args.target;
    let client = context.client().await?;
    let controlled = client.set(device, name, &request).await.explain(|| format!("cannot set {}", args.target))?;
    if args.json {
        context.printer.json(&controlled)?;
    } else {
        let line = Line::of(Tone::Strong, &args.target).plain(" is now ").and(Tone::Strong, &controlled.value);
        context.printer.line(line)?;
    }
    Ok(Exit::Done)
}
