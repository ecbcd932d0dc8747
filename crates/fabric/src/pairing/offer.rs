//! What the host offers, what of it is on disk, and how it ends.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use tutti_model::{
    BootTime, DeviceId, Name, Role,
    section::{SectionError, SectionWriter, Sections, Tag},
};
use zeroize::Zeroize;

use super::{
    frame::Refusal,
    secret::{Code, Mode, TicketSecret},
};

/// How long a code and its ticket live. One life for both, since they are shown together and a person should have
/// one thing to remember; a ticket's 128 bits would bear a longer one, but a ticket that lies about in a chat would not.
pub const OFFER_LIFE: Duration = Duration::from_secs(120);

/// How long a ticket may live that no person hands on, as one that a device finds in its image. Its code dies as any.
pub const MAX_TICKET_LIFE: Duration = Duration::from_secs(3600);

/// How many wrong tries a code bears.
pub const MAX_WRONG_TRIES: u8 = 3;

/// What an owner offers to whoever knows one of the secrets. One device may use it.
#[derive(Clone, Debug)]
pub struct OfferTerms {
    /// The code on the screen.
    pub code: Code,
    /// The secret in the ticket.
    pub ticket: TicketSecret,
    /// What the new device may do.
    pub role: Role,
    /// How long the ticket lives: from [`OFFER_LIFE`] to [`MAX_TICKET_LIFE`], and what is outside is taken for the nearer.
    pub ticket_life: Duration,
}

/// How an offer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// This device is in the group and has said so.
    Paired(DeviceId, Name),
    /// This device was added, but the connection was lost before it said that it has the group. If it has, it will
    /// turn up by itself; if it does not turn up, forget it, or pair it again.
    Unconfirmed(DeviceId, Name),
    /// Nobody came in time.
    Expired,
    /// Withdrawn, or replaced by a newer one.
    Cancelled,
    /// It could not be written to disk, so it was never opened.
    NotStored,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Paired(_, name) => write!(f, "{name} is paired"),
            Self::Unconfirmed(_, name) => write!(
                f,
                "{name} was added, but the connection was lost before it answered; if it does not turn up within a \
                 minute, forget it and pair it again"
            ),
            Self::Expired => f.write_str("nobody used the code in time; make a new one"),
            Self::Cancelled => f.write_str("pairing was cancelled"),
            Self::NotStored => f.write_str("the offer could not be stored; check the disk and try again"),
        }
    }
}

/// An offer as it stands, for showing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferStatus {
    /// What the new device may do.
    pub role: Role,
    /// Whether it is on disk, so that code and ticket may be shown.
    pub open: bool,
    /// When it ends by itself.
    pub expires: BootTime,
    /// When its code ends. From then on only the ticket is left, if anything.
    pub code_expires: BootTime,
    /// How many more tries the code has, not counting one that is under way. At 0 only the ticket is left.
    pub tries_left: u8,
    /// The device that has shown the right secret: nobody else can use the offer any more.
    pub device: Option<(DeviceId, Name)>,
    /// How it ended, if it has.
    pub outcome: Option<Outcome>,
}

/// The device that has shown the right secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Bound {
    pub(super) device: DeviceId,
    pub(super) name: Name,
}

/// The host's side of one offer.
pub(super) struct Offer {
    /// Tells it from the offers before and after.
    pub(super) number: u64,
    pub(super) role: Role,
    pub(super) expires: BootTime,
    /// When the code ends, which is no later.
    code_expires: BootTime,
    /// Tries that were counted: all that were answered, less the right one.
    counted: u8,
    pub(super) bound: Option<Bound>,
    /// Whether the bound device was, or may have been, added to the group.
    pub(super) added: bool,
    /// Gone once it has ended.
    secrets: Option<(Code, TicketSecret)>,
    /// The write that makes it known to the disk, while that is under way.
    pub(super) opening: Option<u64>,
    pub(super) outcome: Option<Outcome>,
}

impl Offer {
    pub(super) fn new(number: u64, now: BootTime, terms: OfferTerms) -> Self {
        Self {
            number,
            role: terms.role,
            expires: now + terms.ticket_life.clamp(OFFER_LIFE, MAX_TICKET_LIFE),
            code_expires: now + OFFER_LIFE,
            counted: 0,
            bound: None,
            added: false,
            secrets: Some((terms.code, terms.ticket)),
            opening: None,
            outcome: None,
        }
    }

    pub(super) fn tries_left(&self) -> u8 {
        MAX_WRONG_TRIES.saturating_sub(self.counted)
    }

