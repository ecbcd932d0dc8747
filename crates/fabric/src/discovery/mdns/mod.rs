//! Devices on the local network find each other by multicast DNS (RFC 6762) and DNS service discovery (RFC 6763).
//!
//! Each device announces an instance of `_tutti._udp.local.` on every interface, with the addresses of that interface,
//! and asks for the others'. That needs no server, no configuration and no default route. Interfaces may come and go.
//!
//! | TXT key | value |
//! |---|---|
//! | `v` | the version of this table: 1. Newer ones keep these keys |
//! | `id` | the device's id, 64 hexadecimal digits |
//! | `name` | its name |
//! | `pair` | `1` while it has a pairing code on offer, else left out |
//!
//! # What others may try, and what meets it
//!
//! - *Nonsense*: see `txt`; what does not parse is not there.
//! - *Claiming another's id*: ids are proved when dialled, not here. The addresses of an impostor are tried beside the
//!   real ones, and push out none that ever worked (see [`addresses`](crate::addresses)).
//! - *Inventing thousands of devices*: what is kept here is bounded, and members stay (see `table`). The cache of the
//!   library below is not bounded, so it is looked at, and thrown away when it has more than [`MAX_CACHED`] records.
//! - *Saying goodbye for another*: the device vanishes from listings until it is asked for again. Sessions, and redialling
//!   known addresses, do not depend on it.
//!
//! # Rates
//!
//! The library asks at once, then after 1, 2, 4… s, up to an hour. While somebody is missed ([`Mdns::seek`]), it is
//! made to begin anew every [`SEEK_INTERVAL`], and also when an interface came. Names contain the key, so they need no probing first (RFC 6762, section
//! 8.1), which saves 750 ms.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use mdns_sd::{
    DaemonEvent, MDNS_PORT, Receiver, RecvTimeoutError, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo,
};
use tokio::sync::mpsc;
use tutti_model::{DeviceId, Text};

use self::lookups::Lookups;
use super::{Announcement, DiscoveryEvent, MAX_ADDRS, table::Table, txt};
use crate::{Source, addresses::dialable};

mod lookups;

/// What devices announce.
pub const SERVICE: &str = "_tutti._udp.local.";
/// How often the network is asked anew while somebody is missed.
pub const SEEK_INTERVAL: Duration = Duration::from_secs(10);
/// The most records in the library's cache: ten for each of the devices that are kept here.
pub const MAX_CACHED: i64 = 10_240;
/// How often the size of the cache is looked at, and other housekeeping done.
const HOUSEKEEPING: Duration = Duration::from_secs(5);
/// How often the thread looks for interfaces that came, while nothing else happens.
const TICK: Duration = Duration::from_secs(1);
/// How long after an interface came all is said and asked anew: what was said on it within the last second is not
/// repeated (RFC 6762, section 6), and the cable's other end may have come later than this one.
const SETTLE: Duration = Duration::from_millis(1200);
/// How long events wait for room in the queue before they are offered again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a device may take to show that it is still there.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(3);
/// How often interfaces are looked at, in seconds.
const INTERFACE_CHECK: u32 = 1;
/// How long the library may take to answer a question about itself; in a flood it is slow.
const LIBRARY_ANSWER: Duration = Duration::from_secs(2);
/// How long each of the two steps of ending may take.
const SHUTDOWN_STEP: Duration = Duration::from_millis(400);

/// Why the local network cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MdnsError {
    /// The library could not start or was stopped.
    Daemon(String),
    /// The operating system gives no thread.
    Thread(String),
}

impl fmt::Display for MdnsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon(why) => write!(
                f,
                "devices on the local network cannot be discovered ({why}); they can still be reached by ticket, and \
                 at addresses that are known"
            ),
            Self::Thread(why) => write!(f, "no thread could be started to discover devices: {why}"),
        }
    }
}

impl std::error::Error for MdnsError {}

impl From<mdns_sd::Error> for MdnsError {
    fn from(error: mdns_sd::Error) -> Self {
        Self::Daemon(error.to_string())
    }
}

/// How to take part.
#[derive(Clone, Debug)]
pub struct MdnsConfig {
    /// The UDP port: 5353, except in tests.
    pub port: u16,
    /// Whether to believe loopback addresses: for tests on a machine without a network.
    pub loopback: bool,
}

impl Default for MdnsConfig {
    fn default() -> Self {
        Self { port: MDNS_PORT, loopback: false }
    }
}

/// This device's presence on the local network. Ends when it is dropped.
pub struct Mdns {
    shared: Arc<Shared>,
}

struct Shared {
    config: MdnsConfig,
    me: DeviceId,
    inner: Mutex<Inner>,
}

struct Inner {
    daemon: ServiceDaemon,
    monitor: Receiver<DaemonEvent>,
    announcement: Announcement,
    /// What the instance that is announced is called.
    fullname: String,
    /// A new subscription that the thread has not taken over yet.
    subscription: Option<Receiver<ServiceEvent>>,
    asked: Instant,
    /// When to say and ask all anew, because an interface came.
    refresh: Option<Instant>,
    seeking: bool,
    lookups: Lookups,
    table: Table,
    problem: Option<String>,
    closing: bool,
}

