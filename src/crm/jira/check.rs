//! `casebridge check` for Jira: tries everything that the service needs, without changing anything. Each failure ends with advice on how to
//! fix it, and where.

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value};

use super::client::Client;
use super::discovery::{self, CustomField};
use super::identity;
use super::settings::{Deployment, JiraSettings};
use super::transitions;
use super::values;
use super::wire::{
    Attachment, Comment, CreateScreen, INTERNAL_PROPERTY, Issue, Marker, Named, Permissions, RequestType,
    ScreenField, Transition,
};
use super::{NAME, PriorityWords, jql};
use crate::cases::{ApiError, Check, Finding, Needs, Placement, Report, Trouble, Visibility};
use crate::crm::{expiry, sign_in};
use crate::outbound::Remedies;

/// Largest file that a check downloads, in bytes.
const SMALL: u64 = 1024 * 1024;
/// Number of issues whose comments are examined, and of comments on each.
const LOOKED_AT: usize = 5;
/// Largest accepted difference between Jira's clock and the dates of its answers.
const CLOCKS_APART: chrono::Duration = chrono::Duration::minutes(1);

/// Right that the connector's user needs in the project: Jira's key and the name for people.
type Right = (&'static str, &'static str);

/// Returns the rights that `needs` requires. In Service Management, only an agent's comments are visible to customers: other users' are
/// internal, whatever they request ("Create comment", Customer request, developer.atlassian.com).
fn rights(needs: Needs, service_management: bool) -> Vec<Right> {
    let public = service_management && needs.visibility == Visibility::Public;
    [
        (true, ("BROWSE_PROJECTS", "Browse Projects")),
        (needs.creation, ("CREATE_ISSUES", "Create Issues")),
        (true, ("EDIT_ISSUES", "Edit Issues")),
        (needs.status || needs.turn, ("TRANSITION_ISSUES", "Transition Issues")),
        (true, ("ADD_COMMENTS", "Add Comments")),
        (needs.attachments, ("CREATE_ATTACHMENTS", "Create Attachments")),
        (public, ("SERVICEDESK_AGENT", "Service Project Agent (and a Service Management licence)")),
    ]
    .into_iter()
    .filter_map(|(needed, right)| needed.then_some(right))
    .collect()
}

/// Returns the rights for what is only shown on an issue, each with words for it. Without them everything else goes on.
fn rights_to_show(needs: Needs) -> Vec<(&'static str, Right)> {
    [
        (needs.remote_link, "remote links", ("LINK_ISSUES", "Link Issues")),
        // A property of another user's comment takes this right ("Set comment property", developer.atlassian.com).
        (needs.mark, "marks of carried notes", ("EDIT_ALL_COMMENTS", "Edit All Comments")),
    ]
    .into_iter()
    .filter_map(|(needed, what, right)| needed.then_some((what, right)))
    .collect()
}

/// Returns the remedies for failed calls.
pub(super) fn remedies(settings: &JiraSettings) -> Remedies {
    let (keys, project) = (settings.credential_keys(), &settings.project);
    let grant = |right: &str| {
        format!("grant the connector's user \"{right}\" in the permission scheme of project {project}")
    };
    let locked = format!(
        "the user may not use the API (locked, or asked for a CAPTCHA): sign in once in a browser, then check {keys}"
    );
    Remedies {
        sign_in: sign_in(
            settings,
            keys,
            format!("the credentials are missing, expired or wrong: check {keys}"),
        ),
        rights: vec![
            ("POST", "/remotelink", grant("Link Issues")),
            ("PUT", "/properties/", grant("Edit All Comments")),
            ("POST", "/comment", grant("Add Comments")),
            ("POST", "/attachments", grant("Create Attachments")),
            ("POST", "/transitions", grant("Transition Issues")),
            ("PUT", "/issue/", grant("Edit Issues")),
            ("POST", "/request", grant("Create Issues")),
            ("POST", "/api/2/issue", grant("Create Issues")),
            ("GET", "/issue/", grant("Browse Projects")),
        ],
        right: locked.clone(),
        fixed: ["/myself", "/search", "/search/jql", "/field", "/serverInfo"].map(str::to_owned).to_vec(),
        address: "there is no Jira at that address: check company.base_url and company.jira.deployment"
            .to_owned(),
        refusals: vec![
            (identity::DENIED, locked),
            (identity::FORBIDDEN, format!("give the connector's user access to Jira, or check {keys}")),
            (
                "not on the appropriate screen",
                format!(
                    "put the field on the create and edit screens of project {project} (Project settings, Screens), or take it out of \
                     company.jira.new_fields and company.jira.close_fields"
                ),
            ),
            (
                "for the field 'project'",
                format!(
                    "check company.jira.project, and give the connector's user \"Browse Projects\" in {project}"
                ),
            ),
        ],
        download_hosts: Some("company.jira.download_hosts"),
        reach: "check company.base_url, and whether Jira can be reached from here (docs/networks.md)"
            .to_owned(),
    }
}

