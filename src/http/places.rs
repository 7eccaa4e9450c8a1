//! Places of connections. If all are taken, the connections that wait longest make room, so that callers who send half a request, or take
//! no answer, keep nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Places for a limited number of connections.
pub(super) struct Places {
    room: Arc<Semaphore>,
    waiting: Arc<Waiting>,
}

/// Connections that wait for their caller, longest first.
#[derive(Default)]
struct Waiting {
    connections: Mutex<Queue>,
    /// Notified when another connection begins to wait.
    more: Notify,
}

#[derive(Default)]
struct Queue {
    next: u64,
    evictions: BTreeMap<u64, CancellationToken>,
}

impl Places {
    pub(super) fn new(connections: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(connections)), waiting: Arc::default() }
    }

    /// Takes a place. If there is none, evicts the connection that waits longest; if none waits, waits until one ends.
    pub(super) async fn take(&self) -> Place {
        let permit = loop {
            // The semaphore is never closed, so `acquire_owned` does not fail.
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                break Some(permit);
            }
            let another_waits = self.waiting.more.notified();
            if self.evict() {
                break Arc::clone(&self.room).acquire_owned().await.ok();
            }
            tokio::select! {
                permit = Arc::clone(&self.room).acquire_owned() => break permit.ok(),
                () = another_waits => {}
            }
        };
        let place = Place {
            waiting: Arc::clone(&self.waiting),
            evicted: CancellationToken::new(),
            number: Mutex::new(None),
            _permit: permit,
        };
        place.wait();
        place
    }

    /// Evicts the connection that waits longest. Returns false if none waits.
    pub(super) fn evict(&self) -> bool {
        let longest = self.waiting.lock().evictions.pop_first();
        longest.inspect(|(_, eviction)| eviction.cancel()).is_some()
    }
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Place of one connection; it is free again when this is dropped.
pub(super) struct Place {
    waiting: Arc<Waiting>,
    evicted: CancellationToken,
    /// Number under which the connection waits; `None` while a request is being answered.
    number: Mutex<Option<u64>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Place {
    /// Says that the connection waits for its caller: for a head, or until an answer is taken. From now on it can be evicted.
    pub(super) fn wait(&self) {
        let mut queue = self.waiting.lock();
        let number = queue.next;
        queue.next += 1;
        queue.evictions.insert(number, self.evicted.clone());
        drop(queue);
        *self.number() = Some(number);
        self.waiting.more.notify_one();
    }

    /// Says that a request is being answered, so that the connection cannot be evicted. Returns false if it already was.
    pub(super) fn work(&self) -> bool {
        let number = self.number().take();
        number.is_none_or(|number| self.waiting.lock().evictions.remove(&number).is_some())
    }

    /// Waits until the connection is evicted.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Duration, timeout};

    async fn is_evicted(place: &Place) -> bool {
        timeout(Duration::from_millis(1), place.evicted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_waits_longest_makes_room_and_none_that_is_being_answered() {
        let places = Places::new(3);
        let [first, second, third] = [places.take().await, places.take().await, places.take().await];
        assert!(first.work());
        let mut fourth = std::pin::pin!(places.take());
        assert!(timeout(Duration::from_secs(1), &mut fourth).await.is_err(), "no place is free yet");
        assert!(is_evicted(&second).await && !is_evicted(&first).await && !is_evicted(&third).await);
        assert!(!second.work(), "an evicted connection does nothing more");
        drop(second);
        let fourth = fourth.await;
        // The first waits again, and now the third has waited longer.
        first.wait();
        assert!(places.evict() && is_evicted(&third).await && !is_evicted(&first).await);
        assert!(third.evicted.is_cancelled() && first.work() && fourth.work());
        assert!(!places.evict(), "all others are being answered");
        // Whoever begins to wait makes room for a caller who is there already.
        let mut fifth = std::pin::pin!(places.take());
        drop(third);
        let fifth_place = fifth.as_mut().await;
        let mut sixth = std::pin::pin!(places.take());
        assert!(fifth_place.work());
        assert!(timeout(Duration::from_secs(1), &mut sixth).await.is_err());
        first.wait();
        assert!(timeout(Duration::from_secs(1), &mut sixth).await.is_err());
        assert!(is_evicted(&first).await);
        drop(first);
        drop(sixth.await);
    }
}
