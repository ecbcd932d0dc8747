//! The address book: where each device may be reached, and what is worth dialling now.
//!
//! Pure logic: time is passed in, nothing is looked up. An address is either **proven** (the device once answered
//! there, and proved its key) or a **claim** (somebody said so: a multicast packet, a file, a ticket). Anybody on the
//! local network can make claims about any device, so:
//!
//! - claims never push out proven addresses, nor the other way round: each device has eight places for either;
//! - a source replaces what it said before, so it cannot pile up;
//! - claims nobody repeats are forgotten after a while ([`CLAIM_LIFETIME`]);
//! - devices that matter (members of the group) are pinned; a flood of invented ones only pushes out each other.
//!
//! Proven addresses survive a restart ([`encode`](AddressBook::encode)), as [`Source::Saved`].

use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tutti_model::{
    BootTime, DeviceId,
    section::{SectionError, SectionWriter, Sections, Tag},
};

use crate::Source;

/// The most devices in the book.
pub const MAX_DEVICES: usize = 4096;
/// The most proven addresses of one device.
pub const MAX_PROVEN: usize = 8;
/// The most addresses of one device that were only claimed.
pub const MAX_CLAIMS: usize = 8;
/// The most addresses that are dialled at once for one device.
pub const MAX_DIALLED: usize = MAX_PROVEN + MAX_CLAIMS;
/// How long a claim that nobody stands behind any more is still tried.
pub const CLAIM_LIFETIME: Duration = Duration::from_secs(3600);

const TAG: Tag = Tag(0x4142);
const VERSION: u16 = 1;

/// An address that can be dialled, in its plain form; `None` for what can never be anybody's: port 0, `0.0.0.0`, `::`,
/// multicast, broadcast.
///
/// IPv6 link-local addresses (fe80::/10) are left out too: they mean nothing without an interface, and the transport
/// cannot carry one.
pub fn dialable(addr: SocketAddr) -> Option<SocketAddr> {
    let ip = addr.ip().to_canonical();
    let useless = match ip {
        IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_multicast() || v6.is_unicast_link_local(),
    };
    (!useless && addr.port() != 0).then(|| SocketAddr::new(ip, addr.port()))
}

/// What is known of one address of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who said so last.
    pub source: Source,
    /// Whether that source still stands behind it.
    pub current: bool,
    /// When it was last said.
    pub heard: BootTime,
    /// Whether the device ever answered there; a mere claim if not.
    pub proven: bool,
    /// When it last answered there, if that was since this start.
    pub last_success: Option<BootTime>,
    /// The order of events in which it was last said and last answered, for times may be equal.
    said: u64,
    answered: u64,
}

impl Known {
    fn claim(source: Source, now: BootTime, order: u64) -> Self {
        Self { source, current: true, heard: now, proven: false, last_success: None, said: order, answered: 0 }
    }

    /// Sorts by what to try first: who answered last, then who speaks for a current source, then the newest claim.
    fn rank(&self) -> (u64, bool, u64) {
        (self.answered, self.current, self.said)
    }

    fn worth_dialling(&self, now: BootTime) -> bool {
        self.proven || self.current || now.since(self.heard) < CLAIM_LIFETIME
    }
}

#[derive(Clone, Debug, Default)]
struct Device {
    addrs: BTreeMap<SocketAddr, Known>,
    pinned: bool,
    /// When anything was last said of it.
    touched: BootTime,
}

impl Device {
    /// Drops the worst of a kind until `max` are left.
    fn trim(&mut self, proven: bool, max: usize) {
        while self.addrs.values().filter(|known| known.proven == proven).count() > max {
            let worst = self
                .addrs
                .iter()
                .filter(|(_, known)| known.proven == proven)
                .min_by_key(|(_, known)| known.rank())
                .map(|(&addr, _)| addr);
            let Some(worst) = worst else { return };
            self.addrs.remove(&worst);
        }
    }
}

/// Where each device may be reached.
#[derive(Clone, Debug, Default)]
pub struct AddressBook {
    devices: BTreeMap<DeviceId, Device>,
    /// How many events there were.
    events: u64,
}

