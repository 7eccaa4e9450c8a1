//! Pages for people: the issues as in a browser, with forms to change them. Texts are shown as they were typed.

use axum::Router;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::attachments::{deliver, take_in};
use super::error::ApiError;
use super::wire::{Version, Wire};
use super::{IssueView, NewIssue, SandboxJira, SandboxJiraError, catalog, missing};
use crate::page::{SETUP, page, problem, setup_link, setup_table, size, time};

const SITE: &str = "Sandbox Jira";
const SOMEBODY: &str = "Jane Roe";

pub(super) fn routes(jira: &SandboxJira) -> Router {
    Router::new()
        .route("/", get(index))
        .route(SETUP, get(setup))
        .route("/setup/fields", post(add_field))
        .route("/issues", post(create))
        .route("/browse/{issue}", get(show))
        .route("/browse/{issue}/comments", post(comment))
        .route("/browse/{issue}/comments/{id}", post(edit))
        .route("/browse/{issue}/files", post(attach).layer(DefaultBodyLimit::disable()))
        .route("/browse/{issue}/files/{id}", get(download))
        .route("/browse/{issue}/priority", post(priority))
        .route("/browse/{issue}/transition", post(transition))
        .route("/browse/{issue}/flag", post(flag))
        .with_state(jira.clone())
}

/// Error of a page or a form.
enum PageError {
    Jira(SandboxJiraError),
    Api(ApiError),
    Form(String),
}

