//! Connections: two halves, one at each end, that know of each other only what packets tell them.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    net::SocketAddr,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;
use tutti_model::DeviceId;

use super::{
    link::{Frame, LinkId, Payload},
    stream::{Budget, Direction, RecvHalf, SendHalf, StreamId, waiters_of},
    trace::What,
    world::{EndpointId, Event, Waiters, World, later},
};
use crate::transport::{CloseCode, Closed, MAX_DATAGRAM, Protocol, Traffic};

/// A side that has heard nothing for this long gives up.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a side shows that it is there (iroh's default).
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Datagrams that wait for their reader; then the oldest give way.
const DATAGRAM_QUEUE: usize = 256;

/// How often a lost goodbye is repeated.
const GOODBYES: u8 = 2;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HalfId {
    pub(super) connection: u64,
    pub(super) dialler: bool,
}

impl HalfId {
    pub(super) fn other(self) -> Self {
        Self { dialler: !self.dialler, ..self }
    }
}

/// A half that somebody now holds a handle to, and what never changes about it.
pub(super) type Claimed = (HalfId, DeviceId, Protocol);

pub(super) struct Half {
    pub(super) endpoint: EndpointId,
    pub(super) local: DeviceId,
    pub(super) remote: DeviceId,
    pub(super) remote_endpoint: EndpointId,
    pub(super) protocol: Protocol,
    /// Whether somebody holds a handle to it.
    pub(super) claimed: bool,
    /// Why it is over, if it is.
    pub(super) over: Option<Closed>,
    heard: Instant,
    pub(super) rtt: Option<Duration>,
    pub(super) traffic: Traffic,
    /// What found the path cut, and how often that has been tried since.
    pub(super) parked: Vec<Frame>,
    pub(super) probes: u32,
    pub(super) sends: BTreeMap<StreamId, SendHalf>,
    pub(super) recvs: BTreeMap<StreamId, RecvHalf>,
    /// Of each stream that the other side opened: how many of its halves are still in use here.
    pub(super) parts: BTreeMap<StreamId, u8>,
    pub(super) budgets: BTreeMap<Direction, Budget>,
    pub(super) arrived: BTreeMap<Direction, VecDeque<StreamId>>,
    datagrams: VecDeque<Bytes>,
    pub(super) opening: BTreeMap<Direction, Waiters>,
    pub(super) accepting: BTreeMap<Direction, Waiters>,
    receiving: Waiters,
    closing: Waiters,
}

impl World {
    /// The path on which a live half sends.
    pub(super) fn link_of(&self, half: HalfId) -> Option<LinkId> {
        self.halves.get(&half).filter(|half| half.over.is_none()).map(|half| (half.local, half.remote))
    }

    pub(super) fn add_half(
        &mut self,
        id: HalfId,
        (endpoint, local): (EndpointId, DeviceId),
        (remote_endpoint, remote): (EndpointId, DeviceId),
        protocol: Protocol,
    ) {
        let half = Half {
            endpoint,
            local,
            remote,
            remote_endpoint,
            protocol,
            claimed: false,
            over: None,
            heard: self.now,
            rtt: None,
            traffic: Traffic::default(),
            parked: Vec::new(),
            probes: 0,
            sends: BTreeMap::new(),
            recvs: BTreeMap::new(),
            parts: BTreeMap::new(),
            budgets: BTreeMap::new(),
            arrived: BTreeMap::new(),
            datagrams: VecDeque::new(),
            opening: BTreeMap::new(),
            accepting: BTreeMap::new(),
            receiving: Waiters::default(),
            closing: Waiters::default(),
        };
        self.halves.insert(id, half);
        self.after(KEEP_ALIVE, Event::KeepAlive(id));
        self.after(IDLE_TIMEOUT, Event::IdleCheck(id));
    }

    pub(super) fn on_arrival(&mut self, to: HalfId, payload: Payload) {
        // The path may have been cut while the packet was under way.
        let Some(link) = self.halves.get(&to).filter(|half| half.over.is_none()).map(|half| (half.remote, half.local))
        else {
            return;
        };
        if self.cut(link) {
            match payload {
                Payload::Frame(frame) => self.park(to.other(), frame),
                lossy => self.trace_packet(link, What::Lost, lossy.kind()),
            }
            return;
        }
        let (kind, len, now) = (payload.kind(), payload.len(), self.now);
        self.trace(link.0, link.1, What::Delivered(kind, len));
        let Some(half) = self.halves.get_mut(&to) else { return };
        half.heard = now;
        half.traffic.received += len as u64;
        match payload {
            Payload::Frame(frame) => self.on_frame(to, frame),
            Payload::Datagram(bytes) => {
                half.datagrams.push_back(bytes);
                if half.datagrams.len() > DATAGRAM_QUEUE {
                    half.datagrams.pop_front();
                }
                self.wake(|world| world.halves.get_mut(&to).map(|half| &mut half.receiving));
            }
            Payload::Ping { sent } => self.send_once(to, Payload::Pong { sent }),
            Payload::Pong { sent } => {
                let sample = now.saturating_duration_since(sent);
                half.rtt = Some(half.rtt.map_or(sample, |rtt| (rtt * 7 + sample) / 8));
            }
            Payload::Close(code, reason) => self.end(to, Closed::ByPeer(code, reason)),
        }
    }

    fn on_frame(&mut self, half: HalfId, frame: Frame) {
        match frame {
            Frame::Established => self.hand_out(half),
            Frame::Data { stream, offset, bytes, end } => self.on_data(half, stream, offset, bytes, end),
            Frame::Reset(stream) => self.on_reset(half, stream),
            Frame::Stop(stream) => self.on_stop(half, stream),
            Frame::Credit(stream, upto) => self.on_credit(half, stream, upto),
            Frame::Streams(direction, upto) => self.on_streams(half, direction, upto),
        }
    }

