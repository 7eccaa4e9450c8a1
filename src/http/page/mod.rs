//! Pages for operators: which case is stuck, since when, why, and what to do. Rendered here, without scripts and without a build step.

mod gate;
mod layout;
mod overview;
mod pair;
mod plots;
mod search;
mod sign_ins;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::{Extension, http};
use maud::html;
use url::form_urlencoded;

use super::auth::was_passed_on;
use super::parameters::{Parameters, invalid};
use super::{Problem, Service, api, index, part, read_body};
use crate::entities::{CaseMapping, MappingId, Side, Sides};
use crate::tasks::{self, Mode, Outcome, SyncCompanyCase, SyncGoogleCase, Task, TaskReport, Verb, Which};
use crate::telemetry::detached;

pub(super) use gate::{Operator, operator};
use layout::page;
use pair::PlanNow;
pub(super) use sign_ins::SignIns;
use sign_ins::{Admitted, DELAY, MOST_WRONG, Sender};

/// Maximum size of a form, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// Time for which a page waits for a sync. The sync goes on after that.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns true if the caller is a browser that shows pages.
pub(super) fn takes_pages(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accepts.split(',').any(|media| media.trim().starts_with("text/html"))
}

fn peer(extensions: &http::Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0)
}

/// Answers a refused request: a browser gets a page, or the form to sign in; others get the problem as JSON.
pub(super) fn refused(service: &Service, headers: &HeaderMap, problem: Problem) -> Response {
    if !takes_pages(headers) {
        return problem.into_response();
    }
    let (status, title, detail) = problem.parts();
    if status == StatusCode::UNAUTHORIZED && service.admin_token.is_some() {
        return Redirect::to("/signin").into_response();
    }
    let content = html! {
        h1 { (title) }
        @if let Some(detail) = detail { p { (detail) } }
        p { a href="/" { "Back to the overview" } }
    };
    page(status, title, false, &content)
}

/// `GET /`: the overview in a browser, the list of routes elsewhere.
pub(super) async fn root(
    State(service): State<Service>,
    Extension(parameters): Extension<Parameters>,
    request: Request,
) -> Response {
    let headers = request.headers();
    if !takes_pages(headers) {
        return index::text().into_response();
    }
    let peer = peer(request.extensions());
    let shown = async {
        let operator = operator(&service, headers, peer).await?;
        let after = parameters.number("after")?.map(MappingId);
        overview::show(&service, &operator, parameters.text("q"), after).await
    };
    let shown = shown.await;
    shown.unwrap_or_else(|problem| refused(&service, headers, problem))
}

/// `GET /assets/page.css`.
pub(super) async fn style() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, layout::STYLE).into_response()
}

/// `GET /cases`.
pub(super) async fn list(
    State(service): State<Service>,
    Extension(operator): Extension<Operator>,
    Extension(parameters): Extension<Parameters>,
    headers: HeaderMap,
) -> Response {
    let shown = async {
        let after = parameters.number("after")?.map(MappingId);
        let wanted = parameters.text("filter").unwrap_or("open");
        let Some((_, which)) = Which::ALL.into_iter().find(|(name, _)| *name == wanted) else {
            return Err(invalid(format!(
                "filter must be one of {}",
                Which::ALL.map(|(name, _)| name).join(", ")
            )));
        };
        overview::list(&service, &operator, which, after).await
    };
    shown.await.unwrap_or_else(|problem| refused(&service, &headers, problem))
}

async fn mapping_of(service: &Service, id: &str) -> Result<CaseMapping, Problem> {
    let id = id.parse().map(MappingId).map_err(|_| {
        invalid("the ID of a mapping is a whole number; the overview finds the pair of a case".to_owned())
    })?;
    let found = service.deps.store.get(id).await.map_err(api::unavailable)?;
    found.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "There is no such mapping"))
}

/// `GET /cases/{id}`.
pub(super) async fn pair(
    State(service): State<Service>,
    id: Result<Path<String>, PathRejection>,
    Extension(operator): Extension<Operator>,
    Extension(parameters): Extension<Parameters>,
    headers: HeaderMap,
) -> Response {
    let shown = async {
        let mapping = mapping_of(&service, &part(id)?).await?;
        let global = service.deps.store.global().await.map_err(api::unavailable)?;
        let plan = match parameters.text("plan") {
            None => PlanNow::NotAsked,
            Some("1") => {
                let reports = run(&service, &operator, &mapping, Mode::DryRun).await?;
                reports.map_or(PlanNow::TakesLonger, PlanNow::Known)
            }
            Some(_) => return Err(invalid("plan must be 1".to_owned())),
        };
        Ok(pair::show(&service, &operator, &mapping, &global, parameters.text("done"), &plan))
    };
    shown.await.unwrap_or_else(|problem| refused(&service, &headers, problem))
}

