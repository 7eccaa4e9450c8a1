//! Pages for people: they stand in for the Google Cloud console and for the tools of Google's support.

use axum::Router;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::model::{Author, Case, NewCase, Priority, State as CaseState};
use super::{Moves, SandboxCsapi, SandboxError};
use crate::page::{SETUP, page, problem, setup_link, setup_table, size, time};

const SITE: &str = "Google Cloud support";

pub(super) fn routes(sandbox: SandboxCsapi) -> Router {
    Router::new()
        .route("/", get(index))
        .route(SETUP, get(setup))
        .route("/cases", post(create))
        .route("/cases/{number}", get(show))
        .route("/cases/{number}/comments", post(comment))
        .route("/cases/{number}/emails", post(email))
        .route("/cases/{number}/attachments", post(attach).layer(DefaultBodyLimit::disable()))
        .route("/cases/{number}/attachments/{attachment}", get(download))
        .route("/cases/{number}/attachments/{attachment}/delete", post(delete_attachment))
        .route("/cases/{number}/priority", post(priority))
        .route("/cases/{number}/state", post(state))
        .route("/cases/{number}/escalated", post(escalated))
        .with_state(sandbox)
}

/// Error of a page or a form.
enum PageError {
    Sandbox(SandboxError),
    Form(String),
}

impl From<SandboxError> for PageError {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
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
            Self::Sandbox(error) => {
                let status = match error {
                    SandboxError::UnknownCase(_) | SandboxError::UnknownAttachment(..) => {
                        StatusCode::NOT_FOUND
                    }
                    SandboxError::UnknownParent(_) => StatusCode::BAD_REQUEST,
                    SandboxError::NotKept(_)
                    | SandboxError::OtherData { .. }
                    | SandboxError::Files(_)
                    | SandboxError::Database(_)
                    | SandboxError::Document(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                problem(SITE, status, &error.to_string())
            }
        }
    }
}

/// Role in which a person uses a page.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Role {
    Customer,
    Google,
}

impl Role {
    fn author(self) -> Author {
        match self {
            Self::Customer => Author::customer("Jane Roe"),
            Self::Google => Author::google("Sam Rivera"),
        }
    }
}

async fn index(State(sandbox): State<SandboxCsapi>) -> Html<String> {
    let mut cases = sandbox.cases();
    cases.sort_by_key(|case| std::cmp::Reverse(case.updated_at));
    page(
        SITE,
        "Support cases",
        &html! {
            @if cases.is_empty() {
                p.empty { "There is no case yet." }
            } @else {
                table {
                    thead { tr { th { "Case" } th { "Title" } th { "Priority" } th { "State" } th { "Updated" } } }
                    tbody {
                        @for case in &cases {
                            tr {
                                td { a href={ "/cases/" (case.number) } { (case.number) } }
                                td { (title(case)) }
                                td { (case.priority.map_or("not set", Priority::as_str)) }
                                td { span.badge { (case.state.as_str()) } }
                                td { (time(case.updated_at)) }
                            }
                        }
                    }
                }
            }
            h2 { "Create a case" }
            form method="post" action="/cases" {
                label { "Under"
                    select name="parent" {
                        option { (sandbox.organization()) }
                        @for project in sandbox.projects() { option { "projects/" (project) } }
                    }
                }
                label { "Priority" (priorities(Some(Priority::P2))) }
                label.wide { "Title" input type="text" name="display_name" required; }
                label.wide { "Description" textarea name="description" required {} }
                button { "Create" }
            }
            (setup_link())
        },
    )
}

/// Shows what `[google]` and the routes can name.
async fn setup(State(sandbox): State<SandboxCsapi>) -> Html<String> {
    let projects = sandbox.projects().into_iter().map(|id| [format!("projects/{id}"), id]);
    let parents = std::iter::once([sandbox.organization(), "the organisation, with all projects".to_owned()]);
    let classifications = sandbox.listed_classifications().into_iter();
    page(
        SITE,
        "What a configuration can name here",
        &html! {
            (setup_table("Parents", ["google.parent", "match.project of a route"], parents.chain(projects)))
            (setup_table(
                "Classifications",
                ["google.classification_id", "name"],
                classifications.map(|pair| <[&str; 2]>::from(pair).map(str::to_owned)),
            ))
            (setup_table(
                "States, for [status.google]",
                ["state"],
                CaseState::ALL.into_iter().map(|state| [state.as_str().to_owned()]),
            ))
        },
    )
}

