//! What goes over the link with a core: the frames of its satellites, and pings.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::{CoreError, back::End};
use crate::satellites::{Ask, Budget, Station};

/// The RPMsg endpoint that gives back what it is sent.
pub(super) const PING: &str = "tutti-ping";
/// How long the core has to give it back.
pub(super) const PONG: Duration = Duration::from_secs(2);
/// How many messages of a core are taken each second.
pub(super) const RATE: u32 = 20_000;

/// Who waits for a ping.
pub(super) type Pinger = oneshot::Sender<Result<Duration, CoreError>>;

/// What goes over the link.
pub(super) struct Radio<'l> {
    pub(super) satellite: End<'l>,
    pub(super) ping: End<'l>,
    pub(super) station: Station,
    pub(super) asks: mpsc::Receiver<Ask>,
    /// The ping under way: since when, and what it carries.
    pub(super) pinging: Option<(Instant, u64, Pinger)>,
    pub(super) budget: Budget,
}

impl Radio<'_> {
    /// Sends one that somebody waits for.
    pub(super) fn send_ping(&mut self, reply: Pinger) {
        let mark = rand::random::<u64>();
        let sent = self.ping.peer().ok().map(|peer| self.ping.try_send(peer, &mark.to_le_bytes()));
        match sent {
            None => drop(reply.send(Err(CoreError::NoPing))),
            Some(Err(error)) => drop(reply.send(Err(CoreError::Failed(error.to_string())))),
            Some(Ok(())) => self.pinging = Some((Instant::now(), mark, reply)),
        }
    }

    /// Takes what came back.
    pub(super) fn pong(&mut self, bytes: &[u8]) {
        if let Some((since, _, reply)) = self.pinging.take_if(|(_, mark, _)| mark.to_le_bytes() == bytes) {
            let _ = reply.send(Ok(since.elapsed()));
        }
    }

    /// Gives up on one that took too long.
    pub(super) fn expire_ping(&mut self) {
        if let Some((_, _, reply)) = self.pinging.take_if(|(since, ..)| since.elapsed() > PONG) {
            let _ = reply.send(Err(CoreError::Failed("it did not answer in time".into())));
        }
    }
}
