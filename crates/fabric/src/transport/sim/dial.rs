//! Setting up a connection: hello, answer, confirmation, each of which takes time and may be lost.
//!
//! ```text
//! dialler              listener
//!    |---- hello --------->|   who listens there must have the key that was dialled
//!    |<--- answer ---------|   the dialler has its connection: one round trip
//!    |---- Established --->|   the listener has it: one and a half
//! ```
//! A hello is repeated after 1, 2, 4 and 8 s, as QUIC does before it knows the round-trip time.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;
use tutti_model::DeviceId;

use super::{
    connection::{Claimed, HalfId},
    link::{Frame, Lane},
    trace::{Packet, What},
    world::{EndpointId, Event, Waiters, World},
};
use crate::transport::{CloseCode, ConnectError, Protocol};

/// Connections that are being set up or wait for `accept`; further hellos are not answered.
const BACKLOG: usize = 64;

/// The first wait for an answer.
const FIRST_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DialId(u64);

pub(super) enum DialEvent {
    /// A hello leaves, for the n-th time.
    Hello { addr: SocketAddr, tries: u32 },
    /// It reaches a listener.
    Arrived { addr: SocketAddr, at: EndpointId, sent: Instant },
    /// The listener's answer is back.
    Answer { sent: Instant },
    /// Somebody else's answer is back.
    WrongKey { addr: SocketAddr },
    /// The time is up.
    GiveUp,
}

pub(super) struct Dial {
    endpoint: EndpointId,
    from: DeviceId,
    to: DeviceId,
    protocol: Protocol,
    addrs: BTreeSet<SocketAddr>,
    /// Where somebody else listens.
    wrong: BTreeSet<SocketAddr>,
    /// What the listener has made of the first hello.
    connection: Option<u64>,
    result: Option<Result<HalfId, ConnectError>>,
    waiting: Waiters,
}