pub(super) async fn all(client: &Client, priorities: &PriorityWords, needs: Needs) -> Vec<Check> {
    let settings = client.settings();
    let mut report = Report::new(NAME);
    if !report.add("credentials", credentials(client).await) {
        return report.into_lines();
    }
    if !report.add(&format!("project {}", settings.project), project(client).await) {
        return report.into_lines();
    }
    if let Some(granted) = client.granted_scope().await {
        report.add("scopes", scopes(client, &granted).await);
    }
    let lacking = permissions(&mut report, client, needs).await;
    if needs.marked_notes {
        report.add("marked notes", marked_notes(client).await);
    }
    report.add("clock", clock(client).await);
    let mut known = Known { lacking, ..fields(&mut report, client).await };
    let mut no_option = false;
    if needs.creation {
        let issue_types = create_screen(&mut report, client, &known).await;
        no_option = issue_types.no_option;
        if settings.request_type.is_some()
            || client.service_management().await.unwrap_or_default() == Some(true)
        {
            report.add("request type", request_type(client, &issue_types).await);
        }
    }
    if needs.creation || needs.priority {
        report.add("priorities", words(client, priorities).await);
    }
    if let Some(resolution) = settings.resolution.as_ref().filter(|_| needs.status) {
        let line = format!("resolution {resolution}");
        if !report.add(&line, resolution_exists(client, resolution).await) {
            known.on_close = Err(line);
        }
    }
    if needs.attachments {
        report.add("attachments", attachments(client).await);
    }
    // Jira refuses a search for an option that does not exist.
    match known.flag.as_ref().map_err(String::as_str) {
        Ok(_) if no_option => report.add_untried(SEARCH, &flag_value_line(settings)),
        Ok(flag) => {
            report.add(SEARCH, search(client, flag).await);
        }
        Err(cause) => report.add_untried(SEARCH, cause),
    }
    sample(&mut report, client, &known, needs).await;
    report.into_lines()
}

const PERMISSIONS: &str = "permissions";
const CREATE_SCREEN: &str = "create screen";
const SEARCH: &str = "search for flagged cases";

/// Results that other checks need. An `Err` holds the name of the line that says why there is none.
struct Known {
    /// Keys of rights that are needed and not granted.
    lacking: Vec<&'static str>,
    flag: Result<CustomField, String>,
    google: Result<CustomField, String>,
    /// Field for Google's state, if one is configured and found.
    google_state: Option<CustomField>,
    on_create: Result<Map<String, Value>, String>,
    /// Values of the closing transition's screen.
    on_close: Result<Map<String, Value>, String>,
}

impl Known {
    /// The custom fields that were found.
    fn ours(&self) -> Vec<&CustomField> {
        self.flag.iter().chain(&self.google).collect()
    }

    fn lacks(&self, right: &str) -> bool {
        self.lacking.contains(&right)
    }
}

/// Checks that the configured fields exist.
async fn fields(report: &mut Report, client: &Client) -> Known {
    const ALL: &str = "custom fields";
    const ON_CREATE: &str = "fields of new cases";
    const ON_CLOSE: &str = "fields of closing";
    let settings = client.settings();
    let all = match client.all_fields().await {
        Ok(all) => all,
        Err(error) => {
            report.add(ALL, Err(failed(&error, "the connector's user has to see the fields")));
            let cause = || ALL.to_owned();
            return Known {
                lacking: Vec::new(),
                flag: Err(cause()),
                google: Err(cause()),
                google_state: None,
                on_create: Err(cause()),
                on_close: Err(cause()),
            };
        }
    };
    let on_create = discovery::on_create(settings, &all).map_err(Trouble::from);
    let on_close = discovery::on_close(settings, &all).map_err(Trouble::from);
    Known {
        lacking: Vec::new(),
        flag: found(report, &settings.flag_field, discovery::flag_field(settings, &all)),
        google: found(report, &settings.google_name_field, discovery::google_name_field(settings, &all)),
        google_state: discovery::google_state_field(settings, &all).and_then(|field| {
            found(report, settings.google_state_field.as_deref().unwrap_or_default(), field).ok()
        }),
        on_create: given(report, ON_CREATE, on_create),
        on_close: given(report, ON_CLOSE, on_close),
    }
}

fn found(
    report: &mut Report,
    name: &str,
    field: Result<CustomField, Trouble>,
) -> Result<CustomField, String> {
    let shown = field.as_ref().map(|field| {
        let namesakes = match field.namesakes {
            0 => String::new(),
            more => format!("; {more} more of that name, of team-managed or of all projects, are left alone"),
        };
        format!("{} ({}){namesakes}", field.id, field.name)
    });
    let what = format!("field {name}");
    report.add(&what, shown.map_err(Clone::clone));
    field.map_err(|_| what)
}

/// Reports the configured fields of one kind, if there are any or they are wrong.
fn given(
    report: &mut Report,
    what: &str,
    fields: Result<Map<String, Value>, Trouble>,
) -> Result<Map<String, Value>, String> {
    let shown =
        fields.as_ref().map(|fields| fields.keys().map(String::as_str).collect::<Vec<_>>().join(", "));
    if shown.as_ref().is_ok_and(String::is_empty) {
        return Ok(Map::new());
    }
    report.add(what, shown.map_err(Clone::clone));
    fields.map_err(|_| what.to_owned())
}

/// Combines the error of a failed call with advice.
fn failed(error: &ApiError, advice: &str) -> Trouble {
    Trouble::of(error, advice)
}

async fn credentials(client: &Client) -> Finding {
    let keys = client.credential_keys();
    match client.myself().await {
        Ok(user) if user.is_somebody() => Ok(format!("signed in as {}", user.shown())),
        Ok(_) => {
            Err(Trouble::failed("Jira does not say who we are", format!("check company.base_url and {keys}")))
        }
        Err(error) => {
            Err(failed(&error, "check company.base_url, and whether Jira can be reached from here"))
        }
    }
}

async fn project(client: &Client) -> Finding {
    let key = &client.settings().project;
    match client.project(key).await {
        Ok(project) => {
            let kind = if serves_customers(client).await { ", with internal comments" } else { "" };
            Ok(format!("{}{kind}", project.name.unwrap_or_else(|| key.clone())))
        }
        Err(error) => Err(failed(
            &error,
            &format!(
                "check company.jira.project, and give the connector's user \"Browse Projects\" in {key}"
            ),
        )),
    }
}

/// Reports if the project may have customers. True if its type is unknown.
async fn serves_customers(client: &Client) -> bool {
    client.service_management().await.unwrap_or_default() != Some(false)
}

