//! The patterns of `modules.alias`: those of fnmatch(3) without flags, as depmod writes them.

/// Whether a name is of a pattern's kind: `*` is any run of bytes, `?` any byte, `[a-z]` and `[!a-z]` one of (not of) a
/// set, `\` takes the next byte as it is. A `[` without its `]` stands for itself.
///
/// Takes time in proportion to both lengths multiplied, whatever they hold: of several `*`, only the last one met is
/// ever tried again.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: in the pattern, and in the name.
    let mut again: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            again = Some((p, n));
            continue;
        }
        match (name.get(n), one(pattern, p)) {
            (None, None) => return true,
            (Some(byte), Some((set, next))) if set.takes(*byte) => (p, n) = (next, n + 1),
            _ => {
                let Some((after, from)) = again.filter(|(_, from)| *from < name.len()) else { return false };
                again = Some((after, from + 1));
                (p, n) = (after, from + 1);
            }
        }
    }
}

enum Set<'a> {
    Any,
    Byte(u8),
    Of { ranges: &'a [u8], not: bool },
}

/// What the pattern has at `p` for one byte, and where it goes on.
fn one(pattern: &[u8], p: usize) -> Option<(Set<'_>, usize)> {
    match *pattern.get(p)? {
        b'?' => Some((Set::Any, p + 1)),
        b'\\' => match pattern.get(p + 1) {
            Some(byte) => Some((Set::Byte(*byte), p + 2)),
            None => Some((Set::Byte(b'\\'), p + 1)),
        },
        b'[' => {
            let not = matches!(pattern.get(p + 1), Some(b'!' | b'^'));
            let start = p + 1 + usize::from(not);
            // A `]` at the very beginning is a member.
            let end = pattern
                .get(start + 1..)
                .unwrap_or_default()
                .iter()
                .position(|byte| *byte == b']')
                .map(|at| start + 1 + at);
            match end.and_then(|end| Some((pattern.get(start..end)?, end))) {
                Some((ranges, end)) => Some((Set::Of { ranges, not }, end + 1)),
                None => Some((Set::Byte(b'['), p + 1)),
            }
        }
        byte => Some((Set::Byte(byte), p + 1)),
    }
}

impl Set<'_> {
    fn takes(&self, byte: u8) -> bool {
        match *self {
            Self::Any => true,
            Self::Byte(own) => own == byte,
            Self::Of { ranges, not } => {
                let mut rest = ranges;
                let mut found = false;
                while let Some((&first, after)) = rest.split_first() {
                    rest = after;
                    let last = match after {
                        [b'-', last, ..] => {
                            rest = after.get(2..).unwrap_or_default();
                            *last
                        }
                        _ => first,
                    };
                    found |= (first..=last).contains(&byte);
                }
                found != not
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_are_those_of_fnmatch() {
        for (pattern, name, fits) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("v[0-9a-f]*", "vc1", true),
            ("v[!0-9]", "v7", false),
            ("v[^0-9]", "vx", true),
            ("[]]", "]", true),
            ("[a", "[a", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c*", "xxaxxcxxbxx", false),
            ("cpu:type:x86,ven*fam*mod*:feature:*00A9*", "cpu:type:x86,ven0fam6mod55:feature:,0000,00A9,00B0", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(300) + "b";
        assert!(!matches(&pattern, &"a".repeat(5000)));
    }

    proptest! {
        #[test]
        fn without_special_bytes_it_is_equality(a in "[a-d]{0,4}", b in "[a-d]{0,4}") {
            prop_assert_eq!(matches(&a, &b), a == b);
        }

        #[test]
        fn a_star_takes_anything(a in "[a-d]{0,6}", b in "[a-d]{0,6}", c in "[a-d]{0,6}") {
            let whole = format!("{a}{b}{c}");
            let pattern = format!("{a}*{c}");
            prop_assert!(matches(&pattern, &whole));
        }

        #[test]
        fn nothing_panics(pattern in "[\\[\\]!*?a-c\\\\-]{0,20}", name in "[a-c\\[\\]-]{0,20}") {
            matches(&pattern, &name);
        }
    }
}