impl From<SandboxJiraError> for PageError {
    fn from(error: SandboxJiraError) -> Self {
        Self::Jira(error)
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<MultipartError> for PageError {
    fn from(error: MultipartError) -> Self {
        Self::Form(error.body_text())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            Self::Form(what) => problem(SITE, StatusCode::BAD_REQUEST, &what),
            Self::Api(error) => {
                let what: Vec<_> = error.messages.into_iter().chain(error.errors.into_values()).collect();
                problem(SITE, error.status, &what.join(" "))
            }
            Self::Jira(error) => {
                let status = match error {
                    SandboxJiraError::Missing { .. } => StatusCode::NOT_FOUND,
                    SandboxJiraError::Storage { .. } => StatusCode::INTERNAL_SERVER_ERROR,
                };
                problem(SITE, status, &error.to_string())
            }
        }
    }
}

fn known(jira: &SandboxJira, issue: &str) -> Result<IssueView, PageError> {
    jira.issue(issue).ok_or_else(|| missing("issue", issue).into())
}

fn back_to(issue: &str) -> Redirect {
    Redirect::to(&format!(
        "/browse/{}",
        percent_encoding::utf8_percent_encode(issue, percent_encoding::NON_ALPHANUMERIC)
    ))
}

/// Returns the name from a form, or a default name if it is empty.
fn who(name: &str) -> &str {
    match name.trim() {
        "" => SOMEBODY,
        name => name,
    }
}

/// Converts line ends to LF: browsers send `\r\n`.
fn typed(text: &str) -> String {
    text.replace("\r\n", "\n")
}

fn author_field() -> Markup {
    html! { label { "By" input name="author" value=(SOMEBODY) required; } }
}

fn priority_field(chosen: &str) -> Markup {
    html! {
        select name="priority" {
            @for name in catalog::PRIORITIES { option selected[name == chosen] { (name) } }
        }
    }
}

async fn index(State(jira): State<SandboxJira>) -> Html<String> {
    let mut issues = jira.issues();
    issues.sort_by_key(|issue| std::cmp::Reverse(issue.updated));
    page(
        SITE,
        "Issues",
        &html! {
            @if issues.is_empty() {
                p.empty { "There is no issue yet." }
            } @else {
                table {
                    thead {
                        tr {
                            th { "Key" } th { "Summary" } th { "Priority" } th { "Status" }
                            th { "Synchronised" } th { "Google case" } th { "Updated" }
                        }
                    }
                    tbody {
                        @for issue in &issues {
                            tr {
                                td { a href={ "/browse/" (issue.key) } { (issue.key) } }
                                td { (issue.summary) }
                                td { (issue.priority) }
                                td { span.badge { (issue.status) } }
                                td { @if issue.flagged { "yes" } @else { "no" } }
                                td { (issue.google_name.as_deref().unwrap_or_default()) }
                                td { (time(issue.updated)) }
                            }
                        }
                    }
                }
            }
            h2 { "Create an issue" }
            form method="post" action="/issues" {
                label { "Priority" (priority_field(catalog::DEFAULT_PRIORITY)) }
                (author_field())
                label { span { input type="checkbox" name="flag" value="true" checked; " " (catalog::FLAG_NAME) } }
                label.wide { "Summary" input type="text" name="summary" maxlength="255" required; }
                label.wide { "Description" textarea name="description" {} }
                button { "Create" }
            }
            (setup_link())
        },
    )
}

/// Shows what `[company.jira]`, `[status.google]` and the routes can name.
async fn setup(State(jira): State<SandboxJira>) -> Html<String> {
    let named = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(id, name)| [(*name).to_owned(), (*id).to_owned()]).collect::<Vec<_>>()
    };
    let (projects, fields) = {
        let state = jira.state();
        let wire = Wire { base: "", version: Version::Two, settings: jira.settings(), state: &state };
        let projects: Vec<_> =
            state.projects.iter().map(|project| [project.key.clone(), project.name.clone()]).collect();
        (projects, wire.fields())
    };
    let of = |field: &serde_json::Value, key: &str| field[key].as_str().unwrap_or_default().to_owned();
    let fields = fields.as_array().into_iter().flatten();
    let fields: Vec<_> = fields
        .map(|field| {
            let kind = &field["schema"];
            [of(field, "name"), of(field, "id"), of(kind, "type")]
        })
        .collect();
    let statuses = catalog::STATUSES
        .map(|status| [status.name.to_owned(), status.id.to_owned(), status.category.name().to_owned()]);
    let priorities = catalog::PRIORITIES.map(|name| [name.to_owned()]);
    let request_types =
        catalog::REQUEST_TYPES.iter().map(|(id, name, of)| [*name, *id, *of].map(str::to_owned));
    page(
        SITE,
        "What a configuration can name here",
        &html! {
            (setup_table("Projects", ["key", "name"], projects))
            (setup_table("Issue types", ["name", "ID"], named(&catalog::ISSUE_TYPES)))
            (setup_table("Components", ["name", "ID"], named(&catalog::COMPONENTS)))
            (setup_table("Priorities, most urgent first", ["name"], priorities))
            (setup_table("Statuses", ["name", "ID", "category"], statuses))
            (setup_table("Resolutions", ["name", "ID"], named(&catalog::RESOLUTIONS)))
            @if jira.settings().service_management {
                (setup_table("Request types", ["name", "ID", "issue type"], request_types))
            }
            (setup_table("Fields", ["name", "ID", "kind"], fields))
            form method="post" action="/setup/fields" {
                label { "Name of a text field" input type="text" name="name" maxlength="255" required; }
                button { "Add the field" }
            }
        },
    )
}

#[derive(Deserialize)]
struct FieldForm {
    name: String,
}

/// Adds a text field, as an administrator does.
async fn add_field(
    State(jira): State<SandboxJira>,
    Form(form): Form<FieldForm>,
) -> Result<Redirect, PageError> {
    let name = form.name.trim();
    if name.is_empty() {
        return Err(PageError::Form("A field needs a name.".to_owned()));
    }
    jira.add_text_field(name)?;
    Ok(Redirect::to(SETUP))
}

