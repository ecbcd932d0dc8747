//! What a link is to this machine: a line of bytes, or a service on the kernel's RPMsg bus.

mod line;
mod messages;

use self::{line::Line, messages::Messages};
use super::spec::Spec;

/// An open link.
pub(super) enum Port {
    Line(Line),
    Messages(Messages),
}

impl Port {
    /// Opens it.
    pub(super) async fn open(spec: &Spec) -> Result<Self, String> {
        match spec {
            Spec::Unix(path) => Line::socket(path).await.map(Self::Line),
            Spec::Serial { path, baud } => Line::serial(path, *baud).await.map(Self::Line),
            Spec::Rpmsg(channel) => Messages::open(channel.clone()).await.map(Self::Messages),
        }
    }

    /// Sends a frame, within a bounded time.
    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        match self {
            Self::Line(line) => line.send(frame).await,
            Self::Messages(messages) => messages.send(frame),
        }
    }

    /// Hands out what has come, as soon as there is something; how many bytes it was. Whoever drops this has lost nothing.
    pub(super) async fn receive(&mut self, frame: &mut (dyn FnMut(&[u8]) + Send)) -> Result<usize, String> {
        match self {
            Self::Line(line) => line.receive(frame).await,
            Self::Messages(messages) => messages.receive(frame).await,
        }
    }

    /// How many frames were damaged.
    pub(super) fn dropped(&self) -> u32 {
        match self {
            Self::Line(line) => line.dropped(),
            Self::Messages(_) => 0,
        }
    }
}