    pub(super) fn on_keep_alive(&mut self, id: HalfId) {
        if self.link_of(id).is_some() {
            let sent = self.now;
            self.send_once(id, Payload::Ping { sent });
            self.after(KEEP_ALIVE, Event::KeepAlive(id));
        }
    }

    pub(super) fn on_idle_check(&mut self, id: HalfId) {
        let Some(half) = self.halves.get(&id).filter(|half| half.over.is_none()) else { return };
        let gives_up = later(half.heard, IDLE_TIMEOUT);
        if gives_up <= self.now {
            self.end(id, Closed::TimedOut);
        } else {
            self.at(gives_up, Event::IdleCheck(id));
        }
    }

    /// Ends one half and says nothing to the other. What has arrived can still be read.
    pub(super) fn end(&mut self, id: HalfId, why: Closed) {
        let Some(half) = self.halves.get_mut(&id).filter(|half| half.over.is_none()) else { return };
        half.over = Some(why.clone());
        half.parked.clear();
        let mut waiters = waiters_of(&mut half.sends, &mut half.recvs);
        half.sends.clear();
        waiters.extend(mem::take(&mut half.opening).into_values());
        waiters.extend(mem::take(&mut half.accepting).into_values());
        waiters.extend([mem::take(&mut half.receiving), mem::take(&mut half.closing)]);
        let (local, remote, claimed, endpoint) = (half.local, half.remote, half.claimed, half.endpoint);
        waiters.into_iter().for_each(|waiters| self.wake_all(waiters));
        self.trace(local, remote, What::Over(why));
        if !claimed {
            self.halves.remove(&id);
            if let Some(endpoint) = self.endpoints.get_mut(&endpoint) {
                endpoint.incoming.retain(|waiting| *waiting != id);
            }
        }
    }

    /// Ends one half and tells the other.
    pub(super) fn close(&mut self, id: HalfId, code: CloseCode, reason: &str) {
        let Some(link) = self.link_of(id) else { return };
        self.end(id, Closed::Locally);
        self.say_goodbye(link, id.other(), Payload::Close(code, reason.into()), GOODBYES);
    }

    /// Somebody holds this half from now on.
    pub(super) fn claim(&mut self, id: HalfId) -> Option<Claimed> {
        let half = self.halves.get_mut(&id)?;
        half.claimed = true;
        Some((id, half.remote, half.protocol))
    }

    /// Nobody holds this half any more.
    pub(super) fn release(&mut self, id: HalfId) {
        self.close(id, CloseCode::SHUTDOWN, "");
        self.halves.remove(&id);
    }

    pub(super) fn poll_open(
        &mut self,
        id: HalfId,
        direction: Direction,
        cx: &Context<'_>,
    ) -> Poll<Result<StreamId, Closed>> {
        if let Some(over) = self.over(id) {
            return Poll::Ready(Err(over));
        }
        if let Some(stream) = self.open_stream(id, direction) {
            return Poll::Ready(Ok(stream));
        }
        if let Some(half) = self.halves.get_mut(&id) {
            half.opening.entry(direction).or_default().add(cx);
        }
        Poll::Pending
    }

    pub(super) fn poll_accept(
        &mut self,
        id: HalfId,
        direction: Direction,
        cx: &Context<'_>,
    ) -> Poll<Result<StreamId, Closed>> {
        let Some(half) = self.halves.get_mut(&id) else { return Poll::Ready(Err(Closed::Locally)) };
        if let Some(stream) = half.arrived.entry(direction).or_default().pop_front() {
            return Poll::Ready(Ok(stream));
        }
        if let Some(over) = &half.over {
            return Poll::Ready(Err(over.clone()));
        }
        half.accepting.entry(direction).or_default().add(cx);
        Poll::Pending
    }

    pub(super) fn send_datagram(&mut self, id: HalfId, bytes: Bytes) -> Result<(), Closed> {
        if let Some(over) = self.over(id) {
            return Err(over);
        }
        if bytes.len() > MAX_DATAGRAM {
            return Err(Closed::Network(format!("a datagram of {} bytes: at most {MAX_DATAGRAM} fit", bytes.len())));
        }
        self.send_once(id, Payload::Datagram(bytes));
        Ok(())
    }

    pub(super) fn poll_datagram(&mut self, id: HalfId, cx: &Context<'_>) -> Poll<Result<Bytes, Closed>> {
        let Some(half) = self.halves.get_mut(&id) else { return Poll::Ready(Err(Closed::Locally)) };
        if let Some(bytes) = half.datagrams.pop_front() {
            return Poll::Ready(Ok(bytes));
        }
        if let Some(over) = &half.over {
            return Poll::Ready(Err(over.clone()));
        }
        half.receiving.add(cx);
        Poll::Pending
    }

    pub(super) fn poll_closed(&mut self, id: HalfId, cx: &Context<'_>) -> Poll<Closed> {
        if let Some(over) = self.over(id) {
            return Poll::Ready(over);
        }
        if let Some(half) = self.halves.get_mut(&id) {
            half.closing.add(cx);
        }
        Poll::Pending
    }

    pub(super) fn remote_addr(&self, id: HalfId) -> Option<SocketAddr> {
        let half = self.halves.get(&id)?;
        self.endpoints.get(&half.remote_endpoint).map(|endpoint| endpoint.addr)
    }
}
