//! Search of the operators' pages: for a case by its names, and for pairs by words of their titles.

use chrono::{DateTime, Utc};
use maud::{Markup, html};
use url::form_urlencoded;

use super::super::{Problem, Service, api};
use super::layout;
use super::overview::{MOST_READ, PAGE};
use crate::entities::{CaseMapping, Global, MappingId};
use crate::store::{MappingFilter, StoreError};
use crate::tasks::{self, Deps, standing};

/// Number of found pairs after which no more are looked for.
const ENOUGH: usize = 50;

/// Findings of a search.
pub(super) struct Hits {
    query: String,
    pairs: Vec<CaseMapping>,
    /// Reason why a system could not be asked for the case. What the store has is in `pairs` then.
    not_asked: Option<String>,
    /// Pair from which on the search began, if it is not the first.
    after: Option<MappingId>,
    /// Last pair that was looked at, if others follow.
    next: Option<MappingId>,
}

/// Finds the pairs of a case by a name of it, or else those with the words of the query in one of their titles, from the pair behind `after` on:
/// among as many as a page reads.
pub(super) async fn find(service: &Service, query: &str, after: Option<MappingId>) -> Result<Hits, Problem> {
    let mut hits = Hits { query: query.to_owned(), pairs: Vec::new(), not_asked: None, after, next: None };
    // The search for names is complete at once.
    if after.is_none() {
        match tasks::find_pairs(&service.deps, query).await {
            Ok(pairs) => hits.pairs = pairs,
            // It is no name of a case in either system.
            Err(tasks::LookupError::NoName(_)) => {}
            Err(tasks::LookupError::Api(error)) => hits.not_asked = Some(error.to_string()),
            Err(tasks::LookupError::Store(error)) => return Err(api::unavailable(error)),
        }
    }
    if hits.pairs.is_empty() {
        (hits.pairs, hits.next) = titled(&service.deps, query, after).await.map_err(api::unavailable)?;
    }
    Ok(hits)
}

/// Finds pairs by words of their titles. Returns the last one that was looked at as well, if others follow.
async fn titled(
    deps: &Deps,
    words: &str,
    mut after: Option<MappingId>,
) -> Result<(Vec<CaseMapping>, Option<MappingId>), StoreError> {
    let has_words = tasks::has_words(words);
    let (mut found, mut read) = (Vec::new(), 0);
    while read < MOST_READ && found.len() < ENOUGH {
        let page = deps.store.list(MappingFilter::All, after, PAGE).await?;
        read += page.mappings.len();
        found.extend(page.mappings.into_iter().filter(|mapping| has_words(mapping)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok((found, after))
}

impl Hits {
    /// Returns the only pair that was found, if all pairs were looked at.
    pub(super) fn only_one(&self) -> Option<MappingId> {
        match self.pairs.as_slice() {
            [pair] if self.next.is_none() && self.after.is_none() => Some(pair.id),
            _ => None,
        }
    }

    /// Returns the found pairs with their states, and the way to the rest.
    pub(super) fn shown(&self, deps: &Deps, global: &Global, now: DateTime<Utc>) -> Markup {
        let tolerances = &deps.settings.tolerances;
        let more = self.next.map(|next| {
            let query = form_urlencoded::Serializer::new(String::new())
                .append_pair("q", &self.query)
                .append_pair("after", &next.to_string())
                .finish();
            format!("/?{query}")
        });
        let is_part = more.is_some() || self.after.is_some();
        html! {
            @if let (true, Some(why)) = (self.pairs.is_empty(), &self.not_asked) {
                p role="alert" { "It could not be searched for: " (why) }
            } @else if self.pairs.is_empty() && is_part {
                p role="status" { "None of the pairs that were looked at has all words of " strong { (self.query) } " in one title." }
            } @else if self.pairs.is_empty() {
                p role="status" { "No pair has the case " strong { (self.query) } ", and none has all of these words in one title." }
            } @else {
                h2 { "Found" }
                ul {
                    @for pair in &self.pairs {
                        li {
                            a href={ "/cases/" (pair.id) } { (layout::pair_name(pair)) }
                            ": " (layout::word(standing(pair, global, tolerances, now).kind))
                        }
                    }
                }
            }
            @if let Some(more) = &more { p { "There are more pairs than one search looks at. " a href=(more) { "Search on" } "." } }
        }
    }
}

/// Returns the form to search with.
pub(super) fn form(query: &str) -> Markup {
    html! {
        search {
            form method="get" action="/" {
                div class="row" {
                    div class="grow" {
                        label for="q" { "Find a case" }
                        input id="q" name="q" type="search" value=(query) autocomplete="off" aria-describedby="q-help";
                    }
                    button { "Find" }
                }
                p id="q-help" class="small soft" {
                    "Key, ID or address of a company case; name, number or address of a Google case; or words of the title of either: whole words, in any order."
                }
            }
        }
    }
}