/// Judges which comments can be the marked notes of `sync.comments_to_google`: only internal ones are.
async fn marked_notes(client: &Client) -> Finding {
    if serves_customers(client).await {
        return Ok("internal comments that begin with #google go to Google".to_owned());
    }
    Err(Trouble::warning(
        format!(
            "project {} has no internal comments: only a comment that is restricted to a group or role can be a marked note, and nothing \
             else goes to Google",
            client.settings().project
        ),
        "have people restrict such comments, or set sync.comments_to_google = \"public\"",
    ))
}

/// Compares Jira's own time with the dates of its answers, which searches are counted from (`R36`: clock skew). A proxy in front of Jira
/// may date answers by another clock.
async fn clock(client: &Client) -> Finding {
    let (server_time, date) =
        client.times().await.map_err(|error| failed(&error, "Jira's time cannot be read"))?;
    let (Some(server_time), Some(date)) = (server_time, date) else {
        return Ok("Jira does not tell its time".to_owned());
    };
    let apart = server_time - date;
    if apart.abs() <= CLOCKS_APART {
        return Ok("answers are dated by Jira's time".to_owned());
    }
    Err(Trouble::failed(
        format!(
            "Jira's own time (serverInfo) is {} seconds {} the Date of its answers, which searches go by",
            apart.abs().num_seconds(),
            if apart > chrono::Duration::zero() { "ahead of" } else { "behind" }
        ),
        "set the clock of Jira's server, or of the proxy in front of it",
    ))
}

/// Checks the rights of the connector's user. Returns the keys of those that it lacks.
async fn permissions(report: &mut Report, client: &Client, needs: Needs) -> Vec<&'static str> {
    let project = &client.settings().project;
    let rights = rights(needs, serves_customers(client).await);
    let to_show = rights_to_show(needs);
    let all = rights.iter().chain(to_show.iter().map(|(_, right)| right));
    let names: Vec<&str> = all.map(|(key, _)| *key).collect();
    let answer = match client.permissions(&names).await {
        Ok(answer) => answer,
        Err(error) => {
            let advice = "the rights of the connector's user cannot be read";
            report.add(PERMISSIONS, Err(failed(&error, advice)));
            return Vec::new();
        }
    };
    let (keys, names): (Vec<_>, Vec<_>) = lacking(&rights, &answer).into_iter().unzip();
    let finding = if names.is_empty() {
        Ok("all that are needed".to_owned())
    } else {
        Err(Trouble::failed(
            format!("the connector's user lacks {} in project {project}", names.join(", ")),
            "grant them in the project's permission scheme",
        ))
    };
    report.add(PERMISSIONS, finding);
    for (what, right) in to_show {
        let finding = match lacking(&[right], &answer).first() {
            None => Ok(format!("the right {} is granted", right.1)),
            Some((_, name)) => Err(Trouble::warning(
                format!(
                    "the connector's user lacks {name} in project {project}, and everything else goes on"
                ),
                "grant it in the project's permission scheme, or switch this off",
            )),
        };
        report.add(what, finding);
    }
    keys
}

/// Compares the scopes of the access token with those that the calls need.
async fn scopes(client: &Client, granted: &str) -> Finding {
    match client.settings().deployment {
        Deployment::Cloud => {
            let mut needed = vec!["read:jira-work", "write:jira-work", "read:jira-user"];
            if client.service_management().await.unwrap_or_default() == Some(true) {
                needed.extend(["read:servicedesk-request", "write:servicedesk-request"]);
            }
            let advice = "add them to the service account's OAuth credential (admin.atlassian.com, Directory, Service accounts)";
            expiry::scopes(granted, &needed, advice)
        }
        Deployment::DataCenter => {
            expiry::scopes(granted, &["WRITE"], "give the service account's credential the scope WRITE")
        }
    }
}

fn lacking(rights: &[Right], answer: &Permissions) -> Vec<Right> {
    let is_granted = |key: &str| answer.permissions.get(key).is_some_and(|right| right.have_permission);
    rights.iter().copied().filter(|(key, _)| !is_granted(key)).collect()
}

/// Issue types that new cases of the project can have, and what their create screen shows.
#[derive(Default)]
struct IssueTypes {
    /// ID of the configured one. `None` if the project has none of that name.
    ours: Option<String>,
    all: Vec<Named>,
    /// True if the flag field lacks the option for the flag.
    no_option: bool,
}

impl IssueTypes {
    /// Returns the name of a request type's issue type, or its ID if no new case can have it.
    fn of(&self, request_type: &RequestType) -> Option<String> {
        let id = request_type.issue_type_id.as_ref()?;
        let named = self.all.iter().find(|known| known.id == *id);
        Some(named.map_or_else(|| format!("with the ID {id}"), |known| known.shown().to_owned()))
    }
}

