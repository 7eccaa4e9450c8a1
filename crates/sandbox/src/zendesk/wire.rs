//! JSON output of Zendesk's REST API.

use chrono::{DateTime, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::settings::{SandboxZendeskSettings, SandboxZendeskSwitches};
use super::state::{
    ACCOUNT_ID, API, Attachment, CUSTOM_STATUSES, Comment, Document, State, Ticket, User, UserStanding,
    wire_time,
};
use super::{FLAG_FIELD, GOOGLE_NAME_FIELD, GOOGLE_STATE_FIELD, ROOT_CAUSE_FIELD, text};

/// Writer of the JSON for one request.
pub(super) struct Wire<'a> {
    /// URL of this server as the caller knows it: `http://host:port`.
    pub(super) base: &'a str,
    pub(super) settings: &'a SandboxZendeskSettings,
    pub(super) switches: SandboxZendeskSwitches,
}

fn via(channel: &str) -> Value {
    json!({"channel": channel, "source": {"from": {}, "to": {}, "rel": null}})
}

/// Returns the ticket's custom status if it belongs to the current category, else the category's default.
fn custom_status(doc: &Document) -> Option<u64> {
    let category = if doc.status == "closed" { "solved" } else { doc.status.as_str() };
    let of_category =
        |id: u64| CUSTOM_STATUSES.iter().any(|(known, of, _)| *known == id && *of == category).then_some(id);
    let default = || CUSTOM_STATUSES.iter().find(|(_, of, _)| *of == category).map(|(id, ..)| *id);
    doc.custom_status.and_then(of_category).or_else(default)
}

/// Returns the label of that status.
pub(super) fn status_label(doc: &Document) -> &'static str {
    let id = custom_status(doc);
    CUSTOM_STATUSES.iter().find(|(known, ..)| Some(*known) == id).map_or("", |(.., label)| label)
}

