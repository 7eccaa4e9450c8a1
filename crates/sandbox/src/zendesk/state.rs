//! State of a sandbox Zendesk and its changes. It knows no HTTP.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::settings::Spoilt;
use super::text;
use crate::blobs::Computed;

/// Number of versions of a ticket that the search index keeps, for searches with an index lag.
const INDEX_VERSIONS: usize = 32;

/// Statuses, in the order of a ticket's life.
pub(super) const STATUSES: [&str; 6] = ["new", "open", "pending", "hold", "solved", "closed"];

/// Priorities, most urgent first.
pub(super) const PRIORITIES: [&str; 4] = ["urgent", "high", "normal", "low"];

/// Statuses of the account: ID, category, and the label that agents see. The first of each category is its default.
pub(super) const CUSTOM_STATUSES: [(u64, &str, &str); 8] = [
    (360_000_000_201, "new", "New"),
    (360_000_000_202, "open", "Open"),
    (360_000_000_203, "pending", "Pending"),
    (360_000_000_204, "hold", "On-hold"),
    (360_000_000_205, "solved", "Solved"),
    (360_000_000_206, "solved", "Cancelled by customer"),
    (360_000_000_207, "solved", "Duplicate"),
    (360_000_000_208, "pending", "Waiting for Google"),
];

/// Tag of a ticket that was merged into another one.
const CLOSED_BY_MERGE: &str = "closed_by_merge";

/// ID of the asking user, who exists from the beginning.
pub(super) const ACCOUNT_ID: u64 = 900_001;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    next_user: u64,
    next_ticket: u64,
    /// Next ID of a comment or another audit event: comments are events of audits, and all events share one counter.
    next_event: u64,
    next_attachment: u64,
    pub(super) users: BTreeMap<u64, User>,
    pub(super) tickets: BTreeMap<u64, Ticket>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) idempotent: BTreeMap<String, Remembered>,
    /// Groups whose tickets the asking user sees; absent: all tickets.
    #[serde(default)]
    pub(super) groups: Option<BTreeSet<u64>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) email: String,
    pub(super) role: String,
    #[serde(default)]
    pub(super) standing: UserStanding,
    pub(super) created: DateTime<Utc>,
}

/// Reason why tickets can be assigned to a user or not, besides the role. Sources: "Users" (`active`, `suspended`, `role_type`),
/// developer.zendesk.com.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserStanding {
    /// Nothing stands against it.
    #[default]
    Usual,
    /// The user is an agent who reads tickets and adds internal notes only.
    LightAgent,
    /// The user may not sign in.
    Suspended,
    /// The user was deleted, and is still shown by its ID.
    Deleted,
}

/// Recorded answer for an idempotency key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) at: DateTime<Utc>,
    pub(super) request: String,
    pub(super) answer: Value,
    pub(super) location: String,
}

/// Uploaded files that no comment uses yet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) at: DateTime<Utc>,
    pub(super) attachments: Vec<Attachment>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ticket {
    pub(super) id: u64,
    pub(super) created: DateTime<Utc>,
    /// Time of the last change of any kind, even if `updated_at` stays the same.
    pub(super) generated: DateTime<Utc>,
    pub(super) submitter: u64,
    pub(super) doc: Document,
    pub(super) comments: Vec<Comment>,
    pub(super) audits: Vec<Value>,
    pub(super) deleted: bool,
    /// False if the asking user may not see the ticket.
    pub(super) visible: bool,
    /// Versions that the search index has seen, oldest first.
    #[serde(skip)]
    indexed: VecDeque<(DateTime<Utc>, Arc<Document>)>,
    /// Number of changes in this process, by which webhooks notice one: times repeat within their resolution.
    #[serde(skip)]
    pub(super) revision: u64,
    /// Times of the asking user's updates, for the rate limit.
    #[serde(skip)]
    pub(super) updates: VecDeque<DateTime<Utc>>,
}

