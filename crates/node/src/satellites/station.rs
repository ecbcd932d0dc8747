//! One link with a satellite and those behind it, without I/O.
//!
//! Whoever drives it gives it each frame that came ([`Station::frame`]) and each request ([`Station::ask`]), sends what
//! [`Station::transmit`] gives until it gives nothing, and comes back at [`Station::timeout`] at the latest.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use tutti_fabric::clock::Clock;
use tutti_model::{BootTime, Name, Text, message::Refusal};
use tutti_pool::{Identity, Satellite};
use tutti_satellite::{About, Event, Level, Measure, Request, Resource, SatelliteHost};

use super::{
    Pace, Satellites,
    joined::{Joined, denied, not_asked},
};

/// How often a value that somebody looks at is asked for.
const EVERY: Duration = Duration::from_millis(500);
/// How often it is seen whether somebody still looks.
const LOOK: Duration = Duration::from_secs(1);
/// How many requests wait for the driver of a link.
const ASKS: usize = 64;
/// How many lines of a link's log are kept.
const LINES: usize = 256;

/// Who waits for an answer.
type Asker = oneshot::Sender<Result<Option<Measure>, Refusal>>;

/// What somebody wants of a satellite.
pub(crate) struct Ask {
    pub(super) path: Vec<u8>,
    pub(super) what: What,
    pub(super) reply: Asker,
}

pub(super) enum What {
    Read(usize),
    Set(usize, Measure),
    /// Somebody began to follow a value.
    Look,
}

/// Makes the driver of a link look for requests, if it does not wait for them anyhow.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// What sort of device is expected at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A microcontroller with a line of its own.
    Microcontroller,
    /// Another core.
    Core,
}

/// Who is where behind the link, as the link's own driver knows it.
struct Member {
    joined: Arc<Joined>,
    readable: Vec<bool>,
    shown: bool,
}

/// One link.
pub(crate) struct Station {
    link: Arc<str>,
    /// What to call the satellite at its end.
    called: Option<Name>,
    kind: Kind,
    satellites: Satellites,
    clock: Arc<dyn Clock>,
    host: SatelliteHost,
    pace: Pace,
    asks: mpsc::Sender<Ask>,
    wake: Wake,
    members: BTreeMap<Vec<u8>, Member>,
    /// Requests under way; those for a reading with the resource.
    waiting: BTreeMap<(Vec<u8>, Request), (Option<usize>, Asker)>,
    followed: BTreeSet<(Vec<u8>, usize)>,
    look_at: BootTime,
    log: VecDeque<String>,
}

impl Station {
    /// A link of this name, and where requests for it will come.
    pub(crate) fn new(
        link: Arc<str>,
        called: Option<Name>,
        kind: Kind,
        pace: Pace,
        satellites: Satellites,
        clock: Arc<dyn Clock>,
        wake: Wake,
    ) -> (Self, mpsc::Receiver<Ask>) {
        let (asks, receiver) = mpsc::channel(ASKS);
        let station = Self {
            link,
            called,
            kind,
            satellites,
            clock,
            host: SatelliteHost::new(),
            pace,
            asks,
            wake,
            members: BTreeMap::new(),
            waiting: BTreeMap::new(),
            followed: BTreeSet::new(),
            look_at: BootTime::ZERO,
            log: VecDeque::new(),
        };
        (station, receiver)
    }

    /// Takes a frame.
    pub(crate) fn frame(&mut self, frame: &[u8]) {
        self.host.handle(self.clock.now(), frame);
        self.settle();
    }

    /// Takes a request.
    pub(crate) fn ask(&mut self, Ask { path, what, reply }: Ask) {
        let now = self.clock.now();
        let host = at(&mut self.host, &path);
        let (asked, read) = match (host, what) {
            (_, What::Look) => {
                self.look_at = now;
                return self.settle();
            }
            // Whoever gave up waiting needs no answer.
            (None, _) => {
                let _ = reply.send(Err(Refusal::NoSuchResource));
                return;
            }
            (Some(host), What::Read(resource)) => (host.read(now, resource), Some(resource)),
            (Some(host), What::Set(resource, measure)) => (host.set(now, resource, measure), None),
        };
        match asked {
            Ok(request) => {
                self.waiting.insert((path, request), (read, reply));
            }
            Err(why) => {
                let _ = reply.send(Err(not_asked(why)));
            }
        }
    }

    /// The next frame to send.
    pub(crate) fn transmit(&mut self) -> Option<Vec<u8>> {
        let frame = self.host.poll_transmit(self.clock.now(), self.clock.wall());
        self.settle();
        frame
    }

    /// When to come back at the latest.
    pub(crate) fn timeout(&self) -> Option<BootTime> {
        let hidden = self.members.values().any(|member| !member.shown).then(|| self.pace.until());
        let look = (!self.members.is_empty()).then_some(self.look_at);
        [self.host.poll_timeout(self.clock.now()), hidden, look].into_iter().flatten().min()
    }

    /// The lines of the satellites' logs since the last time, oldest first.
    pub(crate) fn take_log(&mut self) -> impl Iterator<Item = String> {
        std::mem::take(&mut self.log).into_iter()
    }

    /// The link is closed: nobody is there any more. The pace is for the next station on the same link.
    pub(crate) fn close(mut self) -> Pace {
        self.lose(&[]);
        self.pace
    }

