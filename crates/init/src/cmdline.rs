//! The kernel's command line, as far as it concerns us.
//!
//! The kernel gives it by `/proc/cmdline` with the quotes of the boot loader still in it (`kernel/params.c`,
//! `next_arg`): words are parted by space, a double quote keeps spaces, and is not part of the value where it stands
//! at its beginning and end. Words that begin with `tutti.` are for us and override what the image's settings say. A
//! word of ours that is unknown or holds nonsense is kept as a [`Complaint`] and told; booting goes on without it.

use std::{fmt, fs};

use crate::modules::plain;

/// The longest command line that any architecture passes on (`COMMAND_LINE_SIZE`, s390), with some room.
pub const MAX: usize = 16 * 1024;

/// What the command line says to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// `tutti.rescue`: a shell before anything is started.
    pub rescue: bool,
    /// `tutti.hostname=NAME`.
    pub hostname: Option<String>,
    /// `tutti.state=DEVICE`: where the state is, `none` for nowhere but in memory.
    pub state: Option<String>,
    /// `tutti.ip=dhcp`, `tutti.ip=none`, `tutti.ip=ADDRESS/LEN[,GATEWAY]`.
    pub ip: Option<String>,
    /// `tutti.slot=a`, `b` or `built-in`: which system to run, this once, whatever the boot record says.
    pub slot: Option<String>,
    /// `tutti.own-kernel`: the system before this one has started it with its own kernel, which has told it what it is.
    pub own_kernel: bool,
    /// `tutti.node=WORD`, repeated: more arguments for the node.
    pub node: Vec<String>,
    /// Words of ours that could not be used.
    pub complaints: Vec<Complaint>,
}

/// A word of ours that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Complaint {
    /// There is no such word.
    Unknown(String),
    /// It needs a value behind `=`.
    NoValue(&'static str),
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => {
                write!(f, "the kernel's command line says {word:?}, which means nothing to this system")
            }
            Self::NoValue(word) => {
                write!(f, "the kernel's command line says {word} without a value; write {word}=VALUE")
            }
        }
    }
}

impl CommandLine {
    /// That of the kernel that runs.
    pub(crate) fn running() -> Self {
        Self::parse(&text())
    }

    /// Reads the command line. What is not ours is skipped; nothing here fails or panics.
    pub fn parse(text: &str) -> Self {
        let mut line = Self::default();
        for word in words(text) {
            // The kernel takes `-` and `_` for the same.
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
                None => (word.replace('_', "-"), None),
            };
            let Some(ours) = name.strip_prefix("tutti.") else { continue };
            let mut take = |into: &mut Option<String>, word| match value.clone().filter(|value| !value.is_empty()) {
                Some(value) => *into = Some(value),
                None => line.complaints.push(Complaint::NoValue(word)),
            };
            match ours {
                "own-kernel" => line.own_kernel = true,
                "rescue" => line.rescue = value.as_deref() != Some("0"),
                "hostname" => take(&mut line.hostname, "tutti.hostname"),
                "state" => take(&mut line.state, "tutti.state"),
                "ip" => take(&mut line.ip, "tutti.ip"),
                "slot" => take(&mut line.slot, "tutti.slot"),
                "node" => {
                    let mut word = None;
                    take(&mut word, "tutti.node");
                    line.node.extend(word);
                }
                _ => line.complaints.push(Complaint::Unknown(word)),
            }
        }
        line
    }
}

/// The kernel's command line.
pub(crate) fn text() -> String {
    let text = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    text.get(..text.len().min(MAX)).unwrap_or(&text).trim().to_owned()
}

/// Words that a kernel needs which nobody is there to restart, with those that say that there is one already.
const NEEDED: [(&str, &str); 2] = [
    // A kernel that panics starts the device anew, which the boot record counts.
    ("panic=10", "panic="),
    // The kernel's own first file system takes as much as it gets (`init/do_mounts.c`), and is not cut off at half of the memory.
    ("rootfstype=ramfs", "rootfstype="),
];

/// The command line for another kernel, by that of this one.
pub(crate) fn for_another(text: &str) -> String {
    // What is behind it is for the first program, which has no use for it.
    let text = text.split(" -- ").next().unwrap_or_default().trim();
    let is_there = |word: &str| words(text).iter().any(|it| it.starts_with(word));
    let more = NEEDED.iter().filter(|(_, begin)| !is_there(begin)).map(|(word, _)| *word);
    let own = Some("tutti.own-kernel").filter(|word| !is_there(word));
    [text].into_iter().chain(more).chain(own).collect::<Vec<_>>().join(" ")
}

