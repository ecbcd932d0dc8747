//! The network: links are switched on, addresses come by DHCP or from the settings, the kernel is told by netlink.
//!
//! IPv6 is the kernel's own business: it takes link-local addresses and those that routers announce as soon as a link is on.

pub mod client;
pub mod dhcp;
pub(crate) mod interfaces;
pub mod netlink;
pub mod sntp;

use std::net::{IpAddr, Ipv4Addr};

/// What an interface is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub address: Ipv4Addr,
    /// How many bits are the network's.
    pub prefix: u8,
    /// The way out.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers.
    pub dns: Vec<IpAddr>,
}
