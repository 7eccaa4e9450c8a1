//! What goes wrong in both systems: lost answers, refusals, latency, cut bodies, late searches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use casebridge::sandbox::faults::{Effect, Fault, Faults};

use crate::pause;
use casebridge_testkit::dice::Dice;
use casebridge_testkit::service::Systems;

/// How many faults a system has at once.
const AT_ONCE: usize = 3;

/// Causes trouble until it is to be calm, and then clears all of it away.
pub(crate) async fn cause(systems: Arc<Systems>, seed: u64, calm: Arc<AtomicBool>) {
    let mut dice = Dice::of(&[seed, 3]);
    let (google, company) = (systems.csapi.faults(), systems.jira.faults().clone());
    while !calm.load(Ordering::Relaxed) {
        let faults = if dice.percent(50) { &google } else { &company };
        make_room(faults);
        faults.add(fault(&mut dice));
        if dice.percent(20) {
            faults.set_search_lag(chrono::Duration::milliseconds(dice.range(0, 5_000)));
        }
        pause(dice.range(200, 900)).await;
    }
    google.clear();
    company.clear();
}

fn make_room(faults: &Faults) {
    let active = faults.list();
    for old in active.iter().take((active.len() + 1).saturating_sub(AT_ONCE)) {
        faults.remove(old.id);
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let effect = match dice.below(12) {
        0 | 1 => Effect::HangUpAfter,
        2 => Effect::ErrorAfter { status: dice.pick(&[500, 502, 504]) },
        3 => Effect::HangUpBefore,
        4 => Effect::ErrorBefore { status: dice.pick(&[500, 502, 503]), body: None },
        5 => Effect::RateLimited { retry_after: dice.pick(&["0", "1", "3"]).to_owned() },
        // Beyond the timeout of 2 seconds: an answer that comes too late is lost.
        6 => Effect::LatencyAfter { ms: 2_500 },
        7 => Effect::TruncateBody { bytes: dice.index(200) },
        8 => Effect::ShortenBody { bytes: dice.index(200) },
        _ => Effect::Latency { ms: 20 + dice.below(300) },
    };
    let fault = match dice.below(4) {
        0 => Fault::always(effect),
        1 => Fault::always(effect).on("GET", ""),
        _ => Fault::always(effect).on("POST", ""),
    };
    // Latency lasts; whatever else goes wrong, most calls go well.
    match fault.effect {
        Effect::Latency { .. } => fault,
        Effect::LatencyAfter { .. }
        | Effect::ErrorBefore { .. }
        | Effect::Redirect { .. }
        | Effect::ErrorAfter { .. }
        | Effect::RateLimited { .. }
        | Effect::HangUpBefore
        | Effect::HangUpAfter
        | Effect::TruncateBody { .. }
        | Effect::ShortenBody { .. } => {
            let times = 1 + u32::try_from(dice.below(4)).unwrap_or(0);
            fault.after(u32::try_from(dice.below(6)).unwrap_or(0)).times(times)
        }
    }
}
