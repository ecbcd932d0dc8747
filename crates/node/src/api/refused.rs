//! The rooms' errors as the API says them. Each `Display` says what happened and why; here come the code and the
//! next step.

use tutti_control::ErrorCode;
use tutti_fabric::{GroupChangeError, JoinError, OfferError, group::GroupError, pairing, ticket::TicketError};
use tutti_model::message::Refusal;
use tutti_pool::PoolError;

use super::error::ApiError;
use crate::{node::Node, state::SaveError};

pub(super) fn save(error: SaveError) -> ApiError {
    match error {
        SaveError::Closed => stopping(),
        error => ApiError::new(ErrorCode::StorageFailed, error.to_string(), "make room, or check the disk"),
    }
}

fn stopping() -> ApiError {
    ApiError::new(ErrorCode::Stopping, "this device is shutting down", "start it again")
}

fn store(error: &tutti_fabric::StoreError) -> ApiError {
    ApiError::new(ErrorCode::StorageFailed, error.to_string(), "make room, or check the disk; nothing was changed")
}

pub(super) fn offer(error: OfferError) -> ApiError {
    match &error {
        OfferError::NotAnOwner(_) => ApiError::new(
            ErrorCode::NotOwner,
            error.to_string(),
            "show the code on an owner: `tutti devices` lists them",
        ),
        OfferError::Store(why) => store(why),
        OfferError::Closing => stopping(),
        _ => ApiError::new(ErrorCode::Internal, error.to_string(), "see the device's log"),
    }
}

pub(super) fn code(error: pairing::BadCode) -> ApiError {
    ApiError::new(ErrorCode::BadCode, error.to_string(), "type the six digits that the other device shows")
}

pub(super) fn ticket(error: TicketError) -> ApiError {
    ApiError::new(ErrorCode::BadTicket, error.to_string(), "copy the whole ticket from the other device")
}

pub(super) fn join(error: JoinError) -> ApiError {
    use pairing::JoinError as Why;
    let text = error.to_string();
    let (code, hint) = match error {
        JoinError::NotAlone { .. } => (ErrorCode::NotAlone, ""),
        JoinError::Unreachable(_) => {
            (ErrorCode::Unreachable, "check that both are in one network and that no firewall drops UDP")
        }
        JoinError::Pairing(why) => match why {
            Why::Burnt | Why::WrongCode { .. } | Why::CodeDead => (ErrorCode::WrongCode, ""),
            Why::NoOffer => (ErrorCode::NoOffer, ""),
            Why::Expired | Why::Taken => (ErrorCode::Expired, ""),
            Why::WrongTicket => (ErrorCode::BadTicket, ""),
            Why::Busy => (ErrorCode::Busy, ""),
            Why::TimedOut(_) => (ErrorCode::TimedOut, ""),
            Why::Lost | Why::Cancelled => (ErrorCode::Unreachable, ""),
            Why::NotStored => (ErrorCode::StorageFailed, ""),
            _ => (ErrorCode::PeerMisbehaved, ""),
        },
        _ => (ErrorCode::Internal, "see the device's log"),
    };
    ApiError::new(code, text, hint)
}

pub(super) fn group(error: GroupChangeError) -> ApiError {
    let text = error.to_string();
    match error {
        GroupChangeError::Store(why) => store(&why),
        GroupChangeError::Alone => ApiError::new(ErrorCode::NotAlone, text, ""),
        GroupChangeError::Words(_) => {
            ApiError::new(ErrorCode::BadCode, text, "type all of the words in their order, with spaces between")
        }
        GroupChangeError::Group(why) => group_rule(&why, text),
        _ => ApiError::new(ErrorCode::Internal, text, "see the device's log"),
    }
}

