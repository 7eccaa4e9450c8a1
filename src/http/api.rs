//! Read-only views of the entities for people and dashboards, with effective stamps, dirty sides and the last error. They show no content
//! of cases.

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};

use super::parameters::{Parameters, invalid};
use super::{MAX_BODY, Problem, Service, not_utf8, part, read_body};
use crate::entities::{
    CaseMapping, Global, GoogleCaseName, MappingId, PollMemory, Refusal, Side, Sides, ToleranceTable,
};
use crate::queue::DEAD_LETTERS_KEPT;
use crate::store::{MappingFilter, StoreError};
use crate::tasks::hint::Taken;
use crate::tasks::{self, LookupError, OperateError, Verb, Which};

const MAX_PAGE: usize = 200;
/// Name of an operator who proves nothing but the admin token.
pub(super) const ADMIN: &str = "the holder of the admin token";
/// Name of an operator where there is no admin token.
pub(super) const LOCAL: &str = "somebody at this machine";

const fn operator(service: &Service) -> &'static str {
    if service.admin_token.is_some() { ADMIN } else { LOCAL }
}

/// Returns a mapping as JSON for people.
#[must_use]
pub fn describe(mapping: &CaseMapping, global: &Global, now: DateTime<Utc>) -> Value {
    let side = |side: Side| {
        json!({
            "synced_at": mapping.synced_at(side, global),
            "waiting_since": mapping.dirty[side].map(|waiting| waiting.since),
        })
    };
    json!({
        "ID": mapping.id,
        "googleCaseName": mapping.google_case_name,
        "companyCaseID": mapping.company_case_id,
        "google_case_address": mapping.google_case_name.as_ref().map(GoogleCaseName::address),
        "company_case_key": mapping.known_company_case().and_then(|known| known.key.as_ref()),
        "company_case_address": mapping.known_company_case().and_then(|known| known.address.as_ref()),
        "newContentAt": mapping.new_content_at,
        "resolvedAt": mapping.resolved_at,
        "companyUpdatesSyncedAt": mapping.company_updates_synced_at,
        "googleUpdatesSyncedAt": mapping.google_updates_synced_at,
        "outageCommentSentToGoogle": mapping.outage_comment_sent_to_google,
        "outageCommentSentToCompany": mapping.outage_comment_sent_to_company,
        "priority": mapping.priority,
        "created_at": mapping.created_at,
        "google": side(Side::Google),
        "company": side(Side::Company),
        "paused": mapping.paused,
        "operator_pause": mapping.state.operator_pause,
        "unlinked": mapping.state.unlinked,
        "linked_by": mapping.state.linked_by,
        "skipped": mapping.state.skipped,
        "gone": mapping.gone,
        "missing": {
            "google": mapping.state.missing.google.map(|missing| missing.since),
            "company": mapping.state.missing.company.map(|missing| missing.since),
        },
        "merged_into": mapping.state.merged_into,
        "conflict": mapping.state.conflict.as_ref().map(|conflict| &conflict.reason),
        "refusals": mapping.state.refusals.iter().map(|refused| refusal(mapping, refused)).collect::<Vec<_>>(),
        "explained": mapping.state.explained,
        "read_only_since": {
            "google": mapping.state.read_only.google.as_ref().map(|read_only| read_only.since),
            "company": mapping.state.read_only.company.as_ref().map(|read_only| read_only.since),
        },
        "warnings": mapping.state.warned,
        "copies": mapping.ledger.len(),
        "writes_without_answer": mapping.pending.len()
            + usize::from(mapping.pending_creation.is_some())
            + usize::from(mapping.pending_status.is_some()),
        "leased_until": mapping.lease.as_ref().map(|lease| lease.expires_at).filter(|until| *until > now),
        "last_error": mapping.last_error,
    })
}

