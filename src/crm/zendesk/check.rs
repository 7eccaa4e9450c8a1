//! `casebridge check` for Zendesk: tries everything that the service needs, without changing anything. Each failure ends with advice on how
//! to fix it, and where.

use chrono::Duration;

use super::client::{self, Client};
use super::settings::ZendeskSettings;
use super::wire::{Attachment, Comment, Field, Named, User};
use super::{EXPORT_DELAY, NAME, PRIORITIES, PriorityWords};
use crate::cases::{ApiError, Check, Finding, Needs, Placement, Report, Trouble, Visibility};
use crate::crm::{CrmKind as _, DEFAULT_WORDS, expiry, sign_in};
use crate::outbound::Remedies;

/// Largest file that a check downloads, in bytes.
const SMALL: u64 = 1024 * 1024;

pub(super) async fn all(client: &Client, priorities: &PriorityWords, needs: Needs) -> Vec<Check> {
    let settings = client.settings();
    let mut report = Report::new(NAME);
    let me = match client.myself().await {
        Ok(me) => me,
        Err(error) => {
            let advice = "check company.base_url, the network and Zendesk's status page";
            report.add("credentials", Err(Trouble::of(&error, advice)));
            return report.into_lines();
        }
    };
    report.add("credentials", Ok(format!("signed in as {}", me.name)));
    if let Some(granted) = client.upstream().granted_scope().await {
        let advice = "the connector asks for both: allow them for the OAuth client (Admin Center, Apps and integrations, APIs)";
        report.add("scopes", expiry::scopes(&granted, &["read", "write"], advice));
    }
    // Zendesk shows an end user nothing of the rest.
    if !report.add("role", role(&me)) {
        return report.into_lines();
    }
    report.add("comments", comments(client, &me, needs));
    let flag = fields(&mut report, client, needs).await;
    if needs.creation || needs.priority {
        report.add("priorities", words(settings, priorities));
    }
    ids(&mut report, client, needs).await;
    report.add("tickets", tickets(client).await);
    match flag {
        Ok(flag) => flagged(&mut report, client, flag, needs).await,
        Err(cause) => {
            for what in [SEARCH, MARKERS] {
                report.add_untried(what, &cause);
            }
        }
    }
    if settings.use_incremental_export {
        report.add("incremental export", export(client).await);
    }
    if needs.attachments {
        report.add("attachments", attachments(client).await);
    }
    report.into_lines()
}

const SEARCH: &str = "search for flagged cases";
const MARKERS: &str = "who sees comments";

/// Checks the ticket fields. Returns the flag field's ID, or the name of the line that says why there is none.
async fn fields(report: &mut Report, client: &Client, needs: Needs) -> Result<u64, String> {
    const ALL: &str = "custom fields";
    let settings = client.settings();
    let fields = match client.all_fields().await {
        Ok(fields) => fields,
        Err(error) => {
            let advice = "the connector's user has to be an agent, who sees the ticket fields";
            report.add(ALL, Err(Trouble::of(&error, advice)));
            return Err(ALL.to_owned());
        }
    };
    let shown = |field: &Field| format!("{} ({})", field.id, field.title);
    let flag_line = format!("field {}", settings.flag_field);
    let flag = client::flag_field(settings, &fields);
    let id = flag.as_ref().map(|field| field.id).map_err(|_| flag_line.clone());
    report.add(&flag_line, flag.map(shown).map_err(Trouble::from));
    let google_name = client::google_name_field(settings, &fields);
    report
        .add(&format!("field {}", settings.google_name_field), google_name.map(shown).map_err(Trouble::from));
    if let Some(found) = client::google_state_field(settings, &fields) {
        let line = format!("field {}", settings.google_state_field.as_deref().unwrap_or_default());
        report.add(&line, found.map(shown).map_err(Trouble::from));
    }
    if needs.status {
        report.add("solving", solving(client, &fields));
    }
    id
}

/// Checks everything that is seen on tickets with the flag.
async fn flagged(report: &mut Report, client: &Client, flag: u64, needs: Needs) {
    if !report.add(SEARCH, search(client, flag).await) {
        report.add_untried(MARKERS, SEARCH);
        return;
    }
    let sample = match sample(client, flag).await {
        Ok(sample) => sample,
        Err(problem) => {
            report.add(MARKERS, Err(problem));
            return;
        }
    };
    report.add(MARKERS, markers(&sample));
    if needs.attachments {
        report.add("a download", download(client, &sample).await);
    }
}

