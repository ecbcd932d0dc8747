//! The small end: no heap, and every buffer has a size that is known when it is compiled.

use core::time::Duration;

use tutti_model::{BootTime, Text, WallTime};

use crate::sure::{Arrived, Sure};
use crate::wire::{About, Body, Denied, Envelope, Level, Measure, Resource, VERSION};
use crate::{ALIVE, HELLO, SILENCE};

/// What the host wants, or sends on.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Input<'a> {
    /// Read this resource, and [`answer`](Satellite::answer).
    Read {
        /// To be given back with the answer.
        request: u16,
        /// Its place in the list.
        resource: usize,
    },
    /// Set this resource, and [`answer`](Satellite::answer).
    Set {
        /// To be given back with the answer.
        request: u16,
        /// Its place in the list.
        resource: usize,
        /// To what.
        measure: Measure,
    },
    /// A frame for a satellite behind this one: put it on that one's link as it is.
    Relayed {
        /// Which.
        child: u8,
        /// The frame.
        frame: &'a [u8],
    },
}

/// How a satellite stands with its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Says hello until there is a welcome.
    Alone,
    /// Welcome; so many resources were described.
    Describing(u8),
    /// All are.
    Joined,
}

/// What became of a request.
type Outcome = Result<Option<Measure>, Denied>;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    every: Option<Duration>,
    due: BootTime,
    reading: Option<(Measure, BootTime)>,
}

/// A satellite with up to `RESOURCES` resources.
///
/// Drive it so: give it each frame that arrives ([`handle`](Self::handle)); measure what is [`due`](Self::due); send what
/// [`poll_transmit`](Self::poll_transmit) gives until it gives nothing; sleep until [`poll_timeout`](Self::poll_timeout), a
/// frame, or something of your own.
#[derive(Clone, Debug)]
pub struct Satellite<'r, const RESOURCES: usize> {
    about: About,
    resources: &'r [Resource],
    session: u32,
    state: State,
    sure: Sure,
    heard: BootTime,
    hello: BootTime,
    alive: BootTime,
    /// The host's calendar, less the time since start, in milliseconds.
    wall: Option<u64>,
    slots: [Slot; RESOURCES],
    answers: [Option<(u16, Outcome)>; 4],
    /// Requests that were given out and are not answered: there are as many slots for answers.
    asked: u8,
    log: Option<(Level, Text<63>)>,
    lost_log: u16,
}

impl<'r, const RESOURCES: usize> Satellite<'r, RESOURCES> {
    /// A satellite with these resources (those beyond `RESOURCES`, or 255, are left out). `session` is to be another
    /// number at each start: a counter in memory that keeps its contents, or a random number.
    #[must_use]
    pub fn new(about: About, resources: &'r [Resource], session: u32) -> Self {
        let most = resources.len().min(RESOURCES).min(255);
        Self {
            about,
            resources: resources.get(..most).unwrap_or(resources),
            session,
            state: State::Alone,
            sure: Sure::default(),
            heard: BootTime::ZERO,
            hello: BootTime::ZERO,
            alive: BootTime::ZERO,
            wall: None,
            slots: [Slot::default(); RESOURCES],
            answers: [None; 4],
            asked: 0,
            log: None,
            lost_log: 0,
        }
    }

    /// Whether a host knows it.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// The time of the host's calendar, once it has said it.
    #[must_use]
    pub fn wall_time(&self, now: BootTime) -> Option<WallTime> {
        self.wall.map(|wall| WallTime::from_unix_millis(wall.wrapping_add(millis(now))))
    }