async fn show(State(jira): State<SandboxJira>, Path(name): Path<String>) -> Result<Html<String>, PageError> {
    let issue = known(&jira, &name)?;
    let at = |what: &str| format!("/browse/{}/{what}", issue.key);
    let transitions =
        catalog::transitions(&issue.status, jira.settings(), jira.manners().three_ways_to_close);
    Ok(page(
        SITE,
        &issue.summary,
        &html! {
            table {
                tr { th { "Key" } td { code { (issue.key) } " (ID " code { (issue.id) } ")" } }
                tr { th { "Status" } td {
                    span.badge { (issue.status) }
                    @if let Some(resolution) = &issue.resolution { " " (resolution) }
                } }
                tr { th { "Priority" } td { (issue.priority) } }
                tr { th { (catalog::FLAG_NAME) } td { @if issue.flagged { "true" } @else { "not set" } } }
                @if let Some(name) = &issue.google_name {
                    tr { th { (catalog::GOOGLE_NAME_NAME) } td { code { (name) } } }
                }
                @if !issue.components.is_empty() {
                    tr { th { "Components" } td { (issue.components.join(", ")) } }
                }
                @if !issue.labels.is_empty() {
                    tr { th { "Labels" } td { (issue.labels.join(", ")) } }
                }
                @for link in &issue.remote_links {
                    tr { th { "Link" } td {
                        a href=(link.url) rel="noreferrer" {
                            @if link.resolved { s { (link.title) } } @else { (link.title) }
                        }
                    } }
                }
                tr { th { "Created" } td { (time(issue.created)) " by " (issue.reporter) } }
                tr { th { "Updated" } td { (time(issue.updated)) } }
            }
            h2 { "Description" }
            @match &issue.description {
                Some(text) => div.text { (text) },
                None => p.empty { "None." },
            }
            h2 { "Attachments" }
            @if issue.attachments.is_empty() { p.empty { "None." } }
            @else {
                table {
                    @for file in &issue.attachments {
                        tr {
                            td { a href={ (at("files")) "/" (file.id) } { (file.file_name) } }
                            td { (size(file.size)) }
                            td.by { (file.author) ", " (time(file.created)) }
                        }
                    }
                }
            }
            form method="post" action=(at("files")) enctype="multipart/form-data" {
                (author_field())
                label { "File" input type="file" name="file" required; }
                button { "Attach" }
            }
            h2 { "Comments" }
            @if issue.comments.is_empty() { p.empty { "None." } }
            @for comment in &issue.comments {
                div class={ "comment" @if comment.author == jira.settings().account { " theirs" } } {
                    div.by {
                        (comment.author) ", " (time(comment.created))
                        @if comment.internal { " " span.badge { "internal" } }
                    }
                    div.text { (comment.body) }
                    details {
                        summary { "Edit" }
                        form method="post" action={ (at("comments")) "/" (comment.id) } {
                            label.wide { "New text" textarea name="body" required { (comment.body) } }
                            label { span {
                                input type="checkbox" name="internal" value="true" checked[comment.internal]; " internal"
                            } }
                            button { "Save" }
                        }
                    }
                }
            }
            form method="post" action=(at("comments")) {
                label.wide { "Comment" textarea name="body" required {} }
                (author_field())
                label { span { input type="checkbox" name="internal" value="true"; " internal" } }
                button { "Add" }
            }
            h2 { "Change" }
            form.inline method="post" action=(at("priority")) {
                label { "Priority" (priority_field(&issue.priority)) }
                button { "Set priority" }
            }
            @if !transitions.is_empty() {
                form.inline method="post" action=(at("transition")) {
                    label { "Transition"
                        select name="name" {
                            @for transition in &transitions {
                                option value=(transition.name) { (transition.name) " → " (transition.to.name) }
                            }
                        }
                    }
                    button { "Move on" }
                }
            }
            form.inline method="post" action=(at("flag")) {
                input type="hidden" name="on" value=(!issue.flagged);
                button { @if issue.flagged { "Stop synchronising" } @else { "Synchronise" } }
            }
        },
    ))
}

#[derive(Deserialize)]
struct CreateForm {
    summary: String,
    #[serde(default)]
    description: String,
    priority: String,
    author: String,
    flag: Option<String>,
}

