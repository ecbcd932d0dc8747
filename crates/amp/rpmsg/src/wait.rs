//! Waiting with a bound: by whatever clock, and whatever sleeps until the other side rings.

use core::time::Duration;

use tutti_metal::{Clock, Deadline, Sleep};

/// Attempts until something is there; in between, asks to be rung for it and sleeps. `listen` says true if something
/// came before that was asked. `None` once `within` is over.
pub(crate) fn wait_within<T, E>(
    within: Duration,
    clock: &impl Clock,
    sleep: &impl Sleep,
    mut attempt: impl FnMut() -> Result<Option<T>, E>,
    mut listen: impl FnMut() -> Result<bool, E>,
) -> Result<Option<T>, E> {
    let deadline = Deadline::new(clock, within);
    loop {
        if let Some(found) = attempt()? {
            return Ok(Some(found));
        }
        let Some(left) = deadline.left(clock) else { return Ok(None) };
        if !listen()? {
            sleep.sleep(left);
        }
    }
}
