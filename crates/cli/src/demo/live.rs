//! Shows the demo happening: the steps above, the pool below.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};
use tokio::sync::mpsc;

use super::report::{Progress, Step};
use crate::{
    commands::watch::Scroll,
    failure::Failure,
    tui::{
        self, Screen, Wish,
        feed::{self, News},
        model::Pool,
        pool,
    },
};

const PICTURE: Duration = Duration::from_millis(100);

/// What is to be shown.
#[derive(Debug, Default)]
struct View {
    done: Vec<Step>,
    doing: Option<String>,
    pool: Pool,
    scroll: Scroll,
}

/// Shows it until the person, or another process, wants it to end.
pub(crate) async fn show(mut progress: mpsc::Receiver<Progress>) -> Result<(), Failure> {
    let mut screen = Screen::open()?;
    let mut view = View::default();
    let mut news: Option<mpsc::Receiver<News>> = None;
    let mut pictures = tokio::time::interval(PICTURE);
    pictures.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = tui::asked_to_end();
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            Some(one) = progress.recv() => match one {
                Progress::Begin(step) => view.doing = Some(step),
                Progress::End(step) => {
                    view.doing = None;
                    view.done.push(step);
                }
                Progress::Look(client) => news = Some(feed::follow(client)),
            },
            Some(one) = next(&mut news) => view.pool.take(one),
            wish = screen.wish() => match wish {
                Wish::Quit => return Ok(()),
                Wish::Scroll(lines) => view.scroll.by(lines),
                Wish::Redraw => {}
            },
            _ = pictures.tick() => screen.draw(|frame| draw(frame, &mut view))?,
            () = &mut end => return Ok(()),
        }
    }
}

async fn next(news: &mut Option<mpsc::Receiver<News>>) -> Option<News> {
    match news {
        Some(news) => news.recv().await,
        None => None,
    }
}

fn draw(frame: &mut Frame<'_>, view: &mut View) {
    let steps = steps(view);
    let room = frame.area().height / 2;
    let high = u16::try_from(steps.len()).unwrap_or(u16::MAX).min(room.max(1));
    let [above, gap, below] =
        Layout::vertical([Constraint::Length(high), Constraint::Length(1), Constraint::Min(0)]).areas(frame.area());
    // The latest steps, if there is no room for all.
    let skip = steps.len().saturating_sub(usize::from(high));
    frame.render_widget(Paragraph::new(steps.into_iter().skip(skip).collect::<Vec<_>>()), above);
    frame.render_widget(Line::raw(""), gap);
    let below = Rect { height: below.height.max(1).min(frame.area().height), ..below };
    if below.bottom() <= frame.area().bottom() {
        view.scroll.furthest = pool::draw(frame, below, &view.pool, view.scroll.at);
    }
}

fn steps(view: &View) -> Vec<Line<'static>> {
    let faint = Style::new().fg(Color::DarkGray);
    let done = view.done.iter().map(|step| {
        let (sign, colour) = if step.ok { ("✓ ", Color::Green) } else { ("✗ ", Color::Red) };
        Line::from(vec![
            Span::styled(sign, Style::new().fg(colour)),
            Span::raw(step.step.clone()),
            Span::styled(format!("  {:.0} ms", step.measured_ms), faint),
            Span::styled(format!("  {}", step.note), faint),
        ])
    });
    let doing = view.doing.iter().map(|step| {
        Line::from(vec![
            Span::styled("… ", faint),
            Span::styled(step.clone(), Style::new().add_modifier(Modifier::BOLD)),
        ])
    });
    done.chain(doing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::sample;
    use ratatui::{Terminal, backend::TestBackend};
    use tutti_control::Event;

    #[test]
    fn the_stage() {
        let step =
            |step: &str, ok| Step { step: step.into(), measured_ms: 412.3, bound_ms: 5000, ok, note: "note".into() };
        let mut view = View {
            done: vec![step("three devices start", true), step("they discover each other", false)],
            doing: Some("studio is paired by a code".into()),
            ..View::default()
        };
        view.pool.apply(Event::Group(sample::group()));
        view.pool.apply(Event::Devices(sample::devices()));
        view.pool.apply(Event::Resources(sample::resources()));
        let mut terminal = Terminal::new(TestBackend::new(100, 18)).unwrap();
        terminal.draw(|frame| draw(frame, &mut view)).unwrap();
        insta::assert_snapshot!(terminal.backend().to_string());
        for (columns, rows) in [(1, 1), (3, 2), (10, 3), (80, 4)] {
            let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
            terminal.draw(|frame| draw(frame, &mut view)).unwrap();
        }
    }
}
