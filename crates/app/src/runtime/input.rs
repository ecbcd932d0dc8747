//! What a person does with an input resource, as its readings tell it.
//!
//! An input resource's value is text. Of a pointer it is `X Y BUTTONS`: where it is, as parts of the display's width and
//! height from 0 to 1, and the buttons that are down as a number ("0.512 0.25 1"). Anything else of at most [`MAX_KEY`] bytes is
//! the name of a key that was pressed, as browsers call them ("a", "Enter", "ArrowLeft"); no text is no key. Numbers and other values
//! come from knobs and their like, and are readings to an app.
//!
//! Which display a pointer or a keyboard belongs to its property [`OF_DISPLAY`] says: the name of a display of the same device. An app that
//! wants the display is told what is done there under the display's name; it wants no input beside it.
//!
//! Values may be missed in between, but not the last one. So what a pointer did is told by what changed between two
//! values: [`Hand`] remembers whether a button was down.

use tutti_model::Value;

use super::host::{Event, Phase};

/// The property of an input resource that names the display of the same device which it belongs to.
pub const OF_DISPLAY: &str = "display";

/// The longest name of a key, in bytes.
pub const MAX_KEY: usize = 32;

/// What an input's values have told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hand {
    down: bool,
}

impl Hand {
    /// What an app is told when the input behind its want `name` has this value now.
    pub fn event(&mut self, name: &str, value: &Value) -> Option<Event> {
        let Value::Text(text) = value else { return None };
        if let Some((x, y, buttons)) = pointer(text) {
            let phase = match (self.down, buttons > 0) {
                (false, true) => Phase::Down,
                (true, false) => Phase::Up,
                (_, _) => Phase::Move,
            };
            self.down = buttons > 0;
            return Some(Event::Pointer(name.to_owned(), phase, (x, y)));
        }
        let key = !text.is_empty() && text.len() <= MAX_KEY && !text.chars().any(char::is_control);
        key.then(|| Event::Key(name.to_owned(), text.to_owned()))
    }
}

/// Where a pointer is, in thousandths, and its buttons.
fn pointer(text: &str) -> Option<(u16, u16, u32)> {
    let mut words = text.split(' ');
    let (x, y, buttons) = (words.next()?, words.next()?, words.next()?);
    let part = |word: &str| {
        let plain = word.len() <= MAX_KEY && word.bytes().all(|it| it.is_ascii_digit() || it == b'.');
        let part = word.parse::<f64>().ok().filter(|it| plain && (0.0..=1.0).contains(it))?;
        Some((part * 1000.0).round() as u16)
    };
    if words.next().is_some() {
        return None;
    }
    Some((part(x)?, part(y)?, buttons.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(hand: &mut Hand, text: &str) -> Option<Event> {
        hand.event("pen", &Value::Text(text.into()))
    }

    #[test]
    fn a_stroke_is_told_by_what_changed() {
        let mut hand = Hand::default();
        let mut phase = |text: &str| match told(&mut hand, text) {
            Some(Event::Pointer(name, phase, at)) if name == "pen" => (phase, at),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(phase("0.5 0.25 0"), (Phase::Move, (500, 250)));
        assert_eq!(phase("0.500 0.250 1"), (Phase::Down, (500, 250)));
        assert_eq!(phase("1 0 1"), (Phase::Move, (1000, 0)));
        assert_eq!(phase("1.0 0.0 3"), (Phase::Move, (1000, 0)));
        assert_eq!(phase("1 0 0"), (Phase::Up, (1000, 0)));
    }

    #[test]
    fn keys_are_told_by_their_names_and_nothing_else_is() {
        let mut hand = Hand::default();
        for key in ["a", "Enter", "+", " ", "ß", "1"] {
            assert_eq!(told(&mut hand, key), Some(Event::Key("pen".into(), key.into())), "{key}");
        }
        for none in ["", "\n", &"x".repeat(MAX_KEY + 1)] {
            assert_eq!(told(&mut hand, none), None, "{none}");
        }
        assert_eq!(hand.event("pen", &Value::Float(0.5)), None);
        // What is nearly a pointer is nobody's key either, unless a keyboard had one of that name.
        for odd in ["2 0 1", "-0 0 1", "0 0 -1", "0 0 1 1", "NaN 0 1", "1e0 0 1"] {
            assert!(!matches!(told(&mut hand, odd), Some(Event::Pointer(..))), "{odd}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_a_place_is_on_the_display(text in "[0-9. -]{0,12}|.{0,40}") {
            if let Some(Event::Pointer(_, _, (x, y))) = Hand::default().event("pen", &Value::Text(text)) {
                prop_assert!(x <= 1000 && y <= 1000);
            }
        }
    }
}
