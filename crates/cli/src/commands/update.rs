//! `tutti update DEVICE IMAGE`: gives a device of the pool a new system.
//!
//! The image goes in parts into the device's storage `system-parts`; those that are there from an earlier attempt are not
//! sent again. Then its resource `system` is told to install it. Whether it is taken is the device's to say, by the image's
//! signature; this command tells what it says, and waits until the new system runs or the old one runs again.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tutti_control::{Client, SetValue, Value};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    words,
};

/// Bytes of a part.
const PART: u64 = 1 << 20;

/// How often the device is asked how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// How long a device may take to check and write an image.
const INSTALLING: Duration = Duration::from_secs(600);

/// Gives a device of the pool a new system
///
/// Sends a signed image as `tutti image build` makes it, which the device checks, writes beside the system that it
/// runs, and starts. If the new system does not join the pool in time, the device goes back by itself. Interrupted
/// anywhere, the same command goes on where it stopped.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The device
    device: String,
    /// The image
    image: PathBuf,
    /// How many seconds to wait for the new system to join the pool; 0 to wait for nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
}

pub(crate) async fn run(args: UpdateArgs, context: &mut Context) -> Result<Exit, Failure> {
    let UpdateArgs { device, image, wait } = args;
    let failed = || format!("cannot update {device}");
    let (name, len) = look(&image).await?;
    let count = len.div_ceil(PART);
    let client = context.client().await?;
    let before = say(&client, &device).await.explain(failed)?;
    send(&client, &device, &image, &name, count, len, context).await?;
    let order = SetValue { value: Value::Text(format!("install {name} {count}")), token: None };
    client.set(&device, "system", &order).await.explain(failed)?;
    let new = installed(&client, &device, context).await?;
    context.printer.line(Line::of(Tone::Strong, &device).plain(format!(": {new} is installed, and it starts anew")))?;
    if wait == 0 {
        return Ok(Exit::Done);
    }
    match settled(&client, &device, &before, &new, Duration::from_secs(wait)).await {
        Some(said) if said.split(';').next().is_some_and(|runs| runs.contains(&format!(" {new} runs"))) => {
            context.printer.line(Line::of(Tone::Good, "done").plain(format!(": {said}")))?;
            Ok(Exit::Done)
        }
        Some(said) => Err(Failure::new(format!("{device} runs the old system again: {said}"))
            .next("look into /state/log on the device for what the new system said")),
        None => Err(Failure::new(format!("{device} has not come back within {wait} s"))
            .next("it goes back to the old system by itself if the new one cannot join; look with: tutti devices")),
    }
}

/// A name for the image by what is in it, and its length.
async fn look(image: &Path) -> Result<(String, u64), Failure> {
    let reading = || format!("cannot read {}", image.display());
    let mut file = tokio::fs::File::open(image).await.explain(reading)?;
    let mut hasher = blake3::Hasher::new();
    let (mut piece, mut len) = (vec![0; 64 * 1024], 0);
    loop {
        match file.read(&mut piece).await.explain(reading)? {
            0 => break,
            read => {
                hasher.update(piece.get(..read).unwrap_or_default());
                len += read as u64;
            }
        }
    }
    if len == 0 {
        return Err(Failure::new(format!("{} is empty", image.display())).next("make one with: tutti image build"));
    }
    let name = hasher.finalize().to_hex().chars().take(32).collect();
    Ok((name, len))
}

/// What the device says of its system.
async fn say(client: &Client, device: &str) -> Result<String, tutti_control::ClientError> {
    client.read(device, "system").await.map(|reading| reading.value.to_string())
}

async fn send(
    client: &Client,
    device: &str,
    image: &Path,
    name: &str,
    count: u64,
    len: u64,
    context: &mut Context,
) -> Result<(), Failure> {
    let failed = || format!("cannot send {} to {device}", image.display());
    let there = client.files(device, "system-parts", &format!("{name}/")).await.explain(failed)?;
    let has = |path: &str, size: u64| there.entries.iter().any(|entry| entry.path == path && entry.size == size);
    let mut file = tokio::fs::File::open(image).await.explain(failed)?;
    for number in 0..count {
        let size = PART.min(len - number * PART);
        let path = format!("{name}/{number:05}");
        if !has(&path, size) {
            let mut part = vec![0; usize::try_from(size).unwrap_or_default()];
            file.seek(std::io::SeekFrom::Start(number * PART)).await.explain(failed)?;
            file.read_exact(&mut part).await.explain(failed)?;
            let part = std::io::Cursor::new(part);
            client.store(device, "system-parts", &path, part).await.explain(failed)?;
        }
        let sent = words::size(number * PART + size);
        context.printer.progress(Line::from(format!("sent {sent} of {}", words::size(len))))?;
    }
    context.printer.progress_done()
}

/// Waits until the image is installed; its version.
async fn installed(client: &Client, device: &str, context: &mut Context) -> Result<String, Failure> {
    let end = Instant::now() + INSTALLING;
    loop {
        let said = say(client, device).await.explain(|| format!("{device} was lost while it installed"))?;
        if let Some(new) = said.strip_prefix("restarting: ").and_then(|rest| rest.split(' ').next()) {
            context.printer.progress_done()?;
            return Ok(new.to_owned());
        }
        if let Some(why) = said.strip_prefix("refused: ") {
            context.printer.progress_done()?;
            return Err(
                Failure::new(format!("{device} does not take it: {why}")).next("what runs there goes on running")
            );
        }
        context.printer.progress(Line::from(said.as_str()))?;
        if Instant::now() >= end {
            return Err(Failure::new(format!("{device} is still busy after {} s: {said}", INSTALLING.as_secs())));
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// What the device says once it has come back and is no longer on trial; none if that is not in time.
async fn settled(client: &Client, device: &str, before: &str, new: &str, wait: Duration) -> Option<String> {
    let end = Instant::now() + wait;
    while Instant::now() < end {
        tokio::time::sleep(EVERY).await;
        // While it starts anew it cannot be asked, which is no failure.
        let Ok(said) = say(client, device).await else { continue };
        let over = said.contains(" runs, ") && !said.contains("on trial");
        let tells = said.contains(&format!(" {new} runs")) || said.contains(&format!("{new} has failed"));
        if over && tells && said != before {
            return Some(said);
        }
    }
    None
}