async fn create(
    State(jira): State<SandboxJira>,
    Form(form): Form<CreateForm>,
) -> Result<Redirect, PageError> {
    let summary = form.summary.trim();
    if summary.is_empty() || summary.contains(['\n', '\r']) {
        return Err(PageError::Form("A summary is one line of text.".to_owned()));
    }
    let description = typed(&form.description);
    let id = jira.create_issue(NewIssue {
        description: (!description.trim().is_empty()).then_some(description),
        priority: form.priority,
        flagged: form.flag.is_some(),
        reporter: who(&form.author).to_owned(),
        ..NewIssue::new(summary)
    })?;
    Ok(back_to(&known(&jira, &id)?.key))
}

#[derive(Deserialize)]
struct CommentForm {
    body: String,
    author: String,
    internal: Option<String>,
}

async fn comment(
    State(jira): State<SandboxJira>,
    Path(issue): Path<String>,
    Form(form): Form<CommentForm>,
) -> Result<Redirect, PageError> {
    let body = typed(&form.body);
    if body.trim().is_empty() {
        return Err(PageError::Form("A comment needs some text.".to_owned()));
    }
    match form.internal {
        None => jira.comment(&issue, who(&form.author), &body)?,
        Some(_) => jira.internal_comment(&issue, who(&form.author), &body)?,
    };
    Ok(back_to(&issue))
}

#[derive(Deserialize)]
struct EditForm {
    body: String,
    internal: Option<String>,
}

/// Edits a comment as its author: the text, and who sees it.
async fn edit(
    State(jira): State<SandboxJira>,
    Path((issue, id)): Path<(String, String)>,
    Form(form): Form<EditForm>,
) -> Result<Redirect, PageError> {
    let body = typed(&form.body);
    if body.trim().is_empty() {
        return Err(PageError::Form("A comment needs some text.".to_owned()));
    }
    let known = known(&jira, &issue)?;
    let comment = known.comments.iter().find(|comment| comment.id == id);
    let comment = comment.ok_or_else(|| missing("comment", &id))?;
    if comment.internal == form.internal.is_some() {
        jira.edit_comment(&issue, &id, &body)?;
    } else {
        jira.edit_comment_and_visibility(&issue, &id, &body, form.internal.is_some())?;
    }
    Ok(back_to(&issue))
}

async fn attach(
    State(jira): State<SandboxJira>,
    Path(issue): Path<String>,
    mut parts: Multipart,
) -> Result<Redirect, PageError> {
    let id = known(&jira, &issue)?.id;
    let mut author = SOMEBODY.to_owned();
    while let Some(part) = parts.next_field().await? {
        match part.name() {
            Some("author") => who(&part.text().await?).clone_into(&mut author),
            Some("file") => {
                let attachment = take_in(&jira, &author, part).await??;
                jira.add_attachment(id.parse().unwrap_or_default(), attachment)?;
            }
            Some(_) | None => {}
        }
    }
    Ok(back_to(&issue))
}

async fn download(
    State(jira): State<SandboxJira>,
    Path((issue, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let on_issue = known(&jira, &issue)?.attachments.iter().any(|attachment| attachment.id == id);
    let attachment = jira.attachment(&id).filter(|_| on_issue).ok_or_else(|| missing("attachment", &id))?;
    Ok(deliver(&jira, &attachment).await?)
}

#[derive(Deserialize)]
struct PriorityForm {
    priority: String,
}

async fn priority(
    State(jira): State<SandboxJira>,
    Path(issue): Path<String>,
    Form(form): Form<PriorityForm>,
) -> Result<Redirect, PageError> {
    jira.set_priority(&issue, &form.priority)?;
    Ok(back_to(&issue))
}

#[derive(Deserialize)]
struct TransitionForm {
    name: String,
}

async fn transition(
    State(jira): State<SandboxJira>,
    Path(issue): Path<String>,
    Form(form): Form<TransitionForm>,
) -> Result<Redirect, PageError> {
    jira.transition(&issue, &form.name)?;
    Ok(back_to(&issue))
}

#[derive(Deserialize)]
struct FlagForm {
    on: bool,
}

async fn flag(
    State(jira): State<SandboxJira>,
    Path(issue): Path<String>,
    Form(form): Form<FlagForm>,
) -> Result<Redirect, PageError> {
    jira.set_flag(&issue, form.on)?;
    Ok(back_to(&issue))
}
