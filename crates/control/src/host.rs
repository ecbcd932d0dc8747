//! Which `Host` headers mean this machine. A page elsewhere whose name was made to point here (DNS rebinding) gives itself
//! away by its own name in this header.

use std::net::IpAddr;

/// Whether a `Host` header, a port included or not, means this machine: `localhost`, or an address of loopback.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    name(host).eq_ignore_ascii_case("localhost") || address(host).is_some_and(|address| address.is_loopback())
}

/// The address that a `Host` header consists of, a port left out; none if it is a name. A page that has no name of its own
/// has none that could be made to point here.
#[must_use]
pub fn address(host: &str) -> Option<IpAddr> {
    let name = name(host);
    match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => literal.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    }
}

fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::{address, is_loopback};

    #[test]
    fn only_loopback_names_pass() {
        for good in ["127.0.0.1", "127.0.0.1:80", "localhost:9", "LOCALHOST", "[::1]", "[::1]:8080", "127.8.8.8:1"] {
            assert!(is_loopback(good), "{good}");
        }
        for bad in ["", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.0.0.1", "[::2]:1"] {
            assert!(!is_loopback(bad), "{bad}");
        }
    }

    #[test]
    fn an_address_is_no_name() {
        for good in ["10.0.0.1", "10.0.0.1:80", "[fe80::1]", "[fd00::2]:8443"] {
            assert!(address(good).is_some(), "{good}");
        }
        for bad in ["", "evil.example", "10.0.0.1.evil.example:80", "fd00::2", "[10.0.0.1]", "10.1", "0x7f000001"] {
            assert!(address(bad).is_none(), "{bad}");
        }
    }
}