/// What the kernel's command line says for a module, as `modprobe` has it: `NAME.PARAMETER=VALUE` without the name.
pub(crate) fn for_module(text: &str, module: &str) -> String {
    let of = |word: &String| {
        let (name, parameter) = word.split_once('.')?;
        let ours = plain(name) == plain(module) && !parameter.is_empty();
        ours.then(|| match parameter.split_once('=') {
            Some((name, value)) if value.contains(' ') => format!("{name}=\"{value}\""),
            _ => parameter.to_owned(),
        })
    };
    words(text).iter().filter_map(of).collect::<Vec<_>>().join(" ")
}

/// The words, without the quotes around them or around their values.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for char in text.chars() {
        match char {
            '"' => {
                quoted = !quoted;
                word.push(char);
            }
            char if char.is_ascii_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            char => word.push(char),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words.into_iter().map(|word| unquoted(&word)).collect()
}

fn unquoted(word: &str) -> String {
    let inner = |text: &str| text.strip_prefix('"').map(|rest| rest.strip_suffix('"').unwrap_or(rest).to_owned());
    if let Some(word) = inner(word) {
        return word;
    }
    match word.split_once('=').and_then(|(name, value)| Some((name, inner(value)?))) {
        Some((name, value)) => format!("{name}={value}"),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn our_words_are_found_among_others() {
        let line = CommandLine::parse(
            "BOOT_IMAGE=/vmlinuz root=/dev/vda quiet tutti.rescue tutti.hostname=kitchen tutti.ip=10.0.0.2/24,10.0.0.1 \
             tutti.node=--simulate \"tutti.node=sensor lamp\" tutti.state=\"PARTLABEL=my state\" -- x\n",
        );
        let expected = CommandLine {
            rescue: true,
            hostname: Some("kitchen".into()),
            ip: Some("10.0.0.2/24,10.0.0.1".into()),
            state: Some("PARTLABEL=my state".into()),
            node: vec!["--simulate".into(), "sensor lamp".into()],
            ..CommandLine::default()
        };
        assert_eq!(line, expected);
        assert!(!CommandLine::parse("tutti.rescue=0").rescue);
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let line = CommandLine::parse("tutti.hostnam=x tutti.state tutti.ip=");
        assert_eq!(
            line.complaints,
            [
                Complaint::Unknown("tutti.hostnam=x".into()),
                Complaint::NoValue("tutti.state"),
                Complaint::NoValue("tutti.ip")
            ]
        );
    }

    #[test]
    fn another_kernel_is_told_the_same_and_what_it_needs() {
        assert_eq!(
            for_another("console=ttyS0 tutti.ip=\"none\" -- x"),
            "console=ttyS0 tutti.ip=\"none\" panic=10 rootfstype=ramfs tutti.own-kernel"
        );
        let whole = "console=ttyS0 panic=3 rootfstype=tmpfs tutti.own-kernel";
        assert_eq!(for_another(whole), whole);
        assert!(CommandLine::parse(&for_another("")).own_kernel);
        assert!(!CommandLine::parse("tutti.rescue").own_kernel);
    }

    #[test]
    fn modules_have_their_words() {
        let text =
            "quiet i2c_stub.chip_addr=0x48 i2c-stub.x \"i2c-stub.name=a b\" watchdog.stop_on_reboot=0 tutti.node=a.b";
        assert_eq!(for_module(text, "i2c-stub"), "chip_addr=0x48 x name=\"a b\"");
        assert_eq!(for_module(text, "watchdog"), "stop_on_reboot=0");
        assert_eq!(for_module(text, "quiet"), "");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "\\PC{0,200}") {
            CommandLine::parse(&text);
            for_module(&text, "a");
            prop_assert!(CommandLine::parse(&for_another(&text.replace(['"', '-'], ""))).own_kernel);
        }

        #[test]
        fn a_quoted_value_comes_back(value in "[a-z ]{1,20}") {
            let line = CommandLine::parse(&format!("a b=c tutti.state=\"{value}\" d"));
            prop_assert_eq!(line.state, Some(value));
        }
    }
}