/// Returns a mapping as JSON for people, with the company case's own name, the failed syncs and what to do, which [`describe`] has not.
#[must_use]
pub fn describe_whole(
    mapping: &CaseMapping,
    global: &Global,
    tolerances: &ToleranceTable,
    now: DateTime<Utc>,
) -> Value {
    let mut whole = describe(mapping, global, now);
    let advice = tasks::standing(mapping, global, tolerances, now).advice;
    whole["failing"] = json!(mapping.state.failing);
    whole["next_try"] = json!(mapping.next_try());
    whole["remedy"] = json!(Some(advice).filter(|advice| !advice.is_empty()));
    whole["company_case"] = json!(mapping.state.company_case);
    whole["linked_at"] = json!(mapping.linked_at);
    whole
}

/// Returns a refused change of a pair as JSON for people.
fn refusal(mapping: &CaseMapping, refusal: &Refusal) -> Value {
    json!({
        "side": refusal.side,
        "what": refusal.what,
        "since": refusal.since,
        "tries": refusal.tries,
        "tried_at": refusal.tried_at,
        "next_try": mapping.next_try_of(refusal),
        "reason": refusal.reason,
        "remedy": refusal.remedy,
        "given_up": refusal.given_up,
    })
}

pub(super) async fn mappings(
    State(service): State<Service>,
    Extension(parameters): Extension<Parameters>,
) -> Result<Json<Value>, Problem> {
    let after = parameters.number("after")?.map(MappingId);
    let limit = parameters.number::<usize>("limit")?.unwrap_or(50).clamp(1, MAX_PAGE);
    let filter = match parameters.text("filter") {
        None | Some("all") => MappingFilter::All,
        Some("waiting") => MappingFilter::NeedsWatching,
        Some("open") => MappingFilter::Open,
        Some(_) => return Err(invalid("filter must be all, waiting or open".to_owned())),
    };
    let store = &service.deps.store;
    let global = store.global().await.map_err(unavailable)?;
    if let Some(case) = parameters.text("case") {
        let pairs = tasks::find_pairs(&service.deps, case).await.map_err(not_found)?;
        let now = service.deps.clock.now();
        let mappings: Vec<Value> = pairs.iter().map(|mapping| describe(mapping, &global, now)).collect();
        return Ok(Json(json!({ "mappings": mappings, "next": null })));
    }
    let page = store.list(filter, after, limit).await.map_err(unavailable)?;
    let now = service.deps.clock.now();
    let mappings: Vec<Value> = page.mappings.iter().map(|mapping| describe(mapping, &global, now)).collect();
    Ok(Json(json!({ "mappings": mappings, "next": page.next })))
}

pub(super) async fn mapping(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let id = part(id)?.parse().map(MappingId);
    let id = id.map_err(|_| {
        invalid(
            "the ID of a mapping is a whole number; the pair of a case is at /api/mappings?case=".to_owned(),
        )
    })?;
    let store = &service.deps.store;
    let global = store.global().await.map_err(unavailable)?;
    match store.get(id).await.map_err(unavailable)? {
        Some(mapping) => Ok(Json(describe(&mapping, &global, service.deps.clock.now()))),
        None => Err(Problem::new(StatusCode::NOT_FOUND, "There is no such mapping")),
    }
}

