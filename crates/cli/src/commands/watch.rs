//! `tutti watch`: the pool as it lives.

use std::time::Duration;

use clap::Args;

use crate::{
    context::Context,
    failure::{Exit, Failure},
    tui::{self, Screen, Wish, feed, model::Pool, pool},
};

/// The shortest time between two pictures.
const PICTURE: Duration = Duration::from_millis(100);

/// Shows the pool as it lives
#[derive(Debug, Args)]
pub(crate) struct WatchArgs {
    /// No picture: each change as one line of JSON, until Ctrl-C
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: WatchArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    if args.json {
        let mut changes = client.changes().await?;
        let end = tui::asked_to_end();
        let mut end = std::pin::pin!(end);
        loop {
            let change = tokio::select! {
                change = changes.next() => change?,
                () = &mut end => return Ok(Exit::Done),
            };
            match change {
                Some(event) => context.printer.json_line(&event)?,
                None => return Err(Failure::new("the device has stopped")),
            }
        }
    }
    // Asked before the terminal is taken over, so that an error is seen.
    client.device().await?;
    let mut screen = Screen::open()?;
    let mut news = feed::follow(client);
    let mut view = Pool::default();
    let mut scroll = Scroll::default();
    let mut pictures = tokio::time::interval(PICTURE);
    pictures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = tui::asked_to_end();
    let mut end = std::pin::pin!(end);
    let mut changed = true;
    loop {
        tokio::select! {
            Some(one) = news.recv() => {
                view.take(one);
                changed = true;
            }
            wish = screen.wish() => {
                match wish {
                    Wish::Quit => return Ok(Exit::Done),
                    Wish::Scroll(lines) => scroll.by(lines),
                    Wish::Redraw => {}
                }
                changed = true;
            }
            _ = pictures.tick(), if changed => {
                screen.draw(|frame| scroll.furthest = pool::draw(frame, frame.area(), &view, scroll.at))?;
                changed = false;
            }
            () = &mut end => return Ok(Exit::Done),
        }
    }
}

/// How far down a view is.
#[derive(Debug, Default)]
pub(crate) struct Scroll {
    /// The first line that is seen.
    pub(crate) at: u16,
    /// The last line that can come first.
    pub(crate) furthest: u16,
}

impl Scroll {
    /// Moves by this many lines, within what there is.
    pub(crate) fn by(&mut self, lines: i32) {
        let at = i32::from(self.at).saturating_add(lines).clamp(0, i32::from(self.furthest));
        self.at = u16::try_from(at).unwrap_or_default();
    }
}
