//! The addresses at which this machine is reached.

use std::net::{IpAddr, SocketAddr};

use if_addrs::{IfAddr, IfOperStatus, Interface};

use crate::addresses::dialable;

/// The addresses of the interfaces that are up, with the ports of the sockets bound to that family; loopback ones only if
/// there are no others (devices on one host find each other by the runtime folder, which names loopback).
pub(super) fn reachable(bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    choose(&interfaces, bound)
}

fn choose(interfaces: &[Interface], bound: &[SocketAddr]) -> Vec<SocketAddr> {
    let up = |interface: &&Interface| {
        matches!(interface.oper_status, IfOperStatus::Up | IfOperStatus::Unknown) && lasts(&interface.addr)
    };
    let mut addrs: Vec<_> = interfaces
        .iter()
        .filter(up)
        .flat_map(|interface| bound.iter().filter_map(|&bound| at(interface.ip(), bound)))
        .filter_map(dialable)
        .collect();
    addrs.sort();
    addrs.dedup();
    if addrs.iter().any(|addr| !addr.ip().is_loopback()) {
        addrs.retain(|addr| !addr.ip().is_loopback());
    }
    addrs
}

/// An interface's address with the port of a socket that is bound to it.
fn at(ip: IpAddr, bound: SocketAddr) -> Option<SocketAddr> {
    let reached = ip == bound.ip() || (bound.ip().is_unspecified() && ip.is_ipv4() == bound.is_ipv4());
    reached.then(|| SocketAddr::new(ip, bound.port()))
}

/// Whether others may be told of the address. 169.254/16 is fine: it is unique on its link.
fn lasts(addr: &IfAddr) -> bool {
    !addr.ip().is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, ip: &str, oper_status: IfOperStatus) -> Interface {
        let addr = match ip.parse().unwrap() {
            IpAddr::V4(ip) => IfAddr::V4(if_addrs::Ifv4Addr {
                ip,
                netmask: [255, 255, 255, 0].into(),
                prefixlen: 24,
                broadcast: None,
            }),
            IpAddr::V6(ip) => {
                IfAddr::V6(if_addrs::Ifv6Addr { ip, netmask: [0xffff; 8].into(), prefixlen: 64, broadcast: None })
            }
        };
        Interface { name: name.into(), addr, index: None, oper_status, is_p2p: false }
    }

    fn texts(addrs: &[SocketAddr]) -> Vec<String> {
        addrs.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn loopback_only_when_there_is_nothing_else() {
        let bound = ["0.0.0.0:7".parse().unwrap(), "[::]:7".parse().unwrap()];
        let lo = [interface("lo", "127.0.0.1", IfOperStatus::Unknown), interface("lo", "::1", IfOperStatus::Unknown)];
        assert_eq!(texts(&choose(&lo, &bound)), ["127.0.0.1:7", "[::1]:7"]);
        let mut more = lo.to_vec();
        more.push(interface("eth0", "192.168.1.5", IfOperStatus::Up));
        more.push(interface("eth0", "2001:db8::5", IfOperStatus::Up));
        more.push(interface("eth0", "fe80::5", IfOperStatus::Up));
        more.push(interface("eth1", "192.168.2.5", IfOperStatus::Down));
        assert_eq!(texts(&choose(&more, &bound)), ["192.168.1.5:7", "[2001:db8::5]:7"]);
        assert_eq!(texts(&choose(&more, &bound[..1])), ["192.168.1.5:7"]);
        assert_eq!(texts(&choose(&more, &["127.0.0.1:9".parse().unwrap()])), ["127.0.0.1:9"]);
    }
}
