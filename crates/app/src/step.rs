//! The state of an instance as steps: a whole snapshot, then what changed since, each step whole or not at all. They stand in a file, and go
//! over the network when an instance moves.
//!
//! ```text
//! step = length of "kept" (u32, little-endian), length of the patch (u32), BLAKE3 of both lengths and both bodies (32), kept, patch
//! ```
//!
//! A step counts once it is there with the right digest. What a crash leaves of the last one is [`Found::Torn`], to be cut off: its beginning, with
//! zeros behind it on some file systems, or zeros alone. Other damage is refused, since what was acknowledged behind it would be lost without a
//! word. One sort cannot be told from a crash: a length that became one which leads beyond the end.
//!
//! Lengths are held against their bounds and against what there is before anything is allocated for them.

use std::{
    fmt,
    io::{self, Read},
};

use serde::{Deserialize, Serialize};
use tutti_model::signed::Signed;

use crate::{home, kept};

/// The bytes in front of each step.
pub const HEAD: usize = 40;
/// The most bytes of what is kept beside the app's own state.
pub const MAX_KEPT: usize = 4 << 20;

/// What goes with the app's own state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    /// What the host keeps for it.
    pub host: kept::Kept,
    /// Whose events were applied, and what the world is yet to know.
    pub home: home::Kept,
    /// How many events it has handled.
    pub events: u64,
    /// In the last step of a move: leases that go along.
    pub leases: Vec<Signed>,
    /// It is the last step of a move.
    pub last: bool,
}

/// A step, read.
#[derive(Debug)]
pub struct Step {
    /// What goes with it.
    pub kept: Kept,
    /// What changed in the app's state, as `tutti_app::snapshot` has it; empty for an app that cannot be carried.
    pub patch: Vec<u8>,
}

/// Why bytes are no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadStep {
    /// A length is above its bound.
    TooLarge,
    /// The digest is another.
    Digest,
    /// What is kept cannot be read, or is not what it can be.
    Kept,
}

impl std::error::Error for BadStep {}

impl fmt::Display for BadStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "it is larger than the app may be",
            Self::Digest => "it is damaged",
            Self::Kept => "what is kept with it makes no sense",
        })
    }
}

/// A step as bytes.
pub fn emit(kept: &Kept, patch: &[u8]) -> Vec<u8> {
    // Plain maps and lists: they have a form in bytes.
    seal(&postcard::to_allocvec(kept).unwrap_or_default(), patch)
}

/// Both bodies of a step behind their head.
pub fn seal(kept: &[u8], patch: &[u8]) -> Vec<u8> {
    let lengths = [(kept.len() as u32).to_le_bytes(), (patch.len() as u32).to_le_bytes()].concat();
    let digest = digest(&lengths, kept, patch);
    [&lengths, &digest[..], kept, patch].concat()
}

fn digest(lengths: &[u8], kept: &[u8], patch: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(lengths).update(kept).update(patch);
    *hasher.finalize().as_bytes()
}

/// The lengths in a head, if they are within bounds.
pub fn lengths(head: &[u8; HEAD], max_patch: usize) -> Result<(usize, usize), BadStep> {
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let (kept, patch) = (number(0), number(4));
    if kept > MAX_KEPT || patch > max_patch { Err(BadStep::TooLarge) } else { Ok((kept, patch)) }
}

/// Reads a step whose head promised these bodies.
pub fn parse(head: &[u8; HEAD], kept: &[u8], patch: Vec<u8>) -> Result<Step, BadStep> {
    if digest(&head[..8], kept, &patch) != head[8..] {
        return Err(BadStep::Digest);
    }
    let kept: Kept = postcard::from_bytes(kept).map_err(|_| BadStep::Kept)?;
    if !kept.host.is_sound() || !kept.home.outbox.is_sound() {
        return Err(BadStep::Kept);
    }
    Ok(Step { kept, patch })
}

/// What stands at a place of a file.
#[derive(Debug)]
pub enum Found {
    /// A step of so many bytes.
    Step(Box<Step>, u64),
    /// Nothing more.
    End,
    /// What a crash left of a step: it was never acknowledged.
    Torn,
}

