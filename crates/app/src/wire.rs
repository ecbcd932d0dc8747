//! What devices say to each other about apps, beside [`handover::Message`](crate::handover::Message)s: in `postcard`, within what a session
//! carries in one message.
//!
//! | how | what | answer |
//! |---|---|---|
//! | notice | [`Notice::Mover`]: a step of a move | notices |
//! | notice | [`Notice::Applied`], [`Notice::Superseded`]: what became of an effect | |
//! | notice | [`Notice::Guard`]: between a home and its standby, as [`standby`](crate::standby) has it | notices |
//! | notice | [`Notice::Listing`]: which instances and packages a device has, and how busy it is | |
//! | request | [`Ask::Effect`]: an effect, for a resource or an instance of the other device | [`Answer`] |
//! | request | [`Ask::Have`]: is that package there? | [`Answer`] |
//! | request | [`Ask::Do`]: what a person at the other device wants done | [`Answer`] |
//! | stream | [`Header::Package`]: a package, its length first | one byte: 1 it is kept, 0 it is not |
//! | stream | [`Header::Fetch`]: the wish for one | its length (0: none), its bytes |
//! | request | [`Ask::Guard`]: could that package go on there, and may this instance of it be guarded there? | [`Answer`] |
//! | stream | [`Header::State`]: the steps of a move, as [`step`](crate::step) has them | one byte for each |
//! | stream | [`Header::Checkpoint`]: one such step, for a standby | one byte: it was looked at |

use serde::{Deserialize, Serialize};
use tutti_model::message::Token;

use crate::{
    effects::{Effect, Receiver},
    ids::{Attempt, EffectId, Epoch, InstanceId},
    standby::{Mark, Settings},
};

/// Wants no answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// A message of [`handover`](crate::handover), as it makes them.
    Mover(Vec<u8>),
    /// A receiver has this effect of an instance, durably, and all before it.
    Applied {
        /// The instance.
        of: InstanceId,
        /// Who has it.
        to: Receiver,
        /// Which effect.
        id: EffectId,
    },
    /// A receiver has heard of a later home of an instance.
    Superseded {
        /// The instance.
        of: InstanceId,
        /// That home.
        by: Epoch,
    },
    /// What this device has: as JSON, in the words of the control API.
    Listing(Vec<u8>),
    /// A message of [`standby`](crate::standby), as it makes them.
    Guard(Vec<u8>),
}

/// Wants an answer.
#[expect(clippy::large_enum_variant, reason = "a message lives for a moment")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Ask {
    /// An effect of an instance that is at home in epoch `home`.
    Effect {
        /// The instance.
        from: InstanceId,
        /// Where it is at home.
        home: Epoch,
        /// What it does.
        effect: Effect,
        /// The lease that the home holds on the resource.
        token: Option<Token>,
    },
    /// Whether the package with this digest is there.
    Have([u8; 32]),
    /// Something that a person wants done.
    Do(Order),
    /// Whether an instance of this package could go on there; and this one is about to ask for it.
    Guard(Option<InstanceId>, [u8; 32]),
}

/// What a person wants done at another device than the one they sit at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Order {
    /// Begin an instance of this package.
    Run([u8; 32]),
    /// Move one to that device.
    Move(InstanceId, [u8; 32]),
    /// Give a move up.
    Cancel(InstanceId),
    /// Stop one.
    Stop(InstanceId),
    /// Let one go on.
    Start(InstanceId),
    /// End one for good.
    End(InstanceId),
    /// Tell one something.
    Tell(InstanceId, String),
    /// The lines that one wrote, behind this number.
    Log(InstanceId, u64),
    /// Give one a standby.
    Guard(InstanceId, [u8; 32], Settings),
    /// Take its standby away from one.
    Unguard(InstanceId),
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Yes; or: it is applied.
    Yes,
    /// No; or: not now, say it again.
    No,
    /// It is taken; a notice follows.
    Taken,
    /// It will never be applied: why.
    Never(String),
    /// A later home is known.
    Superseded(Epoch),
    /// Done: a body of the control API, as JSON.
    Done(Vec<u8>),
    /// Refused: an `ErrorDetail` of the control API, as JSON.
    Refused(Vec<u8>),
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Header {
    /// A package is brought.
    Package([u8; 32]),
    /// A package is wanted.
    Fetch([u8; 32]),
    /// The state of an instance that moves.
    State(InstanceId, Attempt),
    /// A checkpoint of an instance.
    Checkpoint(InstanceId, CheckpointHead),
}