impl AddressBook {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// `source` says that these are the addresses of `device`, and that those it named before are not any more.
    pub fn heard(&mut self, device: DeviceId, source: Source, addrs: &[SocketAddr], now: BootTime) {
        let mut said: Vec<_> = addrs.iter().filter_map(|&addr| dialable(addr)).take(MAX_CLAIMS).collect();
        if said.is_empty() {
            return self.vanished(device, source);
        }
        // The first named is tried first, so it is the newest.
        said.reverse();
        let order = self.next_event(said.len());
        let Some(entry) = self.entry(device, now) else { return };
        for (addr, known) in &mut entry.addrs {
            known.current &= known.source != source || said.contains(addr);
        }
        for (addr, order) in said.into_iter().zip(order..) {
            let known = entry.addrs.entry(addr).or_insert(Known::claim(source, now, order));
            (known.source, known.current, known.heard, known.said) = (source, true, now, order);
        }
        entry.trim(false, MAX_CLAIMS);
    }

    /// Of how many devices something would be saved.
    pub fn lasting(&self) -> usize {
        self.devices.values().filter(|entry| entry.pinned && entry.addrs.values().any(|known| known.proven)).count()
    }

    /// `source` sees the device no more. What it said is still tried for a while: it may have been lied to.
    pub fn vanished(&mut self, device: DeviceId, source: Source) {
        for known in self.devices.get_mut(&device).into_iter().flat_map(|entry| entry.addrs.values_mut()) {
            known.current &= known.source != source;
        }
    }

    /// The device answered at `addr` and proved its key.
    pub fn proved(&mut self, device: DeviceId, addr: SocketAddr, now: BootTime) {
        let Some(addr) = dialable(addr) else { return };
        let order = self.next_event(1);
        let Some(entry) = self.entry(device, now) else { return };
        let observed = Known { current: false, ..Known::claim(Source::Observed, now, order) };
        let known = entry.addrs.entry(addr).or_insert(observed);
        (known.proven, known.last_success, known.answered) = (true, Some(now), order);
        entry.trim(true, MAX_PROVEN);
    }

    /// Whether the device must stay in the book whatever else is heard.
    pub fn pin(&mut self, device: DeviceId, pinned: bool, now: BootTime) {
        if pinned {
            if let Some(entry) = self.entry(device, now) {
                entry.pinned = true;
            }
        } else if let Some(entry) = self.devices.get_mut(&device) {
            entry.pinned = false;
        }
    }

    /// Strikes the device out.
    pub fn forget(&mut self, device: DeviceId) {
        self.devices.remove(&device);
    }

    /// Strikes out the claims whose time is over and the devices about which nothing is left.
    pub fn expire(&mut self, now: BootTime) {
        self.devices.retain(|_, entry| {
            entry.addrs.retain(|_, known| known.worth_dialling(now));
            entry.pinned || !entry.addrs.is_empty()
        });
    }

    /// The addresses to dial now, the most promising first, at most [`MAX_DIALLED`].
    pub fn dial(&self, device: DeviceId, now: BootTime) -> Vec<SocketAddr> {
        let mut addrs: Vec<_> = self.known(device).filter(|(_, known)| known.worth_dialling(now)).collect();
        addrs.sort_by_key(|(_, known)| std::cmp::Reverse(known.rank()));
        addrs.into_iter().map(|(addr, _)| addr).take(MAX_DIALLED).collect()
    }

    /// All that is known of a device.
    pub fn known(&self, device: DeviceId) -> impl Iterator<Item = (SocketAddr, Known)> {
        self.devices.get(&device).into_iter().flat_map(|entry| entry.addrs.iter().map(|(&addr, &known)| (addr, known)))
    }

    /// The devices in the book.
    pub fn devices(&self) -> impl Iterator<Item = DeviceId> {
        self.devices.keys().copied()
    }

    /// Numbers for the next events, the first of them.
    fn next_event(&mut self, count: usize) -> u64 {
        let first = self.events + 1;
        self.events += count as u64;
        first
    }

