//! What is wrong with a table, one finding after the other; a constant function, so that the compiler runs it too.
//!
//! What Linux refuses stands in `drivers/remoteproc/remoteproc_core.c` (`rproc_handle_resources` and the handlers that
//! it calls) and `remoteproc_elf_loader.c` (`find_table`).

use core::fmt;

use super::{CARVEOUT, DEVMEM, HEADER, TRACE, VDEV, VDEV_FIXED, VENDOR_FIRST, VENDOR_LAST, VERSION, VRING, offset};
use crate::bytes::word;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// It is unusual, and mostly a mistake.
    Odd,
    /// Linux passes over it.
    Ignored,
    /// Linux refuses the firmware on machines without what it takes.
    Depends,
    /// Linux refuses the firmware.
    Refused,
    /// Nobody can read it.
    Malformed,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Odd => "odd",
            Self::Ignored => "ignored",
            Self::Depends => "depends",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }
}

/// One thing that is wrong with a table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// In which entry, if not in the header.
    pub entry: Option<u32>,
    /// In which field, as Linux names it.
    pub field: &'static str,
    /// What stands there.
    pub value: u64,
    /// What is wrong with that, and what to do.
    pub advice: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some(entry) => write!(f, "entry {entry}: ")?,
            None => f.write_str("header: ")?,
        }
        write!(f, "{} is {:#x}: {}", self.field, self.value, self.advice)
    }
}

impl core::error::Error for Finding {}

/// Entries beyond this many are not held against each other.
const PAIRS: u32 = 64;

/// All findings in the table in some bytes, the header's first.
#[derive(Clone, Debug)]
pub struct Lint<'a> {
    bytes: &'a [u8],
    /// `None` while still in the header.
    entry: Option<u32>,
    rule: u32,
    over: bool,
}

/// What a rule says.
enum Said {
    Nothing,
    Finding(Finding),
    /// A finding after which the rest of this entry (or, in the header, the table) cannot be looked at.
    Stop(Finding),
    /// There are no more rules.
    Done,
}

