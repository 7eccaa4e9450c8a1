//! Page on which a person makes a sandbox misbehave, and mends it again: the faults that are asked for most often, without curl.

use axum::Router;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use chrono::Duration;
use maud::{Markup, html};
use serde::Deserialize;

use crate::faults::{Effect, Fault, Faults};
use crate::page::{page, problem};

const SITE: &str = "Sandbox";

/// Path of the page. No fault hits it.
pub(crate) const PATH: &str = "/sandbox/break";

/// Methods that the form offers. The empty one stands for all.
const METHODS: [&str; 6] = ["", "GET", "POST", "PUT", "PATCH", "DELETE"];

/// Returns the effects that the form offers, each with its value and its words.
fn choices() -> [(&'static str, &'static str, Effect); 9] {
    let status = |status| Effect::ErrorBefore { status, body: None };
    [
        ("down", "closes the connection", Effect::HangUpBefore),
        ("lost", "does it, and closes the connection without an answer", Effect::HangUpAfter),
        ("slow", "waits for 10 seconds", Effect::Latency { ms: 10_000 }),
        ("busy", "answers 429: too many requests", Effect::RateLimited { retry_after: "30".to_owned() }),
        ("credentials", "answers 401: the credentials are not accepted", status(401)),
        ("right", "answers 403: a right is missing", status(403)),
        ("size", "answers 413: too large", status(413)),
        ("error", "answers 500: an error of its own", status(500)),
        ("sign-in", "leads to a page to sign in", Effect::Redirect { location: "/login".to_owned() }),
    ]
}

pub(crate) fn routes(faults: &Faults) -> Router {
    Router::new()
        .route(PATH, get(show).post(begin))
        .route("/sandbox/break/times", post(set_times))
        .route("/sandbox/break/end", post(end))
        .with_state(faults.clone())
}

async fn show(State(faults): State<Faults>) -> Html<String> {
    let (ahead, lag) = (faults.clock_ahead().num_minutes(), faults.search_lag().num_minutes());
    let content = html! {
        p { "What is chosen here hits the calls of the connector, and the other pages of this sandbox as well. docs/sandbox.md has more." }
        form method="post" action=(PATH) {
            label { "The sandbox" select name="effect" { @for (value, words, _) in choices() { option value=(value) { (words) } } } }
            label { "Method" select name="method" { @for method in METHODS { option value=(method) { @if method.is_empty() { "any" } @else { (method) } } } } }
            label { "Part of the path" input name="path" placeholder="any"; }
            label { "How often" input name="times" type="number" min="1" max="1000000" placeholder="always"; }
            button { "Break" }
        }
        form method="post" action="/sandbox/break/times" {
            label { "Its clock is ahead by (minutes)" input name="ahead" type="number" min="-1000000" max="1000000" required value=(ahead); }
            label { "Its search is late by (minutes)" input name="lag" type="number" min="0" max="1000000" required value=(lag); }
            button { "Set" }
        }
        h2 { "What is broken now" }
        (active(&faults))
        form method="post" action="/sandbox/break/end" { button { "Mend everything" } }
    };
    page(SITE, "Break something", &content)
}

/// Returns the table of the active faults.
fn active(faults: &Faults) -> Markup {
    let active = faults.list();
    html! {
        @if active.is_empty() { p.empty { "No call goes wrong." } } @else {
            table {
                thead { tr { th { "Calls" } th { "Fault" } th { "Calls so far" } } }
                tbody {
                    @for fault in &active {
                        tr {
                            td { code { (fault.fault.method.as_deref().unwrap_or("any")) " " (fault.fault.path.as_deref().unwrap_or("")) } }
                            td { (words(&fault.fault.effect)) @if let Some(times) = fault.fault.times { ", at most " (times) " times" } }
                            td { (fault.hit) }
                        }
                    }
                }
            }
        }
    }
}

/// Returns the words for an effect; as it is written in JSON if the form does not offer it.
fn words(effect: &Effect) -> String {
    let known = choices().into_iter().find(|(_, _, known)| known == effect);
    known.map_or_else(|| serde_json::to_string(effect).unwrap_or_default(), |(_, words, _)| words.to_owned())
}

#[derive(Debug, Deserialize)]
struct BreakForm {
    effect: String,
    method: String,
    path: String,
    times: String,
}

async fn begin(State(faults): State<Faults>, Form(form): Form<BreakForm>) -> Response {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let Some((_, _, effect)) = choices().into_iter().find(|(value, ..)| *value == form.effect) else {
        return problem(SITE, StatusCode::BAD_REQUEST, "There is no such fault.");
    };
    let Ok(times) = given(&form.times).map(|times| times.parse()).transpose() else {
        return problem(SITE, StatusCode::BAD_REQUEST, "How often: a whole number, or nothing.");
    };
    faults.add(Fault { method: given(&form.method), path: given(&form.path), skip: 0, times, effect });
    Redirect::to(PATH).into_response()
}

/// Form for the clock and the search, in minutes.
#[derive(Debug, Deserialize)]
struct TimesForm {
    ahead: i32,
    lag: u32,
}

async fn set_times(State(faults): State<Faults>, Form(form): Form<TimesForm>) -> Redirect {
    faults.set_clock_ahead(Duration::minutes(form.ahead.into()));
    faults.set_search_lag(Duration::minutes(form.lag.into()));
    Redirect::to(PATH)
}

async fn end(State(faults): State<Faults>) -> Redirect {
    faults.clear();
    Redirect::to(PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_form_offers_is_shown_in_its_words_and_the_rest_as_it_is_written() {
        for (value, words, effect) in choices() {
            assert_eq!(super::words(&effect), words, "{value}");
        }
        assert_eq!(words(&Effect::TruncateBody { bytes: 3 }), r#"{"kind":"truncate_body","bytes":3}"#);
    }
}
