//! Which endpoints there are, found by address in one or two steps; and which services the other side has.

use core::task::Waker;

use tutti_virtio::Table;

use crate::extensions::Flow;
use crate::{Address, Announcement, EndpointError, Name};

/// What the other side has announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Its address.
    pub address: Address,
}

/// What is still to be said about an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Say {
    #[default]
    Nothing,
    Created,
    /// Then the slot is free again.
    Destroyed,
}

/// Something that is to be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Saying {
    Announcement(Announcement),
    /// The peer of an endpoint may have sent so many.
    Grant {
        from: Address,
        to: Address,
        limit: u32,
    },
}

/// No buffer: the end of a list.
pub(crate) const NONE: u16 = u16::MAX;

/// One endpoint.
#[derive(Debug, Default)]
pub(crate) struct EndpointSlot {
    state: State,
    pub(crate) address: u32,
    pub(crate) name: Option<Name>,
    pub(crate) peer: Option<Address>,
    /// Whether the other side has been told of it since the last reset.
    pub(crate) say: Say,
    /// The messages that wait for it, as a list through the table of buffers.
    pub(crate) first: u16,
    pub(crate) last: u16,
    pub(crate) waiting: u16,
    pub(crate) waker: Option<Waker>,
    flow: Flow,
    /// Whether a grant is to be said.
    grants: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// Never used: a search may end here.
    #[default]
    Empty,
    /// Used before: a search goes on.
    Left,
    Live,
    /// Closed, but the other side is not told yet: takes no messages, and keeps its address.
    Closing,
}

/// A hash table of endpoints, with linear probing.
#[derive(Debug)]
pub(crate) struct Registry<E, S> {
    endpoints: E,
    services: S,
    live: usize,
    /// Where the search for a free address goes on.
    next: u32,
    /// How many endpoints have something to say.
    pub(crate) unsaid: usize,
    pub(crate) refused: u32,
}

impl<E: Table<EndpointSlot>, S: Table<Option<Service>>> Registry<E, S> {
    pub(crate) fn new(endpoints: E, services: S) -> Self {
        Self { endpoints, services, live: 0, next: Address::FIRST_DYNAMIC.0, unsaid: 0, refused: 0 }
    }

    #[inline(always)]
    fn home(&self, address: u32) -> usize {
        let n = self.endpoints.slots().len();
        if n == 0 { 0 } else { address as usize % n }
    }

    /// The slot of the endpoint that receives at `address`.
    #[inline]
    pub(crate) fn find(&self, address: Address) -> Option<usize> {
        self.search(address.0).filter(|&at| self.slot(at).is_some_and(|slot| slot.state == State::Live))
    }

    #[inline]
    fn search(&self, address: u32) -> Option<usize> {
        let slots = self.endpoints.slots();
        let mut at = self.home(address);
        for _ in 0..slots.len() {
            let slot = slots.get(at)?;
            match slot.state {
                State::Empty => return None,
                State::Live | State::Closing if slot.address == address => return Some(at),
                _ => {}
            }
            at = if at + 1 == slots.len() { 0 } else { at + 1 };
        }
        None
    }

    #[inline(always)]
    pub(crate) fn slot(&self, at: usize) -> Option<&EndpointSlot> {
        self.endpoints.slots().get(at)
    }

    #[inline(always)]
    pub(crate) fn slot_mut(&mut self, at: usize) -> Option<&mut EndpointSlot> {
        self.endpoints.slots_mut().get_mut(at)
    }

