//! What a device says of itself in the TXT record, and how much of it is believed.

use std::net::SocketAddr;

use tutti_model::{DeviceId, Name};

use crate::discovery::{Announcement, table::Sighting};

/// The version of the table in the module's documentation.
const VERSION: &str = "1";

/// The keys and values of an announcement.
pub(crate) fn properties(announcement: &Announcement) -> Vec<(&'static str, String)> {
    let mut properties =
        vec![("v", VERSION.into()), ("id", announcement.device.to_string()), ("name", announcement.name.to_string())];
    if announcement.pairing_open {
        properties.push(("pair", "1".into()));
    }
    properties
}

/// The device that a record describes; `None` unless version, id and name are there and are what they must be, and it
/// can be reached somewhere. `value` looks a key up; other keys than ours are nobody's business.
pub(crate) fn parse<'a>(value: impl Fn(&str) -> Option<&'a [u8]>, addrs: Vec<SocketAddr>) -> Option<Sighting> {
    let text = |key: &str| str::from_utf8(value(key)?).ok();
    let version = text("v")?;
    // A newer version says the same with the same keys, and more.
    if version.parse::<u16>().ok()? == 0 || !version.bytes().all(|digit| digit.is_ascii_digit()) || addrs.is_empty() {
        return None;
    }
    Some(Sighting {
        device: text("id")?.parse::<DeviceId>().ok()?,
        name: Name::new(text("name")?).ok()?,
        addrs,
        pairing_open: text("pair") == Some("1"),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const ID: DeviceId = DeviceId::from_bytes([0xab; 32]);

    fn announcement(pairing_open: bool) -> Announcement {
        Announcement { device: ID, name: Name::new("Küche").unwrap(), port: 7, pairing_open }
    }

    fn read(properties: &BTreeMap<String, Vec<u8>>) -> Option<Sighting> {
        parse(|key| properties.get(key).map(Vec::as_slice), vec![([10, 0, 0, 1], 7).into()])
    }

    fn good(pairing_open: bool) -> BTreeMap<String, Vec<u8>> {
        let said = properties(&announcement(pairing_open));
        said.into_iter().map(|(key, value)| (key.to_owned(), value.into_bytes())).collect()
    }

    #[test]
    fn what_is_said_is_understood() {
        for pairing_open in [false, true] {
            let sighting = read(&good(pairing_open)).unwrap();
            assert_eq!((sighting.device, sighting.name.as_str()), (ID, "Küche"));
            assert_eq!(sighting.pairing_open, pairing_open);
        }
        let mut newer = good(false);
        newer.insert("v".into(), b"2".to_vec());
        newer.insert("colour".into(), b"blue".to_vec());
        assert!(read(&newer).is_some());
    }

    #[test]
    fn nonsense_is_refused() {
        for (key, values) in [
            ("v", [b"".as_slice(), b"0", b"+1", b"x", b"70000"].as_slice()),
            ("id", &[b"", b"abcd", &[b'g'; 64], &[b'a'; 63], &[b'a'; 65], &[0xff; 64]]),
            ("name", &[b"", b"a/b", b"-x", b"..", &[b'x'; 64], b"a\nb", b"\xff"]),
        ] {
            for value in values {
                let mut said = good(false);
                said.insert(key.into(), value.to_vec());
                assert_eq!(read(&said), None, "{key} {value:?}");
            }
            let mut said = good(false);
            said.remove(key);
            assert_eq!(read(&said), None, "{key}");
        }
        assert_eq!(
            parse(|key| good(false).remove(key).map(|value| &*value.leak()), vec![]),
            None,
            "nowhere to reach it"
        );
        let mut said = good(false);
        said.insert("pair".into(), b"yes".to_vec());
        assert!(!read(&said).unwrap().pairing_open);
    }

    proptest! {
        #[test]
        fn no_record_panics(said in proptest::collection::btree_map("v|id|name|pair|[a-z]{1,3}", proptest::collection::vec(any::<u8>(), 0..80), 0..6)) {
            let _ = read(&said);
        }
    }
}