impl<'a> Lint<'a> {
    /// Looks at the table in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, entry: None, rule: 0, over: false }
    }

    /// The next finding.
    pub const fn step(&mut self) -> Option<Finding> {
        while !self.over {
            let rule = self.rule;
            self.rule += 1;
            let said = match self.entry {
                None => self.header(rule),
                Some(entry) => self.of_entry(entry, rule),
            };
            match said {
                Said::Nothing => {}
                Said::Finding(finding) => return Some(finding),
                Said::Stop(finding) => {
                    if self.entry.is_none() {
                        self.over = true;
                    } else {
                        self.next_entry();
                    }
                    return Some(finding);
                }
                Said::Done => self.next_entry(),
            }
        }
        None
    }

    const fn next_entry(&mut self) {
        let next = match self.entry {
            None => 0,
            Some(entry) => entry + 1,
        };
        self.rule = 0;
        self.entry = Some(next);
        self.over = next >= self.number();
    }

    const fn number(&self) -> u32 {
        match word(self.bytes, 4) {
            Some(number) => number,
            None => 0,
        }
    }

    const fn header(&self, rule: u32) -> Said {
        let len = self.bytes.len();
        match rule {
            0 if len < HEADER => stop(None, "length", len as u64, "a resource table has at least 16 bytes"),
            1 => match word(self.bytes, 0) {
                Some(VERSION) => Said::Nothing,
                Some(version) => stop(None, "ver", version as u64, "the only version is 1"),
                None => Said::Nothing,
            },
            2 | 3 => match word(self.bytes, 4 * rule as usize) {
                Some(0) | None => Said::Nothing,
                Some(reserved) => found(Severity::Refused, None, "reserved", reserved as u64, "it must be zero"),
            },
            4 => {
                let number = self.number();
                if number as usize > (len - HEADER) / 4 {
                    stop(
                        None,
                        "num",
                        number as u64,
                        "the table ends before its last offset; give the right number of entries",
                    )
                } else if number == 0 {
                    found(Severity::Odd, None, "num", 0, "a table without entries asks for nothing; leave it out")
                } else {
                    Said::Nothing
                }
            }
            5.. => Said::Done,
            _ => Said::Nothing,
        }
    }

    const fn of_entry(&self, entry: u32, rule: u32) -> Said {
        let Some(at) = offset(self.bytes, entry as usize) else { return Said::Done };
        let Some(kind) = word(self.bytes, at) else {
            return stop(Some(entry), "offset", at as u64, "it points behind the end of the table");
        };
        let behind = at + 4;
        let have = self.bytes.len() - behind;
        let known = match kind {
            CARVEOUT | DEVMEM => 52,
            TRACE => 44,
            VDEV => VDEV_FIXED,
            _ => 0,
        };
        if rule == 0 && have < known {
            return stop(Some(entry), "offset", at as u64, "the table ends within this entry");
        }
        match rule {
            0 => Said::Nothing,
            1 if at < HEADER + 4 * self.number() as usize => {
                found(Severity::Odd, Some(entry), "offset", at as u64, "it points into the header")
            }
            2 if !at.is_multiple_of(4) => found(
                Severity::Odd,
                Some(entry),
                "offset",
                at as u64,
                "it is no multiple of 4; some cores fault on that",
            ),
            3 => self.against_others(entry, at, kind),
            4.. => match kind {
                CARVEOUT | DEVMEM | TRACE => self.memory(entry, behind, kind, rule),
                VDEV => self.vdev(entry, behind, have, rule),
                VENDOR_FIRST..=VENDOR_LAST => Said::Done,
                _ if rule == 4 => found(
                    Severity::Ignored,
                    Some(entry),
                    "type",
                    kind as u64,
                    "nobody has defined this type; vendors have 128 to 512",
                ),
                _ => Said::Done,
            },
            _ => Said::Nothing,
        }
    }

    /// A word that is known to be there.
    const fn word(&self, at: usize) -> u64 {
        match word(self.bytes, at) {
            Some(word) => word as u64,
            None => 0,
        }
    }

    const fn memory(&self, entry: u32, at: usize, kind: u32, rule: u32) -> Said {
        let (len_at, reserved_at, name_at) = if kind == TRACE { (4, 8, 12) } else { (8, 16, 20) };
        let (da, len) = (self.word(at), self.word(at + len_at));
        match rule {
            4 => match self.word(at + reserved_at) {
                0 => Said::Nothing,
                value => found(Severity::Refused, Some(entry), "reserved", value, "it must be zero"),
            },
            5 if kind == DEVMEM => found(
                Severity::Depends,
                Some(entry),
                "type",
                kind as u64,
                "device memory is mapped by an IOMMU; without one Linux refuses the firmware",
            ),
            6 if len == 0 => found(Severity::Odd, Some(entry), "len", len, "nothing fits into it"),
            7 if kind != CARVEOUT && da == u32::MAX as u64 => found(
                Severity::Refused,
                Some(entry),
                "da",
                da,
                "the host chooses addresses for carveouts and vrings only",
            ),
            8 if da != u32::MAX as u64 && da + len > 1 << 32 => {
                found(Severity::Refused, Some(entry), "len", len, "it reaches beyond the last address")
            }
            9 => {
                let mut i = 0;
                while i < 32 {
                    if self.bytes[at + name_at + i] == 0 {
                        return Said::Nothing;
                    }
                    i += 1;
                }
                found(
                    Severity::Odd,
                    Some(entry),
                    "name",
                    32,
                    "it does not end; some readers run on into what is behind",
                )
            }
            10.. => Said::Done,
            _ => Said::Nothing,
        }
    }

    const fn vdev(&self, entry: u32, at: usize, have: usize, rule: u32) -> Said {
        let (id, config) = (self.word(at), self.word(at + 16));
        let last = self.word(at + 20);
        let (status, vrings) = (last & 0xff, last >> 8 & 0xff);
        match rule {
            4 => {
                let needed = VDEV_FIXED as u64 + VRING as u64 * vrings;
                if needed > have as u64 {
                    stop(Some(entry), "num_of_vrings", vrings, "the table ends within the vrings")
                } else if needed + config > have as u64 {
                    stop(Some(entry), "config_len", config, "the table ends within the config space")
                } else {
                    Said::Nothing
                }
            }
            5 if last >> 16 != 0 => found(Severity::Refused, Some(entry), "reserved", last >> 16, "it must be zero"),
            6 if vrings > 2 => {
                found(Severity::Refused, Some(entry), "num_of_vrings", vrings, "Linux takes at most 2 in one device")
            }
            7 if id == 7 && vrings != 2 => {
                found(Severity::Odd, Some(entry), "num_of_vrings", vrings, "RPMsg takes two queues")
            }
            8 if status != 0 => {
                found(Severity::Odd, Some(entry), "status", status, "a firmware's own table starts with status 0")
            }
            9 if self.word(at + 12) != 0 => found(
                Severity::Odd,
                Some(entry),
                "gfeatures",
                self.word(at + 12),
                "the host writes this, not the firmware",
            ),
            10 if id == 0 => found(Severity::Refused, Some(entry), "id", 0, "there is no virtio device of kind 0"),
            11.. => {
                let vring = (rule - 11) / 4;
                if vring as u64 >= vrings {
                    return Said::Done;
                }
                let at = at + VDEV_FIXED + VRING * vring as usize;
                let (align, num) = (self.word(at + 4), self.word(at + 8));
                match (rule - 11) % 4 {
                    0 if num == 0 => found(Severity::Refused, Some(entry), "vring.num", num, "a queue has entries"),
                    1 if num != 0 && (!num.is_power_of_two() || num > 1 << 15) => found(
                        Severity::Refused,
                        Some(entry),
                        "vring.num",
                        num,
                        "a queue has a power of two of entries, at most 32768",
                    ),
                    2 if align == 0 => found(
                        Severity::Refused,
                        Some(entry),
                        "vring.align",
                        align,
                        "choose the page size, or a cache line",
                    ),
                    3 if align != 0 && !align.is_power_of_two() => {
                        found(Severity::Refused, Some(entry), "vring.align", align, "it must be a power of two")
                    }
                    _ => Said::Nothing,
                }
            }
            _ => Said::Nothing,
        }
    }

    /// Two entries at one place, two carveouts in one another.
    const fn against_others(&self, entry: u32, at: usize, kind: u32) -> Said {
        let mut other = 0;
        while other < entry && other < PAIRS {
            if let Some(there) = offset(self.bytes, other as usize) {
                if there == at {
                    return found(
                        Severity::Odd,
                        Some(entry),
                        "offset",
                        at as u64,
                        "another entry is at the same place",
                    );
                }
                if kind == CARVEOUT && matches!(word(self.bytes, there), Some(CARVEOUT)) {
                    let (da, len) = (self.word(at + 4), self.word(at + 12));
                    let (da2, len2) = (self.word(there + 4), self.word(there + 12));
                    let any = u32::MAX as u64;
                    if da != any && da2 != any && da < da2 + len2 && da2 < da + len {
                        return found(Severity::Odd, Some(entry), "da", da, "it overlaps an earlier carveout");
                    }
                }
            }
            other += 1;
        }
        Said::Nothing
    }
}

impl Iterator for Lint<'_> {
    type Item = Finding;
    fn next(&mut self) -> Option<Finding> {
        self.step()
    }
}

const fn found(severity: Severity, entry: Option<u32>, field: &'static str, value: u64, advice: &'static str) -> Said {
    Said::Finding(Finding { severity, entry, field, value, advice })
}

const fn stop(entry: Option<u32>, field: &'static str, value: u64, advice: &'static str) -> Said {
    Said::Stop(Finding { severity: Severity::Malformed, entry, field, value, advice })
}

/// Stops the compiler over a table that Linux would refuse.
pub(crate) const fn demand_sound(bytes: &[u8]) {
    let mut lint = Lint::new(bytes);
    while let Some(finding) = lint.step() {
        if matches!(finding.severity, Severity::Malformed | Severity::Refused) {
            panic!("{}", finding.advice);
        }
    }
}