    /// The entry of a device, made if there is room or somebody less important to push out.
    fn entry(&mut self, device: DeviceId, now: BootTime) -> Option<&mut Device> {
        if !self.devices.contains_key(&device) && self.devices.len() >= MAX_DEVICES {
            let (&oldest, _) =
                self.devices.iter().filter(|(_, entry)| !entry.pinned).min_by_key(|(_, entry)| entry.touched)?;
            self.devices.remove(&oldest);
        }
        let entry = self.devices.entry(device).or_default();
        entry.touched = now;
        Some(entry)
    }
}

/// Why bytes are not an address book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressBookError {
    /// They are no sections, or not those of an address book.
    Malformed(SectionError),
    /// More devices or addresses than a book ever holds.
    TooLarge,
}

impl fmt::Display for AddressBookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(fault) => write!(f, "the saved addresses cannot be read: {fault}"),
            Self::TooLarge => f.write_str("the saved addresses are more than an address book holds"),
        }
    }
}

impl std::error::Error for AddressBookError {}

impl From<SectionError> for AddressBookError {
    fn from(fault: SectionError) -> Self {
        Self::Malformed(fault)
    }
}

/// An address as it is saved: what `std` offers changes with the format.
#[derive(Serialize, Deserialize)]
enum SavedAddr {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
}

impl SavedAddr {
    fn new(addr: SocketAddr) -> Self {
        match addr.ip() {
            IpAddr::V4(ip) => Self::V4(ip.octets(), addr.port()),
            IpAddr::V6(ip) => Self::V6(ip.octets(), addr.port()),
        }
    }

    fn restore(&self) -> SocketAddr {
        match *self {
            Self::V4(ip, port) => (ip, port).into(),
            Self::V6(ip, port) => (ip, port).into(),
        }
    }
}

/// A device and its proven addresses, the best first.
type SavedDevice = (DeviceId, Vec<SavedAddr>);

impl AddressBook {
    /// The proven addresses of the pinned devices, as bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let devices: Vec<SavedDevice> = self
            .devices
            .iter()
            .filter(|(_, entry)| entry.pinned)
            .map(|(&device, entry)| {
                let mut proven: Vec<_> = entry.addrs.iter().filter(|(_, known)| known.proven).collect();
                proven.sort_by_key(|(_, known)| std::cmp::Reverse(known.rank()));
                (device, proven.into_iter().map(|(&addr, _)| SavedAddr::new(addr)).collect())
            })
            .filter(|(_, addrs): &SavedDevice| !addrs.is_empty())
            .collect();
        let mut writer = SectionWriter::new();
        // Neither fault can occur: every sequence has a length, and the book is bounded far below 4 GiB.
        let _ = writer.push(TAG, VERSION, &devices);
        writer.finish()
    }

    /// Reads what [`encode`](Self::encode) wrote, or a newer version of it. The devices are pinned, as they were;
    /// unpin those that are no members any more.
    pub fn decode(bytes: &[u8], now: BootTime) -> Result<Self, AddressBookError> {
        let devices: Vec<SavedDevice> = Sections::new_checked(bytes)?.one(TAG)?.decode()?;
        if devices.len() > MAX_DEVICES || devices.iter().any(|(_, addrs)| addrs.len() > MAX_PROVEN) {
            return Err(AddressBookError::TooLarge);
        }
        let mut book = Self::new();
        for (device, addrs) in devices {
            let order = book.next_event(addrs.len());
            let entry = book.devices.entry(device).or_default();
            (entry.pinned, entry.touched) = (true, now);
            // The best is written first, so it gets the last number.
            for (addr, order) in addrs.iter().rev().zip(order..) {
                let Some(addr) = dialable(addr.restore()) else { continue };
                let claim = Known { current: false, ..Known::claim(Source::Saved, now, order) };
                entry.addrs.insert(addr, Known { proven: true, answered: order, ..claim });
            }
            entry.trim(true, MAX_PROVEN);
        }
        Ok(book)
    }
}

#[cfg(test)]
mod tests;
