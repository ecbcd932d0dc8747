//! What the two sides do, in each of our two roles: start, names, echoes, taking names back, and all of it once more
//! after a restart.

use tutti_amp_host::SharedMemory;
use tutti_metal::{Local, Silent};
use tutti_rpmsg::{Address, F_NS, Heap, Host, HostSetup, Link, Name, Platform, Remote, RemoteSetup, Role, Service};
use tutti_virtio::{Layout, QueueSize, Vring};

use crate::transcript::Table;

// How the memory is laid out: as in `xtask/src/test/c_peer/layout.h`.
const ENTRIES: u32 = 8;
const RING_ALIGN: u32 = 16;
const RING_BYTES: usize = 0x400;

// The C libraries take back only names of addresses from 1024 on.
const THEIRS: Address = Address(1030);
const OURS: Address = Address(41);

enum Turns {}

impl Platform for Turns {
    type Memory = SharedMemory;
    type Doorbell = Silent;
    type Locks = Local;
    type Storage = Heap;
}

fn vrings(memory: &SharedMemory) -> [Vring<SharedMemory>; 2] {
    let size = QueueSize::new(ENTRIES).unwrap();
    [0, RING_BYTES].map(|at| Vring::new(memory.clone(), Layout::legacy(size, RING_ALIGN, at).unwrap()).unwrap())
}

/// Bytes that both sides can make; as the C program does.
fn fill(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + len) as u8).collect()
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

fn heard(from: Address, bytes: &[u8]) -> String {
    format!("heard {} {} {}", from.0, bytes.len(), sum(bytes))
}

fn services<R: Role>(link: &Link<Turns, R>) -> Vec<Service> {
    link.poll().unwrap();
    (0..).map_while(|index| link.service(index)).collect()
}

fn service(name: &str, address: Address) -> Service {
    Service { name: Name::new(name).unwrap(), address }
}

/// We are the host, and ask; the C library is the remote, and echoes.
pub(crate) fn as_host(table: &mut Table) {
    let memory = table.memory.clone();
    let link = table.us("start", || {
        let setup = HostSetup::new(vrings(&memory), memory.clone(), 2 * RING_BYTES);
        Link::<Turns, Host>::new(setup, Silent, Heap { endpoints: 8 }).unwrap()
    });
    let caller = table.us("open an endpoint without a name", || link.endpoint(None, OURS).unwrap());
    for life in 0..2 {
        table.them("start");
        table.them("poll");
        table.them("open c-echo 1030");
        let found = table.us("hear of its service", || services(&link));
        assert_eq!(found, [service("c-echo", THEIRS)]);
        let question = |len: usize| {
            let mut bytes = fill(len + life);
            // What starts with a 1 is not answered.
            bytes.iter_mut().take(1).for_each(|byte| *byte |= 2);
            bytes.truncate(len);
            bytes
        };
        let answered = |bytes: &[u8]| {
            let back = caller.try_receive().unwrap().expect("an echo");
            let mut got = vec![0; back.len()];
            back.read(0, &mut got).unwrap();
            assert_eq!((back.source(), got.as_slice()), (THEIRS, bytes));
        };
        for len in [0, 1, 16, 100, 495, 496] {
            let bytes = question(len);
            table.us(&format!("ask {len}"), || caller.try_send(THEIRS, &bytes).unwrap());
            assert_eq!(table.them("poll"), [heard(OURS, &bytes)]);
            table.us(&format!("hear {len}"), || answered(&bytes));
        }
        // More at once, so that the rings wrap.
        for round in 0..3 {
            let many: Vec<_> = (0..6).map(|i| question(40 * i + round + 2)).collect();
            table.us("ask six times", || many.iter().for_each(|bytes| caller.try_send(THEIRS, bytes).unwrap()));
            let expected: Vec<_> = many.iter().map(|bytes| heard(OURS, bytes)).collect();
            assert_eq!(table.them("poll"), expected);
            table.us("hear six times", || many.iter().for_each(|bytes| answered(bytes)));
        }
        table.them("close");
        assert_eq!(table.us("hear that its service is gone", || services(&link)), []);
        if life == 0 {
            table.them("open c-again 1031");
            assert_eq!(table.us("hear of another", || services(&link)), [service("c-again", Address(1031))]);
        }
        table.them("stop");
        table.us("start anew", || link.reset(F_NS));
        assert_eq!(services(&link), []);
    }
    table.us("end", || drop(caller));
}

/// We are the remote, and echo; the C library is the host, and asks.
pub(crate) fn as_remote(table: &mut Table) {
    let memory = table.memory.clone();
    table.them("start");
    let link = table.us("start", || {
        let setup = RemoteSetup::new(vrings(&memory), memory.clone());
        Link::<Turns, Remote>::new(setup, Silent, Heap { endpoints: 8 }).unwrap()
    });
    for life in 0..2 {
        let name = Some(Name::new("tutti-echo").unwrap());
        let echo = table.us("announce a service", || link.endpoint(name, OURS).unwrap());
        assert_eq!(table.them("poll"), ["name tutti-echo 41 here"]);
        table.them("open c-caller 1030");
        assert_eq!(table.us("hear of its service", || services(&link)), [service("c-caller", THEIRS)]);
        // An answer starts with a 1, which is not answered again.
        let answer = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes.iter_mut().take(1).for_each(|byte| *byte = 1);
            bytes
        };
        let obey = |bytes: &[u8]| {
            let asked = echo.try_receive().unwrap().expect("a question");
            let mut got = vec![0; asked.len()];
            asked.read(0, &mut got).unwrap();
            assert_eq!((asked.source(), got.as_slice()), (THEIRS, bytes));
            drop(asked);
            echo.try_send(THEIRS, &answer(bytes)).unwrap();
        };
        for len in [1, 2, 16, 100, 495, 496] {
            let bytes = fill(len);
            assert_eq!(table.them(&format!("send 41 {len}")), [""; 0]);
            table.us(&format!("echo {len}"), || obey(&bytes));
            assert_eq!(table.them("poll"), [heard(OURS, &answer(&bytes))]);
        }
        for round in 0..3 {
            let many: Vec<_> = (0..6).map(|i| 40 * i + round + 2).collect();
            for len in &many {
                table.them(&format!("send 41 {len}"));
            }
            table.us("echo six times", || many.iter().for_each(|len| obey(&fill(*len))));
            let expected: Vec<_> = many.iter().map(|len| heard(OURS, &answer(&fill(*len)))).collect();
            assert_eq!(table.them("poll"), expected);
        }
        if life == 0 {
            table.us("take the service back", || drop(echo));
            assert_eq!(table.them("poll"), ["name tutti-echo 41 gone"]);
            table.them("close");
            assert_eq!(table.us("hear that its service is gone", || services(&link)), []);
        } else {
            table.us("leave", || {
                link.halt();
                drop(echo);
            });
        }
        table.them("stop");
        table.them("start");
        table.us("start anew", || link.reset(F_NS));
    }
}