    /// Opens an endpoint, at any free address if none is asked for.
    pub(crate) fn open(&mut self, name: Option<Name>, address: Address) -> Result<(usize, Address), EndpointError> {
        let most = self.endpoints.slots().len();
        if self.live >= most {
            return Err(EndpointError::Full { most });
        }
        let address = match address {
            Address::ANY => self.free_address(),
            Address::NAME_SERVICE => return Err(EndpointError::Reserved),
            fixed if self.search(fixed.0).is_some() => return Err(EndpointError::Taken),
            fixed => fixed,
        };
        let mut at = self.home(address.0);
        let slots = self.endpoints.slots_mut();
        for _ in 0..slots.len() {
            match slots.get_mut(at) {
                Some(slot) if matches!(slot.state, State::Empty | State::Left) => {
                    *slot = EndpointSlot {
                        state: State::Live,
                        address: address.0,
                        name,
                        first: NONE,
                        last: NONE,
                        ..EndpointSlot::default()
                    };
                    self.live += 1;
                    self.bind(at);
                    return Ok((at, address));
                }
                _ => at = if at + 1 == slots.len() { 0 } else { at + 1 },
            }
        }
        Err(EndpointError::Full { most })
    }

    /// At most as many addresses as there are endpoints can be taken, so the search is short.
    fn free_address(&mut self) -> Address {
        loop {
            let candidate = self.next;
            let after = candidate.wrapping_add(1);
            self.next = if after == Address::ANY.0 { Address::FIRST_DYNAMIC.0 } else { after };
            if self.search(candidate).is_none() {
                return Address(candidate);
            }
        }
    }

    /// Gives an endpoint the service of its name as its peer, if one is known.
    fn bind(&mut self, at: usize) {
        let Some(name) = self.slot(at).and_then(|slot| slot.name) else { return };
        let known = self.services.slots().iter().flatten().find(|service| service.name == name).copied();
        if let Some(service) = known {
            self.set_peer(at, Some(service.address));
        }
    }

    /// Stops receiving; the slot is free at once, or as soon as the other side has been told.
    pub(crate) fn close(&mut self, at: usize, told: bool) {
        let Some(slot) = self.endpoints.slots_mut().get_mut(at) else { return };
        if slot.state != State::Live {
            return;
        }
        slot.waker = None;
        slot.flow = Flow::default();
        self.look_at_flow(at);
        if told {
            if let Some(slot) = self.slot_mut(at) {
                slot.state = State::Closing;
            }
            self.say(at, Say::Destroyed);
        } else {
            self.say(at, Say::Nothing);
            self.vacate(at);
        }
    }

    fn vacate(&mut self, at: usize) {
        let slots = self.endpoints.slots_mut();
        let n = slots.len();
        let Some(slot) = slots.get_mut(at) else { return };
        slot.state = State::Left;
        self.live -= 1;
        // A search would end at the next slot anyway: so it may end here, and at those before that were left.
        let mut at = at;
        for _ in 0..n {
            let next = slots.get(if at + 1 == n { 0 } else { at + 1 }).map(|slot| slot.state);
            match slots.get_mut(at) {
                Some(slot) if slot.state == State::Left && next == Some(State::Empty) => slot.state = State::Empty,
                _ => return,
            }
            at = if at == 0 { n - 1 } else { at - 1 };
        }
    }

    /// Notes what is to be said about an endpoint.
    pub(crate) fn say(&mut self, at: usize, say: Say) {
        if let Some(slot) = self.endpoints.slots_mut().get_mut(at) {
            self.unsaid -= usize::from(slot.say != Say::Nothing);
            slot.say = say;
            self.unsaid += usize::from(slot.say != Say::Nothing);
        }
    }

    /// The next thing to say: who is there, and then what may be sent to him.
    pub(crate) fn unsaid(&self) -> Option<(usize, Saying)> {
        let slots = || self.endpoints.slots().iter().enumerate();
        if let Some((at, slot)) = slots().find(|(_, slot)| slot.say != Say::Nothing) {
            let (name, address) = (slot.name?, Address(slot.address));
            return Some((at, Saying::Announcement(Announcement { name, address, alive: slot.say == Say::Created })));
        }
        let (at, slot) = slots().find(|(_, slot)| slot.grants)?;
        Some((at, Saying::Grant { from: Address(slot.address), to: slot.peer?, limit: slot.flow.due()? }))
    }