/// Checks that the configured request type is one of the project's, and belongs to the configured issue type: each belongs to one
/// (`issueTypeId`, "Get request types", developer.atlassian.com).
async fn request_type(client: &Client, issue_types: &IssueTypes) -> Finding {
    let types = client
        .request_types(&client.settings().project)
        .await
        .map_err(|error| failed(&error, "the request types of the project cannot be read"));
    let advice = |types: &[RequestType]| {
        let given = "give one's ID in company.jira.request_type";
        if types.is_empty() {
            return format!("{given} (Project settings, Request types; its address ends with the ID)");
        }
        let shown = |found: &RequestType| {
            let issue_type = issue_types.of(found).map(|of| format!(", issue type {of}")).unwrap_or_default();
            format!("{:?} ({}{issue_type})", found.id, found.name)
        };
        format!("{given}: {}", types.iter().map(shown).collect::<Vec<_>>().join(", "))
    };
    let Some(wanted) = client.settings().request_type.as_deref().map(str::trim) else {
        return Err(Trouble::warning(
            "none: new cases are on no portal, and in no queue that goes by request types",
            advice(&types.unwrap_or_default()),
        ));
    };
    let types = types?;
    if wanted.contains('/') {
        return Ok(format!("{wanted}: named by its keys, which Jira does not list: not looked up"));
    }
    let Some(found) = types.iter().find(|found| found.id == wanted) else {
        return Err(Trouble::failed(
            format!("project {} has no request type {wanted:?}", client.settings().project),
            advice(&types),
        ));
    };
    match (&found.issue_type_id, &issue_types.ours) {
        (Some(theirs), Some(ours)) if theirs != ours => Err(Trouble::failed(
            format!(
                "the request type {wanted:?} ({}) is for issues of the type {}, and company.jira.issue_type is {:?}: Jira refuses new \
                 cases, or shows them on no portal",
                found.name,
                issue_types.of(found).unwrap_or_default(),
                client.settings().issue_type
            ),
            format!("name the request type's issue type in company.jira.issue_type, or {}", advice(&types)),
        )),
        _ => Ok(found.name.clone()),
    }
}

/// Compares configured values with the fields that a screen has. Returns the mistakes.
fn mistakes<'a>(
    given: &Map<String, Value>,
    deployment: Deployment,
    screen: impl Fn(&str) -> Option<&'a ScreenField>,
) -> Vec<String> {
    given.iter().filter_map(|(id, value)| screen(id)?.mistake(id, value, deployment)).collect()
}

/// Checks the issue type and the fields on its create screen. Returns the issue types that new cases can have.
async fn create_screen(report: &mut Report, client: &Client, known: &Known) -> IssueTypes {
    let settings = client.settings();
    let what = format!("issue type {}", settings.issue_type);
    // Jira shows the create screen to a user only who may create.
    if known.lacks("CREATE_ISSUES") {
        report.add_untried(&what, PERMISSIONS);
        return IssueTypes::default();
    }
    let all = match client.issue_types(&settings.project).await {
        Ok(all) => all,
        Err(error) => {
            let advice = "the connector's user needs \"Create Issues\" in the project";
            report.add(&what, Err(failed(&error, advice)));
            return IssueTypes::default();
        }
    };
    let (id, shown) = match issue_type(settings, &all) {
        Ok(found) => found,
        Err(problem) => {
            report.add(&what, Err(problem));
            report.add_untried(CREATE_SCREEN, &what);
            return IssueTypes { all, ..IssueTypes::default() };
        }
    };
    report.add(&what, Ok(format!("{shown} (ID {id})")));
    let screen = match client.create_screen(&settings.project, &id).await {
        Ok(screen) => screen,
        Err(error) => {
            report.add(CREATE_SCREEN, Err(failed(&error, "the create screen cannot be read")));
            return IssueTypes { ours: Some(id), all, no_option: false };
        }
    };
    match &known.on_create {
        Ok(given) => {
            report.add(CREATE_SCREEN, on_create_screen(settings, &screen, &known.ours(), given));
        }
        Err(cause) => report.add_untried(CREATE_SCREEN, cause),
    }
    let no_option = match &known.flag {
        Ok(flag) => !report.add(&flag_value_line(settings), flag_value(settings, &screen, flag)),
        Err(cause) => {
            report.add_untried(&flag_value_line(settings), cause);
            false
        }
    };
    if !settings.component.trim().is_empty() {
        report.add(&format!("component {}", settings.component), component(settings, &screen));
    }
    IssueTypes { ours: Some(id), all, no_option }
}

/// Returns the name of the line about the flag's value.
fn flag_value_line(settings: &JiraSettings) -> String {
    format!("flag value {}", settings.flag_value)
}

fn issue_type(settings: &JiraSettings, types: &[Named]) -> Result<(String, String), Trouble> {
    let wanted = settings.issue_type.trim();
    match types.iter().find(|found| found.is(wanted)) {
        Some(found) => Ok((found.id.clone(), found.shown().to_owned())),
        None => Err(Trouble::failed(
            format!("project {} has no issue type {wanted:?}", settings.project),
            format!("name one of {} in company.jira.issue_type", names(types)),
        )),
    }
}

fn names(values: &[Named]) -> String {
    if values.is_empty() {
        return "(there is none)".to_owned();
    }
    values.iter().map(Named::shown).collect::<Vec<_>>().join(", ")
}

fn on_screen<'a>(screen: &'a CreateScreen, id: &str) -> Option<&'a ScreenField> {
    screen.values.iter().find(|field| field.field_id.as_deref().or(field.key.as_deref()) == Some(id))
}

