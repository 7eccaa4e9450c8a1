//! Frame of every page, and the small parts that pages share. A page loads nothing but its style, runs no script, and shows all texts as text.

use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use maud::{DOCTYPE, Markup, html};

use crate::entities::{CaseMapping, GoogleCaseName, Side};
use crate::sync::texts::duration_words;
use crate::tasks::{Kind, Standing};

/// The style of all pages.
pub(super) const STYLE: &str = include_str!("style.css");

/// Headers of every page: nothing but the style is loaded, no script runs, no other site frames it, no cache keeps it.
const fn headers() -> [(HeaderName, &'static str); 5] {
    [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`, with which a browser sends forms without their origin.
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ]
}

/// Weight of a state: the colour of its word and of the page's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tone {
    Good,
    Plain,
    Warn,
    Bad,
}

impl Tone {
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Plain => "",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }

    pub(super) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Late | Kind::Failing => Self::Bad,
            Kind::Conflict | Kind::Missing | Kind::ReadOnly | Kind::GivenUp => Self::Warn,
            Kind::InStep => Self::Good,
            Kind::Waiting
            | Kind::PausedByOperator
            | Kind::PausedByFlag
            | Kind::Unlinked
            | Kind::Ended
            | Kind::Resolved => Self::Plain,
        }
    }
}

/// Returns a whole page. `sign_out` shows the button for that.
pub(super) fn page(status: StatusCode, title: &str, sign_out: bool, content: &Markup) -> Response {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · casebridge" }
                link rel="stylesheet" href="/assets/page.css";
            }
            body {
                a class="skip" href="#content" { "Skip to the content" }
                header class="bar" {
                    a class="brand" href="/" { "casebridge" }
                    nav aria-label="Pages" {
                        a href="/" { "Overview" }
                        a href="/cases" { "All pairs" }
                    }
                    @if sign_out {
                        form method="post" action="/signout" { button class="plain" { "Sign out" } }
                    }
                }
                main id="content" tabindex="-1" { (content) }
            }
        }
    };
    (status, headers(), Html(whole.into_string())).into_response()
}

/// Formats a time with its age: `02:14:05 UTC (47 minutes ago)`; with the date unless it is today's.
pub(super) fn when(at: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    let exact = at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let format = if at.date_naive() == now.date_naive() { "%H:%M:%S UTC" } else { "%F %H:%M UTC" };
    let age = now - at;
    let age = if age < -Duration::seconds(1) {
        format!("in {}", rough_words(-age))
    } else {
        format!("{} ago", rough_words(age))
    };
    html! { time datetime=(exact) { (at.format(format).to_string()) } " (" (age) ")" }
}

/// Returns a duration in words, to the minute if it is two minutes or more.
pub(super) fn rough_words(duration: Duration) -> String {
    let minutes = (duration.num_seconds() + 30) / 60;
    duration_words(if minutes >= 2 { Duration::minutes(minutes) } else { duration })
}

/// Formats a time that may be unknown.
pub(super) fn when_known(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    at.map_or_else(|| html! { "never" }, |at| when(at, now))
}

/// Returns the short name of that side's case, and its address if that is one of the web.
pub(super) fn short_name(mapping: &CaseMapping, side: Side) -> Option<(String, Option<String>)> {
    match side {
        Side::Google => {
            let name = mapping.google_case_name.as_ref()?;
            Some((name.number().to_owned(), Some(GoogleCaseName::address(name))))
        }
        Side::Company => {
            let id = mapping.company_case_id.as_ref()?;
            let known = mapping.known_company_case();
            let key = known.and_then(|known| known.key.clone()).unwrap_or_else(|| id.to_string());
            // An address is a system's answer: another scheme than the web's could run a script.
            let is_web =
                |address: &&String| ["https://", "http://"].iter().any(|web| address.starts_with(web));
            Some((key, known.and_then(|known| known.address.as_ref()).filter(is_web).cloned()))
        }
    }
}

/// Returns a link to that side's case in its system.
pub(super) fn case_link(mapping: &CaseMapping, side: Side) -> Markup {
    match short_name(mapping, side) {
        None => html! { span class="soft" { "none yet" } },
        Some((name, None)) => html! { (name) },
        Some((name, Some(address))) => html! { a href=(address) rel="noopener noreferrer" { (name) } },
    }
}

/// Returns the name of a pair: `SUP-3 and 12345678`.
pub(super) fn pair_name(mapping: &CaseMapping) -> String {
    let names: Vec<String> = [Side::Company, Side::Google]
        .into_iter()
        .filter_map(|side| short_name(mapping, side).map(|(name, _)| name))
        .collect();
    names.join(" and ")
}

/// Returns the word for a state.
pub(super) fn word(kind: Kind) -> Markup {
    html! { span class={ "word " (Tone::of(kind).class()) } { (kind.words()) } }
}

/// Returns a list of pairs, each with its state.
pub(super) fn pairs(pairs: &[(CaseMapping, Standing)], now: DateTime<Utc>) -> Markup {
    html! {
        ul class="pairs" {
            @for (mapping, standing) in pairs {
                li {
                    div class="top" {
                        h3 { a href={ "/cases/" (mapping.id) } { (pair_name(mapping)) } }
                        span {
                            @if let Some(priority) = mapping.priority { span class="soft small" { (priority) " " } }
                            (word(standing.kind))
                            @if standing.is_late && standing.kind != Kind::Late { " " (word(Kind::Late)) }
                        }
                    }
                    @if let Some(since) = standing.since {
                        p class="small soft" { "since " (when(since, now)) }
                    }
                    @if !standing.why.is_empty() { p { (standing.why) } }
                    (tried(mapping, now))
                    @if !standing.advice.is_empty() { p class="small" { strong { "Do: " } (standing.advice) } }
                }
            }
        }
    }
}

/// Says how often what fails was tried. The syncs' own count begins anew when one of the other side ends well, that of a refused write does not.
pub(super) fn tried(mapping: &CaseMapping, now: DateTime<Utc>) -> Markup {
    let refused =
        mapping.state.refusals.iter().filter(|refusal| !refusal.given_up).map(|refusal| refusal.tries);
    let failing = mapping.state.failing.as_deref();
    let count = refused.chain(failing.map(|failing| failing.tries)).max();
    html! {
        @if let Some(count) = count {
            p class="small soft" {
                (tries(count))
                @if let Some(failing) = failing { ", the last one at " (when(failing.last_at, now)) }
                @match mapping.next_try() {
                    Some(next) if next > now => { "; the next one by " (when(next, now)) }
                    Some(_) => "; the next one is due",
                    None => {}
                }
            }
        }
    }
}

/// Says how often something was tried.
pub(super) fn tries(tries: u32) -> String {
    if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the relative luminance of a colour (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn texts_stand_out_in_light_and_dark() {
        let schemes: Vec<&str> =
            STYLE.split(":root {").skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        assert_eq!(schemes.len(), 2);
        for scheme in schemes {
            let colour = |name: &str| {
                let (_, rest) = scheme.split_once(&format!("--{name}: ")).unwrap();
                rest.split(';').next().unwrap()
            };
            for (text, ground) in [
                ("ink", "ground"),
                ("ink", "raised"),
                ("soft", "ground"),
                ("soft", "raised"),
                ("link", "ground"),
                ("link", "raised"),
                ("bad", "bad-ground"),
                ("bad", "ground"),
                ("warn", "warn-ground"),
                ("good", "good-ground"),
                ("ink", "bad-ground"),
                ("ink", "warn-ground"),
                ("ink", "good-ground"),
                ("link", "bad-ground"),
                ("soft", "warn-ground"),
                ("button-ink", "button"),
            ] {
                let contrast = contrast(colour(text), colour(ground));
                assert!(contrast >= 4.5, "{text} on {ground}: {contrast}");
            }
            // Shapes that carry a meaning (WCAG 2.2, 1.4.11).
            for shape in ["bar", "bar-two", "bad"] {
                let contrast = contrast(colour(shape), colour("ground"));
                assert!(contrast >= 3.0, "{shape}: {contrast}");
            }
        }
    }
}