    /// It has been said.
    pub(crate) fn said(&mut self, at: usize, saying: Saying) {
        let Saying::Grant { limit, .. } = saying else { return self.announced(at) };
        if let Some(slot) = self.slot_mut(at) {
            slot.flow.said(limit);
        }
        self.look_at_flow(at);
    }

    fn announced(&mut self, at: usize) {
        let closing = self.slot(at).is_some_and(|slot| slot.state == State::Closing);
        self.say(at, Say::Nothing);
        if closing {
            self.vacate(at);
        }
    }

    /// Gives an endpoint a peer, or none. Credits start anew with another one.
    pub(crate) fn set_peer(&mut self, at: usize, peer: Option<Address>) {
        let Some(slot) = self.endpoints.slots_mut().get_mut(at) else { return };
        if slot.peer != peer {
            slot.peer = peer;
            slot.flow = Flow::new(slot.flow.window);
            self.look_at_flow(at);
        }
    }

    pub(crate) fn set_window(&mut self, at: usize, window: u16) {
        if let Some(slot) = self.slot_mut(at) {
            slot.flow.window = window;
        }
        self.look_at_flow(at);
    }

    /// Notes whether a grant is due.
    fn look_at_flow(&mut self, at: usize) {
        let Some(slot) = self.endpoints.slots_mut().get_mut(at) else { return };
        let due = slot.state == State::Live && slot.peer.is_some() && slot.flow.due().is_some();
        self.unsaid = self.unsaid + usize::from(due) - usize::from(slot.grants);
        slot.grants = due;
    }

    /// A message from `source` has come for the endpoint; false if it was not granted.
    pub(crate) fn arrive(&mut self, at: usize, source: Address) -> bool {
        let Some(slot) = self.slot_mut(at) else { return true };
        if slot.peer.is_none() {
            self.set_peer(at, Some(source));
        }
        self.slot_mut(at).is_none_or(|slot| slot.peer != Some(source) || slot.flow.arrive())
    }

    /// A message from `source` has been taken by the endpoint.
    pub(crate) fn took(&mut self, at: usize, source: Address) {
        if let Some(slot) = self.slot_mut(at)
            && slot.peer == Some(source)
        {
            slot.flow.take();
            self.look_at_flow(at);
        }
    }