/// Checks that both custom fields are on the screen and that no other field is required.
fn on_create_screen(
    settings: &JiraSettings,
    screen: &CreateScreen,
    ours: &[&CustomField],
    given: &Map<String, Value>,
) -> Finding {
    let absent: Vec<&str> = ours
        .iter()
        .filter(|field| on_screen(screen, &field.id).is_none())
        .map(|field| field.name.as_str())
        .collect();
    if !absent.is_empty() {
        let (absent, issue_type, project) = (absent.join(" and "), &settings.issue_type, &settings.project);
        return Err(Trouble::failed(
            format!("{absent} not on the create screen of issue type {issue_type} in project {project}"),
            "put it there (project settings, Screens)",
        ));
    }
    let known = ["project", "issuetype", "summary", "description", "priority", "components", "reporter"];
    let demanded: Vec<(&str, &ScreenField)> = screen
        .values
        .iter()
        .filter(|field| field.required && !field.has_default_value)
        .map(|field| (field.field_id.as_deref().or(field.key.as_deref()).unwrap_or_default(), field))
        .filter(|(id, _)| {
            !known.contains(id) && !ours.iter().any(|our| our.id == *id) && !given.contains_key(*id)
        })
        .collect();
    if !demanded.is_empty() {
        let described: Vec<String> = demanded.iter().map(|(id, field)| field.described(id)).collect();
        return Err(Trouble::failed(
            format!(
                "the create screen of issue type {} demands {}",
                settings.issue_type,
                described.join(", ")
            ),
            format!(
                "{}, make that optional or give it a default (field configuration), or name another type in company.jira.issue_type",
                values::give_values("company.jira.new_fields", &demanded, settings.deployment)
            ),
        ));
    }
    let mistakes = mistakes(given, settings.deployment, |id| on_screen(screen, id));
    if !mistakes.is_empty() {
        return Err(Trouble::failed(mistakes.join("; "), "correct company.jira.new_fields"));
    }
    let missing: Vec<&str> =
        given.keys().map(String::as_str).filter(|id| on_screen(screen, id).is_none()).collect();
    if !missing.is_empty() {
        return Err(Trouble::warning(
            format!(
                "{} not on the create screen of issue type {}: Jira refuses a new case with a field that is not there",
                missing.join(" and "),
                settings.issue_type
            ),
            "put it there (project settings, Screens), or take it out of company.jira.new_fields or company.jira.request_type",
        ));
    }
    let priority = if on_screen(screen, "priority").is_some() {
        ""
    } else {
        "; the priority is not on it and is set by an edit afterwards"
    };
    Ok(format!("has both fields{priority}"))
}

fn flag_value(settings: &JiraSettings, screen: &CreateScreen, flag: &CustomField) -> Finding {
    let wanted = settings.flag_value.trim();
    let options =
        on_screen(screen, &flag.id).map(|field| field.allowed_values.as_slice()).unwrap_or_default();
    if flag.is_text() || options.is_empty() || options.iter().any(|option| option.shown() == wanted) {
        return Ok("can be set".to_owned());
    }
    Err(Trouble::failed(
        format!("the field {} has no option {wanted:?}", flag.name),
        format!(
            "add it to the field's context, or name one of {} in company.jira.flag_value",
            names(options)
        ),
    ))
}

fn component(settings: &JiraSettings, screen: &CreateScreen) -> Finding {
    let wanted = settings.component.trim();
    let lacking = |what: String| {
        Err(Trouble::warning(
            format!("{what}: cases are created without it"),
            "add it to the project (Components), or name another, or \"\" for none, in company.jira.component",
        ))
    };
    match on_screen(screen, "components") {
        None => {
            lacking(format!("components are not on the create screen of issue type {}", settings.issue_type))
        }
        Some(field) if field.allowed_values.iter().any(|found| found.shown() == wanted) => {
            Ok("exists".to_owned())
        }
        Some(field) => lacking(format!(
            "project {} has no component {wanted:?}, but {}",
            settings.project,
            names(&field.allowed_values)
        )),
    }
}

/// Number of projects that a message lists.
const LISTED: usize = 20;

/// Looks up the values that a route sets.
pub(super) async fn placement(client: &Client, placement: &Placement) -> Finding {
    let settings = client.settings();
    let mut unknown = Vec::new();
    let project = placement.project.as_deref().unwrap_or(&settings.project);
    if let Err(error) = client.project(project).await {
        if !matches!(error.status, Some(403 | 404)) {
            return Err(failed(&error, "the projects cannot be read"));
        }
        let seen = client.projects_seen().await.unwrap_or_default();
        let seen: Vec<&str> = seen.iter().filter_map(|project| project.key.as_deref()).take(LISTED).collect();
        return Err(Trouble::failed(
            format!("Jira has no project {project:?}, or does not show it"),
            format!(
                "give the connector's user \"Browse Projects\" there, or name one of {}",
                seen.join(", ")
            ),
        ));
    }
    let issue_types = client
        .issue_types(project)
        .await
        .map_err(|error| failed(&error, "the connector's user needs \"Create Issues\" in the project"))?;
    let wanted = placement.issue_type.as_deref().unwrap_or(&settings.issue_type).trim();
    let Some(issue_type) = issue_types.iter().find(|found| found.is(wanted)) else {
        return Err(Trouble::failed(
            format!("project {project} has no issue type {wanted:?}"),
            format!("name one of {} in the route's issue_type", names(&issue_types)),
        ));
    };
    let screen = client
        .create_screen(project, &issue_type.id)
        .await
        .map_err(|error| failed(&error, "the create screen cannot be read"))?;
    if let Some(component) = &placement.component {
        let known = on_screen(&screen, "components").map(|field| field.allowed_values.as_slice());
        let known = known.unwrap_or_default();
        if !known.iter().any(|found| found.shown() == component) {
            unknown.push(format!("project {project} has no component {component:?}, but {}", names(known)));
        }
    }
    if let Some(person) = &placement.assignee
        && !client.has_user(person).await.map_err(|error| failed(&error, "users cannot be looked up"))?
    {
        unknown.push(match settings.deployment {
            Deployment::Cloud => {
                format!("Jira has no user with the account ID {person:?} (the ID ends the address of a person's profile)")
            }
            Deployment::DataCenter => format!("Jira has no user with the name {person:?}"),
        });
    }
    if let Some(wanted) = placement.request_type.as_deref().filter(|wanted| !wanted.contains('/')) {
        let types = client.request_types(project).await;
        let types =
            types.map_err(|error| failed(&error, "the request types of the project cannot be read"))?;
        let found = types.iter().find(|found| found.id == wanted);
        // Each belongs to one issue type.
        if let Some(of) =
            found.and_then(|found| found.issue_type_id.as_ref()).filter(|of| **of != issue_type.id)
        {
            let named = issue_types.iter().find(|known| known.id == *of).map_or(of.as_str(), Named::shown);
            unknown.push(format!(
                "request type {wanted:?} is for cases of the issue type {named}, and the route's is {}",
                issue_type.shown()
            ));
        }
        if found.is_none() {
            let shown: Vec<String> =
                types.iter().map(|found| format!("{:?} ({})", found.id, found.name)).collect();
            unknown.push(format!(
                "project {project} has no request type {wanted:?}, but {}",
                if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
            ));
        }
    }
    let fields = client.all_fields().await.map_err(|error| failed(&error, "the fields cannot be read"))?;
    match discovery::placed(settings, placement, &fields) {
        Err(problem) => unknown.push(problem),
        Ok(given) => {
            let of_screen = |id: &str| on_screen(&screen, id);
            unknown.extend(mistakes(&given, settings.deployment, of_screen));
            let absent = given.keys().filter(|id| of_screen(id).is_none());
            unknown.extend(absent.map(|id| {
                format!("{id} is not on the create screen of issue type {} in {project}", issue_type.shown())
            }));
        }
    }
    if unknown.is_empty() {
        return Ok(placement.describe());
    }
    Err(Trouble::failed(unknown.join("; "), "correct the route's set, or add what it names to Jira"))
}

