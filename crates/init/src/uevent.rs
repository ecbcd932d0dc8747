//! What the kernel says of a device, in two places and nearly one form (`lib/kobject_uevent.c`): the file
//! `uevent` of each folder below `/sys/devices`, one `KEY=VALUE` a line; and messages of the netlink family
//! `KOBJECT_UEVENT`, `ACTION@PATH` and then the same, each ended by a zero.

/// The longest message: the kernel's `UEVENT_BUFFER_SIZE` of 2048, with room for the first word.
pub const MAX: usize = 8192;

/// What is known of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uevent {
    /// What happened to it; empty if it was read from a file.
    pub action: String,
    /// Where it is below `/sys`; empty if it was read from a file.
    pub path: String,
    /// What it says it is, for [`crate::modules`].
    pub modalias: Option<String>,
    /// Its file below `/dev`.
    pub devname: Option<String>,
    /// Its numbers.
    pub device: Option<(u32, u32)>,
    /// Which class or bus it is of.
    pub subsystem: Option<String>,
    /// A partition's name in its table.
    pub partname: Option<String>,
}

impl Uevent {
    /// Reads the file `uevent`.
    pub fn of_file(text: &str) -> Self {
        let mut event = Self::default();
        text.lines().for_each(|line| event.take(line));
        event
    }

    /// Reads a message. None if it is not one of the kernel's: those of udev begin otherwise.
    pub fn of_message(bytes: &[u8]) -> Option<Self> {
        let mut parts = bytes.get(..bytes.len().min(MAX))?.split(|byte| *byte == 0);
        let first = std::str::from_utf8(parts.next()?).ok()?;
        let (action, path) = first.split_once('@')?;
        let mut event = Self { action: action.to_owned(), path: path.to_owned(), ..Self::default() };
        parts.filter_map(|part| std::str::from_utf8(part).ok()).for_each(|part| event.take(part));
        Some(event)
    }

    /// The device's file below `/dev`, if it may be made there: no name that leads elsewhere.
    pub fn node(&self) -> Option<(&str, u32, u32)> {
        let name = self.devname.as_deref()?;
        let plain = name.split('/').all(|part| !matches!(part, "" | "." | "..")) && !name.contains('\0');
        let (major, minor) = self.device?;
        plain.then_some((name, major, minor))
    }

    fn take(&mut self, line: &str) {
        let Some((key, value)) = line.split_once('=') else { return };
        let text = || Some(value.to_owned());
        match key {
            "MODALIAS" => self.modalias = text(),
            "DEVNAME" => self.devname = text(),
            "SUBSYSTEM" => self.subsystem = text(),
            "PARTNAME" => self.partname = text(),
            "MAJOR" => self.device = value.parse().ok().map(|major| (major, self.device.map_or(0, |had| had.1))),
            "MINOR" => {
                if let (Some((_, minor)), Ok(value)) = (&mut self.device, value.parse()) {
                    *minor = value;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_file_is_read() {
        let event = Uevent::of_file("MAJOR=254\nMINOR=3\nDEVNAME=vda3\nDEVTYPE=partition\nPARTN=3\nPARTNAME=state\n");
        assert_eq!(event.node(), Some(("vda3", 254, 3)));
        assert_eq!(event.partname.as_deref(), Some("state"));
        assert_eq!(Uevent::of_file("MODALIAS=pci:v00001AF4d\n").modalias.as_deref(), Some("pci:v00001AF4d"));
    }

    #[test]
    fn a_message_is_read() {
        let message =
            b"add@/devices/x/input/event0\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=input\0MAJOR=13\0MINOR=64\0\
            DEVNAME=input/event0\0SEQNUM=7\0";
        let event = Uevent::of_message(message).unwrap();
        assert_eq!((event.action.as_str(), event.path.as_str()), ("add", "/devices/x/input/event0"));
        assert_eq!(event.node(), Some(("input/event0", 13, 64)));
        assert_eq!(event.subsystem.as_deref(), Some("input"));
        assert_eq!(Uevent::of_message(b"libudev\0\xfe\xed\xca\xfe"), None);
    }

    #[test]
    fn no_device_is_made_outside_of_dev() {
        for name in ["../etc/passwd", "/etc/passwd", "a//b", "a/./b", ""] {
            let event = Uevent::of_file(&format!("MAJOR=1\nMINOR=1\nDEVNAME={name}\n"));
            assert_eq!(event.node(), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(event) = Uevent::of_message(&bytes) {
                event.node();
            }
            Uevent::of_file(&String::from_utf8_lossy(&bytes)).node();
        }
    }
}
