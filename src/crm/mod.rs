//! The company's side: one folder for each kind of CRM, each with a [`CaseSystem`].
//!
//! This file holds the code that all kinds share: their names in the configuration and their words for priorities. `content` holds helpers
//! for titles and media types.

mod content;
mod details;
mod expiry;
pub mod html;
pub mod jira;
mod reference;
pub mod registration;
pub mod request_tracker;
pub mod servicenow;
mod webhook;
pub mod zendesk;

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use reqwest::Url;
use serde::de::DeserializeOwned;

use self::jira::JiraSettings;
use self::registration::{Registration, WebhookTarget};
use self::request_tracker::RequestTrackerSettings;
use self::servicenow::ServiceNowSettings;
pub use self::webhook::{Message, WebhookSecret};
use self::zendesk::ZendeskSettings;
use crate::cases::{CaseSystem, Hint, LinkDetail, Placement, Refusal, shorten};
use crate::clock::SharedClock;
use crate::entities::{Priority, PriorityReading};
use crate::outbound::{Credentials, Dialect, Upstream};
use crate::spelling::nearest;

/// A kind of CRM as the service sees it. Implemented by the kind's own section of the configuration, `[company.{kind}]`.
pub trait CrmKind: Any + fmt::Debug + Send + Sync {
    /// Name of the product, for texts.
    fn name(&self) -> &'static str;

    /// Mistakes in the section, each with its key.
    fn problems(&self) -> Vec<String>;

    /// Mistakes in names that leave the connection usable: `check` looks up in the system which ones were meant.
    fn lookup_problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// Words of `[priorities]` that the kind cannot use, as far as that is known without a call to the system (`R18`: priority). One
    /// problem if the section is missing.
    fn priority_problems(&self, words: &PriorityWords) -> Vec<String> {
        let problems: Vec<String> =
            Priority::ALL.into_iter().filter_map(|priority| self.priority_problem(words, priority)).collect();
        if !problems.is_empty() && words.are_default() {
            return vec![format!("{DEFAULT_WORDS}; {}", self.own_priorities())];
        }
        problems
    }