/// Fields of a ticket that can be changed and searched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) subject: String,
    pub(super) status: String,
    /// Status of the account, if it is not the default of its category.
    #[serde(default)]
    pub(super) custom_status: Option<u64>,
    pub(super) priority: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) requester: u64,
    /// Users who are copied on the ticket's mails.
    #[serde(default)]
    pub(super) email_ccs: BTreeSet<u64>,
    /// Agents who follow the ticket.
    #[serde(default)]
    pub(super) followers: BTreeSet<u64>,
    pub(super) assignee: Option<u64>,
    pub(super) group: Option<u64>,
    pub(super) tags: BTreeSet<String>,
    /// Values of the custom fields, by ID.
    pub(super) custom: BTreeMap<u64, Value>,
    pub(super) updated: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) audit: u64,
    pub(super) author: u64,
    /// Value of `body`: the text as it was written, or the text of the HTML.
    pub(super) body: String,
    pub(super) html: String,
    pub(super) public: bool,
    /// Channel that the comment came by.
    #[serde(default = "api")]
    pub(super) via: String,
    pub(super) created: DateTime<Utc>,
    pub(super) attachments: Vec<Attachment>,
}

/// Channel of most comments ("Via types", developer.zendesk.com).
pub(super) const API: &str = "api";
/// Channel of the comments of a merge.
const MERGE: &str = "merge";

fn api() -> String {
    API.to_owned()
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) id: u64,
    /// Random text in the attachment's URL, which does not contain its ID.
    pub(super) token: String,
    pub(super) file_name: String,
    pub(super) mime_type: String,
    pub(super) size: u64,
    /// SHA-256 in lower-case hex; absent for computed content.
    pub(super) sha256: Option<String>,
    /// Seed of computed content.
    pub(super) synthetic: Option<u64>,
    pub(super) inline: bool,
    pub(super) deleted: bool,
    /// True if Zendesk found malware in the file.
    #[serde(default)]
    pub(super) malware: bool,
    /// Answer in place of the content.
    #[serde(default)]
    pub(super) spoilt: Option<Spoilt>,
    /// ID of the attachment that this one shares its content with: a merge copies files.
    #[serde(default)]
    pub(super) copy_of: Option<u64>,
}

impl Attachment {
    /// Returns the name under which the content is stored.
    pub(super) fn blob(&self) -> String {
        self.copy_of.unwrap_or(self.id).to_string()
    }

    /// Returns seed and size of computed content; `None` if the content is stored.
    pub(super) fn computed(&self) -> Option<Computed> {
        self.synthetic.map(|seed| Computed { seed, size: self.size })
    }
}

/// Text of a comment, in one of the two formats that Zendesk accepts.
#[derive(Debug, Clone)]
pub(super) enum Words {
    Markdown(String),
    Html(String),
}

impl Words {
    pub(super) fn is_blank(&self) -> bool {
        match self {
            Self::Markdown(text) => text.trim().is_empty(),
            Self::Html(html) => text::plain_text(html).is_empty() && !html.contains("<img"),
        }
    }
}

/// Comment to add.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) author: u64,
    pub(super) words: Words,
    pub(super) public: bool,
    pub(super) via: &'static str,
    pub(super) attachments: Vec<Attachment>,
}

impl State {
    pub(super) fn new(account: &str, admin: bool, now: DateTime<Utc>) -> Self {
        let mut state = Self {
            next_user: ACCOUNT_ID,
            next_ticket: 1,
            next_event: 7_000_001,
            next_attachment: 500_001,
            users: BTreeMap::new(),
            tickets: BTreeMap::new(),
            uploads: BTreeMap::new(),
            idempotent: BTreeMap::new(),
            groups: None,
        };
        state.user(account, now);
        state.role(ACCOUNT_ID, if admin { "admin" } else { "agent" });
        state
    }

    pub(super) fn role(&mut self, user: u64, role: &str) {
        if let Some(user) = self.users.get_mut(&user) {
            role.clone_into(&mut user.role);
        }
    }

