//! Which device a person means.

use tutti_control::ErrorCode;
use tutti_model::{DeviceId, Name};

use crate::api::ApiError;

/// The fewest digits of an id that stand for it.
const MIN_PREFIX: usize = 6;

/// A device that can be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: DeviceId,
    pub(crate) name: Name,
}

/// The device with this id or name, or else the one whose id begins so.
///
/// A whole id comes first, then a name: a device whose name looks like the beginning of another's id is still
/// reached by its name. Two of one name are never guessed between.
pub(crate) fn resolve(known: &[Known], word: &str) -> Result<Known, ApiError> {
    if let Ok(id) = word.parse::<DeviceId>()
        && let Some(device) = known.iter().find(|device| device.id == id)
    {
        return Ok(*device);
    }
    let named: Vec<_> = known.iter().filter(|device| device.name.as_str() == word).collect();
    let meant = match named.len() {
        0 if word.len() >= MIN_PREFIX && word.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
            let prefix = word.to_ascii_lowercase();
            known.iter().filter(|device| device.id.to_string().starts_with(&prefix)).collect()
        }
        _ => named,
    };
    match meant.as_slice() {
        [device] => Ok(**device),
        [] => Err(ApiError::new(
            ErrorCode::NoSuchDevice,
            format!("no device here is called {word:?}, and no id begins so"),
            "`tutti devices` lists those of the group, `tutti nearby` those around",
        )
        .candidates(known.iter().map(describe).collect())),
        several => Err(ApiError::new(
            ErrorCode::Ambiguous,
            format!("{} devices are meant by {word:?}", several.len()),
            "name it by its id, or by the first six digits or more of it",
        )
        .candidates(several.iter().map(|device| describe(device)).collect())),
    }
}

fn describe(device: &Known) -> String {
    format!("{} ({})", device.name, device.id.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        let device = |byte, name| Known { id: DeviceId::from_bytes([byte; 32]), name: Name::new(name).unwrap() };
        vec![device(0xaa, "kitchen"), device(0xab, "attic"), device(0xac, "attic"), device(0xad, "aaaaaa")]
    }

    #[test]
    fn names_ids_and_prefixes() {
        let known = known();
        assert_eq!(resolve(&known, "kitchen").unwrap(), known[0]);
        assert_eq!(resolve(&known, &"AB".repeat(32)).unwrap(), known[1]);
        assert_eq!(resolve(&known, "acacac").unwrap(), known[2]);
        assert_eq!(resolve(&known, "aaaaaa").unwrap(), known[3], "a name before a prefix");
        assert_eq!(resolve(&known, "aaaaaaa").unwrap(), known[0]);
    }

    #[test]
    fn what_is_not_clear_is_refused_with_candidates() {
        let refused = resolve(&known(), "attic").unwrap_err().0;
        assert_eq!(refused.code, ErrorCode::Ambiguous);
        assert_eq!(refused.candidates, ["attic (ababababab)", "attic (acacacacac)"]);
        for unknown in ["cellar", "", "acaca", "ffffff", &"ff".repeat(32)] {
            let refused = resolve(&known(), unknown).unwrap_err().0;
            assert_eq!((refused.code, refused.candidates.len()), (ErrorCode::NoSuchDevice, 4), "{unknown}");
        }
    }
}
