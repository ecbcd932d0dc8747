//! The path from one device to another: who may send next, what gets lost, when the rest arrives.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use tutti_model::DeviceId;

use super::{
    conditions::Conditions,
    connection::HalfId,
    stream::{Direction, StreamId},
    trace::{Packet, What},
    world::{Event, World, later},
};
use crate::transport::{CloseCode, Priority};

/// From whom to whom.
pub(super) type LinkId = (DeviceId, DeviceId);

/// What shares one run of luck. Tasks of one device that wake at the same moment do so in no fixed order (tokio's
/// `watch` draws one); as each of them sends on a lane of its own, a run follows from its seed all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lane {
    link: LinkId,
    of: u8,
}

impl Lane {
    /// The setting up of connections.
    pub(super) fn handshake(link: LinkId) -> Self {
        Self { link, of: 0 }
    }

    /// Their ends.
    fn goodbye(link: LinkId) -> Self {
        Self { link, of: 1 }
    }

    /// What belongs to one end of a connection and to none of its streams.
    fn connection(link: LinkId, half: HalfId) -> Self {
        Self { link, of: 2 + u8::from(half.dialler) }
    }

    fn frame(link: LinkId, half: HalfId, frame: &Frame) -> Self {
        match frame {
            Frame::Established | Frame::Streams(..) => Self::connection(link, half),
            Frame::Data { stream, .. } | Frame::Reset(stream) | Frame::Stop(stream) | Frame::Credit(stream, _) => {
                Self { link, of: 64 << u8::from(half.dialler) | stream.residue() }
            }
        }
    }

    pub(super) fn seed(self, of_all: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&of_all.to_le_bytes()).update(self.link.0.as_bytes()).update(self.link.1.as_bytes());
        let mut seed = [0; 8];
        hasher.update(&[self.of]).finalize_xof().fill(&mut seed);
        u64::from_le_bytes(seed)
    }
}

/// Bytes of one stream that go at once over a path without a limit, and over one with a limit: there, packets of
/// the usual size, so that urgent bytes wait for no more than one of them.
const BURST: usize = 64 * 1024;
const PACKET: usize = 1200;

/// What a packet needs besides its payload.
const OVERHEAD: usize = 40;

/// How long a lost packet is missed, besides a round trip and a half (RFC 9002's ack delay).
const ACK_DELAY: Duration = Duration::from_millis(25);

/// What goes over a connection once it is set up.
#[derive(Clone, Debug)]
pub(super) enum Payload {
    /// Arrives for certain, if the connection lives.
    Frame(Frame),
    /// May be lost.
    Datagram(Bytes),
    Ping {
        sent: Instant,
    },
    Pong {
        sent: Instant,
    },
    Close(CloseCode, String),
}

#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// The dialling side has seen the other's key: the accepting side may hand the connection out.
    Established,
    Data {
        stream: StreamId,
        offset: u64,
        bytes: Bytes,
        end: bool,
    },
    Reset(StreamId),
    Stop(StreamId),
    /// The sender of this stream may go up to this offset.
    Credit(StreamId, u64),
    /// The other side may have opened this many streams.
    Streams(Direction, u64),
}

