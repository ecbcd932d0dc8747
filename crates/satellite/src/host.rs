//! The host's end: what a satellite says becomes events, and what the pool wants becomes requests.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tutti_model::{BootTime, Text, WallTime};

use crate::sure::{Arrived, Sure};
use crate::wire::{About, Body, Denied, Envelope, Level, MAX_FRAME, Measure, Resource, VERSION};
use crate::{ALIVE, SILENCE};

/// How long a satellite has for an answer.
pub const ANSWER: Duration = Duration::from_secs(5);
/// The most requests of one satellite under way.
pub const MAX_REQUESTS: usize = 32;
/// The most satellites behind one, and the most behind each other.
pub const MAX_CHILDREN: usize = 8;
/// See [`MAX_CHILDREN`].
pub const MAX_DEPTH: usize = 4;
/// The most events that wait to be fetched; then the oldest readings and log lines go.
pub const MAX_EVENTS: usize = 256;

/// What happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// It is there, and this is what it has.
    Joined(About, Vec<Resource>),
    /// It is gone: silent for too long, or starting anew.
    Lost,
    /// A reading of a resource, by its place in the list, taken at this time of the satellite's own clock.
    Reading {
        /// Which resource.
        resource: usize,
        /// What was read.
        measure: Measure,
        /// How long the satellite had run.
        uptime: Duration,
    },
    /// The answer to a request.
    Answered(Request, Result<Option<Measure>, Denied>),
    /// A line of its log; what it says was written by the satellite.
    Log(Level, Text<63>, u16),
    /// Something of a satellite behind it.
    Behind(u8, Box<Event>),
}

/// Which request an answer is to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Request(pub u16);

/// Why a request was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestError {
    /// The satellite is not there.
    NotJoined,
    /// It has no such resource, or not for this.
    NoSuchResource,
    /// Too many are under way.
    Full,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJoined => f.write_str("the satellite is not there; see its link"),
            Self::NoSuchResource => f.write_str("the satellite has no such resource, or not for this"),
            Self::Full => write!(f, "{MAX_REQUESTS} requests wait for this satellite already; try again later"),
        }
    }
}

impl core::error::Error for RequestError {}

struct Session {
    number: u32,
    sure: Sure,
    heard: BootTime,
    alive: BootTime,
    about: About,
    expected: u8,
    resources: Vec<Resource>,
    joined: bool,
}

/// The host's end of the link with one satellite, and with those behind it.
#[derive(Default)]
pub struct SatelliteHost {
    session: Option<Session>,
    depth: usize,
    requests: BTreeMap<Request, BootTime>,
    next_request: u16,
    queue: VecDeque<Body<'static>>,
    events: VecDeque<Event>,
    children: BTreeMap<u8, SatelliteHost>,
    /// A frame came of a session that is not known; and of such a one behind this satellite.
    unknown: Option<u32>,
    strangers: BTreeMap<u8, u32>,
}

impl SatelliteHost {
    /// Waits for a satellite.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the satellite says of itself and has, if it is there.
    #[must_use]
    pub fn joined(&self) -> Option<(&About, &[Resource])> {
        self.session.as_ref().filter(|it| it.joined).map(|it| (&it.about, it.resources.as_slice()))
    }

    /// The satellite behind this one.
    pub fn behind(&mut self, child: u8) -> Option<&mut Self> {
        self.children.get_mut(&child)
    }

    /// Takes a frame.
    pub fn handle(&mut self, now: BootTime, frame: &[u8]) {
        let Some(envelope) = Envelope::parse(frame) else { return };
        if let Body::Hello { lowest, highest, resources, about } = envelope.body {
            self.hello(now, &envelope, (lowest, highest), resources, about);
            return;
        }
        let Some(session) = self.session.as_mut().filter(|it| it.number == envelope.session) else {
            self.unknown = Some(envelope.session);
            return;
        };
        session.heard = now;
        if session.sure.arrived(&envelope) == Arrived::Pass {
            return;
        }
        session.sure.took(envelope.seq);
        match envelope.body {
            Body::Resource(resource) if !session.joined => {
                session.resources.push(resource);
                self.maybe_joined();
            }
            Body::Reading { resource, measure, uptime_millis }
                if session.joined && session.resources.get(usize::from(resource)).is_some_and(|it| it.readable) =>
            {
                let (resource, uptime) = (usize::from(resource), Duration::from_millis(uptime_millis));
                self.event(Event::Reading { resource, measure, uptime });
            }
            // To a request that is not under way (any more) there is no answer.
            Body::Answer { request, outcome } if self.requests.remove(&Request(request)).is_some() => {
                self.event(Event::Answered(Request(request), outcome));
            }
            Body::Log { level, lost, text } => self.event(Event::Log(level, text, lost)),
            Body::Relay { child, frame } if session.joined => self.relayed(now, child, frame),
            _ => {}
        }
    }

