//! The subject: two links over shared memory.

use std::hint::black_box;
use std::time::Duration;

use tutti_metal::{Doorbell, Local, Monotonic, Silent, Sleep};
use tutti_rpmsg::{
    Address, Endpoint, Heap, Host, HostSetup, Link, Platform, Received, Remote, RemoteSetup, Role, SendError,
};
use tutti_virtio::{Features, Layout, QueueSize, Vring};

use super::plain::total;
use super::run::{Failed, Laps, PAUSE, Patience, pause};
use crate::{EventBell, FutexBell, SharedMemory};

pub(super) struct Over<D>(core::marker::PhantomData<D>);

impl<D: Doorbell> Platform for Over<D> {
    type Memory = SharedMemory;
    type Doorbell = D;
    type Locks = Local;
    type Storage = Heap;
}

/// Where a pair of links lies, and how large its buffers are.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) at: usize,
    pub(super) entries: u32,
    pub(super) buffer: u32,
}

impl Place {
    fn queue_bytes(self) -> usize {
        0x4000
    }
    fn vrings(self, memory: &SharedMemory) -> Result<[Vring<SharedMemory>; 2], Failed> {
        let vring = |at| {
            let layout = Layout::legacy(QueueSize::new(self.entries)?, 4096, at)?;
            Ok::<_, Failed>(Vring::new(memory.clone(), layout)?)
        };
        Ok([vring(self.at)?, vring(self.at + self.queue_bytes())?])
    }

    pub(super) fn host<D: Doorbell>(self, memory: &SharedMemory, bell: D) -> Result<Link<Over<D>, Host>, Failed> {
        let mut setup = HostSetup::new(self.vrings(memory)?, memory.clone(), self.at + 2 * self.queue_bytes());
        setup.buffer_size = self.buffer;
        setup.features = setup.features.with(Features::EVENT_IDX);
        Ok(Link::new(setup, bell, Heap { endpoints: 4 })?)
    }

    pub(super) fn remote<D: Doorbell>(self, memory: &SharedMemory, bell: D) -> Result<Link<Over<D>, Remote>, Failed> {
        let mut setup = RemoteSetup::new(self.vrings(memory)?, memory.clone());
        setup.features = setup.features.with(Features::EVENT_IDX);
        Ok(Link::new(setup, bell, Heap { endpoints: 4 })?)
    }
}

pub(super) const HERE: Address = Address(1);
pub(super) const THERE: Address = Address(2);

/// One side of every pair of links.
pub(super) struct Links<R: Role> {
    /// Polled, with buffers of 512 bytes, and with large ones.
    pub(super) polled: Link<Over<Silent>, R>,
    pub(super) large: Link<Over<Silent>, R>,
    /// With large buffers.
    pub(super) futex: Link<Over<FutexBell>, R>,
    pub(super) event: Link<Over<EventBell>, R>,
}

pub(super) type End<'a, D, R> = (&'a Link<Over<D>, R>, Endpoint<'a, Over<D>, R>);

/// The next message, by polling.
#[inline(always)]
fn poll<'a, D: Doorbell, R: Role>(end: &End<'a, D, R>) -> Result<Received<'a, Over<D>, R>, Failed> {
    let mut patience = Patience::default();
    loop {
        if let Some(received) = end.1.try_receive()? {
            return Ok(received);
        }
        end.0.warm();
        patience.spin()?;
    }
}

/// Asks `count` times and waits for each answer.
pub(super) fn ask<R: Role>(
    end: &End<'_, Silent, R>,
    to: Address,
    count: u32,
    size: usize,
    laps: &mut Laps,
) -> Result<(), Failed> {
    let sent = vec![7u8; size];
    let mut got = vec![0u8; size];
    for _ in 0..count {
        end.1.try_send(to, black_box(&sent))?;
        poll(end)?.read(0, &mut got)?;
        black_box(&got);
        laps.lap();
    }
    Ok(())
}

/// Answers `count` times.
pub(super) fn answer<R: Role>(end: &End<'_, Silent, R>, count: u32, size: usize) -> Result<(), Failed> {
    let mut bytes = vec![0u8; size];
    for _ in 0..count {
        let received = poll(end)?;
        received.read(0, &mut bytes)?;
        end.1.try_send(received.source(), black_box(&bytes))?;
    }
    Ok(())
}

