//! `tutti-init` asks for an address on a real kernel's network. The network is this test: it holds the other end of
//! the machine's only cable, and what it sends and gets are Ethernet frames. Part of the layer `init`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod support;

use std::{
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::Stdio,
    time::{Duration, Instant},
};

use support::{Machine, kernel};

const SERVER: [u8; 4] = [10, 77, 0, 1];
const GIVEN: [u8; 4] = [10, 77, 0, 42];
const SERVERS_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

#[test]
fn an_address_comes_by_dhcp_and_is_used() {
    let Some(kernel) = kernel() else { return };
    let mut machine = Machine::new(kernel);
    machine.settings =
        "hostname = \"kitchen\"\ntime-server = \"10.77.0.1\"\n[node.environment]\nSTAND_IN = \"calls\"\n".into();
    let (cable, end) = UnixDatagram::pair().unwrap();
    cable.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let line = ["con0=null,fd:1", "vec0:transport=fd,fd=0,vec=0"];
    let mut running = machine.boot_with(Stdio::from(OwnedFd::from(end)), &line);

    let end = Instant::now() + Duration::from_secs(40);
    let (mut said, mut call, mut asked) = (Vec::new(), None, false);
    while (call.is_none() || !asked) && Instant::now() < end {
        let mut frame = [0; 2048];
        let Ok(len) = cable.recv(&mut frame) else { continue };
        let frame = &frame[..len];
        if let Some(question) = dhcp(frame) {
            assert!(question.windows(7).any(|bytes| bytes == b"kitchen"), "it says its name");
            said.push(question[242]);
            let kind = if question[242] == 1 { 2 } else { 5 };
            cable.send(&answer(question, kind)).unwrap();
        } else if frame[12..14] == [8, 6] && frame[38..42] == SERVER {
            cable.send(&here_i_am(frame)).unwrap();
        } else if frame[12..14] == [8, 0] && frame[26..30] == GIVEN && frame[36..38] == [0, 123] {
            cable.send(&the_time(frame)).unwrap();
            asked = true;
        } else if frame[12..14] == [8, 0] && frame[26..30] == GIVEN && frame[30..34] == SERVER {
            call = Some(frame[42..].to_vec());
        }
    }
    assert_eq!(said, [1, 3], "one question for each step");
    assert_eq!(call.as_deref(), Some(&b"the stand-in calls"[..]), "{:#?}", running.until("10.77.0.42"));
    let seen = running.until("vec0 has 10.77.0.42/24 by DHCP");
    assert!(seen.iter().any(|line| line.contains("vec0: asking for an address")), "{seen:#?}");
    running.until("the clock was set; it was wrong by");
    println!("ok network: an address by DHCP, a call from it, and the time");
}

/// What a frame holds, if it is a question to a DHCP server.
fn dhcp(frame: &[u8]) -> Option<&[u8]> {
    let is = frame.get(12..14)? == [8, 0] && frame.get(23)? == &17 && frame.get(36..38)? == [0, 67];
    is.then(|| frame.get(42..))?
}

fn answer(question: &[u8], kind: u8) -> Vec<u8> {
    let mut dhcp = question[..240].to_vec();
    dhcp[0] = 2;
    dhcp[16..20].copy_from_slice(&GIVEN);
    dhcp.extend([53, 1, kind, 1, 4, 255, 255, 255, 0, 3, 4]);
    dhcp.extend(SERVER);
    dhcp.extend([54, 4]);
    dhcp.extend(SERVER);
    dhcp.extend([51, 4, 0, 0, 14, 16, 255]);
    frame(&[255; 6], [255; 4], [0, 67], [0, 68], &dhcp)
}

/// 2027-01-15, in answer to a question for the time.
fn the_time(question: &[u8]) -> Vec<u8> {
    let mut sntp = vec![0; 48];
    (sntp[0], sntp[1]) = (0x24, 2);
    sntp[24..32].copy_from_slice(&question[82..90]);
    sntp[40..44].copy_from_slice(&4_008_988_800_u32.to_be_bytes());
    let mut frame = frame(&question[6..12], GIVEN, [0, 123], [0, 0], &sntp);
    frame[36..38].copy_from_slice(&question[34..36]);
    frame
}

/// A datagram from the server. Without a checksum, which UDP over IPv4 may do without.
fn frame(mac: &[u8], to: [u8; 4], from_port: [u8; 2], to_port: [u8; 2], data: &[u8]) -> Vec<u8> {
    let len = |header: usize| u16::try_from(header + data.len()).unwrap().to_be_bytes();
    let mut ip = [&[0x45, 0][..], &len(28), &[0, 0, 0, 0, 64, 17, 0, 0], &SERVER, &to].concat();
    let sum: u32 = ip.chunks(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    ip[10..12].copy_from_slice(&(!u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap()).to_be_bytes());
    [mac, &SERVERS_MAC, &[8, 0], &ip, &from_port, &to_port, &len(8), &[0, 0], data].concat()
}

/// An answer to who asks for the server's hardware address.
fn here_i_am(question: &[u8]) -> Vec<u8> {
    let asker = &question[22..32];
    [&asker[..6], &SERVERS_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &SERVERS_MAC, &SERVER, asker].concat()
}
