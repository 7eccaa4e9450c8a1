//! `GET /` in a browser: in step or not, what needs a look, what waits, and how the two systems are.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::{DateTime, Duration, Utc};
use maud::{Markup, html};

use super::super::polls::PollFailure;
use super::super::{Health, Problem, Service, api, health, poll_limits};
use super::gate::{self, Operator};
use super::layout::{self, Tone, rough_words, when, when_known, word};
use super::{plots, search};
use crate::entities::{CaseMapping, Global, MappingId, Side, Sides};
use crate::store::{MappingFilter, StoreError};
use crate::tasks::{self, Deps, Kind, Standing, Which, standing};
use crate::telemetry::PushLabels;

/// Number of mappings that one page reads at most. A larger store is searched, or listed page by page.
pub(super) const MOST_READ: usize = 2_000;
/// Number of mappings that are read at a time.
pub(super) const PAGE: usize = 200;
/// Number of pairs of each kind that are shown.
const MOST_SHOWN: usize = 50;
/// Number of pairs on a page of the list.
const LISTED: usize = 50;
/// Number of days before the end of credentials at which the page warns, as `casebridge check` does.
const WARN_DAYS: i64 = 30;

/// Beginning of a line that says what to do.
const DO: &str = "Do: ";

/// Difference of a system's clock from which on the page speaks of it.
const SKEW_SHOWN: Duration = Duration::minutes(2);

/// Findings of one look at the store.
struct Findings {
    pairs: Vec<(CaseMapping, Standing)>,
    is_complete: bool,
}

/// Reads what waits or needs attention, then the open pairs, the most urgent first.
async fn look(deps: &Deps, facts: &Facts<'_>, now: DateTime<Utc>) -> Result<Findings, StoreError> {
    let unpolled = facts.unpolled(now);
    let (mut pairs, mut seen, mut is_complete) = (Vec::new(), HashSet::new(), true);
    for filter in [MappingFilter::NeedsWatching, MappingFilter::Open] {
        let mut after = None;
        loop {
            if seen.len() >= MOST_READ {
                is_complete = false;
                break;
            }
            let page = deps.store.list(filter, after, PAGE).await?;
            for mapping in page.mappings {
                if seen.insert(mapping.id) {
                    let mut standing = standing(&mapping, facts.global, &deps.settings.tolerances, now);
                    if let Some(side) = unpolled.filter(|_| standing.kind == Kind::Late) {
                        standing.why = format!("it waits for a complete poll of {}", facts.names[side]);
                        standing.advice = Cow::Borrowed("");
                    }
                    pairs.push((mapping, standing));
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    pairs.sort_by_key(|(mapping, standing)| {
        // A pair that only waits for a poll says less than one that fails.
        let only_waits = unpolled.is_some() && standing.kind == Kind::Late;
        (!standing.is_late, only_waits, standing.kind, standing.since.unwrap_or(now), mapping.id)
    });
    Ok(Findings { pairs, is_complete })
}

/// Answers `GET /`; with `q`, searches, from the pair behind `after` on.
pub(super) async fn show(
    service: &Service,
    operator: &Operator,
    query: Option<&str>,
    after: Option<MappingId>,
) -> Result<Response, Problem> {
    let deps = &service.deps;
    let query = query.map(str::trim).filter(|query| !query.is_empty());
    let found = match query {
        Some(query) => Some(search::find(service, query, after).await?),
        None => None,
    };
    if let Some(pair) = found.as_ref().and_then(search::Hits::only_one) {
        return Ok(Redirect::to(&format!("/cases/{pair}")).into_response());
    }
    let global = deps.store.global().await.map_err(api::unavailable)?;
    let now = deps.clock.now();
    let facts = Facts::of(service, &global);
    let findings = look(deps, &facts, now).await.map_err(api::unavailable)?;
    let head = headline(&findings.pairs, &facts, now);
    let of = |wanted: &dyn Fn(Kind) -> bool| -> Vec<(CaseMapping, Standing)> {
        findings.pairs.iter().filter(|(_, standing)| wanted(standing.kind)).cloned().collect()
    };
    let (troubled, waiting) = (of(&Kind::needs_look), of(&|kind| kind == Kind::Waiting));
    let stopped = of(&|kind| matches!(kind, Kind::PausedByOperator | Kind::PausedByFlag | Kind::Unlinked));
    let told = findings
        .pairs
        .iter()
        .filter(|(mapping, _)| Side::BOTH.into_iter().any(|side| mapping.outage_comment_sent_to(side)))
        .count();
    let content = html! {
        div class={ "head " (head.tone.class()) } {
            h1 { (head.title) }
            @for line in &head.lines {
                p {
                    @match line.strip_prefix(DO) { Some(rest) => { strong { (DO) } (rest) } None => (line) }
                }
            }
            p class="small soft" { "As of " (now.format("%F %T").to_string()) " UTC." }
        }
        (search::form(query.unwrap_or_default()))
        @if let Some(found) = &found { (found.shown(deps, &global, now)) }
        (section("look", "Needs a look", "Nothing needs a look.", &troubled, now))
        @if told > 0 {
            p {
                (count(told, "pair has", "pairs have")) " an outage notice on a case. detect-outages, every five minutes, ends it once the pair is in step."
            }
        }
        (section("waiting", "On its way", "No change waits to be carried.", &waiting, now))
        @if !stopped.is_empty() { (section("stopped", "Paused and unlinked", "", &stopped, now)) }
        @if !findings.is_complete {
            p { "There are more open pairs than this page reads (" (MOST_READ) "). " a href="/cases?filter=late" { "List all that are late" } "." }
        }
        (systems(service, &facts, now))
        (plots::section(deps, now))
        (link_form(&gate::form_token(service, operator)))
    };
    Ok(layout::page(StatusCode::OK, &head.title, operator.signed_in, &content))
}

fn section(id: &str, title: &str, none: &str, all: &[(CaseMapping, Standing)], now: DateTime<Utc>) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (title) @if !all.is_empty() { " (" (all.len()) ")" } }
            @if all.is_empty() { p class="soft" { (none) } } @else {
                (layout::pairs(&all[..all.len().min(MOST_SHOWN)], now))
                @if all.len() > MOST_SHOWN { p { "And " (all.len() - MOST_SHOWN) " more." } }
            }
        }
    }
}

