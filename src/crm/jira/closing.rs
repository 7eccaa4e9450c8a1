//! Derives the way in which an issue was closed from the names of resolutions, statuses and transitions (`R32`: closed is not solved). Jira
//! has no field for it.
//!
//! The names are free, and translated. The words below are the English ones that Jira, its templates and Service Management start with; the
//! connector's user should have English as its language. Other names are configured.

use super::settings::JiraSettings;
use crate::cases::Closing;

/// Prefixes of words that mean that the work was not done.
const CANCELLED: [&str; 9] =
    ["cancel", "reject", "declin", "withdr", "abandon", "dismiss", "discard", "invalid", "obsolete"];
/// Phrases with the same meaning. `won’t do` is written with either apostrophe.
const NOT_TO_BE_DONE: [&str; 6] = ["won't", "wont", "will not", "not planned", "not a bug", "not an issue"];
/// Prefix of words that mean that another case has the work.
const DUPLICATE: &str = "duplicat";
/// Words in resolutions, statuses and transitions that mean that the work was done.
const SOLVED: [&str; 13] = [
    "done",
    "fix",
    "fixed",
    "resolve",
    "resolved",
    "solve",
    "solved",
    "complete",
    "completed",
    "finish",
    "finished",
    "implemented",
    "delivered",
];
/// Words that reverse the meaning of such a word.
const NEGATIONS: [&str; 6] = ["not", "no", "never", "cannot", "can't", "partially"];

/// Derives `Solved`, `Cancelled` or `Duplicate` from a name; `None` if the name does not tell.
pub(super) fn says(name: &str, settings: &JiraSettings) -> Option<Closing> {
    let name = name.trim().to_lowercase().replace('\u{2019}', "'");
    let configured = |names: &[String]| names.iter().any(|known| known.trim().to_lowercase() == name);
    if configured(&settings.duplicate_names) {
        return Some(Closing::Duplicate);
    }
    if configured(&settings.cancelled_names) {
        return Some(Closing::Cancelled);
    }
    if configured(&settings.solved_names) {
        return Some(Closing::Solved);
    }
    let words: Vec<&str> =
        name.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|word| !word.is_empty()).collect();
    let begins = |beginning: &str| words.iter().any(|word| word.starts_with(beginning));
    let has = |wanted: &str| words.contains(&wanted);
    let phrase = |phrase: &str| words.join(" ").contains(phrase);
    if begins(DUPLICATE) {
        Some(Closing::Duplicate)
    } else if CANCELLED.into_iter().any(begins) || NOT_TO_BE_DONE.into_iter().any(phrase) {
        Some(Closing::Cancelled)
    } else if SOLVED.into_iter().any(has) && !NEGATIONS.into_iter().any(has) {
        Some(Closing::Solved)
    } else {
        None
    }
}

/// Derives the way of closing from the resolution and the status of a closed issue. Either may show that it was not solved: a team-managed
/// project sets the resolution *Done* in every status of the category "done", even *Cancelled*.
pub(super) fn of(resolution: Option<&str>, status: Option<&str>, settings: &JiraSettings) -> Closing {
    let said: Vec<Closing> =
        [resolution, status].into_iter().flatten().filter_map(|name| says(name, settings)).collect();
    [Closing::Duplicate, Closing::Cancelled, Closing::Solved]
        .into_iter()
        .find(|closing| said.contains(closing))
        .unwrap_or(Closing::Closed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_how_a_case_was_closed() {
        let settings = JiraSettings {
            solved_names: vec!["Erledigt".to_owned()],
            cancelled_names: vec![" abgelehnt ".to_owned(), "Done elsewhere".to_owned()],
            duplicate_names: vec!["Duplikat".to_owned()],
            ..JiraSettings::default()
        };
        for (name, expected) in [
            ("Done", Some(Closing::Solved)),
            ("Fixed", Some(Closing::Solved)),
            ("Resolve this issue", Some(Closing::Solved)),
            ("RESOLVED", Some(Closing::Solved)),
            ("Fixed / Completed", Some(Closing::Solved)),
            ("Won't Do", Some(Closing::Cancelled)),
            ("Won\u{2019}t Fix", Some(Closing::Cancelled)),
            ("Will not be fixed", Some(Closing::Cancelled)),
            ("Cancel request", Some(Closing::Cancelled)),
            ("Canceled", Some(Closing::Cancelled)),
            ("Cancelled - done", Some(Closing::Cancelled)),
            ("Declined", Some(Closing::Cancelled)),
            ("Rejected", Some(Closing::Cancelled)),
            ("Withdrawn", Some(Closing::Cancelled)),
            ("Closed as duplicate", Some(Closing::Duplicate)),
            ("Duplicates another", Some(Closing::Duplicate)),
            ("Closed", None),
            ("Close Issue", None),
            ("Cannot Reproduce", None),
            ("Incomplete", None),
            ("Not fixed", None),
            ("Partially done", None),
            ("Unresolved", None),
            ("Abandonned", Some(Closing::Cancelled)),
            ("Known Error", None),
            ("", None),
            ("erledigt", Some(Closing::Solved)),
            ("Abgelehnt", Some(Closing::Cancelled)),
            ("done elsewhere", Some(Closing::Cancelled)),
            ("Duplikat", Some(Closing::Duplicate)),
            ("Erledigt von anderen", None),
        ] {
            assert_eq!(says(name, &settings), expected, "{name:?}");
        }
    }

    #[test]
    fn resolution_and_status_together_say_it() {
        let settings = JiraSettings::default();
        for (resolution, status, expected) in [
            (Some("Done"), Some("Done"), Closing::Solved),
            (Some("Fixed"), Some("Closed"), Closing::Solved),
            (None, Some("Resolved"), Closing::Solved),
            (Some("Done"), Some("Cancelled"), Closing::Cancelled),
            (Some("Won't Do"), Some("Done"), Closing::Cancelled),
            (Some("Duplicate"), Some("Cancelled"), Closing::Duplicate),
            (Some("Cannot Reproduce"), Some("Closed"), Closing::Closed),
            (None, Some("Closed"), Closing::Closed),
            (None, None, Closing::Closed),
        ] {
            assert_eq!(of(resolution, status, &settings), expected, "{resolution:?} {status:?}");
        }
    }
}
