//! The state of the whole network and its queue of events, in one place behind one lock.
//!
//! Everything that happens is an [`Event`] at an instant of virtual time. Whoever enters the world first lets all
//! due events happen, in the order of their time and then of their making, each seeing its own time as `now`; so a
//! run does not depend on which task came first to notice that time has passed.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Waker},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tutti_model::DeviceId;

use super::{
    conditions::{Conditions, Cuts},
    connection::{Half, HalfId},
    dial::{Dial, DialEvent, DialId},
    link::{Frame, Lane, Link, LinkId, Payload},
    trace::{Packet, Trace, What},
};
use crate::transport::Closed;

/// Gets every event as it happens.
pub(super) type Tracer = Box<dyn FnMut(&Trace) + Send>;

/// The world behind its lock, and the bell that tells the driver of a nearer event.
pub(super) struct Shared {
    world: Mutex<World>,
    bell: Arc<Notify>,
}

impl Shared {
    pub(super) fn new(seed: u64) -> Arc<Self> {
        let bell = Arc::new(Notify::new());
        let shared = Arc::new(Self { world: Mutex::new(World::new(seed)), bell: bell.clone() });
        tokio::spawn(drive(Arc::downgrade(&shared), bell));
        shared
    }

    /// Does something to the world as it is now, then wakes whoever waited for that.
    pub(super) fn enter<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let due = world.next_due();
        let now = Instant::now();
        world.run_until(now);
        let result = act(&mut world);
        world.run_until(now);
        let (woken, ring) = (mem::take(&mut world.woken), world.next_due() != due);
        drop(world);
        if ring {
            self.bell.notify_one();
        }
        woken.into_iter().for_each(Waker::wake);
        result
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}

/// Lets events happen when their time has come, as long as anybody holds the network.
async fn drive(shared: Weak<Shared>, bell: Arc<Notify>) {
    loop {
        let Some(due) = shared.upgrade().map(|shared| shared.enter(|world| world.next_due())) else { return };
        match due {
            None => bell.notified().await,
            Some(due) => tokio::select! {
                biased;
                () = bell.notified() => (),
                () = sleep_until(due) => (),
            },
        }
    }
}

/// Tasks that wait for one thing.
#[derive(Default)]
pub(super) struct Waiters(Vec<Waker>);

impl Waiters {
    pub(super) fn add(&mut self, cx: &Context<'_>) {
        if !self.0.iter().any(|waker| waker.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }

    pub(super) fn wake_into(&mut self, woken: &mut Vec<Waker>) {
        woken.append(&mut self.0);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EndpointId(pub(super) u64);

/// One transport: a listener at one address.
pub(super) struct Endpoint {
    pub(super) device: DeviceId,
    pub(super) addr: SocketAddr,
    pub(super) open: bool,
    pub(super) incoming: VecDeque<HalfId>,
    pub(super) accepting: Waiters,
}

/// What can happen by itself.
pub(super) enum Event {
    /// A path may be free for the next bytes.
    Pump(LinkId),
    /// A packet reaches its end of a connection.
    Arrive { to: HalfId, payload: Payload },
    /// A lost frame is sent again.
    Resend { from: HalfId, frame: Frame },
    /// A lost goodbye is said again.
    Goodbye { from: LinkId, to: HalfId, payload: Payload, tries: u8 },
    /// A side that found the path cut tries again.
    Probe(HalfId),
    /// A side shows that it is there.
    KeepAlive(HalfId),
    /// A side may have heard nothing for too long.
    IdleCheck(HalfId),
    /// Something about setting up a connection.
    Dial(DialId, DialEvent),
}

pub(super) struct World {
    /// The time of what is happening.
    pub(super) now: Instant,
    started: Instant,
    seed: u64,
    chances: BTreeMap<Lane, Xoshiro256PlusPlus>,
    events: BTreeMap<(Instant, u64), Event>,
    counter: u64,
    woken: Vec<Waker>,
    tracer: Option<Tracer>,
    pub(super) usual: Conditions,
    pub(super) special: BTreeMap<LinkId, Conditions>,
    pub(super) cuts: Cuts,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) endpoints: BTreeMap<EndpointId, Endpoint>,
    pub(super) listeners: BTreeMap<SocketAddr, EndpointId>,
    pub(super) dials: BTreeMap<DialId, Dial>,
    pub(super) halves: BTreeMap<HalfId, Half>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            started: now,
            seed,
            chances: BTreeMap::new(),
            events: BTreeMap::new(),
            counter: 0,
            woken: Vec::new(),
            tracer: None,
            usual: Conditions::default(),
            special: BTreeMap::new(),
            cuts: Cuts::default(),
            links: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            listeners: BTreeMap::new(),
            dials: BTreeMap::new(),
            halves: BTreeMap::new(),
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.events.keys().next().map(|(at, _)| *at)
    }

    fn run_until(&mut self, now: Instant) {
        while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((at, _), event) = entry.remove_entry();
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Pump(link) => self.on_pump(link),
            Event::Arrive { to, payload } => self.on_arrival(to, payload),
            Event::Resend { from, frame } => self.send_frame(from, frame),
            Event::Goodbye { from, to, payload, tries } => self.say_goodbye(from, to, payload, tries),
            Event::Probe(half) => self.on_probe(half),
            Event::KeepAlive(half) => self.on_keep_alive(half),
            Event::IdleCheck(half) => self.on_idle_check(half),
            Event::Dial(dial, event) => self.on_dial_event(dial, event),
        }
    }

