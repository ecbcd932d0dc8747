//! Waiting in an executor. Nothing here knows which.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use tutti_virtio::Corrupt;

use crate::link::{Link, Platform};
use crate::{Loan, Received, Role, SendError};

/// How often a poll looks again by itself before it asks to be polled again: the other side must not keep it for ever.
const LOOKS: usize = 3;

/// The next message of an endpoint. Dropping it loses nothing.
#[must_use = "futures do nothing unless polled"]
pub struct ReceiveFuture<'a, P: Platform, R: Role> {
    pub(crate) link: &'a Link<P, R>,
    pub(crate) at: usize,
}

impl<'a, P: Platform, R: Role> Future for ReceiveFuture<'a, P, R> {
    type Output = Result<Received<'a, P, R>, Corrupt>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..LOOKS {
            match self.link.receive(self.at) {
                Ok(Some(received)) => return Poll::Ready(Ok(received)),
                Ok(None) => {}
                Err(corrupt) => return Poll::Ready(Err(corrupt)),
            }
            match self.link.wait_for_message(self.at, context.waker()) {
                Ok(true) => {}
                Ok(false) if self.link.waiting(self.at) > 0 => {}
                Ok(false) => return Poll::Pending,
                Err(corrupt) => return Poll::Ready(Err(corrupt)),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A buffer to fill. Dropping it loses nothing.
#[must_use = "futures do nothing unless polled"]
pub struct LoanFuture<'a, P: Platform, R: Role> {
    pub(crate) link: &'a Link<P, R>,
}

impl<'a, P: Platform, R: Role> Future for LoanFuture<'a, P, R> {
    type Output = Result<Loan<'a, P, R>, SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        for _ in 0..LOOKS {
            match self.link.try_loan() {
                Err(SendError::NoBuffer) => {}
                other => return Poll::Ready(other),
            }
            match self.link.wait_for_buffer(context.waker()) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(corrupt) => return Poll::Ready(Err(SendError::Corrupt(corrupt))),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Waits until something has arrived, which may be a grant.
pub(crate) struct CreditFuture<'a, P: Platform, R: Role> {
    pub(crate) link: &'a Link<P, R>,
    pub(crate) polled: bool,
}

impl<P: Platform, R: Role> Future for CreditFuture<'_, P, R> {
    type Output = Result<(), SendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let found = self.link.poll()? > 0;
        if core::mem::replace(&mut self.polled, true) {
            return Poll::Ready(Ok(()));
        }
        // Whoever rings wakes those who wait for a buffer, once arrivals have been taken in.
        let _ = self.link.wait_for_buffer(context.waker())?;
        if found || self.link.listen()? {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}
