//! A remote with echo services over vhost-user, which several tests have as their device.
#![allow(clippy::print_stderr, reason = "what a device has to say, a test shows when it fails")]

use std::time::Duration;

use tutti_amp_host::vhost::{CallBell, Connection, Event, GuestMemory, Rings, VhostError};
use tutti_metal::Mutexed;
use tutti_rpmsg::{Address, Endpoint, Heap, Link, Name, Platform, Received, Remote, SendError};
use tutti_virtio::Corrupt;

pub(crate) enum Vhost {}

impl Platform for Vhost {
    type Memory = GuestMemory;
    type Doorbell = CallBell;
    type Locks = Mutexed;
    type Storage = Heap;
}

/// The services that are announced; each echoes.
pub(crate) const ANNOUNCED: [&str; 2] = ["rpmsg-raw", "rpmsg-tty"];
/// Echoes too, unannounced.
pub(crate) const ECHO: Address = Address(100);
/// Does what it is told: `services`, `open NAME`, `close`, `stats`.
pub(crate) const CONTROL: Address = Address(200);

/// Serves one front end until it goes, or `over` says so.
pub(crate) fn serve(connection: &mut Connection, over: &dyn Fn() -> bool) -> Result<(), VhostError> {
    let mut rings = None;
    while !over() {
        rings = match rings {
            Some(rings) => run(connection, &rings, over)?,
            None => match connection.step(Duration::from_millis(50))? {
                Event::Started(rings) => Some(rings),
                _ => None,
            },
        };
    }
    Ok(())
}

/// Serves a driver until it stops; what it starts again with if there was no serving this one.
fn run(connection: &mut Connection, rings: &Rings, over: &dyn Fn() -> bool) -> Result<Option<Rings>, VhostError> {
    let link = Link::<Vhost, Remote>::new(rings.setup(), rings.bell.clone(), Heap { endpoints: 64 });
    let link = match link {
        Ok(link) => link,
        Err(error) => {
            eprintln!("no link: {error}");
            return idle(connection, over);
        }
    };
    if rings.base != [0, 0] {
        link.resume(rings.base);
    }
    let mut service = Service::new(&link);
    while !over() {
        let mut patience = Duration::from_millis(50);
        match service.work().and_then(|()| link.listen()) {
            Ok(true) => patience = Duration::ZERO,
            // With an answer that waits for a buffer, the next look is soon.
            Ok(false) if service.pending.is_some() => patience = Duration::from_millis(1),
            Ok(false) => {}
            Err(corrupt) => {
                eprintln!("the driver broke the rings: {corrupt}");
                connection.halted(link.halt());
                return idle(connection, over);
            }
        }
        match connection.step(patience)? {
            Event::Stopping => {
                connection.halted(link.halt());
                return Ok(None);
            }
            Event::Started(_) => unreachable!("it had not stopped"),
            _ => {}
        }
    }
    Ok(None)
}

/// Waits for a driver to start anew.
fn idle(connection: &mut Connection, over: &dyn Fn() -> bool) -> Result<Option<Rings>, VhostError> {
    while !over() {
        if let Event::Started(rings) = connection.step(Duration::from_millis(50))? {
            return Ok(Some(rings));
        }
    }
    Ok(None)
}

type End<'a> = Endpoint<'a, Vhost, Remote>;

struct Service<'a> {
    link: &'a Link<Vhost, Remote>,
    echoes: Vec<End<'a>>,
    control: End<'a>,
    opened: Vec<End<'a>>,
    /// An echo for which there was no buffer.
    pending: Option<(Address, Received<'a, Vhost, Remote>)>,
}

impl<'a> Service<'a> {
    fn new(link: &'a Link<Vhost, Remote>) -> Self {
        let named = ANNOUNCED.map(|name| link.endpoint(Some(Name::new(name).unwrap()), Address::ANY).unwrap());
        let echoes = named.into_iter().chain([link.endpoint(None, ECHO).unwrap()]).collect();
        Self { link, echoes, control: link.endpoint(None, CONTROL).unwrap(), opened: Vec::new(), pending: None }
    }

    fn work(&mut self) -> Result<(), Corrupt> {
        self.link.on_interrupt()?;
        if let Some((from, received)) = self.pending.take()
            && !self.answer(from, received)?
        {
            return Ok(());
        }
        for index in 0..self.echoes.len() {
            while let Some(received) = self.echoes[index].try_receive()? {
                let from = self.echoes[index].address();
                if !self.answer(from, received)? {
                    return Ok(());
                }
            }
        }
        while let Some(order) = self.control.try_receive()? {
            let mut text = vec![0; order.len()];
            order.read(0, &mut text).unwrap();
            let answer = self.obey(std::str::from_utf8(&text).unwrap_or_default());
            let _ = self.control.try_send(order.source(), answer.as_bytes());
        }
        Ok(())
    }

    /// Echoes a message where it lies; false if there was no buffer, and it waits.
    fn answer(&mut self, from: Address, received: Received<'a, Vhost, Remote>) -> Result<bool, Corrupt> {
        let mut bytes = vec![0; received.len()];
        received.read(0, &mut bytes).unwrap();
        let sent = self.link.try_loan().and_then(|mut loan| {
            loan.bytes().write(0, &bytes).map_err(|_| SendError::NoBuffer)?;
            loan.send(from, received.source(), bytes.len())
        });
        match sent {
            Ok(()) => Ok(true),
            Err(SendError::Corrupt(corrupt)) => Err(corrupt),
            Err(_) => {
                self.pending = Some((from, received));
                Ok(false)
            }
        }
    }

    fn obey(&mut self, order: &str) -> String {
        match order.split_once(' ').unwrap_or((order, "")) {
            ("services", _) => {
                let names = (0..).map_while(|index| self.link.service(index));
                names.map(|it| format!("{}@{}", it.name, it.address.0)).collect::<Vec<_>>().join(",")
            }
            ("open", name) => {
                let opened = Name::new(name).ok().and_then(|name| self.link.endpoint(Some(name), Address::ANY).ok());
                let address = opened.as_ref().map_or_else(String::new, |end| end.address().0.to_string());
                self.opened.extend(opened);
                address
            }
            ("close", _) => {
                self.opened.clear();
                "closed".into()
            }
            ("stats", _) => format!("{:?}", self.link.stats()),
            _ => "unknown order".into(),
        }
    }
}
