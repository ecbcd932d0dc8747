//! What is refused before anything else is looked at: requests that another page made a browser send.
//!
//! Sources: the Fetch standard (`Origin`), W3C Fetch Metadata (`Sec-Fetch-*`), RFC 6265bis (cookies and `SameSite`),
//! CSP level 3, the Trusted Types draft.

use axum::http::{HeaderMap, HeaderValue, Method, header};
use tutti_control::{ErrorCode, ErrorDetail, host};

use crate::sessions::{Pass, Secret};

/// The header with the page's key.
pub const KEY_HEADER: &str = "x-tutti-console";

/// Which door a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// HTTP on loopback: browsers of this machine.
    Loopback,
    /// HTTPS on every address of this machine: browsers of others.
    Network,
}

impl Door {
    /// Where its page is.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Loopback => "http://",
            Self::Network => "https://",
        }
    }

    /// The name of its cookie. With the prefix a browser takes it over TLS only, and from nobody else (RFC 6265bis,
    /// section 4.1.3.2).
    pub(crate) const fn cookie(self) -> &'static str {
        match self {
            Self::Loopback => "tutti-console",
            Self::Network => "__Host-tutti-console",
        }
    }

    /// What its cookie says beside its value.
    pub(crate) const fn attributes(self) -> &'static str {
        match self {
            Self::Loopback => "Path=/; HttpOnly; SameSite=Strict",
            Self::Network => "Path=/; Secure; HttpOnly; SameSite=Strict",
        }
    }

    /// What lets a browser in.
    pub(crate) const fn advice(self) -> &'static str {
        match self {
            Self::Loopback => "run `tutti console` on this machine and open the link that it prints",
            Self::Network => {
                "run `tutti console --network` on the device and open the link that it prints, or enter the code"
            }
        }
    }

    /// Whether a `Host` header means this machine, and not a name that was made to point at it.
    fn is_meant(self, host: &str) -> bool {
        match self {
            Self::Loopback => host::is_loopback(host),
            Self::Network => host::address(host).is_some(),
        }
    }
}

/// Headers on every answer.
const ALWAYS: [(header::HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (
        header::HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), usb=(), serial=(), bluetooth=(), payment=()",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// Puts the headers on an answer that every answer has.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Refuses what does not mean this machine, and what another page made the browser send. `page` says whether the path
/// is one that a person may follow a link to.
pub(crate) fn check(door: Door, method: &Method, page: bool, headers: &HeaderMap) -> Result<(), ErrorDetail> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text("host").unwrap_or_default();
    if !door.is_meant(host) {
        return Err(ErrorDetail::new(
            ErrorCode::ForbiddenHost,
            "the Host header does not name this machine",
            door.advice(),
        ));
    }
    let ours = text("origin").is_none_or(|origin| origin.strip_prefix(door.scheme()) == Some(host));
    let site = match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => true,
        // A link on another page may be followed to the console; it gets nothing that it would not show anybody.
        Some(_) => {
            let navigates = text("sec-fetch-mode") == Some("navigate") && text("sec-fetch-dest") == Some("document");
            page && method == Method::GET && navigates
        }
    };
    if ours && site {
        return Ok(());
    }
    Err(ErrorDetail::new(ErrorCode::CrossOrigin, "another page than the console's own asked for this", door.advice()))
}

