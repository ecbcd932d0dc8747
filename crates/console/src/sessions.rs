//! One-time tokens and codes, and the sessions they are exchanged for. No clock inside: every call is told the time.
//!
//! A token cannot be guessed. A code can, with one chance in a million at each try: all codes are void after
//! [`MAX_WRONG`] wrong ones, until a new one is offered.

use std::{collections::VecDeque, fmt, time::Duration};

use data_encoding::HEXLOWER;
use rand::{TryRng, rngs::SysRng};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

/// How long a link counts.
pub const LINK_LIFE: Duration = Duration::from_secs(120);

/// How long a session lasts, however much it is used.
pub const SESSION_LIFE: Duration = Duration::from_secs(12 * 3600);

/// Wrong codes after which none counts any more.
pub const MAX_WRONG: u32 = 3;

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

/// Six digits that a person can type.
#[derive(Clone, Copy)]
pub struct Code([u8; 6]);

impl Code {
    /// A new one from the operating system; none if that has no randomness to give.
    pub fn random() -> Option<Self> {
        const ALL: u32 = 1_000_000;
        loop {
            let drawn = SysRng.try_next_u32().ok()?;
            // What lies beyond the last whole million would make some codes likelier.
            if drawn < u32::MAX / ALL * ALL {
                return Self::parse(&format!("{:06}", drawn % ALL));
            }
        }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: [u8; 6] = text.as_bytes().try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    fn is(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|digit| write!(f, "{}", char::from(*digit)))
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
    links: VecDeque<Link>,
    sessions: VecDeque<Session>,
    /// Wrong codes since the latest was offered.
    wrong: u32,
}

struct Link {
    token: Secret,
    code: Option<Code>,
    until: Duration,
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
    /// Lets `token` or `code` be exchanged from now on, once.
    pub fn offer(&mut self, now: Duration, token: Secret, code: Option<Code>) {
        self.clean(now);
        if self.links.len() >= MAX_LINKS {
            self.links.pop_front();
        }
        self.links.push_back(Link { token, code, until: now + LINK_LIFE });
        self.wrong = 0;
    }

    /// Exchanges `token` for `pass`. A token counts once.
    pub fn enter(&mut self, now: Duration, token: &Secret, pass: Pass) -> bool {
        self.clean(now);
        let found = self.links.iter().position(|link| link.token.is(token));
        self.exchange(now, found, pass)
    }

    /// Exchanges `code` for `pass`. A code counts once, and not after too many wrong ones.
    pub fn enter_by_code(&mut self, now: Duration, code: &Code, pass: Pass) -> bool {
        self.clean(now);
        let found = self.links.iter().position(|link| link.code.is_some_and(|known| known.is(code)));
        if found.is_none() {
            self.wrong += 1;
            if self.wrong >= MAX_WRONG {
                self.links.iter_mut().for_each(|link| link.code = None);
            }
        }
        self.exchange(now, found, pass)
    }

    fn exchange(&mut self, now: Duration, link: Option<usize>, pass: Pass) -> bool {
        let Some(at) = link else { return false };
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
        self.links.retain(|link| link.until > now);
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
        all.offer(START, secret(1), None);
        assert!(!all.enter(START, &secret(2), pass(1)), "another token");
        assert!(all.enter(START, &secret(1), pass(1)));
        assert!(!all.enter(START, &secret(1), pass(2)), "a second time");
        all.offer(START, secret(3), None);
        assert!(!all.enter(START + LINK_LIFE, &secret(3), pass(3)), "too late");
    }

    #[test]
    fn a_code_counts_once_in_place_of_its_link() {
        let (mut all, code) = (Sessions::default(), Code::parse("012345").unwrap());
        all.offer(START, secret(1), Some(code));
        assert!(all.enter_by_code(START, &code, pass(1)));
        assert!(!all.enter_by_code(START, &code, pass(2)), "a second time");
        assert!(!all.enter(START, &secret(1), pass(2)), "its link went with it");
        all.offer(START, secret(2), Some(code));
        assert!(all.enter(START, &secret(2), pass(2)));
        assert!(!all.enter_by_code(START, &code, pass(3)), "it went with its link");
        all.offer(START, secret(3), Some(code));
        assert!(!all.enter_by_code(START + LINK_LIFE, &code, pass(3)), "too late");
    }

    #[test]
    fn wrong_codes_void_all_codes_and_no_link() {
        let (mut all, code, wrong) =
            (Sessions::default(), Code::parse("123456").unwrap(), Code::parse("654321").unwrap());
        all.offer(START, secret(1), Some(code));
        for _ in 0..MAX_WRONG {
            assert!(!all.enter_by_code(START, &wrong, pass(1)));
        }
        assert!(!all.enter_by_code(START, &code, pass(1)), "void");
        assert!(all.enter(START, &secret(1), pass(1)), "the link was not guessed at");
        all.offer(START, secret(2), Some(code));
        assert!(!all.enter_by_code(START, &wrong, pass(2)));
        assert!(all.enter_by_code(START, &code, pass(2)), "a new one counts");
    }

    #[test]
    fn codes_are_six_digits() {
        let code = Code::random().unwrap().to_string();
        assert!(code.len() == 6 && Code::parse(&code).is_some());
        for bad in ["", "12345", "1234567", "12345x", "１２", "-12345"] {
            assert!(Code::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_session_needs_both_halves_and_ends() {
        let mut all = Sessions::default();
        all.offer(START, secret(1), None);
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
            all.offer(START, secret(one), None);
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
                all.offer(START, secret(one), None);
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