    /// Takes a frame.
    pub fn handle<'a>(&mut self, now: BootTime, frame: &'a [u8]) -> Option<Input<'a>> {
        let envelope = Envelope::parse_spoken(frame)?;
        if envelope.session != self.session {
            return None;
        }
        if envelope.body == Body::Unknown {
            self.begin(now);
            return None;
        }
        let arrived = self.sure.arrived(&envelope);
        if self.state == State::Alone && self.sure.is_free() && self.sure.has_sent() {
            // The hello has arrived; the welcome is on its way.
            self.hello = now + SILENCE;
        }
        // Without room for the answer, a request is left untaken: the host says it again.
        let request = matches!(envelope.body, Body::Read { .. } | Body::Set { .. });
        if arrived == Arrived::Pass || (request && usize::from(self.asked) >= self.answers.len()) {
            self.heard = now;
            return None;
        }
        let (welcome, joined) = (matches!(envelope.body, Body::Welcome { .. }), self.state != State::Alone);
        // The welcome comes first and once; before it nothing counts.
        if welcome == joined {
            return None;
        }
        self.heard = now;
        self.sure.took(envelope.seq);
        match envelope.body {
            Body::Welcome { wall_millis, .. } => {
                self.wall = Some(wall_millis.wrapping_sub(millis(now)));
                self.state = State::Describing(0);
                self.describe(now);
            }
            Body::HostAlive { wall_millis } => self.wall = Some(wall_millis.wrapping_sub(millis(now))),
            Body::Subscribe { resource, every_millis } => {
                if let Some(slot) = self.slots.get_mut(usize::from(resource)) {
                    slot.every = (every_millis > 0).then(|| Duration::from_millis(u64::from(every_millis)));
                    slot.due = now;
                }
            }
            Body::Read { request, resource } => return self.ask(request, resource, None),
            Body::Set { request, resource, measure } => return self.ask(request, resource, Some(measure)),
            Body::Relay { child, frame } => return Some(Input::Relayed { child, frame }),
            _ => {}
        }
        None
    }

    /// A resource whose reading is due; give it to [`reading`](Self::reading).
    pub fn due(&mut self, now: BootTime) -> Option<usize> {
        if self.state != State::Joined {
            return None;
        }
        let at = self.slots.iter().position(|slot| slot.every.is_some() && slot.due <= now)?;
        let slot = self.slots.get_mut(at)?;
        slot.due = now + slot.every?;
        Some(at)
    }

    /// A reading, to be sent if there is a host; a newer one takes its place.
    pub fn reading(&mut self, now: BootTime, resource: usize, measure: Measure) {
        if let Some(slot) = self.slots.get_mut(resource) {
            slot.reading = Some((measure, now));
        }
    }

    /// The answer to a request: what was read, `None` for what was set, or why not.
    pub fn answer(&mut self, request: u16, outcome: Result<Option<Measure>, Denied>) {
        if let Some(slot) = self.answers.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some((request, outcome));
        }
    }

    /// A line for the log; cut off if it is long, and if the last one has not left yet, lost and counted.
    pub fn log(&mut self, level: Level, text: &str) {
        if self.log.is_some() {
            self.lost_log = self.lost_log.saturating_add(1);
        } else {
            self.log = Some((level, Text::lossy(text)));
        }
    }

    /// Wraps a frame of a satellite behind this one, for the host; `None` if there is no host, or it is too long. What is lost
    /// on the way, that satellite sends again.
    pub fn relay(&mut self, child: u8, frame: &[u8], to: &mut [u8]) -> Option<usize> {
        if self.state != State::Joined {
            return None;
        }
        let envelope =
            Envelope { session: self.session, seq: 0, ack: self.sure.ack(), body: Body::Relay { child, frame } };
        envelope.emit(to)
    }

    /// The next frame to send, at the front of `to`, which has 512 bytes; `None` if there is nothing to be said now.
    pub fn poll_transmit(&mut self, now: BootTime, to: &mut [u8]) -> Option<usize> {
        if self.state != State::Alone && now.since(self.heard) >= SILENCE {
            self.begin(now);
        }
        let (seq, body) = self.next(now)?;
        Envelope { session: self.session, seq, ack: self.sure.ack(), body }.emit(to)
    }

    /// When [`poll_transmit`](Self::poll_transmit) or [`due`](Self::due) may have something at the latest.
    #[must_use]
    pub fn poll_timeout(&self, now: BootTime) -> BootTime {
        if self.state == State::Alone {
            return self.hello.max(now);
        }
        let readings = self.slots.iter().any(|slot| slot.reading.is_some());
        let more = matches!(self.state, State::Describing(_)) || self.answers.iter().any(Option::is_some);
        let waiting = self.sure.is_free() && more;
        if (self.state == State::Joined && (readings || self.log.is_some())) || waiting {
            return now;
        }
        let due = self.slots.iter().filter(|slot| slot.every.is_some()).map(|slot| slot.due).min();
        let due = due.filter(|_| self.state == State::Joined);
        let ends = [Some(self.heard + SILENCE), Some(self.alive), due, self.sure.timeout(now)];
        ends.into_iter().flatten().min().unwrap_or(now).max(now)
    }

    /// Starts over, in a new session: what the old one had under way is void.
    fn begin(&mut self, now: BootTime) {
        self.session = self.session.wrapping_add(1);
        self.state = State::Alone;
        self.sure = Sure::default();
        self.hello = now;
        self.answers = [None; 4];
        self.asked = 0;
        for slot in &mut self.slots {
            *slot = Slot::default();
        }
    }

    fn describe(&mut self, now: BootTime) {
        let State::Describing(at) = self.state else { return };
        if !self.sure.is_free() {
            return;
        }
        match self.resources.get(usize::from(at)) {
            Some(resource) => {
                self.sure.send(now, Body::Resource(*resource));
                self.state = State::Describing(at + 1);
            }
            None => self.state = State::Joined,
        }
    }

    fn ask<'a>(&mut self, request: u16, resource: u8, measure: Option<Measure>) -> Option<Input<'a>> {
        self.asked += 1;
        let resource = usize::from(resource);
        let able =
            self.resources.get(resource).is_some_and(|it| if measure.is_some() { it.writable } else { it.readable });
        match measure {
            _ if !able => {
                self.answer(request, Err(Denied::NoSuchResource));
                None
            }
            Some(measure) => Some(Input::Set { request, resource, measure }),
            None => Some(Input::Read { request, resource }),
        }
    }

    fn next(&mut self, now: BootTime) -> Option<(u16, Body<'static>)> {
        if self.state == State::Alone {
            if now < self.hello {
                return None;
            }
            if self.sure.is_free() && self.sure.has_sent() {
                // Acknowledged long ago, and no welcome: the host is gone.
                self.begin(now);
            }
            if self.sure.is_free() {
                let resources = self.resources.len() as u8;
                self.sure.send(now, Body::Hello { lowest: VERSION, highest: VERSION, resources, about: self.about });
            }
            let hello = self.sure.poll(now);
            self.hello = if hello.is_some() { now + HELLO } else { self.sure.timeout(now).unwrap_or(now + HELLO) };
            return hello;
        }
        self.describe(now);
        if self.sure.is_free()
            && let Some(slot) = self.answers.iter_mut().find(|slot| slot.is_some())
            && let Some((request, outcome)) = slot.take()
        {
            self.asked = self.asked.saturating_sub(1);
            self.sure.send(now, Body::Answer { request, outcome });
        }
        if let Some(sure) = self.sure.poll(now) {
            return Some(sure);
        }
        if self.state == State::Joined {
            for (at, slot) in self.slots.iter_mut().enumerate() {
                if let Some((measure, taken)) = slot.reading.take() {
                    self.alive = now + ALIVE;
                    return Some((0, Body::Reading { resource: at as u8, measure, uptime_millis: millis(taken) }));
                }
            }
            if let Some((level, text)) = self.log.take() {
                return Some((0, Body::Log { level, lost: core::mem::take(&mut self.lost_log), text }));
            }
        }
        if self.alive <= now {
            self.alive = now + ALIVE;
            return Some((0, Body::Alive { uptime_millis: millis(now) }));
        }
        None
    }
}

fn millis(time: BootTime) -> u64 {
    time.as_nanos() / 1_000_000
}
