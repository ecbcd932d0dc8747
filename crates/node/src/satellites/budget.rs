//! How much of what a link brings is taken each second.

use std::time::Duration;

use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

/// So many bytes, or messages, each second.
pub(crate) struct Budget {
    most: u32,
    spent: u32,
    since: Instant,
}

impl Budget {
    pub(crate) fn new(most: u32) -> Self {
        Self { most, spent: 0, since: Instant::now() }
    }

    /// Whether more may be taken now.
    pub(crate) fn is_left(&mut self) -> bool {
        if self.since.elapsed() >= SECOND {
            *self = Self::new(self.most);
        }
        self.spent < self.most
    }

    /// So much was taken.
    pub(crate) fn spend(&mut self, amount: usize) {
        self.spent = self.spent.saturating_add(u32::try_from(amount).unwrap_or(u32::MAX));
    }

    /// When there is more again.
    pub(crate) fn refilled(&self) -> Instant {
        self.since + SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_spent_is_back_a_second_later() {
        let mut budget = Budget::new(10);
        budget.spend(9);
        assert!(budget.is_left());
        budget.spend(usize::MAX);
        assert!(!budget.is_left());
        tokio::time::sleep_until(budget.refilled()).await;
        assert!(budget.is_left());
    }
}