async fn show(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
) -> Result<Html<String>, PageError> {
    let number = number.to_string();
    let case = sandbox.case(&number)?;
    let comments = sandbox.comments(&number)?;
    let attachments = sandbox.attachments(&number)?;
    let emails = sandbox.emails(&number)?;
    let at = |what: &str| format!("/cases/{}/{what}", case.number);
    Ok(page(
        SITE,
        title(&case),
        &html! {
            table {
                tr { th { "Name" } td { code { (case.name) } } }
                tr { th { "State" } td { span.badge { (case.state.as_str()) } @if case.escalated { " escalated" } } }
                tr { th { "Priority" } td { (case.priority.map_or("not set", Priority::as_str)) } }
                tr { th { "Created" } td { (time(case.created_at)) " by " (who(&case.creator)) } }
                tr { th { "Updated" } td { (time(case.updated_at)) } }
                @for (reason, justification) in &case.escalations {
                    tr { th { "Escalated" } td { (reason) ": " (justification) } }
                }
                @if !case.subscribers.is_empty() {
                    tr { th { "Subscribers" } td { (case.subscribers.join(", ")) } }
                }
                tr { th { "Description" } td { div.text { (case.description) } } }
            }
            h2 { "Change" }
            form.inline method="post" action=(at("priority")) {
                label { "Priority" (priorities(case.priority)) }
                button { "Set" }
            }
            form.inline method="post" action=(at("state")) {
                label { "State"
                    select name="state" {
                        @for state in CaseState::ALL {
                            option selected[state == case.state] { (state.as_str()) }
                        }
                    }
                }
                button { "Set" }
            }
            @let (label, next) = if case.state == CaseState::Closed {
                ("Reopen", CaseState::InProgressGoogleSupport)
            } else {
                ("Close", CaseState::Closed)
            };
            form.inline method="post" action=(at("state")) {
                input type="hidden" name="state" value=(next.as_str());
                button { (label) }
            }
            form.inline method="post" action=(at("escalated")) {
                input type="hidden" name="escalated" value=((!case.escalated).to_string());
                button { @if case.escalated { "End the escalation" } @else { "Escalate" } }
            }
            h2 { "Comments" }
            @if comments.is_empty() { p.empty { "None." } }
            @for comment in &comments {
                @let theirs = matches!(comment.author, Author::GoogleSupport { .. });
                div.comment.theirs[theirs] id=(comment.id) {
                    div.by { (who(&comment.author)) ", " (time(comment.created_at)) }
                    div.text { (comment.body) }
                }
            }
            form method="post" action=(at("comments")) {
                label { "As" (roles()) }
                label.wide { "Comment" textarea name="body" required {} }
                button { "Add comment" }
            }
            h2 { "Replies by e-mail" }
            @if emails.is_empty() { p.empty { "None." } }
            @for email in &emails {
                @let theirs = matches!(email.author, Author::GoogleSupport { .. });
                div.comment.theirs[theirs] {
                    div.by { (who(&email.author)) ", " (time(email.created_at)) ": " (email.subject) }
                    div.text { (email.text) }
                }
            }
            form method="post" action=(at("emails")) {
                label { "As" (roles()) }
                label.wide { "Subject" input type="text" name="subject" value={ "Re: " (title(&case)) }; }
                label.wide { "Text" textarea name="text" required {} }
                button { "Send e-mail" }
            }
            h2 { "Attachments" }
            @if attachments.is_empty() {
                p.empty { "None." }
            } @else {
                table {
                    thead { tr { th { "File" } th { "Type" } th { "Size" } th { "By" } th { "Added" } th {} } }
                    tbody {
                        @for attachment in &attachments {
                            @let path = at(&format!("attachments/{}", attachment.id));
                            tr {
                                td { a href=(path) { (attachment.filename) } }
                                td { (attachment.mime_type) }
                                td { (size(attachment.size)) }
                                td { (who(&attachment.author)) }
                                td { (time(attachment.created_at)) }
                                td { form.inline method="post" action={ (path) "/delete" } { button { "Delete" } } }
                            }
                        }
                    }
                }
            }
            form method="post" action=(at("attachments")) enctype="multipart/form-data" {
                label { "As" (roles()) }
                label { "File" input type="file" name="file" required; }
                button { "Attach" }
            }
        },
    ))
}

fn title(case: &Case) -> &str {
    if case.display_name.is_empty() { "(no title)" } else { &case.display_name }
}

/// Returns an author's name for a page. Unlike the API, pages show the real names of people at Google.
fn who(author: &Author) -> String {
    match author {
        Author::Customer { name, .. } => name.clone(),
        Author::GoogleSupport { name } => format!("{name} (Google support)"),
        Author::ServiceAccount { email } => format!("{email} (by API)"),
    }
}

fn priorities(current: Option<Priority>) -> Markup {
    html! {
        select name="priority" {
            @for priority in Priority::ALL {
                option selected[Some(priority) == current] { (priority.as_str()) }
            }
        }
    }
}

fn roles() -> Markup {
    html! {
        select name="role" {
            option value="customer" { "Customer" }
            option value="google" { "Google support" }
        }
    }
}

#[derive(Debug, Deserialize)]
struct CreateForm {
    parent: String,
    display_name: String,
    description: String,
    priority: Priority,
}

