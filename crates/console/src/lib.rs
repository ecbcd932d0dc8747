//! The console: a page that shows the pool and lets a person use it, and who may open it.
//!
//! The page ([`web`](https://github.com/tutti-os/tutti/tree/main/crates/console/web)) is built into this crate and
//! uses nothing but the control API, which the device hands in as a router. This crate stands in front of that router
//! as the door for browsers:
//!
//! 1. A person who may open the device's socket asks it for a link ([`Console::invite`]). The link holds a one-time
//!    token behind `#`, the part of an address that browsers never send.
//! 2. The page takes the token from there, out of the address bar and the history too, and exchanges it (`POST
//!    /login`) for two secrets: a *cookie* that scripts cannot read, and a *key* that the page keeps and sends as the
//!    header [`KEY_HEADER`].
//! 3. Every request to the API needs both. They end together: after [`sessions::SESSION_LIFE`], at `POST /logout`,
//!    or with the device's process; streams that are open then end as well.
//!
//! # Attacks
//!
//! | attack | met by |
//! |---|---|
//! | a page elsewhere makes the browser send requests (CSRF) | `Origin` and `Sec-Fetch-Site` are checked; the cookie is `SameSite=Strict`; the key's header cannot be sent across origins without a CORS grant, and none is ever given |
//! | another server on this machine: cookies are shared by all ports of a host | what it gets is half of what is needed: the key is kept per origin, port included. `Sec-Fetch-Site: same-site` is refused |
//! | a page rebinds its own name to 127.0.0.1 (DNS rebinding) | `Host` must be a loopback name or address |
//! | a page frames the console and makes people click (clickjacking) | `frame-ancestors 'none'`, `X-Frame-Options: DENY` |
//! | a page includes the console's script or an answer of the API | `Cross-Origin-Resource-Policy: same-origin`, `nosniff`, `Sec-Fetch-Site` |
//! | names, values and files from other devices as script (XSS) | the page makes text nodes only; `script-src 'self'`, no inline script or style, no `eval`; `require-trusted-types-for 'script'`; files are downloads |
//! | a link seen in the terminal's history, or opened by a previewer | it counts once and for two minutes, and fetching it does nothing: the token is not in the request |
//! | guessing a secret, by timing too | 256 random bits each, compared in constant time |
//! | very many links or logins | eight links and sixteen sessions at a time; the oldest goes |
//! | a console makes further links for itself | `POST /v1/console` is refused to it |
//!
//! # From other machines
//!
//! Where a person asks for it, there is a second door ([`Door::Network`]) for browsers of other machines: TLS 1.3 with the
//! certificate that the device made for itself ([`tls`]), sessions of its own, and besides the link, which a phone takes
//! as a QR code, six digits to type. It is shut again with the device, or when the person says so.
//!
//! | attack | met by |
//! |---|---|
//! | listening on the network | TLS 1.3 |
//! | standing in between with another certificate | the browser warns; the person compares the fingerprint that the device shows. Nothing in a browser can do that for them |
//! | guessing the code | three wrong ones void it, and it counts for two minutes: three chances in a million for each time that a person asks for one |
//! | guessing on purpose, so that no code ever counts | the link goes on to count |
//! | a name that is made to point here | `Host` must be an address: a page elsewhere has a name |
//! | another server of this machine plants a cookie | the cookie's name begins with `__Host-`: browsers take it over TLS from this very host only |
//! | half a handshake, and many of them | so many connections and no more, each with an end ([`MAX_HANDSHAKE`](tls::MAX_HANDSHAKE)) |
#![forbid(unsafe_code)]

mod assets;
mod door;
mod guard;
pub mod metrics;
pub mod sessions;
pub mod tls;

pub use self::{
    door::{Console, Invitation},
    guard::{Door, KEY_HEADER},
};