/// Number of groups, brands or forms that a message lists.
const LISTED: usize = 20;

/// Kind of object that the configuration names by its ID.
#[derive(Debug, Clone, Copy)]
struct Kind {
    noun: &'static str,
    /// Words of the API for all of them, and for one.
    list: &'static str,
    one: &'static str,
    /// Place in Zendesk where a person finds the ID.
    place: &'static str,
}

const GROUP: Kind =
    Kind { noun: "group", list: "groups", one: "group", place: "Admin Center, People, Team, Groups" };
const BRAND: Kind =
    Kind { noun: "brand", list: "brands", one: "brand", place: "Admin Center, Account, Brand management" };
const FORM: Kind = Kind {
    noun: "ticket form",
    list: "ticket_forms",
    one: "ticket_form",
    place: "Admin Center, Objects and rules, Tickets, Forms",
};
const USER: Kind =
    Kind { noun: "user", list: "users", one: "user", place: "Admin Center, People, Team members" };

/// Result of looking up an object.
enum Looked {
    /// ID and name of an object that can be used.
    Fine(String),
    /// Reason why it may be of no use.
    Doubtful(String),
    /// Reason why it cannot be used.
    Wrong(String),
    /// Lookup that the connector's user has no right to.
    Unread,
}

/// Looks up an object by its ID.
async fn look_up(client: &Client, kind: Kind, id: &str) -> Result<Looked, ApiError> {
    let Kind { noun, list, one, .. } = kind;
    let looked = if kind.list == USER.list {
        client.object(list, one, id).await.map(|found| found.map(|user| assignable(&user, id)))
    } else {
        client.object(list, one, id).await.map(|found| found.map(|named| usable(&named, noun)))
    };
    match looked {
        Ok(Some(looked)) => return Ok(looked),
        Ok(None) if kind.list == USER.list => return Ok(Looked::Wrong(format!("there is no {noun} {id}"))),
        Ok(None) => {}
        Err(error) if error.status == Some(403) => return Ok(Looked::Unread),
        Err(error) => return Err(error),
    }
    match client.usable(list).await {
        Ok(known) if known.is_empty() => {
            Ok(Looked::Wrong(format!("there is no {noun} {id}, and no other is shown")))
        }
        Ok(known) => {
            let shown: Vec<String> = known.iter().take(LISTED).map(Named::to_string).collect();
            Ok(Looked::Wrong(format!("there is no {noun} {id}, but {}", shown.join(", "))))
        }
        // Forms take a plan that has them, and some roles do not list them.
        Err(error) if matches!(error.status, Some(403 | 404)) => Ok(Looked::Unread),
        Err(error) => Err(error),
    }
}

/// Judges a user to whom tickets are to be assigned.
fn assignable(user: &User, id: &str) -> Looked {
    let name = &user.name;
    match user.unassignable() {
        Some(reason) => Looked::Wrong(format!("{name} ({id}) is {reason} and gets no tickets")),
        None => Looked::Fine(format!("{id} ({name})")),
    }
}

/// Judges a group, brand or ticket form that tickets are to have.
fn usable(named: &Named, noun: &str) -> Looked {
    if named.is_deleted() {
        Looked::Wrong(format!("the {noun} {named} is deleted"))
    } else if named.is_inactive() {
        // Zendesk's reference does not say if it takes a ticket for one.
        Looked::Doubtful(format!(
            "the {noun} {named} is inactive, and Zendesk may refuse tickets that name it"
        ))
    } else {
        Looked::Fine(named.to_string())
    }
}

/// Checks the object that a key of `[company.zendesk]` names.
async fn configured(client: &Client, kind: Kind, key: &str, id: u64) -> Finding {
    let Kind { noun, place, .. } = kind;
    let advice = format!("give the ID of another {noun} in company.zendesk.{key} ({place})");
    match look_up(client, kind, &id.to_string()).await.map_err(|error| Trouble::from(&error))? {
        Looked::Fine(found) => Ok(found),
        Looked::Doubtful(problem) => Err(Trouble::warning(problem, advice)),
        Looked::Wrong(problem) => Err(Trouble::failed(problem, advice)),
        Looked::Unread => Err(Trouble::warning(
            format!("the {noun} {id} cannot be read, so it could not be checked"),
            format!(
                "compare company.zendesk.{key} with the number in the {noun}'s address ({place}), or give the connector's user a role \
                 that reads it"
            ),
        )),
    }
}