/// Returns the form that links two cases.
fn link_form(token: &str) -> Markup {
    html! {
        section aria-labelledby="link" {
            h2 id="link" { "Link two cases" }
            p class="small soft" {
                "Makes a pair of a Google case and a company case that exist and have none. What stands on one of them is carried to the other; copies that stand there already are not carried again. If the company case has no flag yet, link it first and set the flag then: flagged without a pair, it gets a Google case of its own."
            }
            form method="post" action="/cases/link" {
                input type="hidden" name="token" value=(token);
                div class="row" {
                    div class="grow" {
                        label for="link-google" { "Google case" }
                        input id="link-google" name="google" required maxlength="300" autocomplete="off";
                    }
                    div class="grow" {
                        label for="link-company" { "Company case" }
                        input id="link-company" name="company" required maxlength="300" autocomplete="off";
                    }
                    div class="grow" {
                        label for="link-reason" { "Reason (kept and shown)" }
                        input id="link-reason" name="reason" maxlength="300" autocomplete="off";
                    }
                    button class="plain" { "Link" }
                }
            }
        }
    }
}

/// State of the whole connector in a sentence.
#[derive(Debug, PartialEq, Eq)]
struct Headline {
    title: String,
    lines: Vec<String>,
    tone: Tone,
}

pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Facts about the polls, the clocks and the pace, for the headline.
struct Facts<'a> {
    global: &'a Global,
    /// Age at which a side's last complete poll is late.
    limits: Sides<Duration>,
    /// Names of the two systems.
    names: Sides<&'a str>,
    /// Latest failure of each side's polls.
    failures: Sides<Option<PollFailure>>,
    /// Number of push messages of each side that were refused since this instance started.
    refused_messages: Sides<u64>,
    /// Number of them whose proof was wrong.
    unproven_messages: Sides<u64>,
    syncs_per_minute: u32,
}

