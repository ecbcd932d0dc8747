//! One event in words, and what a device can say (`include/uapi/linux/input.h` and `input-event-codes.h`).

use super::Private;

/// The length of `struct input_event`: a time of two longs, then type, code (16 bits each) and value (32 bits).
pub(super) const LEN: usize = size_of::<usize>() * 2 + 8;

const EV_KEY: u16 = 1;
const EV_REL: u16 = 2;
const EV_ABS: u16 = 3;
const EV_SW: u16 = 5;

const KEY_Q: usize = 16;
const KEY_A: usize = 30;
const KEY_Z: usize = 44;
const BTN_MOUSE: usize = 0x110;
const BTN_TOUCH: usize = 0x14a;
const BTN_TOOL_PEN: usize = 0x140;
const REL_X: usize = 0;
const REL_Y: usize = 1;

/// Keys that have a word here; all others are called by their numbers.
const KEYS: [(u16, &str); 44] = [
    (1, "escape"),
    (2, "1"),
    (3, "2"),
    (4, "3"),
    (5, "4"),
    (6, "5"),
    (7, "6"),
    (8, "7"),
    (9, "8"),
    (10, "9"),
    (11, "0"),
    (28, "enter"),
    (57, "space"),
    (59, "f1"),
    (60, "f2"),
    (61, "f3"),
    (62, "f4"),
    (102, "home"),
    (103, "up"),
    (105, "left"),
    (106, "right"),
    (108, "down"),
    (113, "mute"),
    (114, "volume-down"),
    (115, "volume-up"),
    (116, "power"),
    (139, "menu"),
    (142, "sleep"),
    (143, "wake-up"),
    (148, "prog1"),
    (149, "prog2"),
    (158, "back"),
    (163, "next"),
    (164, "play-pause"),
    (165, "previous"),
    (166, "stop"),
    (172, "homepage"),
    (212, "camera"),
    (256, "button 0"),
    (257, "button 1"),
    (258, "button 2"),
    (259, "button 3"),
    (352, "ok"),
    (408, "restart"),
];

const RELATIVE: [(u16, &str); 4] = [(6, "wheel-horizontal"), (7, "dial"), (8, "wheel"), (9, "misc")];

/// What a device can say: sets of codes, as the kernel prints them in sysfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    events: Vec<u64>,
    keys: Vec<u64>,
    relative: Vec<u64>,
    absolute: Vec<u64>,
    switches: Vec<u64>,
}

impl Capabilities {
    /// From the files `ev`, `key`, `rel`, `abs` and `sw`: words of as many bits as a long has, in hexadecimal digits, the
    /// highest first. Garbage is an empty set.
    pub fn parse(events: &str, keys: &str, relative: &str, absolute: &str, switches: &str) -> Self {
        let [events, keys, relative, absolute, switches] = [events, keys, relative, absolute, switches].map(set);
        Self { events, keys, relative, absolute, switches }
    }

    /// Why what it says is nobody else's business, if so.
    pub fn private(&self) -> Option<Private> {
        if [KEY_Q, KEY_A, KEY_Z].iter().all(|key| has(&self.keys, *key)) {
            return Some(Private::Keyboard);
        }
        let points = has(&self.relative, REL_X) && has(&self.relative, REL_Y);
        let touches = [BTN_MOUSE, BTN_TOUCH, BTN_TOOL_PEN].iter().any(|button| has(&self.keys, *button));
        (points || touches).then_some(Private::Pointer)
    }

    /// Whether there is anything that it says.
    pub fn says_something(&self) -> bool {
        let has_any = |set: &[u64]| set.iter().any(|bits| *bits != 0);
        [EV_KEY, EV_REL, EV_ABS, EV_SW].iter().any(|kind| has(&self.events, usize::from(*kind)))
            && [&self.keys, &self.relative, &self.absolute, &self.switches].into_iter().any(|set| has_any(set))
    }
}

