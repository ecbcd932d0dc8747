//! `tutti show DEVICE/DISPLAY`.

use std::path::PathBuf;

use clap::Args;
use tutti_control::{SetValue, Value};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    target::Target,
};

/// The largest image that is sent: with base64 it fits into a message between two devices.
const MAX_IMAGE: u64 = 640 * 1024;

/// The first bytes of every PNG file (PNG specification, 5.2).
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Shows text or an image on a display
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The display, such as kitchen/screen
    #[arg(value_name = "DEVICE/DISPLAY")]
    target: Target,
    /// The text; the words of several arguments are joined
    #[arg(required_unless_present = "image", conflicts_with = "image")]
    text: Vec<String>,
    /// The image: a PNG file of at most 640 KiB
    #[arg(long, value_name = "FILE.png")]
    image: Option<PathBuf>,
    /// Use the lease with this token (see: tutti lease)
    #[arg(long, value_name = "TOKEN")]
    lease: Option<u64>,
}

pub(crate) async fn run(args: ShowArgs, context: &mut Context) -> Result<Exit, Failure> {
    let value = match &args.image {
        None => Value::Text(args.text.join(" ")),
        Some(path) => Value::Bytes(image(path).await?),
    };
    let Target { device, name } = &args.target;
    let client = context.client().await?;
    let request = SetValue { value, token: args.lease };
    client.set(device, name, &request).await.explain(|| format!("cannot show this on {}", args.target))?;
    context.printer.line(Line::of(Tone::Strong, &args.target).plain(" shows it"))?;
    Ok(Exit::Done)
}

async fn image(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    let failed = || format!("cannot read {}", path.display());
    let size = tokio::fs::metadata(path).await.explain(failed)?.len();
    if size > MAX_IMAGE {
        return Err(Failure::new(format!("{} is too large", path.display()))
            .why(format!("it has {size} bytes; a display takes {MAX_IMAGE}"))
            .next("make it smaller; a terminal shows some 200 by 100 pixels"));
    }
    let bytes = tokio::fs::read(path).await.explain(failed)?;
    if !bytes.starts_with(PNG) {
        return Err(Failure::new(format!("{} is no PNG file", path.display())).next("convert it to PNG"));
    }
    Ok(bytes)
}
