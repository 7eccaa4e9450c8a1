//! Finds the pairs that a person means: by the ID, the key or the address of the company case, or the name, the number or the address of the
//! Google case.

use super::Deps;
use crate::cases::{ApiError, ApiErrorKind};
use crate::entities::{CaseMapping, CompanyCaseId, GoogleCaseName, Side, Sides, TitleDigest, TitleWords};
use crate::store::{Store, StoreError};
use crate::sync::texts::shown_title;

/// Reason why it is not known which pair a person means.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Neither system has a case that is called so. Holds what each says.
    #[error("{0}")]
    NoName(String),
    /// A system could not be asked.
    #[error(transparent)]
    Api(ApiError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Returns the pairs that `text` may mean: at most one for each side, since a number may be that of a case of either. A system is asked only
/// if no pair is stored under that name.
pub async fn find_pairs(deps: &Deps, text: &str) -> Result<Vec<CaseMapping>, LookupError> {
    let text = text.trim();
    let mut pairs = find_stored(deps.store.as_ref(), text).await?;
    if !pairs.is_empty() {
        return Ok(pairs);
    }
    let mut refused = Vec::new();
    for side in [Side::Company, Side::Google] {
        match deps.systems[side].resolve(text).await {
            Ok(Some(case)) => pairs.extend(find_stored(deps.store.as_ref(), &case.id).await?),
            Ok(None) => {}
            Err(error) if error.kind == ApiErrorKind::Refused => refused.push(error.to_string()),
            Err(error) => return Err(LookupError::Api(error)),
        }
    }
    if refused.len() == Side::BOTH.len() {
        return Err(LookupError::NoName(refused.join("; ")));
    }
    Ok(pairs)
}

/// Returns the pairs whose cases have that ID, name or number in the store. Asks no system.
pub async fn find_stored(store: &dyn Store, text: &str) -> Result<Vec<CaseMapping>, StoreError> {
    let google = GoogleCaseName::parse(text).or_else(|error| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // The number identifies the case, whichever parent its name has (R9: one mapping per case).
        if is_number { GoogleCaseName::parse(&format!("organizations/0/cases/{text}")) } else { Err(error) }
    });
    let found = Sides {
        google: match google {
            Ok(name) => store.find_by_google(&name).await?,
            Err(_) => None,
        },
        company: match CompanyCaseId::parse(text) {
            Ok(id) => store.find_by_company(&id).await?,
            Err(_) => None,
        },
    };
    let mut pairs: Vec<CaseMapping> = found.company.into_iter().chain(found.google).collect();
    pairs.dedup_by_key(|mapping| mapping.id);
    Ok(pairs)
}

/// Returns a test for pairs one of whose cases had exactly this title when both titles were last agreed on.
pub fn has_title(title: &str) -> impl Fn(&CaseMapping) -> bool + use<> {
    let wanted = TitleDigest::of(&shown_title(title));
    move |mapping| {
        let base = mapping.state.titles.base.as_ref();
        base.is_some_and(|titles| Side::BOTH.into_iter().any(|side| titles[side] == wanted))
    }
}

/// Returns a test for pairs one of whose titles has all words of `text`, as it was last read, or is [`text` as a whole](has_title). The store
/// has hashes of words and of titles, and no text of them: see [`TitleWords`].
pub fn has_words(text: &str) -> impl Fn(&CaseMapping) -> bool + use<> {
    let (wanted, is_title) = (TitleWords::of(text), has_title(text));
    move |mapping| {
        let known = &mapping.state.title_words;
        Side::BOTH.into_iter().any(|side| known[side].have_all(&wanted)) || is_title(mapping)
    }
}