impl World {
    pub(super) fn dial(
        &mut self,
        endpoint: EndpointId,
        to: DeviceId,
        addrs: Vec<SocketAddr>,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<DialId, ConnectError> {
        let from = match self.endpoints.get(&endpoint) {
            Some(endpoint) if endpoint.open => endpoint.device,
            _ => return Err(ConnectError::Closed),
        };
        let addrs = BTreeSet::from_iter(addrs);
        if addrs.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let id = DialId(self.count());
        for addr in addrs.iter().copied() {
            let now = self.now;
            self.trace(from, to, What::Dialled(addr));
            self.at(now, Event::Dial(id, DialEvent::Hello { addr, tries: 0 }));
        }
        self.after(timeout, Event::Dial(id, DialEvent::GiveUp));
        let (wrong, connection, result, waiting) = Default::default();
        self.dials.insert(id, Dial { endpoint, from, to, protocol, addrs, wrong, connection, result, waiting });
        Ok(id)
    }

    pub(super) fn poll_dial(&mut self, id: DialId, cx: &Context<'_>) -> Poll<Result<Claimed, ConnectError>> {
        let Some(dial) = self.dials.get_mut(&id) else { return Poll::Ready(Err(ConnectError::Closed)) };
        match dial.result.take() {
            None => {
                dial.waiting.add(cx);
                Poll::Pending
            }
            Some(Ok(half)) => {
                self.dials.remove(&id);
                let refused = || ConnectError::Refused("closed while it was set up".into());
                Poll::Ready(self.claim(half).ok_or_else(refused))
            }
            Some(Err(error)) => {
                self.forget_dial(id);
                Poll::Ready(Err(error))
            }
        }
    }

    /// Whoever dialled has gone, or has its error.
    pub(super) fn forget_dial(&mut self, id: DialId) {
        let Some(dial) = self.dials.remove(&id) else { return };
        if let Some(connection) = dial.connection {
            self.close(HalfId { connection, dialler: true }, CloseCode::SHUTDOWN, "");
        }
    }

    pub(super) fn give_up_dials_of(&mut self, endpoint: EndpointId) {
        let dials: Vec<_> =
            self.dials.iter().filter(|(_, dial)| dial.endpoint == endpoint).map(|(id, _)| *id).collect();
        dials.into_iter().for_each(|id| self.decide(id, Err(ConnectError::Closed)));
    }

    fn decide(&mut self, id: DialId, result: Result<HalfId, ConnectError>) {
        let Some(dial) = self.dials.get_mut(&id).filter(|dial| dial.result.is_none()) else { return };
        dial.result = Some(result);
        self.wake(|world| world.dials.get_mut(&id).map(|dial| &mut dial.waiting));
    }

    pub(super) fn on_dial_event(&mut self, id: DialId, event: DialEvent) {
        if self.dials.get(&id).is_none_or(|dial| dial.result.is_some()) {
            return;
        }
        match event {
            DialEvent::Hello { addr, tries } => self.on_hello(id, addr, tries),
            DialEvent::Arrived { addr, at, sent } => self.on_hello_arrived(id, addr, at, sent),
            DialEvent::Answer { sent } => self.on_answer(id, sent),
            DialEvent::WrongKey { addr } => self.on_wrong_key(id, addr),
            DialEvent::GiveUp => {
                let wrong = self.dials.get(&id).is_some_and(|dial| !dial.wrong.is_empty());
                self.decide(id, Err(if wrong { ConnectError::WrongKey } else { ConnectError::TimedOut }));
            }
        }
    }

    fn on_hello(&mut self, id: DialId, addr: SocketAddr, tries: u32) {
        let Some(dial) = self.dials.get(&id) else { return };
        let from = dial.from;
        let again = DialEvent::Hello { addr, tries: tries + 1 };
        self.after(FIRST_WAIT * (1 << tries.min(3)), Event::Dial(id, again));
        let Some((at, device)) =
            self.listeners.get(&addr).and_then(|at| self.endpoints.get(at).map(|endpoint| (*at, endpoint.device)))
        else {
            self.trace(from, None, What::Lost(Packet::Handshake));
            return;
        };
        let sent = self.now;
        self.send_handshake((from, device), id, DialEvent::Arrived { addr, at, sent });
    }

    fn send_handshake(&mut self, link: (DeviceId, DeviceId), id: DialId, event: DialEvent) {
        let lane = Lane::handshake(link);
        if self.passes(lane) {
            let latency = self.latency(lane);
            self.after(latency, Event::Dial(id, event));
        } else {
            self.trace_packet(link, What::Lost, Packet::Handshake);
        }
    }

    fn on_hello_arrived(&mut self, id: DialId, addr: SocketAddr, at: EndpointId, sent: Instant) {
        let Some(listener) = self.endpoints.get(&at).filter(|listener| listener.open && listener.addr == addr) else {
            return;
        };
        let device = listener.device;
        let pending = self.halves.iter().filter(|(id, half)| half.endpoint == at && !id.dialler && !half.claimed);
        let room = pending.count() < BACKLOG;
        let Some(dial) = self.dials.get(&id) else { return };
        let (dialler, from, protocol) = ((dial.endpoint, dial.from), dial.from, dial.protocol);
        let (to, known) = (dial.to, dial.connection);
        if self.cut((from, device)) {
            self.trace(from, device, What::Lost(Packet::Handshake));
        } else if device != to {
            self.send_handshake((device, from), id, DialEvent::WrongKey { addr });
        } else if known.is_some() || room {
            if known.is_none() {
                let connection = self.count();
                self.add_half(HalfId { connection, dialler: true }, dialler, (at, device), protocol);
                self.add_half(HalfId { connection, dialler: false }, (at, device), dialler, protocol);
                if let Some(dial) = self.dials.get_mut(&id) {
                    dial.connection = Some(connection);
                }
            }
            self.send_handshake((device, from), id, DialEvent::Answer { sent });
        }
    }

    fn on_answer(&mut self, id: DialId, sent: Instant) {
        let Some(dial) = self.dials.get(&id) else { return };
        let Some(connection) = dial.connection else { return };
        let (from, to, protocol) = (dial.from, dial.to, dial.protocol);
        if self.cut((to, from)) {
            self.trace(to, from, What::Lost(Packet::Handshake));
            return;
        }
        let half = HalfId { connection, dialler: true };
        let rtt = self.now.saturating_duration_since(sent);
        let Some(mine) = self.halves.get_mut(&half) else { return };
        mine.rtt = Some(rtt);
        self.trace(from, to, What::Connected(protocol));
        self.decide(id, Ok(half));
        self.send_frame(half, Frame::Established);
    }

    fn on_wrong_key(&mut self, id: DialId, addr: SocketAddr) {
        let Some(dial) = self.dials.get_mut(&id) else { return };
        dial.wrong.insert(addr);
        if dial.wrong == dial.addrs {
            self.decide(id, Err(ConnectError::WrongKey));
        }
    }

    /// The accepting side's half of a connection is set up.
    pub(super) fn hand_out(&mut self, id: HalfId) {
        let Some(half) = self.halves.get(&id) else { return };
        let (at, local, remote, protocol) = (half.endpoint, half.local, half.remote, half.protocol);
        let Some(endpoint) = self.endpoints.get_mut(&at).filter(|endpoint| endpoint.open) else { return };
        endpoint.incoming.push_back(id);
        self.trace(local, remote, What::Accepted(protocol));
        self.wake(|world| world.endpoints.get_mut(&at).map(|endpoint| &mut endpoint.accepting));
    }

    pub(super) fn poll_incoming(&mut self, at: EndpointId, cx: &Context<'_>) -> Poll<Option<Claimed>> {
        let Some(endpoint) = self.endpoints.get_mut(&at).filter(|endpoint| endpoint.open) else {
            return Poll::Ready(None);
        };
        // Who is over before it is accepted leaves the queue, so whoever is in it can be claimed.
        match endpoint.incoming.pop_front() {
            Some(id) => Poll::Ready(self.claim(id)),
            None => {
                endpoint.accepting.add(cx);
                Poll::Pending
            }
        }
    }
}