/// Sends `count` messages, published in batches.
pub(super) fn stream<R: Role>(
    end: &End<'_, Silent, R>,
    to: Address,
    count: u32,
    size: usize,
    batch: u32,
) -> Result<(), Failed> {
    let bytes = vec![7u8; size];
    let mut patience = Patience::default();
    let mut sent = 0;
    while sent < count {
        match end.0.try_loan() {
            Ok(mut loan) => {
                loan.bytes().write(0, black_box(&bytes))?;
                loan.stage(end.1.address(), to, size)?;
                sent += 1;
                if sent % batch == 0 {
                    end.0.publish();
                }
            }
            Err(SendError::NoBuffer) => {
                end.0.publish();
                patience.spin()?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    end.0.publish();
    Ok(())
}

/// Sends `count` messages, `batch` at a time, by the call for many.
pub(super) fn stream_batches<R: Role>(
    end: &End<'_, Silent, R>,
    to: Address,
    count: u32,
    size: usize,
    batch: u32,
) -> Result<(), Failed> {
    let bytes = vec![7u8; size];
    let messages = vec![bytes.as_slice(); batch as usize];
    let mut patience = Patience::default();
    let mut left = count as usize;
    while left > 0 {
        let some = messages.get(..left).unwrap_or(&messages);
        match end.1.try_send_all(to, black_box(some)) {
            Ok(sent) => left -= sent,
            Err(SendError::NoBuffer) => patience.spin()?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Receives `count` messages, as many as there are at a time, copying each out.
pub(super) fn sink_batches<R: Role>(end: &End<'_, Silent, R>, count: u32, size: usize) -> Result<(), Failed> {
    let mut bytes = vec![0u8; size];
    let mut left = count as usize;
    let mut patience = Patience::default();
    while left > 0 {
        let batch = end.1.try_receive_all()?;
        for message in batch.iter() {
            message.read(0, &mut bytes)?;
            black_box(&bytes);
        }
        left = left.saturating_sub(batch.len());
        if batch.is_empty() {
            patience.spin()?;
        }
    }
    Ok(())
}

/// Receives `count` messages, copying each out, or reading all of its bytes where they are.
pub(super) fn sink<R: Role>(end: &End<'_, Silent, R>, count: u32, size: usize, copy: bool) -> Result<u64, Failed> {
    let mut bytes = vec![0u8; size];
    let mut sum = 0u64;
    for _ in 0..count {
        let received = poll(end)?;
        if copy {
            received.read(0, &mut bytes)?;
            black_box(&bytes);
        } else {
            sum = sum.wrapping_add(total(&received.bytes()));
        }
    }
    Ok(sum)
}

const LONG: Duration = Duration::from_secs(5);

/// As [`ask`], but sleeps until the answer rings.
pub(super) fn ask_asleep<D: Doorbell, R: Role>(
    end: &End<'_, D, R>,
    to: Address,
    count: u32,
    size: usize,
    sleep: &impl Sleep,
    laps: &mut Laps,
) -> Result<(), Failed> {
    let (sent, clock) = (vec![7u8; size], Monotonic::default());
    let mut got = vec![0u8; size];
    laps.pauses = 2 * PAUSE;
    for _ in 0..count {
        pause();
        end.1.try_send(to, black_box(&sent))?;
        end.1.receive_within(LONG, &clock, sleep)?.ok_or(Failed::Silence)?.read(0, &mut got)?;
        black_box(&got);
        laps.lap();
    }
    Ok(())
}

/// As [`answer`], but sleeps until a question rings.
pub(super) fn answer_asleep<D: Doorbell, R: Role>(
    end: &End<'_, D, R>,
    count: u32,
    size: usize,
    sleep: &impl Sleep,
) -> Result<(), Failed> {
    let clock = Monotonic::default();
    let mut bytes = vec![0u8; size];
    for _ in 0..count {
        let received = end.1.receive_within(LONG, &clock, sleep)?.ok_or(Failed::Silence)?;
        received.read(0, &mut bytes)?;
        pause();
        end.1.try_send(received.source(), black_box(&bytes))?;
    }
    Ok(())
}

/// Sends `count` messages one by one, and sleeps while there is no buffer.
pub(super) fn stream_asleep<D: Doorbell, R: Role>(
    end: &End<'_, D, R>,
    to: Address,
    count: u32,
    size: usize,
    sleep: &impl Sleep,
) -> Result<(), Failed> {
    let (bytes, clock) = (vec![7u8; size], Monotonic::default());
    (0..count).try_for_each(|_| Ok(end.1.send_within(to, black_box(&bytes), LONG, &clock, sleep)?))
}

/// Receives `count` messages, and sleeps while there is none.
pub(super) fn sink_asleep<D: Doorbell, R: Role>(
    end: &End<'_, D, R>,
    count: u32,
    size: usize,
    sleep: &impl Sleep,
) -> Result<(), Failed> {
    let (mut bytes, clock) = (vec![0u8; size], Monotonic::default());
    for _ in 0..count {
        end.1.receive_within(LONG, &clock, sleep)?.ok_or(Failed::Silence)?.read(0, &mut bytes)?;
        black_box(&bytes);
    }
    Ok(())
}
