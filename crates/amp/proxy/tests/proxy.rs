//! Calls on the wire, files under a policy, and remotes that try to get out.
#![forbid(unsafe_code)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;
use tutti_proxy::{Errno, Folder, Frame, HEADER, Op, Policy, Repr, Server, WireError, call};

const READ: i32 = 0;
const WRITE: i32 = 1;
const BOTH: i32 = 2;
const CREATE: i32 = 0o100;
const TRUNCATE: i32 = 0o1000;
const APPEND: i32 = 0o2000;

struct Host {
    folder: tempfile::TempDir,
    server: Server<Folder, 4>,
}

impl Host {
    fn new(policy: Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        fs::write(folder.path().join("secret"), "not for the remote").unwrap();
        let server = Server::new(Folder::open(&folder.path().join("shared")).unwrap(), policy);
        Self { folder, server }
    }

    fn shared(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("shared").join(name)
    }

    fn ask(&mut self, make: impl FnOnce(&mut [u8]) -> Option<usize>) -> (i32, i32, Vec<u8>) {
        let (mut frame, mut answer) = ([0; 496], [0; 496]);
        let len = make(&mut frame).unwrap();
        let len = self.server.handle(&frame[..len], &mut answer).unwrap().expect("an answer");
        let answer = Frame::new_checked(&answer[..len]).unwrap();
        assert_eq!(answer.id(), Frame::new_checked(&frame[..]).unwrap().id(), "an answer repeats the id");
        (answer.field1(), answer.field2(), answer.data().to_vec())
    }

    fn open(&mut self, path: &str, flags: i32) -> Result<i32, i32> {
        let (handle, error, _) = self.ask(|to| call::open(path, flags, 0o644, to));
        if handle < 0 { Err(error) } else { Ok(handle) }
    }
}

