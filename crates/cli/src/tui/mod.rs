//! The live views: the terminal taken over, and given back whatever happens.

pub(crate) mod feed;
pub(crate) mod image;
pub(crate) mod model;
pub(crate) mod pool;
pub(crate) mod spark;

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::{signal::unix, sync::mpsc};

use crate::failure::{Explain, Failure};

/// How often the thread that reads keys looks whether it is still wanted.
const KEY_POLL: Duration = Duration::from_millis(100);

/// What a person wants of a live view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To leave.
    Quit,
    /// To see what is this many lines further down.
    Scroll(i32),
    /// To have it drawn again: the terminal has another size.
    Redraw,
}

/// The terminal, taken over. Dropping it gives the terminal back; so does a panic (by the hook that `ratatui` sets).
pub(crate) struct Screen {
    terminal: DefaultTerminal,
    wishes: mpsc::Receiver<Wish>,
    over: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over.
    pub(crate) fn open() -> Result<Self, Failure> {
        if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
            return Err(Failure::wrong_use("a live view needs a terminal").next("for programs, there is --json"));
        }
        let terminal = ratatui::try_init().explain(|| "cannot use this terminal".into())?;
        let (sender, wishes) = mpsc::channel(32);
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        std::thread::spawn(move || read_keys(&sender, &ended));
        Ok(Self { terminal, wishes, over })
    }

    /// Draws all of it.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<(), Failure> {
        self.terminal.draw(draw).map(|_| ()).explain(|| "cannot draw on this terminal".into())
    }

    /// Its width and height.
    pub(crate) fn size(&self) -> (u16, u16) {
        self.terminal.size().map_or((80, 24), |size| (size.width, size.height))
    }

    /// The next wish. May be dropped and called again.
    pub(crate) async fn wish(&mut self) -> Wish {
        self.wishes.recv().await.unwrap_or(Wish::Quit)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

fn read_keys(wishes: &mpsc::Sender<Wish>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let wish = match event::poll(KEY_POLL).and_then(|ready| if ready { event::read().map(Some) } else { Ok(None) })
        {
            Ok(Some(event::Event::Key(key))) => wish(key),
            Ok(Some(event::Event::Resize(..))) => Some(Wish::Redraw),
            Ok(_) => None,
            // The terminal has gone.
            Err(_) => Some(Wish::Quit),
        };
        // A wish too many while the view is busy is dropped; the person presses again.
        if let Some(Err(mpsc::error::TrySendError::Closed(_))) = wish.map(|wish| wishes.try_send(wish)) {
            return;
        }
    }
}

fn wish(key: KeyEvent) -> Option<Wish> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c' | 'd') if control => Wish::Quit,
        KeyCode::Char('q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Down | KeyCode::Char('j') => Wish::Scroll(1),
        KeyCode::Up | KeyCode::Char('k') => Wish::Scroll(-1),
        KeyCode::PageDown | KeyCode::Char(' ') => Wish::Scroll(10),
        KeyCode::PageUp => Wish::Scroll(-10),
        KeyCode::Home => Wish::Scroll(i32::MIN),
        _ => return None,
    })
}

/// Returns when the process is asked to end: Ctrl-C, or by another process, or because the terminal was closed.
pub(crate) async fn asked_to_end() {
    let signals = [unix::SignalKind::interrupt(), unix::SignalKind::terminate(), unix::SignalKind::hangup()];
    let mut waiting: Vec<_> = signals.into_iter().filter_map(|kind| unix::signal(kind).ok()).collect();
    let waits = waiting.iter_mut().map(|signal| Box::pin(signal.recv()));
    futures_util::future::select_all(waits).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_wishes() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Wish::Quit));
        assert_eq!(key(KeyCode::Down, KeyModifiers::NONE), Some(Wish::Scroll(1)));
    }
}
