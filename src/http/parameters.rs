//! Query parameters: each endpoint knows its own, and refuses all others. A parameter that is ignored is dangerous: whoever misspells
//! `dry_run` would act.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::http::StatusCode;
use url::form_urlencoded;

use super::{Endpoint, Problem};
use crate::cases::shorten;
use crate::spelling::nearest;

/// Query parameters of a request, each known to its endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Parameters(BTreeMap<String, String>);

/// Returns the names of an endpoint's parameters, in alphabetical order; `None` if it takes and ignores all.
const fn known(endpoint: Endpoint) -> Option<&'static [&'static str]> {
    match endpoint {
        Endpoint::RunTask => Some(&["dry_run"]),
        Endpoint::Mappings => Some(&["after", "case", "filter", "limit"]),
        Endpoint::Index => Some(&["after", "q"]),
        Endpoint::PairList => Some(&["after", "filter"]),
        Endpoint::PairPage => Some(&["done", "plan"]),
        Endpoint::DeadLetters => Some(&["limit"]),
        Endpoint::Pairs => Some(&["after", "filter", "limit", "title", "words"]),
        // A CRM may append parameters to the configured address: Jira Data Center adds `user_id` and `user_key`. None of them is read, since
        // only the message's own proof counts.
        Endpoint::Push => None,
        Endpoint::QueueTask
        | Endpoint::Style
        | Endpoint::SignIn
        | Endpoint::SignOut
        | Endpoint::PairAction
        | Endpoint::LinkForm
        | Endpoint::Link
        | Endpoint::Healthz
        | Endpoint::Readyz
        | Endpoint::HealthzSync
        | Endpoint::Mapping
        | Endpoint::Pair
        | Endpoint::ActOnPair
        | Endpoint::OpenApi
        | Endpoint::Global
        | Endpoint::Check
        | Endpoint::Metrics => Some(&[]),
    }
}

impl Parameters {
    /// Reads the query of a request. Fails on a parameter that the endpoint does not know, or that is given twice.
    pub(super) fn read(endpoint: Endpoint, query: Option<&str>) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        let Some(known) = known(endpoint) else { return Ok(Self(parameters)) };
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let shown = shorten(&name);
            if !known.contains(&name.as_ref()) {
                return Err(invalid(unknown(&shown, known)));
            }
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(invalid(format!("{shown} is given twice")));
            }
        }
        Ok(Self(parameters))
    }

    /// Returns a parameter as text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns a flag: `true`, `false`, or nothing behind its name for true. False if it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.text(name) {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(_) => Err(invalid(format!("{name} must be true or false"))),
        }
    }

    /// Returns a parameter as a number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let number = self.text(name).map(str::parse).transpose();
        number.map_err(|_| invalid(format!("{name} must be a whole number")))
    }
}

/// Creates the error of a parameter or of its value.
pub(super) fn invalid(detail: String) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "A parameter is not valid").detail(detail)
}

fn unknown(name: &str, known: &[&str]) -> String {
    if known.is_empty() {
        return format!("there is no parameter {name}: this endpoint takes none");
    }
    let near = nearest(name, known.iter().copied());
    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    format!("there is no parameter {name}{near}; this endpoint takes {}", known.join(", "))
}
