//! The kernel's log (`Documentation/ABI/testing/dev-kmsg`): each read of `/dev/kmsg` gives one record,
//! `LEVEL,SEQUENCE,MICROSECONDS,FLAGS;TEXT`, then lines of details, each after a space.

use std::{
    fs::File,
    io::{self, Read},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
};

use rustix::{fs::OFlags, io::Errno};

/// Records that are taken at one time, so that a kernel that floods its log does not stop everything else.
const AT_ONCE: usize = 200;

/// The kernel's log, from its beginning.
pub(crate) struct KernelLog(File);

impl KernelLog {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = OFlags::NONBLOCK.bits().cast_signed();
        Ok(Self(std::fs::OpenOptions::new().read(true).custom_flags(flags).open("/dev/kmsg")?))
    }

    pub(crate) fn fd(&self) -> impl AsFd {
        self.0.as_fd()
    }

    /// Gives the new records. Returns whether there may be more to come.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&str)) -> bool {
        let mut record = [0; 8192];
        for _ in 0..AT_ONCE {
            match self.0.read(&mut record) {
                Ok(0) => return false,
                Ok(len) => take(&text(record.get(..len).unwrap_or_default())),
                // Records were overwritten before they were read; it goes on with the oldest that is there.
                Err(error) if error.raw_os_error() == Some(Errno::PIPE.raw_os_error()) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
        true
    }
}

/// A record in one line, with its time.
fn text(record: &[u8]) -> String {
    let record = String::from_utf8_lossy(record);
    let first = record.lines().next().unwrap_or_default();
    let Some((prefix, text)) = first.split_once(';') else { return first.to_owned() };
    match prefix.split(',').nth(2).and_then(|micros| micros.parse::<u64>().ok()) {
        Some(micros) => format!("[{:>5}.{:06}] {text}", micros / 1_000_000, micros % 1_000_000),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line() {
        let record = b"6,339,5140900,-;NET: Registered PF_NETLINK/PF_ROUTE protocol family\n SUBSYSTEM=x\n";
        assert_eq!(text(record), "[    5.140900] NET: Registered PF_NETLINK/PF_ROUTE protocol family");
        assert_eq!(text(b"no record"), "no record");
        assert_eq!(text(b"x;y"), "y");
    }
}