impl Mdns {
    /// Announces this device and begins to look for others.
    pub fn start(
        config: MdnsConfig,
        announcement: Announcement,
        events: mpsc::Sender<DiscoveryEvent>,
    ) -> Result<Self, MdnsError> {
        let (daemon, monitor) = start_daemon(&config)?;
        let fullname = announce(&daemon, &announcement)?;
        let subscription = daemon.browse(SERVICE)?;
        let shared = Arc::new(Shared {
            config,
            me: announcement.device,
            inner: Mutex::new(Inner {
                daemon,
                monitor,
                announcement,
                fullname,
                subscription: Some(subscription),
                asked: Instant::now(),
                refresh: None,
                seeking: false,
                lookups: Lookups::default(),
                table: Table::new(Source::Mdns),
                problem: None,
                closing: false,
            }),
        });
        let mdns = Self { shared: shared.clone() };
        thread::Builder::new()
            .name("tutti-mdns".into())
            .spawn(move || run(&shared, &events))
            .map_err(|error| MdnsError::Thread(error.to_string()))?;
        Ok(mdns)
    }

    /// Announces this device anew if something about it changed. Its id stays.
    pub fn announce(&self, announcement: Announcement) -> Result<(), MdnsError> {
        let mut inner = self.shared.lock();
        let announcement = Announcement { device: self.shared.me, ..announcement };
        if inner.announcement == announcement {
            return Ok(());
        }
        let fullname = announce(&inner.daemon, &announcement)?;
        let before = std::mem::replace(&mut inner.fullname, fullname);
        inner.announcement = announcement;
        if before != inner.fullname {
            inner.daemon.unregister(&before)?;
        }
        Ok(())
    }

    /// Whether somebody is missed: the network is asked anew at once (if the last time is a while ago) and then again and
    /// again.
    pub fn seek(&self, seeking: bool) {
        let mut inner = self.shared.lock();
        inner.seeking = seeking;
        inner.ask_if_due();
    }

    /// Asks the device whether it is still there; if it does not answer within 3 s, it is lost. For one that is
    /// announced but cannot be reached.
    pub fn verify(&self, device: DeviceId) {
        let inner = self.shared.lock();
        for name in inner.table.keys_of(device) {
            // Fails only when the library is overloaded or ends: then there is nothing to verify.
            let _ = inner.daemon.verify(name.to_owned(), VERIFY_TIMEOUT);
        }
    }

    /// The devices that a flood of invented ones must not push out.
    pub fn trust(&self, devices: impl IntoIterator<Item = DeviceId>) {
        self.shared.lock().table.trust(devices);
    }

    /// What last went wrong on an interface, for whoever wonders why nobody is seen.
    pub fn problem(&self) -> Option<String> {
        self.shared.lock().problem.clone()
    }

    /// Tells the others goodbye. Takes at most a second.
    pub async fn shutdown(self) {
        let (daemon, fullname) = {
            let mut inner = self.shared.lock();
            inner.closing = true;
            (inner.daemon.clone(), inner.fullname.clone())
        };
        let goodbye = tokio::task::spawn_blocking(move || {
            if let Ok(done) = daemon.unregister(&fullname) {
                let _ = done.recv_timeout(SHUTDOWN_STEP);
            }
            if let Ok(done) = daemon.shutdown() {
                let _ = done.recv_timeout(SHUTDOWN_STEP);
            }
        });
        let _ = goodbye.await;
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        inner.closing = true;
        // Ends the subscription, which ends the thread. Fails if it has ended.
        let _ = inner.daemon.shutdown();
    }
}

fn start_daemon(config: &MdnsConfig) -> Result<(ServiceDaemon, Receiver<DaemonEvent>), MdnsError> {
    let daemon = ServiceDaemon::new_with_port(config.port)?;
    // All interfaces, loopback included: seen with mdns-sd 0.21.7, taking some out makes announcements of a device that
    // came back go unheard on the others until they are asked for.
    daemon.set_ip_check_interval(INTERFACE_CHECK)?;
    let monitor = daemon.monitor()?;
    Ok((daemon, monitor))
}