async fn words(client: &Client, priorities: &PriorityWords) -> Finding {
    let known =
        client.named("priority").await.map_err(|error| failed(&error, "the priorities cannot be read"))?;
    let shown: Vec<&str> = known.iter().map(Named::shown).collect();
    let missing = priorities.missing_from(&shown);
    if missing.is_empty() {
        return Ok("every configured word is one of Jira's".to_owned());
    }
    let by_default = if priorities.are_default() { ", the default words" } else { "" };
    let missing: Vec<String> =
        missing.iter().map(|(priority, word)| format!("priorities.{priority} = {word:?}")).collect();
    Err(Trouble::warning(
        format!("Jira has no priority for {}{by_default}: those levels are not carried", missing.join(", ")),
        format!("use one of {} in [priorities]", shown.join(", ")),
    ))
}

async fn resolution_exists(client: &Client, wanted: &str) -> Finding {
    let known =
        client.named("resolution").await.map_err(|error| failed(&error, "the resolutions cannot be read"))?;
    if known.iter().any(|found| found.is(wanted)) {
        Ok("exists".to_owned())
    } else {
        Err(Trouble::failed(
            format!("Jira has no resolution {wanted:?}"),
            format!("name one of {} in company.jira.resolution", names(&known)),
        ))
    }
}

async fn attachments(client: &Client) -> Finding {
    let meta = client
        .attachment_meta()
        .await
        .map_err(|error| failed(&error, "the attachment settings cannot be read"))?;
    match (meta.enabled, meta.upload_limit) {
        (Some(false), _) => Err(Trouble::failed(
            "attachments are switched off in Jira",
            "switch them on (System, Attachments), or set sync.attachments = false",
        )),
        (_, Some(limit)) => Ok(format!("up to {limit} bytes")),
        (_, None) => Ok("of a size that Jira does not tell".to_owned()),
    }
}

async fn search(client: &Client, flag: &CustomField) -> Finding {
    let query = jql::updated(flag, &client.settings().flag_value, jql::Since::Minutes(5));
    match client.search_some(&query, "summary", LOOKED_AT).await {
        Ok(_) => Ok("works".to_owned()),
        Err(error) => Err(failed(
            &error,
            "check company.jira.deployment (Cloud and Data Center search differently), and whether the field is searchable",
        )),
    }
}

/// Runs the checks that need an issue: the edit screen and the workflow. Uses the newest issues of the project, an open and a closed one.
async fn sample(report: &mut Report, client: &Client, known: &Known, needs: Needs) {
    let settings = client.settings();
    let query = jql::newest(&settings.project);
    let newest = match client.search_some(&query, "summary,status,attachment", 100).await {
        Ok(newest) => newest,
        Err(error) => {
            let advice = "an issue of the project cannot be looked at: check company.jira.deployment";
            report.add("edit screen and workflow", Err(failed(&error, advice)));
            return;
        }
    };
    let issues: Vec<Issue> = newest.iter().filter_map(|value| Issue::read(value).ok()).collect();
    let open = issues.iter().find(|issue| issue.is_done() == Ok(false));
    let Some(issue) = open.or(issues.first()) else {
        report.add(
            "edit screen and workflow",
            Ok(format!("project {} has no issue yet to look at: not tried", settings.project)),
        );
        return;
    };
    let what = format!("edit screen, seen on {}", shown(issue));
    if known.lacks("EDIT_ISSUES") {
        report.add_untried(&what, PERMISSIONS);
    } else {
        let edited: Vec<&CustomField> = known.ours().into_iter().chain(&known.google_state).collect();
        report.add(&what, edit_screen(client, &issue.id, &edited, needs).await);
    }
    report.add("confidential comments", markers(client, &issues).await);
    if needs.attachments {
        report.add("download", download(client, &issues).await);
    }
    if needs.status {
        let closed = issues.iter().find(|issue| issue.is_done() == Ok(true));
        ways(report, client, known, [open, closed]).await;
    }
}