impl Wire<'_> {
    pub(super) fn ticket(&self, ticket: &Ticket) -> Value {
        self.ticket_as(ticket, &ticket.doc)
    }

    /// Returns the ticket as a search index knows it.
    pub(super) fn ticket_as(&self, ticket: &Ticket, doc: &Document) -> Value {
        let custom: Vec<Value> =
            doc.custom.iter().map(|(id, value)| json!({"id": id, "value": value})).collect();
        let status = if ticket.deleted { "deleted" } else { doc.status.as_str() };
        json!({
            "url": format!("{}/api/v2/tickets/{}.json", self.base, ticket.id),
            "id": ticket.id,
            "external_id": doc.external_id,
            "via": via(API),
            "created_at": wire_time(ticket.created),
            "updated_at": wire_time(doc.updated),
            "generated_timestamp": ticket.generated.timestamp(),
            "type": doc.kind,
            "subject": doc.subject,
            "raw_subject": doc.subject,
            "description": ticket.description(),
            "priority": doc.priority,
            "status": status,
            "custom_status_id": custom_status(doc),
            "recipient": null,
            "requester_id": doc.requester,
            "submitter_id": ticket.submitter,
            "assignee_id": doc.assignee,
            "organization_id": null,
            "group_id": doc.group,
            "collaborator_ids": doc.email_ccs.union(&doc.followers).collect::<Vec<_>>(),
            "follower_ids": doc.followers,
            "email_cc_ids": doc.email_ccs,
            "forum_topic_id": null,
            "problem_id": null,
            "has_incidents": false,
            "is_public": ticket.is_public(),
            "due_at": null,
            "tags": doc.tags,
            "custom_fields": custom,
            "fields": custom,
            "satisfaction_rating": null,
            "sharing_agreement_ids": [],
            "followup_ids": [],
            "brand_id": 360_000_000_001_u64,
            "allow_channelback": false,
            "allow_attachments": true,
            "from_messaging_channel": false,
        })
    }

    pub(super) fn comment(&self, comment: &Comment, inline_images: bool) -> Value {
        let attachments: Vec<Value> = comment
            .attachments
            .iter()
            .filter(|attachment| inline_images || !attachment.inline)
            .map(|attachment| self.attachment(attachment))
            .collect();
        let mut json = json!({
            "id": comment.id,
            "type": "Comment",
            "author_id": comment.author,
            "body": comment.body,
            "html_body": comment.html,
            "plain_body": text::plain_text(&comment.html),
            "public": comment.public,
            "attachments": attachments,
            "audit_id": comment.audit,
            "via": via(&comment.via),
            "created_at": wire_time(comment.created),
            "metadata": {"system": {}, "custom": {}},
        });
        if self.switches.unmarked
            && let Some(fields) = json.as_object_mut()
        {
            fields.remove("public");
        }
        json
    }

    pub(super) fn attachment(&self, attachment: &Attachment) -> Value {
        let Attachment { id, token, file_name, mime_type, size, inline, deleted, malware, .. } = attachment;
        let name = utf8_percent_encode(file_name, NON_ALPHANUMERIC);
        let content_url = format!("{}/attachments/token/{token}/?name={name}", self.base);
        json!({
            "url": format!("{}/api/v2/attachments/{id}.json", self.base),
            "id": id,
            "file_name": file_name,
            "content_url": content_url,
            "mapped_content_url": content_url,
            "content_type": mime_type,
            "size": size,
            "width": null,
            "height": null,
            "inline": inline,
            "deleted": deleted,
            "malware_access_override": false,
            "malware_scan_result": if *malware { "malware_found" } else { "malware_not_found" },
            "thumbnails": [],
        })
    }

    pub(super) fn user(&self, state: &State, user: &User) -> Value {
        let is_account = user.id == ACCOUNT_ID;
        let restricted = is_account && state.groups.is_some();
        let role = match user.role.as_str() {
            _ if is_account && self.switches.end_user => "end-user",
            // An administrator cannot be restricted.
            "admin" if restricted => "agent",
            role => role,
        };
        // "The user's role id" of the reference: absent for end users.
        let role_type = match (role, user.standing) {
            ("end-user", _) => None,
            (_, UserStanding::LightAgent) => Some(1),
            ("admin", _) => Some(4),
            _ => Some(0),
        };
        json!({
            "id": user.id,
            "url": format!("{}/api/v2/users/{}.json", self.base, user.id),
            "name": user.name,
            "email": user.email,
            "role": role,
            "role_type": role_type,
            "active": user.standing != UserStanding::Deleted,
            "verified": true,
            "suspended": user.standing == UserStanding::Suspended,
            "created_at": wire_time(user.created),
            "updated_at": wire_time(user.created),
            "time_zone": "UTC",
            "iana_time_zone": "Etc/UTC",
            "locale": "en-US",
            "locale_id": 1,
            "moderator": true,
            "only_private_comments": is_account && self.settings.only_private_comments,
            "restricted_agent": restricted,
            "ticket_restriction": restricted.then_some("groups"),
            "tags": [],
            "user_fields": {},
        })
    }

    pub(super) fn users(&self, state: &State, ids: impl Iterator<Item = u64>) -> Value {
        let ids: std::collections::BTreeSet<u64> = ids.collect();
        ids.iter().filter_map(|id| state.users.get(id)).map(|user| self.user(state, user)).collect()
    }

    /// Returns the ticket fields: Zendesk's own, which cannot be removed, and the custom ones.
    pub(super) fn ticket_fields(&self, now: DateTime<Utc>) -> Vec<Value> {
        let required = self.settings.root_cause_required || self.switches.demanding;
        let fields = [
            (360_000_000_011, "subject", "Subject", true, false),
            (360_000_000_012, "description", "Description", true, false),
            (360_000_000_013, "status", "Status", false, false),
            (360_000_000_014, "priority", "Priority", false, false),
            (FLAG_FIELD, "checkbox", "synchronizeWithGoogleCloudSupport", false, false),
            (GOOGLE_NAME_FIELD, "text", "custom_field_google_name", false, false),
            (ROOT_CAUSE_FIELD, "text", "Root cause", false, required),
            (GOOGLE_STATE_FIELD, "text", "Google state", false, false),
        ];
        fields
            .into_iter()
            .map(|(id, kind, title, portal_required, required)| {
                let options = (kind == "priority").then(|| {
                    [("Low", "low"), ("Normal", "normal"), ("High", "high"), ("Urgent", "urgent")]
                        .map(|(name, value)| json!({"name": name, "value": value}))
                });
                json!({
                    "url": format!("{}/api/v2/ticket_fields/{id}.json", self.base),
                    "id": id,
                    "type": kind,
                    "title": title,
                    "raw_title": title,
                    "description": "",
                    "raw_description": "",
                    "position": 0,
                    "active": true,
                    "required": required,
                    "collapsed_for_agents": false,
                    "regexp_for_validation": null,
                    "title_in_portal": title,
                    "raw_title_in_portal": title,
                    "visible_in_portal": false,
                    "editable_in_portal": false,
                    "required_in_portal": portal_required,
                    "tag": null,
                    "removable": id >= FLAG_FIELD,
                    "agent_description": null,
                    "system_field_options": options,
                    "created_at": wire_time(now),
                    "updated_at": wire_time(now),
                })
            })
            .collect()
    }
}
