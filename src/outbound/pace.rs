//! Pacing of the writes to one item, for systems that limit them. A write waits for its turn, since a refused one counts against the limit
//! as well.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Limit of a system: number of writes of one item within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteLimit {
    /// Number of writes.
    pub writes: usize,
    /// Period that they are counted in.
    pub period: Duration,
}

/// Times of the latest writes, by item.
#[derive(Debug)]
pub struct Pace {
    limits: &'static [WriteLimit],
    writes: Mutex<HashMap<String, VecDeque<Instant>>>,
}

impl Pace {
    /// Creates the pacing for these limits. Without any, no write waits.
    #[must_use]
    pub fn new(limits: &'static [WriteLimit]) -> Self {
        Self { limits, writes: Mutex::default() }
    }

    /// Returns the longest time that one write waits for its turn, if nothing else writes to the item.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.limits.iter().map(|limit| limit.period).max().unwrap_or_default()
    }

    /// Waits until a write to the item is within all limits, and counts it.
    pub async fn turn(&self, item: &str) {
        while let Err(wait) = self.take(item, Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts a write. If a limit is reached, counts nothing and returns the time until the next write is allowed.
    fn take(&self, item: &str, now: Instant) -> Result<(), Duration> {
        if self.limits.is_empty() {
            return Ok(());
        }
        let longest = self.longest_wait();
        let mut all = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        // Drops items without recent writes.
        all.retain(|_, writes| {
            writes.retain(|at| now.duration_since(*at) < longest);
            !writes.is_empty()
        });
        let writes = all.entry(item.to_owned()).or_default();
        let waits = self.limits.iter().filter_map(|limit| {
            // The write that has to leave the period before another one fits.
            let first = writes.len().checked_sub(limit.writes)?;
            let elapsed = now.duration_since(*writes.get(first)?);
            limit.period.checked_sub(elapsed).filter(|wait| !wait.is_zero())
        });
        if let Some(wait) = waits.max() {
            return Err(wait);
        }
        writes.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &[WriteLimit] = &[
        WriteLimit { writes: 20, period: Duration::from_secs(2) },
        WriteLimit { writes: 100, period: Duration::from_secs(30) },
    ];

    #[tokio::test(start_paused = true)]
    async fn no_item_is_written_to_more_often_than_its_limits_allow() {
        let pace = Pace::new(LIMITS);
        let begun = Instant::now();
        let mut turns = Vec::new();
        for _ in 0..250 {
            pace.turn("10001").await;
            turns.push(begun.elapsed());
        }
        for limit in LIMITS {
            for (first, next) in turns.iter().zip(&turns[limit.writes..]) {
                assert!(*next >= *first + limit.period, "{limit:?}: {first:?} to {next:?}");
            }
        }
        // No slower than the limits: five bursts of 20, and the same again in each period.
        for (number, expected) in [(19, 0), (20, 2), (99, 8), (100, 30), (200, 60), (249, 64)] {
            assert_eq!(turns[number], Duration::from_secs(expected), "write {number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn other_items_do_not_wait_and_are_forgotten() {
        let pace = Pace::new(LIMITS);
        let begun = Instant::now();
        for number in 0..1_000 {
            pace.turn(&number.to_string()).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(30)).await;
        pace.turn("10001").await;
        assert_eq!(pace.writes.lock().unwrap().len(), 1);
        let unlimited = Pace::new(&[]);
        for _ in 0..1_000 {
            unlimited.turn("10001").await;
        }
        assert_eq!(unlimited.writes.lock().unwrap().len(), 0);
    }
}
