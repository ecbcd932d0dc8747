//! Front ends that lie, stall and babble: each ends its own connection with a word on what was wrong, in bounded time.

mod common;

use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tutti_amp_host::vhost::wire::request;
use tutti_amp_host::vhost::{Connection, GuestMemoryError, Offer, Refused, TableError, Unsealed, VhostError};

const LONG: Duration = Duration::from_secs(10);

/// A front end in words and files.
struct Liar(UnixStream);

impl Liar {
    /// One, and the device that serves it in a thread until the connection is over.
    fn new() -> (Self, impl FnOnce() -> VhostError) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(theirs, Offer::default(), Unsealed::Refuse).unwrap();
        let device = std::thread::spawn(move || {
            let start = Instant::now();
            common::serve(&mut connection, &|| start.elapsed() > LONG)
        });
        (Self(ours), || device.join().expect("no panic").expect_err("over in time"))
    }

    fn say(&mut self, request: u32, payload: &[u8], files: &[BorrowedFd<'_>]) {
        let header = [request, 1, payload.len() as u32];
        let bytes: Vec<u8> = header.iter().flat_map(|word| word.to_ne_bytes()).chain(payload.iter().copied()).collect();
        let mut space = vec![std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(files)));
        }
        // The device may have hung up already.
        let _ = rustix::net::sendmsg(&self.0, &[std::io::IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
    }

    fn say_words(&mut self, request: u32, words: &[u32], files: &[BorrowedFd<'_>]) {
        self.say(request, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>(), files);
    }

    /// Two pages of sealed memory at address 0x10000, called 0x7000000 by this front end, and everything up to the
    /// rings.
    fn share(&mut self, file: &OwnedFd) {
        self.say_words(request::SET_FEATURES, &[1, 1], &[]);
        self.say(request::SET_MEM_TABLE, &table(&[[0x1_0000, 0x2000, 0x700_0000, 0]]), &[file.as_fd()]);
    }

    /// Both queues, with their tables at these addresses.
    fn rings(&mut self, size: u32, at: [u64; 3], file: &OwnedFd) {
        for queue in 0..2 {
            self.say_words(request::SET_VRING_NUM, &[queue, size], &[]);
            let longs = [at[0], at[1], at[2], 0].into_iter().flat_map(u64::to_ne_bytes);
            let address: Vec<u8> = [queue, 0].into_iter().flat_map(u32::to_ne_bytes).chain(longs).collect();
            self.say(request::SET_VRING_ADDR, &address, &[]);
            self.say_words(request::SET_VRING_KICK, &[queue, 0], &[file.as_fd()]);
        }
    }
}

fn table(regions: &[[u64; 4]]) -> Vec<u8> {
    let longs = regions.iter().flatten().flat_map(|long| long.to_ne_bytes());
    [regions.len() as u32, 0].into_iter().flat_map(u32::to_ne_bytes).chain(longs).collect()
}

fn memory(len: u64, seals: SealFlags) -> OwnedFd {
    let file = rustix::fs::memfd_create("front-end", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, len).unwrap();
    rustix::fs::fcntl_add_seals(&file, seals).unwrap();
    file
}

fn sealed() -> OwnedFd {
    memory(0x2000, SealFlags::SHRINK)
}

#[test]
fn memory_that_cannot_be_trusted_is_refused() {
    type Case = (OwnedFd, [u64; 4], fn(&GuestMemoryError) -> bool);
    let cases: [Case; 4] = [
        (memory(0x2000, SealFlags::empty()), [0, 0x2000, 0, 0], |e| {
            matches!(e, GuestMemoryError::NotSealed { region: 0 })
        }),
        (sealed(), [0, 0x3000, 0, 0], |e| matches!(e, GuestMemoryError::Short { region: 0, file: 0x2000 })),
        (sealed(), [0, 0x2000, 0, 0x1000], |e| matches!(e, GuestMemoryError::Short { region: 0, .. })),
        (sealed(), [8, 0x1000, 0, 0], |e| matches!(e, GuestMemoryError::Table(TableError::Unaligned { region: 0 }))),
    ];
    for (file, region, expected) in cases {
        let (mut liar, over) = Liar::new();
        liar.say(request::SET_MEM_TABLE, &table(&[region]), &[file.as_fd()]);
        let error = over();
        assert!(matches!(&error, VhostError::Memory(error) if expected(error)), "{error}");
    }
}

#[test]
fn rings_outside_of_the_memory_are_refused() {
    let good = [0x700_0000, 0x700_1000, 0x700_0400];
    for (size, at) in [
        (64, [0x700_1f00, 0x700_1000, 0x700_0400]),
        (64, [0x700_0000, 0x700_1ffc, 0x700_0400]),
        (64, [0x700_0000, 0x700_1000, u64::MAX]),
        // Addresses in descriptors are not addresses of rings.
        (64, [0x1_0000, 0x1_1000, 0x1_0400]),
        (32768, good),
    ] {
        let (mut liar, over) = Liar::new();
        let file = sealed();
        liar.share(&file);
        liar.rings(size, at, &file);
        let error = over();
        assert!(matches!(error, VhostError::Outside { queue: 0, .. }), "{size} at {at:x?}: {error}");
    }
    let (mut liar, over) = Liar::new();
    let file = sealed();
    liar.share(&file);
    liar.rings(64, [0x700_0001, 0x700_1000, 0x700_0400], &file);
    assert!(matches!(over(), VhostError::Layout { queue: 0, .. }));
}

#[test]
fn a_file_that_is_no_eventfd_does_no_harm() {
    let (mut liar, over) = Liar::new();
    let file = sealed();
    liar.share(&file);
    // The memory itself as what kicks, which always has something to read, and as what is rung, without an end.
    liar.say_words(request::SET_VRING_CALL, &[0, 0], &[file.as_fd()]);
    liar.rings(64, [0x700_0000, 0x700_1000, 0x700_0800], &file);
    std::thread::sleep(Duration::from_millis(100));
    drop(liar);
    assert!(matches!(over(), VhostError::Gone));
}

#[test]
fn who_stops_in_the_middle_is_left_after_a_second() {
    for bytes in [&[1, 0][..], &[5, 0, 0, 0, 1, 0, 0, 0, 72, 0, 0, 0, 1, 0]] {
        let (mut liar, over) = Liar::new();
        liar.0.write_all(bytes).unwrap();
        let start = Instant::now();
        let error = over();
        assert!(matches!(error, VhostError::Stalled), "{error}");
        assert!(start.elapsed() < Duration::from_secs(4));
    }
}

#[test]
fn who_reads_no_answers_is_left_after_a_second() {
    let (mut liar, over) = Liar::new();
    let question: Vec<u8> = [1u32, 1, 0].iter().flat_map(|word| word.to_ne_bytes()).collect();
    liar.0.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let start = Instant::now();
    while liar.0.write_all(&question).is_ok() && start.elapsed() < LONG {}
    let error = over();
    assert!(matches!(error, VhostError::Stalled), "{error}");
}

#[test]
fn files_in_excess_are_refused_and_closed() {
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    for count in [2usize, 16] {
        let (mut liar, over) = Liar::new();
        liar.say(request::GET_FEATURES, &[], &vec![writing.as_fd(); count]);
        let error = over();
        let expected = match error {
            VhostError::Refused(Refused::Files { expected: 0, found, .. }) => found == count,
            VhostError::TooManyFiles => count > 8,
            _ => false,
        };
        assert!(expected, "{count}: {error}");
    }
    // Once the last copy is closed, the pipe is at its end.
    drop(writing);
    let mut ended = [PollFd::new(&reading, PollFlags::IN)];
    let most = Timespec { tv_sec: 5, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut ended, Some(&most)), Ok(1), "a copy was not closed");
    assert_eq!(std::fs::File::from(reading).read(&mut [0]).unwrap(), 0);
}