/// Adds a line for each ID that is configured and needed.
async fn ids(report: &mut Report, client: &Client, needs: Needs) {
    let settings = client.settings();
    for (key, kind, id, is_needed) in [
        ("group_id", GROUP, settings.group_id, needs.creation),
        ("brand_id", BRAND, settings.brand_id, needs.creation),
        ("ticket_form_id", FORM, settings.ticket_form_id, needs.creation),
        ("solver_id", USER, settings.solver_id, needs.status),
    ] {
        if let Some(id) = id.filter(|_| is_needed) {
            report.add(key, configured(client, kind, key, id).await);
        }
    }
}

/// Looks up the values that a route sets. An agent is looked up by ID only: an email address is resolved by Zendesk itself.
pub(super) async fn placement(client: &Client, placement: &Placement) -> Finding {
    let mut unknown = Vec::new();
    let mut doubtful = Vec::new();
    let person = placement.assignee.as_ref().filter(|person| !person.contains('@'));
    for (kind, id) in
        [(GROUP, placement.group.as_ref()), (FORM, placement.request_type.as_ref()), (USER, person)]
    {
        let Some(id) = id else { continue };
        match look_up(client, kind, id).await.map_err(|error| Trouble::from(&error))? {
            Looked::Fine(_) => {}
            Looked::Doubtful(problem) => doubtful.push(problem),
            Looked::Wrong(problem) => unknown.push(problem),
            Looked::Unread => {
                doubtful.push(format!("the {} {id} cannot be read, so it could not be checked", kind.noun));
            }
        }
    }
    if !placement.fields.is_empty() {
        let fields = client.all_fields().await.map_err(|error| Trouble::from(&error))?;
        unknown.extend(placement.fields.iter().filter_map(|(id, value)| {
            match fields.iter().find(|field| field.id.to_string() == *id) {
                None => Some(format!("there is no ticket field {id}")),
                Some(field) => field.mistake(value),
            }
        }));
    }
    match (unknown.as_slice(), doubtful.as_slice()) {
        ([], []) => Ok(placement.describe()),
        ([], doubtful) => Err(Trouble::warning(
            format!("{}: {}", placement.describe(), doubtful.join("; ")),
            "compare the route's set with the numbers in the addresses of Admin Center, or give the connector's user a role that reads \
             them",
        )),
        (unknown, _) => Err(Trouble::failed(unknown.join("; "), "correct the route's set")),
    }
}

/// Remedy for an export that is refused.
const EXPORT: &str = "incremental exports take an administrator: give the connector's agent that role, or set \
                      company.zendesk.use_incremental_export = false and be content with the search, which may be late";

/// Returns the remedy for credentials that are not accepted.
pub(super) fn sign_in_remedy(settings: &ZendeskSettings) -> String {
    let access = match &settings.client_id {
        Some(_) => "that the OAuth client is active",
        None => "that token access is switched on",
    };
    let keys = settings.credential_keys();
    let otherwise = format!(
        "the credentials have expired, were revoked or never were valid: check {keys}, and {access} (Admin Center, Apps and integrations, \
         APIs)"
    );
    sign_in(settings, keys, otherwise)
}

/// Returns the remedies for failed calls.
pub(super) fn remedies(settings: &ZendeskSettings) -> Remedies {
    let role = "make the connector's user an agent who sees all tickets (Admin Center, People, Team members)";
    let sign_in = sign_in_remedy(settings);
    Remedies {
        sign_in: sign_in.clone(),
        rights: vec![
            ("GET", "/users/me", sign_in),
            ("GET", "/incremental/", EXPORT.to_owned()),
            ("POST", "/uploads", format!("the connector's user may not add files: {role}")),
            ("PUT", "/tickets/", format!("the connector's user may not change this ticket: {role}")),
            ("POST", "/tickets", format!("the connector's user may not create tickets: {role}")),
        ],
        right: format!("the connector's user may not do this: {role}"),
        fixed: ["/users/me", "/search/export", "/ticket_fields", "/tickets/cursor", "/uploads"]
            .map(str::to_owned)
            .to_vec(),
        address: "check company.base_url: https://SUBDOMAIN.zendesk.com, without a path".to_owned(),
        refusals: Vec::new(),
        download_hosts: Some("company.zendesk.download_hosts"),
        reach: "check company.base_url, the network (docs/networks.md) and Zendesk's status page".to_owned(),
    }
}

