//! An address of this side.

use core::time::Duration;

use tutti_metal::{Clock, Deadline, Sleep};
use tutti_virtio::Corrupt;

use crate::future::CreditFuture;
use crate::link::{Link, Platform};
use crate::wait::wait_within;
use crate::{Address, Loan, ReceiveFuture, Received, Role, SendError};

/// Something that sends and receives. Dropped, it is closed: its address is free again, what waits for it goes back,
/// and if it was announced the other side is told.
pub struct Endpoint<'a, P: Platform, R: Role> {
    pub(crate) link: &'a Link<P, R>,
    pub(crate) at: usize,
    pub(crate) address: Address,
}

impl<'a, P: Platform, R: Role> Endpoint<'a, P, R> {
    /// Gives it a peer, or none: then whoever writes first becomes it.
    pub fn set_peer(&mut self, peer: Option<Address>) {
        self.link.set_peer(self.at, peer);
    }

    /// Lets its peer have only `window` messages under way, so that one endpoint that is not read does not take the
    /// buffers of all; 0 for as many as there are buffers. Takes effect between sides that both have
    /// [`F_CREDITS`](crate::F_CREDITS), else none.
    pub fn set_window(&mut self, window: u16) {
        self.link.set_window(self.at, window);
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        self.address
    }

    /// The other side's endpoint of the same name, or whoever wrote here first.
    ///
    /// # Errors
    /// [`SendError::NoPeer`] as long as there is none.
    pub fn peer(&self) -> Result<Address, SendError> {
        self.link.peer(self.at).ok_or(SendError::NoPeer)
    }

    /// How many messages have been put aside for it.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.link.waiting(self.at)
    }

    /// The next message, if there is one.
    ///
    /// # Errors
    /// If the other side wrote something that cannot be.
    #[inline(always)]
    pub fn try_receive(&self) -> Result<Option<Received<'a, P, R>>, Corrupt> {
        self.link.receive(self.at)
    }

    /// The next message, for any executor. Somebody must call [`Link::on_interrupt`] when the other side rings.
    pub fn receive(&self) -> ReceiveFuture<'a, P, R> {
        ReceiveFuture { link: self.link, at: self.at }
    }

    /// The next message, but waits no longer than `within`; `None` if there was none.
    ///
    /// # Errors
    /// If the other side wrote something that cannot be.
    pub fn receive_within(
        &self,
        within: Duration,
        clock: &impl Clock,
        sleep: &impl Sleep,
    ) -> Result<Option<Received<'a, P, R>>, Corrupt> {
        wait_within(within, clock, sleep, || self.try_receive(), || self.link.listen())
    }

    /// Copies a message into a buffer and sends it, if a buffer is free.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent then.
    #[inline(always)]
    pub fn try_send(&self, to: Address, bytes: &[u8]) -> Result<(), SendError> {
        self.fill(self.link.try_loan()?, to, bytes)
    }

    /// As [`try_send`](Self::try_send), but waits for a buffer, no longer than `within`.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent then.
    pub fn send_within(
        &self,
        to: Address,
        bytes: &[u8],
        within: Duration,
        clock: &impl Clock,
        sleep: &impl Sleep,
    ) -> Result<(), SendError> {
        let deadline = Deadline::new(clock, within);
        loop {
            let left = deadline.left(clock).ok_or(SendError::TimedOut)?;
            match self.fill(self.link.loan_within(left, clock, sleep)?, to, bytes) {
                Err(SendError::NoCredit) => self.await_credit(&deadline, clock, sleep)?,
                other => return other,
            }
        }
    }

    /// Sleeps until something has arrived, which may be a grant.
    pub(crate) fn await_credit(
        &self,
        deadline: &Deadline,
        clock: &impl Clock,
        sleep: &impl Sleep,
    ) -> Result<(), SendError> {
        let left = deadline.left(clock).ok_or(SendError::TimedOut)?;
        self.link.poll()?;
        if !self.link.listen()? {
            sleep.sleep(left);
        }
        self.link.poll()?;
        Ok(())
    }

    /// As [`try_send`](Self::try_send), but waits for a buffer, in any executor.
    ///
    /// # Errors
    /// See [`SendError`]; nothing was sent then.
    pub async fn send(&self, to: Address, bytes: &[u8]) -> Result<(), SendError> {
        loop {
            match self.fill(self.link.loan().await?, to, bytes) {
                Err(SendError::NoCredit) => CreditFuture { link: self.link, polled: false }.await?,
                other => return other,
            }
        }
    }

    #[inline(always)]
    fn fill(&self, mut loan: Loan<'_, P, R>, to: Address, bytes: &[u8]) -> Result<(), SendError> {
        let most = loan.capacity();
        loan.bytes().write(0, bytes).map_err(|_| SendError::TooLong { len: bytes.len(), most })?;
        loan.send(self.address, to, bytes.len())
    }
}

impl<P: Platform, R: Role> Drop for Endpoint<'_, P, R> {
    fn drop(&mut self) {
        self.link.close(self.at);
    }
}