    /// Keys that `set` of a route may have in this kind.
    fn placement_keys(&self) -> &'static [&'static str];

    /// Mistakes in the values of a route, as far as they show without a call to the system. Each begins with its key in `set`.
    fn placement_mistakes(&self, placement: &Placement) -> Vec<String>;

    /// Keys that `match` of a route for company cases may have in this kind.
    fn match_keys(&self) -> &'static [&'static str];

    /// Mistake in the name of a field that routes or `[google]` read, as far as it shows without a call to the system.
    fn field_mistake(&self, _name: &str) -> Option<String> {
        None
    }

    /// Parts that a link to a Google case shows on a case of this kind; otherwise the reason why there is no place for one.
    fn remote_link(&self) -> Result<LinkDetail, String>;

    /// True if a comment can carry a mark that programs read.
    fn marks_comments(&self) -> bool {
        false
    }

    /// Problem with the word for one level.
    fn priority_problem(&self, _words: &PriorityWords, _priority: Priority) -> Option<String> {
        None
    }

    /// True if a status of that name certainly means that a case is closed, as far as that is known without a call to the system.
    fn means_closed(&self, _status: &str) -> bool {
        false
    }

    /// The system's own priorities, as advice for `[priorities]`.
    fn own_priorities(&self) -> &'static str;

    /// Paths of the system's API, which do not belong in `company.base_url`.
    fn api_paths(&self) -> &'static [&'static str];

    /// End of the credentials as configured: a date or a time.
    fn token_expires(&self) -> Option<&str>;

    /// Secret that the connector's user authenticates with: the key in the section, and its reference. `None` if there is none, as for a
    /// sandbox.
    fn secret(&self) -> Option<(&'static str, &str)>;

    /// Makes credentials from the secret of [`secret`](Self::secret). Fails if they are not valid in a header.
    /// `site` is `company.base_url`.
    fn credentials(&self, secret: &str, site: &Url) -> Result<Arc<dyn Credentials>, String>;

    /// Hosts besides the CRM's own that attachments are downloaded from.
    fn allowed_download_hosts(&self) -> Vec<String> {
        Vec::new()
    }

    /// Peculiarities of the system's answers.
    fn dialect(&self) -> Dialect {
        Dialect::default()
    }

    /// Verifies a message of the system's webhook, and returns the cases that it names, each with the user who caused the event. The
    /// default reads the connector's own format, which scripts send.
    fn read_webhook(&self, message: &Message<'_>) -> Result<Vec<Hint>, Refusal> {
        message.own_format()
    }

    /// True if the system is told the secret that its webhook signs with; otherwise it makes its own.
    fn is_told_secret(&self) -> bool {
        true
    }

    /// Returns the way in which the system gets its webhook. Makes no call yet.
    fn registration(&self, target: WebhookTarget, upstream: Upstream, clock: SharedClock) -> Registration;

    /// Creates the client of the system. Makes no call yet.
    fn connect(
        &self,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Arc<dyn CaseSystem>;
}

/// Ends of the names of keys that hold a secret.
const SECRETS: [&str; 4] = ["token", "password", "api_key", "secret"];

/// Returns the remedy for credentials that are not accepted: `otherwise`, unless none are configured.
fn sign_in(settings: &impl CrmKind, keys: &str, otherwise: String) -> String {
    if settings.secret().is_some() {
        return otherwise;
    }
    format!("no credentials are configured: give {keys}")
}

/// Problem of a `[priorities]` that has the default words. It may be missing, so the words are not shown as if they were written.
const DEFAULT_WORDS: &str = "[priorities] is missing, or has Jira's words, which are the default";

/// Key of the CRM's address.
const SITE: &str = "company.base_url";

/// True for a text that is nothing but digits: the ID of a thing that also has a name.
fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the mistake of a route that sets a field which the connector writes itself.
fn own_field(name: &str) -> String {
    format!("fields.{name} is set by the connector itself: leave it out")
}

/// Returns a mistake for each label of a route with a space in it, which `why` explains.
fn spaced_labels(placement: &Placement, why: &str) -> impl Iterator<Item = String> {
    let spaced = placement.labels.iter().filter(|label| label.contains(char::is_whitespace));
    spaced.map(move |label| format!("labels: {label:?} holds a space, {why}"))
}

/// Returns the first of these keys that has a value.
fn first_given<'a, const N: usize>(
    keys: [(&'static str, &'a Option<String>); N],
) -> Option<(&'static str, &'a str)> {
    keys.into_iter().find_map(|(key, value)| Some((key, value.as_deref()?)))
}

type Parse = fn(toml::Table) -> Result<Arc<dyn CrmKind>, toml::de::Error>;

/// All kinds of CRM. A new kind is its folder and a line here.
const TABLE: [(&str, Parse); 4] = [
    ("jira", section::<JiraSettings>),
    ("zendesk", section::<ZendeskSettings>),
    ("servicenow", section::<ServiceNowSettings>),
    ("request-tracker", section::<RequestTrackerSettings>),
];

fn section<K: CrmKind + DeserializeOwned + 'static>(
    table: toml::Table,
) -> Result<Arc<dyn CrmKind>, toml::de::Error> {
    Ok(Arc::new(K::deserialize(table)?))
}

/// Settings of the configured CRM: `company.kind` with the section of that kind.
#[derive(Debug, Clone)]
pub struct CrmSettings {
    kind: &'static str,
    section: Arc<dyn CrmKind>,
}

impl Deref for CrmSettings {
    type Target = dyn CrmKind;

    fn deref(&self) -> &Self::Target {
        self.section.as_ref()
    }
}