    /// Rebuilds the search index, which is not stored, as if it had no lag.
    pub(super) fn after_loading(mut self) -> Self {
        for ticket in self.tickets.values_mut() {
            ticket.index(ticket.generated);
        }
        self
    }

    /// Returns the user with that name, and creates it as an agent if it does not exist.
    pub(super) fn user(&mut self, name: &str, now: DateTime<Utc>) -> u64 {
        if let Some(user) = self.users.values().find(|user| user.name == name) {
            return user.id;
        }
        let local: String =
            name.to_lowercase().chars().map(|c| if c.is_alphanumeric() { c } else { '.' }).collect();
        self.add_user(name, &format!("{local}@example.com"), now)
    }

    /// Returns the user with an address, or a new one: several people may have one name, and an address is one person's.
    pub(super) fn user_of(&mut self, email: &str, name: &str, now: DateTime<Utc>) -> u64 {
        let is_it = |user: &&User| user.email.eq_ignore_ascii_case(email);
        let known = self.users.values().find(is_it).map(|user| user.id);
        known.unwrap_or_else(|| self.add_user(name, email, now))
    }

    fn add_user(&mut self, name: &str, email: &str, now: DateTime<Utc>) -> u64 {
        let id = self.next_user;
        self.next_user += 1;
        let user = User {
            id,
            name: name.to_owned(),
            email: email.to_owned(),
            role: "agent".to_owned(),
            standing: UserStanding::default(),
            created: now,
        };
        self.users.insert(id, user);
        id
    }

    /// Reports if the asking user may see a ticket.
    pub(super) fn shows(&self, ticket: &Ticket) -> bool {
        let in_group = |groups: &BTreeSet<u64>| ticket.doc.group.is_some_and(|group| groups.contains(&group));
        ticket.visible && self.groups.as_ref().is_none_or(in_group)
    }

    pub(super) fn attachment_id(&mut self) -> u64 {
        let id = self.next_attachment;
        self.next_attachment += 1;
        id
    }

    /// Creates a ticket with its first comment.
    pub(super) fn create(&mut self, submitter: u64, doc: Document, first: Draft, now: DateTime<Utc>) -> u64 {
        let id = self.next_ticket;
        self.next_ticket += 1;
        let ticket = Ticket {
            id,
            created: now,
            generated: now,
            submitter,
            doc,
            comments: Vec::new(),
            audits: Vec::new(),
            deleted: false,
            visible: true,
            indexed: VecDeque::new(),
            revision: 0,
            updates: VecDeque::new(),
        };
        self.tickets.insert(id, ticket);
        self.update(id, submitter, now, Some(first), |_| {});
        id
    }

    /// Changes a ticket: its fields, and a comment with them. One audit records both. Returns the ticket.
    pub(super) fn update(
        &mut self,
        id: u64,
        who: u64,
        now: DateTime<Utc>,
        comment: Option<Draft>,
        change: impl FnOnce(&mut Document),
    ) -> Option<Value> {
        let names: BTreeMap<u64, String> =
            self.users.values().map(|user| (user.id, user.name.clone())).collect();
        let audit = self.next_event;
        let ticket = self.tickets.get_mut(&id)?;
        let before = ticket.doc.clone();
        change(&mut ticket.doc);
        let mut events = changes(&before, &ticket.doc);
        self.next_event += 1;
        for event in &mut events {
            event["id"] = json!(self.next_event);
            self.next_event += 1;
        }
        if let Some(draft) = comment {
            let comment = Comment::new(self.next_event, audit, draft, ticket, &names, now);
            self.next_event += 1;
            events.push(json!({
                "id": comment.id,
                "type": "Comment",
                "author_id": comment.author,
                "body": comment.body,
                "html_body": comment.html,
                "plain_body": text::plain_text(&comment.html),
                "public": comment.public,
                "audit_id": audit,
                "attachments": comment.attachments.iter().map(|attachment| attachment.id).collect::<Vec<_>>(),
            }));
            ticket.comments.push(comment);
        }
        let channel = ticket.comments.last().filter(|last| last.audit == audit).map_or(API, |last| &last.via);
        let audit = json!({
            "id": audit,
            "ticket_id": id,
            "created_at": wire_time(now),
            "author_id": who,
            "metadata": {"system": {}, "custom": {}},
            "events": events,
            "via": {"channel": channel, "source": {"from": {}, "to": {}, "rel": null}},
        });
        ticket.audits.push(audit.clone());
        ticket.touch(now);
        Some(audit)
    }

