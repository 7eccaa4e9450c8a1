//! Places of the syncs that run at once (`R37`: nobody waits for the slowest). A queue delivers only so many tasks at once, so cases that
//! hang could take all its places. They may hold a quarter: a case that hung the last time begins only if one of these is free, and of the
//! syncs that hang for the first time, the latest are cut short once places become scarce.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::TaskKind;
use crate::progress::Progress;

/// Silence after which a sync counts as hanging, while others need its place.
const PATIENCE: Duration = Duration::from_secs(10);
/// Interval at which a sync looks at its place.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Number of syncs of one direction that run at once, where the queue knows none.
const USUAL: usize = 16;

/// Syncs that this process runs now.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<Vec<Place>>);

#[derive(Debug)]
struct Place {
    kind: TaskKind,
    /// Name that is unique for this run.
    holder: String,
    progress: Arc<Progress>,
    /// True if the case hung the last time.
    again: bool,
}

impl Place {
    fn hangs(&self) -> bool {
        self.again || self.progress.silent_for() >= PATIENCE
    }
}

/// Number of places of one queue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(usize);

impl Number {
    /// Takes the number that the queue delivers at once.
    pub(super) fn of(concurrent: Option<u32>) -> Self {
        Self(concurrent.and_then(|number| usize::try_from(number).ok()).unwrap_or(USUAL))
    }

    /// Number of places for cases that hang.
    fn for_hanging(self) -> usize {
        (self.0 / 4).max(1)
    }

    /// True if places become scarce. Another instance may hold as many as this one.
    const fn is_scarce(self, taken: usize) -> bool {
        taken.saturating_mul(2) >= self.0
    }
}

/// Place of one run; free again when it is dropped.
pub(super) struct Taken<'a> {
    places: &'a Places,
    holder: &'a str,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.places.lock().retain(|place| place.holder != self.holder);
    }
}

impl Places {
    /// Takes a place for a run, which the queue has given it already.
    pub(super) fn take<'a>(&'a self, kind: TaskKind, holder: &'a str, progress: &Arc<Progress>) -> Taken<'a> {
        let progress = Arc::clone(progress);
        self.lock().push(Place { kind, holder: holder.to_owned(), progress, again: false });
        Taken { places: self, holder }
    }

    /// Admits a run for a case that hung the last time, if fewer than a quarter of the places are held by such ones.
    pub(super) fn admit_again(&self, holder: &str, number: Number) -> bool {
        let mut places = self.lock();
        let Some(kind) = places.iter().find(|place| place.holder == holder).map(|place| place.kind) else {
            return true;
        };
        let others = places.iter().filter(|place| place.kind == kind && place.holder != holder);
        let is_room = others.filter(|place| place.hangs()).count() < number.for_hanging();
        if is_room {
            places.iter_mut().filter(|place| place.holder == holder).for_each(|place| place.again = true);
        }
        is_room
    }

    /// Returns once a run has to give its place up: it hangs, longer ones take all places for those that hang, and places are scarce.
    pub(super) async fn crowded_out(&self, holder: &str, number: Number) {
        // Nothing hangs before that.
        tokio::time::sleep(PATIENCE).await;
        while !self.is_in_excess(holder, number) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_in_excess(&self, holder: &str, number: Number) -> bool {
        let places = self.lock();
        let Some(own) = places.iter().position(|place| place.holder == holder) else { return false };
        let kind = places[own].kind;
        if places[own].again || !places[own].hangs() {
            return false;
        }
        let running = places.iter().filter(|place| place.kind == kind).count();
        // Places are in the order in which they were taken.
        let longer = places[..own].iter().filter(|place| place.kind == kind && place.hangs()).count();
        let again = places[own..].iter().filter(|place| place.kind == kind && place.again).count();
        number.is_scarce(running) && longer + again >= number.for_hanging()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress;

    const KIND: TaskKind = TaskKind::SyncGoogleCase;

    /// Runs that hang until they are aborted, each with its place.
    async fn hanging(places: &'static Places, holders: &[&'static str]) {
        for holder in holders {
            let progress = Progress::begin();
            let taken = places.take(KIND, holder, &progress);
            tokio::spawn(progress.follow(async move {
                let _taken = taken;
                progress::of_call(std::future::pending::<Result<(), ()>>()).await
            }));
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn cases_that_hang_hold_a_quarter_of_the_places() {
        let places: &Places = Box::leak(Box::default());
        let number = Number::of(Some(8));
        hanging(places, &["a", "b", "c"]).await;
        let excess = || -> Vec<&str> {
            ["a", "b", "c", "d"].into_iter().filter(|holder| places.is_in_excess(holder, number)).collect()
        };
        tokio::time::advance(PATIENCE).await;
        assert_eq!(excess(), [""; 0], "other places are free");
        hanging(places, &["d"]).await;
        assert_eq!(excess(), ["c"], "d hangs since a moment only");
        tokio::time::advance(PATIENCE).await;
        assert_eq!(excess(), ["c", "d"]);

        let other = Progress::begin();
        let again = places.take(KIND, "again", &other);
        assert!(!places.admit_again("again", number), "others hang already");
        let other_side = places.take(TaskKind::SyncCompanyCase, "other side", &other);
        assert!(places.admit_again("other side", number), "it has places of its own");
        drop((again, other_side));
        assert_eq!(places.lock().len(), 4);
    }
}
