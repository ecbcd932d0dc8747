//! UIO devices against a tree of files that looks as the kernel's does: real files, mapped and read as such.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tutti_amp_host::uio::{RegisterBell, Uio, UioError};
use tutti_metal::{DeviceAddr, Doorbell, Memory, PhysAddr, Sleep, Wake, conformance};

/// A fixture: `class/uioN` and `dev/uioN`.
struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("class")).unwrap();
        fs::create_dir_all(folder.path().join("dev")).unwrap();
        Self(folder)
    }

    fn class(&self) -> PathBuf {
        self.0.path().join("class")
    }

    fn dev(&self) -> PathBuf {
        self.0.path().join("dev")
    }

    /// Regions as name, addr, size and offset.
    fn add(&self, index: usize, name: &str, maps: &[[&str; 4]]) -> PathBuf {
        let about = self.class().join(format!("uio{index}"));
        fs::create_dir_all(&about).unwrap();
        fs::write(about.join("name"), format!("{name}\n")).unwrap();
        for (map, files) in maps.iter().enumerate() {
            let folder = about.join(format!("maps/map{map}"));
            fs::create_dir_all(&folder).unwrap();
            for (file, text) in ["name", "addr", "size", "offset"].into_iter().zip(files) {
                fs::write(folder.join(file), format!("{text}\n")).unwrap();
            }
        }
        self.dev().join(format!("uio{index}"))
    }

    fn find(&self, name: &str) -> Result<Uio, UioError> {
        Uio::find_in(&self.class(), &self.dev(), name)
    }
}

fn pages(path: &Path, count: usize) {
    fs::File::create(path).unwrap().set_len((count * rustix::param::page_size()) as u64).unwrap();
}

#[test]
fn regions_are_described_and_mapped_each_at_its_page() {
    let tree = Tree::new();
    tree.add(0, "other", &[]);
    let mailbox = ["mailbox", "0x0000000050003040", "0x40", "0x40"];
    let file = tree.add(1, "core1", &[["shared", "0x3ed00000", "0x2000", "0x0"], mailbox]);
    pages(&file, 2);
    let uio = tree.find("core1").unwrap();
    assert_eq!(uio.name(), "core1");
    let [shared, mailbox] = uio.maps() else { panic!("{:?}", uio.maps()) };
    assert_eq!((shared.name.as_str(), shared.address, shared.len), ("shared", PhysAddr(0x3ed0_0000), 0x2000));
    assert_eq!((mailbox.name.as_str(), mailbox.address, mailbox.len), ("mailbox", PhysAddr(0x5000_3040), 0x40));

    let device = DeviceAddr(0x3ed0_0000);
    let (near, far) = (uio.map(0, device).unwrap(), uio.map(0, device).unwrap());
    assert_eq!((near.len(), near.device_base()), (0x2000, device));
    conformance::memory(&near, &far);

    // Map 1 is at the second page, 0x40 into it. What is rung there is in the file.
    let registers = uio.map(1, DeviceAddr(0x5000_3040)).unwrap();
    assert_eq!(registers.len(), 0x40);
    RegisterBell::new(registers.clone(), 8, 0x8000_0001).unwrap().ring(0);
    let at = rustix::param::page_size() + 0x48;
    assert_eq!(fs::read(&file).unwrap()[at..at + 4], 0x8000_0001u32.to_le_bytes());
    for at in [0x40, 0x3e, 2] {
        assert!(RegisterBell::new(registers.clone(), at, 1).is_err(), "{at}");
    }
    assert!(matches!(uio.map(2, device), Err(UioError::NoMap { map: 2, maps: 2 })));
}

#[test]
fn memory_outlives_the_device_that_it_was_mapped_from() {
    let tree = Tree::new();
    pages(&tree.add(0, "core1", &[["shared", "0x1000", "0x1000", "0x0"]]), 1);
    let memory = tree.find("core1").unwrap().map(0, DeviceAddr(0)).unwrap();
    memory.put(8, &77u64).unwrap();
    assert_eq!(memory.get::<u64>(8), Ok(77));
}

/// A pipe with a name stands in for the device file: it can be read, written and waited for, four bytes at a time.
#[test]
fn interrupts_wake_and_are_let_through_again() {
    let tree = Tree::new();
    let path = tree.add(0, "core1", &[]);
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let uio = tree.find("core1").unwrap();
    let other = Uio::open(&tree.class().join("uio0"), &path).unwrap();

    assert_eq!(uio.sleep(Duration::from_millis(20)), Wake::TimedOut);
    let read = || {
        let mut word = [0; 8];
        rustix::io::read(other.as_fd(), &mut word).map(|len| word[..len].to_vec())
    };
    let ring = |count: u32| rustix::io::write(other.as_fd(), &count.to_ne_bytes()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            ring(5);
        });
        assert_eq!(uio.sleep(Duration::from_secs(5)), Wake::Rung);
    });
    assert!(read().is_err(), "it was let through before its cause was dealt with");
    // What lets the next one through is the word that the kernel's driver takes.
    uio.unmask().unwrap();
    assert_eq!(read(), Ok(1u32.to_ne_bytes().to_vec()));
}

#[test]
fn an_interrupt_that_does_not_come_ends_the_sleep_in_time() {
    let tree = Tree::new();
    // A file that is at its end: nothing to read, and nothing to wait for.
    fs::write(tree.add(0, "core1", &[]), b"").unwrap();
    let uio = tree.find("core1").unwrap();
    let start = Instant::now();
    assert_eq!(uio.sleep(Duration::from_millis(50)), Wake::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn what_cannot_be_is_refused_with_the_file_that_says_so() {
    let tree = Tree::new();
    assert!(matches!(tree.find("core1"), Err(UioError::NotFound(name)) if name == "core1"));
    let cases = [
        ["shared", "twelve", "0x1000", "0x0"],
        ["shared", "0x1000", "0x0", "0x0"],
        ["shared", "0x1000", "0xffffffffffffffff", "0x0"],
        ["shared", "0x1000", "0x1000", "0x100000"],
        ["shared", "0x1000", "+1000", "0x0"],
        ["shared", "0x11111111111111111", "0x1000", "0x0"],
    ];
    for case in cases {
        let about = tree.add(0, "core1", &[case]);
        pages(&about, 1);
        let error = tree.find("core1").unwrap_err();
        assert!(matches!(error, UioError::Text(..)), "{case:?}: {error}");
    }
    // Shorter than it says: whoever touched the rest would be ended by a signal.
    pages(&tree.add(0, "core1", &[["shared", "0x1000", "0x2000", "0x0"]]), 1);
    let error = tree.find("core1").unwrap().map(0, DeviceAddr(0)).unwrap_err();
    assert!(matches!(error, UioError::Map(_)), "{error}");
    tree.add(0, "core1", &[["shared", "0x1004", "0x100", "0x4"]]);
    assert!(matches!(tree.find("core1").unwrap().map(0, DeviceAddr(0)), Err(UioError::Unaligned(PhysAddr(0x1004)))));
    tree.add(1, "without a file", &[]);
    assert!(matches!(tree.find("without a file"), Err(UioError::File(..))));
}
