//! The back ends, through the conformance suites of tutti-metal.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use tutti_amp_host::{EventBell, FutexBell, Mapping, MappingError, socket};
use tutti_metal::{DeviceAddr, Memory, conformance};

#[test]
fn shared_memory_conforms_mapped_twice() {
    let near = Mapping::create(10_000, DeviceAddr(0x8000_0000)).unwrap();
    let again = near.keeper().as_fd().try_clone_to_owned().unwrap();
    let far = Mapping::open(again, DeviceAddr(0x8000_0000)).unwrap();
    assert_ne!(near.pointer(0), far.pointer(0));
    conformance::memory(&near, &far);
    conformance::memory(&near.part(4096, 4096).unwrap(), &far.part(4096, 4096).unwrap());
}

#[test]
fn doorbells_conform() {
    let bell = EventBell::create().unwrap();
    let again = EventBell::from_fd(bell.as_fd().try_clone_to_owned().unwrap());
    conformance::doorbell(&bell, &again);
    let memory = Mapping::create(4096, DeviceAddr(0)).unwrap();
    let bell = FutexBell::new(&memory, 64).unwrap();
    conformance::doorbell(&bell, &bell.sleeper());
    assert!(FutexBell::new(&memory, 4092).is_err() && FutexBell::new(&memory, 66).is_err());
}

#[test]
fn memory_and_doorbells_pass_over_a_socket() {
    let (one, other) = UnixStream::pair().unwrap();
    let near = Mapping::create(4096, DeviceAddr(0)).unwrap();
    let bell = EventBell::create().unwrap();
    socket::send(&one, &[near.keeper().as_fd(), bell.as_fd()]).unwrap();
    let mut passed = socket::receive(&other).unwrap().into_iter();
    let far = Mapping::open(passed.next().unwrap(), DeviceAddr(0)).unwrap();
    conformance::memory(&near, &far);
    conformance::doorbell(&EventBell::from_fd(passed.next().unwrap()), &bell);
    assert!(socket::send(&one, &[]).is_err());
    drop(one);
    assert!(socket::receive(&other).is_err());
}

#[test]
fn memory_that_can_shrink_is_refused() {
    use rustix::fs::MemfdFlags;
    let file = rustix::fs::memfd_create("shrinks", MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, 4096).unwrap();
    assert!(matches!(Mapping::open(file, DeviceAddr(0)), Err(MappingError::NotSealed)));
    let empty = Mapping::create(0, DeviceAddr(0));
    assert!(matches!(empty, Err(MappingError::Length(0))));
}
