//! Writes the product file that `tutti image new` begins with: every word that may stand in it, explained.

use std::fmt::Write as _;

use crate::manifest::Profile;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Answers {
    /// What the device is called.
    pub name: String,
    /// Which sort of system.
    pub profile: Profile,
    /// Which board.
    pub board: String,
    /// Which parts.
    pub parts: Vec<String>,
    /// The ticket of the group to join, if not by pairing.
    pub ticket: Option<String>,
}

/// The text of a product file.
pub fn write(answers: &Answers) -> String {
    // A string of JSON is one of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let parts: Vec<_> = answers.parts.iter().map(|part| quoted(part)).collect();
    let (name, board, parts) = (quoted(&answers.name), quoted(&answers.board), parts.join(", "));
    let mut out = format!(
        "\
# A product of Tutti: `tutti image check` holds it against its parts and its hardware, `tutti image build` makes
# the image, `tutti image run` boots it here.

name = {name}
# An update has a larger one.
version = \"0.1.0\"
# standard: Linux; mini: a microcontroller.
profile = \"{profile}\"
# What the device is to do; `tutti image ls --parts` lists them. What these need comes along by itself.
parts = [{parts}]
# Packages of apps to carry: an owner of the group installs them with one command. A table says more:
# {{ file = \"counter.tutti\", run = true }} runs on the device once it is allowed.
apps = []

[hardware]
# `tutti image ls --boards` lists them. Instead of a board: tree = \"chip.dts\" and domain = \"NAME\".
board = {board}
",
        profile = answers.profile,
    );
    match answers.profile {
        Profile::Standard => out += STANDARD,
        Profile::Mini | Profile::Core => out += MINI,
    }
    let _ = match &answers.ticket {
        None => write!(
            out,
            "
[group]
# A person pairs it at its first start. Or: join = \"ticket\" and ticket = \"…\", which `tutti pair` shows.
join = \"pair\"
"
        ),
        Some(ticket) => write!(out, "\n[group]\njoin = \"ticket\"\nticket = {}\n", quoted(ticket)),
    };
    out += "
[update]
# Signs the images; made by the first build if it is not there. Whoever has it can replace the device's system: keep it.
key = \"update.key\"
# How many seconds a new system has to join the pool, before the one before it runs again: deadline = 120
# How many starts it has for that: tries = 3
";
    out
}

const STANDARD: &str = "
[kernel]
# Debian's, unless you name another: package = \"linux-image-amd64\", or file, modules and config.
# More words for its command line:
command-line = \"\"

[network]
# Or: mode = \"static\", address = \"192.168.1.5/24\", gateway = \"192.168.1.1\".
mode = \"dhcp\"

[state]
# Where the state is kept; without a partition it is in memory, and gone after each start.
# device = \"PARTLABEL=state\"

[system]
# Where the system is; without a partition it is in memory, compressed. The image's member `system` is to be written there.
# device = \"PARTLABEL=system\"

[console]
# A shell in the image, for whoever holds the device in the hand: the word tutti.rescue in the kernel's command line opens it
# on the console, before anything is started.
rescue = false

# Another core, once for each: a program that is one, or firmware for another processor of the chip (domain = \"NAME\" of the
# device tree in place of name). Its sensors and actuators are in the pool.
# [[core]]
# name = \"brain\"
# firmware = \"brain\"
# arguments = []
# stop-message = \"100:00\"

[limits]
# The build fails where these are exceeded.
image = \"15 MiB\"
ram = \"128 MiB\"
";

const MINI: &str = "
[firmware]
# Tutti's source, where the program is built with the parts above. Or one of your own: image = \"firmware.elf\".
source = \"../..\"

[limits]
# The build fails where these are exceeded.
flash = \"64 KiB\"
ram = \"24 KiB\"
";