fn role(me: &User) -> Finding {
    match me.role.as_str() {
        _ if me.is_end_user() => Err(Trouble::failed(
            format!("{} is an end user", me.name),
            "make the connector's user an agent (Admin Center, People, Team members)",
        )),
        role => {
            let kept_to = match me.ticket_restriction.as_deref() {
                Some(restriction) => format!("the tickets of its {restriction}"),
                None if me.restricted_agent => "the tickets that its role allows".to_owned(),
                None => return Ok(format!("{role} who sees all tickets")),
            };
            // Searches, exports and lists leave the other tickets out silently ("Ticket access", *Creating custom roles*).
            Err(Trouble::warning(
                format!(
                    "{role} who sees {kept_to} only: the others are left out without a word, and a ticket that is moved out of them \
                     counts as gone"
                ),
                "give the connector's user access to all tickets (Admin Center, People, Team members), unless this is meant",
            ))
        }
    }
}

/// Checks if any ticket is shown at all (`R26`: empty answers need proof).
async fn tickets(client: &Client) -> Finding {
    match client.some_tickets().await {
        Ok(shown) if shown.is_empty() => Err(Trouble::warning(
            "none is shown",
            "unless the account is new, give the connector's user access to tickets",
        )),
        Ok(_) => Ok("they are shown".to_owned()),
        Err(error) => {
            Err(Trouble::of(&error, "the connector's user has to be an agent with access to tickets"))
        }
    }
}

/// Comments of some flagged tickets, each with its ticket.
type Sample = Vec<(u64, Vec<Comment>)>;

async fn sample(client: &Client, flag: u64) -> Result<Sample, Trouble> {
    let tried = async {
        let mut sample = Vec::new();
        for ticket in client.some_flagged(flag).await? {
            let comments = client.comments(ticket, None).await?.newest_first;
            let has_small = small_files(&comments).next().is_some();
            sample.push((ticket, comments));
            if has_small {
                break;
            }
        }
        Ok::<_, ApiError>(sample)
    };
    tried
        .await
        .map_err(|error| Trouble::of(&error, "the connector's user has to be an agent who may read tickets"))
}

/// Checks that comments have the marker of visibility (`R29`: private until shown to be public).
fn markers(sample: &Sample) -> Finding {
    let comments = || sample.iter().flat_map(|(_, comments)| comments);
    let silent = comments().filter(|comment| comment.public.is_none()).count();
    match (comments().count(), silent) {
        (0, _) => Ok("there is no comment yet to see it from".to_owned()),
        (_, 0) => Ok("each comment says whether it is public (`public`)".to_owned()),
        (all, silent) => Err(Trouble::failed(
            format!(
                "{silent} of {all} comments do not say whether they are public (`public`), and count as internal notes: nothing of \
                 them is passed on"
            ),
            "ask whoever runs the proxy before Zendesk what it takes out of answers",
        )),
    }
}

fn small_files(comments: &[Comment]) -> impl Iterator<Item = &Attachment> {
    comments
        .iter()
        .flat_map(|comment| &comment.attachments)
        .filter_map(|attachment| attachment.as_ref().ok())
        .filter(|file| !file.deleted && !file.withheld && file.size.is_some_and(|size| size <= SMALL))
}

/// Downloads one small file (`R34`: other content in place of a file).
async fn download(client: &Client, sample: &Sample) -> Finding {
    let smallest = sample
        .iter()
        .flat_map(|(ticket, comments)| small_files(comments).map(move |file| (*ticket, file)))
        .min_by_key(|(_, file)| file.size);
    let Some((ticket, file)) = smallest else {
        return Ok(format!("not tried: no flagged ticket has a file of up to {SMALL} bytes yet"));
    };
    let what = format!("attachment {} of ticket {ticket}", file.id);
    match client.read_whole(file, ticket).await {
        Ok(size) => Ok(format!("{what} arrives whole, {size} bytes")),
        Err(error) => {
            let advice = "Zendesk hands files of end users, and with *Allow secure downloads* all files, to users only who are signed in \
                          and see the ticket: give the connector's user access to it";
            let hint = error.hint.clone().filter(|hint| hint.contains("download_hosts"));
            let problem = format!("{what}: {}", error.without_hint());
            Err(Trouble::failed(problem, hint.unwrap_or_else(|| advice.to_owned())))
        }
    }
}

