//! The power button, where a machine has one that only tells of being pressed (ACPI's, `gpio-keys`): the class input,
//! `KEY_POWER` (`include/uapi/linux/input-event-codes.h`). The layout of an event is that of `struct input_event`.

use std::{
    fs::{self, File},
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

use rustix::fs::OFlags;

/// Its number.
const KEY_POWER: u16 = 116;
const EV_KEY: u16 = 1;
/// A time of two longs, type, code, value.
const LEN: usize = size_of::<usize>() * 2 + 8;
/// More buttons are not listened to.
const MAX: usize = 8;

/// The buttons that are listened to.
#[derive(Default)]
pub(crate) struct Buttons(Vec<(String, File)>);

impl Buttons {
    /// Listens to those that have come, and no longer to those that have gone.
    pub(crate) fn look(&mut self) {
        let entries = fs::read_dir("/sys/class/input").into_iter().flatten().flatten();
        let nodes: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        self.0.retain(|(node, _)| nodes.contains(node));
        for node in nodes.into_iter().filter(|node| node.starts_with("event")) {
            if self.0.len() >= MAX || self.0.iter().any(|(known, _)| *known == node) {
                continue;
            }
            let keys = fs::read_to_string(Path::new("/sys/class/input").join(&node).join("device/capabilities/key"));
            if !keys.is_ok_and(|keys| has_power_key(&keys)) {
                continue;
            }
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            let path = Path::new("/dev/input").join(&node);
            // Its file comes a moment after it; then it is found the next time.
            if let Ok(file) = fs::OpenOptions::new().read(true).custom_flags(flags).open(path) {
                self.0.push((node, file));
            }
        }
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, file)| file.as_fd())
    }

    /// Whether one was pressed.
    pub(crate) fn pressed(&mut self) -> bool {
        let mut events = [0; LEN * 32];
        let mut pressed = false;
        for (_, file) in &mut self.0 {
            if let Ok(len) = file.read(&mut events) {
                pressed |= events.get(..len).unwrap_or_default().chunks_exact(LEN).any(is_press);
            }
        }
        pressed
    }
}

fn is_press(event: &[u8]) -> bool {
    let at = size_of::<usize>() * 2;
    let expected = [EV_KEY.to_ne_bytes(), KEY_POWER.to_ne_bytes()].concat();
    event.get(at..at + 4) == Some(&expected) && event.get(at + 4..at + 8) == Some(&1_i32.to_ne_bytes())
}

/// Whether a set of keys, as sysfs shows it (words of a long's bits, the highest first), has the power button; and is not a
/// keyboard with one, on which a child may lean.
fn has_power_key(text: &str) -> bool {
    let words: Option<Vec<u64>> =
        text.split_ascii_whitespace().rev().map(|word| u64::from_str_radix(word, 16).ok()).collect();
    let words = words.unwrap_or_default();
    let bits = usize::BITS as usize;
    let has = |key: usize| words.get(key / bits).is_some_and(|word| word >> (key % bits) & 1 == 1);
    // The letter A.
    has(KEY_POWER.into()) && !has(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn a_power_button_is_known_and_heard() {
        assert!(has_power_key("10000000000000 0\n"));
        assert!(!has_power_key("402000007 ff803078f800d001 feffffdfffefffff fffffffffffffffe"), "a keyboard");
        assert!(!has_power_key("") && !has_power_key("zz") && !has_power_key("1"));
        let event = |code: u16, value: i32| {
            [&[0; 16][..], &EV_KEY.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
        };
        assert!(is_press(&event(116, 1)) && !is_press(&event(116, 0)) && !is_press(&event(115, 1)) && !is_press(&[1]));
    }
}