/// What the pool says, with names where it knows only ids.
pub(super) fn pool(node: &Node, error: PoolError) -> ApiError {
    let text = match &error {
        PoolError::Refused { subject, why: Refusal::HeldBy { holder, remaining } } => {
            let (holder, seconds) = (node.name_of(*holder), remaining.as_secs_f64().ceil());
            format!("{holder} holds {subject} for another {seconds} s unless it is renewed")
        }
        error => error.to_string(),
    };
    let (code, hint) = match &error {
        PoolError::UnknownDevice(_) => (ErrorCode::NoSuchDevice, ""),
        PoolError::Offline { .. } => (ErrorCode::Offline, ""),
        PoolError::NoAnswer { .. } | PoolError::TimedOut { .. } => {
            (ErrorCode::TimedOut, "look before trying again: it may have been done")
        }
        PoolError::Refused { why, .. } => refusal(why),
        PoolError::Misbehaved { .. } => (ErrorCode::PeerMisbehaved, "update the older of the two devices"),
        PoolError::AlreadyHeld { .. } => (ErrorCode::Held, ""),
        PoolError::NotHeld(_) => (ErrorCode::LeaseLost, ""),
        PoolError::NotReserved(_) | PoolError::BadHandOver => (ErrorCode::BadRequest, ""),
        PoolError::TooLong(_) => (ErrorCode::TooLarge, "send less"),
        PoolError::Busy => (ErrorCode::TooMany, ""),
        PoolError::Broken { .. } => (ErrorCode::Unreachable, "try again"),
        PoolError::Stopped => (ErrorCode::Stopping, "start the device again"),
        _ => (ErrorCode::Internal, "see the device's log"),
    };
    ApiError::new(code, text, hint)
}

/// The code and the next step for what the device that owns a resource said.
const fn refusal(why: &Refusal) -> (ErrorCode, &'static str) {
    match why {
        Refusal::NotAllowed { .. } => (ErrorCode::NotAllowed, "ask an owner of the group for another role"),
        Refusal::NoSuchResource => (ErrorCode::NoSuchResource, "`tutti resources` lists what there is"),
        Refusal::NotReadable => (ErrorCode::NotReadable, ""),
        Refusal::NotWritable => (ErrorCode::NotWritable, ""),
        Refusal::LeaseNeeded => (ErrorCode::Held, "take a lease first: POST /v1/leases"),
        Refusal::HeldBy { .. } | Refusal::WrongMode { .. } => (ErrorCode::Held, "wait until it is given back"),
        Refusal::StaleToken | Refusal::Superseded { .. } => (ErrorCode::LeaseLost, "take a new lease"),
        Refusal::NotReserved | Refusal::BadHandOver | Refusal::Malformed => (ErrorCode::BadRequest, ""),
        Refusal::OutOfRange(_) | Refusal::WrongType { .. } => {
            (ErrorCode::BadValue, "`tutti resources --json` shows what it takes")
        }
        Refusal::NotFound => (ErrorCode::NoSuchFile, "list the files to see what there is"),
        Refusal::NoSpace { .. } => (ErrorCode::QuotaExceeded, "remove something from it, or make room on its disk"),
        Refusal::TooLarge { .. } => (ErrorCode::TooLarge, "send less"),
        Refusal::Busy => (ErrorCode::TooMany, "try again shortly"),
        Refusal::TimedOut => (ErrorCode::TimedOut, "try again; if it stays so, look at the hardware"),
        Refusal::Unsupported => (ErrorCode::BadRequest, "the other device may have an older version"),
        _ => (ErrorCode::ResourceFailed, "try again; if it stays so, look at the device that offers it"),
    }
}

/// What the rules of the trust group do not allow.
fn group_rule(why: &GroupError, text: String) -> ApiError {
    let (code, hint) = match why {
        GroupError::NotAnOwner { .. } => (ErrorCode::NotOwner, "do it on an owner: `tutti devices` shows the roles"),
        GroupError::LastOwner => (ErrorCode::LastOwner, "make another device an owner first"),
        GroupError::UnknownDevice { .. } | GroupError::NotAMember { .. } => (ErrorCode::NoSuchDevice, ""),
        GroupError::RecoverySet => (ErrorCode::AlreadyExported, ""),
        GroupError::NoRecovery | GroupError::WrongRecovery => (ErrorCode::WrongWords, ""),
        GroupError::AlreadyAMember { .. } | GroupError::SameRole(_) | GroupError::NoEffect => {
            (ErrorCode::BadRequest, "")
        }
        GroupError::TooLarge { .. } => (ErrorCode::TooMany, ""),
        _ => (ErrorCode::Internal, "see the device's log"),
    };
    ApiError::new(code, text, hint)
}