fn comments(client: &Client, me: &User, needs: Needs) -> Finding {
    if !me.only_private_comments {
        return Ok("public replies and internal notes".to_owned());
    }
    let descriptions = needs.creation && client.settings().description_visibility == Visibility::Public;
    let public: Vec<&str> = [
        (needs.visibility == Visibility::Public, "sync.comment_visibility"),
        (descriptions, "company.zendesk.description_visibility"),
    ]
    .into_iter()
    .filter_map(|(is_public, key)| is_public.then_some(key))
    .collect();
    if public.is_empty() {
        return Ok("internal notes, which is all that is written".to_owned());
    }
    Err(Trouble::failed(
        "the connector's user may write internal notes only",
        format!(
            "set {} to \"internal\", or give the user another role (Admin Center, People, Team members)",
            public.join(" and ")
        ),
    ))
}

/// Checks that no field is required to solve a ticket without a configured value, and that the configured values fit their fields.
fn solving(client: &Client, fields: &[Field]) -> Finding {
    let set = &client.settings().solve_fields;
    let lacking: Vec<String> = fields
        .iter()
        .filter(|field| field.required && field.active != Some(false) && field.removable == Some(true))
        .filter(|field| !set.contains_key(&field.id.to_string()))
        .map(|field| format!("{} ({})", field.title, field.id))
        .collect();
    let wrong: Vec<String> = set
        .iter()
        .filter_map(|(id, value)| match fields.iter().find(|field| field.id.to_string() == *id) {
            None => Some(format!("there is no ticket field {id}")),
            Some(field) => field.mistake(value),
        })
        .collect();
    if !wrong.is_empty() {
        return Err(Trouble::failed(wrong.join("; "), "correct company.zendesk.solve_fields"));
    }
    if lacking.is_empty() {
        return Ok("no field is required that is not set".to_owned());
    }
    Err(Trouble::failed(
        format!("tickets cannot be solved without {}", lacking.join(", ")),
        "give a value for each in company.zendesk.solve_fields, or do not require them (Admin Center, Objects and rules, \
         Tickets, Fields)",
    ))
}

/// Checks that the account accepts files of the configured size.
async fn attachments(client: &Client) -> Finding {
    const MIB: u64 = 1024 * 1024;
    let ours = client.settings().attachment_limit_mib;
    match client.largest_file().await {
        Ok(Some(limit)) if limit < ours.saturating_mul(MIB) => Err(Trouble::warning(
            format!(
                "Zendesk takes files of up to {limit} bytes only, and larger ones would be tried in vain"
            ),
            format!("set company.zendesk.attachment_limit_mib to {}", (limit / MIB).max(1)),
        )),
        Ok(Some(_)) => Ok(format!("up to {ours} MiB (company.zendesk.attachment_limit_mib)")),
        // The call is not needed and may be forbidden; it only reveals a mistake early.
        Ok(None) | Err(_) => Ok(format!(
            "up to {ours} MiB (company.zendesk.attachment_limit_mib; the account's own limit cannot be read: not compared)"
        )),
    }
}

fn words(settings: &ZendeskSettings, priorities: &PriorityWords) -> Finding {
    let missing = priorities.missing_from(&PRIORITIES);
    if missing.is_empty() {
        return Ok("every level has a word that Zendesk knows".to_owned());
    }
    let advice = settings.own_priorities();
    if priorities.are_default() {
        return Err(Trouble::failed(DEFAULT_WORDS, advice));
    }
    let named: Vec<String> =
        missing.iter().map(|(priority, word)| format!("priorities.{priority} = {word:?}")).collect();
    Err(Trouble::failed(format!("Zendesk does not know {}", named.join(", ")), advice))
}

async fn search(client: &Client, flag: u64) -> Finding {
    match client.search_some(&format!("custom_field_{flag}:true")).await {
        Ok(0) => Ok("none yet".to_owned()),
        Ok(_) => Ok("there are some".to_owned()),
        Err(error) => {
            Err(Trouble::of(&error, "the connector's user has to be an agent who may search tickets"))
        }
    }
}

async fn export(client: &Client) -> Finding {
    match client.export(client.now() - EXPORT_DELAY - Duration::minutes(1), 1, |_| ()).await {
        Ok(_) => Ok("it can be read".to_owned()),
        Err(error) if error.status == Some(403) => Err(Trouble::of(
            &error,
            "incremental exports take an administrator: give the connector's agent that role (Admin Center, People, Team \
             members), or set company.zendesk.use_incremental_export = false",
        )),
        // The limit of ten calls a minute is the account's, and other programs use it as well ("Incremental Exports", *Rate limits*).
        Err(error) if error.status == Some(429) => Err(Trouble::warning(
            "the account's ten exports of this minute are used up, so it was not tried: polls go on with the search",
            "check again in a minute; if it stays so, another program uses them",
        )),
        Err(error) => Err((&error).into()),
    }
}