    /// Merges a ticket into another one ("Merging tickets", support.zendesk.com). Without texts in `words`, the comments get the standard
    /// texts of the agents' workspace. The error is the reason why the two cannot be merged.
    pub(super) fn merge(
        &mut self,
        from: u64,
        into: u64,
        who: u64,
        words: &MergeWords,
        now: DateTime<Utc>,
    ) -> Result<(), &'static str> {
        let (Some(source), Some(target)) = (self.tickets.get(&from), self.tickets.get(&into)) else {
            return Err("Ticket not found");
        };
        if from == into {
            return Err("A ticket cannot be merged into itself");
        }
        if source.is_done() {
            return Err("The source ticket is solved or closed");
        }
        if target.is_done() {
            return Err("The target ticket is solved or closed");
        }
        let all_public = [source, target].iter().all(|ticket| ticket.is_public());
        let last = source.comments.last().map(|comment| comment.body.clone()).unwrap_or_default();
        let on_target = words.target.clone().unwrap_or_else(|| {
            format!(
                "Request #{from} \"{}\" was closed and merged into this request. Last comment in request #{from}:\n\n{last}",
                source.doc.subject
            )
        });
        let on_source = words.source.clone().unwrap_or_else(|| {
            format!("This request was closed and merged into request #{into} \"{}\".", target.doc.subject)
        });
        let files: Vec<Attachment> =
            source.comments.iter().flat_map(|comment| &comment.attachments).cloned().collect();
        let attachments = files
            .into_iter()
            .filter(|file| !file.deleted)
            .map(|file| Attachment {
                id: self.attachment_id(),
                token: hex::encode(rand::random::<[u8; 12]>()),
                copy_of: Some(file.copy_of.unwrap_or(file.id)),
                ..file
            })
            .collect();
        let draft = |text: String, public: bool, attachments| Draft {
            author: who,
            words: Words::Markdown(text),
            public: public && all_public,
            via: MERGE,
            attachments,
        };
        self.update(into, who, now, Some(draft(on_target, words.target_public, attachments)), |_| {});
        self.update(from, who, now, Some(draft(on_source, words.source_public, Vec::new())), |doc| {
            "closed".clone_into(&mut doc.status);
            doc.tags.insert(CLOSED_BY_MERGE.to_owned());
        });
        Ok(())
    }

    /// Returns an attachment with its ticket and comment.
    pub(super) fn attachment(&self, id: u64) -> Option<(&Ticket, &Comment, &Attachment)> {
        self.tickets.values().find_map(|ticket| {
            ticket.comments.iter().find_map(|comment| {
                let found = comment.attachments.iter().find(|attachment| attachment.id == id)?;
                Some((ticket, comment, found))
            })
        })
    }

    /// Finds an attachment of a comment, or one in an upload that no comment uses yet.
    pub(super) fn any_attachment(&self, holds: impl Fn(&Attachment) -> bool) -> Option<&Attachment> {
        let hanging = self.tickets.values().flat_map(|ticket| &ticket.comments).flat_map(|c| &c.attachments);
        let waiting = self.uploads.values().flat_map(|upload| &upload.attachments);
        hanging.chain(waiting).find(|attachment| holds(attachment))
    }

    pub(super) fn comment_mut(&mut self, ticket: u64, comment: u64) -> Option<&mut Comment> {
        self.tickets.get_mut(&ticket)?.comments.iter_mut().find(|known| known.id == comment)
    }
}