/// Announces, and says under which name.
fn announce(daemon: &ServiceDaemon, announcement: &Announcement) -> Result<String, MdnsError> {
    let short = announcement.device.short();
    // What people see in other programs; a label of DNS has at most 63 bytes.
    let instance = Text::<63>::lossy(&format!("{short} {}", announcement.name));
    let host = format!("tutti-{short}.local.");
    let properties = txt::properties(announcement);
    let mut info =
        ServiceInfo::new(SERVICE, instance.as_str(), &host, "", announcement.port, &properties[..])?.enable_addr_auto();
    info.set_requires_probe(false);
    let fullname = info.get_fullname().to_owned();
    daemon.register(info)?;
    Ok(fullname)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can panic half-way through a change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn ask_if_due(&mut self) {
        if self.seeking && !self.closing && self.asked.elapsed() >= SEEK_INTERVAL {
            self.ask();
        }
    }

    /// Begins the questions anew. The subscription before ends, which wakes the thread.
    fn ask(&mut self) {
        self.asked = Instant::now();
        match self.daemon.browse(SERVICE) {
            Ok(subscription) => self.subscription = Some(subscription),
            Err(error) => self.problem = Some(error.to_string()),
        }
    }

    fn handle(&mut self, event: ServiceEvent, shared: &Shared) {
        match event {
            ServiceEvent::ServiceResolved(service) => {
                let addrs = addrs(&service, shared.config.loopback);
                if addrs.is_empty() {
                    self.lookups.begin(&self.daemon, &service.host);
                } else {
                    self.lookups.end(&self.daemon, &service.host);
                }
                match txt::parse(|key| service.txt_properties.get_property_val(key).flatten(), addrs) {
                    Some(sighting) if sighting.device != shared.me => self.table.see(&service.fullname, sighting),
                    Some(_) => {}
                    None => self.table.lose(&service.fullname),
                }
            }
            ServiceEvent::ServiceRemoved(_, fullname) => self.table.lose(&fullname),
            _ => {}
        }
    }

    fn look_after_interfaces(&mut self) {
        while let Ok(event) = self.monitor.try_recv() {
            match event {
                DaemonEvent::Error(error) => self.problem = Some(error.to_string()),
                DaemonEvent::IpAdd(_) => self.refresh = Some(Instant::now() + SETTLE),
                _ => {}
            }
        }
        if self.refresh.is_some_and(|due| Instant::now() >= due) && !self.closing {
            self.refresh = None;
            if let Err(error) = announce(&self.daemon, &self.announcement) {
                self.problem = Some(error.to_string());
            }
            self.ask();
        }
    }

    fn housekeeping(&mut self, config: &MdnsConfig, cached: i64) {
        self.ask_if_due();
        if cached > MAX_CACHED
            && let Err(error) = self.start_over(config)
        {
            self.problem = Some(error.to_string());
        }
    }

    /// Throws the library's cache away, and with it what was seen.
    fn start_over(&mut self, config: &MdnsConfig) -> Result<(), MdnsError> {
        tracing::warn!("the local network announces too many devices; discovery starts over");
        let (daemon, monitor) = start_daemon(config)?;
        let _ = std::mem::replace(&mut self.daemon, daemon).shutdown();
        self.monitor = monitor;
        self.lookups = Lookups::default();
        self.table.keep_only(&BTreeSet::new());
        self.fullname = announce(&self.daemon, &self.announcement)?;
        self.ask();
        Ok(())
    }
}

/// How many records the library keeps.
fn cached_records(daemon: &ServiceDaemon) -> i64 {
    let counts =
        daemon.get_metrics().ok().and_then(|answer| answer.recv_timeout(LIBRARY_ANSWER).ok()).unwrap_or_default();
    counts.iter().filter(|(name, _)| name.starts_with("cached-")).fold(0, |sum, (_, count)| sum.saturating_add(*count))
}

/// Where a service can be reached.
fn addrs(service: &ResolvedService, loopback: bool) -> Vec<SocketAddr> {
    let mut addrs: Vec<_> = service
        .addresses
        .iter()
        .filter_map(|ip| dialable(SocketAddr::new(ip.to_ip_addr(), service.port)))
        // Nobody else's loopback is here.
        .filter(|addr| loopback || !addr.ip().is_loopback())
        .collect();
    addrs.sort();
    addrs.truncate(MAX_ADDRS);
    addrs
}

/// Hands on what the library sees, until it ends or nobody listens.
fn run(shared: &Shared, events: &mpsc::Sender<DiscoveryEvent>) {
    let mut subscription = None;
    let mut wait = Duration::ZERO;
    let mut kept = Instant::now();
    loop {
        let Some(current) = &subscription else {
            let mut inner = shared.lock();
            if inner.closing {
                return;
            }
            // Ended by itself when too many events came at once: then the questions begin anew.
            if inner.subscription.is_none() {
                inner.ask();
            }
            subscription = inner.subscription.take();
            drop(inner);
            if subscription.is_none() {
                thread::sleep(RETRY);
            }
            continue;
        };
        let first = current.recv_timeout(wait);
        let due = kept.elapsed() >= HOUSEKEEPING;
        // Asked without holding the lock, for the answer takes a moment.
        let cached = if due { cached_records(&shared.lock().daemon.clone()) } else { 0 };
        let mut inner = shared.lock();
        match first {
            Ok(event) => {
                inner.handle(event, shared);
                for event in current.try_iter().take(super::EVENT_QUEUE) {
                    inner.handle(event, shared);
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => subscription = None,
        }
        inner.look_after_interfaces();
        if due {
            inner.housekeeping(&shared.config, cached);
            kept = Instant::now();
        }
        match inner.table.tell(events) {
            Some(true) => wait = TICK,
            Some(false) => wait = RETRY,
            None => {
                inner.closing = true;
                let _ = inner.daemon.shutdown();
                return;
            }
        }
    }
}

#[cfg(test)]
mod netns_tests;
#[cfg(test)]
mod tests;
