//! What a front end has said so far, and what follows from it: the protocol without sockets, files or memory.
//!
//! A queue may run when it has a size and addresses, a file to kick it by, and is enabled (which it is from the start
//! if the front end does not speak the protocol's extensions). RPMsg takes both queues: when both may run, the first
//! kick starts it, and when one may not any more, it stops.

use super::wire::{FileFor, MOST_CONFIG, MessageHeader, Request, RingAddress, protocol, reply, request};
use super::{GuestRegion, Refused};
use tutti_virtio::{Features, QueueSize};

/// RPMsg has two queues.
pub const QUEUES: usize = 2;

/// The bit by which both ends say that they speak the protocol's extensions.
const PROTOCOL_FEATURES: Features = Features(1 << 30);

/// What this device offers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Its features.
    pub features: Features,
    /// Its config space, up to 256 bytes, which drivers can read.
    pub config: Vec<u8>,
}

impl Default for Offer {
    /// The name service, both ways of suppressing wake-ups, indirect descriptors, the modern layout; no config space.
    fn default() -> Self {
        let features =
            tutti_rpmsg::F_NS.with(Features::VERSION_1).with(Features::EVENT_IDX).with(Features::INDIRECT_DESC);
        Self { features, config: Vec::new() }
    }
}

/// One queue, as far as the front end has described it.
#[derive(Debug)]
pub struct Queue<F> {
    /// How many entries it has.
    pub size: Option<QueueSize>,
    /// Where its tables are.
    pub at: Option<RingAddress>,
    /// What wakes us.
    pub kick: Option<F>,
    enabled: bool,
}

impl<F> Default for Queue<F> {
    fn default() -> Self {
        Self { size: None, at: None, kick: None, enabled: false }
    }
}

/// What is to be done about a request, before it is answered.
#[derive(Debug)]
pub enum Effect<F> {
    /// Nothing.
    None,
    /// The memory is to be mapped anew, from these files.
    Memory(Vec<GuestRegion>, Vec<F>),
    /// What wakes the driver for a queue is now this.
    Call(usize, Option<F>),
    /// A queue has stopped; the answer is the index at which it would go on.
    Position(usize),
    /// A queue goes on at this index.
    Base(usize, u16),
    /// Everything starts anew, the queues at index 0.
    Reset,
    /// A socket to the front end is to be kept: it takes the device away when that is closed.
    Keep(F),
}

/// One front end's session. `F` is a file.
#[derive(Debug)]
pub struct Session<F> {
    offer: Offer,
    features: Features,
    protocol: u64,
    status: u64,
    has_memory: bool,
    queues: [Queue<F>; QUEUES],
}

impl<F> Session<F> {
    /// A session in which nothing has been said.
    #[must_use]
    pub fn new(mut offer: Offer) -> Self {
        offer.config.truncate(MOST_CONFIG);
        let queues = core::array::from_fn(|_| Queue::default());
        Self { offer, features: Features::NONE, protocol: 0, status: 0, has_memory: false, queues }
    }