/// Returns the fields of a form.
async fn form(body: Body) -> Result<BTreeMap<String, String>, Problem> {
    let body = read_body(body, MAX_FORM).await?;
    Ok(form_urlencoded::parse(&body).into_owned().collect())
}

/// `POST /cases/{id}/{action}`: does an action, and sends the browser back to the pair.
pub(super) async fn act(
    State(service): State<Service>,
    path: Result<Path<(String, String)>, PathRejection>,
    Extension(operator): Extension<Operator>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        let Path((id, action)) = path.map_err(|_| super::not_utf8())?;
        let mut form = form(body).await?;
        gate::check_form(&service, &operator, &headers, form.get("token").map(String::as_str))?;
        let mapping = mapping_of(&service, &id).await?;
        let code = match action.as_str() {
            "dry-run" => {
                let reports = run(&service, &operator, &mapping, Mode::DryRun).await?;
                return Ok(pair::plan(&service.deps, &operator, &mapping, &reports.unwrap_or_default()));
            }
            "sync" => match run(&service, &operator, &mapping, Mode::Act).await? {
                None => "sync-runs",
                Some(reports) if reports.iter().all(|(_, report)| report.outcome == Outcome::Done) => {
                    "synced"
                }
                Some(reports) if reports.iter().any(|(_, report)| report.contended) => "sync-waits",
                Some(_) => "sync-failed",
            },
            name if Verb::NAMES.contains(&name) => {
                let verb = Verb::new(name, form.remove("item"), form.remove("reason")).ok_or_else(|| {
                    Problem::new(StatusCode::BAD_REQUEST, "A field is empty")
                        .detail("name the item, and say why: the reason is kept".to_owned())
                })?;
                let done = tasks::operate(&service.deps, mapping.clone(), &verb, &operator.name).await;
                done.map_err(api::not_done)?;
                verb.name()
            }
            _ => return Err(Problem::new(StatusCode::NOT_FOUND, "There is no such action")),
        };
        Ok(Redirect::to(&format!("/cases/{}?done={code}", mapping.id)).into_response())
    };
    done.await.unwrap_or_else(|problem| refused(&service, &headers, problem))
}

/// `POST /cases/link`: links two cases that exist, and sends the browser to their pair.
pub(super) async fn link(
    State(service): State<Service>,
    Extension(operator): Extension<Operator>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let done = async {
        let form = form(body).await?;
        gate::check_form(&service, &operator, &headers, form.get("token").map(String::as_str))?;
        let field = |name: &str| form.get(name).map(|text| text.trim()).unwrap_or_default();
        let cases = Sides { google: field("google"), company: field("company") };
        if cases.google.is_empty() || cases.company.is_empty() {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "A field is empty")
                .detail("name the Google case and the company case".to_owned()));
        }
        let done = tasks::link(&service.deps, cases, Some(field("reason")), &operator.name).await;
        let done = done.map_err(api::not_done)?;
        let code = match (done.is_new, done.remark.is_some()) {
            (false, _) => "was-linked",
            (true, false) => "link",
            (true, true) => "link-unflagged",
        };
        Ok(Redirect::to(&format!("/cases/{}?done={code}", done.mapping.id)).into_response())
    };
    done.await.unwrap_or_else(|problem| refused(&service, &headers, problem))
}