    /// The other endpoint grants.
    pub(crate) fn granted(&mut self, at: usize, source: Address, limit: u32) {
        if self.slot(at).is_some_and(|slot| slot.peer.is_none()) {
            self.set_peer(at, Some(source));
        }
        let Some(slot) = self.slot_mut(at).filter(|slot| slot.peer == Some(source)) else { return };
        slot.flow.granted(limit);
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// The endpoint at `source` sends to `to`; false if it may not. The first to whom it sends is its peer.
    pub(crate) fn spend(&mut self, source: Address, to: Address) -> bool {
        let Some(at) = self.find(source) else { return true };
        if self.slot(at).is_some_and(|slot| slot.peer.is_none()) {
            self.set_peer(at, Some(to));
        }
        self.slot_mut(at).is_none_or(|slot| slot.peer != Some(to) || slot.flow.send())
    }

    /// It did not send after all; after a reset there is nothing to take back.
    pub(crate) fn unspend(&mut self, source: Address, to: Address) {
        if let Some(slot) = self.find(source).and_then(|at| self.slot_mut(at))
            && slot.peer == Some(to)
        {
            slot.flow.unsend();
        }
    }

    /// Takes in what the other side says about a service of its own.
    pub(crate) fn hear(&mut self, said: Announcement) {
        let service = Service { name: said.name, address: said.address };
        let slots = self.services.slots_mut();
        let known = slots.iter().position(|slot| *slot == Some(service));
        if said.alive {
            match known.or_else(|| slots.iter().position(Option::is_none)).and_then(|at| slots.get_mut(at)) {
                Some(slot) => *slot = Some(service),
                None => self.refused = self.refused.saturating_add(1),
            }
        } else if let Some(slot) = known.and_then(|at| slots.get_mut(at)) {
            *slot = None;
        }
        for at in 0..self.endpoints.slots().len() {
            let Some(slot) = self.slot(at).filter(|slot| slot.state == State::Live && slot.name == Some(said.name))
            else {
                continue;
            };
            match (said.alive, slot.peer) {
                (true, None) => self.set_peer(at, Some(said.address)),
                (false, Some(peer)) if peer == said.address => self.set_peer(at, None),
                _ => continue,
            }
            if let Some(waker) = self.slot_mut(at).and_then(|slot| slot.waker.take()) {
                waker.wake();
            }
        }
    }

    /// The service in a slot of the table.
    pub(crate) fn service(&self, at: usize) -> Option<Option<Service>> {
        self.services.slots().get(at).copied()
    }

    /// Forgets the other side. `announce` says that what has a name is to be announced again.
    pub(crate) fn reset(&mut self, announce: bool) {
        self.services.slots_mut().fill_with(|| None);
        for at in 0..self.endpoints.slots().len() {
            let Some(slot) = self.slot_mut(at) else { return };
            (slot.first, slot.last, slot.waiting) = (NONE, NONE, 0);
            slot.peer = None;
            slot.flow = Flow::new(slot.flow.window);
            if let Some(waker) = slot.waker.take() {
                waker.wake();
            }
            self.look_at_flow(at);
            let Some(slot) = self.slot_mut(at) else { return };
            match slot.state {
                State::Live if announce && slot.name.is_some() => self.say(at, Say::Created),
                State::Closing => self.announced(at),
                _ => self.say(at, Say::Nothing),
            }
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    extern crate std;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    fn registry(n: usize) -> Registry<Vec<EndpointSlot>, Vec<Option<Service>>> {
        let mut slots = Vec::new();
        slots.resize_with(n, EndpointSlot::default);
        Registry::new(slots, std::vec![None; n])
    }

    #[test]
    fn dynamic_addresses_never_repeat_while_in_use_however_many_there_are() {
        let mut table = registry(5000);
        let mut seen = BTreeMap::new();
        for _ in 0..5000 {
            let (at, address) = table.open(None, Address::ANY).unwrap();
            assert!(address >= Address::FIRST_DYNAMIC && seen.insert(address, at).is_none());
        }
        assert_eq!(table.open(None, Address::ANY), Err(EndpointError::Full { most: 5000 }));
        assert!(seen.iter().all(|(address, at)| table.find(*address) == Some(*at)));
    }

    #[test]
    fn dynamic_addresses_wrap_and_pass_over_those_in_use() {
        let mut table = registry(8);
        table.open(None, Address(1024)).unwrap();
        table.next = u32::MAX - 1;
        let taken: Vec<u32> = (0..3).map(|_| table.open(None, Address::ANY).unwrap().1.0).collect();
        assert_eq!(taken, [u32::MAX - 1, 1025, 1026]);
    }

    proptest! {
        #[test]
        fn it_finds_exactly_what_a_map_would(steps in prop::collection::vec((any::<bool>(), 0u32..24), 1..400)) {
            let mut table = registry(9);
            let mut model = BTreeMap::new();
            for (open, address) in steps {
                if open {
                    let expected = if model.len() == 9 {
                        Some(EndpointError::Full { most: 9 })
                    } else if model.contains_key(&address) {
                        Some(EndpointError::Taken)
                    } else {
                        None
                    };
                    let result = table.open(None, Address(address));
                    prop_assert_eq!(result.err(), expected);
                    if let Ok((at, _)) = result {
                        model.insert(address, at);
                    }
                } else if let Some(at) = model.remove(&address) {
                    table.close(at, false);
                }
                for address in 0..24 {
                    prop_assert_eq!(table.find(Address(address)), model.get(&address).copied());
                }
            }
        }
    }
}