/// Returns the number of push messages of a side with one of these outcomes.
fn messages(deps: &Deps, side: Side, outcomes: &[&'static str]) -> u64 {
    let labels = outcomes.iter().map(|outcome| PushLabels { side: side.name(), outcome });
    labels.map(|labels| deps.metrics.push_messages.get_or_create(&labels).get()).sum()
}

impl<'a> Facts<'a> {
    fn of(service: &'a Service, global: &'a Global) -> Self {
        let deps = &service.deps;
        let failure = |side: Side| service.polls.of(side, global.last_polled_at(side));
        Self {
            global,
            limits: poll_limits(deps),
            names: Sides {
                google: tasks::name_of_side(deps, Side::Google),
                company: tasks::name_of_side(deps, Side::Company),
            },
            failures: Sides { google: failure(Side::Google), company: failure(Side::Company) },
            refused_messages: Sides {
                google: messages(deps, Side::Google, &PushLabels::REFUSED),
                company: messages(deps, Side::Company, &PushLabels::REFUSED),
            },
            unproven_messages: Sides {
                google: messages(deps, Side::Google, &[PushLabels::UNPROVEN]),
                company: messages(deps, Side::Company, &[PushLabels::UNPROVEN]),
            },
            syncs_per_minute: deps.settings.syncs_per_minute.max(1),
        }
    }

    /// Returns the first side whose last complete poll is late, or that was never polled.
    fn unpolled(&self, now: DateTime<Utc>) -> Option<Side> {
        let ages = self.global.poll_ages(now);
        Side::BOTH.into_iter().find(|side| ages[*side].is_none_or(|age| age >= self.limits[*side]))
    }

    /// Says since when a side is not polled, and why, as far as this instance knows.
    fn late_poll(&self, side: Side, now: DateTime<Utc>) -> Option<String> {
        let name = self.names[side];
        let polled = match self.global.poll_ages(now)[side] {
            None => format!("{name} was never polled."),
            Some(age) if age >= self.limits[side] => {
                format!("{name} was last polled completely {} ago.", rough_words(age))
            }
            Some(_) => return None,
        };
        let doubt =
            || self.global.memory[side].doubt.as_deref().map(|doubt| ("did not trust its answers", doubt));
        let failure = self.failures[side].as_ref().map(|failure| ("failed", failure.reason.as_str()));
        Some(match failure.or_else(doubt) {
            Some((what, reason)) => format!("{polled} The last poll {what}: {reason}."),
            None => polled,
        })
    }

    /// Says what to do about the failure of a side's polls, as far as its error tells.
    fn remedy(&self, side: Side) -> Option<String> {
        let failure = self.failures[side].as_ref()?;
        failure.remedy.as_ref().map(|remedy| format!("{DO}{remedy}."))
    }

    /// Says that push messages are refused.
    fn refused_messages(&self) -> impl Iterator<Item = String> {
        Side::BOTH.into_iter().filter(|side| self.refused_messages[*side] > 0).map(|side| {
            let (number, name) = (self.refused_messages[side], self.names[side]);
            let (what, were) = if number == 1 { ("message", "was") } else { ("messages", "were") };
            let why = match (self.unproven_messages[side], side) {
                (0, side) => format!("The log's entries of /push/{side} say why."),
                (_, Side::Google) => "Their proof is wrong: compare push.google.audience and push.google.service_account with those of the \
                                      Pub/Sub subscription."
                    .to_owned(),
                (_, Side::Company) => {
                    format!("Their proof is wrong: compare push.company.secret with the secret of the webhook in {name}.")
                }
            };
            format!(
                "{number} push {what} of {name} {were} refused since this instance started; what they announce waits for the next poll. {why}"
            )
        })
    }

    /// Says which clocks differ by more than a person overlooks. If only one does, it is not ours that is wrong.
    fn clocks(&self) -> impl Iterator<Item = String> {
        let skews = Side::BOTH
            .map(|side| Duration::seconds(self.global.memory[side].skew_seconds.unwrap_or_default()));
        let ours =
            skews.iter().all(|skew| *skew >= SKEW_SHOWN) || skews.iter().all(|skew| *skew <= -SKEW_SHOWN);
        Side::BOTH.into_iter().filter_map(move |side| {
            let skew = Duration::seconds(self.global.memory[side].skew_seconds?);
            (skew.abs() >= SKEW_SHOWN).then(|| {
                let (name, by) = (self.names[side], rough_words(skew.abs()));
                let way = if skew > Duration::zero() { "ahead of" } else { "behind" };
                format!(
                    "The clock of {name} is {by} {way} ours. Syncs allow for it, but times there and here do not fit together. {}",
                    if ours {
                        "That of the other system differs as well: set this machine's, for example with timedatectl set-ntp true."
                    } else {
                        "That of the other system does not differ from ours, so leave this machine's alone, and tell its administrators."
                    }
                )
            })
        })
    }
}

/// Tells the state: first the polls, without which nothing else is known, then the pairs.
fn headline(pairs: &[(CaseMapping, Standing)], facts: &Facts<'_>, now: DateTime<Utc>) -> Headline {
    let late = pairs.iter().filter(|(_, standing)| standing.is_late).count();
    let failing = pairs.iter().filter(|(_, standing)| standing.kind == Kind::Failing).count();
    let troubled = pairs.iter().filter(|(_, standing)| standing.kind.needs_look()).count();
    let waiting = pairs.iter().filter(|(_, standing)| standing.kind == Kind::Waiting).count();
    let mut lines = Vec::new();
    let health = health(facts.global, facts.limits, now);
    let (title, tone) = match health {
        Health::ClockSetBack => {
            lines.push(
                "A poll lies in the future: this machine's clock was ahead then, or is behind now. Set it, for example with \
                 timedatectl set-ntp true."
                    .to_owned(),
            );
            ("The clock of this machine is wrong".to_owned(), Tone::Bad)
        }
        Health::Late => {
            for side in Side::BOTH {
                if let Some(line) = facts.late_poll(side, now) {
                    lines.push(line);
                    lines.extend(facts.remedy(side));
                }
            }
            lines.push(
                "Changes there are not noticed. Repair that first; the pairs go on by themselves then. casebridge check tries everything \
                 and says what to do."
                    .to_owned(),
            );
            ("Not in step: a side is not polled".to_owned(), Tone::Bad)
        }
        Health::Ok if late > 0 => {
            lines.push(
                "Begin with the first one below: each says since when, why, and what to do.".to_owned(),
            );
            (count(late, "pair is out of step", "pairs are out of step"), Tone::Bad)
        }
        Health::Ok if troubled > 0 => {
            let title = count(troubled, "pair needs a look", "pairs need a look");
            lines.push("Nothing is late yet. Begin with the first one below.".to_owned());
            (title, if failing > 0 { Tone::Bad } else { Tone::Warn })
        }
        Health::Ok => ("In step".to_owned(), Tone::Good),
    };
    // The cause comes before the pairs that fail because of it.
    let mut title = title;
    let mut tone = tone;
    for side in Side::BOTH {
        if let Some(failure) = facts.failures[side].as_ref().filter(|_| health == Health::Ok) {
            let (name, since) = (facts.names[side], failure.since.format("%T"));
            title = format!("The polls of {name} fail");
            tone = Tone::Bad;
            let first = format!("Since {since} UTC: {}.", failure.reason);
            lines.splice(0..0, std::iter::once(first).chain(facts.remedy(side)));
        }
    }
    for line in facts.refused_messages() {
        tone = tone.max(Tone::Warn);
        lines.push(line);
    }
    let clocks: Vec<String> = facts.clocks().collect();
    let pace = own_pace(waiting, facts.syncs_per_minute);
    if tone == Tone::Good && (!clocks.is_empty() || pace.is_some()) {
        tone = Tone::Plain;
    }
    if tone == Tone::Plain && pace.is_some() {
        title = format!("{} on the way", count(waiting, "change is", "changes are"));
    }
    if health != Health::Ok && late > 0 {
        lines.push(format!("{}.", count(late, "pair is out of step", "pairs are out of step")));
    }
    if waiting > 0 {
        lines.push(format!("{} on the way.", count(waiting, "pair has a change", "pairs have changes")));
        lines.extend(pace);
    } else if tone == Tone::Good {
        lines.push(
            "Both sides are polled, and nothing waits of what their searches show. There is nothing to do. A change that is younger than \
             their index is not seen yet: the plan on the page of its pair reads the cases themselves."
                .to_owned(),
        );
    }
    lines.extend(clocks);
    Headline { title, lines, tone }
}

/// Says that the connector's own pace is what the changes wait for, if it takes them longer than a minute.
fn own_pace(waiting: usize, syncs_per_minute: u32) -> Option<String> {
    let minutes = waiting.div_ceil(usize::try_from(syncs_per_minute).unwrap_or(usize::MAX).max(1));
    (minutes > 1).then(|| {
        format!(
            "They wait for the connector's own pace, about {syncs_per_minute} syncs a minute, some {minutes} minutes in all: the smaller of \
             google.requests_per_minute and company.requests_per_minute decides."
        )
    })
}

/// Says how often a side is polled.
fn how_often(service: &Service, side: Side) -> String {
    let every = |interval: Duration| {
        if interval == Duration::minutes(1) {
            "every minute".to_owned()
        } else {
            format!("every {}", rough_words(interval))
        }
    };
    let by_cron = service.cron_every[side];
    match service.deps.settings.poll_every[side] {
        // A poll that cron asks for in between is left out: the messages announce the changes.
        Some(interval) => {
            let longest = by_cron.map_or(interval, |by_cron| by_cron.max(interval));
            format!("{}, since push messages announce its changes", every(longest))
        }
        None => by_cron.map_or_else(
            || "whenever cron asks for it: every minute, as cron.yaml comes with the release".to_owned(),
            every,
        ),
    }
}

/// Returns the table of both systems: polls, proofs, clocks, credentials.
fn systems(service: &Service, facts: &Facts<'_>, now: DateTime<Utc>) -> Markup {
    let (deps, global) = (&*service.deps, facts.global);
    let memory = |side: Side| &global.memory[side];
    let cells = |cell: &dyn Fn(Side) -> Markup| html! { @for side in Side::BOTH { td { (cell(side)) } } };
    let skew = |side: Side| match memory(side).skew_seconds {
        None => html! { "not measured yet" },
        Some(seconds) if seconds.abs() < 2 => html! { "as ours" },
        Some(seconds) => {
            let by = rough_words(Duration::seconds(seconds.abs()));
            html! { (by) @if seconds > 0 { " ahead of ours" } @else { " behind ours" } }
        }
    };
    let lag = |side: Side| {
        let lag = memory(side).index_lag.filter(|lag| lag.seconds > 0);
        html! {
            @match lag {
                None => "nothing measured",
                Some(lag) => {
                    (rough_words(Duration::seconds(lag.seconds))) " at most, seen " (when(lag.at, now))
                    @if Duration::seconds(lag.seconds) > deps.settings.windows[side] {
                        strong { ". That is longer than the polling window; sweeps find such changes within the hour." }
                    }
                }
            }
        }
    };
    let push = |side: Side| {
        let (taken, refused) = (messages(deps, side, &PushLabels::TAKEN), facts.refused_messages[side]);
        let unproven = facts.unproven_messages[side];
        html! {
            @if !deps.settings.announced[side] { "not configured" } @else {
                (taken) " taken, "
                @if refused > 0 { strong { (refused) " refused" } } @else { "none refused" }
                " since this instance started"
                @if unproven > 0 { "; the proof of " (unproven) " was wrong" }
            }
        }
    };
    let credentials = |side: Side| match deps.systems[side].credential_end() {
        None => html! { span class="soft" { "no end is known" } },
        Some(end) => {
            let days = (end.at - now).num_days();
            html! {
                (end.what) ": "
                @if end.at <= now { strong { "ended" } } @else { (count(usize::try_from(days).unwrap_or_default(), "day left", "days left")) }
                @if days < WARN_DAYS { ". " (end.hint) }
            }
        }
    };
    html! {
        section aria-labelledby="systems" {
            h2 id="systems" { "The two systems" }
            table {
                caption { "How far the polls have come, and what proves their answers" }
                thead { tr { td {} @for side in Side::BOTH { th scope="col" { (facts.names[side]) } } } }
                tbody {
                    tr { th scope="row" { "Polled" } (cells(&|side| html! { (how_often(service, side)) })) }
                    tr {
                        th scope="row" { "Last polled" }
                        (cells(&|side| html! {
                            (when_known(global.last_polled_at(side), now))
                            @if let Some(failure) = &facts.failures[side] { br; strong { "failing since " (failure.since.format("%T").to_string()) " UTC" } }
                        }))
                    }
                    tr {
                        th scope="row" { "Proof" }
                        (cells(&|side| html! {
                            "showed a case: " (when_known(memory(side).seen_at, now)) br;
                            "named our user: " (when_known(memory(side).identified_at, now))
                        }))
                    }
                    @if Side::BOTH.into_iter().any(|side| memory(side).doubt.is_some() || memory(side).empty_since.is_some()) {
                        tr {
                            th scope="row" { "Doubt" }
                            (cells(&|side| html! {
                                @if let Some(doubt) = &memory(side).doubt { strong { (doubt) } }
                                @else if let Some(warning) = tasks::emptiness(deps, global, side) { (warning) }
                                @else { "none" }
                            }))
                        }
                    }
                    tr { th scope="row" { "Search is late by" } (cells(&lag)) }
                    @if Side::BOTH.into_iter().any(|side| deps.settings.announced[side]) { tr { th scope="row" { "Push messages" } (cells(&push)) } }
                    tr { th scope="row" { "Clock" } (cells(&skew)) }
                    tr { th scope="row" { "Credentials" } (cells(&credentials)) }
                }
            }
        }
    }
}

/// Answers `GET /cases`: all pairs, page by page.
pub(super) async fn list(
    service: &Service,
    operator: &Operator,
    which: Which,
    after: Option<MappingId>,
) -> Result<Response, Problem> {
    let deps = &service.deps;
    let global = deps.store.global().await.map_err(api::unavailable)?;
    let now = deps.clock.now();
    let page = deps.store.list(which.filter(), after, LISTED).await.map_err(api::unavailable)?;
    let tolerances = &deps.settings.tolerances;
    let shown: Vec<(CaseMapping, Standing)> = page
        .mappings
        .into_iter()
        .filter(|mapping| which.holds(mapping, &global, tolerances, now))
        .map(|mapping| {
            let standing = standing(&mapping, &global, tolerances, now);
            (mapping, standing)
        })
        .collect();
    let name = Which::ALL.iter().find(|(_, known)| *known == which).map_or("all", |(name, _)| name);
    let content = html! {
        h1 { "Pairs" }
        nav aria-label="Filter" {
            p {
                @for (known, _) in Which::ALL {
                    @if known == name { strong aria-current="true" { (known) } } @else { a href={ "/cases?filter=" (known) } { (known) } }
                    " "
                }
            }
        }
        @if shown.is_empty() { p class="soft" { "None of them on this page." } }
        table {
            caption { "Pairs of cases and their state" }
            thead { tr { th scope="col" { "Pair" } th scope="col" { "State" } th scope="col" { "Since" } } }
            tbody {
                @for (mapping, standing) in &shown {
                    tr {
                        th scope="row" { a href={ "/cases/" (mapping.id) } { (layout::pair_name(mapping)) } }
                        td { (word(standing.kind)) }
                        td { @if let Some(since) = standing.since { (when(since, now)) } }
                    }
                }
            }
        }
        @if let Some(next) = page.next {
            p { a href={ "/cases?filter=" (name) "&after=" (next) } { "Next page" } }
        }
    };
    Ok(layout::page(StatusCode::OK, "Pairs", operator.signed_in, &content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{FirstSeen, GoogleCaseName};

    fn facts(global: &Global) -> Facts<'_> {
        Facts {
            global,
            limits: Sides { google: Duration::minutes(10), company: Duration::minutes(10) },
            names: Sides { google: "Google", company: "Desk" },
            failures: Sides::default(),
            refused_messages: Sides::default(),
            unproven_messages: Sides::default(),
            syncs_per_minute: 75,
        }
    }

    #[test]
    fn the_state_is_told_in_a_sentence_with_what_to_do() {
        let now: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
        let name = GoogleCaseName::parse("organizations/1/cases/7").unwrap();
        let mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, now);
        let pair = |kind: Kind, is_late: bool| {
            let standing =
                Standing { kind, since: None, why: String::new(), advice: Cow::Borrowed(""), is_late };
            (mapping.clone(), standing)
        };
        let polled = |minutes: i64| Global {
            google_last_polled_at: Some(now),
            company_last_polled_at: Some(now - Duration::minutes(minutes)),
            ..Global::default()
        };
        for (pairs, global, title, words, tone) in [
            (vec![], polled(1), "In step", "nothing to do", Tone::Good),
            (
                vec![pair(Kind::Waiting, false)],
                polled(1),
                "In step",
                "1 pair has a change on the way",
                Tone::Good,
            ),
            (
                vec![pair(Kind::Failing, true), pair(Kind::Late, true)],
                polled(1),
                "2 pairs are out of step",
                "Begin",
                Tone::Bad,
            ),
            (
                vec![pair(Kind::Failing, false)],
                polled(1),
                "1 pair needs a look",
                "Nothing is late",
                Tone::Bad,
            ),
            (
                vec![pair(Kind::Conflict, false)],
                polled(1),
                "1 pair needs a look",
                "Nothing is late",
                Tone::Warn,
            ),
            (
                vec![],
                polled(14),
                "Not in step: a side is not polled",
                "Desk was last polled completely 14 minutes ago",
                Tone::Bad,
            ),
            (
                vec![],
                Global::default(),
                "Not in step: a side is not polled",
                "Google was never polled",
                Tone::Bad,
            ),
            (vec![], polled(-60), "The clock of this machine is wrong", "timedatectl", Tone::Bad),
        ] {
            let told = headline(&pairs, &facts(&global), now);
            assert_eq!((told.title.as_str(), told.tone), (title, tone), "{told:?}");
            assert!(told.lines.join(" ").contains(words), "{told:?}");
        }
        for (minutes, title) in [(14, "Not in step: a side is not polled"), (3, "The polls of Desk fail")] {
            let global = polled(minutes);
            let mut failure = PollFailure::new(now - Duration::minutes(3), now, "HTTP 401");
            failure.remedy = Some("check the token".to_owned());
            let failures = Sides { company: Some(failure), ..Sides::default() };
            let told = headline(&[], &Facts { failures, ..facts(&global) }, now);
            assert_eq!(told.title, title, "{told:?}");
            let cause = told.lines.iter().position(|line| line.contains("HTTP 401."));
            let remedy = told.lines.iter().position(|line| line == "Do: check the token.");
            assert!(cause.is_some() && remedy == cause.map(|cause| cause + 1), "{told:?}");
            assert!(told.tone > Tone::Plain && !told.lines.join(" ").contains("nothing to do"), "{told:?}");
        }
        let many = vec![pair(Kind::Waiting, false); 151];
        let told = headline(&many, &facts(&polled(1)), now);
        assert_eq!(told.title, "151 changes are on the way");
        assert!(told.lines.join(" ").contains("some 3 minutes"), "its own pace: {told:?}");
        let refused_messages = Sides { company: 2, ..Sides::default() };
        let told = headline(&[], &Facts { refused_messages, ..facts(&polled(1)) }, now);
        assert_eq!((told.title.as_str(), told.tone), ("In step", Tone::Warn), "{told:?}");
        assert!(told.lines.join(" ").starts_with("2 push messages of Desk were refused"), "{told:?}");
        let told = headline(
            &[],
            &Facts { refused_messages, unproven_messages: refused_messages, ..facts(&polled(1)) },
            now,
        );
        assert!(told.lines.join(" ").contains("compare push.company.secret"), "{told:?}");
        let mut behind = polled(1);
        behind.memory.company.skew_seconds = Some(-899);
        let told = headline(&[], &facts(&behind), now).lines.join(" ");
        assert!(told.contains("The clock of Desk is 15 minutes behind ours"), "{told}");
        assert!(told.contains("leave this machine's alone") && !told.contains("nothing to do"), "{told}");
        behind.memory.google.skew_seconds = Some(-901);
        let told = headline(&[], &facts(&behind), now).lines.join(" ");
        assert!(told.contains("set this machine's") && !told.contains("alone"), "{told}");
    }
}