    /// Asks for a reading.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn read(&mut self, now: BootTime, resource: usize) -> Result<Request, RequestError> {
        self.check(resource, |it| it.readable)?;
        self.request(now, |request| Body::Read { request, resource: resource as u8 })
    }

    /// Asks for a resource to be set.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn set(&mut self, now: BootTime, resource: usize, measure: Measure) -> Result<Request, RequestError> {
        self.check(resource, |it| it.writable)?;
        self.request(now, |request| Body::Set { request, resource: resource as u8, measure })
    }

    /// Asks for readings every so often; `None` for no more.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn subscribe(&mut self, resource: usize, every: Option<Duration>) -> Result<(), RequestError> {
        self.check(resource, |it| it.readable)?;
        if self.queue.len() >= 2 * MAX_REQUESTS {
            return Err(RequestError::Full);
        }
        let millis = every.map_or(0, |every| u32::try_from(every.as_millis()).unwrap_or(u32::MAX).max(1));
        self.queue.push_back(Body::Subscribe { resource: resource as u8, every_millis: millis });
        Ok(())
    }

    /// The next frame to send; `None` if there is nothing to be said now.
    pub fn poll_transmit(&mut self, now: BootTime, wall: WallTime) -> Option<Vec<u8>> {
        self.tick(now);
        if let Some(number) = self.unknown.take() {
            return emit(&Envelope { session: number, seq: 0, ack: 0, body: Body::Unknown });
        }
        let session = self.session.as_mut()?;
        if session.sure.is_free()
            && let Some(body) = self.queue.pop_front()
        {
            let body = match body {
                Body::Welcome { version, .. } => Body::Welcome { version, wall_millis: wall.as_unix_millis() },
                other => other,
            };
            session.sure.send(now, body);
        }
        let (seq, body) = match session.sure.poll(now) {
            Some(sure) => sure,
            None if session.alive <= now => {
                session.alive = now + ALIVE;
                (0, Body::HostAlive { wall_millis: wall.as_unix_millis() })
            }
            None => return self.poll_children(now, wall),
        };
        emit(&Envelope { session: session.number, seq, ack: session.sure.ack(), body })
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.events.pop_front() {
            return Some(event);
        }
        self.children.iter_mut().find_map(|(child, host)| Some(Event::Behind(*child, Box::new(host.poll_event()?))))
    }

    /// When [`poll_transmit`](Self::poll_transmit) is to be called at the latest.
    #[must_use]
    pub fn poll_timeout(&self, now: BootTime) -> Option<BootTime> {
        if self.unknown.is_some() {
            return Some(now);
        }
        let session = self.session.as_ref()?;
        let ready = session.sure.is_free() && !self.queue.is_empty();
        let queued = (ready || !self.strangers.is_empty()).then_some(now);
        let own = [Some(session.heard + SILENCE), Some(session.alive), session.sure.timeout(now), queued];
        let answers = self.requests.values().copied();
        let behind = self.children.values().filter_map(|child| child.poll_timeout(now));
        own.into_iter().flatten().chain(answers).chain(behind).min()
    }

    fn hello(
        &mut self,
        now: BootTime,
        envelope: &Envelope<'_>,
        (lowest, highest): (u8, u8),
        resources: u8,
        about: About,
    ) {
        if let Some(session) = self.session.as_mut().filter(|it| it.number == envelope.session) {
            // Said again: the welcome is on its way.
            session.heard = now;
            if session.sure.arrived(envelope) == Arrived::Fresh {
                session.sure.took(envelope.seq);
            }
            return;
        }
        if !(lowest..=highest).contains(&VERSION) || envelope.seq != 1 {
            return;
        }
        self.lose();
        let mut sure = Sure::default();
        sure.took(envelope.seq);
        self.unknown = None;
        self.session = Some(Session {
            number: envelope.session,
            sure,
            heard: now,
            alive: now + ALIVE,
            about,
            expected: resources,
            resources: Vec::new(),
            joined: false,
        });
        self.queue.push_back(Body::Welcome { version: VERSION, wall_millis: 0 });
        self.maybe_joined();
    }

    fn maybe_joined(&mut self) {
        if let Some(session) = self.session.as_mut().filter(|it| it.resources.len() >= usize::from(it.expected)) {
            session.joined = true;
            let event = Event::Joined(session.about, session.resources.clone());
            self.event(event);
        }
    }

    /// The satellite is gone, and those behind it; what was under way is answered.
    fn lose(&mut self) {
        let Some(session) = self.session.take() else { return };
        self.queue.clear();
        self.strangers.clear();
        for (request, _) in core::mem::take(&mut self.requests) {
            self.event(Event::Answered(request, Err(Denied::Lost)));
        }
        for (child, mut host) in core::mem::take(&mut self.children) {
            host.lose();
            while let Some(event) = host.poll_event() {
                self.event(Event::Behind(child, Box::new(event)));
            }
        }
        if session.joined {
            self.event(Event::Lost);
        }
    }

    fn tick(&mut self, now: BootTime) {
        if self.session.as_ref().is_some_and(|session| now.since(session.heard) >= SILENCE) {
            self.lose();
        }
        let late: Vec<Request> =
            self.requests.iter().filter(|(_, until)| **until <= now).map(|(request, _)| *request).collect();
        for request in late {
            self.requests.remove(&request);
            self.event(Event::Answered(request, Err(Denied::TimedOut)));
        }
    }

    fn check(&self, resource: usize, able: impl Fn(&Resource) -> bool) -> Result<(), RequestError> {
        let (_, resources) = self.joined().ok_or(RequestError::NotJoined)?;
        resources.get(resource).filter(|it| able(it)).map(|_| ()).ok_or(RequestError::NoSuchResource)
    }

    fn request(&mut self, now: BootTime, body: impl FnOnce(u16) -> Body<'static>) -> Result<Request, RequestError> {
        if self.requests.len() >= MAX_REQUESTS || self.queue.len() >= 2 * MAX_REQUESTS {
            return Err(RequestError::Full);
        }
        self.next_request = self.next_request.wrapping_add(1);
        let request = Request(self.next_request);
        self.requests.insert(request, now + ANSWER);
        self.queue.push_back(body(request.0));
        Ok(request)
    }

    fn relayed(&mut self, now: BootTime, child: u8, frame: &[u8]) {
        let room = self.children.len() < MAX_CHILDREN && self.depth + 1 < MAX_DEPTH;
        let depth = self.depth + 1;
        // Only a hello makes a place for a satellite.
        let hello = Envelope::parse(frame).is_some_and(|it| matches!(it.body, Body::Hello { .. }));
        if room && hello {
            self.children.entry(child).or_insert_with(|| Self { depth, ..Self::default() });
        }
        if let Some(host) = self.children.get_mut(&child) {
            host.handle(now, frame);
        } else if let Some(envelope) = Envelope::parse(frame).filter(|_| self.strangers.len() < MAX_CHILDREN) {
            self.strangers.insert(child, envelope.session);
        }
    }

    fn poll_children(&mut self, now: BootTime, wall: WallTime) -> Option<Vec<u8>> {
        let session = self.session.as_mut()?;
        if let Some((child, number)) = self.strangers.pop_first() {
            let frame = emit(&Envelope { session: number, seq: 0, ack: 0, body: Body::Unknown })?;
            let body = Body::Relay { child, frame: &frame };
            return emit(&Envelope { session: session.number, seq: 0, ack: session.sure.ack(), body });
        }
        for (child, host) in &mut self.children {
            if let Some(frame) = host.poll_transmit(now, wall) {
                let body = Body::Relay { child: *child, frame: &frame };
                return emit(&Envelope { session: session.number, seq: 0, ack: session.sure.ack(), body });
            }
        }
        None
    }

    fn event(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            // What can be had again goes first; what cannot is never more than a few a session.
            let passing = |event: &Event| matches!(event, Event::Reading { .. } | Event::Log(..));
            let at = self.events.iter().position(passing).unwrap_or(0);
            self.events.remove(at);
        }
        self.events.push_back(event);
    }
}

fn emit(envelope: &Envelope<'_>) -> Option<Vec<u8>> {
    let mut bytes = [0; MAX_FRAME];
    envelope.emit(&mut bytes).and_then(|len| bytes.get(..len)).map(Vec::from)
}
