//! What every implementation of the traits must do, as functions that a port runs over its own.
//!
//! They panic with a sentence when something is wrong: they are tests.

use std::time::{Duration, Instant};

use crate::{Clock, Doorbell, Memory, Sleep, Wake};

/// Two handles to the same memory, as its two sides see it: what one writes and cleans, the other reads after
/// invalidating. Needs at least 1,024 bytes.
pub fn memory<A: Memory, B: Memory>(near: &A, far: &B) {
    assert!(near.len() >= 1024 && near.len() == far.len(), "both sides must see the same length, at least 1,024 bytes");
    for (at, value) in [(0usize, 0x0123_4567_89ab_cdefu64), (512, u64::MAX), (near.len() - 8, 1)] {
        near.put(at, &value).expect("inside");
        near.clean(at, 8);
        far.invalidate(at, 8);
        assert_eq!(far.get::<u64>(at), Ok(value), "a word at {at} must cross");
        let mut bytes = [0; 8];
        far.copy_out(at, &mut bytes).expect("inside");
        assert_eq!(bytes, value.to_le_bytes(), "words are little-endian in memory");
    }
    for len in [0, 1, 2, 3, 15, 16, 17, 63, 64, 65, 500, 700] {
        for at in [0, 1, 7, 64, 100] {
            let sent: Vec<u8> = (0..len).map(|i| (i * 31 + at) as u8).collect();
            far.copy_in(at, &sent).expect("inside");
            far.clean(at, len);
            near.invalidate(at, len);
            let mut received = vec![0; len];
            near.copy_out(at, &mut received).expect("inside");
            assert_eq!(received, sent, "{len} bytes at {at} must cross");
        }
    }
    // SAFETY: offset 2 is even and inside.
    unsafe {
        near.store(2, 0xbeef);
        near.clean(2, 2);
        far.invalidate(2, 2);
        assert_eq!(far.load(2), 0xbeef, "a signal must cross");
    }
    let end = near.len();
    assert!(near.get::<u8>(end).is_err() && near.get::<u32>(end - 2).is_err() && near.get::<u16>(1).is_err());
    assert!(near.copy_in(end - 1, &[0, 0]).is_err() && near.check(usize::MAX, 2).is_err());
    let base = near.device_base();
    assert_eq!(near.offset_of(base, 1), Ok(0));
    assert_eq!(near.offset_of(near.addr_of(end - 4), 4), Ok(end - 4));
    assert!(near.offset_of(near.addr_of(end - 4), 5).is_err(), "an address range must end inside");
    assert!(near.offset_of(crate::DeviceAddr(u64::MAX), u32::MAX).is_err(), "the sum must not wrap");
    if base.0 > 0 {
        assert!(near.offset_of(crate::DeviceAddr(base.0 - 1), 1).is_err());
    }
}

/// A doorbell, and the sleeper that hears it.
pub fn doorbell<D: Doorbell + Sync, S: Sleep + Sync>(bell: &D, sleeper: &S) {
    while sleeper.sleep(Duration::ZERO) == Wake::Rung {}
    let start = Instant::now();
    assert_eq!(sleeper.sleep(Duration::from_millis(20)), Wake::TimedOut, "nobody rang");
    let slept = start.elapsed();
    assert!(slept >= Duration::from_millis(15) && slept < Duration::from_secs(5), "a sleep of 20 ms took {slept:?}");
    bell.ring(0);
    bell.ring(0);
    assert_eq!(sleeper.sleep(Duration::from_secs(5)), Wake::Rung, "a ring before the sleep must not be lost");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            bell.ring(0);
        });
        assert_eq!(sleeper.sleep(Duration::from_secs(10)), Wake::Rung, "a ring during the sleep must end it");
    });
}

/// A clock.
pub fn clock(clock: &impl Clock) {
    let mut last = clock.now();
    for _ in 0..1000 {
        let now = clock.now();
        assert!(now >= last, "a clock never goes back");
        last = now;
    }
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(20));
    let seen = clock.now().since(last);
    assert!(seen >= Duration::from_millis(15) && seen <= start.elapsed() + Duration::from_millis(500), "{seen:?}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Incoherent, Intercepted};
    use crate::{DeviceAddr, Monotonic, Owned};

    #[test]
    fn every_memory_of_this_crate_conforms() {
        let owned = Owned::allocate(4096, DeviceAddr(0x1000)).unwrap();
        memory(&owned, &owned.region());
        memory(&owned.region().part(1024, 2048).unwrap(), &owned.region().part(1024, 2048).unwrap());
        memory(&Intercepted::new(owned.clone(), |_, _, _| {}), &owned);
        let (near, far) = Incoherent::pair(owned, 7);
        memory(&near, &far);
        memory(&far, &near);
    }

    #[test]
    fn the_clock_of_the_standard_library_conforms() {
        clock(&Monotonic::default());
    }
}
