//! Mutations of the corpus from a seed, for machines without the fuzzing engine.

use rand::{Rng, RngExt};

use crate::rng::FixedRng;

/// The longest input that mutation makes, in bytes.
const MAX_LEN: usize = 16 * 1024;

/// Numbers at which parsers go wrong.
const EDGES: [u64; 12] =
    [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, u64::MAX];

/// Mutation number `round` of `input`; `other` is what parts are borrowed from. The same arguments give the same bytes.
pub fn mutate(name: &str, round: u64, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut rng = FixedRng::new(format!("{name} {round} {}", blake3::hash(input)).as_bytes());
    let mut bytes = input.to_vec();
    for _ in 0..rng.random_range(1..4) {
        one(&mut rng, &mut bytes, other);
    }
    bytes.truncate(MAX_LEN);
    bytes
}

fn one(rng: &mut FixedRng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.random_range(0..=bytes.len());
    let len = rng.random_range(0..=(bytes.len() - at).min(64));
    match rng.random_range(0..8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
        1 if at < bytes.len() => bytes[at] = rng.next_u32() as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..at + len)),
        4 => {
            let copy = bytes[at..at + len].to_vec();
            bytes.splice(at..at, copy);
        }
        5 => {
            let edge = EDGES[rng.random_range(0..EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][rng.random_range(0..4)];
            let end = (at + width).min(bytes.len());
            bytes.splice(at..end, edge[..width].iter().copied());
        }
        6 => {
            let from = rng.random_range(0..=other.len());
            let len = rng.random_range(0..=(other.len() - from).min(256));
            bytes.splice(at..at, other[from..from + len].iter().copied());
        }
        _ => {
            let noise: Vec<u8> = (0..len).map(|_| rng.next_u32() as u8).collect();
            bytes.splice(at..at + len, noise);
        }
    }
}