impl CrmSettings {
    /// Names of all kinds, as in `company.kind`.
    pub const KINDS: [&'static str; TABLE.len()] = {
        let mut names = [""; TABLE.len()];
        let mut index = 0;
        while index < TABLE.len() {
            names[index] = TABLE[index].0;
            index += 1;
        }
        names
    };

    /// Reads the section of a kind. The errors name each wrong key, as far as it is known. Those of
    /// [`lookup_problems`](CrmKind::lookup_problems) alone do not make it fail.
    pub fn read(kind: &str, section: toml::Table) -> Result<Self, Vec<String>> {
        // The parser's message would quote a number that was meant to be a secret.
        let untold: Vec<String> = section
            .iter()
            .filter(|(key, value)| SECRETS.iter().any(|secret| key.contains(secret)) && !value.is_str())
            .map(|(key, _)| format!("company.{kind}.{key}: expected a text that names a secret"))
            .collect();
        if !untold.is_empty() {
            return Err(untold);
        }
        // Each key by itself: the parser stops at the first error.
        let mut errors = Vec::new();
        let mut sound = toml::Table::new();
        let mut unsound = Vec::new();
        for (key, value) in section {
            match Self::parse(kind, toml::Table::from_iter([(key.clone(), value.clone())])) {
                Ok(_) => {
                    sound.insert(key, value);
                }
                Err(error) if error.contains(&format!("unknown field `{key}`")) => {
                    errors.push(Self::no_such_key(kind, &key));
                }
                Err(error) if error.contains(&format!("`{key}`")) => errors.push(error),
                Err(error) => {
                    errors.push(format!("{error}, in company.{kind}.{key}"));
                    unsound.push(key);
                }
            }
        }
        let settings = Self::parse(kind, sound).map_err(|error| vec![error])?;
        // A key whose value is unreadable is not missing.
        let is_other = |problem: &String| !unsound.iter().any(|key| problem.contains(key.as_str()));
        errors.extend(settings.problems().into_iter().filter(is_other));
        if settings.token_expires().is_some_and(|text| expiry::read(text).is_none()) {
            errors.push(format!("company.{kind}.token_expires: expected a date like \"2027-03-01\""));
        }
        if errors.is_empty() {
            return Ok(settings);
        }
        errors.extend(settings.lookup_problems().into_iter().filter(is_other));
        Err(errors)
    }

    /// Returns the whole key of the secret, such as `company.jira.api_token`, and its reference. `None` if there is none.
    #[must_use]
    pub fn secret_key(&self) -> Option<(String, &str)> {
        self.secret().map(|(key, reference)| (format!("company.{}.{key}", self.kind), reference))
    }

    /// Mistakes in `set` of a route: keys that this CRM does not have, and values that cannot be right. Each begins with its key, `.KEY`.
    #[must_use]
    pub fn placement_problems(&self, placement: &Placement) -> Vec<String> {
        let has = self.placement_keys();
        let lacking = placement.keys().into_iter().filter(|key| !has.contains(key));
        let lacking: Vec<String> = lacking
            .map(|key| format!(".{key}: {} has nothing of that kind; it has {}", self.name(), has.join(", ")))
            .collect();
        let mistakes = self.placement_mistakes(placement).into_iter().map(|mistake| format!(".{mistake}"));
        lacking.into_iter().chain(mistakes).collect()
    }