/// Checks the ways from an open issue to a closed one, and back. Each issue may be absent.
async fn ways(report: &mut Report, client: &Client, known: &Known, issues: [Option<&Issue>; 2]) {
    const CLOSING: &str = "closing";
    const OPENING: &str = "opening again";
    let (settings, [open, closed]) = (client.settings(), issues);
    // Jira shows no transition to a user who may not take it.
    if known.lacks("TRANSITION_ISSUES") {
        report.add_untried(CLOSING, PERMISSIONS);
        report.add_untried(OPENING, PERMISSIONS);
        return;
    }
    let opening = |transitions: &[Transition]| {
        Ok(transitions::opening(transitions, settings.reopen_transition.as_deref()).map(way)?)
    };
    let cause = match &known.on_close {
        Ok(on_close) => {
            let choose = |transitions: &[Transition]| closing(transitions, settings, on_close);
            workflow(report, client, CLOSING, open, choose).await
        }
        Err(cause) => {
            report.add_untried(CLOSING, cause);
            None
        }
    };
    match cause {
        // A right is missing, or a condition of the workflow is not met, which concerns both ways.
        Some(cause) if closed.is_some() => report.add_untried(OPENING, &cause),
        Some(_) | None => {
            workflow(report, client, OPENING, closed, opening).await;
        }
    }
}

/// Chooses the transition that closes an issue, and compares the values for its screen with it.
fn closing(transitions: &[Transition], settings: &JiraSettings, on_close: &Map<String, Value>) -> Finding {
    let found = transitions::closing(transitions, settings)?;
    transitions::closing_fields(found, settings, on_close)?;
    let mistakes = mistakes(on_close, settings.deployment, |id| found.fields.get(id));
    if !mistakes.is_empty() {
        return Err(Trouble::failed(mistakes.join("; "), "correct company.jira.close_fields"));
    }
    let absent: Vec<&str> =
        on_close.keys().map(String::as_str).filter(|id| !found.fields.contains_key(*id)).collect();
    if !absent.is_empty() {
        return Err(Trouble::warning(
            format!("{}; its screen has no {}, which is left out", way(found), absent.join(" and ")),
            "put it on the transition's screen (workflow), or take it out of company.jira.close_fields",
        ));
    }
    Ok(way(found))
}

/// Reports the marker by which comments show their visibility, as seen on the newest issues (`R29`: private until shown to be public).
async fn markers(client: &Client, issues: &[Issue]) -> Finding {
    let kind = client.service_management().await.map_err(|error| {
        failed(&error, "it cannot be read whether the project is one of Service Management")
    })?;
    if kind == Some(false) {
        return Ok(
            "no customers: comments are public, unless they are restricted to a role or group".to_owned()
        );
    }
    let (mut seen, mut by_field, mut by_property) = (0, false, false);
    for issue in issues.iter().take(LOOKED_AT) {
        let found = client
            .some_comments(&issue.id, LOOKED_AT)
            .await
            .map_err(|error| failed(&error, "comments cannot be read"))?;
        for comment in &found {
            let Some(fields) = comment.as_object().filter(|_| Comment::read(comment).is_ok()) else {
                continue;
            };
            seen += 1;
            by_field |= Marker::of_field(fields) != Marker::Absent;
            by_property |= Marker::of_property(fields) != Marker::Absent;
        }
    }
    let what = match (by_field, by_property) {
        (true, true) => format!("told by jsdPublic and by the property {INTERNAL_PROPERTY}"),
        (true, false) => "told by jsdPublic".to_owned(),
        (false, true) => format!("told by the property {INTERNAL_PROPERTY}"),
        (false, false) if seen == 0 => "no comment yet to see it on".to_owned(),
        (false, false) => {
            format!("none of {seen} comments says whether customers see it: such comments count as internal")
        }
    };
    let what = format!("{what}; a comment that does not tell counts as internal");
    if kind.is_none() {
        return Err(Trouble::warning(
            format!(
                "{what}; Jira does not say whether the project has customers, so it is taken for one that has"
            ),
            "say so in company.jira.service_management",
        ));
    }
    if seen > 0 && !by_field && !by_property {
        return Err(Trouble::warning(
            what,
            "ask whoever runs the proxy before Jira, or Jira's administrator, what is taken out of its answers",
        ));
    }
    Ok(what)
}

/// Downloads the smallest file of the newest issues, if there is a small one (`R34`: other content in place of a file).
async fn download(client: &Client, issues: &[Issue]) -> Finding {
    let small = |file: &Attachment| file.size.is_some_and(|size| (1..=SMALL).contains(&size));
    let file = issues
        .iter()
        .filter_map(|issue| issue.attachments().ok())
        .flatten()
        .flatten()
        .filter(small)
        .min_by_key(|file| file.size);
    let Some(file) = file else {
        return Ok("no small file yet to try it on".to_owned());
    };
    let advice = match client.settings().deployment {
        Deployment::Cloud => {
            "files cannot be carried to Google: see that the connector's user may download files with what it proves itself with"
        }
        Deployment::DataCenter => {
            "files cannot be carried to Google: /secure/attachment has to take the connector's personal access token, also through \
             whatever sign-on stands in front of Jira"
        }
    };
    // The content may be refused by another host than Jira: the usual remedies do not apply, but for a host that is not allowed for.
    let unnamed = |error: ApiError| {
        let hint = error.hint.clone().filter(|hint| hint.contains("download_hosts"));
        Trouble::failed(error.without_hint(), hint.unwrap_or_else(|| advice.to_owned()))
    };
    let listed = crate::cases::Attachment {
        id: file.id.clone(),
        filename: file.filename.clone(),
        media_type: file.mime_type.clone(),
        size: file.size,
        author: String::new(),
        created_at: file.created,
        visibility: Visibility::Public,
        by_connector: None,
        comment: None,
    };
    let call = format!("GET attachment {}", file.id);
    let content = client.content(&listed, call).await.map_err(unnamed)?.content;
    let received = content
        .try_fold(0, |received, piece| std::future::ready(Ok(received + piece.len() as u64)))
        .await
        .map_err(unnamed)?;
    if file.size == Some(received) {
        Ok(format!("attachment {} arrives whole, {received} bytes", file.id))
    } else {
        let size = file.size.unwrap_or_default();
        Err(Trouble::failed(
            format!("attachment {} has {size} bytes in the listing and {received} as it arrives", file.id),
            advice,
        ))
    }
}

