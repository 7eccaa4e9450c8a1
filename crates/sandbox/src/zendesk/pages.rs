//! Pages for people: they stand in for the agents' workspace.

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::{NewTicket, SandboxZendesk, SandboxZendeskError, TicketView};
use crate::page::{SETUP, page, problem, setup_link, setup_table, size, time};

const SITE: &str = "Sandbox Zendesk";

/// Name of the person who uses these pages.
const PERSON: &str = "Jane Roe";

pub(super) fn routes() -> Router<SandboxZendesk> {
    Router::new()
        .route("/", get(index))
        .route(SETUP, get(setup))
        .route("/agent/tickets", post(create))
        .route("/agent/tickets/{id}", get(show))
        .route("/agent/tickets/{id}/comments", post(comment))
        .route("/agent/tickets/{id}/fields", post(fields))
        .route("/agent/tickets/{id}/ccs", post(copy))
        .route("/agent/tickets/{id}/merge", post(merge))
}

impl IntoResponse for SandboxZendeskError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Closed(_) | Self::Unmergeable(_) => StatusCode::CONFLICT,
            Self::Storage { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(SITE, status, &self.to_string())
    }
}

fn to_ticket(id: &str) -> Redirect {
    Redirect::to(&format!("/agent/tickets/{id}"))
}

fn priority_or_none(ticket: &TicketView) -> &str {
    ticket.priority.as_deref().unwrap_or("-")
}

async fn index(State(zendesk): State<SandboxZendesk>) -> Html<String> {
    let tickets = zendesk.tickets();
    let content = html! {
        @if tickets.is_empty() { p.empty { "No ticket yet." } } @else {
            table {
                tr { th { "Ticket" } th { "Subject" } th { "Status" } th { "Priority" } th { "Flag" } th { "Google case" } th { "Updated" } }
                @for ticket in tickets.iter().rev() {
                    tr {
                        td { a href={ "/agent/tickets/" (ticket.id) } { "#" (ticket.id) } }
                        td { (ticket.subject) }
                        td { span.badge { (ticket.status) } }
                        td { (priority_or_none(ticket)) }
                        td { @if ticket.flagged { "yes" } }
                        td { (ticket.google_name.as_deref().unwrap_or_default()) }
                        td { (time(ticket.updated)) }
                    }
                }
            }
        }
        h2 { "New ticket" }
        form method="post" action="/agent/tickets" {
            label.wide { "Subject" input type="text" name="subject" required; }
            label.wide { "Description" textarea name="description" required {} }
            label { "Synchronize with Google" input type="checkbox" name="flagged" value="on" checked; }
            button { "Create" }
        }
        (setup_link())
    };
    page(SITE, "Tickets", &content)
}

/// Shows what `[company.zendesk]`, `[status.google]` and the routes can name.
async fn setup(State(zendesk): State<SandboxZendesk>) -> Html<String> {
    let base = super::rest::Base(String::new());
    let fields = zendesk.wire(&base).ticket_fields(zendesk.now());
    let fields = fields.iter().map(|field| {
        let text = |key: &str| field[key].as_str().unwrap_or_default().to_owned();
        [field["id"].to_string(), text("title"), text("type")]
    });
    let statuses = super::state::CUSTOM_STATUSES
        .map(|(id, category, label)| [label.to_owned(), id.to_string(), category.to_owned()]);
    let content = html! {
        @for (title, items) in super::catalog::listed() {
            (setup_table(title, ["ID", "name"], items))
        }
        (setup_table("Ticket fields", ["ID", "title", "kind"], fields))
        (setup_table("Statuses", ["label", "ID", "category"], statuses))
        (setup_table("Priorities, most urgent first", ["name"], super::state::PRIORITIES.map(|name| [name.to_owned()])))
    };
    page(SITE, "What a configuration can name here", &content)
}

#[derive(Deserialize)]
struct NewTicketForm {
    subject: String,
    description: String,
    #[serde(default)]
    flagged: String,
}

async fn create(
    State(zendesk): State<SandboxZendesk>,
    Form(form): Form<NewTicketForm>,
) -> Result<Redirect, SandboxZendeskError> {
    let id = zendesk.create_ticket(NewTicket {
        description: form.description,
        flagged: form.flagged == "on",
        ..NewTicket::new(&form.subject)
    })?;
    Ok(to_ticket(&id))
}

