//! What is told to the kernel of links, addresses and routes: rtnetlink(7), `include/uapi/linux/{netlink,rtnetlink,if_link,
//! if_addr}.h`. Only what is said here, each as one message that asks for an answer; integers are the machine's own.

use std::{fmt, io, net::Ipv4Addr, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink},
};

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_CREATE: u16 = 0x400;
const AF_INET: u8 = 2;
const IFF_UP: u32 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_BOOT: u8 = 3;
const RTN_UNICAST: u8 = 1;

/// How long the kernel has to answer; it does so at once.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Something to tell the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Switch the link on.
    Up,
    /// Give it this address.
    Add(Ipv4Addr, u8),
    /// Take this address from it.
    Remove(Ipv4Addr, u8),
    /// All that is not on a link goes this way.
    Gateway(Ipv4Addr),
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up => f.write_str("switching it on"),
            Self::Add(address, prefix) => write!(f, "the address {address}/{prefix}"),
            Self::Remove(address, prefix) => write!(f, "taking away {address}/{prefix}"),
            Self::Gateway(gateway) => write!(f, "the way out by {gateway}"),
        }
    }
}

impl Order {
    /// The message for the interface with this number.
    pub fn message(self, interface: u32, sequence: u32) -> Vec<u8> {
        let index = interface.cast_signed();
        match self {
            Self::Up => {
                let mut body = vec![0, 0, 0, 0];
                body.extend(index.to_ne_bytes());
                body.extend(IFF_UP.to_ne_bytes());
                body.extend(IFF_UP.to_ne_bytes());
                header(RTM_NEWLINK, 0, sequence, &body)
            }
            Self::Add(address, prefix) => {
                let mut body = address_body(interface, address, prefix);
                if prefix < 31 {
                    let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                    attribute(&mut body, IFA_BROADCAST, &(u32::from(address) | host).to_be_bytes());
                }
                header(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, sequence, &body)
            }
            Self::Remove(address, prefix) => {
                header(RTM_DELADDR, 0, sequence, &address_body(interface, address, prefix))
            }
            Self::Gateway(gateway) => {
                let mut body = vec![AF_INET, 0, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, 0, RTN_UNICAST, 0, 0, 0, 0];
                attribute(&mut body, RTA_GATEWAY, &gateway.octets());
                attribute(&mut body, RTA_OIF, &interface.to_ne_bytes());
                header(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, sequence, &body)
            }
        }
    }
}

fn address_body(interface: u32, address: Ipv4Addr, prefix: u8) -> Vec<u8> {
    let mut body = vec![AF_INET, prefix, 0, 0];
    body.extend(interface.to_ne_bytes());
    attribute(&mut body, IFA_LOCAL, &address.octets());
    attribute(&mut body, IFA_ADDRESS, &address.octets());
    body
}

fn attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let len = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    body.extend(len.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn header(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(16 + body.len()).unwrap_or(u32::MAX);
    let flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(len.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]);
    message.extend(body);
    message
}

/// The kernel's answer to the message with this number, if that is what it is: an error number, 0 for done.
pub fn answer(bytes: &[u8], sequence: u32) -> Option<i32> {
    let word = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    (kind == NLMSG_ERROR && word(8)? == sequence).then(|| word(16).map(u32::cast_signed))?.map(i32::wrapping_neg)
}

/// The way to the kernel.
pub struct Kernel {
    socket: OwnedFd,
    sequence: u32,
}

impl Kernel {
    /// Opens it.
    ///
    /// # Errors
    /// If the kernel has no network.
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Tells the kernel, and waits for its answer.
    ///
    /// # Errors
    /// What the kernel says; that it is there already is none.
    pub fn tell(&mut self, interface: u32, order: Order) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let message = order.message(interface, self.sequence);
        rustix::net::sendto(&self.socket, &message, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
        let mut buffer = [0; 4096];
        // What is answered here is one small message each; a few may be late answers to what was given up.
        for _ in 0..16 {
            poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&PATIENCE))?;
            let (len, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT)?;
            match answer(buffer.get(..len).unwrap_or_default(), self.sequence) {
                Some(0) => return Ok(()),
                Some(error) if error == Errno::EXIST.raw_os_error() => return Ok(()),
                Some(error) => return Err(io::Error::from_raw_os_error(error)),
                None => {}
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("the kernel did not answer within {:?}", Duration::from_secs(2)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_endian = "little")]
    #[test]
    fn messages_are_those_that_ip_sends() {
        // As `strace -e sendmsg ip address add 10.0.0.2/24 broadcast + dev …` shows them, but for the flags of `ip`.
        let message = Order::Add(Ipv4Addr::new(10, 0, 0, 2), 24).message(3, 7);
        let expected = [
            &[48, 0, 0, 0, 20, 0, 5, 5, 7, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 24, 0, 0, 3, 0, 0, 0],
            &[8, 0, 2, 0, 10, 0, 0, 2],
            &[8, 0, 1, 0, 10, 0, 0, 2],
            &[8, 0, 4, 0, 10, 0, 0, 255],
        ];
        assert_eq!(message, expected.concat());
        let message = Order::Gateway(Ipv4Addr::new(10, 0, 0, 1)).message(3, 8);
        let expected = [
            &[44, 0, 0, 0, 24, 0, 5, 5, 8, 0, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0],
            &[8, 0, 5, 0, 10, 0, 0, 1],
            &[8, 0, 4, 0, 3, 0, 0, 0],
        ];
        assert_eq!(message, expected.concat());
        let message = Order::Up.message(2, 1);
        assert_eq!(message[16..], [0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn answers_are_told_from_other_messages() {
        let mut bytes = header(NLMSG_ERROR, 0, 9, &(-17_i32).to_ne_bytes());
        assert_eq!(answer(&bytes, 9), Some(17));
        assert_eq!(answer(&bytes, 8), None);
        bytes.truncate(18);
        assert_eq!(answer(&bytes, 9), None);
        assert_eq!(answer(&[], 9), None);
    }

    #[test]
    fn the_kernel_answers() {
        let Ok(mut kernel) = Kernel::open() else { return };
        // There is no interface of this number, whoever asks.
        assert!(kernel.tell(0x7fff_fff0, Order::Up).is_err());
    }
}