#[test]
fn calls_have_the_bytes_that_the_c_library_gives_them() {
    let mut to = [0xaa; 64];
    let len = call::open("a.txt", CREATE | BOTH, 0o666, &mut to).unwrap();
    let expected = [&[1, 0, 0, 0, 0x42, 0, 0, 0, 0xb6, 1, 0, 0, 6, 0, 0, 0][..], b"a.txt\0"].concat();
    assert_eq!(to[..len], expected);
    let len = call::write(1, b"hi", &mut to).unwrap();
    assert_eq!(
        to[..len],
        [3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, b'h', b'i', 0],
        "the console has a zero more"
    );
    let len = call::write(4, b"hi", &mut to).unwrap();
    assert_eq!(to[..len], [3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, b'h', b'i']);
    let len = call::read(4, 100, &mut to).unwrap();
    assert_eq!(to[..len], [4, 0, 0, 0, 4, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0]);
    let len = call::terminate(&mut to).unwrap();
    assert_eq!(to[..len], [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(call::write(1, &[0; 60], &mut to), None);
}

#[test]
fn a_file_is_written_read_and_sought_in() {
    let mut host = Host::new(Policy::default());
    assert_eq!(host.ask(call::version), (1, 0, vec![]));
    let handle = host.open("log.txt", BOTH | CREATE).unwrap();
    assert_eq!(handle, 3);
    assert_eq!(host.ask(|to| call::write(handle, b"hello world", to)), (11, 0, vec![]));
    assert_eq!(fs::read_to_string(host.shared("log.txt")).unwrap(), "hello world");
    assert_eq!(host.ask(|to| call::seek(handle, 2, -5, to)), (0, 0, 6u64.to_le_bytes().to_vec()));
    assert_eq!(host.ask(|to| call::read(handle, 400, to)), (5, 0, b"world".to_vec()));
    assert_eq!(host.ask(|to| call::read(handle, 400, to)), (0, 0, vec![]), "the end");
    assert_eq!(host.ask(|to| call::seek(handle, 0, -1, to)), (-1, Errno::INVAL.0, vec![]));
    assert_eq!(host.ask(|to| call::close(handle, to)), (0, 0, vec![]));
    assert_eq!(host.ask(|to| call::close(handle, to)), (-1, Errno::BADF.0, vec![]));
    let handle = host.open("log.txt", WRITE | APPEND).unwrap();
    host.ask(|to| call::write(handle, b"!", to));
    assert_eq!(host.ask(|to| call::read(handle, 1, to)), (-1, Errno::BADF.0, vec![]), "it is open for writing");
    assert_eq!(fs::read_to_string(host.shared("log.txt")).unwrap(), "hello world!");
    host.open("log.txt", WRITE | TRUNCATE).unwrap();
    assert_eq!(fs::read(host.shared("log.txt")).unwrap(), b"");
    fs::create_dir(host.shared("sub")).unwrap();
    fs::write(host.shared("sub/deep"), "x").unwrap();
    assert!(host.open("./sub/deep", READ).is_ok());
    assert_eq!(host.open("none", READ), Err(Errno::NOENT.0));
}

#[test]
fn the_console_goes_both_ways_and_is_bounded() {
    let mut host = Host::new(Policy::default());
    assert_eq!(host.ask(|to| call::write(1, b"boot\n", to)), (5, 0, vec![]));
    assert_eq!(host.ask(|to| call::write(2, b"oops\n", to)), (5, 0, vec![]));
    assert_eq!(host.server.files().take_console(), (b"boot\noops\n".to_vec(), 0));
    assert_eq!(host.ask(|to| call::read(0, 10, to)), (0, 0, vec![]), "nothing was typed, and nothing is waited for");
    assert_eq!(host.server.files().type_in(b"yes\n"), 4);
    assert_eq!(host.ask(|to| call::read(0, 2, to)), (2, 0, b"ye".to_vec()));
    for _ in 0..200 {
        host.ask(|to| call::write(1, &[b'x'; 400], to));
    }
    let (kept, lost) = host.server.files().take_console();
    assert_eq!((kept.len(), lost), (64 << 10, 200 * 400 - (64 << 10)));
    let mut host = Host::new(Policy { console: false, ..Policy::default() });
    assert_eq!(host.ask(|to| call::write(1, b"x", to)), (-1, Errno::ACCES.0, vec![]));
}

#[test]
fn there_is_no_way_out_of_the_folder() {
    let mut host = Host::new(Policy::default());
    let outside = host.folder.path().to_owned();
    let link = |to: &Path, name: &str| symlink(to, outside.join("shared").join(name)).unwrap();
    link(&outside.join("secret"), "link");
    link(Path::new("../secret"), "relative");
    link(&outside, "folder");
    link(Path::new("/proc/self/root"), "root");
    fs::write(host.shared("inside"), "x").unwrap();
    link(Path::new("inside"), "even-inside");
    let absolute = outside.join("secret");
    for path in [
        "../secret",
        "../shared/../secret",
        "./../secret",
        "sub/../../secret",
        "/etc/passwd",
        "//etc/passwd",
        "link",
        "relative",
        "folder/secret",
        "root/etc/passwd",
        "even-inside",
        "/proc/self/environ",
        ".",
        "..",
        "",
        absolute.to_str().unwrap(),
    ] {
        for flags in [READ, BOTH, WRITE | CREATE | TRUNCATE] {
            assert!(host.open(path, flags).is_err(), "{path:?} with {flags:#o}");
        }
    }
    assert_eq!(fs::read_to_string(&absolute).unwrap(), "not for the remote");
    assert!(host.open("inside", READ).is_ok());
    assert_eq!(host.server.open_files(), 1);
}

#[test]
fn what_is_no_plain_file_is_not_kept_and_nothing_waits_for_it() {
    let mut host = Host::new(Policy::default());
    let pipe = host.shared("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for flags in [READ, WRITE, BOTH] {
        assert_eq!(host.open("pipe", flags), Err(Errno::ACCES.0), "{flags}");
    }
    let _socket = std::os::unix::net::UnixListener::bind(host.shared("socket")).unwrap();
    assert!(host.open("socket", READ).is_err());
    assert_eq!(host.server.open_files(), 0);
}

#[test]
fn handles_bytes_and_lengths_are_bounded() {
    let mut host = Host::new(Policy { quota: 1000, longest: 600, ..Policy::default() });
    let handles: Vec<i32> = (0..4).map(|i| host.open(&format!("f{i}"), BOTH | CREATE).unwrap()).collect();
    assert_eq!(handles, [3, 4, 5, 6]);
    assert_eq!(host.open("f0", READ), Err(Errno::MFILE.0));
    assert_eq!(host.ask(|to| call::write(3, &[1; 400], to)).0, 400);
    assert_eq!(host.ask(|to| call::write(3, &[1; 400], to)), (-1, Errno::FBIG.0, vec![]), "the file would be too long");
    assert_eq!(host.ask(|to| call::seek(4, 0, 1 << 40, to)).0, 0);
    assert_eq!(
        host.ask(|to| call::write(4, &[1], to)),
        (-1, Errno::FBIG.0, vec![]),
        "nor does it become long by a gap"
    );
    assert_eq!(host.ask(|to| call::write(5, &[1; 400], to)).0, 400);
    assert_eq!(
        host.ask(|to| call::write(6, &[1; 400], to)),
        (-1, Errno::NOSPC.0, vec![]),
        "the quota is for all of them"
    );
    let append = |to: &mut [u8]| call::close(6, to);
    host.ask(append);
    let handle = host.open("f5", WRITE | CREATE | APPEND).unwrap();
    for _ in 0..2 {
        host.ask(|to| call::write(handle, &[1; 100], to));
    }
    assert_eq!(host.ask(|to| call::write(handle, &[1], to)), (-1, Errno::NOSPC.0, vec![]));
    let (mut frame, mut answer) = ([0; 64], [0; 64]);
    let len = call::terminate(&mut frame).unwrap();
    assert_eq!(host.server.handle(&frame[..len], &mut answer), Ok(None));
    assert!(host.server.is_over() && host.server.open_files() == 0);
}

#[test]
fn a_policy_keeps_what_it_says() {
    let mut host = Host::new(Policy { write: false, ..Policy::default() });
    fs::write(host.shared("a"), "x").unwrap();
    for flags in [WRITE, BOTH, READ | CREATE, READ | TRUNCATE, WRITE | APPEND] {
        assert_eq!(host.open("a", flags), Err(Errno::ACCES.0), "{flags:#o}");
    }
    assert!(host.open("a", READ).is_ok());
    assert_eq!(fs::read_to_string(host.shared("a")).unwrap(), "x");
    let mut host = Host::new(Policy { read: false, ..Policy::default() });
    assert_eq!(host.open("a", READ), Err(Errno::ACCES.0));
    assert!(host.open("a", WRITE | CREATE).is_ok());
    assert_eq!(host.open("a", 3), Err(Errno::INVAL.0));
    assert_eq!(host.open("a", WRITE | 0o20_000_000), Err(Errno::INVAL.0), "flags that nobody knows");
}

#[test]
fn frames_that_lie_are_refused_by_their_field_and_answered_if_that_makes_sense() {
    let mut host = Host::new(Policy::default());
    let mut refused = |frame: &[u8]| {
        let mut answer = [0; 64];
        let error = host.server.handle(frame, &mut answer).unwrap_err();
        let len = Server::<Folder, 4>::refusal(frame, &mut answer);
        (error, len.map(|len| Frame::new_checked(answer[..len].to_vec()).unwrap().field1()))
    };
    let frame = |id: u32, field1: i32, field2: i32, len: u32, data: &[u8]| {
        let mut bytes = vec![];
        for word in [id, field1 as u32, field2 as u32, len] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(data);
        bytes
    };
    assert_eq!(refused(&[1, 2, 3]), (WireError::Short { len: 3 }, None));
    assert_eq!(refused(&frame(9, 0, 0, 0, &[])), (WireError::Id(9), None));
    assert_eq!(refused(&frame(1, 0, 0, 9, b"a\0")), (WireError::DataLength { says: 9, has: 2 }, Some(-1)));
    assert_eq!(refused(&frame(1, 0, 0, u32::MAX, b"a\0")).0, WireError::DataLength { says: u32::MAX, has: 2 });
    assert_eq!(refused(&frame(1, 0, 0, 1, b"a")), (WireError::Path, Some(-1)));
    assert_eq!(refused(&frame(1, 0, 0, 4, b"a\0b\0")).0, WireError::Path);
    assert_eq!(refused(&frame(1, 0, 0, 2, &[0xff, 0])).0, WireError::Path);
    assert_eq!(refused(&frame(3, 1, 3, 2, b"hi")), (WireError::Length(3), Some(-1)));
    assert_eq!(refused(&frame(3, 1, -1, 2, b"hi")).0, WireError::Length(-1));
    assert_eq!(refused(&frame(0x101, 3, 0, 2, b"hi")), (WireError::Offset(2), Some(-1)));
    let mut answer = [0; 64];
    for handle in [-1, 0x7fff_ffff, i32::MIN, 2, 7] {
        let len = host.server.handle(&frame(4, handle, 10, 0, &[]), &mut answer).unwrap().unwrap();
        assert_eq!(Frame::new_checked(&answer[..len]).unwrap().field1(), -1, "{handle}");
    }
    assert_eq!(host.server.handle(&frame(5, 0, 0, 0, &[]), &mut answer), Ok(None), "an acknowledgement");
    assert_eq!(host.server.handle(&frame(4, 0, 10, 0, &[]), &mut [0; 3]), Ok(None), "no room for an answer");
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(
        op in 0usize..8, field1 in any::<i32>(), field2 in any::<i32>(), data in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let ops = [Op::Open, Op::Close, Op::Write, Op::Read, Op::Ack, Op::Terminate, Op::Version, Op::Seek];
        let repr = Repr { op: ops[op], field1, field2, data: &data };
        let mut bytes = vec![0; repr.buffer_len()];
        prop_assert_eq!(repr.emit(&mut bytes), Some(HEADER + data.len()));
        let frame = Frame::new_checked(bytes).unwrap();
        prop_assert_eq!(Repr::parse(&frame), Ok(repr));
    }

    #[test]
    fn any_bytes_are_served_or_refused_and_nothing_gets_out(
        frames in prop::collection::vec((0u32..8, any::<i32>(), 0i32..80, prop::collection::vec(any::<u8>(), 0..60)), 1..30),
    ) {
        let mut host = Host::new(Policy::default());
        for (op, field1, field2, mut data) in frames {
            let id = [1, 2, 3, 4, 5, 0x100, 0x101, 77][op as usize];
            if op == 0 {
                data.push(0);
            }
            let mut bytes = vec![];
            for word in [id, (field1 % 8) as u32, field2 as u32, data.len() as u32] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(data);
            let _ = host.server.handle(&bytes, &mut [0; 100]);
        }
        prop_assert_eq!(fs::read_dir(host.folder.path()).unwrap().count(), 2, "the folder and the secret");
    }
}
