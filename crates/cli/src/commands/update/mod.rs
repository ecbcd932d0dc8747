//! `tutti update DEVICE IMAGE`: gives a device of the pool a new system.
//!
//! The image goes in parts into the device's storage `system-parts`; those that are there from an earlier attempt are not
//! sent again. Then its resource `system` is told to install it. Whether it is taken is the device's to say, by the image's
//! signature; this command tells what it says, and waits until the new system runs or the old one runs again.
//!
//! A device that is away, for its power was cut or the network is gone, is waited for ([`patience`]); what it says when it
//! is back tells where to go on ([`said`]).

mod patience;
mod said;

use std::{
    cell::Cell,
    io::SeekFrom,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tutti_control::{Client, ClientError, SetValue, Value};
use tutti_image::bundle::Head;

use self::{
    patience::{Patience, passing},
    said::{Next, Settled, next, settled},
};
use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::{Line, Tone},
    tui, words,
};

/// Bytes of a part.
const PART: u64 = 1 << 20;

/// How often the device is asked how far it is.
const EVERY: Duration = Duration::from_millis(500);

/// How long a device may take to check and write an image.
const INSTALLING: Duration = Duration::from_secs(600);

/// How often one image is ordered. A device that ends each time as it installs is not to be told so for ever.
const ORDERS: usize = 3;

/// Gives a device of the pool a new system
///
/// Sends a signed image as `tutti image build` makes it, which the device checks, writes beside the system that it
/// runs, and starts. If the new system does not join the pool in time, the device goes back by itself. If the device
/// goes away meanwhile, it goes on when that is back; interrupted anywhere, the same command goes on where it stopped.
#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The device
    // `device` by itself is the one of this host that is asked, for every command.
    #[arg(value_name = "DEVICE")]
    whom: String,
    /// The image
    image: PathBuf,
    /// How many seconds to wait for the new system to join the pool; 0 to wait for nothing
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
    /// How many seconds to go on without anything coming of it, while the device is away; 0 to give up at once
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

pub(crate) async fn run(args: UpdateArgs, context: &mut Context) -> Result<Exit, Failure> {
    let image = look(&args.image).await?;
    let client = context.client().await?;
    let update = Update { client: &client, args: &args, image, at: Cell::new(At::Sending(0)) };
    tokio::select! {
        done = update.carry_out(context) => done,
        () = tui::asked_to_end() => {
            context.printer.progress_done()?;
            Err(Failure::new("this was interrupted").next(update.how_to_go_on()))
        }
    }
}

/// An image in a file.
struct Image {
    /// By what is in it.
    name: String,
    len: u64,
    /// What it says of itself; whether that is true is for the device to find out.
    version: Option<String>,
}

async fn look(image: &Path) -> Result<Image, Failure> {
    let reading = || format!("cannot read {}", image.display());
    let mut file = tokio::fs::File::open(image).await.explain(reading)?;
    let mut hasher = blake3::Hasher::new();
    let (mut piece, mut len, mut head) = (vec![0; 64 * 1024], 0, Vec::new());
    loop {
        match file.read(&mut piece).await.explain(reading)? {
            0 => break,
            read => {
                let read = piece.get(..read).unwrap_or_default();
                hasher.update(read);
                if len < PART {
                    head.extend_from_slice(read);
                }
                len += read.len() as u64;
            }
        }
    }
    if len == 0 {
        return Err(Failure::new(format!("{} is empty", image.display())).next("make one with: tutti image build"));
    }
    let name = hasher.finalize().to_hex().chars().take(32).collect();
    Ok(Image { name, len, version: Head::parse(&head).ok().map(|head| head.manifest.version) })
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// So many parts are there.
    Sending(u64),
    /// It has been told to install them.
    Installing,
    /// It has, and starts anew.
    Settling,
}

/// An image on its way.
struct Update<'a> {
    client: &'a Client,
    args: &'a UpdateArgs,
    image: Image,
    at: Cell<At>,
}

