//! `GET /cases/{id}`: one pair, all that is known of it, and the actions on it as forms.

use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use serde_json::Value;

use super::super::Service;
use super::gate::{self, Operator};
use super::layout::{self, Tone, case_link, pair_name, tried, tries, when, when_known, word};
use crate::cases::without_remedy;
use crate::entities::{CaseMapping, Entry, Global, ItemKind, Refusal, Side, Source};
use crate::tasks::{self, Deps, Kind, Standing, TaskReport, refused_words, source_words, standing, the_case};

/// Number of ledger entries that are shown, newest first.
const MOST_ENTRIES: usize = 40;

/// Sentences after an action, by the code that the redirect carries.
const DONE: [(&str, Tone, &str); 13] = [
    ("synced", Tone::Good, "Synced: both sides were read and carried."),
    ("sync-failed", Tone::Bad, "The sync failed; the error is below."),
    ("sync-waits", Tone::Plain, "Another sync of this pair is under way. Reload the page in a moment."),
    ("sync-runs", Tone::Plain, "The sync is still running. Reload the page in a moment."),
    ("retry", Tone::Good, "Syncs of both sides are queued, with what was given up."),
    ("pause", Tone::Good, "Paused. Changes are noted, and carried when the pair is resumed."),
    ("resume", Tone::Good, "Resumed. Syncs of both sides are queued."),
    ("unlink", Tone::Good, "Unlinked. Both cases stay as they are."),
    ("skip", Tone::Good, "The item is skipped."),
    ("link", Tone::Good, "Linked. Syncs of both sides are queued, and carry what was written before."),
    (
        "link-unflagged",
        Tone::Plain,
        "Linked. The company case is not flagged: set its flag now, and it is carried.",
    ),
    ("was-linked", Tone::Plain, "The two cases were a pair already. Syncs of both sides are queued."),
    ("nothing", Tone::Plain, "There was nothing to do."),
];

/// Plan as of now on the page of a pair.
#[derive(Debug)]
pub(super) enum PlanNow {
    /// Not asked for: it costs calls.
    NotAsked,
    /// Its dry run takes longer than the page waits.
    TakesLonger,
    /// Reports of the dry run of each side.
    Known(Vec<(Side, TaskReport)>),
}

/// Returns the page of a pair. `done` is the code of the action before it.
pub(super) fn show(
    service: &Service,
    operator: &Operator,
    mapping: &CaseMapping,
    global: &Global,
    done: Option<&str>,
    plan: &PlanNow,
) -> Response {
    let now = service.deps.clock.now();
    let standing = standing(mapping, global, &service.deps.settings.tolerances, now);
    let name = pair_name(mapping);
    let done = DONE.iter().find(|(code, ..)| Some(*code) == done);
    let content = html! {
        @if let Some((_, tone, sentence)) = done {
            p class={ "head " (tone.class()) } role="status" { (sentence) }
        }
        (head(mapping, &standing, &name, now))
        (sides(&service.deps, mapping, global, now))
        (refused(mapping, now))
        (what_would_happen(&service.deps, mapping, plan, now))
        (actions(mapping, &standing, &gate::form_token(service, operator)))
        (ledger(mapping, now))
        (state(mapping, now))
    };
    layout::page(StatusCode::OK, &name, operator.signed_in, &content)
}

fn head(mapping: &CaseMapping, standing: &Standing, name: &str, now: DateTime<Utc>) -> Markup {
    let tone = if standing.is_late { Tone::Bad } else { Tone::of(standing.kind) };
    html! {
        div class={ "head " (tone.class()) } {
            h1 { (name) }
            p {
                (word(standing.kind))
                @if standing.is_late && standing.kind != Kind::Late { " " (word(Kind::Late)) }
                @if let Some(since) = standing.since { " since " (when(since, now)) }
            }
            @if standing.kind == Kind::Failing {
                p { "Last error:" }
                pre { (standing.why) }
            } @else if !standing.why.is_empty() {
                p { (standing.why) }
            }
            (tried(mapping, now))
            @if !standing.advice.is_empty() { p { strong { "Do: " } (standing.advice) } }
        }
    }
}

