//! Names for resources out of what the kernel calls things.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use tutti_model::{Name, ResourceDescription, Text, Unit, Value};

/// A resource's name: lower case, with `-` for what names may not hold.
pub(crate) fn name(text: &str) -> Name {
    let fallback = Name::new("unnamed").expect("a plain word is a name");
    Name::sanitize(&text.to_lowercase().replace('_', "-"), fallback)
}

/// A unit; one that is too long is cut.
pub(crate) fn unit(text: &str) -> Unit {
    Unit::lossy(text)
}

/// What the kernel says about itself as a property: bounded, without control characters.
pub(crate) fn words(text: &str) -> Value {
    Value::Text(Text::<63>::lossy(text).as_str().to_owned())
}

/// Adds properties to a description.
pub(crate) fn with<const N: usize>(
    mut description: ResourceDescription,
    properties: [(&str, Value); N],
) -> ResourceDescription {
    description.properties.extend(properties.map(|(key, value)| (name(key), value)));
    description
}

/// A whole number of bytes or the like as a value.
pub(crate) fn count(number: u64) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Tells apart several chips or devices of one name: the first in bus order keeps the plain name, the others get
/// their place on the bus behind it. (The kernel's own numbers, as in `hwmon3`, change from boot to boot.)
///
/// `found` is (what to call it, its place on the bus); the answer has one name for each, in the same order.
pub(crate) fn tell_apart(found: &[(String, Option<String>)]) -> Vec<String> {
    let mut order: Vec<usize> = (0..found.len()).collect();
    order.sort_by(|&a, &b| {
        let place = |i: usize| found.get(i).and_then(|(_, place)| place.as_deref()).unwrap_or("");
        natural_order(place(a), place(b)).then(a.cmp(&b))
    });
    let mut names = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for index in order {
        let Some((base, place)) = found.get(index) else { continue };
        let placed = place.as_ref().map(|place| place.strip_prefix(base.as_str()).unwrap_or(place));
        let candidates = std::iter::once(base.clone())
            .chain(placed.map(|place| format!("{base}-{}", place.trim_start_matches(['.', '-', '_', '@']))))
            .chain((2..).map(|number| format!("{base}-{number}")));
        if let Some(free) = candidates.into_iter().find(|candidate| taken.insert(candidate.clone())) {
            names.insert(index, free);
        }
    }
    names.into_values().collect()
}

/// Compares runs of digits as numbers.
pub(crate) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (a_digits, b_digits) = (digits(a_rest), digits(b_rest));
        if !a_digits.is_empty() && !b_digits.is_empty() {
            let (x, y) = (a_digits.trim_start_matches('0'), b_digits.trim_start_matches('0'));
            let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
            if order.is_ne() {
                return order;
            }
            a_rest = a_rest.get(a_digits.len()..).unwrap_or("");
            b_rest = b_rest.get(b_digits.len()..).unwrap_or("");
            continue;
        }
        let (mut a_chars, mut b_chars) = (a_rest.chars(), b_rest.chars());
        match (a_chars.next(), b_chars.next()) {
            // Equal but for leading zeros: the plain order keeps it total.
            (None, None) => return a.cmp(b),
            (x, y) if x != y => return x.cmp(&y),
            _ => {}
        }
        (a_rest, b_rest) = (a_chars.as_str(), b_chars.as_str());
    }
}

fn digits(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(list: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        list.iter().map(|(base, place)| ((*base).to_owned(), place.map(str::to_owned))).collect()
    }

    #[test]
    fn chips_of_one_name_are_told_apart_by_their_place() {
        let names = tell_apart(&found(&[
            ("nvme", Some("nvme1")),
            ("nvme", Some("nvme0")),
            ("coretemp", Some("coretemp.1")),
            ("coretemp", Some("coretemp.0")),
            ("spd5118", Some("0-0051")),
            ("spd5118", Some("0-0053")),
            ("odd", None),
            ("odd", None),
        ]));
        assert_eq!(names, ["nvme-1", "nvme", "coretemp-1", "coretemp", "spd5118", "spd5118-0-0053", "odd", "odd-2"]);
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(name("Package id 0").as_str(), "package-id-0");
        assert_eq!(name("///").as_str(), "unnamed");
        assert_eq!(name("acpitz_temp1").as_str(), "acpitz-temp1");
    }

    proptest! {
        #[test]
        fn natural_order_is_total(mut names in prop::collection::vec("[a-c0-2]{0,6}", 3)) {
            names.sort_by(|a, b| natural_order(a, b));
            for pair in names.windows(2) {
                prop_assert!(natural_order(&pair[0], &pair[1]).is_le());
                prop_assert_eq!(natural_order(&pair[0], &pair[1]).is_eq(), pair[0] == pair[1]);
            }
            prop_assert!(natural_order(&names[0], &names[2]).is_le());
        }

        #[test]
        fn told_apart_means_all_different(list in prop::collection::vec(("[ab]{1,2}", prop::option::of("[ab.0-9]{0,4}")), 0..8)) {
            let names = tell_apart(&list);
            prop_assert_eq!(names.len(), list.len());
            prop_assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), list.len());
        }
    }
}
