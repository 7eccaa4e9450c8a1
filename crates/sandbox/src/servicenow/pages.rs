//! Pages for people: they stand in for ServiceNow's forms and lists.

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;

use super::{NewRecord, RecordView, SandboxServiceNow, SandboxServiceNowError, catalog};
use crate::page::{SETUP, page, problem, setup_link, setup_table, size, time};

const SITE: &str = "Sandbox ServiceNow";

/// Name of the person who uses these pages.
const PERSON: &str = "Jane Roe";

pub(super) fn routes() -> Router<SandboxServiceNow> {
    Router::new()
        .route("/", get(index))
        .route(SETUP, get(setup))
        .route("/records", post(create))
        .route("/records/{id}", get(show))
        .route("/records/{id}/journal", post(write))
        .route("/records/{id}/fields", post(fields))
}

impl IntoResponse for SandboxServiceNowError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Missing { .. } => StatusCode::NOT_FOUND,
            Self::Refused { .. } => StatusCode::CONFLICT,
            Self::Storage { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        problem(SITE, status, &self.to_string())
    }
}

/// Converts a journal entry to the HTML that a browser gets: escaped text, except for the content of code tags and for mentions.
pub(super) fn journal_html(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut shown = String::new();
    let mut at = 0;
    while let Some(start) = lower[at..].find("[code]").map(|start| at + start) {
        let Some(end) = lower[start..].find("[/code]").map(|end| start + end) else { break };
        shown.push_str(&with_mentions(&text[at..start]));
        shown.push_str(&text[start + "[code]".len()..end]);
        at = end + "[/code]".len();
    }
    shown.push_str(&with_mentions(&text[at..]));
    shown
}

/// Escapes text and renders `@[…]` as a mention.
fn with_mentions(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("@[") {
        let Some(end) = rest[start..].find(']').map(|end| start + end) else { break };
        shown.push_str(&escaped(&rest[..start]));
        shown.extend(["<a class=\"mention\">", &escaped(&rest[start + 2..end]), "</a>"]);
        rest = &rest[end + 1..];
    }
    shown.push_str(&escaped(rest));
    shown
}

fn escaped(text: &str) -> String {
    html! { (text) }.into_string()
}

fn to_record(id: &str) -> Redirect {
    Redirect::to(&format!("/records/{id}"))
}

async fn index(State(servicenow): State<SandboxServiceNow>) -> Html<String> {
    let records = servicenow.records();
    let content = html! {
        @if records.is_empty() { p.empty { "No case yet." } } @else {
            table {
                tr { th { "Number" } th { "Short description" } th { "State" } th { "Priority" } th { "Flag" } th { "Google case" } th { "Updated" } }
                @for record in records.iter().rev() {
                    tr {
                        td { a href={ "/records/" (record.id) } { (record.number) } }
                        td { (record.short_description) }
                        td { span.badge { (record.state_label) } }
                        td { (record.priority) }
                        td { @if record.flagged { "yes" } }
                        td { (record.google_name.as_deref().unwrap_or_default()) }
                        td { (time(record.updated)) }
                    }
                }
            }
        }
        h2 { "New incident" }
        form method="post" action="/records" {
            label.wide { "Short description" input type="text" name="short_description" required; }
            label.wide { "Description" textarea name="description" required {} }
            label { "Synchronize with Google" input type="checkbox" name="flagged" value="on" checked; }
            button { "Create" }
        }
        (setup_link())
    };
    page(SITE, "Cases", &content)
}

/// Shows what `[company.servicenow]`, `[status.google]` and the routes can name.
async fn setup(State(servicenow): State<SandboxServiceNow>) -> Html<String> {
    let rows = |table: &str| -> Vec<[String; 2]> {
        let state = servicenow.state();
        let rows = state
            .rows(table)
            .map(|row| ["sys_id", "name"].map(|column| super::state::get(row, column).to_owned()));
        rows.collect()
    };
    let choices = |table: &str, column: &str| {
        let pairs = catalog::choices(table, column).iter();
        pairs.map(|(value, label)| [*value, *label].map(str::to_owned)).collect::<Vec<_>>()
    };
    let columns = |table: &str| {
        let columns = catalog::columns(table).unwrap_or_default().into_iter();
        let named = columns.map(|(name, kind)| {
            [name.to_owned(), catalog::column_label(table, name), catalog::dictionary(kind).0.to_owned()]
        });
        named.collect::<Vec<_>>()
    };
    let content = html! {
        (setup_table("Groups", ["sys_id", "name"], rows(catalog::GROUPS)))
        (setup_table("Configuration items", ["sys_id", "name"], rows(catalog::ITEMS)))
        (setup_table("Services", ["sys_id", "name"], rows(catalog::SERVICES)))
        @for table in catalog::CASE_TABLES {
            @for column in ["state", "priority", "category", catalog::code_column(table)] {
                @if !choices(table, column).is_empty() {
                    (setup_table(&format!("{table}: {column}"), ["value", "label"], choices(table, column)))
                }
            }
            (setup_table(&format!("{table}: columns"), ["name", "label", "kind"], columns(table)))
        }
    };
    page(SITE, "What a configuration can name here", &content)
}