pub(super) async fn pairs(
    State(service): State<Service>,
    Extension(parameters): Extension<Parameters>,
) -> Result<Json<Value>, Problem> {
    let after = parameters.number("after")?.map(MappingId);
    let limit = parameters.number::<usize>("limit")?.unwrap_or(MAX_PAGE).clamp(1, MAX_PAGE);
    let wanted = parameters.text("filter").unwrap_or("all");
    let Some((_, which)) = Which::ALL.into_iter().find(|(name, _)| *name == wanted) else {
        let names = Which::ALL.map(|(name, _)| name);
        return Err(invalid(format!("filter must be one of {}", names.join(", "))));
    };
    let (store, tolerances) = (&service.deps.store, &service.deps.settings.tolerances);
    let global = store.global().await.map_err(unavailable)?;
    let page = store.list(which.filter(), after, limit).await.map_err(unavailable)?;
    let now = service.deps.clock.now();
    let has_title = parameters.text("title").map(tasks::has_title);
    let has_words = parameters.text("words").map(tasks::has_words);
    let mappings = page.mappings.iter().filter(|mapping| {
        which.holds(mapping, &global, tolerances, now)
            && has_title.as_ref().is_none_or(|has_title| has_title(mapping))
            && has_words.as_ref().is_none_or(|has_words| has_words(mapping))
    });
    let mappings: Vec<Value> =
        mappings.map(|mapping| describe_whole(mapping, &global, tolerances, now)).collect();
    // A page may be empty although others follow: only `next` tells the end.
    Ok(Json(json!({ "mappings": mappings, "next": page.next })))
}

pub(super) async fn dead_letters(
    State(service): State<Service>,
    Extension(parameters): Extension<Parameters>,
) -> Result<Json<Value>, Problem> {
    let limit = parameters.number::<u32>("limit")?.unwrap_or(DEAD_LETTERS_KEPT).clamp(1, DEAD_LETTERS_KEPT);
    let letters = service.deps.queue.dead_letters(limit).await.map_err(|error| {
        tracing::error!("{error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The queue cannot be read").detail(error.to_string())
    })?;
    let Some(letters) = letters else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "Cloud Tasks keeps no dead letters")
            .detail("a task that was given up is a log entry of severity ERROR".to_owned()));
    };
    Ok(Json(json!({ "dead_letters": letters })))
}

async fn pairs_of(service: &Service, case: &str) -> Result<Vec<CaseMapping>, Problem> {
    let pairs = tasks::find_pairs(&service.deps, case).await.map_err(not_found)?;
    if pairs.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "No pair has that case"));
    }
    Ok(pairs)
}

pub(super) async fn pair(
    State(service): State<Service>,
    case: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Problem> {
    let pairs = pairs_of(&service, &part(case)?).await?;
    let global = service.deps.store.global().await.map_err(unavailable)?;
    let now = service.deps.clock.now();
    let tolerances = &service.deps.settings.tolerances;
    let whole = |mapping| describe_whole(mapping, &global, tolerances, now);
    let mappings: Vec<Value> = pairs.iter().map(whole).collect();
    Ok(Json(json!({ "mappings": mappings })))
}

/// Does an action of an operator on the pairs of a case: see [`tasks::Verb`].
pub(super) async fn act(
    State(service): State<Service>,
    path: Result<Path<(String, String)>, PathRejection>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let Path((case, name)) = path.map_err(|_| not_utf8())?;
    if !Verb::NAMES.contains(&name.as_str()) {
        let detail = format!("the actions are {}", Verb::NAMES.join(", "));
        return Err(Problem::new(StatusCode::NOT_FOUND, "There is no such action").detail(detail));
    }
    let body = read_body(body, MAX_BODY).await?;
    let Asked { item, reason } = if body.trim_ascii().is_empty() {
        Asked::default()
    } else {
        serde_json::from_slice(&body).map_err(|_| {
            let detail =
                r#"it may be empty, or JSON like {"item": "77", "reason": "…"}, with no other field"#;
            Problem::new(StatusCode::BAD_REQUEST, "The body is not valid").detail(detail.to_owned())
        })?
    };
    let Some(verb) = Verb::new(&name, item, reason) else {
        let detail = format!(r#"{name} needs a body like {{"item": "77", "reason": "…"}}"#);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "The body is not valid").detail(detail));
    };
    let mut done = Vec::new();
    for mapping in pairs_of(&service, &case).await? {
        let id = mapping.id;
        let taken =
            tasks::operate(&service.deps, mapping, &verb, operator(&service)).await.map_err(not_done)?;
        done.push(json!({ "ID": id, "action": verb.name(), "syncs": self::taken(taken) }));
    }
    Ok(Json(json!({ "mappings": done })))
}

/// Links two cases that exist, by the order of an operator.
pub(super) async fn link(State(service): State<Service>, body: Body) -> Result<Json<Value>, Problem> {
    let body = read_body(body, MAX_BODY).await?;
    let asked: AskedLink = serde_json::from_slice(&body).map_err(|_| {
        let detail =
            r#"it must be JSON like {"google_case": "51234456", "company_case": "SUP-3", "reason": "…"}, with no other field"#;
        Problem::new(StatusCode::BAD_REQUEST, "The body is not valid").detail(detail.to_owned())
    })?;
    let cases = Sides { google: asked.google_case.as_str(), company: asked.company_case.as_str() };
    let done = tasks::link(&service.deps, cases, asked.reason.as_deref(), operator(&service))
        .await
        .map_err(not_done)?;
    let global = service.deps.store.global().await.map_err(unavailable)?;
    Ok(Json(json!({
        "new": done.is_new,
        "syncs": taken(done.syncs),
        "remark": done.remark,
        "mapping": describe_whole(
            &done.mapping,
            &global,
            &service.deps.settings.tolerances,
            service.deps.clock.now(),
        ),
    })))
}

/// Returns what became of the sync of each side, as JSON for people.
fn taken(syncs: Vec<(Side, Taken)>) -> serde_json::Map<String, Value> {
    syncs.into_iter().map(|(side, taken)| (side.name().to_owned(), taken.name().into())).collect()
}

/// Fields of the body that names two cases to be linked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedLink {
    google_case: String,
    company_case: String,
    #[serde(default)]
    reason: Option<String>,
}

/// Fields of the body of an action.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    item: Option<String>,
    #[serde(default)]
    reason: Option<String>,
}