async fn show(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
) -> Result<Html<String>, SandboxZendeskError> {
    let ticket = zendesk.ticket(&id).ok_or_else(|| super::missing("ticket", &id))?;
    let content = html! {
        p {
            span.badge { (ticket.status) } " " span.badge { "priority " (priority_or_none(&ticket)) } " "
            @if ticket.flagged { span.badge { "synchronized with Google" } }
        }
        p { "Google case: " (ticket.google_name.as_deref().unwrap_or("none")) }
        @if !ticket.email_ccs.is_empty() {
            p { "In copy: " (ticket.email_ccs.iter().map(|(name, email)| format!("{name} <{email}>")).collect::<Vec<_>>().join(", ")) }
        }
        @for comment in &ticket.comments {
            div.comment.theirs[!comment.public] {
                div.by { (comment.author) " · " (time(comment.created)) " · " (if comment.public { "public" } else { "internal note" }) }
                // Show the text, not the HTML: it may come from outside.
                div.text { (comment.text) }
                @for attachment in &comment.attachments {
                    div.by { (attachment.file_name) " · " (attachment.mime_type) " · " (size(attachment.size)) }
                }
            }
        }
        (forms(&ticket))
    };
    Ok(page(SITE, &format!("#{} {}", ticket.id, ticket.subject), &content))
}

fn forms(ticket: &TicketView) -> Markup {
    let action = format!("/agent/tickets/{}", ticket.id);
    if ticket.status == "closed" {
        return html! { p.empty { "This ticket is closed: nothing about it can be changed any more." } };
    }
    html! {
        h2 { "Comment" }
        form method="post" action={ (action) "/comments" } {
            label.wide { "Text" textarea name="body" required {} }
            label { "Who sees it"
                select name="visibility" { option { "public" } option { "internal" } }
            }
            button { "Add" }
        }
        h2 { "Fields" }
        form method="post" action={ (action) "/fields" } {
            label { "Status" (choice("status", &super::state::STATUSES[1..], &ticket.status)) }
            label { "Priority" (choice("priority", &super::state::PRIORITIES, priority_or_none(ticket))) }
            label { "Synchronize with Google" input type="checkbox" name="flagged" value="on" checked[ticket.flagged]; }
            button { "Save" }
        }
        h2 { "People in copy" }
        form method="post" action={ (action) "/ccs" } {
            label { "Address" input type="email" name="email" required; }
            label { "Name, of somebody new" input type="text" name="name"; }
            button name="action" value="put" { "Copy" }
            button name="action" value="delete" { "Do not copy any more" }
        }
        h2 { "Merge into another ticket" }
        form method="post" action={ (action) "/merge" } {
            label { "Its number" input type="text" name="into" required; }
            button { "Merge" }
        }
    }
}

fn choice(name: &str, options: &[&str], current: &str) -> Markup {
    html! {
        select name=(name) {
            @if !options.contains(&current) { option value="" selected { (current) } }
            @for option in options { option selected[*option == current] { (option) } }
        }
    }
}

#[derive(Deserialize)]
struct CommentForm {
    body: String,
    visibility: String,
}

async fn comment(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
    Form(form): Form<CommentForm>,
) -> Result<Redirect, SandboxZendeskError> {
    if form.visibility == "public" {
        zendesk.comment(&id, PERSON, &form.body)?;
    } else {
        zendesk.internal_comment(&id, PERSON, &form.body)?;
    }
    Ok(to_ticket(&id))
}

#[derive(Deserialize)]
struct CopyForm {
    email: String,
    #[serde(default)]
    name: String,
    action: String,
}

/// Copies a person on the ticket's mails, or not any more.
async fn copy(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
    Form(form): Form<CopyForm>,
) -> Result<Redirect, SandboxZendeskError> {
    let email = form.email.trim();
    let known = zendesk.user_with(email);
    let name = match (form.name.trim(), known.as_deref()) {
        (_, Some(known)) => known,
        ("", None) => email,
        (name, None) => name,
    };
    zendesk.copy_to(&id, (name, email), form.action != "delete")?;
    Ok(to_ticket(&id))
}

#[derive(Deserialize)]
struct MergeForm {
    into: String,
}

async fn merge(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
    Form(form): Form<MergeForm>,
) -> Result<Redirect, SandboxZendeskError> {
    let into = form.into.trim().trim_start_matches('#');
    zendesk.merge(&id, into, PERSON)?;
    Ok(to_ticket(into))
}

#[derive(Deserialize)]
struct FieldsForm {
    status: String,
    priority: String,
    #[serde(default)]
    flagged: String,
}

async fn fields(
    State(zendesk): State<SandboxZendesk>,
    Path(id): Path<String>,
    Form(form): Form<FieldsForm>,
) -> Result<Redirect, SandboxZendeskError> {
    if !form.priority.is_empty() {
        zendesk.set_priority(&id, Some(&form.priority))?;
    }
    zendesk.set_flag(&id, form.flagged == "on")?;
    if !form.status.is_empty() {
        // Set the status last: a closed ticket accepts no further change.
        zendesk.set_status(&id, &form.status)?;
    }
    Ok(to_ticket(&id))
}