/// Syncs both sides of a pair, one after the other. `None`: it goes on, but takes longer than the page waits.
async fn run(
    service: &Service,
    operator: &Operator,
    mapping: &CaseMapping,
    mode: Mode,
) -> Result<Option<Vec<(Side, TaskReport)>>, Problem> {
    let tasks: Vec<(Side, Task)> = [
        mapping.company_case_id.as_ref().map(|id| {
            let body = SyncCompanyCase::of(id.to_string());
            (Side::Company, Task::SyncCompanyCase(body))
        }),
        mapping.google_case_name.as_ref().map(|name| {
            let body = SyncGoogleCase::of(name.to_string());
            (Side::Google, Task::SyncGoogleCase(body))
        }),
    ]
    .into_iter()
    .flatten()
    .collect();
    if mode == Mode::Act {
        let (by, mapping) = (&operator.name, mapping.id.to_string());
        tracing::info!(operator = by, action = "sync", mapping, "{by}: sync pair {mapping}");
    }
    let deps = service.deps.clone();
    let work = async move {
        let mut reports = Vec::new();
        for (side, task) in tasks {
            reports.push((side, tasks::run_for_person(&deps, task, mode).await));
        }
        reports
    };
    // Runs detached: a browser that goes away does not stop a sync half-way.
    let work = service.running.spawn(detached(work));
    match tokio::time::timeout(PATIENCE, work).await {
        Err(_) => Ok(None),
        Ok(Ok(reports)) => Ok(Some(reports)),
        Ok(Err(_)) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The task failed in an unforeseen way"))
        }
    }
}

fn sign_in_page(service: &Service, status: StatusCode, alert: Option<&str>) -> Response {
    let content = html! {
        h1 { "Sign in" }
        @if service.admin_token.is_some() {
            @if let Some(alert) = alert { p class="head bad" role="alert" { (alert) } }
            form method="post" action="/signin" {
                label for="token" { "Admin token (server.admin_token)" }
                input id="token" name="token" type="password" required autocomplete="current-password" autofocus;
                button { "Sign in" }
            }
            p class="small soft" { "You stay signed in for 8 hours." }
        } @else {
            p { "No admin token is configured, so nobody can sign in. A person on this machine needs none: open http://127.0.0.1 with the service's port." }
            p { "Set " code { "server.admin_token" } " to sign in from elsewhere." }
        }
    };
    page(status, "Sign in", false, &content)
}

/// `GET /signin`.
pub(super) async fn sign_in_form(State(service): State<Service>) -> Response {
    sign_in_page(&service, StatusCode::OK, None)
}

/// `POST /signin`.
pub(super) async fn sign_in(
    State(service): State<Service>,
    Extension(attempts): Extension<Arc<SignIns>>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let (headers, peer) = (parts.headers, peer(&parts.extensions));
    let done = async {
        gate::same_origin(&headers)?;
        let form = form(body).await?;
        let sender = peer.filter(|_| !was_passed_on(&headers)).map(|peer| Sender::of(peer.ip()));
        match attempts.admit(sender, service.deps.clock.now()) {
            Admitted::Now => {}
            // Slows down whoever guesses from many addresses, and refuses nobody.
            Admitted::Later => tokio::time::sleep(DELAY).await,
            Admitted::NotBefore(seconds) => return Ok(too_many(&service, &headers, seconds)),
        }
        let token = form.get("token").map(String::as_str).unwrap_or_default();
        let Some(cookie) = gate::sign_in(&service, &headers, token) else {
            attempts.was_wrong(sender, service.deps.clock.now());
            tracing::warn!("somebody sent a wrong admin token to the pages");
            if !takes_pages(&headers) {
                return Err(Problem::new(StatusCode::FORBIDDEN, "That is not the admin token"));
            }
            let alert = Some("That is not the admin token.");
            return Ok(sign_in_page(&service, StatusCode::FORBIDDEN, alert));
        };
        tracing::info!("somebody signed in to the pages with the admin token");
        Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response())
    };
    done.await.unwrap_or_else(|problem: Problem| refused(&service, &headers, problem))
}

/// Answers a caller whose address has sent too many wrong tokens.
fn too_many(service: &Service, headers: &HeaderMap, seconds: i64) -> Response {
    tracing::warn!(
        "an address sent too many wrong admin tokens to the pages, and is refused for {seconds} s"
    );
    let why = format!(
        "Your address has sent {MOST_WRONG} wrong tokens within a minute. Try again in {seconds} seconds."
    );
    let mut response = if takes_pages(headers) {
        sign_in_page(service, StatusCode::TOO_MANY_REQUESTS, Some(&why))
    } else {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many wrong tokens").detail(why).into_response()
    };
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    response
}

/// `POST /signout`.
pub(super) async fn sign_out(State(service): State<Service>, headers: HeaderMap) -> Response {
    match gate::same_origin(&headers) {
        Ok(()) => {
            let cookie = gate::sign_out(&service, &headers);
            ([(header::SET_COOKIE, cookie)], Redirect::to("/signin")).into_response()
        }
        Err(problem) => refused(&service, &headers, problem),
    }
}