#[derive(Deserialize)]
struct NewRecordForm {
    short_description: String,
    description: String,
    #[serde(default)]
    flagged: String,
}

async fn create(
    State(servicenow): State<SandboxServiceNow>,
    Form(form): Form<NewRecordForm>,
) -> Result<Redirect, SandboxServiceNowError> {
    let id = servicenow.create_record(&NewRecord {
        description: form.description,
        flagged: form.flagged == "on",
        ..NewRecord::new(&form.short_description)
    })?;
    Ok(to_record(&id))
}

async fn show(
    State(servicenow): State<SandboxServiceNow>,
    Path(id): Path<String>,
) -> Result<Html<String>, SandboxServiceNowError> {
    let record = servicenow.record(&id).ok_or_else(|| super::missing("record", &id))?;
    let content = html! {
        p {
            span.badge { (record.state_label) } " " span.badge { "priority " (record.priority) } " "
            @if record.flagged { span.badge { "synchronized with Google" } }
        }
        p { "Google case: " (record.google_name.as_deref().unwrap_or("none")) }
        div.text { (record.description) }
        @for entry in &record.journal {
            div.comment.theirs[!entry.public] {
                div.by { (entry.author) " · " (time(entry.created)) " · " (if entry.public { "comment" } else { "work note" }) }
                // Show the text, not the HTML: it may come from outside.
                div.text { (entry.text) }
            }
        }
        @for file in &record.attachments {
            div.by { (file.file_name) " · " (file.content_type) " · " (size(file.size)) " · " (file.author) }
        }
        (forms(&record))
    };
    Ok(page(SITE, &format!("{} {}", record.number, record.short_description), &content))
}

fn forms(record: &RecordView) -> Markup {
    let action = format!("/records/{}", record.id);
    if catalog::is_final(&record.table, &record.state) {
        return html! { p.empty { "This case is closed: nothing about it can be changed any more." } };
    }
    html! {
        h2 { "Journal" }
        form method="post" action={ (action) "/journal" } {
            label.wide { "Text" textarea name="text" required {} }
            label { "Who sees it"
                select name="journal" { option value="comments" { "the caller" } option value="work_notes" { "colleagues only" } }
            }
            button { "Post" }
        }
        h2 { "Fields" }
        form method="post" action={ (action) "/fields" } {
            label { "State" (choice("state", catalog::choices(&record.table, "state"), &record.state)) }
            label { "Priority" (choice("priority", catalog::choices(&record.table, "priority"), &record.priority)) }
            label { "Synchronize with Google" input type="checkbox" name="flagged" value="on" checked[record.flagged]; }
            button { "Save" }
        }
    }
}

fn choice(name: &str, options: &[(&str, &str)], current: &str) -> Markup {
    html! {
        select name=(name) {
            @for (value, label) in options { option value=(value) selected[*value == current] { (label) } }
        }
    }
}

#[derive(Deserialize)]
struct JournalForm {
    text: String,
    journal: String,
}

async fn write(
    State(servicenow): State<SandboxServiceNow>,
    Path(id): Path<String>,
    Form(form): Form<JournalForm>,
) -> Result<Redirect, SandboxServiceNowError> {
    if form.journal == "comments" {
        servicenow.comment(&id, PERSON, &form.text)?;
    } else {
        servicenow.work_note(&id, PERSON, &form.text)?;
    }
    Ok(to_record(&id))
}

#[derive(Deserialize)]
struct FieldsForm {
    state: String,
    priority: String,
    #[serde(default)]
    flagged: String,
}

async fn fields(
    State(servicenow): State<SandboxServiceNow>,
    Path(id): Path<String>,
    Form(form): Form<FieldsForm>,
) -> Result<Redirect, SandboxServiceNowError> {
    let record = servicenow.record(&id).ok_or_else(|| super::missing("record", &id))?;
    if form.priority != record.priority {
        servicenow.set_priority(&id, &form.priority)?;
    }
    servicenow.set_flag(&id, form.flagged == "on")?;
    if form.state != record.state {
        // Set the state last: a closed case accepts no further change.
        if catalog::is_resolved(&record.table, &form.state) || catalog::is_final(&record.table, &form.state) {
            servicenow.end(&id, &form.state)?;
        } else {
            servicenow.set_state(&id, &form.state)?;
        }
    }
    Ok(to_record(&id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_tags_are_html_and_everything_else_is_text() {
        for (text, html) in [
            ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
            ("a [CODE]<b>x</b>[/code] <i>", "a <b>x</b> &lt;i&gt;"),
            ("[code]<b> without an end", "[code]&lt;b&gt; without an end"),
            ("see @[6816:abel.tuter]!", "see <a class=\"mention\">6816:abel.tuter</a>!"),
            (
                "[\u{2060}code]<b>[\u{2060}/code] @\u{2060}[x]",
                "[\u{2060}code]&lt;b&gt;[\u{2060}/code] @\u{2060}[x]",
            ),
        ] {
            assert_eq!(journal_html(text), html);
        }
    }
}