    /// Takes a request in: what to do about it, and the answer if it has one of its own.
    ///
    /// # Errors
    /// If it cannot be; the session is over then.
    pub fn handle(
        &mut self,
        header: MessageHeader,
        payload: &[u8],
        files: Vec<F>,
    ) -> Result<(Effect<F>, Option<Vec<u8>>), Refused> {
        let parsed = Request::parse(header.request, payload)?;
        let (expected, found) = (parsed.files(), files.len());
        if expected != found {
            return Err(Refused::Files { request: header.request, expected, found });
        }
        let mut files = files.into_iter();
        let long = |value: u64| Some(reply(header.request, &value.to_ne_bytes()));
        let mut answer = None;
        let mut effect = Effect::None;
        match parsed {
            Request::GetFeatures => answer = long(self.offer.features.with(PROTOCOL_FEATURES).0),
            Request::SetFeatures(features) => {
                let offered = self.offer.features.with(PROTOCOL_FEATURES);
                if !offered.has(Features(features)) {
                    return Err(Refused::Features(features & !offered.0));
                }
                self.features = Features(features);
            }
            Request::SetOwner => {}
            Request::Reset | Request::SetStatus(0) => {
                self.reset();
                effect = Effect::Reset;
            }
            Request::SetMemTable(regions) => {
                self.has_memory = true;
                effect = Effect::Memory(regions, files.collect());
            }
            Request::SetVringNum { queue, num } => {
                let size = QueueSize::new(num).map_err(|_| Refused::RingSize(num))?;
                self.stopped(queue)?.size = Some(size);
            }
            Request::SetVringAddr { queue, at } => self.stopped(queue)?.at = Some(at),
            Request::SetVringBase { queue, base } => {
                let base = u16::try_from(base).map_err(|_| Refused::Base(base))?;
                self.stopped(queue)?;
                effect = Effect::Base(self.queue(queue)?, base);
            }
            Request::GetVringBase { queue } => {
                let queue = self.queue(queue)?;
                self.queues[queue].kick = None;
                effect = Effect::Position(queue);
            }
            Request::SetVringKick(FileFor { queue, .. }) => {
                let queue = self.queue(queue)?;
                // Without one we would have to look at the queue all the time; no front end wants that of us.
                self.queues[queue].kick = Some(files.next().ok_or(Refused::NoKick)?);
            }
            Request::SetVringCall(FileFor { queue, .. }) => effect = Effect::Call(self.queue(queue)?, files.next()),
            // Errors end the session, which the front end notices without it.
            Request::SetVringErr(FileFor { queue, .. }) => drop((self.queue(queue)?, files)),
            Request::GetProtocolFeatures => answer = long(protocol::ALL),
            Request::SetProtocolFeatures(features) => {
                if features & !protocol::ALL != 0 {
                    return Err(Refused::Features(features & !protocol::ALL));
                }
                self.protocol = features;
            }
            Request::GetQueueNum => answer = long(QUEUES as u64),
            Request::SetVringEnable { queue, on } => {
                let queue = self.queue(queue)?;
                self.queues[queue].enabled = on;
            }
            Request::SetBackendReq => effect = files.next().map_or(Effect::None, Effect::Keep),
            Request::GetConfig { offset, size } => {
                let found = self.offer.config.get(offset as usize..).and_then(|config| config.get(..size as usize));
                // An answer without anything is how the protocol says that there is no such place.
                let whole = found.map(|found| {
                    let words = [offset, size, 0].map(u32::to_ne_bytes);
                    words.iter().flatten().chain(found).copied().collect::<Vec<u8>>()
                });
                let whole = whole.unwrap_or_default();
                answer = Some(reply(header.request, &whole));
            }
            Request::SetConfig => return Err(Refused::ConfigIsFixed),
            Request::SetStatus(status) => self.status = status & 0xff,
            Request::GetStatus => answer = long(self.status),
        }
        Ok((effect, answer))
    }

    /// The answer to a request that has none of its own, if the front end wants to know how it went.
    #[must_use]
    pub fn acknowledgement(&self, header: MessageHeader, went_well: bool) -> Option<Vec<u8>> {
        let wanted = header.need_reply && self.protocol & protocol::REPLY_ACK != 0;
        wanted.then(|| reply(header.request, &u64::from(!went_well).to_ne_bytes()))
    }

    /// The answer to [`Effect::Position`].
    #[must_use]
    pub fn position(&self, queue: usize, index: u16) -> Vec<u8> {
        let words = [queue as u32, u32::from(index)];
        reply(request::GET_VRING_BASE, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<_>>())
    }