/// What a request brings of a session: both halves, or nothing.
pub(crate) fn pass(door: Door, headers: &HeaderMap) -> Option<Pass> {
    let key = Secret::parse(headers.get(KEY_HEADER)?.to_str().ok()?)?;
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let cookie = cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(name, value)| (name == door.cookie()).then(|| Secret::parse(value)).flatten())?;
    Some(Pass { cookie, key })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        pairs.collect::<Vec<(header::HeaderName, HeaderValue)>>().into_iter().collect()
    }

    fn code(pairs: &[(&'static str, &str)], page: bool) -> Option<ErrorCode> {
        check(Door::Loopback, &Method::GET, page, &headers(pairs)).err().map(|error| error.code)
    }

    const HERE: (&str, &str) = ("host", "127.0.0.1:81");

    #[test]
    fn what_the_console_itself_asks_passes() {
        assert_eq!(code(&[HERE], false), None);
        assert_eq!(code(&[HERE, ("origin", "http://127.0.0.1:81"), ("sec-fetch-site", "same-origin")], false), None);
        assert_eq!(code(&[("host", "localhost:81"), ("sec-fetch-site", "none")], true), None);
        assert_eq!(code(&[("host", "[::1]:81"), ("origin", "http://[::1]:81")], true), None);
    }

    #[test]
    fn names_that_are_not_this_machine_do_not() {
        for host in
            ["", "evil.example", "127.0.0.1.evil.example:81", "localhost.evil.example", "10.0.0.1", "0.0.0.0:81"]
        {
            assert_eq!(code(&[("host", host)], true), Some(ErrorCode::ForbiddenHost), "{host}");
        }
        assert_eq!(code(&[], true), Some(ErrorCode::ForbiddenHost));
    }

    #[test]
    fn what_other_pages_ask_does_not() {
        for origin in ["http://evil.example", "http://127.0.0.1:82", "https://127.0.0.1:81", "null", "127.0.0.1:81"] {
            assert_eq!(code(&[HERE, ("origin", origin)], true), Some(ErrorCode::CrossOrigin), "{origin}");
        }
        for site in ["cross-site", "same-site", "new-word"] {
            assert_eq!(code(&[HERE, ("sec-fetch-site", site)], true), Some(ErrorCode::CrossOrigin), "{site}");
            let followed =
                [HERE, ("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            assert_eq!(code(&followed, true), None, "a link on another page, followed");
            assert_eq!(code(&followed, false), Some(ErrorCode::CrossOrigin));
            assert!(check(Door::Loopback, &Method::POST, true, &headers(&followed)).is_err());
            let framed = [HERE, ("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert_eq!(code(&framed, true), Some(ErrorCode::CrossOrigin), "in a frame");
        }
    }

    #[test]
    fn a_pass_has_two_halves() {
        let (one, two) = ("ab".repeat(32), "cd".repeat(32));
        for (door, other) in [(Door::Loopback, Door::Network), (Door::Network, Door::Loopback)] {
            let cookie = format!("other=1; {}={one}; x", door.cookie());
            let both = pass(door, &headers(&[("cookie", &cookie), (KEY_HEADER, &two)])).unwrap();
            assert_eq!((both.cookie.hex(), both.key.hex()), (one.clone(), two.clone()));
            assert!(pass(other, &headers(&[("cookie", &cookie), (KEY_HEADER, &two)])).is_none());
            assert!(pass(door, &headers(&[("cookie", &cookie)])).is_none());
            assert!(pass(door, &headers(&[(KEY_HEADER, &two)])).is_none());
            let longer = format!("x{}={one}", door.cookie());
            assert!(pass(door, &headers(&[("cookie", &longer), (KEY_HEADER, &two)])).is_none());
        }
    }

    #[test]
    fn on_the_network_only_addresses_and_their_own_pages_pass() {
        let code = |pairs: &[(&'static str, &str)]| {
            check(Door::Network, &Method::GET, false, &headers(pairs)).err().map(|error| error.code)
        };
        assert_eq!(code(&[("host", "10.0.0.1:8443"), ("origin", "https://10.0.0.1:8443")]), None);
        assert_eq!(code(&[("host", "[fd00::2]:8443"), ("sec-fetch-site", "same-origin")]), None);
        for host in ["", "kitchen.local:8443", "localhost:8443", "10.0.0.1.evil.example"] {
            assert_eq!(code(&[("host", host)]), Some(ErrorCode::ForbiddenHost), "{host}");
        }
        for origin in ["http://10.0.0.1:8443", "https://10.0.0.2:8443", "https://10.0.0.1", "null"] {
            let asked = [("host", "10.0.0.1:8443"), ("origin", origin)];
            assert_eq!(code(&asked), Some(ErrorCode::CrossOrigin), "{origin}");
        }
    }

    proptest! {
        #[test]
        fn no_header_panics(host in "[ -~]{0,30}", origin in "[ -~]{0,30}", cookie in "[ -~]{0,90}", key in "[ -~]{0,70}") {
            let headers = headers(&[("host", &host), ("origin", &origin), ("cookie", &cookie), (KEY_HEADER, &key)]);
            for door in [Door::Loopback, Door::Network] {
                let _ = check(door, &Method::GET, true, &headers);
                let _ = pass(door, &headers);
            }
        }
    }
}
