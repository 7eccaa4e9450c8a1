//! The world of one history: virtual time, the agenda, both systems, the store, the queue, and what was seen to be wrong.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use casebridge::clock::ManualClock;
use casebridge::entities::{GooglePlacement, Sides};
use chrono::{DateTime, Duration, Utc};

use crate::coverage::Coverage;
use crate::faults::Window;
use crate::history::{Clock, Company, Google, Ms, Part, Setting, Side, Trouble};
use crate::model::System;
use crate::mutation::Mutation;
use crate::ports::{Queue, Shelf};
use casebridge_testkit::dice::{Dice, hash};

pub(crate) type RunId = usize;

const HOUR: Ms = 3_600_000;

/// What happens next.
pub(crate) enum Event {
    /// A call of that run goes on: whoever waits for it is woken, and the run is polled.
    Wake(RunId, Waker),
    /// Something that was sent arrives.
    Arrives(Box<dyn FnOnce(&mut World) + Send>),
    Step(usize),
    /// A queue delivers that ticket.
    Deliver(usize),
    Deadline(RunId),
}

/// What the world knows about a run of a task.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunFacts {
    pub(crate) instance: usize,
    pub(crate) salt: u64,
    pub(crate) calls: u64,
    pub(crate) dry: bool,
    pub(crate) label: String,
}

pub(crate) struct World {
    pub(crate) setting: Setting,
    pub(crate) now: Ms,
    pub(crate) clocks: [Arc<ManualClock>; 2],
    agenda: BTreeMap<(Ms, u64), Event>,
    sequence: u64,
    pub(crate) runs: Vec<RunFacts>,
    pub(crate) current: Option<RunId>,
    /// For each instance, after how many more awaits it dies.
    pub(crate) doomed: [Option<u32>; 2],
    pub(crate) systems: Sides<System>,
    pub(crate) shelf: Shelf,
    pub(crate) queue: Queue,
    pub(crate) troubles: Vec<Window>,
    /// End of the last trouble.
    pub(crate) troubled_until: Ms,
    /// Clocks that are wrong for a while, or from some time on.
    pub(crate) wrong_clocks: Vec<WrongClock>,
    /// When a system's clock was right again after it had been ahead, and until when what was read before looks as if it had been read later.
    pub(crate) was_ahead: Vec<(Side, Ms, Ms)>,
    /// The host's clock was set while the connector was at work.
    pub(crate) host_was_set: bool,
    /// A system's clock was set while cases stood in it.
    pub(crate) clock_was_set: Sides<bool>,
    /// Until when a system last left out what it had in a scope.
    pub(crate) hid_until: Sides<Ms>,
    /// Until when it last left out everything.
    pub(crate) mute_until: Sides<Ms>,
    /// Something was refused, withheld or gone for hours, or for good: both sides get more time to agree.
    pub(crate) takes_long: bool,
    pub(crate) calm: bool,
    /// When an instance last found that a clock seems to have been set, and waited for more answers.
    pub(crate) clock_doubted_at: Ms,
    /// Creations at Google that may have happened, by their company cases: the mapping, and the place.
    pub(crate) creations: BTreeMap<String, (i64, GooglePlacement)>,
    /// The cases that people made, in order.
    pub(crate) made: Vec<(Side, String)>,
    /// How many writes changed anything, in the systems or the store.
    pub(crate) writes: u64,
    pub(crate) violation: Option<String>,
    pub(crate) mutation: Option<Mutation>,
    pub(crate) trace: u64,
    pub(crate) seen: Coverage,
    pub(crate) log: Option<String>,
}

/// A clock that is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrongClock {
    pub(crate) whose: Clock,
    pub(crate) ahead: Ms,
    pub(crate) since: Ms,
    pub(crate) until: Ms,
}

/// A moment that never comes.
pub(crate) const NEVER: Ms = Ms::MAX / 4;

/// The time at which every history begins: 2026-01-05T08:00:00Z.
const EPOCH: DateTime<Utc> = DateTime::from_timestamp(1_767_600_000, 0).unwrap();

/// Real time of a moment.
pub(crate) fn real(at: Ms) -> DateTime<Utc> {
    EPOCH + Duration::milliseconds(at)
}

