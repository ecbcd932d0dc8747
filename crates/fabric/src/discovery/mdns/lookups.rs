//! Addresses that are asked for by the name of a host.
//!
//! What the library announces over IPv6 names only the IPv6 addresses of the interface, and over IPv4 only the others.
//! Who hears just the first may know a device that cannot be dialled (at addresses of the link only), and is not told
//! again, for its own questions name the device as known (RFC 6762, section 7.1). So it has to ask for the addresses.

use std::collections::BTreeMap;

use mdns_sd::{HostnameResolutionEvent, Receiver, ServiceDaemon};

/// The most hosts that are asked for at a time: what is announced is anybody's claim.
const MOST: usize = 64;
/// How long a host is asked for, in milliseconds; the library asks after 0, 1, 3, 7, 15 and 31 s.
const PATIENCE: u64 = 60_000;

/// The hosts whose addresses are asked for. An answer also changes the device that is announced there.
#[derive(Default)]
pub(super) struct Lookups(BTreeMap<String, Receiver<HostnameResolutionEvent>>);

impl Lookups {
    /// Asks for a host, unless that goes on already or too many others are asked for.
    pub(super) fn begin(&mut self, daemon: &ServiceDaemon, host: &str) {
        self.clean();
        if self.0.len() < MOST
            && !self.0.contains_key(host)
            // Fails for what is no name of a host, which is nobody's problem but its inventor's; and when the library is
            // overloaded or ends.
            && let Ok(events) = daemon.resolve_hostname(host, Some(PATIENCE))
        {
            self.0.insert(host.to_owned(), events);
        }
    }

    /// Asks no longer. Nothing happens if nobody was asked.
    pub(super) fn end(&mut self, daemon: &ServiceDaemon, host: &str) {
        if self.0.remove(host).is_some() {
            // Else the library sees that nobody listens when it asks the next time.
            let _ = daemon.stop_resolve_hostname(host);
        }
    }

    /// Forgets the questions that nobody answered in time.
    fn clean(&mut self) {
        self.0.retain(|_, events| {
            // What an answer says comes by the device's announcement, too.
            events.try_iter().for_each(drop);
            !events.is_disconnected()
        });
    }
}