impl Update<'_> {
    async fn carry_out(&self, context: &mut Context) -> Result<Exit, Failure> {
        let UpdateArgs { whom: device, wait, .. } = self.args;
        let mut patience = Patience::new(Duration::from_secs(self.args.patience));
        let before = loop {
            match self.say().await {
                Ok(said) => break said,
                Err(error) => self.later(&error, &mut patience, context).await?,
            }
        };
        patience.moved();
        let new = self.installed(&before, &mut patience, context).await?;
        context.printer.progress_done()?;
        self.at.set(At::Settling);
        context
            .printer
            .line(Line::of(Tone::Strong, device).plain(format!(": {new} is installed, and it starts anew")))?;
        if *wait == 0 {
            return Ok(Exit::Done);
        }
        match self.settled(&before, &new, Duration::from_secs(*wait)).await {
            Some((Settled::New, said)) => {
                context.printer.line(Line::of(Tone::Good, "done").plain(format!(": {said}")))?;
                Ok(Exit::Done)
            }
            Some((Settled::Old, said)) => Err(Failure::new(format!("{device} runs the old system again: {said}"))
                .next("look into /state/log on the device for what the new system said")),
            None => Err(Failure::new(format!("{device} has not come back within {wait} s"))
                .next("it goes back to the old system by itself if the new one cannot join; look with: tutti devices")),
        }
    }

    /// Sends the image and has it installed, as often as it takes; its version.
    async fn installed(&self, before: &str, patience: &mut Patience, context: &mut Context) -> Result<String, Failure> {
        let UpdateArgs { whom: device, wait, .. } = self.args;
        // It may have started anew before it was heard that it does.
        let mut longer = Patience::new(Duration::from_secs(self.args.patience.max(*wait)));
        for _ in 0..ORDERS {
            self.send(patience, context).await?;
            self.at.set(At::Installing);
            let end = Instant::now() + INSTALLING;
            match self.order().await {
                Ok(()) => patience.moved(),
                // It may have been taken all the same.
                Err(error) => self.later(&error, patience, context).await?,
            }
            let mut last = String::new();
            loop {
                let (said, parts) = match self.state().await {
                    Ok(state) => state,
                    Err(error) => {
                        self.later(&error, &mut longer, context).await?;
                        continue;
                    }
                };
                match next(&said, parts, before) {
                    Next::Installed(new) => return Ok(new.or_else(|| self.image.version.clone()).unwrap_or_default()),
                    Next::Refused(why) => {
                        context.printer.progress_done()?;
                        let failure = Failure::new(format!("{device} does not take it: {why}"));
                        return Err(failure.next("what runs there goes on running"));
                    }
                    Next::Order | Next::Send => break,
                    Next::Wait => {}
                }
                if said != last {
                    longer.moved();
                }
                context.printer.progress(Line::from(said.as_str()))?;
                if Instant::now() >= end {
                    context.printer.progress_done()?;
                    return Err(Failure::new(format!(
                        "{device} is still busy after {} s: {said}",
                        INSTALLING.as_secs()
                    )));
                }
                last = said;
                tokio::time::sleep(EVERY).await;
            }
        }
        context.printer.progress_done()?;
        Err(Failure::new(format!("{device} was told to install it {ORDERS} times, and has not"))
            .next("what runs there goes on running; look into /state/log on the device for why"))
    }

    /// Sends the parts that are not there yet.
    async fn send(&self, patience: &mut Patience, context: &mut Context) -> Result<(), Failure> {
        let UpdateArgs { whom: device, image, .. } = self.args;
        let reading = || format!("cannot read {}", image.display());
        let mut file = tokio::fs::File::open(image).await.explain(reading)?;
        'anew: loop {
            let missing = match self.missing().await {
                Ok(missing) => missing,
                Err(error) => {
                    self.later(&error, patience, context).await?;
                    continue;
                }
            };
            self.at.set(At::Sending(self.count() - missing.len() as u64));
            for number in missing {
                let (path, size) = self.part(number);
                let mut part = vec![0; usize::try_from(size).unwrap_or_default()];
                file.seek(SeekFrom::Start(number * PART)).await.explain(reading)?;
                file.read_exact(&mut part).await.explain(reading)?;
                let part = std::io::Cursor::new(part);
                if let Err(error) = self.client.store(device, "system-parts", &path, part).await {
                    self.later(&error, patience, context).await?;
                    // What is there now is for the device to say.
                    continue 'anew;
                }
                patience.moved();
                self.at.set(At::Sending(self.there() + 1));
                let sent = words::size((self.there() * PART).min(self.image.len));
                context.printer.progress(Line::from(format!("sent {sent} of {}", words::size(self.image.len))))?;
            }
            return Ok(());
        }
    }

    /// Has what is there installed.
    async fn order(&self) -> Result<(), ClientError> {
        let order = format!("install {} {}", self.image.name, self.count());
        let order = SetValue { value: Value::Text(order), token: None };
        self.client.set(&self.args.whom, "system", &order).await.map(drop)
    }

    /// What the device says once it has come back and is no longer on trial; none if that is not in time.
    async fn settled(&self, before: &str, new: &str, wait: Duration) -> Option<(Settled, String)> {
        let end = Instant::now() + wait;
        while Instant::now() < end {
            tokio::time::sleep(EVERY).await;
            // While it starts anew it cannot be asked, which is no failure.
            let Ok(said) = self.say().await else { continue };
            if let Some(settled) = settled(&said, before, new) {
                return Some((settled, said));
            }
        }
        None
    }

    /// What the device says of its system.
    async fn say(&self) -> Result<String, ClientError> {
        self.client.read(&self.args.whom, "system").await.map(|reading| reading.value.to_string())
    }

    /// The same, and whether all parts were there afterwards.
    async fn state(&self) -> Result<(String, bool), ClientError> {
        let said = self.say().await?;
        Ok((said, self.missing().await?.is_empty()))
    }

    /// The parts that are not there.
    async fn missing(&self) -> Result<Vec<u64>, ClientError> {
        let there = self.client.files(&self.args.whom, "system-parts", &format!("{}/", self.image.name)).await?;
        let is_there = |number: &u64| {
            let (path, size) = self.part(*number);
            there.entries.iter().any(|entry| entry.path == path && entry.size == size)
        };
        Ok((0..self.count()).filter(|number| !is_there(number)).collect())
    }

    /// Waits a moment after something failed, if it may go well later and there is patience left.
    async fn later(&self, error: &ClientError, patience: &mut Patience, context: &mut Context) -> Result<(), Failure> {
        let device = &self.args.whom;
        let failed = Failure::new(format!("cannot update {device}")).why(error);
        let Some(how) = passing(error) else {
            context.printer.progress_done()?;
            return Err(failed.next(error.hint()));
        };
        let first = !patience.is_tried();
        let Some(left) = patience.failed(Instant::now()) else {
            context.printer.progress_done()?;
            return Err(failed.next(self.how_to_go_on()));
        };
        let line = format!("{device} is {how}, for up to {} s", left.as_secs_f64().ceil());
        if first && !context.printer.is_terminal() {
            context.printer.note(Line::of(Tone::Warn, &line));
        }
        context.printer.progress(Line::of(Tone::Warn, line))?;
        tokio::time::sleep(EVERY.min(left)).await;
        Ok(())
    }

    fn how_to_go_on(&self) -> String {
        let UpdateArgs { whom: device, image, .. } = self.args;
        let again = format!("tutti update {device} {}", image.display());
        match self.at.get() {
            At::Sending(there) => {
                format!("{there} of {} parts are there, and the same command goes on: {again}", self.count())
            }
            At::Installing => format!("it was told to install it; the same command goes on: {again}"),
            At::Settling => {
                "it goes back to the old system by itself if the new one cannot join; look with: tutti devices".into()
            }
        }
    }

    const fn count(&self) -> u64 {
        self.image.len.div_ceil(PART)
    }

    /// How many parts are there, as far as is known.
    fn there(&self) -> u64 {
        match self.at.get() {
            At::Sending(there) => there,
            At::Installing | At::Settling => self.count(),
        }
    }

    /// What a part is called, and its size.
    fn part(&self, number: u64) -> (String, u64) {
        (format!("{}/{number:05}", self.image.name), PART.min(self.image.len - number * PART))
    }
}