/// Returns the key of an issue, or its ID.
fn shown(issue: &Issue) -> &str {
    issue.key.as_deref().unwrap_or(&issue.id)
}

fn way(transition: &Transition) -> String {
    format!("{:?} to {:?}", transition.name, transition.to.name)
}

/// Checks one transition of the workflow on an issue. Returns the name of the line if Jira shows no transition at all.
async fn workflow(
    report: &mut Report,
    client: &Client,
    what: &str,
    issue: Option<&Issue>,
    choose: impl Fn(&[Transition]) -> Finding,
) -> Option<String> {
    let Some(issue) = issue else {
        report.add(what, Ok("no issue yet to see it on: not tried".to_owned()));
        return None;
    };
    let (answer, line) = (client.transitions(&issue.id).await, format!("{what}, seen on {}", shown(issue)));
    let shows_none = answer.as_ref().is_ok_and(Vec::is_empty);
    let finding = match answer {
        Ok(transitions) => choose(&transitions),
        Err(error) => Err(failed(&error, "the connector's user needs \"Transition Issues\"")),
    };
    let holds = report.add(&line, finding);
    (shows_none && !holds).then_some(line)
}

async fn edit_screen(client: &Client, id: &str, ours: &[&CustomField], needs: Needs) -> Finding {
    let screen = client
        .edit_screen(id)
        .await
        .map_err(|error| failed(&error, "the connector's user needs \"Edit Issues\""))?;
    let fields = ours.iter().map(|field| (field.id.as_str(), field.name.as_str()));
    let absent: Vec<&str> = fields
        .chain(needs.priority.then_some(("priority", "Priority")))
        .chain(needs.title.then_some(("summary", "Summary")))
        .chain(needs.label.then_some(("labels", "Labels")))
        .filter(|(id, _)| !screen.fields.contains_key(*id))
        .map(|(_, name)| name)
        .collect();
    if absent.is_empty() {
        Ok("has all that is set there".to_owned())
    } else {
        Err(Trouble::failed(
            format!("{} cannot be edited", absent.join(" and ")),
            "put it on the edit screen (project settings, Screens)",
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cases::CheckStatus;
    use crate::crm::jira::discovery::FieldKind;

    fn flag() -> CustomField {
        CustomField {
            id: "customfield_1".to_owned(),
            name: "flag".to_owned(),
            kind: FieldKind::Options,
            namesakes: 0,
        }
    }

    #[test]
    fn a_create_screen_needs_our_fields_and_nothing_that_we_do_not_know() {
        let settings = JiraSettings { project: "SUP".to_owned(), ..JiraSettings::default() };
        let summary = json!({"fieldId": "summary", "name": "Summary", "required": true});
        let ours = json!({"fieldId": "customfield_1", "name": "flag", "allowedValues": [{"id": "1", "value": "yes"}]});
        for (fields, expected) in [
            (json!([summary, ours, {"key": "priority", "name": "Priority"}]), Ok("has both fields")),
            (json!([summary, ours]), Ok("set by an edit")),
            (json!([summary]), Err("flag not on the create screen of issue type Task in project SUP")),
            (json!([ours, {"fieldId": "c2", "name": "Cause", "required": true}]), Err("demands Cause")),
            (
                json!([ours, {"fieldId": "c2", "name": "C", "required": true, "hasDefaultValue": true}]),
                Ok("has both fields"),
            ),
        ] {
            let screen: CreateScreen = serde_json::from_value(json!({"fields": fields})).unwrap();
            let result = on_create_screen(&settings, &screen, &[&flag()], &Map::new());
            match expected {
                Ok(hint) => assert!(result.as_ref().is_ok_and(|text| text.contains(hint)), "{result:?}"),
                Err(hint) => {
                    assert!(
                        result.as_ref().is_err_and(|trouble| trouble.to_string().contains(hint)),
                        "{result:?}"
                    );
                }
            }
        }
        let screen: CreateScreen = serde_json::from_value(json!({"values": [ours]})).unwrap();
        let problem = flag_value(&settings, &screen, &flag()).unwrap_err().to_string();
        assert!(problem.contains("one of yes in company.jira.flag_value"), "{problem}");
        let problem = component(&settings, &screen).unwrap_err();
        assert_eq!(problem.status, CheckStatus::Warn, "cases are created without it");
        assert!(problem.to_string().contains("company.jira.component"), "{problem}");
    }

    #[test]
    fn a_right_that_is_not_told_is_lacking() {
        let answer = json!({"permissions": {
            "BROWSE_PROJECTS": {"havePermission": true}, "CREATE_ISSUES": {"havePermission": true},
            "EDIT_ISSUES": {"havePermission": true}, "TRANSITION_ISSUES": {"havePermission": false},
            "ADD_COMMENTS": {"havePermission": true},
        }});
        let answer: Permissions = serde_json::from_value(answer).unwrap();
        let lacking = |needs, service_management| -> Vec<&str> {
            let lacking = lacking(&rights(needs, service_management), &answer);
            lacking.into_iter().map(|(_, name)| name).collect()
        };
        let all = Needs::all(Visibility::Public);
        assert_eq!(lacking(all, false), ["Transition Issues", "Create Attachments"]);
        assert_eq!(
            lacking(Needs { attachments: false, status: false, turn: false, ..all }, false),
            Vec::<&str>::new()
        );
        let internal = Needs::all(Visibility::Internal);
        assert_eq!(lacking(internal, true), ["Transition Issues", "Create Attachments"]);
        assert!(lacking(all, true)[2].contains("Agent"), "who is none writes internal comments only");
    }
}