    /// Mistakes in `match` of a route for company cases: keys that this CRM does not have, and fields that cannot be right. Each begins with
    /// its key, `.KEY`.
    #[must_use]
    pub fn match_problems<'a>(&self, keys: &[&str], fields: impl Iterator<Item = &'a str>) -> Vec<String> {
        let has = self.match_keys();
        let lacking = keys.iter().filter(|key| !has.contains(*key));
        let lacking = lacking.map(|key| {
            format!(".{key}: {} has nothing of that kind; it has {}", self.name(), has.join(", "))
        });
        let mistakes = fields.filter_map(|name| Some(format!(".field: {}", self.field_mistake(name)?)));
        lacking.chain(mistakes).collect()
    }

    /// True if the section of a kind accepts these keys with values of these types.
    #[must_use]
    pub fn takes(kind: &str, section: toml::Table) -> bool {
        Self::parse(kind, section).is_ok()
    }

    /// Returns the error for a section without credentials, beside other keys that are missing: all are told at once. `None` if the section
    /// has credentials.
    #[must_use]
    pub fn without_credentials(kind: &str, section: &toml::Table) -> Option<String> {
        let is_secret = |key: &&String| SECRETS.iter().any(|secret| key.ends_with(secret));
        if section.keys().any(|key| is_secret(&key)) {
            return None;
        }
        let all = Self::keys(kind);
        let whole = |key: &String| format!("company.{kind}.{key}");
        match all.iter().filter(is_secret).map(whole).collect::<Vec<_>>().as_slice() {
            [] => None,
            [one] => {
                Some(format!("{one} is missing: the place of the secret that the connector signs in with"))
            }
            several => Some(format!(
                "company.{kind} has no credentials: give {}, with what belongs to it (docs/crm-{kind}.md)",
                several.join(" or ")
            )),
        }
    }

    /// Returns the error for a `company.base_url` with a path of the system's API, which the calls add themselves.
    #[must_use]
    pub fn address_problem(kind: &str, site: &Url) -> Option<String> {
        let (settings, path) = (Self::parse(kind, toml::Table::new()).ok()?, site.path().to_lowercase());
        let begins = |api: &&str| {
            let at = path.find(&api.to_lowercase())?;
            let rest = &path[at + api.len()..];
            (rest.is_empty() || rest.starts_with('/')).then_some(at)
        };
        let at = settings.api_paths().iter().find_map(begins)?;
        // Lower case changes no length in the path of an address, which is ASCII.
        let part = site.path()[at..].trim_end_matches('/');
        Some(format!("{SITE} is {}: remove {part}, which the connector adds itself", shorten(site.as_str())))
    }

    /// Returns the error for a key that the section of a kind does not have: with the key that was meant, else with all.
    fn no_such_key(kind: &str, key: &str) -> String {
        let keys = Self::keys(kind);
        let advice = match nearest(key, keys.iter().map(String::as_str)) {
            Some(near) => format!("did you mean company.{kind}.{near}?"),
            None => format!("the section has {}", keys.join(", ")),
        };
        format!("company.{kind}.{}: there is no such key; {advice}", shorten(key))
    }

    /// Returns the error for a `company.kind` that is none: with the kind that was meant, if one is near.
    #[must_use]
    pub fn no_such_kind(kind: &str) -> String {
        let near = nearest(&kind.to_lowercase(), Self::KINDS.into_iter());
        let same = Self::KINDS.into_iter().find(|known| kind.eq_ignore_ascii_case(known));
        let near = same.or(near).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        format!("company.kind: expected {}{near}", Self::kinds())
    }

    /// Names of all kinds, as a text.
    #[must_use]
    pub fn kinds() -> String {
        match Self::KINDS.split_last() {
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
            None => String::new(),
        }
    }

    /// Names of the keys of a kind's section, as the parser lists them for a key that it does not know.
    pub fn keys(kind: &str) -> Vec<String> {
        let unknown = toml::Table::from_iter([("?".to_owned(), toml::Value::Boolean(true))]);
        let Some((_, parse)) = TABLE.iter().find(|(name, _)| *name == kind) else { return Vec::new() };
        let Err(error) = parse(unknown) else { return Vec::new() };
        error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
    }

    fn parse(kind: &str, section: toml::Table) -> Result<Self, String> {
        let Some((kind, parse)) = TABLE.iter().find(|(name, _)| *name == kind) else {
            return Err(Self::no_such_kind(kind));
        };
        // The parser's message repeats the unexpected text, however long that is.
        let section =
            parse(section).map_err(|error| format!("company.{kind}: {}", shorten(error.message())))?;
        Ok(Self { kind, section })
    }
}