    /// Whether both queues may run.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.has_memory && (0..QUEUES).all(|queue| self.queue_runs(queue))
    }

    /// What was agreed on.
    #[must_use]
    pub fn features(&self) -> Features {
        self.features.common(self.offer.features)
    }

    /// The queues.
    #[must_use]
    pub fn queues(&self) -> &[Queue<F>; QUEUES] {
        &self.queues
    }

    /// A queue's kick is of no use: it has stopped.
    pub fn drop_kick(&mut self, queue: usize) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.kick = None;
        }
    }

    fn queue_runs(&self, queue: usize) -> bool {
        let Some(queue) = self.queues.get(queue) else { return false };
        let enabled = queue.enabled || !self.features.has(PROTOCOL_FEATURES);
        queue.size.is_some() && queue.at.is_some() && queue.kick.is_some() && enabled
    }

    fn queue(&self, queue: u32) -> Result<usize, Refused> {
        let index = queue as usize;
        if index < QUEUES { Ok(index) } else { Err(Refused::Queue(queue)) }
    }

    /// A queue that does not run, and so may be described anew.
    fn stopped(&mut self, queue: u32) -> Result<&mut Queue<F>, Refused> {
        let index = self.queue(queue)?;
        if self.queue_runs(index) {
            return Err(Refused::Running(queue));
        }
        Ok(&mut self.queues[index])
    }

    fn reset(&mut self) {
        self.queues = core::array::from_fn(|_| Queue::default());
        self.features = Features::NONE;
        self.status = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(session: &mut Session<u8>, request: u32, payload: &[u8], files: &[u8]) -> Result<Option<Vec<u8>>, Refused> {
        let header = MessageHeader { request, need_reply: false, size: payload.len() };
        session.handle(header, payload, files.to_vec()).map(|(_, answer)| answer)
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    /// Says all that makes both queues run.
    fn start(session: &mut Session<u8>) {
        ask(session, request::RESET_DEVICE, &[], &[]).unwrap();
        let all = session.offer.features.with(PROTOCOL_FEATURES).0;
        ask(session, request::SET_FEATURES, &all.to_ne_bytes(), &[]).unwrap();
        ask(session, request::SET_MEM_TABLE, &words(&[1, 0, 0, 0, 0x1000, 0, 0, 0, 0, 0]), &[1]).unwrap();
        for queue in 0..2 {
            ask(session, request::SET_VRING_NUM, &words(&[queue, 256]), &[]).unwrap();
            ask(session, request::SET_VRING_BASE, &words(&[queue, 0]), &[]).unwrap();
            ask(session, request::SET_VRING_ADDR, &[vec![queue as u8], vec![0; 39]].concat(), &[]).unwrap();
            ask(session, request::SET_VRING_KICK, &words(&[queue, 0]), &[2]).unwrap();
            assert!(!session.runs());
            ask(session, request::SET_VRING_ENABLE, &words(&[queue, 1]), &[]).unwrap();
        }
        assert!(session.runs());
    }

    #[test]
    fn it_runs_when_both_queues_do_and_stops_when_one_stops() {
        let mut session = Session::new(Offer::default());
        start(&mut session);
        assert_eq!(session.features(), Offer::default().features);
        ask(&mut session, request::SET_VRING_ENABLE, &words(&[1, 0]), &[]).unwrap();
        assert!(!session.runs());
        ask(&mut session, request::SET_VRING_ENABLE, &words(&[1, 1]), &[]).unwrap();
        assert!(session.runs());
        ask(&mut session, request::GET_VRING_BASE, &words(&[0, 0]), &[]).unwrap();
        assert!(!session.runs());
        for reset in [request::RESET_DEVICE, request::RESET_OWNER] {
            start(&mut session);
            ask(&mut session, reset, &[], &[]).unwrap();
            assert!(!session.runs() && session.features() == Features::NONE);
        }
        start(&mut session);
        ask(&mut session, request::SET_STATUS, &0u64.to_ne_bytes(), &[]).unwrap();
        assert!(!session.runs());
    }

    #[test]
    fn what_cannot_be_is_refused_by_what_is_wrong() {
        let mut session = Session::new(Offer::default());
        let mut refused =
            |request, payload: &[u8], files: &[u8]| ask(&mut session, request, payload, files).unwrap_err();
        assert_eq!(refused(request::SET_FEATURES, &(1u64 << 50).to_ne_bytes(), &[]), Refused::Features(1 << 50));
        assert_eq!(refused(request::SET_PROTOCOL_FEATURES, &2u64.to_ne_bytes(), &[]), Refused::Features(2));
        assert_eq!(refused(request::SET_VRING_NUM, &words(&[2, 256]), &[]), Refused::Queue(2));
        assert_eq!(refused(request::SET_VRING_NUM, &words(&[0, 3]), &[]), Refused::RingSize(3));
        assert_eq!(refused(request::SET_VRING_BASE, &words(&[0, 1 << 16]), &[]), Refused::Base(1 << 16));
        assert_eq!(refused(request::SET_VRING_KICK, &words(&[0x100, 0]), &[]), Refused::NoKick);
        let files = Refused::Files { request: request::SET_VRING_KICK, expected: 1, found: 0 };
        assert_eq!(refused(request::SET_VRING_KICK, &words(&[0, 0]), &[]), files);
        let files = Refused::Files { request: request::GET_FEATURES, expected: 0, found: 2 };
        assert_eq!(refused(request::GET_FEATURES, &[], &[1, 2]), files);
        assert_eq!(refused(request::SET_CONFIG, &[0; 16], &[]), Refused::ConfigIsFixed);
        start(&mut session);
        assert_eq!(ask(&mut session, request::SET_VRING_NUM, &words(&[0, 16]), &[]), Err(Refused::Running(0)));
    }

    #[test]
    fn the_config_space_is_read_within_its_bounds() {
        let mut session = Session::<u8>::new(Offer { config: vec![1, 2, 3, 4], ..Offer::default() });
        let asked = [words(&[1, 3, 0]), vec![0; 3]].concat();
        let answer = ask(&mut session, request::GET_CONFIG, &asked, &[]).unwrap().unwrap();
        assert_eq!(answer, [words(&[24, 5, 15, 1, 3, 0]), vec![2, 3, 4]].concat());
        for (offset, size) in [(0, 5), (5, 0), (4, 1), (u32::MAX, 1)] {
            let answer = ask(&mut session, request::GET_CONFIG, &words(&[offset, size, 0]), &[]).unwrap().unwrap();
            assert_eq!(answer, words(&[24, 5, 0]));
        }
    }

    #[test]
    fn an_acknowledgement_is_sent_where_it_is_wanted_and_was_agreed_on() {
        let mut session = Session::<u8>::new(Offer::default());
        let header = MessageHeader { request: 3, need_reply: true, size: 0 };
        assert_eq!(session.acknowledgement(header, true), None);
        ask(&mut session, request::SET_PROTOCOL_FEATURES, &protocol::REPLY_ACK.to_ne_bytes(), &[]).unwrap();
        assert_eq!(session.acknowledgement(header, true), Some(words(&[3, 5, 8, 0, 0])));
        assert_eq!(session.acknowledgement(header, false), Some(words(&[3, 5, 8, 1, 0])));
        assert_eq!(session.acknowledgement(MessageHeader { need_reply: false, ..header }, true), None);
    }

    proptest! {
        /// Any order of any requests: nothing panics, and it never runs without all that running takes.
        #[test]
        fn no_sequence_of_requests_makes_it_run_without_what_that_takes(
            steps in prop::collection::vec((1u32..42, prop::collection::vec(0u32..4, 0..12), 0usize..3), 0..80),
        ) {
            let mut session = Session::new(Offer::default());
            for (request, payload, files) in steps {
                let _ = ask(&mut session, request, &words(&payload), &vec![0; files]);
                if session.runs() {
                    let complete = |queue: &Queue<u8>| queue.size.is_some() && queue.at.is_some() && queue.kick.is_some();
                    prop_assert!(session.has_memory && session.queues().iter().all(complete));
                }
            }
        }
    }
}
