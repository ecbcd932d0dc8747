//! What the node says by `$NOTIFY_SOCKET`, in systemd's words (sd_notify(3)) and two of ours.

/// The longest datagram that is read.
pub const MAX: usize = 4096;

/// One thing that was said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// `READY=1`.
    Ready,
    /// `WATCHDOG=1`.
    Heartbeat,
    /// `STOPPING=1`.
    Stopping,
    /// `STATUS=`, made printable.
    Status(String),
    /// `X_TUTTI_JOINED=1`: it has met another device of its group, or is the only one.
    Joined,
    /// `X_TUTTI_REBOOT=1`: a new system waits in its slot.
    Reboot,
}

/// Reads a datagram; what is not known is skipped.
pub fn parse(datagram: &[u8]) -> Vec<Said> {
    let text = String::from_utf8_lossy(datagram.get(..datagram.len().min(MAX)).unwrap_or_default());
    let said = text.lines().filter_map(|line| match line {
        "READY=1" => Some(Said::Ready),
        "WATCHDOG=1" => Some(Said::Heartbeat),
        "STOPPING=1" => Some(Said::Stopping),
        "X_TUTTI_JOINED=1" => Some(Said::Joined),
        "X_TUTTI_REBOOT=1" => Some(Said::Reboot),
        _ => line.strip_prefix("STATUS=").map(|status| Said::Status(printable(status))),
    });
    said.collect()
}

/// A line as it may be shown on a console: control characters replaced, and not endless.
pub fn printable(line: &str) -> String {
    line.chars().take(1000).map(|char| if char.is_control() && char != '\t' { '\u{fffd}' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_node_says_is_understood() {
        let said = parse(b"READY=1\nSTATUS=kitchen is\x1b[2J up\nMAINPID=7\nX_TUTTI_JOINED=1");
        assert_eq!(said, [Said::Ready, Said::Status("kitchen is\u{fffd}[2J up".into()), Said::Joined]);
        assert_eq!(parse(b"WATCHDOG=1\n"), [Said::Heartbeat]);
        assert_eq!(parse(b"X_TUTTI_REBOOT=1\nSTOPPING=1"), [Said::Reboot, Said::Stopping]);
        assert!(parse(b"\xff\xfe").is_empty() && parse(b"").is_empty());
    }
}