    /// Follows what happened, shows who may be shown, asks for the values that somebody looks at.
    fn settle(&mut self) {
        let now = self.clock.now();
        while let Some(event) = self.host.poll_event() {
            self.take(Vec::new(), event);
        }
        self.show(now);
        if self.look_at <= now {
            self.look_at = now + LOOK;
            self.look();
        }
    }

    fn take(&mut self, mut path: Vec<u8>, event: Event) {
        match event {
            Event::Behind(child, event) => {
                path.push(child);
                self.take(path, *event);
            }
            Event::Joined(about, resources) => self.join(path, &about, &resources),
            Event::Lost => self.lose(&path),
            Event::Reading { resource, measure, .. } => self.keep(&path, resource, measure),
            Event::Answered(request, outcome) => {
                if let Some((read, reply)) = self.waiting.remove(&(path.clone(), request)) {
                    if let (Some(resource), Ok(Some(measure))) = (read, outcome) {
                        self.keep(&path, resource, measure);
                    }
                    let _ = reply.send(outcome.map_err(denied));
                }
            }
            Event::Log(level, text, lost) => self.note(&path, level, &text, lost),
        }
    }

    fn join(&mut self, path: Vec<u8>, about: &About, resources: &[Resource]) {
        // Of two resources with one name the first counts; the places in the satellite's list stay as they are, since
        // those after a repeated one are known by them.
        let mut names = BTreeSet::new();
        let unique: Vec<&Resource> = resources.iter().take_while(|resource| names.insert(resource.name)).collect();
        if unique.len() < resources.len() {
            self.note(&path, Level::Warn, &Text::lossy("two resources have one name: those behind are left out"), 0);
        }
        let identity = Identity {
            name: self.called.filter(|_| path.is_empty()).unwrap_or(about.name),
            kind: Text::lossy(match self.kind {
                Kind::Microcontroller => "microcontroller",
                Kind::Core => "core",
            }),
            architecture: about.architecture,
            os: Text::lossy(about.os.as_str()),
            profile: Text::lossy("satellite"),
            software: about.firmware,
            capacity: None,
        };
        let satellite = Satellite {
            device: self.satellites.id(&self.link, &path),
            identity,
            resources: unique.iter().map(|resource| resource.description()).collect(),
        };
        let joined =
            Arc::new(Joined::new(satellite, path.clone(), self.asks.clone(), self.clock.clone(), self.wake.clone()));
        let readable = unique.iter().map(|resource| resource.readable).collect();
        self.members.insert(path, Member { joined, readable, shown: false });
    }

    fn show(&mut self, now: BootTime) {
        for (path, member) in self.members.iter_mut().filter(|(_, member)| !member.shown) {
            if !self.pace.allows(now) {
                return;
            }
            member.shown = true;
            if self.satellites.add(self.link.clone(), path.clone(), member.joined.clone()) {
                self.pace.shown(now);
                let satellite = &member.joined.satellite;
                tracing::info!(link = %self.link, name = %satellite.identity.name, id = %satellite.device, "a satellite joined");
            } else {
                tracing::warn!(link = %self.link, "a satellite is left out: there are {} already", super::MOST);
            }
        }
    }

    /// Who is at this place is gone, and whoever is behind it.
    fn lose(&mut self, path: &[u8]) {
        let gone: Vec<Vec<u8>> = self.members.keys().filter(|at| at.starts_with(path)).cloned().collect();
        let mut shown = false;
        for at in gone {
            shown |= self.members.remove(&at).is_some_and(|member| member.shown);
        }
        self.followed.retain(|(at, _)| !at.starts_with(path));
        if shown {
            self.satellites.remove(&self.link, path);
            self.pace.lost(self.clock.now());
            tracing::info!(link = %self.link, "a satellite is gone");
        }
    }

    fn keep(&self, path: &[u8], resource: usize, measure: Measure) {
        if let Some(member) = self.members.get(path) {
            member.joined.keep(resource, measure);
        }
    }

    /// Asks for the values that somebody looks at, and for no others.
    fn look(&mut self) {
        for (path, member) in &self.members {
            let Some(host) = at(&mut self.host, path) else { continue };
            for resource in (0..member.readable.len()).filter(|at| member.readable.get(*at) == Some(&true)) {
                let key = (path.clone(), resource);
                let (wanted, is) = (member.joined.is_looked_at(resource), self.followed.contains(&key));
                if wanted && !is && host.subscribe(resource, Some(EVERY)).is_ok() {
                    self.followed.insert(key);
                } else if !wanted && is && host.subscribe(resource, None).is_ok() {
                    self.followed.remove(&key);
                }
            }
        }
    }

    fn note(&mut self, path: &[u8], level: Level, text: &Text<63>, lost: u16) {
        if self.log.len() >= LINES {
            self.log.pop_front();
        }
        let who = self
            .members
            .get(path)
            .map_or_else(|| self.link.to_string(), |member| member.joined.satellite.identity.name.to_string());
        let missing = if lost > 0 { format!(" ({lost} lines before it were lost)") } else { String::new() };
        let line = format!("{who}: {level:?}: {}{missing}", harmless(text.as_str()));
        tracing::debug!(link = %self.link, "{line}");
        self.log.push_back(line);
    }
}

/// What a satellite wrote, without what a terminal would take for more than text.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

/// The host's end of the satellite at this place.
fn at<'h>(host: &'h mut SatelliteHost, path: &[u8]) -> Option<&'h mut SatelliteHost> {
    path.iter().try_fold(host, |host, child| host.behind(*child))
}