    /// Charges one try of the code, before it is answered.
    pub(super) fn count(&mut self) {
        self.counted = self.counted.saturating_add(1);
    }

    /// `device` has shown the right secret. From now on it alone can use the offer, and the try was no wrong one.
    pub(super) fn bind(&mut self, device: DeviceId, name: Name, mode: Mode) {
        if mode == Mode::Code {
            self.counted = self.counted.saturating_sub(1);
        }
        self.bound = Some(Bound { device, name });
    }

    /// The secrets, or what to tell `device` if it cannot use the offer now.
    pub(super) fn usable(&self, now: BootTime, device: DeviceId) -> Result<&(Code, TicketSecret), Refusal> {
        match (&self.outcome, &self.secrets) {
            (Some(Outcome::Paired(..)), _) => Err(Refusal::Taken),
            (Some(Outcome::Expired | Outcome::Unconfirmed(..)), _) => Err(Refusal::Expired),
            (Some(Outcome::Cancelled | Outcome::NotStored), _) | (None, None) => Err(Refusal::NoOffer),
            _ if now >= self.expires => Err(Refusal::Expired),
            _ if self.opening.is_some() => Err(Refusal::NoOffer),
            _ if self.bound.as_ref().is_some_and(|bound| bound.device != device) => Err(Refusal::Taken),
            (None, Some(secrets)) => Ok(secrets),
        }
    }

    /// The same for one who has shown, or is to show, a secret of this kind.
    pub(super) fn usable_by(
        &self,
        mode: Mode,
        now: BootTime,
        device: DeviceId,
    ) -> Result<&(Code, TicketSecret), Refusal> {
        let secrets = self.usable(now, device)?;
        if mode == Mode::Code && now >= self.code_expires { Err(Refusal::Expired) } else { Ok(secrets) }
    }

    /// Ends it and wipes the secrets.
    pub(super) fn finish(&mut self, outcome: Outcome) {
        self.secrets = None;
        self.opening = None;
        self.outcome = Some(outcome);
    }

    pub(super) fn status(&self) -> OfferStatus {
        OfferStatus {
            role: self.role,
            open: self.outcome.is_none() && self.opening.is_none(),
            expires: self.expires,
            code_expires: self.code_expires,
            tries_left: self.tries_left(),
            device: self.bound.as_ref().map(|bound| (bound.device, bound.name)),
            outcome: self.outcome.clone(),
        }
    }
}

const OFFER: Tag = Tag(90);
/// When the code ends, if that is before the offer does.
const CODE_EXPIRES: Tag = Tag(91);

/// An offer as it is on disk. Nothing at all stands for no offer.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Which start of the machine `expires` refers to.
    boot: [u8; 16],
    expires: BootTime,
    counted: u8,
    role: Role,
    code: [u8; 6],
    ticket: [u8; 16],
    bound: Option<Bound>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.code.zeroize();
        self.ticket.zeroize();
    }
}

impl Offer {
    /// What must be on disk now; empty once it has ended.
    pub(super) fn stored(&self, boot: [u8; 16]) -> Vec<u8> {
        let Some((code, ticket)) = &self.secrets else { return Vec::new() };
        let stored = Stored {
            boot,
            expires: self.expires,
            counted: self.counted,
            role: self.role,
            code: *code.digits(),
            ticket: *ticket.expose(),
            bound: self.bound.clone(),
        };
        let mut writer = SectionWriter::new();
        writer.push(OFFER, 1, &stored).expect("a handful of plain fields has a postcard form");
        if self.code_expires != self.expires {
            writer.push(CODE_EXPIRES, 1, &self.code_expires).expect("a time has a postcard form");
        }
        writer.finish()
    }