/// Converts the reason why an action was not done.
pub(super) fn not_done(error: OperateError) -> Problem {
    match error {
        OperateError::Refused(detail) => {
            Problem::new(StatusCode::CONFLICT, "The pair does not allow this").detail(detail)
        }
        OperateError::Store(error) => unavailable(error),
        OperateError::Api(_) | OperateError::Queue(_) => {
            tracing::error!("{error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The action failed").detail(error.to_string())
        }
    }
}

pub(super) async fn global(State(service): State<Service>) -> Result<Json<Value>, Problem> {
    let global = service.deps.store.global().await.map_err(unavailable)?;
    Ok(Json(json!({
        "ID": Global::ID,
        "google_last_polled_at": global.google_last_polled_at,
        "company_last_polled_at": global.company_last_polled_at,
        "google": memory(&global.memory[Side::Google]),
        "company": memory(&global.memory[Side::Company]),
    })))
}

/// Returns the state that the polls of one side keep between runs, as JSON for people.
fn memory(memory: &PollMemory) -> Value {
    json!({
        "shown_until": memory.shown_until,
        "seen_at": memory.seen_at,
        "identified_at": memory.identified_at,
        "swept_day_at": memory.swept_day_at,
        "swept_all_at": memory.swept_all_at,
        "empty_since": memory.empty_since,
        "index_lag_seconds": memory.index_lag.map(|lag| lag.seconds),
        "clock_skew_seconds": memory.skew_seconds,
        "doubt": memory.doubt,
    })
}

pub(super) fn not_found(error: LookupError) -> Problem {
    match error {
        LookupError::NoName(detail) => invalid(format!("case: {detail}")),
        LookupError::Store(error) => unavailable(error),
        LookupError::Api(error) => {
            tracing::error!("{error}");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The case could not be looked up")
                .detail(error.to_string())
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "given to map_err")]
pub(super) fn unavailable(error: StoreError) -> Problem {
    tracing::error!("{error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The store cannot be used").detail(error.to_string())
}
