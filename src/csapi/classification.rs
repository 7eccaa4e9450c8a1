//! Classifications of cases, by ID or by words of their display names. They are listed once a day: an ID that leaves the listing is still
//! accepted for at least six months (discovery document, revision 20260927, `CaseClassification`).

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use tokio::sync::Mutex;

use super::{Csapi, wire};
use crate::cases::{ApiError, ApiErrorKind, PlacementError, shorten};

/// Lifetime of the cached listing.
const LISTING_AGE: Duration = Duration::days(1);
/// Number of candidates that a message lists.
const LISTED: usize = 10;
/// Shortest text that may be an ID without being listed. Google's have 50 and more characters, without a blank.
const SHORTEST_ID: usize = 20;

/// Classification of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// ID, for `google.classification_id`.
    pub id: String,
    /// Name for people: `Technical Issue > Compute > Compute Engine`.
    pub display_name: String,
}

/// Cached classifications.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    listed: Option<(DateTime<Utc>, Arc<Vec<Classification>>)>,
    /// IDs that a creation was refused for.
    refused: BTreeSet<String>,
}

impl Csapi {
    /// Lists the classifications whose names contain all of these words, compared without case.
    pub async fn classifications(&self, words: &[String]) -> Result<Vec<Classification>, ApiError> {
        let mut found = Vec::new();
        self.each("/v2/caseClassifications:search", &[], "caseClassifications", |value| {
            let Some((id, name)) = wire::classification(&value) else { return };
            if has_words(name, words.iter().map(String::as_str)) {
                found.push(Classification { id: id.to_owned(), display_name: name.to_owned() });
            }
        })
        .await?;
        Ok(found)
    }

    /// Looks up a classification by its ID or by words of its display name.
    pub(super) async fn find_classification(&self, text: &str) -> Result<Classification, PlacementError> {
        let mut state = self.known.0.lock().await;
        let now = self.upstream.now();
        // A listing from the future, after the clock was set back, does not count as fresh.
        let is_fresh = |read_at: DateTime<Utc>| (Duration::zero()..LISTING_AGE).contains(&(now - read_at));
        let listed = match &state.listed {
            Some((read_at, listed)) if is_fresh(*read_at) => Arc::clone(listed),
            Some(_) | None => {
                let listed = Arc::new(self.classifications(&[]).await?);
                state.listed = Some((now, Arc::clone(&listed)));
                listed
            }
        };
        choose(&listed, &state.refused, text).map_err(PlacementError::Unusable)
    }

    /// Drops the cached listing if a creation was refused for its classification, so that its words are looked up again. The error format is
    /// not documented: a 400 that speaks of the classification is taken for that.
    pub(super) async fn note_refusal(&self, id: &str, error: &ApiError) {
        let is_about_it = error.kind == ApiErrorKind::Refused
            && error.status == Some(400)
            && error.message.to_lowercase().contains("classification");
        if is_about_it {
            let mut state = self.known.0.lock().await;
            state.listed = None;
            state.refused.insert(id.to_owned());
        }
    }
}

/// Chooses the classification that a text means: by its ID, by its whole name, by the last part of it, or by words of it. The error says
/// what is wrong, and lists the candidates.
fn choose(
    listed: &[Classification],
    refused: &BTreeSet<String>,
    text: &str,
) -> Result<Classification, String> {
    let text = text.trim();
    let named = |known: &&Classification| known.display_name.to_lowercase() == text.to_lowercase();
    if let Some(known) = listed.iter().find(|known| known.id == text).or_else(|| listed.iter().find(named)) {
        return Ok(known.clone());
    }
    // The last part of a name is what people call it: "Compute Engine" is not every name below "Compute" with an engine.
    let ends = |known: &&Classification| {
        let last = known.display_name.rsplit('>').next().unwrap_or_default();
        last.trim().to_lowercase() == text.to_lowercase()
    };
    let fits = |known: &&Classification| has_words(&known.display_name, text.split_whitespace());
    let called: Vec<&Classification> = listed.iter().filter(ends).collect();
    let found = if called.is_empty() { listed.iter().filter(fits).collect() } else { called };
    match found.as_slice() {
        _ if text.is_empty() => Err("the classification is empty".to_owned()),
        [one] => Ok((*one).clone()),
        [] if is_id(text) && refused.contains(text) => {
            Err(format!("Google has given up the classification {text}: choose another one"))
        }
        [] if is_id(text) => Ok(Classification { id: text.to_owned(), display_name: String::new() }),
        [] => Err(format!(
            "no classification of Google's has all of these words: {:?}; `casebridge classifications` lists them",
            shorten(text)
        )),
        several => {
            let shown: Vec<&str> =
                several.iter().take(LISTED).map(|known| known.display_name.as_str()).collect();
            let more = match several.len().saturating_sub(LISTED) {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            Err(format!(
                "{:?} means several classifications: {}{more}; write the whole name of one",
                shorten(text),
                shown.join(", ")
            ))
        }
    }
}

/// True if a text may be the ID of a classification that is not listed any more.
fn is_id(text: &str) -> bool {
    text.len() >= SHORTEST_ID
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// True if a name contains all of these words, compared without case.
fn has_words<'a>(name: &str, mut words: impl Iterator<Item = &'a str>) -> bool {
    let name = name.to_lowercase();
    words.all(|word| name.contains(&word.to_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classification_is_found_by_id_by_name_or_by_words() {
        let known =
            |id: &str, name: &str| Classification { id: id.to_owned(), display_name: name.to_owned() };
        let listed = [
            known("100A", "Technical Issue > Compute > Compute Engine"),
            known("100B", "Technical Issue > Compute > Compute Engine > GPUs"),
            known("100C", "Billing > Invoices"),
            known("100D", "Feature > Invoices > Export"),
            known("100E", "Billing > Export"),
        ];
        let gone = "100IK2AKCLHMGRJ9CDGMOCGP8DM6UTB4";
        let of = |text: &str| choose(&listed, &BTreeSet::new(), text).map(|found| found.id);
        for (text, id) in [
            ("100C", "100C"),
            ("invoices", "100C"),
            ("gpus engine", "100B"),
            ("compute Engine", "100A"),
            ("technical issue > compute > COMPUTE engine", "100A"),
            (gone, gone),
        ] {
            assert_eq!(of(text), Ok(id.to_owned()), "{text}");
        }
        for (text, words) in [
            (
                "engine compute",
                "Technical Issue > Compute > Compute Engine, Technical Issue > Compute > Compute Engine > GPUs",
            ),
            ("export", "Feature > Invoices > Export, Billing > Export; write the whole name"),
            ("storage", "no classification of Google's has all of these words"),
            ("100Z", "no classification of Google's has all of these words"),
            (" ", "is empty"),
        ] {
            let problem = of(text).unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
        let refused = [gone.to_owned()].into();
        assert!(choose(&listed, &refused, gone).unwrap_err().contains("has given up"));
    }
}
