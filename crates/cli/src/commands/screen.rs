//! `tutti screen`: makes this terminal a display of the pool.

use clap::Args;
use ratatui::{
    layout::{Alignment, Constraint, Layout},
    style::{Color, Style},
    text::Line,
    widgets::Paragraph,
};
use tutti_control::{ClientError, ScreenFrame, ScreenRequest};

use crate::{
    context::Context,
    failure::{Exit, Explain, Failure},
    printer::harmless,
    tui::{self, Screen, Wish, image::Image},
};

/// Makes this terminal a display that others can draw on
#[derive(Debug, Args)]
pub(crate) struct ScreenArgs {
    /// The display's name on this device
    #[arg(default_value = "screen")]
    name: String,
    /// No picture: what is drawn, as one line of JSON each, until Ctrl-C
    #[arg(long)]
    json: bool,
    /// With --json: the width in characters
    #[arg(long, default_value_t = 80, requires = "json")]
    columns: u16,
    /// With --json: the height in lines
    #[arg(long, default_value_t = 24, requires = "json")]
    rows: u16,
}

pub(crate) async fn run(args: ScreenArgs, context: &mut Context) -> Result<Exit, Failure> {
    let client = context.client().await?;
    let device = client.device().await?.name;
    let failed = || format!("cannot open the screen {}", args.name);
    if args.json {
        let request = ScreenRequest { columns: args.columns, rows: args.rows, width: None, height: None };
        let mut frames = client.open_screen(&args.name, &request).await.explain(failed)?;
        let end = tui::asked_to_end();
        let mut end = std::pin::pin!(end);
        loop {
            let frame = tokio::select! {
                frame = frames.next() => frame.map_err(|error| broken(&args.name, &error))?,
                () = &mut end => return Ok(Exit::Done),
            };
            match frame {
                Some(frame) => context.printer.json_line(&frame)?,
                None => return Err(closed(&args.name)),
            }
        }
    }
    let (columns, rows) = ratatui::crossterm::terminal::size().unwrap_or((80, 24));
    let request = ScreenRequest { columns, rows: rows.saturating_sub(1).max(1), width: None, height: None };
    let mut frames = client.open_screen(&args.name, &request).await.explain(failed)?;
    let mut screen = Screen::open()?;
    let mut shown = ScreenFrame::default();
    let end = tui::asked_to_end();
    let mut end = std::pin::pin!(end);
    let whole_name = format!("{device}/{}", args.name);
    loop {
        draw(&mut screen, &shown, &whole_name)?;
        tokio::select! {
            frame = frames.next() => match frame.map_err(|error| broken(&args.name, &error))? {
                Some(frame) => shown = frame,
                None => return Err(closed(&args.name)),
            },
            wish = screen.wish() => if wish == Wish::Quit {
                return Ok(Exit::Done);
            },
            () = &mut end => return Ok(Exit::Done),
        }
    }
}

fn closed(name: &str) -> Failure {
    Failure::new(format!("the screen {name} was closed")).why("the device stopped").next("start it with: tutti up")
}

/// Frames stopped coming before the device said that it stops.
fn broken(name: &str, error: &ClientError) -> Failure {
    Failure::new(format!("the screen {name} has gone dark")).why(error).next(error.hint())
}

fn draw(screen: &mut Screen, shown: &ScreenFrame, name: &str) -> Result<(), Failure> {
    let (columns, rows) = screen.size();
    let lines = content(shown, columns, rows.saturating_sub(1));
    let from = shown.from.as_ref().map(|from| format!("  drawn by {}", harmless(from))).unwrap_or_default();
    let foot = format!("{name}{from}  q quit");
    screen.draw(|frame| {
        let [body, line] = Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
        let alignment = if shown.image.is_some() { Alignment::Center } else { Alignment::Left };
        frame.render_widget(Paragraph::new(lines).alignment(alignment), body);
        frame.render_widget(Line::styled(foot, Style::new().fg(Color::DarkGray)), line);
    })
}

fn content(shown: &ScreenFrame, columns: u16, rows: u16) -> Vec<Line<'static>> {
    let Some(image) = &shown.image else {
        return shown.text.iter().map(|line| Line::raw(harmless(line))).collect();
    };
    let decoded = data_encoding::BASE64.decode(image.as_bytes()).map_err(|error| error.to_string());
    match decoded.and_then(|png| Image::decode(&png).map_err(|error| error.to_string())) {
        Ok(image) => image.lines(columns, rows),
        Err(why) => vec![Line::raw(format!("An image came that cannot be shown: {why}"))],
    }
}
