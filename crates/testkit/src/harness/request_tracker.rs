//! Properties of Request Tracker. The code that runs it is in `tests/request_tracker`: it is the real one, and must be installed.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use casebridge::cases::{CaseSystem as _, LinkDetail};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::request_tracker::{NAME, RequestTracker, RequestTrackerSettings};
use casebridge::outbound::NoCredentials;
use chrono::{DateTime, Duration, Utc};

use super::crm::{Description, Turns};
use super::upstream;

/// Returns the properties, from an adapter that makes no calls.
pub fn description() -> Description {
    let clock: SharedClock = ManualClock::at(DateTime::<Utc>::UNIX_EPOCH);
    let nobody = Arc::new(NoCredentials);
    let upstream =
        upstream(NAME, ([127, 0, 0, 1], 9).into(), Vec::new(), StdDuration::from_secs(10), &clock, nobody);
    let words = PriorityWords::new(["100", "75", "50", "25", "0"].map(str::to_owned)).unwrap();
    let adapter = RequestTracker::new(RequestTrackerSettings::default(), words, upstream);
    Description {
        name: NAME,
        capabilities: adapter.capabilities().clone(),
        same_priority: |one, other| one == other,
        // For a name that is not a line of text, its REST API returns an unusual error.
        takes_file_name: |name| !name.contains(char::is_control) && !name.trim().is_empty(),
        patience: Duration::zero(),
        // The real Request Tracker runs with the machine's clock.
        clock_in_hand: false,
        faults: false,
        setups: false,
        hiding: false,
        sealed_takes_comments: true,
        deleting_comments: false,
        deleting_files: false,
        remote_link: Some(LinkDetail::Address),
        labels: false,
        marks: false,
        // Statuses of the lifecycle that every queue has at first.
        turns: Turns {
            first: "new",
            google: "open",
            ours: "stalled",
            nowhere: "with vendor",
            closed: "resolved",
        },
    }
}