fn since_or_no(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Markup {
    since.map_or_else(|| html! { "no" }, |since| html! { "since " (when(since, now)) })
}

/// Returns true if a sync works on the pair.
fn is_at_work(mapping: &CaseMapping, now: DateTime<Utc>) -> bool {
    mapping.lease.as_ref().is_some_and(|lease| lease.expires_at > now)
}

/// Returns the table of both cases.
fn sides(deps: &Deps, mapping: &CaseMapping, global: &Global, now: DateTime<Utc>) -> Markup {
    let cells = |cell: &dyn Fn(Side) -> Markup| html! { @for side in Side::BOTH { td { (cell(side)) } } };
    let state = &mapping.state;
    html! {
        section aria-labelledby="cases" {
            h2 id="cases" { "The two cases" }
            table {
                caption { "Both cases, and as of when each has been carried to the other" }
                thead { tr { td {} @for side in Side::BOTH { th scope="col" { (tasks::name_of_side(deps, side)) } } } }
                tbody {
                    tr { th scope="row" { "Case" } (cells(&|side| case_link(mapping, side))) }
                    tr { th scope="row" { "ID" } (cells(&|side| html! { (mapping.case_id(side).unwrap_or("none yet")) })) }
                    tr { th scope="row" { "In step as of" } (cells(&|side| when_known(mapping.synced_at(side, global), now))) }
                    tr {
                        th scope="row" { "Waits" }
                        (cells(&|side| since_or_no(mapping.dirty[side].map(|dirty| dirty.since), now)))
                    }
                    @if Side::BOTH.into_iter().any(|side| mapping.outage_comment_sent_to(side)) {
                        tr { th scope="row" { "Outage notice" } (cells(&|side| html! { @if mapping.outage_comment_sent_to(side) { "stands on the case" } @else { "none" } })) }
                    }
                    @if Side::BOTH.into_iter().any(|side| state.missing[side].is_some()) {
                        tr { th scope="row" { "Not found" } (cells(&|side| since_or_no(state.missing[side].map(|missing| missing.since), now))) }
                    }
                    @if Side::BOTH.into_iter().any(|side| state.read_only[side].is_some()) {
                        tr { th scope="row" { "Takes no changes" } (cells(&|side| since_or_no(state.read_only[side].as_ref().map(|read_only| read_only.since), now))) }
                    }
                }
            }
        }
    }
}

/// Says how often a write was refused, since when, and when it is tried again.
fn refused_tries(mapping: &CaseMapping, refusal: &Refusal, now: DateTime<Utc>) -> Markup {
    html! {
        p class="small soft" {
            (tries(refusal.tries)) ", the first at " (when(refusal.since, now))
            @if refusal.tries > 1 { ", the last one at " (when(refusal.tried_at, now)) }
            @match mapping.next_try_of(refusal) {
                Some(next) if next > now => { "; the next one by " (when(next, now)) }
                Some(_) => "; the next one is due",
                None if refusal.given_up => "; not tried again before Retry",
                None => "; not tried while nothing is carried",
            }
        }
    }
}

/// Returns the lists of refused writes, of files that no system takes, of skipped items and of writes without an answer.
fn refused(mapping: &CaseMapping, now: DateTime<Utc>) -> Markup {
    let state = &mapping.state;
    html! {
        @if !state.refusals.is_empty() {
            section aria-labelledby="refused" {
                h2 id="refused" { "Refused" }
                ul {
                    @for refusal in &state.refusals {
                        li {
                            strong { @if refusal.given_up { "Given up: " } @else { "Still tried: " } }
                            (refused_words(refusal)) ": " (without_remedy(&refusal.reason, refusal.remedy.as_deref()))
                            (refused_tries(mapping, refusal, now))
                            @if let Some(remedy) = &refusal.remedy { p class="small" { strong { "Do: " } (remedy) } }
                        }
                    }
                }
            }
        }
        @if !state.explained.is_empty() {
            section aria-labelledby="explained" {
                h2 id="explained" { "Not carried, and explained" }
                p class="small soft" { "Never tried again: a comment on the case stands in the place of each of these files, and says why." }
                ul {
                    @for file in state.explained.iter().rev() {
                        li {
                            (source_words(&file.what)) " of " (the_case(file.side.other())) ", explained on " (the_case(file.side)) ", "
                            (when(file.at, now)) ": " (file.reason)
                        }
                    }
                }
            }
        }
        @if !state.skipped.is_empty() {
            section aria-labelledby="skipped" {
                h2 id="skipped" { "Skipped" }
                ul {
                    @for skipped in &state.skipped {
                        li { code { (skipped.side) ":" (skipped.id) } " by " (skipped.by) ", " (when(skipped.since, now)) ": " (skipped.reason) }
                    }
                }
            }
        }
        @if mapping.awaits_outcome() {
            section aria-labelledby="unanswered" {
                @if is_at_work(mapping, now) {
                    h2 id="unanswered" { "Being written now" }
                    p class="small soft" { "A sync is at work. It notes what it writes before it sends it, so that nothing is written twice." }
                } @else {
                    h2 id="unanswered" { "Writes without an answer" }
                    p class="small soft" { "They are searched for before anything is written again." }
                }
                ul {
                    @for pending in &mapping.pending { li { (source_words(&pending.source)) " to " (the_case(pending.side)) ", sent by " (when(pending.attempted_at, now)) } }
                    @if let Some(creation) = mapping.pending_creation { li { "creation of " (the_case(creation.side)) ", sent by " (when(creation.attempted_at, now)) } }
                    @if let Some(status) = mapping.pending_status { li { @if status.closed { "closing" } @else { "reopening" } " of " (the_case(status.side)) ", sent by " (when(status.attempted_at, now)) } }
                }
            }
        }
    }
}

/// Returns the forms. Each is a `POST` that is answered with a redirect, but for the dry run, which changes nothing.
fn actions(mapping: &CaseMapping, standing: &Standing, token: &str) -> Markup {
    let action = |name: &str, inner: Markup| {
        html! {
            form method="post" action={ "/cases/" (mapping.id) "/" (name) } {
                input type="hidden" name="token" value=(token);
                (inner)
            }
        }
    };
    let is_held = mapping.held().is_some();
    let reason = |id: &str| {
        html! {
            label for=(id) { "Reason (kept and shown)" }
            input id=(id) name="reason" maxlength="300" autocomplete="off";
        }
    };
    html! {
        section aria-labelledby="actions" {
            h2 id="actions" { "Actions" }
            div class="actions" {
                @if !is_held {
                    section {
                        h3 { "Carry" }
                        (action("sync", html! { p class="small" { "Reads both cases and carries what is new, now." } button { "Sync now" } }))
                        (action("dry-run", html! { p class="small" { "Shows what a sync would do, and changes nothing." } button class="plain" { "Dry run" } }))
                        (action("retry", html! { p class="small" { "Also tries what was refused or given up." } button class="plain" { "Retry" } }))
                    }
                    section {
                        h3 { "Pause" }
                        (action("pause", html! { p class="small" { "Carries nothing until you resume it. Changes are noted." } (reason("pause-reason")) button class="plain" { "Pause" } }))
                    }
                } @else {
                    section {
                        h3 { "Resume" }
                        (action("resume", html! { p class="small" { "Goes on, and carries what was written in between." } button { "Resume" } }))
                        @if standing.kind == Kind::PausedByOperator {
                            (action("dry-run", html! { p class="small" { "Shows what would be carried." } button class="plain" { "Dry run" } }))
                        }
                    }
                }
                section {
                    h3 { "Skip an item" }
                    (action("skip", html! {
                        p class="small" { "Leaves out one comment or file that can never be carried." }
                        label for="item" { "ID of the comment or file" }
                        input id="item" name="item" required maxlength="300" autocomplete="off";
                        label for="skip-reason" { "Reason (kept and shown)" }
                        input id="skip-reason" name="reason" required maxlength="300" autocomplete="off";
                        button class="plain" { "Skip" }
                    }))
                }
                @if mapping.state.unlinked.is_none() && mapping.is_linked() {
                    section {
                        h3 { "Unlink" }
                        (action("unlink", html! {
                            p class="small" { "Ends the pair. Both cases stay, and no poll links them again. Nothing is written on them: tell the people." }
                            (reason("unlink-reason"))
                            button class="destructive" { "Unlink" }
                        }))
                    }
                }
            }
        }
    }
}

/// Returns the table of what became what, the newest first.
fn ledger(mapping: &CaseMapping, now: DateTime<Utc>) -> Markup {
    let total = mapping.ledger.len();
    html! {
        section aria-labelledby="ledger" {
            h2 id="ledger" { "What became what (" (total) ")" }
            @if total == 0 { p class="soft" { "Nothing was written yet." } } @else {
                table {
                    caption { "Items that the connector wrote and still remembers, the newest first" @if total > MOST_ENTRIES { "; " (MOST_ENTRIES) " of " (total) } }
                    thead { tr { th scope="col" { "Original" } th scope="col" { "Written as" } th scope="col" { "When" } } }
                    tbody {
                        @for entry in mapping.ledger.entries().rev().take(MOST_ENTRIES) {
                            tr {
                                td { (source_words(&entry.source)) @if !matches!(entry.source, Source::Notice(_)) { " of " (the_case(entry.side.other())) } }
                                td {
                                    @if is_explained(entry) { strong { "not carried" } ", explained in " }
                                    @match entry.kind { ItemKind::Comment => "comment ", ItemKind::Attachment => "file " } (entry.id) " on " (the_case(entry.side))
                                }
                                td { (when_known(entry.written_at, now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// True if a file was not carried, and a comment says so (`R33`: final refusals).
fn is_explained(entry: &Entry) -> bool {
    entry.kind == ItemKind::Comment && matches!(entry.source, Source::Attachment { .. })
}

fn state(mapping: &CaseMapping, now: DateTime<Utc>) -> Markup {
    html! {
        section aria-labelledby="state" {
            h2 id="state" { "Mapping " (mapping.id) }
            table {
                caption { "What is stored of this pair" }
                tbody {
                    tr { th scope="row" { "Began" } td { "on the " (mapping.origin) " side, " (when(mapping.created_at, now)) } }
                    tr {
                        th scope="row" { "Linked" }
                        td {
                            (when_known(mapping.linked_at, now))
                            @if let Some(order) = &mapping.state.linked_by {
                                ", by " (order.by)
                                @if let Some(reason) = &order.reason { " (" (reason) ")" }
                            }
                        }
                    }
                    tr { th scope="row" { "Last change noticed" } td { (when(mapping.new_content_at, now)) } }
                    tr { th scope="row" { "Priority" } td { @match mapping.priority { Some(priority) => (priority), None => "unknown" } } }
                    tr { th scope="row" { "Resolved" } td { @match mapping.resolved_at { Some(at) => (when(at, now)), None => "no" } } }
                    tr { th scope="row" { "Lease" } td { @match mapping.lease.as_ref().filter(|lease| lease.expires_at > now) { Some(lease) => { "a sync works on it, until " (lease.expires_at.format("%H:%M:%S").to_string()) " UTC at most" }, None => "free" } } }
                    @if !mapping.state.warned.is_empty() { tr { th scope="row" { "Warnings" } td { @for code in &mapping.state.warned { (code) " " } } } }
                }
            }
        }
    }
}

/// Returns the page of a dry run's plans.
pub(super) fn plan(
    deps: &Deps,
    operator: &Operator,
    mapping: &CaseMapping,
    reports: &[(Side, TaskReport)],
) -> Response {
    let name = pair_name(mapping);
    let content = html! {
        h1 { "Dry run of " (name) }
        p role="status" { "Nothing was changed. A sync would do this now:" }
        @for (side, report) in reports {
            section {
                h2 { "From " (tasks::name_of_side(deps, *side)) }
                (steps(report))
            }
        }
        p { a href={ "/cases/" (mapping.id) } { "Back to the pair" } }
    };
    layout::page(StatusCode::OK, &format!("Dry run of {name}"), operator.signed_in, &content)
}

/// Returns the steps of one side's plan, in the words of a dry run.
fn steps(report: &TaskReport) -> Markup {
    let plan = report.shown.get("plan").and_then(Value::as_array);
    let steps: Vec<&str> = plan.into_iter().flatten().filter_map(Value::as_str).collect();
    html! {
        @if let Some(detail) = &report.detail { p { (detail) } }
        @if let Some(title) = report.shown.get("title").and_then(Value::as_str) { p { "Title: " (title) } }
        @if !steps.is_empty() { ol class="plan" { @for step in steps { li { (step) } } } }
        @else if report.detail.is_none() { p class="soft" { "Nothing." } }
    }
}

/// Returns the section with the plan as of now, or with the button that asks for it.
fn what_would_happen(deps: &Deps, mapping: &CaseMapping, plan: &PlanNow, now: DateTime<Utc>) -> Markup {
    let button = match plan {
        PlanNow::NotAsked => "Show the plan",
        PlanNow::TakesLonger | PlanNow::Known(_) => "Show the plan again",
    };
    html! {
        section id="plan" aria-labelledby="plan-title" {
            h2 id="plan-title" { "What would happen now" }
            @match plan {
                PlanNow::NotAsked => { p class="small soft" { "Reads both cases, which takes a few calls to each system, and changes nothing." } }
                PlanNow::TakesLonger => { p role="status" { "Both cases are still being read. Ask again in a moment." } }
                PlanNow::Known(reports) => {
                    p role="status" { "As of " (now.format("%H:%M:%S").to_string()) " UTC. Nothing was changed. A sync would do this:" }
                    @for (side, report) in reports {
                        h3 { "From " (tasks::name_of_side(deps, *side)) }
                        (steps(report))
                    }
                }
            }
            form method="get" action={ "/cases/" (mapping.id) "#plan" } {
                input type="hidden" name="plan" value="1";
                button class="plain" { (button) }
            }
        }
    }
}