impl World {
    pub(crate) fn new(setting: Setting, mutation: Option<Mutation>, verbose: bool) -> Self {
        let clocks = [ManualClock::at(EPOCH), ManualClock::at(EPOCH)];
        let mut world = Self {
            setting,
            now: 0,
            clocks,
            agenda: BTreeMap::new(),
            sequence: 0,
            runs: Vec::new(),
            current: None,
            doomed: [None; 2],
            systems: Sides { google: System::new(Google), company: System::new(Company) },
            shelf: Shelf::default(),
            queue: Queue::default(),
            troubles: Vec::new(),
            troubled_until: Ms::MIN / 2,
            wrong_clocks: Vec::new(),
            was_ahead: Vec::new(),
            host_was_set: false,
            clock_was_set: Sides { google: false, company: false },
            hid_until: Sides { google: Ms::MIN / 2, company: Ms::MIN / 2 },
            mute_until: Sides { google: Ms::MIN / 2, company: Ms::MIN / 2 },
            takes_long: false,
            calm: false,
            clock_doubted_at: 0,
            creations: BTreeMap::new(),
            made: Vec::new(),
            writes: 0,
            violation: None,
            mutation,
            trace: 0,
            seen: Coverage::default(),
            log: verbose.then(String::new),
        };
        world.set_clocks();
        world.furnish();
        world
    }

    pub(crate) fn set_clocks(&mut self) {
        self.clocks[0].set(self.ours(0));
        self.clocks[1].set(self.ours(1));
    }

    fn wrong(&self, whose: Clock) -> Ms {
        let wrong = self.wrong_clocks.iter().filter(|wrong| wrong.whose == whose && wrong.until > self.now);
        wrong.map(|wrong| wrong.ahead).sum()
    }

    /// What the clock of an instance shows.
    pub(crate) fn ours(&self, instance: usize) -> DateTime<Utc> {
        let apart = if instance == 1 { self.setting.clock_offset } else { 0 };
        real(self.now + self.setting.host * 1000 + self.wrong(Clock::Host) + apart)
    }

    /// A moment by the connector's clock, if that was never set.
    pub(crate) fn in_our_time(&self, at: Ms) -> DateTime<Utc> {
        real(at + self.setting.host * 1000 + self.wrong(Clock::Host))
    }

    /// How far a system's clock is ahead.
    pub(crate) fn skew(&self, side: Side) -> Ms {
        self.traits(side).skew * 1000 + self.wrong(Clock::Of(side))
    }

    /// What a system's clock shows.
    pub(crate) fn theirs(&self, side: Side) -> DateTime<Utc> {
        real(self.now + self.skew(side))
    }

    /// The present moment as a system writes it: by its own clock, as precisely as it can.
    pub(crate) fn stamp(&self, side: Side) -> DateTime<Utc> {
        let resolution = self.traits(side).resolution;
        let unit = if resolution == 0 { 1 } else { resolution * 1000 };
        real((self.now + self.skew(side)).div_euclid(unit) * unit)
    }

    /// Whether a system's clock was right again after it had been ahead when something was written, and has caught up since: if nobody looked
    /// in between, it looks as if it had been read.
    pub(crate) fn has_caught_up(&self, side: Side, at: Ms) -> bool {
        self.was_ahead.iter().any(|(of, from, to)| *of == side && at >= *from && at <= *to && self.now > *to)
    }

    /// Whether a system answers as to somebody anonymous.
    pub(crate) fn is_anonymous(&self, side: Side) -> bool {
        self.lies(side).any(|lie| lie == Trouble::Anonymous)
    }

    /// The right to read that is missing.
    pub(crate) fn blind(&self, side: Side) -> impl Iterator<Item = (Option<u8>, bool)> {
        self.lies(side).filter_map(|lie| match lie {
            Trouble::Blind { scope, creates } => Some((scope, creates)),
            _ => None,
        })
    }

    /// The trouble that hits a system now.
    pub(crate) fn lies(&self, side: Side) -> impl Iterator<Item = Trouble> {
        let (part, now) = (Part::of(side), self.now);
        self.troubles
            .iter()
            .filter(move |window| window.part == part && window.until > now)
            .map(|window| window.trouble)
    }

    pub(crate) fn plan(&mut self, at: Ms, event: Event) {
        self.sequence += 1;
        self.agenda.insert((at.max(self.now), self.sequence), event);
    }