/// Texts of a merge's comments, and if they are public.
#[derive(Debug, Clone, Default)]
pub(super) struct MergeWords {
    pub(super) target: Option<String>,
    pub(super) source: Option<String>,
    pub(super) target_public: bool,
    pub(super) source_public: bool,
}

/// Returns the audit events for the fields that changed.
fn changes(before: &Document, after: &Document) -> Vec<Value> {
    let mut fields = vec![
        ("subject".to_owned(), json!(before.subject), json!(after.subject)),
        ("status".to_owned(), json!(before.status), json!(after.status)),
        ("tags".to_owned(), json!(before.tags), json!(after.tags)),
        ("priority".to_owned(), json!(before.priority), json!(after.priority)),
        ("external_id".to_owned(), json!(before.external_id), json!(after.external_id)),
        ("assignee_id".to_owned(), json!(before.assignee), json!(after.assignee)),
    ];
    for (id, value) in &after.custom {
        fields.push((id.to_string(), before.custom.get(id).cloned().unwrap_or_default(), value.clone()));
    }
    fields
        .into_iter()
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| {
            json!({"type": "Change", "field_name": name, "value": after, "previous_value": before})
        })
        .collect()
}

impl Comment {
    fn new(
        id: u64,
        audit: u64,
        draft: Draft,
        ticket: &Ticket,
        names: &BTreeMap<u64, String>,
        now: DateTime<Utc>,
    ) -> Self {
        let value = |name: &str| match name {
            "ticket.id" => Some(ticket.id.to_string()),
            "ticket.title" => Some(ticket.doc.subject.clone()),
            "ticket.status" => Some(ticket.doc.status.clone()),
            "ticket.requester.name" => names.get(&ticket.doc.requester).cloned(),
            "current_user.name" => names.get(&draft.author).cloned(),
            _ => None,
        };
        let (body, html) = match draft.words {
            Words::Markdown(markdown) => {
                let body = text::render_placeholders(&markdown, value);
                let html = text::clean_html(&text::markdown_to_html(&body));
                (body, html)
            }
            Words::Html(html) => {
                let html = text::clean_html(&text::render_placeholders(&html, value));
                (text::plain_text(&html), html)
            }
        };
        Self {
            id,
            audit,
            author: draft.author,
            body,
            html,
            public: draft.public,
            via: draft.via.to_owned(),
            created: now,
            attachments: draft.attachments,
        }
    }
}

impl Ticket {
    /// Marks the ticket updated.
    pub(super) fn touch(&mut self, now: DateTime<Utc>) {
        self.doc.updated = now;
        self.generated = now;
        self.revision += 1;
        self.index(now);
    }

    fn index(&mut self, at: DateTime<Utc>) {
        if self.indexed.len() == INDEX_VERSIONS {
            // Keep the first version: it tells since when the ticket exists.
            self.indexed.remove(1);
        }
        self.indexed.push_back((at, Arc::new(self.doc.clone())));
    }

    /// Returns the ticket as a search index with this lag knows it; `None` if the index has not seen it yet.
    pub(super) fn as_indexed(&self, now: DateTime<Utc>, lag: Duration) -> Option<Arc<Document>> {
        if lag <= Duration::zero() {
            return Some(Arc::new(self.doc.clone()));
        }
        let seen = now.checked_sub_signed(lag).unwrap_or(DateTime::<Utc>::MIN_UTC);
        self.indexed.iter().rev().find(|(at, _)| *at <= seen).map(|(_, doc)| Arc::clone(doc))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.doc.status == "closed"
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self.doc.status.as_str(), "solved" | "closed")
    }

    /// Reports if any comment is public.
    pub(super) fn is_public(&self) -> bool {
        self.comments.iter().any(|comment| comment.public)
    }

    /// Returns the text of the first comment.
    pub(super) fn description(&self) -> &str {
        self.comments.first().map(|comment| comment.body.as_str()).unwrap_or_default()
    }
}

/// Formats a time as Zendesk writes it: UTC, whole seconds.
pub(super) fn wire_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
