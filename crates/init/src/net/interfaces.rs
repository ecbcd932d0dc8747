//! The interfaces of this machine: switched on, and given what they are to have, as they come and go.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
    time::{Duration, Instant},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::{
    Address,
    client::{Client, Event, To},
    dhcp,
    netlink::{Kernel, Order},
};
use crate::{
    log::Log,
    settings::{Mode, Network},
};

/// How often new interfaces and cables are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Interfaces that are set up; no machine that we run on has as many.
const MAX: usize = 32;

/// What the name servers are told to programs by.
pub(crate) const RESOLV: &str = "/run/resolv.conf";

/// All interfaces.
pub(crate) struct Interfaces {
    kernel: Option<Kernel>,
    network: Network,
    hostname: String,
    known: BTreeMap<String, Interface>,
    look: Instant,
}

struct Interface {
    index: u32,
    mac: [u8; 6],
    client: Option<(Client, UdpSocket)>,
    has: Option<Address>,
    carrier: bool,
}

impl Interfaces {
    pub(crate) fn new(network: Network, hostname: &str, log: &mut Log) -> Self {
        let kernel = Kernel::open().map_err(|error| log.say(format_args!("the kernel has no network: {error}")));
        let mut interfaces = Self {
            kernel: kernel.ok(),
            network,
            hostname: hostname.to_owned(),
            known: BTreeMap::new(),
            look: Instant::now(),
        };
        interfaces.tick(Instant::now(), log);
        interfaces
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.known.values().filter_map(|interface| interface.client.as_ref()).map(|(_, socket)| socket.as_fd())
    }

    pub(crate) fn next(&self) -> Instant {
        let clients = self.known.values().filter(|interface| interface.carrier).filter_map(|i| i.client.as_ref());
        clients.map(|(client, _)| client.next()).fold(self.look, Instant::min)
    }

    /// Looks, listens, speaks.
    pub(crate) fn tick(&mut self, now: Instant, log: &mut Log) {
        let Some(kernel) = &mut self.kernel else { return };
        if now >= self.look {
            self.look = now + LOOK_EVERY;
            look(kernel, &self.network, &self.hostname, &mut self.known, log);
        }
        let mut changed = false;
        for (name, interface) in &mut self.known {
            for event in interface.converse(now, name, log) {
                changed = true;
                let (address, bound) = match &event {
                    Event::Bound(address) => (address, true),
                    Event::Lost(address) => (address, false),
                };
                if bound {
                    interface.give(kernel, name, address.clone(), "by DHCP", log);
                } else {
                    log.say(format_args!("{name} has lost {}/{}", address.address, address.prefix));
                    interface.take(kernel, name, log);
                }
            }
        }
        if changed {
            self.tell_name_servers(log);
        }
    }

    fn tell_name_servers(&self, log: &mut Log) {
        let servers = self.known.values().filter_map(|interface| interface.has.as_ref()).flat_map(|has| &has.dns);
        let text: String = servers.take(3).map(|server| format!("nameserver {server}\n")).collect();
        if let Err(error) = fs::write(RESOLV, text) {
            log.say(format_args!("{RESOLV} cannot be written: {error}; names are not found"));
        }
    }
}

