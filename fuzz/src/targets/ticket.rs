//! Tickets.

use data_encoding::BASE32_NOPAD;
use tutti_fabric::{
    pairing::TicketSecret,
    ticket::{MAX_ADDRS, Ticket},
};
use tutti_model::{DeviceId, Name, WallTime};

/// What is accepted prints as something that reads the same.
pub(crate) fn ticket(bytes: &[u8]) {
    let Ok(text) = core::str::from_utf8(bytes) else { return };
    let Ok(ticket) = text.parse::<Ticket>() else { return };
    assert!(ticket.addrs().len() <= MAX_ADDRS);
    assert_eq!(ticket.to_string().parse().as_ref(), Ok(&ticket));
    assert_eq!(ticket.to_qr_text().parse().as_ref(), Ok(&ticket));
}

/// What the text encodes, with its checksum put right: no mutation of a text would get past that.
pub(crate) fn body(bytes: &[u8]) {
    let checksum = blake3::hash(&[b"tutti1", bytes].concat());
    let encoded = BASE32_NOPAD.encode(&[bytes, &checksum.as_bytes()[..4]].concat());
    ticket(format!("tutti1{encoded}").as_bytes());
}

pub(crate) fn body_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let decode = |(name, text): (&'static str, Vec<u8>)| {
        let text = text[6..].to_ascii_uppercase();
        let mut bytes = BASE32_NOPAD.decode(&text).expect("tickets are base32");
        bytes.truncate(bytes.len() - 4);
        (name, bytes)
    };
    seeds().into_iter().filter(|(name, _)| *name != "qr").map(decode).collect()
}

pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let ticket = |addrs: &[&str]| {
        Ticket::new(
            DeviceId::from_bytes([3; 32]),
            Name::new("kitchen").expect("a valid name"),
            TicketSecret::from_bytes([5; 16]),
            WallTime::from_unix_millis(1_750_000_000_000),
            addrs.iter().filter_map(|addr| addr.parse().ok()),
        )
    };
    let usual = ticket(&["192.168.1.20:40123", "[2001:db8::20]:40124"]);
    vec![
        ("usual", usual.to_string().into_bytes()),
        ("qr", usual.to_qr_text().into_bytes()),
        ("no_address", ticket(&[]).to_string().into_bytes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_gets_past_the_checksum() {
        let (_, bytes) = body_seeds().remove(0);
        let checksum = blake3::hash(&[b"tutti1", bytes.as_slice()].concat());
        let encoded = BASE32_NOPAD.encode(&[&bytes, &checksum.as_bytes()[..4]].concat());
        assert!(format!("tutti1{encoded}").parse::<Ticket>().is_ok());
    }
}
