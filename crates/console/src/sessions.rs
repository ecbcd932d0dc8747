//! One-time tokens and the sessions they are exchanged for. No clock inside: every call is told the time.

use std::{collections::VecDeque, time::Duration};

use data_encoding::HEXLOWER;
use rand::{TryRng, rngs::SysRng};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// How long a link counts.
pub const LINK_LIFE: Duration = Duration::from_secs(120);

/// How long a session lasts, however much it is used.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Links that count at a time.
pub const MAX_LINKS: usize = 8;

/// Sessions at a time.
pub const MAX_SESSIONS: usize = 16;

/// 256 random bits, in lower-case hexadecimal when written.
#[derive(Clone, Copy)]
pub struct Secret([u8; 32]);

impl Secret {
    /// A new one from the operating system; none if that has no randomness to give.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 32];
        SysRng.try_fill_bytes(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Writes it.
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// What a browser needs to come in: the cookie, and the key that the page keeps.
#[derive(Clone, Copy)]
pub struct Pass {
    /// What the browser keeps from scripts.
    pub cookie: Secret,
    /// What the page sends.
    pub key: Secret,
}

/// Links and sessions that count.
#[derive(Default)]
pub struct Sessions {
    links: VecDeque<(Secret, Duration)>,
    sessions: VecDeque<Session>,
}

struct Session {
    pass: Pass,
    until: Duration,
    /// Dropped with the session, by which its streams know that they are to end.
    lives: watch::Sender<()>,
}

/// A session that counted when it was looked for.
pub struct Entry {
    /// For how long it still counts.
    pub left: Duration,
    /// Fails when it ended before that.
    pub lives: watch::Receiver<()>,
}

impl Sessions {
    /// Lets `token` be exchanged once from now on.
    pub fn offer(&mut self, now: Duration, token: Secret) {
        self.clean(now);
        if self.links.len() >= MAX_LINKS {
            self.links.pop_front();
        }
        self.links.push_back((token, now + LINK_LIFE));
    }

    /// Exchanges `token` for `pass`. A token counts once.
    pub fn enter(&mut self, now: Duration, token: &Secret, pass: Pass) -> bool {
        self.clean(now);
        let Some(at) = self.links.iter().position(|(known, _)| known.is(token)) else { return false };
        self.links.remove(at);
        if self.sessions.len() >= MAX_SESSIONS {
            self.sessions.pop_front();
        }
        self.sessions.push_back(Session { pass, until: now + SESSION_LIFE, lives: watch::Sender::new(()) });
        true
    }

    /// The session of `pass`, if it counts.
    pub fn find(&mut self, now: Duration, pass: &Pass) -> Option<Entry> {
        self.clean(now);
        let found = self.sessions.iter().find(|session| session.is(pass))?;
        Some(Entry { left: found.until - now, lives: found.lives.subscribe() })
    }

    /// Ends the session of `pass`.
    pub fn leave(&mut self, pass: &Pass) {
        self.sessions.retain(|session| !session.is(pass));
    }

    fn clean(&mut self, now: Duration) {
        self.links.retain(|(_, until)| *until > now);
        self.sessions.retain(|session| session.until > now);
    }
}

impl Session {
    fn is(&self, pass: &Pass) -> bool {
        // Both are compared, whatever the first said.
        self.pass.cookie.is(&pass.cookie) & self.pass.key.is(&pass.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secret(byte: u8) -> Secret {
        Secret([byte; 32])
    }

    fn pass(byte: u8) -> Pass {
        Pass { cookie: secret(byte), key: secret(byte ^ 0x80) }
    }

    const START: Duration = Duration::from_secs(1000);

    #[test]
    fn a_link_counts_once_and_not_for_long() {
        let mut all = Sessions::default();
        all.offer(START, secret(1));
        assert!(!all.enter(START, &secret(2), pass(1)), "another token");
        assert!(all.enter(START, &secret(1), pass(1)));
        assert!(!all.enter(START, &secret(1), pass(2)), "a second time");
        all.offer(START, secret(3));
        assert!(!all.enter(START + LINK_LIFE, &secret(3), pass(3)), "too late");
    }

    #[test]
    fn a_session_needs_both_halves_and_ends() {
        let mut all = Sessions::default();
        all.offer(START, secret(1));
        all.enter(START, &secret(1), pass(1));
        assert_eq!(all.find(START, &pass(1)).unwrap().left, SESSION_LIFE);
        assert!(all.find(START, &Pass { key: secret(9), ..pass(1) }).is_none(), "the cookie alone");
        assert!(all.find(START, &Pass { cookie: secret(9), ..pass(1) }).is_none(), "the key alone");
        let stream = all.find(START, &pass(1)).unwrap().lives;
        assert!(all.find(START + SESSION_LIFE, &pass(1)).is_none(), "too late");
        assert!(stream.has_changed().is_err(), "its streams are told");
    }

    #[test]
    fn leaving_ends_one_session_and_its_streams() {
        let mut all = Sessions::default();
        for one in [1, 2] {
            all.offer(START, secret(one));
            all.enter(START, &secret(one), pass(one));
        }
        let stream = all.find(START, &pass(1)).unwrap().lives;
        all.leave(&pass(1));
        assert!(stream.has_changed().is_err() && all.find(START, &pass(1)).is_none());
        assert!(all.find(START, &pass(2)).is_some());
    }

    proptest! {
        /// However many come, there are never more than so many, and the newest is among them.
        #[test]
        fn numbers_are_bounded(coming in proptest::collection::vec((any::<u8>(), any::<bool>()), 1..200)) {
            let mut all = Sessions::default();
            for (one, enters) in coming {
                all.offer(START, secret(one));
                if enters {
                    prop_assert!(all.enter(START, &secret(one), pass(one)));
                    prop_assert!(all.find(START, &pass(one)).is_some());
                }
                prop_assert!(all.links.len() <= MAX_LINKS && all.sessions.len() <= MAX_SESSIONS);
            }
        }

        #[test]
        fn only_secrets_parse(text in "[0-9a-f]{0,70}") {
            prop_assert_eq!(Secret::parse(&text).map(|secret| secret.hex()), (text.len() == 64).then_some(text));
        }
    }
}
