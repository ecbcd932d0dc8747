//! What a request that failed means: that it goes on later, or that it is over. And for how long "later" may last.

use std::time::{Duration, Instant};

use tutti_control::{ClientError, ErrorCode};

/// It cannot be reached, or does not answer.
const AWAY: &str = "away; goes on when it is back";
/// It has too much to do.
const BUSY: &str = "busy; goes on when it is free";

/// Why a request may go well when it is made again, and when, in words; none if it was refused, and will be again.
pub(super) fn passing(error: &ClientError) -> Option<&'static str> {
    match error {
        // A connection to this machine's device that breaks may have broken as an answer came before everything was
        // sent. If that device itself is gone, the next request cannot connect.
        ClientError::TimedOut { .. } | ClientError::Lost { .. } => Some(AWAY),
        ClientError::Refused { detail, .. } => match detail.code {
            ErrorCode::Offline | ErrorCode::TimedOut | ErrorCode::Unreachable => Some(AWAY),
            // What is set is leased for the moment; a lease whose end was not heard of ends within seconds.
            ErrorCode::TooMany | ErrorCode::Held | ErrorCode::LeaseLost => Some(BUSY),
            _ => None,
        },
        _ => None,
    }
}

/// How long one goes on without anything coming of it.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Duration,
    /// When it first failed, since something last came of it.
    since: Option<Instant>,
}

impl Patience {
    pub(super) const fn new(limit: Duration) -> Self {
        Self { limit, since: None }
    }

    /// Something came of it.
    pub(super) const fn moved(&mut self) {
        self.since = None;
    }

    /// It failed; how much longer one goes on, if at all.
    pub(super) fn failed(&mut self, now: Instant) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        self.limit.checked_sub(now.saturating_duration_since(since)).filter(|left| !left.is_zero())
    }

    /// Whether it has failed since something last came of it.
    pub(super) const fn is_tried(&self) -> bool {
        self.since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use tutti_control::ErrorDetail;

    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn what_is_refused_ends_at_once() {
        use ErrorCode::{Held, LeaseLost, Offline, TimedOut, TooMany, Unreachable};
        let refused = |code: ErrorCode| ClientError::Refused {
            status: code.status(),
            detail: ErrorDetail::new(code, "away, offline, the connection broke", ""),
        };
        let waits: Vec<_> = ErrorCode::ALL.iter().filter(|code| passing(&refused(**code)).is_some()).collect();
        let all = [Offline, TimedOut, Held, LeaseLost, Unreachable, TooMany];
        assert_eq!(waits, all.each_ref(), "by the code alone, whatever the words");
        let what = || "PUT /v1/storage/gateway/system-parts/x".to_owned();
        assert_eq!(passing(&ClientError::Lost { what: what(), why: String::new() }), Some(AWAY));
        assert_eq!(passing(&ClientError::TimedOut { what: what(), after: S(30) }), Some(AWAY));
        assert_eq!(passing(&ClientError::Source(std::io::Error::other("the image"))), None);
        assert_eq!(passing(&ClientError::Garbled { what: what(), why: String::new() }), None);
    }

    #[test]
    fn only_what_comes_of_it_renews_it() {
        let mut patience = Patience::new(S(120));
        let begin = Instant::now();
        assert_eq!(patience.failed(begin), Some(S(120)));
        assert_eq!(patience.failed(begin + S(119)), Some(S(1)));
        assert_eq!(patience.failed(begin + S(120)), None);
        assert!(patience.is_tried());
        patience.moved();
        assert!(!patience.is_tried());
        assert_eq!(patience.failed(begin + S(500)), Some(S(120)));
        assert_eq!(Patience::new(Duration::ZERO).failed(begin), None, "none at all is asked for");
    }
}