/// Sets up what is new.
fn look(
    kernel: &mut Kernel,
    network: &Network,
    hostname: &str,
    known: &mut BTreeMap<String, Interface>,
    log: &mut Log,
) {
    let entries = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).take(MAX).collect();
    names.sort_unstable();
    known.retain(|name, _| names.contains(name));
    for name in names {
        let Some(index) = number(&name, "ifindex") else { continue };
        if let Some(interface) = known.get_mut(&name).filter(|interface| interface.index == index) {
            let carrier = number(&name, "carrier") == Some(1);
            if carrier && !interface.carrier {
                // A new cable may lead to another network.
                if let Some((client, _)) = &mut interface.client {
                    *client = Client::new(Instant::now(), interface.mac, hostname, seed(index));
                }
            }
            interface.carrier = carrier;
            continue;
        }
        let loopback = number(&name, "type") == Some(772);
        let ours = network.interface.as_ref().is_none_or(|wanted| *wanted == name);
        // Ethernet, and what looks like it; tunnels and the like are set up by whoever makes them.
        let ethernet = ours && number(&name, "type") == Some(1);
        if !(loopback || ethernet) {
            continue;
        }
        if let Err(error) = kernel.tell(index, Order::Up) {
            log.say(format_args!("{name} cannot be switched on: {error}"));
        }
        let mac = mac(&name).unwrap_or_default();
        let mut interface =
            Interface { index, mac, client: None, has: None, carrier: number(&name, "carrier") == Some(1) };
        if !loopback {
            match (network.mode, network.address) {
                // One address is for one interface.
                (Mode::Static, Some(own)) if known.values().all(|other| other.has.is_none()) => {
                    let address = Address {
                        address: own.address,
                        prefix: own.prefix,
                        gateway: network.gateway,
                        dns: network.dns.clone(),
                    };
                    interface.give(kernel, &name, address, "by the settings", log);
                }
                (Mode::Dhcp, _) => match socket(&name) {
                    Ok(socket) => {
                        let client = Client::new(Instant::now(), mac, hostname, seed(index));
                        interface.client = Some((client, socket));
                        log.say(format_args!("{name}: asking for an address"));
                    }
                    Err(error) => log.say(format_args!("{name}: no address can be asked for: {error}")),
                },
                _ => {}
            }
        }
        let told = interface
            .has
            .as_ref()
            .map(|has| has.dns.iter().map(|server| format!("nameserver {server}\n")).collect::<String>());
        if let Some(text) = told {
            // As for those that DHCP names.
            let _ = fs::write(RESOLV, text);
        }
        known.insert(name, interface);
    }
}

impl Interface {
    /// One turn of DHCP.
    fn converse(&mut self, now: Instant, name: &str, log: &mut Log) -> Vec<Event> {
        let Some((client, socket)) = &mut self.client else { return Vec::new() };
        let mut events: Vec<Event> = client.expire(now).into_iter().collect();
        let mut buffer = [0; 2048];
        // Bounded, since anybody may send here.
        for _ in 0..16 {
            match socket.recv(&mut buffer) {
                Ok(len) => events.extend(client.handle(now, buffer.get(..len).unwrap_or_default())),
                Err(_) => break,
            }
        }
        while let Some((message, to)) = self.carrier.then(|| client.poll(now)).flatten() {
            let to = match to {
                To::All => Ipv4Addr::BROADCAST,
                To::Server(server) => server,
            };
            if let Err(error) = socket.send_to(&message, SocketAddr::new(IpAddr::V4(to), dhcp::SERVER)) {
                log.say(format_args!("{name}: asking for an address failed: {error}"));
            }
        }
        events
    }

    fn give(&mut self, kernel: &mut Kernel, name: &str, address: Address, by: &str, log: &mut Log) {
        self.take(kernel, name, log);
        let orders = [Some(Order::Add(address.address, address.prefix)), address.gateway.map(Order::Gateway)];
        for order in orders.into_iter().flatten() {
            if let Err(error) = kernel.tell(self.index, order) {
                log.say(format_args!("{name}: {order}: {error}"));
            }
        }
        log.say(format_args!("{name} has {}/{} {by}", address.address, address.prefix));
        self.has = Some(address);
    }

    fn take(&mut self, kernel: &mut Kernel, name: &str, log: &mut Log) {
        if let Some(had) = self.has.take() {
            let order = Order::Remove(had.address, had.prefix);
            if let Err(error) = kernel.tell(self.index, order) {
                log.say(format_args!("{name}: {order}: {error}"));
            }
        }
    }
}

/// A socket that speaks by this interface even while it has no address.
fn socket(name: &str) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(name.as_bytes()))?;
    socket.bind(&SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), dhcp::CLIENT).into())?;
    Ok(socket.into())
}

fn attribute(name: &str, what: &str) -> Option<String> {
    fs::read_to_string(Path::new("/sys/class/net").join(name).join(what)).ok()
}

fn number(name: &str, what: &str) -> Option<u32> {
    attribute(name, what)?.trim().parse().ok()
}

fn mac(name: &str) -> Option<[u8; 6]> {
    let text = attribute(name, "address")?;
    let bytes: Vec<u8> = text.trim().split(':').filter_map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes.try_into().ok()
}

fn seed(index: u32) -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // Drawn from the kernel's random numbers.
    let drawn = RandomState::new().build_hasher().finish();
    u32::try_from(drawn & 0xffff_ffff).unwrap_or_default() ^ index
}