#[test]
fn unknown_requests_and_descriptions_of_running_queues_are_refused() {
    let (mut liar, over) = Liar::new();
    liar.say(99, &[], &[]);
    assert!(matches!(over(), VhostError::Refused(Refused::Request(99))));
    let (mut liar, over) = Liar::new();
    let file = sealed();
    liar.share(&file);
    liar.rings(64, [0x700_0000, 0x700_1000, 0x700_0800], &file);
    liar.say_words(request::SET_VRING_NUM, &[1, 32], &[]);
    assert!(matches!(over(), VhostError::Refused(Refused::Running(1))));
}

/// A small generator, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as u32) % limit
    }
}

/// Sound sessions into which changes are mixed at random, the memory under running rings among them.
#[test]
fn babble_ends_in_an_error_and_never_in_a_panic() {
    let start = Instant::now();
    for seed in 0..300 {
        let mut random = Random(seed);
        let (mut liar, over) = Liar::new();
        let file = sealed();
        liar.share(&file);
        if random.below(4) > 0 {
            liar.rings(1 << random.below(7), [0x700_0000, 0x700_1000, 0x700_0800], &file);
        }
        for _ in 0..random.below(30) {
            match random.below(3) {
                0 => {
                    let request = random.below(42);
                    let words: Vec<u32> = (0..random.below(12)).map(|_| random.below(3)).collect();
                    let files = vec![file.as_fd(); random.below(3) as usize];
                    liar.say_words(request, &words, &files);
                }
                1 => {
                    let (at, byte) = (u64::from(random.below(0x2000)), random.below(256) as u8);
                    rustix::io::pwrite(&file, &[byte], at).unwrap();
                }
                _ => {
                    // An index of either ring.
                    let at = [0x802, 0x1002][random.below(2) as usize];
                    rustix::io::pwrite(&file, &random.below(0x1_0000).to_le_bytes()[..2], at).unwrap();
                }
            }
        }
        drop(liar);
        let _ = over();
        assert!(start.elapsed() < Duration::from_secs(60), "seed {seed}");
    }
}