/// The CRM's words for the five priority levels: the `[priorities]` section (`R18`: priority). In a CRM with fewer words than levels,
/// several levels share a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityWords([String; 5]);

impl PriorityWords {
    /// Jira's words.
    pub const DEFAULT: [&'static str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];

    /// True if all words are the default ones.
    #[must_use]
    pub fn are_default(&self) -> bool {
        self.0 == Self::DEFAULT
    }

    /// Returns the beginning of a problem with the word for a level. The default word is not shown as if it were written.
    fn problem(&self, priority: Priority) -> String {
        let word = self.word(priority);
        if word == Self::DEFAULT[usize::from(priority.level())] {
            format!("priorities.{priority} is missing, or has Jira's word, which is the default")
        } else {
            format!("priorities.{priority} is {word:?}")
        }
    }

    /// Takes the words for `P0` to `P4`, in this order. Fails if one is blank; the error names its key.
    pub fn new(words: [String; 5]) -> Result<Self, String> {
        let words = words.map(|word| word.trim().to_owned());
        for (priority, word) in Priority::ALL.iter().zip(&words) {
            if word.is_empty() {
                return Err(format!("priorities.{priority} is empty: name the CRM's word for it"));
            }
        }
        Ok(Self(words))
    }

    /// Returns the word for a level.
    #[must_use]
    pub fn word(&self, priority: Priority) -> &str {
        &self.0[usize::from(priority.level())]
    }

    /// Returns all levels that have this word, compared without case. `None` and blanks are unset.
    #[must_use]
    pub fn read(&self, word: Option<&str>) -> PriorityReading {
        let Some(word) = word.map(str::trim).filter(|word| !word.is_empty()) else {
            return PriorityReading::Unset;
        };
        let lower = word.to_lowercase();
        let levels: Vec<Priority> = Priority::ALL
            .into_iter()
            .filter(|priority| self.word(*priority).to_lowercase() == lower)
            .collect();
        if levels.is_empty() {
            PriorityReading::Unknown(word.to_owned())
        } else {
            PriorityReading::Known(levels.into_iter().collect())
        }
    }

    /// Returns the words that are not in `known`, compared without case, each with its level.
    #[must_use]
    pub fn missing_from(&self, known: &[&str]) -> Vec<(Priority, &str)> {
        let known: Vec<String> = known.iter().map(|word| word.trim().to_lowercase()).collect();
        Priority::ALL
            .into_iter()
            .map(|priority| (priority, self.word(priority)))
            .filter(|(_, word)| !known.contains(&word.to_lowercase()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: [&str; 5]) -> PriorityWords {
        PriorityWords::new(words.map(str::to_owned)).unwrap()
    }

    #[test]
    fn a_word_stands_for_every_level_that_has_it() {
        let four = words(["urgent", "high", "normal", "low", "Low"]);
        let low = PriorityReading::Known([Priority::P3, Priority::P4].into_iter().collect());
        for (word, expected) in [
            (Some("Urgent"), PriorityReading::exactly(Priority::P0)),
            (Some(" low "), low),
            (Some("blocker"), PriorityReading::Unknown("blocker".to_owned())),
            (Some(" "), PriorityReading::Unset),
            (None, PriorityReading::Unset),
        ] {
            assert_eq!(four.read(word), expected, "{word:?}");
        }
        assert_eq!(four.word(Priority::P3), "low");
        assert_eq!(
            four.missing_from(&["Urgent", "high", "LOW"]),
            [(Priority::P2, "normal")],
            "what the CRM lacks is named with its level"
        );
    }

    #[test]
    fn a_blank_word_is_refused_by_its_key() {
        let words = ["a", "b", " ", "d", "e"].map(str::to_owned);
        assert!(PriorityWords::new(words).unwrap_err().starts_with("priorities.P2"));
    }
}