    /// The next event that is due until `limit`; time moves to it.
    pub(crate) fn next_event(&mut self, limit: Ms) -> Option<Event> {
        let key = *self.agenda.first_key_value()?.0;
        if key.0 > limit {
            return None;
        }
        if key.0 - self.now > HOUR {
            self.seen.count("processes", "stop for hours");
        }
        self.set_time(key.0);
        self.agenda.remove(&key)
    }

    pub(crate) fn set_time(&mut self, now: Ms) {
        if now > self.now {
            let before = std::mem::replace(&mut self.now, now);
            let over = self.wrong_clocks.iter().copied();
            let over: Vec<WrongClock> =
                over.filter(|wrong| (before + 1..=now).contains(&wrong.until)).collect();
            over.into_iter().for_each(|wrong| self.was_behind(wrong));
            self.set_clocks();
        }
    }

    pub(crate) fn traits(&self, side: Side) -> &crate::history::Traits {
        self.setting.traits(side)
    }

    /// Dice for the next call of the current run: they depend on nothing that other runs do.
    pub(crate) fn call_dice(&mut self) -> Dice {
        let seed = self.setting.seed;
        match self.current {
            Some(run) => {
                let run = &mut self.runs[run];
                run.calls += 1;
                Dice::of(&[seed, run.salt, run.calls])
            }
            None => Dice::of(&[seed, self.now.unsigned_abs()]),
        }
    }

    /// Folds something that happened into the trace.
    pub(crate) fn note(&mut self, what: &str, text: impl FnOnce() -> String) {
        self.trace = (self.trace ^ hash(what.as_bytes()) ^ self.now.unsigned_abs())
            .wrapping_mul(0x0100_0000_01b3)
            .rotate_left(5);
        if let Some(log) = &mut self.log {
            let by = self.current.map(|run| self.runs[run].label.clone());
            let seconds = self.now.div_euclid(1000);
            let time = format!(
                "{:02}:{:02}:{:02}.{:03}",
                seconds / 3600,
                seconds / 60 % 60,
                seconds % 60,
                self.now % 1000
            );
            let by = by.map(|by| format!(" [{by}]")).unwrap_or_default();
            let _ = writeln!(log, "{time}{by} {what} {}", text());
        }
    }

    /// Something that must never happen, happened.
    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note("VIOLATION", || what.clone());
        if self.violation.is_none() {
            self.violation = Some(what);
        }
    }

    /// The current run is not one that may write.
    pub(crate) fn check_dry(&mut self, what: &str) {
        if self.current.is_some_and(|run| self.runs[run].dry) {
            self.violate(format!("a dry run writes: {what}"));
        }
    }
}

/// The world, shared by the engine and the ports.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until that moment of virtual time.
    pub(crate) fn until(&self, at: Ms) -> Until<'_> {
        Until { world: self, at, planned: false }
    }

    /// Sends something that arrives at `at`, whatever becomes of the sender. The answer can be picked up from the slot.
    pub(crate) fn send<T: Send + 'static>(
        &self,
        at: Ms,
        effect: impl FnOnce(&mut World) -> T + Send + 'static,
    ) -> Arc<Mutex<Option<T>>> {
        let slot = Arc::new(Mutex::new(None));
        let answer = slot.clone();
        let mut world = self.lock();
        let sender = world.current;
        world.plan(
            at,
            Event::Arrives(Box::new(move |world| {
                let before = std::mem::replace(&mut world.current, sender);
                let value = effect(world);
                world.current = before;
                *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            })),
        );
        slot
    }
}

/// A wait for a moment of virtual time. Every await of a model is one: here a process can die.
pub(crate) struct Until<'a> {
    world: &'a Shared,
    at: Ms,
    planned: bool,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = self.world;
        let mut world = shared.lock();
        if world.now >= self.at && self.planned {
            return Poll::Ready(());
        }
        if !self.planned {
            self.planned = true;
            if let Some(run) = world.current {
                let at = self.at;
                world.plan(at, Event::Wake(run, context.waker().clone()));
                let instance = world.runs[run].instance;
                if let Some(awaits) = &mut world.doomed[instance] {
                    *awaits = awaits.saturating_sub(1);
                }
            }
        }
        Poll::Pending
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned())
}