impl Payload {
    pub(super) fn kind(&self) -> Packet {
        match self {
            Self::Frame(frame) => frame.kind(),
            Self::Datagram(_) => Packet::Datagram,
            Self::Ping { .. } | Self::Pong { .. } => Packet::Ping,
            Self::Close(..) => Packet::Close,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Frame(Frame::Data { bytes, .. }) | Self::Datagram(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl Frame {
    fn kind(&self) -> Packet {
        match self {
            Self::Established => Packet::Handshake,
            Self::Data { .. } => Packet::Data,
            _ => Packet::Control,
        }
    }
}

/// The place of a stream in the row of those that have bytes to send: the most urgent first, then who waited longest.
pub(super) type Turn = (Reverse<Priority>, u64);

#[derive(Default)]
pub(super) struct Link {
    /// When the bytes that are on their way out have left; only ever later than now on a limited path.
    busy_until: Option<Instant>,
    /// When the last datagram in order arrives.
    last_arrival: Option<Instant>,
    waiting: BTreeSet<(Turn, HalfId, StreamId)>,
    pump_set: bool,
}

impl World {
    pub(super) fn conditions(&self, link: LinkId) -> &Conditions {
        self.special.get(&link).unwrap_or(&self.usual)
    }

    pub(super) fn cut(&self, link: LinkId) -> bool {
        self.cuts.between(link.0, link.1) || self.conditions(link).loss >= 1.0
    }

    pub(super) fn latency(&mut self, lane: Lane) -> Duration {
        let latency = self.conditions(lane.link).latency.clone();
        self.draw(lane, latency)
    }

    /// Whether a packet that is sent now gets through.
    pub(super) fn passes(&mut self, lane: Lane) -> bool {
        let loss = self.conditions(lane.link).loss;
        !self.cut(lane.link) && !self.chance(lane, loss)
    }

    /// After how long a lost packet is sent again.
    pub(super) fn resend_after(&self, link: LinkId) -> Duration {
        let most = |link| *self.conditions(link).latency.end();
        (most(link) + most((link.1, link.0))) * 3 / 2 + ACK_DELAY
    }

    /// Puts bytes on the path behind those that are on it, and says when they have left.
    fn occupy(&mut self, link: LinkId, bytes: usize) -> Instant {
        let takes = self.conditions(link).occupies(bytes + OVERHEAD);
        let now = self.now;
        let path = self.links.entry(link).or_default();
        let leaves = later(path.busy_until.map_or(now, |busy| busy.max(now)), takes);
        path.busy_until = Some(leaves);
        leaves
    }

    /// A stream may have bytes to send: it takes its place in the row.
    pub(super) fn line_up(&mut self, half: HalfId, stream: StreamId) {
        if let Some(link) = self.enqueue(half, stream) {
            self.pump(link);
        }
    }

    fn enqueue(&mut self, half: HalfId, stream: StreamId) -> Option<LinkId> {
        let link = self.link_of(half)?;
        let order = self.count();
        let send = self.halves.get_mut(&half)?.sends.get_mut(&stream)?;
        if send.turn.is_some() || !send.has_something_to_send() {
            return None;
        }
        let turn = (Reverse(send.priority), order);
        send.turn = Some(turn);
        self.links.entry(link).or_default().waiting.insert((turn, half, stream));
        Some(link)
    }

    /// A stream leaves the row.
    pub(super) fn step_out(&mut self, half: HalfId, stream: StreamId) {
        let Some(link) = self.link_of(half) else { return };
        if let Some(turn) = self.send_half(half, stream).and_then(|send| send.turn.take()) {
            self.links.entry(link).or_default().waiting.remove(&(turn, half, stream));
        }
    }

    pub(super) fn on_pump(&mut self, link: LinkId) {
        self.links.entry(link).or_default().pump_set = false;
        self.pump(link);
    }

    /// Sends what may be sent now, and comes back when the path is free again.
    fn pump(&mut self, link: LinkId) {
        loop {
            let now = self.now;
            let path = self.links.entry(link).or_default();
            if let Some(busy) = path.busy_until.filter(|busy| *busy > now) {
                if !path.waiting.is_empty() && !path.pump_set {
                    path.pump_set = true;
                    self.at(busy, Event::Pump(link));
                }
                return;
            }
            let Some((_, half, stream)) = path.waiting.pop_first() else { return };
            if let Some(send) = self.send_half(half, stream) {
                send.turn = None;
            }
            let most = if self.conditions(link).bandwidth.is_some() { PACKET } else { BURST };
            if let Some(frame) = self.next_data(half, stream, most) {
                self.send_frame(half, frame);
                self.enqueue(half, stream);
            }
        }
    }

    fn count_sent(&mut self, from: HalfId, bytes: usize) {
        if let Some(half) = self.halves.get_mut(&from) {
            half.traffic.sent += bytes as u64;
        }
    }

    /// Sends something that must arrive.
    pub(super) fn send_frame(&mut self, from: HalfId, frame: Frame) {
        let Some(link) = self.link_of(from) else { return };
        let payload = Payload::Frame(frame);
        self.count_sent(from, payload.len());
        let leaves = self.occupy(link, payload.len());
        let kind = payload.kind();
        let Payload::Frame(frame) = payload else { return };
        let lane = Lane::frame(link, from, &frame);
        if self.cut(link) {
            self.park(from, frame);
        } else if self.passes(lane) {
            let arrives = later(leaves, self.latency(lane));
            self.at(arrives, Event::Arrive { to: from.other(), payload: Payload::Frame(frame) });
        } else {
            self.trace_packet(link, What::Lost, kind);
            let again = later(leaves, self.resend_after(link));
            self.at(again, Event::Resend { from, frame });
        }
    }

    /// Keeps what found the path cut, and probes it, ever more rarely (RFC 9002, 6.2.1).
    pub(super) fn park(&mut self, from: HalfId, frame: Frame) {
        let Some(link) = self.link_of(from) else { return };
        self.trace_packet(link, What::Parked, frame.kind());
        let Some(half) = self.halves.get_mut(&from) else { return };
        half.parked.push(frame);
        if half.probes == 0 {
            half.probes = 1;
            self.after(self.resend_after(link), Event::Probe(from));
        }
    }

    pub(super) fn on_probe(&mut self, from: HalfId) {
        let Some(link) = self.link_of(from) else { return };
        let passes = self.passes(Lane::connection(link, from));
        let wait = self.resend_after(link);
        let Some(half) = self.halves.get_mut(&from) else { return };
        if passes {
            half.probes = 0;
            for frame in std::mem::take(&mut half.parked) {
                self.send_frame(from, frame);
            }
        } else {
            let wait = wait * (1 << half.probes.min(10));
            half.probes += 1;
            self.after(wait, Event::Probe(from));
        }
    }

    /// Sends something that may get lost.
    pub(super) fn send_once(&mut self, from: HalfId, payload: Payload) {
        let Some(link) = self.link_of(from) else { return };
        let conditions = self.conditions(link).clone();
        let backlog = self
            .links
            .get(&link)
            .and_then(|path| path.busy_until)
            .map_or(Duration::ZERO, |busy| busy.saturating_duration_since(self.now));
        let room = conditions.occupies(usize::try_from(conditions.queue).unwrap_or(usize::MAX));
        if conditions.bandwidth.is_some() && backlog > room {
            self.trace(link.0, link.1, What::Dropped);
            return;
        }
        self.count_sent(from, payload.len());
        let leaves = self.occupy(link, payload.len());
        let (to, lane) = (from.other(), Lane::connection(link, from));
        if !self.passes(lane) {
            self.trace_packet(link, What::Lost, payload.kind());
            return;
        }
        let mut arrives = later(leaves, self.latency(lane));
        if self.chance(lane, conditions.reorder) {
            let most = (*conditions.latency.end()).max(Duration::from_millis(5)) * 2;
            arrives = later(arrives, self.draw(lane, Duration::ZERO..=most));
        } else {
            let path = self.links.entry(link).or_default();
            arrives = path.last_arrival.map_or(arrives, |last| last.max(arrives));
            path.last_arrival = Some(arrives);
        }
        if self.chance(lane, conditions.duplicate) {
            self.trace(link.0, link.1, What::Repeated);
            let again = later(arrives, self.latency(lane));
            self.at(again, Event::Arrive { to, payload: payload.clone() });
        }
        self.at(arrives, Event::Arrive { to, payload });
    }

    /// Tells the other side that the connection is over; two more times if that gets lost, as QUIC answers
    /// whatever still comes with its goodbye. Into a cut path it is said in vain.
    pub(super) fn say_goodbye(&mut self, from: LinkId, to: HalfId, payload: Payload, tries: u8) {
        let lane = Lane::goodbye(from);
        if self.passes(lane) {
            let latency = self.latency(lane);
            self.after(latency, Event::Arrive { to, payload });
            return;
        }
        self.trace_packet(from, What::Lost, Packet::Close);
        if tries > 0 && !self.cut(from) {
            let wait = self.resend_after(from);
            self.after(wait, Event::Goodbye { from, to, payload, tries: tries - 1 });
        }
    }
}
