//! Mutual exclusion, chosen by the port: none on a single thread, interrupts off on a microcontroller, a mutex on
//! Linux.

use core::cell::{RefCell, RefMut};
use core::ops::DerefMut;

/// Something that lets one caller at a time at a value.
pub trait Lock<T> {
    /// Lets go when it is dropped.
    type Guard<'a>: DerefMut<Target = T>
    where
        Self: 'a;

    /// Guards `value`.
    fn new(value: T) -> Self;
    /// Waits for its turn. Guards do not nest: who holds one must not lock again.
    fn lock(&self) -> Self::Guard<'_>;
    /// Runs `work` on it; `work` must not reach the same lock.
    #[inline(always)]
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        work(&mut self.lock())
    }
}

/// A kind of lock.
pub trait LockFamily {
    /// The lock of this kind around a `T`.
    type Lock<T>: Lock<T>;
}

/// No lock at all: for values that stay on one thread and out of interrupt handlers.
#[derive(Clone, Copy, Debug)]
pub enum Local {}

impl LockFamily for Local {
    type Lock<T> = Unshared<T>;
}

/// A value of one thread.
#[derive(Debug)]
pub struct Unshared<T>(RefCell<T>);

impl<T> Lock<T> for Unshared<T> {
    type Guard<'a>
        = RefMut<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }
    #[inline(always)]
    fn lock(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}

/// The standard library's mutex.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub enum Mutexed {}

#[cfg(feature = "std")]
impl LockFamily for Mutexed {
    type Lock<T> = Shared<T>;
}

/// A value behind the standard library's mutex.
#[cfg(feature = "std")]
#[derive(Debug)]
pub struct Shared<T>(std::sync::Mutex<T>);

#[cfg(feature = "std")]
impl<T> Lock<T> for Shared<T> {
    type Guard<'a>
        = std::sync::MutexGuard<'a, T>
    where
        T: 'a;

    fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }
    fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        // A panic of one who held it is a bug of ours that has been reported already; the state is checked, not
        // trusted.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
