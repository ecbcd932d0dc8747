//! Hardware that is there and not offered, and why: what `tutti doctor` says of it.

use crate::{
    input::{self, Private},
    root::SysRoot,
};

/// Hardware that is not offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unserved {
    /// What it is called.
    pub what: String,
    /// Why.
    pub why: Why,
}

/// Why hardware is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A sound card: there is no driver for sound yet.
    Sound,
    /// A camera: there is no driver for cameras yet.
    Camera,
    /// A display: there is no driver for displays yet; a terminal or a browser can be one.
    Display,
    /// What is typed or pointed at is nobody else's business.
    Private,
}

impl Why {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Sound => "sound is not offered yet",
            Self::Camera => "cameras are not offered yet",
            Self::Display => "displays are not offered yet; `tutti screen` makes one of a terminal",
            Self::Private => "what is typed and pointed at stays on this machine",
        }
    }
}

/// Looks for it. Costs a few small files.
pub fn unserved(root: &SysRoot) -> Vec<Unserved> {
    let one = |what: String, why| Unserved { what, why };
    let mut found = Vec::new();
    for card in root.names("/sys/class/sound").into_iter().filter(|card| is_numbered(card, "card")) {
        let id = root.attribute(format!("/sys/class/sound/{card}/id")).unwrap_or(card);
        found.push(one(id, Why::Sound));
    }
    for video in root.names("/sys/class/video4linux").into_iter().filter(|video| is_numbered(video, "video")) {
        let name = root.attribute(format!("/sys/class/video4linux/{video}/name")).unwrap_or(video);
        // One camera has several of these.
        if !found.iter().any(|seen: &Unserved| seen.what == name) {
            found.push(one(name, Why::Camera));
        }
    }
    for connector in root.names("/sys/class/drm") {
        let status = root.attribute(format!("/sys/class/drm/{connector}/status"));
        if status.is_ok_and(|status| status == "connected") {
            found.push(one(connector, Why::Display));
        }
    }
    let private = input::private(root).into_iter().map(|(what, why)| match why {
        Private::Keyboard | Private::Pointer => one(what, Why::Private),
    });
    found.extend(private);
    found
}

fn is_numbered(name: &str, start: &str) -> bool {
    name.strip_prefix(start)
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_not_offered_is_known() {
        let tree = tempfile::tempdir().unwrap();
        for (file, holds) in [
            ("sound/card0/id", "Dummy"),
            ("sound/controlC0/uevent", ""),
            ("video4linux/video0/name", "vivid-000-vid-cap"),
            ("video4linux/video1/name", "vivid-000-vid-cap"),
            ("drm/card0-Virtual-1/status", "connected"),
            ("drm/card0-HDMI-A-1/status", "disconnected"),
            ("drm/card0/dev", "226:0"),
            ("input/event0/device/name", "AT keyboard"),
            ("input/event0/device/capabilities/ev", "120013"),
            ("input/event0/device/capabilities/key", "402000007 ff803078f800d001 feffffdfffefffff fffffffffffffffe"),
        ] {
            let path = tree.path().join("sys/class").join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("{holds}\n")).unwrap();
        }
        let found = unserved(&SysRoot::new(tree.path()).unwrap());
        let found: Vec<_> = found.iter().map(|unserved| (unserved.what.as_str(), unserved.why)).collect();
        let expected = [
            ("Dummy", Why::Sound),
            ("vivid-000-vid-cap", Why::Camera),
            ("card0-Virtual-1", Why::Display),
            ("AT keyboard", Why::Private),
        ];
        assert_eq!(found, expected);
    }
}