/// Reads the next step of a file of which there are `left` bytes more.
///
/// # Errors
/// What reading gives; [`io::ErrorKind::InvalidData`] with a [`BadStep`] for damage that no crash leaves.
pub fn next(from: &mut impl Read, left: u64, max_patch: usize) -> io::Result<Found> {
    if left == 0 {
        return Ok(Found::End);
    }
    if left < HEAD as u64 {
        return Ok(Found::Torn);
    }
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let damaged = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let (kept_len, patch_len) = lengths(&head, max_patch).map_err(damaged)?;
    let len = (HEAD + kept_len + patch_len) as u64;
    if len > left {
        return Ok(Found::Torn);
    }
    let (mut kept, mut patch) = (vec![0; kept_len], vec![0; patch_len]);
    from.read_exact(&mut kept)?;
    from.read_exact(&mut patch)?;
    match parse(&head, &kept, patch) {
        Ok(step) => Ok(Found::Step(Box::new(step), len)),
        Err(BadStep::Digest) if is_zero(from)? => Ok(Found::Torn),
        // Something stands behind it, or it was whole when it was written: not what a crash leaves.
        Err(why) => Err(damaged(why)),
    }
}

/// Whether all that is left is zero.
fn is_zero(from: &mut impl Read) -> io::Result<bool> {
    let mut piece = [0; 4096];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(read) if piece[..read].iter().any(|byte| *byte != 0) => return Ok(false),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the last step is, and how much of the bytes is good.
    fn read(bytes: &[u8]) -> io::Result<(Vec<u64>, usize)> {
        let (mut steps, mut at) = (Vec::new(), 0);
        loop {
            let mut rest = &bytes[at..];
            let left = rest.len() as u64;
            match next(&mut rest, left, 1 << 20)? {
                Found::Step(step, len) => {
                    assert!(step.patch.iter().all(|byte| *byte == step.kept.events as u8));
                    steps.push(step.kept.events);
                    at += len as usize;
                    assert_eq!(bytes.len() - at, rest.len());
                }
                Found::End | Found::Torn => return Ok((steps, at)),
            }
        }
    }

    fn step(events: u64) -> Vec<u8> {
        emit(&Kept { events, ..Kept::default() }, &vec![events as u8; 300])
    }

    #[test]
    fn golden_bytes() {
        let bytes = step(5);
        assert_eq!(bytes[..8], [11, 0, 0, 0, 44, 1, 0, 0]);
        assert_eq!(bytes[HEAD..HEAD + 11], [0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0]);
        assert_eq!(&bytes[8..HEAD], blake3::hash(&[&bytes[..8], &bytes[HEAD..]].concat()).as_bytes());
    }

    #[test]
    fn steps_are_read_up_to_where_the_end_is_torn() {
        let (two, three) = ([step(1), step(2)].concat(), [step(1), step(2), step(3)].concat());
        assert_eq!(read(&three).unwrap(), (vec![1, 2, 3], three.len()));
        for cut in two.len()..three.len() {
            let mut torn = three.clone();
            torn[cut..].fill(0);
            for torn in [&three[..cut], &torn] {
                assert_eq!(read(torn).unwrap(), (vec![1, 2], two.len()), "cut at {cut}");
            }
        }
    }

    #[test]
    fn damage_in_front_of_others_is_refused() {
        let (first, second, third) = (step(1), step(2), step(3));
        let bytes = [&first[..], &second, &third].concat();
        // Not the lengths: with others, the end is elsewhere.
        for at in (HEAD..first.len() + second.len()).filter(|at| !(first.len()..first.len() + 8).contains(at)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let error = read(&damaged).unwrap_err();
            assert_eq!(
                (error.kind(), error.to_string().as_str()),
                (io::ErrorKind::InvalidData, "it is damaged"),
                "byte {at}"
            );
        }
    }

    #[test]
    fn what_is_sealed_and_makes_no_sense_is_refused() {
        assert_eq!(read(&seal(&[0xff; 20], &[])).unwrap_err().to_string(), "what is kept with it makes no sense");
        let timers = (0..=kept::MAX_TIMERS as u32).map(|timer| (timer, Default::default())).collect();
        let kept = Kept { host: kept::Kept { timers, ..Default::default() }, ..Kept::default() };
        assert_eq!(read(&emit(&kept, &[])).unwrap_err().to_string(), "what is kept with it makes no sense");
    }

    #[test]
    fn lengths_are_bounded() {
        let mut head = [0; HEAD];
        head[4..8].copy_from_slice(&5000u32.to_le_bytes());
        assert_eq!(lengths(&head, 4999), Err(BadStep::TooLarge));
        assert_eq!(lengths(&head, 5000), Ok((0, 5000)));
        head[..4].fill(255);
        assert_eq!(lengths(&head, 5000), Err(BadStep::TooLarge));
        let error = read(&[&head[..], &step(1)].concat()).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than the app may be", "no crash leaves that");
    }
}