/// What a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointHead {
    /// Under which agreement.
    pub pact: u64,
    /// Which.
    pub mark: Mark,
    /// The one that it follows; none if it is whole.
    pub base: Option<Mark>,
    /// The digest of the instance's package.
    pub package: [u8; 32],
}

/// Something as bytes.
pub fn emit(what: &impl Serialize) -> Vec<u8> {
    // Plain enums of bytes and numbers: they have a form.
    postcard::to_allocvec(what).unwrap_or_default()
}

/// Reads what came from elsewhere; nothing may stand behind it.
pub fn parse<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    postcard::take_from_bytes(bytes).ok().filter(|(_, rest)| rest.is_empty()).map(|(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_model::DeviceId;

    #[test]
    fn messages_read_back_and_nothing_stands_behind_them() {
        let id = InstanceId::from_bytes([1; 16]);
        let epoch = Epoch::first(DeviceId::from_bytes([2; 32]));
        let effect = Effect {
            id: EffectId { epoch, sequence: 3 },
            previous: None,
            to: Receiver::Instance(id),
            body: vec![4; 5],
        };
        let ask = Ask::Effect { from: id, home: epoch, effect, token: None };
        let bytes = emit(&ask);
        assert_eq!(parse::<Ask>(&bytes), Some(ask));
        assert_eq!(parse::<Ask>(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(parse::<Ask>(&bytes[..bytes.len() - 1]), None);
        assert_eq!(parse::<Header>(&emit(&Header::State(id, Attempt(6)))), Some(Header::State(id, Attempt(6))));
        assert_eq!(parse::<Notice>(&[250]), None);
    }

    /// What a hostile member may send: any bytes, and real messages with any byte altered. It is read or refused, and says the same again.
    #[test]
    fn anything_is_read_or_refused() {
        let id = InstanceId::from_bytes([1; 16]);
        let epoch = Epoch::first(DeviceId::from_bytes([2; 32]));
        let applied = Notice::Applied { of: id, to: Receiver::Instance(id), id: EffectId { epoch, sequence: 3 } };
        let mark = Mark { epoch, saves: 7 };
        let head = CheckpointHead { pact: 2, mark, base: Some(mark), package: [5; 32] };
        let seeds = [
            emit(&applied),
            emit(&Ask::Do(Order::Tell(id, "x".into()))),
            emit(&Answer::Never("no".into())),
            emit(&Ask::Do(Order::Guard(id, [3; 32], Settings::default()))),
            emit(&Ask::Guard(Some(id), [4; 32])),
            emit(&Header::Checkpoint(id, head)),
        ];
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].to_vec();
            for _ in 0..next() % 4 {
                let at = next() % bytes.len();
                bytes[at] = next() as u8;
            }
            bytes.truncate(1 + next() % bytes.len());
            if let Some(notice) = parse::<Notice>(&bytes) {
                assert_eq!(parse::<Notice>(&emit(&notice)), Some(notice));
            }
            if let Some(ask) = parse::<Ask>(&bytes) {
                assert_eq!(parse::<Ask>(&emit(&ask)), Some(ask));
            }
            if let Some(answer) = parse::<Answer>(&bytes) {
                assert_eq!(parse::<Answer>(&emit(&answer)), Some(answer));
            }
            if let Some(header) = parse::<Header>(&bytes) {
                assert_eq!(parse::<Header>(&emit(&header)), Some(header));
            }
        }
    }
}