async fn create(
    State(sandbox): State<SandboxCsapi>,
    Form(form): Form<CreateForm>,
) -> Result<Redirect, PageError> {
    let case = sandbox.create_case(NewCase {
        parent: form.parent,
        display_name: form.display_name,
        description: unix_lines(&form.description),
        priority: form.priority,
        author: Role::Customer.author(),
    })?;
    Ok(Redirect::to(&format!("/cases/{}", case.number)))
}

#[derive(Debug, Deserialize)]
struct CommentForm {
    role: Role,
    body: String,
}

async fn comment(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
    Form(form): Form<CommentForm>,
) -> Result<Redirect, PageError> {
    let comment = sandbox.add_comment(&number.to_string(), form.role.author(), &unix_lines(&form.body))?;
    Ok(Redirect::to(&format!("/cases/{number}#{}", comment.id)))
}

#[derive(Debug, Deserialize)]
struct EmailForm {
    role: Role,
    subject: String,
    text: String,
}

async fn email(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
    Form(form): Form<EmailForm>,
) -> Result<Redirect, PageError> {
    let EmailForm { role, subject, text } = form;
    sandbox.receive_email(&number.to_string(), role.author(), &subject, &unix_lines(&text))?;
    Ok(Redirect::to(&format!("/cases/{number}")))
}

/// Converts line ends to LF: browsers send those of a text area as CRLF.
fn unix_lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

async fn attach(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
    mut form: Multipart,
) -> Result<Redirect, PageError> {
    let files = &sandbox.0.files;
    let mut author = Role::Customer.author();
    while let Some(mut field) = form.next_field().await? {
        if field.name() == Some("role") {
            author = match field.text().await?.as_str() {
                "customer" => Role::Customer.author(),
                "google" => Role::Google.author(),
                other => {
                    return Err(PageError::Form(format!("role: '{other}' is neither customer nor google")));
                }
            };
            continue;
        }
        let filename = field.file_name().unwrap_or_default().to_owned();
        let mime_type = field.content_type().unwrap_or("application/octet-stream").to_owned();
        if filename.is_empty() {
            return Err(PageError::Form("Choose a file first.".to_owned()));
        }
        let mut sink = files.sink(true);
        while let Some(piece) = field.chunk().await? {
            sink.write(&piece).await.map_err(SandboxError::from)?;
        }
        let bytes = sink.size();
        let content = sink.finish().await.map_err(SandboxError::from)?;
        let stored = content.clone();
        let attached = sandbox.change(&number.to_string(), Moves::Attachment, |record, at| {
            Ok::<_, SandboxError>(record.add_attachment(author, filename, mime_type, bytes, content, at))
        });
        attached.inspect_err(|_| files.remove(&stored))?;
        return Ok(Redirect::to(&format!("/cases/{number}")));
    }
    Err(PageError::Form("The form has no file.".to_owned()))
}

async fn download(
    State(sandbox): State<SandboxCsapi>,
    Path((number, id)): Path<(u64, String)>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let attachments = sandbox.attachments(&number.to_string())?;
    let Some(attachment) = attachments.iter().find(|attachment| attachment.id == id) else {
        return Ok(problem(SITE, StatusCode::NOT_FOUND, "There is no such attachment."));
    };
    Ok(sandbox.file(attachment, &headers).await.unwrap_or_else(IntoResponse::into_response))
}

async fn delete_attachment(
    State(sandbox): State<SandboxCsapi>,
    Path((number, id)): Path<(u64, String)>,
) -> Result<Redirect, PageError> {
    sandbox.delete_attachment(&number.to_string(), &id)?;
    Ok(Redirect::to(&format!("/cases/{number}")))
}

#[derive(Debug, Deserialize)]
struct PriorityForm {
    priority: Priority,
}

async fn priority(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
    Form(form): Form<PriorityForm>,
) -> Result<Redirect, PageError> {
    sandbox.set_priority(&number.to_string(), form.priority)?;
    Ok(Redirect::to(&format!("/cases/{number}")))
}

#[derive(Debug, Deserialize)]
struct StateForm {
    state: CaseState,
}

#[derive(Debug, Deserialize)]
struct EscalatedForm {
    escalated: bool,
}

async fn escalated(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
    Form(form): Form<EscalatedForm>,
) -> Result<Redirect, PageError> {
    sandbox.set_escalated(&number.to_string(), form.escalated)?;
    Ok(Redirect::to(&format!("/cases/{number}")))
}

async fn state(
    State(sandbox): State<SandboxCsapi>,
    Path(number): Path<u64>,
    Form(form): Form<StateForm>,
) -> Result<Redirect, PageError> {
    sandbox.set_state(&number.to_string(), form.state)?;
    Ok(Redirect::to(&format!("/cases/{number}")))
}