/// The words of a set, the lowest first.
fn set(text: &str) -> Vec<u64> {
    let words: Option<Vec<u64>> =
        text.split_ascii_whitespace().map(|word| u64::from_str_radix(word, 16).ok()).collect();
    let mut words = words.filter(|words| words.len() <= 32).unwrap_or_default();
    words.reverse();
    words
}

/// Whether a set has a code. A long of the kernel's has as many bits as ours: it runs this program.
fn has(set: &[u64], code: usize) -> bool {
    let bits = usize::BITS as usize;
    set.get(code / bits).is_some_and(|word| word >> (code % bits) & 1 == 1)
}

/// An event in words; none for those that only part others.
pub(super) fn words(bytes: &[u8]) -> Option<String> {
    let at = size_of::<usize>() * 2;
    let kind = u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?);
    let code = u16::from_ne_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?);
    let value = i32::from_ne_bytes(bytes.get(at + 4..at + 8)?.try_into().ok()?);
    let named = |names: &[(u16, &str)], what: &str| {
        names
            .iter()
            .find(|(known, _)| *known == code)
            .map_or_else(|| format!("{what} {code}"), |(_, word)| (*word).to_owned())
    };
    match kind {
        EV_KEY => {
            let how = match value {
                0 => "released",
                1 => "pressed",
                _ => "held",
            };
            Some(format!("{} {how}", named(&KEYS, "key")))
        }
        EV_REL => Some(format!("{} {value:+}", named(&RELATIVE, "axis"))),
        EV_ABS => Some(format!("axis {code} at {value}")),
        EV_SW => Some(format!("switch {code} {}", if value == 0 { "off" } else { "on" })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(kind: u16, code: u16, value: i32) -> Vec<u8> {
        let time = vec![7; size_of::<usize>() * 2];
        [time.as_slice(), &kind.to_ne_bytes(), &code.to_ne_bytes(), &value.to_ne_bytes()].concat()
    }

    #[test]
    fn events_have_words() {
        for (bytes, expected) in [
            (event(EV_KEY, 116, 1), Some("power pressed")),
            (event(EV_KEY, 116, 0), Some("power released")),
            (event(EV_KEY, 700, 2), Some("key 700 held")),
            (event(EV_REL, 7, -1), Some("dial -1")),
            (event(EV_REL, 8, 3), Some("wheel +3")),
            (event(EV_ABS, 0, 512), Some("axis 0 at 512")),
            (event(EV_SW, 0, 1), Some("switch 0 on")),
            (event(0, 0, 0), None),
        ] {
            assert_eq!(words(&bytes).as_deref(), expected);
            assert_eq!(bytes.len(), LEN);
        }
        assert_eq!(words(&[0; 5]), None);
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn keyboards_and_pointers_are_private() {
        // As sysfs shows them for a keyboard, a mouse, a power button, and a lid.
        let of = |ev, key, rel, abs, sw| Capabilities::parse(ev, key, rel, abs, sw);
        let keyboard = of("120013", "402000007 ff803078f800d001 feffffdfffefffff fffffffffffffffe", "0", "0", "0");
        assert_eq!(keyboard.private(), Some(Private::Keyboard));
        let mouse = of("17", "1f0000 0 0 0 0", "1943", "0", "0");
        assert_eq!(mouse.private(), Some(Private::Pointer));
        let button = of("3", "10000000000000 0", "0", "0", "0");
        assert_eq!((button.private(), button.says_something()), (None, true));
        let lid = of("21", "0", "0", "0", "1");
        assert_eq!((lid.private(), lid.says_something()), (None, true));
        let dial = of("5", "0", "80", "0", "0");
        assert_eq!((dial.private(), dial.says_something()), (None, true));
        assert!(!of("1", "0", "0", "0", "0").says_something());
        assert!(!of("zz", "x y", "", "", "").says_something());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "[0-9a-f xz]{0,60}") {
            words(&bytes);
            let found = Capabilities::parse(&text, &text, &text, &text, &text);
            let _ = (found.private(), found.says_something());
        }
    }
}
