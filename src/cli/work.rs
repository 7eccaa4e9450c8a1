//! Commands that do one piece of work and exit.

use casebridge::cases::without_remedy;
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::config::{Config, QueueConfig};
use casebridge::entities::{CaseMapping, Global, Side, Sides, ToleranceTable};
use casebridge::queue::embedded::{self, DeadLetter};
use casebridge::sqlite;
use casebridge::store::StoreUrl;
use casebridge::tasks::{self, Mode, Outcome, Task, TaskReport, Verb, Which};

use chrono::{DateTime, Utc};

use super::parts::{Maker, Parts};
use super::probe::without_traces;

/// Runs one task without HTTP.
pub(super) async fn task(config: &Config, task: Task, dry_run: bool) -> anyhow::Result<bool> {
    // A dry run leaves no new database behind. The files are dropped after what uses them.
    let rehearsal = dry_run.then(|| without_traces(config));
    let parts = Parts::build(rehearsal.as_ref().map_or(config, |(config, _)| config)).await?;
    let mode = if dry_run { Mode::DryRun } else { Mode::Act };
    let report = tasks::run_for_person(&parts.deps, task, mode).await;
    println!("{}", serde_json::to_string_pretty(&report.to_json())?);
    if let Some(words) = queued_words(&report) {
        eprintln!("casebridge: {words}");
    }
    Ok(report.outcome == Outcome::Done)
}

/// Says that a task has only queued syncs, and who carries them. `None` if it queues none, or if it was a dry run.
fn queued_words(report: &TaskReport) -> Option<String> {
    if report.fields.contains_key("dry_run") {
        return None;
    }
    let queued = ["queued", "requeued"].iter().find_map(|name| report.fields.get(*name)?.as_u64())?;
    if queued == 0 {
        return Some(
            "no sync was queued that was not queued already; nothing is carried by this command".to_owned(),
        );
    }
    let (syncs, them) = if queued == 1 { ("sync was", "it") } else { ("syncs were", "them") };
    Some(format!(
        "{queued} {syncs} queued, and nothing is carried yet: a running `casebridge serve` carries {them}"
    ))
}

/// Returns the remarks on a mapping for people: missing cases, conflicts, given up changes and the last error.
fn remarks(mapping: &CaseMapping) -> String {
    let missing = Side::BOTH.into_iter().filter_map(|side| {
        let since = mapping.state.missing[side]?.since.format("%F %T");
        Some(format!("  the {side} case is missing since {since}"))
    });
    let read_only = Side::BOTH.into_iter().filter_map(|side| {
        let since = mapping.state.read_only[side].as_ref()?.since.format("%F %T");
        Some(format!("  the {side} case takes no changes since {since}"))
    });
    let conflict = mapping.state.conflict.iter().map(|conflict| format!("  conflict: {}", conflict.reason));
    let held = tasks::held_words(mapping).map(|held| format!("  {held}"));
    let given_up = mapping.state.refusals.iter().filter(|refusal| refusal.given_up);
    let given_up = given_up.map(|refusal| format!("  given up: {}", refusal.reason));
    let error = mapping.last_error.iter().map(|error| format!("  last error: {error}"));
    held.into_iter().chain(missing).chain(read_only).chain(conflict).chain(given_up).chain(error).collect()
}

/// Returns the name of that side's case with its address, as far as it is known.
fn name(mapping: &CaseMapping, side: Side) -> String {
    match (side, &mapping.google_case_name) {
        (Side::Google, Some(name)) => format!("{name} ({})", name.address()),
        _ => mapping.name_for_people(side).unwrap_or_else(|| "-".to_owned()),
    }
}

/// Mappings that are to be listed.
pub(super) struct Wanted<'a> {
    /// Name of a case.
    pub(super) case: Option<&'a str>,
    pub(super) which: Which,
    /// Words of a title.
    pub(super) words: Option<&'a str>,
}

