//! Options that have no effect with the configured CRM, or beside another option: the check warns of each.

use super::TaskSettings;
use super::check::system_name;
use crate::cases::{CaseSystem, Check, Closing, ClosingSet, Trouble};
use crate::sync::{CommentsToGoogle, Destination, EditedComments};

/// Returns a warning for each option of the settings that changes nothing in this CRM, or that another option switches off.
#[must_use]
pub fn check_effects(company: &dyn CaseSystem, settings: &TaskSettings) -> Vec<Check> {
    let (name, rules) = (system_name(company), &settings.rules);
    let (placing, switches) = (&settings.placing, rules.switches);
    let mut checks = Vec::new();
    let mut warn = |key: &str, why: &str, hint: &str| {
        let trouble = Trouble::warning(format!("has no effect: {why}"), hint);
        checks.push(Check::new(format!("option {key}"), Err(trouble)));
    };
    if rules.edits == EditedComments::Note {
        if !company.capabilities().comments_change {
            let why = format!("nobody edits a comment in {name}, as far as it tells");
            warn("sync.edits", &why, "remove sync.edits = \"note\"");
        } else if !switches.comments {
            warn("sync.edits", "sync.comments is false", "remove one of the two");
        }
    }
    if rules.comments_to_google != CommentsToGoogle::Public && !switches.comments {
        warn("sync.comments_to_google", "sync.comments is false", "remove one of the two");
    }
    if rules.close_on != ClosingSet::default() && !switches.status {
        warn("status.close_on", "sync.status is false", "remove one of the two");
    } else {
        let never = |closing: &Closing| rules.close_on.contains(*closing) && !company.closes_as(*closing);
        for closing in Closing::ALL.into_iter().filter(never) {
            let closing = closing.name();
            let why = format!("{name} has no case that is {closing}");
            warn("status.close_on", &why, &format!("remove {closing:?} from status.close_on"));
        }
    }
    if !switches.creation {
        let sets = |destination: &Destination| match destination {
            Destination::Mirror(placement) => !placement.keys().is_empty(),
            Destination::LeaveOut => false,
        };
        let of_google = settings.routes.google_routes().iter().filter(|(_, route)| sets(&route.destination));
        let numbers = of_google.map(|(number, _)| *number);
        let mut numbers: Vec<usize> =
            numbers.chain(settings.routes.company_routes().iter().map(|(number, _)| *number)).collect();
        numbers.sort_unstable();
        for number in numbers {
            let why = "sync.creation is false, and a route decides about cases that are created";
            warn(&format!("route {number}"), why, "remove the route, or sync.creation = false");
        }
        let fields = [
            ("google.parent_field", &placing.parent_field),
            ("google.classification_field", &placing.classification_field),
        ];
        for (key, _) in fields.into_iter().filter(|(_, field)| field.is_some()) {
            warn(key, "sync.creation is false, and the field is read when a case is created", "remove it");
        }
    }
    if placing.subscribers_from.is_empty() && !placing.subscriber_domains.is_empty() {
        let hint = "name the people in google.subscribers_from, or remove it";
        warn("google.subscriber_domains", "google.subscribers_from names nobody", hint);
    }
    checks
}
