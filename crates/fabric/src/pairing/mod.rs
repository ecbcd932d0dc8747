//! Pairing: how a device enters another's trust group, with a six-digit code or a ticket.
//!
//! Two state machines, [`HostPairing`] for the owner's device and [`JoinerPairing`] for the one that wants in. They
//! hold no socket, clock, file or source of randomness: bytes, `now`, the outcome of writes and a generator are
//! passed in, and what to do comes out. Both run over a transport that has proved to each end the key of the other,
//! and that keeps what is sent secret and unaltered; but neither end knows yet *whose* key it is. That is what the
//! code or the ticket decides.
//!
//! # The protocol
//!
//! The joiner dials, the host opens the stream. Frames are described in `frame.rs`.
//!
//! ```text
//! joiner J                                                                                               host H
//!   │                    challenge: versions, nonce                                                         │
//!   │ ◄──────────────────────────────────────────────────────────────────────────────────────────────────── │
//!   │                    hello: version, code or ticket, share X [, proof under the ticket's key]           │
//!   │ ────────────────────────────────────────────────────────────────────────────────────────────────────► │
//!   │                                        ticket: check the proof   code: count the try, make it durable │
//!   │                    reply: share Y [, tries left], code C1 under the host's confirmation key           │
//!   │ ◄──────────────────────────────────────────────────────────────────────────────────────────────────── │
//!   │ check C1; if it is wrong, burn the code                                                               │
//!   │                    confirm: J's name, code C2 under the joiner's confirmation key                     │
//!   │ ────────────────────────────────────────────────────────────────────────────────────────────────────► │
//!   │                                    check C2; make durable that the offer is J's; add J to the group   │
//!   │                    group: id, role, H's name, the encoded group, code C3 under the group key          │
//!   │ ◄──────────────────────────────────────────────────────────────────────────────────────────────────── │
//!   │ check C3 and the group; make it durable: J is in                                                      │
//!   │                    receipt: code C4 under the receipt key                                             │
//!   │ ────────────────────────────────────────────────────────────────────────────────────────────────────► │
//!   │                                                                             the offer is over: paired │
//! ```
//!
//! Either side may end it at any point by a refusal that says why. X and Y are the shares of SPAKE2 ([`pake`]) with
//! the code or the ticket's secret as password and both device ids as identities. The four codes are keyed BLAKE3
//! under keys derived from its result, each over **everything** said so far: protocol, both ids, versions, nonce, mode,
//! shares, names, group, byte by byte. So the group belongs to this very attempt, although the transport is
//! encrypted anyway.
//!
//! # An offer
//!
//! One at a time: a code, a ticket and a role, for [`OFFER_LIFE`], for **one device**. (A ticket that no
//! person hands on may live longer, up to [`MAX_TICKET_LIFE`]; it stays good for one device, and its code dies as any.) Its state is durable before
//! anything follows from it ([`HostOutput::Persist`]): the offer before its code is shown, a try before it is
//! answered, and who has shown the right secret before that device is added. From that moment ("bound") nobody else
//! can use the offer, but *that* device can come again with the same code or ticket until the offer's time is over,
//! for instance after a lost connection; it is then given the group again.
//!
//! There are two lanes. The **code lane** has one slot, and each attempt in it is charged, right or wrong, before it is
//! answered; the right one gets its try back. The **ticket lane** has [`MAX_TICKET_ATTEMPTS`] slots behind a proof that
//! costs the host one hash to refuse. The ticket lives on when the code is dead.
//!
//! # The attacks, and how each is met
//!
//! | attack | how it is met | test |
//! |---|---|---|
//! | guessing the code, on one or many connections | one attempt at a time; it is counted before it is answered; three wrong tries kill the code. Chance of success: 3 in a million | `guessing_from_many_parallel_connections_gets_three_tries` |
//! | giving tries back by killing or crashing the host | the count is on disk before the answer leaves | `kill_9_gives_no_try_back` |
//! | testing guesses offline on recorded or provoked messages | a PAKE: one run tests one password, and only against the live other end | (SPAKE2) |
//! | posing as the host, to learn the code from the joiner | one guess per run; a code that failed is burnt at the joiner and not tried there again | `an_impostor_host_gets_one_guess_and_the_code_is_burnt` |
//! | standing between two strangers and relaying | both ids, which the transport has proved, are the identities of the PAKE and in the transcript: the relay's own id is in the way | `relaying_between_strangers_fails_because_the_keys_are_bound` |
//! | reflecting frames to their sender | frames have one direction each, the two sides of SPAKE2 use different constants, each code has its own key | `frames_reflected_to_their_sender_are_out_of_turn` |
//! | replaying an attempt, even from the same device | fresh nonce and share from the host; the ticket's proof covers the nonce | `a_recorded_attempt_is_worth_nothing_even_to_the_same_device` |
//! | altering frames | every code covers every byte before it; the transport would notice too | `every_altered_byte_is_noticed` |
//! | downgrading the version | the versions offered are in the transcript and in the ticket's proof | `a_downgrade_is_noticed` |
//! | blocking the code slot by stalling | bounded to [`ATTEMPT_TIME`], and counted; others are told that it is busy, uncounted. Three stalls kill the code: then the ticket is left | `busy_is_not_counted_and_a_stalled_attempt_is` |
//! | killing the code to keep people out | the ticket lane shares neither count nor slot with the code | `a_ticket_holder_gets_in_while_strangers_hold_everything_else` |
//! | filling the table with silent connections | [`MAX_WAITING`] at most, for [`HELLO_TIME`]; a newcomer displaces the oldest, so an honest device needs only to say hello before that many others come | `connections_are_bounded_and_the_oldest_silent_one_gives_way` |
//! | wasting the host's processor | no curve arithmetic before a try is charged or a ticket proved | `a_wrong_ticket_is_refused_cheaply_and_uses_nothing_up` |
//! | huge, half or garbled frames | [`MAX_FRAME`] checked on the length alone; deadlines; faults that are named | `oversize_garbage_and_half_messages_are_named_and_cost_nothing` |
//! | fishing for the group | nothing of it is sent before the joiner has shown the code | `the_joiner_learns_nothing_of_the_group_before_it_has_shown_the_code` |
//! | entering as somebody else | the id that is added is the one that the transport has proved, never one that was sent | `relaying_between_strangers_fails_because_the_keys_are_bound` |
//! | using code and ticket for two devices | bound to the first that shows one, durably | `of_two_who_know_the_secrets_only_one_gets_in`, `kill_9_after_the_right_code_leaves_the_offer_to_that_device` |
//! | reading an old offer off the disk | erased when it ends; dead after its life, [`MAX_TICKET_LIFE`] at most, or a restart of the machine | `a_stored_offer_of_another_start_of_the_machine_is_dead_and_erased` |
//!
//! What is not met: whoever can cut the wire can prevent pairing, and strangers on the network can spend the three
//! tries of a code, so that the ticket has to be used.
//!
//! # When something is lost
//!
//! - *The group frame*: the host keeps the joiner's entry; the joiner is not in, and comes again with the same secret.
//! - *The receipt*: the joiner that has the group on disk **is in**, and turns up by itself. The host keeps its
//!   entry and says so ([`Outcome::Unconfirmed`]); if the device never turns up, its owner forgets it.
//! - *The host's process*: [`HostPairing::restore`] goes on with the offer and the tries it had left.
//!
//! # What the driver does
//!
//! The length in front of each frame is part of the bytes that go in and out, so a driver only copies bytes between
//! the stream and the machine. It bounds the number of connections that it accepts, and the time to set one up;
//! everything from [`HostInput::Connected`] on is bounded here.
mod attempt;
mod burnt;
mod frame;
mod host;
mod host_io;
mod joiner;
mod keys;
mod offer;
pub mod pake;
mod secret;
#[cfg(test)]
mod tests;

use tutti_model::{ProtocolVersion, VersionRange};

pub use burnt::{BurntCode, BurntCodes, MAX_BURNT};
pub use frame::{Fault, FrameKind, MAX_FRAME, MAX_GROUP, Refusal};
pub use host::*;
pub use host_io::*;
pub use joiner::*;
pub use offer::{MAX_TICKET_LIFE, MAX_WRONG_TRIES, OFFER_LIFE, OfferStatus, OfferTerms, Outcome};
pub use secret::{BadCode, CODE_DIGITS, Code, Mode, Secret, TicketSecret};

/// The versions of the pairing protocol that this build speaks. They have nothing to do with those that members of
/// a group speak with each other.
pub const VERSIONS: VersionRange = VersionRange { min: ProtocolVersion(1), max: ProtocolVersion(1) };
