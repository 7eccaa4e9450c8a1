//! `GET /`: says in a few lines what there is.

use std::fmt::Write as _;

use super::{Access, Endpoint, ROUTES};

/// Returns the text. Open to everybody, it shows nothing but what this file and the documentation say.
pub(super) fn text() -> String {
    let mut text = "casebridge keeps Google Cloud support cases and a service desk in step.\n\n".to_owned();
    for (endpoint, path, access) in ROUTES {
        let (method, about) = about(*endpoint);
        let who = match access {
            Access::Open => "everybody",
            Access::People | Access::Operators => "people",
            Access::Tasks => "people, queues",
            Access::Cron => "people, cron",
            Access::Signed => "Pub/Sub, the CRM",
        };
        let _ = writeln!(text, "{method:<5} {path:<20} {who:<15} {about}");
    }
    text.push_str("\nPeople send the admin token: Authorization: Bearer TOKEN. On the machine itself none is needed, unless one is set.\n");
    text
}

/// Returns the method of an endpoint, and what it does.
const fn about(endpoint: Endpoint) -> (&'static str, &'static str) {
    match endpoint {
        Endpoint::RunTask => {
            ("POST", "runs a task: poll-google, poll-company, detect-outages, cleanup, sync-…")
        }
        Endpoint::QueueTask => ("GET", "queues a scheduled task"),
        Endpoint::Push => ("POST", "a message that a case may have changed: google, company"),
        Endpoint::Index => ("GET", "this list; in a browser: what is stuck, since when, why, and what to do"),
        Endpoint::Style => ("GET", "the style of the pages"),
        Endpoint::SignIn => ("GET", "signs in to the pages"),
        Endpoint::SignOut => ("POST", "signs out of the pages"),
        Endpoint::PairList => ("GET", "the page with all pairs"),
        Endpoint::PairPage => ("GET", "the page of one pair"),
        Endpoint::PairAction => ("POST", "an action on one pair, from its page"),
        Endpoint::LinkForm => ("POST", "links two cases, from the overview"),
        Endpoint::Healthz => ("GET", "200: the process answers"),
        Endpoint::Readyz => ("GET", "200: the configuration and the store are ready"),
        Endpoint::HealthzSync => ("GET", "200: both polls are recent"),
        Endpoint::Mappings => ("GET", "pairs of cases, with what waits and the last error"),
        Endpoint::Mapping => ("GET", "one pair"),
        Endpoint::Pairs => ("GET", "pairs: ?filter=all, open, dirty, conflicts or late; ?words= of a title"),
        Endpoint::Pair => {
            ("GET", "the pair of a case, by any name of either, escaped: organizations%2F1%2Fcases%2F2")
        }
        Endpoint::ActOnPair => {
            ("POST", "an action on the pair of a case: retry, pause, resume, unlink, skip")
        }
        Endpoint::Link => ("POST", "links two cases that exist"),
        Endpoint::DeadLetters => ("GET", "tasks that the embedded queue gave up, the latest first"),
        Endpoint::OpenApi => ("GET", "this interface in OpenAPI 3.1, to generate a client from"),
        Endpoint::Global => ("GET", "how far the polls have come"),
        Endpoint::Check => ("GET", "tries every connection and permission, and says what to do"),
        Endpoint::Metrics => ("GET", "metrics for Prometheus"),
    }
}