    /// The offer that the bytes hold, if it is still alive: of this start of the machine, and not too old.
    pub(super) fn restore(bytes: &[u8], boot: [u8; 16], now: BootTime) -> Result<Option<Self>, SectionError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let sections = Sections::new_checked(bytes)?;
        let stored: Stored = sections.one(OFFER)?.decode()?;
        let code_expires = sections.at_most_one(CODE_EXPIRES)?;
        let code_expires: Option<BootTime> = code_expires.map(|section| section.decode()).transpose()?;
        let code_expires = code_expires.unwrap_or(stored.expires);
        let code = Code::from_digits(stored.code).ok_or(SectionError::Malformed(OFFER))?;
        let alive = stored.boot == boot && now < stored.expires && stored.expires.since(now) <= MAX_TICKET_LIFE;
        let alive = alive && code_expires.since(now) <= OFFER_LIFE;
        Ok(alive.then(|| Self {
            number: 0,
            role: stored.role,
            expires: stored.expires,
            code_expires,
            counted: stored.counted,
            // Whether the group took it before the end is for the group to know; it may have.
            added: stored.bound.is_some(),
            bound: stored.bound.clone(),
            secrets: Some((code, TicketSecret::from_bytes(stored.ticket))),
            opening: None,
            outcome: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Offer {
        let terms = OfferTerms {
            code: "042917".parse().unwrap(),
            ticket: TicketSecret::from_bytes([7; 16]),
            role: Role::Member,
            ticket_life: OFFER_LIFE,
        };
        Offer::new(1, BootTime::from_nanos(1_000), terms)
    }

    #[test]
    fn golden_bytes() {
        let mut offer = example();
        offer.count();
        insta::assert_snapshot!(data_encoding::HEXLOWER.encode(&offer.stored([9; 16])), @"5a0001002f00000009090909090909090909090909090909e8e7ba84bf0301010004020901070707070707070707070707070707070700");
    }

    #[test]
    fn what_is_restored_is_what_was_stored() {
        let mut offer = example();
        offer.count();
        offer.count();
        let name = Name::new("garden").unwrap();
        offer.bind(DeviceId::from_bytes([3; 32]), name, Mode::Ticket);
        let now = BootTime::from_nanos(2_000);
        let back = Offer::restore(&offer.stored([9; 16]), [9; 16], now).unwrap().unwrap();
        assert_eq!(back.status(), offer.status());
        assert_eq!(back.tries_left(), 1);
        assert!(back.usable(now, DeviceId::from_bytes([3; 32])).is_ok());
        assert_eq!(back.usable(now, DeviceId::from_bytes([4; 32])).err(), Some(Refusal::Taken));
    }

    #[test]
    fn an_offer_does_not_outlive_its_time_or_the_machines_run() {
        let stored = example().stored([9; 16]);
        let at = |nanos| BootTime::from_nanos(nanos);
        let end = 1_000 + OFFER_LIFE.as_nanos() as u64;
        assert!(Offer::restore(&stored, [9; 16], at(end - 1)).unwrap().is_some());
        assert!(Offer::restore(&stored, [9; 16], at(end)).unwrap().is_none(), "too old");
        assert!(Offer::restore(&stored, [9; 16], at(0)).unwrap().is_none(), "of another start");
        assert!(Offer::restore(&stored, [8; 16], at(2_000)).unwrap().is_none(), "of another start");
        assert!(Offer::restore(&[], [9; 16], at(2_000)).unwrap().is_none());
        assert!(Offer::restore(&stored[..20], [9; 16], at(2_000)).is_err());
    }

    #[test]
    fn a_ticket_may_outlive_its_code_for_a_while() {
        let (me, begin) = (DeviceId::from_bytes([3; 32]), BootTime::from_nanos(1_000));
        let second = Duration::from_secs(1);
        let offer = |ticket_life| {
            let (code, ticket) = ("042917".parse().unwrap(), TicketSecret::from_bytes([7; 16]));
            Offer::new(1, begin, OfferTerms { code, ticket, role: Role::Member, ticket_life })
        };
        for (wanted, has) in [(Duration::ZERO, OFFER_LIFE), (Duration::MAX, MAX_TICKET_LIFE)] {
            assert_eq!(offer(wanted).expires, begin + has);
        }
        let long = offer(MAX_TICKET_LIFE);
        let restored = Offer::restore(&long.stored([9; 16]), [9; 16], begin + second).unwrap().unwrap();
        for offer in [long, restored] {
            let by = |mode, now| offer.usable_by(mode, now, me).map(drop);
            assert_eq!(by(Mode::Code, begin + OFFER_LIFE - second), Ok(()));
            assert_eq!(by(Mode::Code, begin + OFFER_LIFE), Err(Refusal::Expired));
            assert_eq!(by(Mode::Ticket, begin + OFFER_LIFE), Ok(()));
            assert_eq!(by(Mode::Ticket, begin + MAX_TICKET_LIFE - second), Ok(()));
            assert_eq!(by(Mode::Ticket, begin + MAX_TICKET_LIFE), Err(Refusal::Expired));
            let stored = offer.stored([9; 16]);
            assert!(Offer::restore(&stored, [9; 16], begin + OFFER_LIFE + second).unwrap().is_some());
            assert!(Offer::restore(&stored, [9; 16], begin + MAX_TICKET_LIFE).unwrap().is_none());
        }
    }

    #[test]
    fn an_ended_offer_stores_nothing() {
        let mut offer = example();
        offer.finish(Outcome::Cancelled);
        assert!(offer.stored([9; 16]).is_empty());
    }
}
