//! Asking what time it is: the client's part of SNTP (RFC 5905, section 14), without I/O.
//!
//! The kernel reads the machine's own clock if it has one. A device without one begins in 1970, or whenever its clock's
//! battery died, and says so; nothing in Tutti depends on the calendar but what people see. If the settings name a server, it is
//! asked when there is a network, and once an hour then; the clock is set when it is wrong by more than [`WRONG`],
//! in one step.
//!
//! `sntpc` 0.11 was looked at: it tells the era by the clock, which is what is not known here, and gives its
//! question the time for the answer to carry where this draws a number.
//!
//! The server is believed as far as a plain network can be: its answer has to carry what was drawn for the question. Who
//! can see the question can lie about the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The port of servers.
pub const PORT: u16 = 123;

/// The length of a message without extensions.
pub const LEN: usize = 48;

/// How wrong the clock may be.
pub const WRONG: Duration = Duration::from_millis(500);

/// Seconds from 1900 to 1970.
const ERA: u64 = 2_208_988_800;

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(256);
const SETTLED: Duration = Duration::from_secs(3600);

/// 2024-01-01: a clock before that was never set.
pub const CLOCK_SET: Duration = Duration::from_secs(1_704_067_200);

/// Whether the clock can be right at all.
pub fn is_set(now: SystemTime) -> bool {
    now.duration_since(UNIX_EPOCH).is_ok_and(|since| since >= CLOCK_SET)
}

/// The client.
#[derive(Debug)]
pub struct Client {
    next: Instant,
    pause: Duration,
    /// What the answer is to carry, and when it was asked.
    asked: Option<(u64, Instant)>,
}

impl Client {
    /// Asks at once.
    pub const fn new(now: Instant) -> Self {
        Self { next: now, pause: FIRST, asked: None }
    }

    /// When [`Client::poll`] has something to do.
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// The question to send now, if it is time. `drawn` is a random number.
    pub fn poll(&mut self, now: Instant, drawn: u64) -> Option<[u8; LEN]> {
        if now < self.next {
            return None;
        }
        self.asked = Some((drawn, now));
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST);
        let mut bytes = [0; LEN];
        // Version 4, a client.
        bytes[0] = 0x23;
        bytes[40..].copy_from_slice(&drawn.to_be_bytes());
        Some(bytes)
    }

    /// Takes what came: the time since 1970 as it is at `now`. None if it is no answer to the last question.
    pub fn handle(&mut self, now: Instant, bytes: &[u8]) -> Option<Duration> {
        let (drawn, asked) = self.asked?;
        let word = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_be_bytes);
        let (&first, &stratum) = (bytes.first()?, bytes.get(1)?);
        // A server of version 3 or 4 that knows the time itself.
        let server = first & 7 == 4 && matches!(first >> 3 & 7, 3 | 4) && first >> 6 != 3 && (1..16).contains(&stratum);
        if !server || word(24)? != drawn {
            return None;
        }
        let sent = word(40)?;
        let (seconds, fraction) = (sent >> 32, sent & 0xffff_ffff);
        // Since 2036 the seconds count from zero again (RFC 4330, section 3).
        let seconds = if seconds & 1 << 31 == 0 { seconds + (1 << 32) } else { seconds };
        let since =
            Duration::from_secs(seconds.checked_sub(ERA)?) + Duration::from_nanos((fraction * 1_000_000_000) >> 32);
        if sent == 0 || since < CLOCK_SET {
            return None;
        }
        self.asked = None;
        (self.next, self.pause) = (now + SETTLED, FIRST);
        // Half of the way there and back.
        Some(since + now.saturating_duration_since(asked) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(question: &[u8; LEN], seconds: u64) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        (bytes[0], bytes[1]) = (0x24, 2);
        bytes[24..32].copy_from_slice(&question[40..]);
        let seconds = (seconds + ERA) as u32;
        bytes[40..44].copy_from_slice(&seconds.to_be_bytes());
        bytes[44] = 0x80;
        bytes
    }

    #[test]
    fn the_time_is_asked_and_told() {
        let now = Instant::now();
        let mut client = Client::new(now);
        let question = client.poll(now, 77).unwrap();
        assert_eq!((question[0], &question[40..]), (0x23, &77_u64.to_be_bytes()[..]));
        let later = now + Duration::from_millis(100);
        for seconds in [1_800_000_000, 2_300_000_000] {
            let mut client = Client { ..Client::new(now) };
            client.poll(now, 77);
            let told = client.handle(later, &answer(&question, seconds)).unwrap();
            assert_eq!(told, Duration::from_millis(seconds * 1000 + 550), "2036 is no end");
            assert_eq!(client.next(), later + SETTLED);
            assert_eq!(client.handle(later, &answer(&question, seconds)), None, "once");
        }
    }

    #[test]
    fn who_was_not_asked_is_not_believed() {
        let now = Instant::now();
        let mut client = Client::new(now);
        let question = client.poll(now, 77).unwrap();
        let good = answer(&question, 1_800_000_000);
        let spoil: [fn(&mut [u8; LEN]); 5] = [
            |bytes| bytes[24] ^= 1,
            |bytes| bytes[0] = 0x23,
            |bytes| bytes[0] = 0xe4,
            |bytes| bytes[1] = 0,
            |bytes| bytes[40..].fill(0),
        ];
        for spoil in spoil {
            let mut bad = good;
            spoil(&mut bad);
            assert_eq!(client.handle(now, &bad), None);
        }
        assert_eq!(client.handle(now, &good[..47]), None);
        assert!(client.handle(now, &good).is_some());
    }

    #[test]
    fn a_silent_server_is_asked_ever_more_rarely() {
        let begin = Instant::now();
        let (mut client, mut count) = (Client::new(begin), 0);
        while client.next() < begin + Duration::from_secs(3600) {
            let now = client.next();
            count += u32::from(client.poll(now, 1).is_some());
        }
        assert!((15..30).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let now = Instant::now();
            let mut client = Client::new(now);
            client.poll(now, 0);
            client.handle(now, &bytes);
        }
    }
}