    /// A number never given before.
    pub(super) fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn at(&mut self, when: Instant, event: Event) {
        let order = self.count();
        self.events.insert((when.max(self.now), order), event);
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.at(later(self.now, delay), event);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now.saturating_duration_since(self.started)
    }

    pub(super) fn set_tracer(&mut self, tracer: Tracer) {
        self.tracer = Some(tracer);
    }

    pub(super) fn trace(&mut self, from: impl Into<Option<DeviceId>>, to: impl Into<Option<DeviceId>>, what: What) {
        let trace = Trace { at: self.elapsed(), from: from.into(), to: to.into(), what };
        tracing::trace!(target: "tutti::sim", "{trace}");
        if let Some(tracer) = &mut self.tracer {
            tracer(&trace);
        }
    }

    pub(super) fn trace_packet(&mut self, link: LinkId, what: fn(Packet) -> What, packet: Packet) {
        self.trace(link.0, link.1, what(packet));
    }

    pub(super) fn wake(&mut self, waiters: impl FnOnce(&mut Self) -> Option<&mut Waiters>) {
        let mut woken = mem::take(&mut self.woken);
        if let Some(waiters) = waiters(self) {
            waiters.wake_into(&mut woken);
        }
        self.woken = woken;
    }

    pub(super) fn wake_all(&mut self, waiters: Waiters) {
        self.woken.extend(waiters.0);
    }

    /// What befalls the packets of a lane follows from the seed and the lane alone.
    fn chances(&mut self, lane: Lane) -> &mut Xoshiro256PlusPlus {
        let seed = self.seed;
        self.chances.entry(lane).or_insert_with(|| Xoshiro256PlusPlus::seed_from_u64(lane.seed(seed)))
    }

    /// Whether something with this probability happens now.
    pub(super) fn chance(&mut self, lane: Lane, probability: f64) -> bool {
        // Drawn only where it matters, so that a quiet network's run does not shift when a knob is added.
        probability > 0.0 && self.chances(lane).random_bool(probability.min(1.0))
    }

    pub(super) fn draw(&mut self, lane: Lane, between: std::ops::RangeInclusive<Duration>) -> Duration {
        let (least, most) = (nanos(*between.start()), nanos(*between.end()));
        Duration::from_nanos(if least < most { self.chances(lane).random_range(least..=most) } else { least })
    }

    pub(super) fn bind(&mut self, device: DeviceId, addr: SocketAddr) -> Option<EndpointId> {
        if self.listeners.contains_key(&addr) {
            return None;
        }
        let id = EndpointId(self.count());
        let endpoint = Endpoint { device, addr, open: true, incoming: VecDeque::new(), accepting: Waiters::default() };
        self.endpoints.insert(id, endpoint);
        self.listeners.insert(addr, id);
        self.trace(device, None, What::Bound(addr));
        Some(id)
    }

    /// Gives an endpoint another address; its connections follow it, as QUIC's do.
    pub(super) fn rebind(&mut self, id: EndpointId, addr: SocketAddr) -> bool {
        if self.listeners.get(&addr).is_some_and(|holder| *holder != id) {
            return false;
        }
        let Some(endpoint) = self.endpoints.get_mut(&id).filter(|endpoint| endpoint.open) else { return false };
        let (device, old) = (endpoint.device, mem::replace(&mut endpoint.addr, addr));
        self.listeners.remove(&old);
        self.listeners.insert(addr, id);
        self.trace(device, None, What::Bound(addr));
        true
    }

    /// Stops listening. What happens to its connections is the caller's business.
    pub(super) fn unbind(&mut self, id: EndpointId) -> bool {
        let Some(endpoint) = self.endpoints.get_mut(&id).filter(|endpoint| endpoint.open) else { return false };
        endpoint.open = false;
        endpoint.incoming.clear();
        let (device, addr, accepting) = (endpoint.device, endpoint.addr, mem::take(&mut endpoint.accepting));
        self.listeners.remove(&addr);
        self.wake_all(accepting);
        self.give_up_dials_of(id);
        self.trace(device, None, What::Unbound);
        true
    }

    /// Everything of this device is gone at once, and nobody is told.
    pub(super) fn crash(&mut self, device: DeviceId) {
        self.trace(device, None, What::Crashed);
        let endpoints: Vec<_> = self.endpoints.iter().filter(|(_, e)| e.device == device).map(|(id, _)| *id).collect();
        for id in endpoints {
            self.unbind(id);
            for half in self.halves_of(id) {
                self.end(half, Closed::Network("this device crashed".into()));
            }
        }
    }

    pub(super) fn halves_of(&self, endpoint: EndpointId) -> Vec<HalfId> {
        self.halves.iter().filter(|(_, half)| half.endpoint == endpoint).map(|(id, _)| *id).collect()
    }
}

/// `delay` after `start`, or a very long time after it.
pub(super) fn later(start: Instant, delay: Duration) -> Instant {
    start.checked_add(delay).unwrap_or_else(|| start + Duration::from_secs(1 << 30))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
