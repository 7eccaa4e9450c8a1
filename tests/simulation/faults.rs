//! What trouble does to a call.

use crate::history::{Ms, Part, Trouble};
use crate::world::World;
use casebridge::cases::ApiErrorKind;
use casebridge_testkit::dice::Dice;

/// Trouble that hits a part for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) part: Part,
    pub(crate) trouble: Trouble,
    pub(crate) until: Ms,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answered,
    /// It fails with this, and had no effect.
    Failed(ApiErrorKind),
    /// A write has its effect, but the caller gets this.
    Lost(ApiErrorKind),
    /// A write has its effect this long after it was sent; the caller has given up by then.
    Late(Ms),
}

/// When the steps of a call happen, in milliseconds after each other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Course {
    pub(crate) fate: Fate,
    /// Until it is sent.
    pub(crate) sending: Ms,
    /// From then until it has its effect.
    pub(crate) travelling: Ms,
    /// From then until the caller has the answer.
    pub(crate) answering: Ms,
}

/// How long a client waits for an answer.
pub(crate) const TIMEOUT: Ms = 30_000;

/// The course of the next call of the current run to `part`.
pub(crate) fn course(world: &mut World, part: Part, dice: &mut Dice) -> Course {
    let now = world.now;
    world.troubles.retain(|window| window.until > now);
    let troubles: Vec<Trouble> =
        world.troubles.iter().filter(|window| window.part == part).map(|window| window.trouble).collect();
    let local = matches!(part, Part::Store | Part::Queue);
    let delay = |dice: &mut Dice| match (local, dice.below(100)) {
        (true, _) => dice.range(1, 8),
        (false, 0..70) => dice.range(5, 120),
        (false, 70..95) => dice.range(100, 1_500),
        (false, _) => dice.range(1_000, 9_000),
    };
    let mut course =
        Course { fate: Fate::Answered, sending: 0, travelling: delay(dice), answering: delay(dice) };
    if dice.percent(20) {
        course.sending = dice.range(0, 50);
    }
    for trouble in troubles {
        hit(&mut course, trouble, world, part, dice);
    }
    count(world, part, course.fate);
    course
}

fn hit(course: &mut Course, trouble: Trouble, world: &mut World, part: Part, dice: &mut Dice) {
    use ApiErrorKind::{NotApplied, Unauthorized, Uncertain, Unreadable};
    if course.fate != Fate::Answered {
        return;
    }
    match trouble {
        Trouble::Down => course.fate = Fate::Failed(NotApplied),
        Trouble::Unanswered(percent) => {
            if dice.percent(percent) {
                course.fate = if dice.percent(50) { Fate::Failed(Uncertain) } else { Fate::Lost(Uncertain) };
            }
        }
        Trouble::Late(percent) => {
            let traits = match part {
                Part::GoogleApi => world.setting.google,
                Part::CompanyApi => world.setting.company,
                Part::Store | Part::Queue => return,
            };
            // The contract: a write is seen in a list no later than `settles` after it was sent. Until then it may have had
            // to wait for its turn.
            let latest = (traits.settles - traits.stale - 2) * 1000;
            if dice.percent(percent) && latest > 1_000 {
                course.fate = Fate::Late(dice.range(1_000, latest));
                course.sending += dice.range(0, 40_000);
            }
        }
        Trouble::RateLimited(percent) => {
            if dice.percent(percent) {
                world.seen.count("calls", "429");
                course.answering += dice.range(1_000, 10_000);
                course.fate = Fate::Failed(NotApplied);
            }
        }
        Trouble::Slow => {
            world.seen.count("calls", "slow");
            course.travelling += dice.range(1_000, 20_000);
            course.answering += dice.range(1_000, 20_000);
        }
        Trouble::Unreadable(percent) => {
            if dice.percent(percent) {
                course.fate = Fate::Lost(Unreadable);
            }
        }
        Trouble::Unauthorized => course.fate = Fate::Failed(Unauthorized),
        // What a call is answered with is decided when it arrives.
        Trouble::BrokenDownloads(_) | Trouble::Anonymous | Trouble::Blind { .. } | Trouble::Unmarked => {}
    }
}

fn count(world: &mut World, part: Part, fate: Fate) {
    let what = match (fate, part) {
        (Fate::Answered, _) => "answered",
        (Fate::Failed(_) | Fate::Lost(_), Part::Store) => "store down",
        (Fate::Failed(_) | Fate::Lost(_), Part::Queue) => "queue down",
        (Fate::Failed(ApiErrorKind::Uncertain), _) => "unanswered, not done",
        (Fate::Failed(ApiErrorKind::Unauthorized), _) => "unauthorized",
        (Fate::Failed(_), _) => "not sent",
        (Fate::Lost(ApiErrorKind::Unreadable), _) => "unreadable",
        (Fate::Lost(_), _) => "unanswered, done",
        (Fate::Late(_), _) => "late",
    };
    world.seen.count("calls", what);
}

/// Whether the next download breaks off.
pub(crate) fn breaks_off(world: &mut World, part: Part, dice: &mut Dice) -> bool {
    let breaks = world.troubles.iter().any(|window| {
        window.part == part
            && window.until > world.now
            && matches!(window.trouble, Trouble::BrokenDownloads(percent) if dice.percent(percent))
    });
    if breaks {
        world.seen.count("calls", "download broken off");
    }
    breaks
}