/// Lists the mappings, all or that of one case. Only the store is opened, so no credentials but its own are needed, unless the case is not
/// stored under the given name: then the systems are asked.
pub(super) async fn mappings(config: &Config, wanted: &Wanted<'_>, json: bool) -> anyhow::Result<bool> {
    let Wanted { case, which, words } = *wanted;
    if let Ok(StoreUrl::Sqlite(path)) = config.store.url.parse()
        && !path.exists()
    {
        eprintln!("casebridge: no mappings: {} is not there yet; the service makes it", path.display());
        return Ok(true);
    }
    let store = Maker::default().store(&config.store.url).await?;
    let global = store.global().await?;
    let now = SystemClock.now();
    let has_words = words.map(tasks::has_words);
    let mut shown = 0;
    let mut after = None;
    loop {
        let page = store.list(which.filter(), after, 200).await?;
        let is_wanted = |mapping: &&CaseMapping| {
            case.is_none_or(|case| mapping.is_called(case))
                && which.holds(mapping, &global, &config.tasks.tolerances, now)
                && has_words.as_ref().is_none_or(|has_words| has_words(mapping))
        };
        for mapping in page.mappings.iter().filter(is_wanted) {
            shown += 1;
            show(mapping, &global, now, json);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if let (Some(words), 0) = (words, shown) {
        eprintln!("casebridge: no pair has all of these words in one title: {words}");
    }
    if let (Some(case), 0) = (case, shown) {
        let parts = Parts::build(config).await?;
        let pairs = tasks::find_pairs(&parts.deps, case).await?;
        anyhow::ensure!(!pairs.is_empty(), "no pair has the case {case}");
        for mapping in &pairs {
            show(mapping, &global, now, json);
        }
    }
    Ok(true)
}

/// Lists the tasks that the embedded queue gave up, the latest first. Only the queue's file is opened.
pub(super) async fn dead_letters(config: &Config, limit: u32, json: bool) -> anyhow::Result<bool> {
    let QueueConfig::Embedded { path, .. } = &config.queue else {
        anyhow::bail!(
            "Cloud Tasks keeps no dead letters: a task that was given up is a log entry of severity ERROR"
        );
    };
    if !path.exists() {
        eprintln!("casebridge: no dead letters: {} is not there yet; the service makes it", path.display());
        return Ok(true);
    }
    sqlite::refuse_foreign_log(path).map_err(|error| anyhow::anyhow!(error))?;
    for letter in embedded::dead_letters(path, limit).await? {
        if json {
            println!("{}", serde_json::to_string(&letter)?);
            continue;
        }
        let DeadLetter { kind, body, attempts, last_failure, given_up_at, .. } = letter;
        let times = if attempts == 1 { "attempt" } else { "attempts" };
        let body = if body.is_empty() { String::new() } else { format!(" {body}") };
        println!(
            "{} {}{body}: given up after {attempts} {times}: {last_failure}",
            given_up_at.format("%F %T UTC"),
            kind.name()
        );
    }
    Ok(true)
}

/// Shows the pairs of a case, each in several lines, or as one line of JSON. As for [`mappings`], the systems are asked only about a name that is not stored.
pub(super) async fn show_pairs(config: &Config, case: &str, json: bool) -> anyhow::Result<bool> {
    let store = Maker::default().store(&config.store.url).await?;
    let mut pairs = tasks::find_stored(store.as_ref(), case.trim()).await?;
    if pairs.is_empty() {
        let parts = Parts::build(config).await?;
        pairs = tasks::find_pairs(&parts.deps, case).await?;
        anyhow::ensure!(!pairs.is_empty(), "no pair has the case {case}");
    }
    let global = store.global().await?;
    let (tolerances, now) = (&config.tasks.tolerances, SystemClock.now());
    for mapping in &pairs {
        if json {
            println!("{}", casebridge::http::describe_pair(mapping, &global, tolerances, now));
        } else {
            show_whole(mapping, &global, tolerances, now);
        }
    }
    Ok(true)
}

/// Prints all that concerns people about a mapping.
fn show_whole(mapping: &CaseMapping, global: &Global, tolerances: &ToleranceTable, now: DateTime<Utc>) {
    let at = |time: DateTime<Utc>| time.format("%F %T UTC").to_string();
    let next =
        |time: Option<DateTime<Utc>>| time.map(|time| format!(", next by {}", at(time))).unwrap_or_default();
    let advice = tasks::standing(mapping, global, tolerances, now).advice;
    println!("mapping {}, made {}", mapping.id, at(mapping.created_at));
    for side in Side::BOTH {
        let synced = mapping.synced_at(side, global).map_or_else(|| "never".to_owned(), at);
        let waits = mapping.dirty[side].map(|dirty| format!(", waits since {}", at(dirty.since)));
        println!("{side}: {}, synced {synced}{}", name(mapping, side), waits.unwrap_or_default());
    }
    let state = match (mapping.resolved_at, mapping.paused, mapping.gone) {
        _ if mapping.held().is_some() => tasks::held_words(mapping).unwrap_or_default(),
        (_, _, Some(side)) => format!("ended: the {side} case is gone"),
        (_, true, None) => "paused: the company case has no flag".to_owned(),
        (Some(time), false, None) => format!("resolved {}", at(time)),
        (None, false, None) => "open".to_owned(),
    };
    println!("state: {state}");
    if let Some(order) = &mapping.state.linked_by {
        let reason = order.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        println!("linked by {} at {}{reason}", order.by, at(order.since));
    }
    println!("copies: {}", mapping.ledger.len());
    match (&mapping.last_error, &mapping.state.failing) {
        (None, _) => println!("last error: none"),
        (Some(error), None) => println!("last error: {error}"),
        (Some(error), Some(failing)) => println!(
            "last error: {}\n  at {}, tries: {}, since {}{}",
            without_remedy(error, failing.remedy.as_deref()),
            at(failing.last_at),
            failing.tries,
            at(failing.since),
            next(mapping.next_try())
        ),
    }
    if !advice.is_empty() {
        println!("do: {advice}");
    }
    for refusal in &mapping.state.refusals {
        let (what, remedy) =
            (if refusal.given_up { "given up" } else { "refused" }, refusal.remedy.as_deref());
        println!(
            "{what}: {}: {}\n  at {}, tries: {}, since {}{}",
            tasks::refused_words(refusal),
            without_remedy(&refusal.reason, remedy),
            at(refusal.tried_at),
            refusal.tries,
            at(refusal.since),
            next(mapping.next_try_of(refusal))
        );
        if let Some(remedy) = remedy {
            println!("  do: {remedy}");
        }
    }
    for file in &mapping.state.explained {
        let (what, of, on) =
            (tasks::source_words(&file.what), tasks::the_case(file.side.other()), tasks::the_case(file.side));
        println!("not carried: {what} of {of}, explained on {on} at {}: {}", at(file.at), file.reason);
    }
    for skipped in &mapping.state.skipped {
        let (side, id) = (skipped.side, &skipped.id);
        println!("skipped: {side}:{id} by {} at {}: {}", skipped.by, at(skipped.since), skipped.reason);
    }
    if let Some(conflict) = &mapping.state.conflict {
        println!("conflict since {}: {}", at(conflict.since), conflict.reason);
    }
}

/// Does an action of an operator on the pair of a case.
pub(super) async fn operate(config: &Config, case: &str, verb: &Verb) -> anyhow::Result<bool> {
    let parts = Parts::build(config).await?;
    let pairs = tasks::find_pairs(&parts.deps, case).await?;
    anyhow::ensure!(!pairs.is_empty(), "no pair has the case {case}");
    let by = operator();
    for mapping in pairs {
        let id = mapping.id;
        let taken = tasks::operate(&parts.deps, mapping, verb, &by).await?;
        if taken.is_empty() {
            println!("mapping {id}: {}: done", verb.name());
        }
        for (side, taken) in taken {
            println!("{side}: {}", taken.name());
        }
    }
    Ok(true)
}

/// Returns the name of whoever runs the command.
fn operator() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    format!("{} (command line)", user.as_deref().unwrap_or("somebody"))
}

/// Makes a pair of two cases.
pub(super) async fn link(
    config: &Config,
    google: &str,
    company: &str,
    reason: Option<&str>,
) -> anyhow::Result<bool> {
    let parts = Parts::build(config).await?;
    let done = tasks::link(&parts.deps, Sides { google, company }, reason, &operator()).await?;
    let mapping = &done.mapping;
    println!(
        "mapping {}: {} {} and {}",
        mapping.id,
        if done.is_new { "linked" } else { "these were a pair already:" },
        name(mapping, Side::Google),
        name(mapping, Side::Company)
    );
    for (side, taken) in done.syncs {
        println!("{side}: {}", taken.name());
    }
    if let Some(remark) = done.remark {
        println!("{remark}");
    }
    Ok(true)
}

/// Prints a mapping in one line.
fn show(mapping: &CaseMapping, global: &Global, now: DateTime<Utc>, json: bool) {
    if json {
        println!("{}", casebridge::http::describe_mapping(mapping, global, now));
        return;
    }
    let age = |side| match mapping.synced_at(side, global) {
        Some(at) => format!("{} ago", casebridge::sync::texts::duration_words(now - at)),
        None => "never".to_owned(),
    };
    let waiting: Vec<&str> =
        Side::BOTH.into_iter().filter(|side| mapping.dirty[*side].is_some()).map(Side::name).collect();
    println!(
        "{}  {}  <->  {}  {}  synced: google {}, company {}{}{}",
        mapping.id,
        name(mapping, Side::Google),
        name(mapping, Side::Company),
        if mapping.is_open() { "open" } else { "resolved" },
        age(Side::Google),
        age(Side::Company),
        if waiting.is_empty() { String::new() } else { format!("  waiting: {}", waiting.join(", ")) },
        remarks(mapping),
    );
}
