//! State of a sandbox Jira: issues, comments, attachments, users, and the versions that its search index has seen.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::catalog;
use super::manners::Manners;
use super::remote_links::RemoteLink;

/// Number of versions of an issue that the search index keeps, for searches with an index lag.
const INDEX_VERSIONS: usize = 64;

/// Property that makes a comment internal.
pub(super) const PUBLIC_COMMENT_PROPERTY: &str = "sd.public.comment";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct State {
    next_issue_id: u64,
    next_comment_id: u64,
    next_attachment_id: u64,
    #[serde(default)]
    next_remote_link_id: u64,
    pub(super) projects: Vec<Project>,
    /// Users by display name.
    pub(super) users: BTreeMap<String, User>,
    /// Text fields that an administrator has made: names by ID.
    #[serde(default)]
    pub(super) text_fields: BTreeMap<String, String>,
    pub(super) issues: BTreeMap<u64, Issue>,
    /// Keys that issues had before they were moved.
    moved_keys: BTreeMap<String, u64>,
    #[serde(skip)]
    pub(super) manners: Manners,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Project {
    pub(super) id: u64,
    pub(super) key: String,
    pub(super) name: String,
    last_number: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) display_name: String,
    pub(super) account_id: String,
    pub(super) name: String,
    pub(super) email: String,
    /// True if the profile shows the email address to other users of Cloud ("Profile visibility", developer.atlassian.com).
    #[serde(default)]
    pub(super) shows_email: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Issue {
    pub(super) id: u64,
    pub(super) created: DateTime<Utc>,
    pub(super) creator: String,
    pub(super) doc: Document,
    pub(super) comments: Vec<Comment>,
    pub(super) attachments: Vec<Attachment>,
    pub(super) properties: BTreeMap<String, Value>,
    /// Display names of the users who watch the issue.
    #[serde(default)]
    pub(super) watchers: BTreeSet<String>,
    /// Links to things in other systems, oldest first.
    #[serde(default)]
    pub(super) remote_links: Vec<RemoteLink>,
    /// False if the asking user may not see the issue.
    pub(super) visible: bool,
    /// Versions that the search index has seen, oldest first.
    #[serde(skip)]
    indexed: VecDeque<Indexed>,
    /// Number of changes in this process, by which webhooks notice one: times repeat within their resolution.
    #[serde(skip)]
    pub(super) revision: u64,
}

/// Fields of an issue that can be changed and searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Document {
    pub(super) project: String,
    pub(super) key: String,
    pub(super) issue_type: String,
    pub(super) summary: String,
    pub(super) description: Option<String>,
    pub(super) status: String,
    pub(super) priority: String,
    pub(super) resolution: Option<String>,
    pub(super) resolved: Option<DateTime<Utc>>,
    pub(super) updated: DateTime<Utc>,
    pub(super) reporter: String,
    pub(super) assignee: Option<String>,
    pub(super) components: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
    /// Option or text of the flag field; `true` is on.
    pub(super) flag: Option<String>,
    pub(super) google_name: Option<String>,
    /// Fields of a demanding desk, by ID.
    #[serde(default)]
    pub(super) others: BTreeMap<String, Value>,
}

#[derive(Debug, Clone)]
struct Indexed {
    at: DateTime<Utc>,
    doc: Arc<Document>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    pub(super) author: String,
    pub(super) body: String,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    pub(super) update_author: String,
    pub(super) properties: BTreeMap<String, Value>,
}

impl Comment {
    pub(super) fn is_internal(&self) -> bool {
        self.properties
            .get(PUBLIC_COMMENT_PROPERTY)
            .and_then(|value| value.get("internal"))
            .is_some_and(|internal| *internal == Value::Bool(true) || *internal == "true")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attachment {
    pub(super) id: u64,
    pub(super) file_name: String,
    pub(super) mime_type: String,
    pub(super) size: u64,
    /// SHA-256 in lower-case hex; absent for synthetic content, which is computed on each read.
    pub(super) sha256: Option<String>,
    pub(super) author: String,
    pub(super) created: DateTime<Utc>,
    pub(super) content: Content,
}

/// Place of an attachment's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// Kept in memory or in a file.
    Kept,
    /// Computed from this seed.
    Synthetic(u64),
    /// Not kept: only the hash is known.
    HashOnly,
}

/// Content of a new issue.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft {
    pub(super) issue_type: String,
    pub(super) summary: String,
    pub(super) description: Option<String>,
    pub(super) priority: Option<String>,
    pub(super) reporter: Option<String>,
    pub(super) assignee: Option<String>,
    pub(super) components: BTreeSet<String>,
    pub(super) labels: BTreeSet<String>,
    pub(super) flag: Option<String>,
    pub(super) google_name: Option<String>,
    pub(super) others: BTreeMap<String, Value>,
}

impl State {
    pub(super) fn new() -> Self {
        let project = |id, key: &str, name: &str| Project {
            id,
            key: key.to_owned(),
            name: name.to_owned(),
            last_number: 0,
        };
        Self {
            next_issue_id: 10_001,
            next_comment_id: 20_001,
            next_attachment_id: 30_001,
            next_remote_link_id: 40_001,
            projects: vec![project(10_000, "SUP", "Support"), project(10_020, "OPS", "Operations")],
            users: BTreeMap::new(),
            text_fields: BTreeMap::new(),
            issues: BTreeMap::new(),
            moved_keys: BTreeMap::new(),
            manners: Manners::default(),
        }
    }

    /// Rebuilds the search index, which is not stored, as if it had no lag.
    pub(super) fn after_loading(mut self) -> Self {
        for issue in self.issues.values_mut() {
            issue.index(issue.doc.updated);
        }
        self
    }

    /// Returns the user with that display name, and creates it if it does not exist.
    pub(super) fn user(&mut self, display_name: &str) -> String {
        self.users.entry(display_name.to_owned()).or_insert_with(|| {
            let name: String = display_name
                .to_lowercase()
                .chars()
                .map(|c| if c.is_alphanumeric() { c } else { '.' })
                .collect();
            let hash = hex::encode(Sha256::digest(display_name));
            User {
                display_name: display_name.to_owned(),
                account_id: format!("5b10{}", &hash[..20]),
                email: format!("{name}@example.com"),
                name,
                shows_email: false,
            }
        });
        display_name.to_owned()
    }

    /// Reports if the asking user is shown an issue.
    pub(super) fn shows(&self, issue: &Issue) -> bool {
        issue.visible
            && !self.manners.hidden_issues.contains(&issue.id.to_string())
            && !self.manners.hidden_projects.contains(&issue.doc.project)
    }

    /// Reports if the asking user is shown a project.
    pub(super) fn shows_project(&self, project: &Project) -> bool {
        !self.manners.hidden_projects.contains(&project.key)
    }

    pub(super) fn is_archived(&self, issue: &Issue) -> bool {
        self.manners.archived_issues.contains(&issue.id.to_string())
    }

    pub(super) fn project(&self, id_or_key: &str) -> Option<&Project> {
        self.projects.iter().find(|project| {
            project.key.eq_ignore_ascii_case(id_or_key) || project.id.to_string() == id_or_key
        })
    }

    /// Returns the ID of the issue with that ID or key; the old keys of moved issues work too.
    pub(super) fn resolve(&self, id_or_key: &str) -> Option<u64> {
        if let Ok(id) = id_or_key.parse::<u64>() {
            return self.issues.contains_key(&id).then_some(id);
        }
        let key = id_or_key.to_uppercase();
        self.issues
            .values()
            .find(|issue| issue.doc.key == key)
            .map(|issue| issue.id)
            .or_else(|| self.moved_keys.get(&key).copied().filter(|id| self.issues.contains_key(id)))
    }

    pub(super) fn attachment(&self, id: u64) -> Option<(&Issue, &Attachment)> {
        self.issues.values().find_map(|issue| {
            issue.attachments.iter().find(|attachment| attachment.id == id).map(|found| (issue, found))
        })
    }

    /// Creates an issue in a project; an unknown project means the first one.
    pub(super) fn create(&mut self, project: &str, creator: &str, draft: Draft, now: DateTime<Utc>) -> u64 {
        let creator = self.user(creator);
        let reporter = self.user(draft.reporter.as_deref().unwrap_or(&creator));
        let project = self.projects.iter().position(|known| known.key == project).unwrap_or(0);
        let (project, key) = self.projects[project].next_key();
        let id = self.next_issue_id;
        self.next_issue_id += 1;
        let doc = Document {
            project,
            key,
            issue_type: draft.issue_type,
            summary: draft.summary,
            description: draft.description,
            status: catalog::FIRST_STATUS.to_owned(),
            priority: draft.priority.unwrap_or_else(|| catalog::DEFAULT_PRIORITY.to_owned()),
            resolution: None,
            resolved: None,
            updated: now,
            reporter,
            assignee: draft.assignee,
            components: draft.components,
            labels: draft.labels,
            flag: draft.flag,
            google_name: draft.google_name,
            others: draft.others,
        };
        let mut issue = Issue {
            id,
            created: now,
            creator,
            doc,
            comments: Vec::new(),
            attachments: Vec::new(),
            properties: BTreeMap::new(),
            watchers: BTreeSet::new(),
            remote_links: Vec::new(),
            visible: true,
            indexed: VecDeque::new(),
            revision: 0,
        };
        issue.index(now);
        self.issues.insert(id, issue);
        id
    }

    /// Changes an issue's fields and marks it updated; false if there is no such issue.
    pub(super) fn edit(&mut self, id: u64, now: DateTime<Utc>, change: impl FnOnce(&mut Document)) -> bool {
        let Some(issue) = self.issues.get_mut(&id) else { return false };
        change(&mut issue.doc);
        issue.touch(now);
        true
    }

    /// Adds a remote link, or replaces the one with its `globalId`. Returns its ID, and true if it is new; `None` if there is no such issue.
    pub(super) fn put_remote_link(&mut self, issue: u64, link: RemoteLink) -> Option<(u64, bool)> {
        let links = &mut self.issues.get_mut(&issue)?.remote_links;
        let known =
            links.iter_mut().find(|known| link.global_id.is_some() && known.global_id == link.global_id);
        if let Some(known) = known {
            let id = known.id;
            *known = RemoteLink { id, ..link };
            return Some((id, false));
        }
        let id = self.next_remote_link_id;
        self.next_remote_link_id += 1;
        links.push(RemoteLink { id, ..link });
        Some((id, true))
    }

    pub(super) fn add_comment(
        &mut self,
        issue: u64,
        author: &str,
        body: String,
        properties: BTreeMap<String, Value>,
        now: DateTime<Utc>,
    ) -> Option<u64> {
        let author = self.user(author);
        let id = self.next_comment_id;
        let issue = self.issues.get_mut(&issue)?;
        self.next_comment_id += 1;
        issue.comments.push(Comment {
            id,
            update_author: author.clone(),
            author,
            body,
            created: now,
            updated: now,
            properties,
        });
        issue.touch(now);
        Some(id)
    }

    pub(super) fn edit_comment(
        &mut self,
        issue: u64,
        comment: u64,
        author: &str,
        now: DateTime<Utc>,
        change: impl FnOnce(&mut Comment),
    ) -> bool {
        let author = self.user(author);
        let Some(issue) = self.issues.get_mut(&issue) else { return false };
        let Some(comment) = issue.comments.iter_mut().find(|known| known.id == comment) else { return false };
        change(comment);
        comment.updated = now.max(comment.created);
        comment.update_author = author;
        // Assumed: Atlassian's reference does not say that an edit of a comment is an update of its issue (November 2026).
        issue.touch(now);
        true
    }

    pub(super) fn delete_comment(&mut self, issue: u64, comment: u64, now: DateTime<Utc>) -> bool {
        let Some(issue) = self.issues.get_mut(&issue) else { return false };
        let before = issue.comments.len();
        issue.comments.retain(|known| known.id != comment);
        let found = issue.comments.len() < before;
        if found {
            issue.touch(now);
        }
        found
    }

    /// Reserves the ID of a new attachment, so that its bytes can be stored before the attachment is.
    pub(super) fn reserve_attachment_id(&mut self) -> u64 {
        let id = self.next_attachment_id;
        self.next_attachment_id += 1;
        id
    }

    pub(super) fn attach(&mut self, issue: u64, mut attachment: Attachment, now: DateTime<Utc>) -> bool {
        attachment.author = self.user(&attachment.author);
        let Some(issue) = self.issues.get_mut(&issue) else { return false };
        issue.attachments.push(attachment);
        issue.touch(now);
        true
    }

    /// Removes an attachment from its issue; the caller removes its bytes.
    pub(super) fn detach(&mut self, attachment: u64, now: DateTime<Utc>) -> bool {
        for issue in self.issues.values_mut() {
            let before = issue.attachments.len();
            issue.attachments.retain(|known| known.id != attachment);
            if issue.attachments.len() < before {
                issue.touch(now);
                return true;
            }
        }
        false
    }

    /// Moves an issue to another project and gives it a new key. The old key still resolves to it.
    pub(super) fn move_to(&mut self, id: u64, project: &str, now: DateTime<Utc>) -> Option<String> {
        let issue = self.issues.get_mut(&id)?;
        let project = self.projects.iter_mut().find(|known| known.key == project)?;
        let (project, key) = project.next_key();
        let old = std::mem::replace(&mut issue.doc.key, key.clone());
        issue.doc.project = project;
        issue.touch(now);
        self.moved_keys.insert(old, id);
        Some(key)
    }

    /// Creates a second issue with the same fields, as Jira's own cloning does: custom fields are copied, comments are not.
    pub(super) fn clone_issue(&mut self, id: u64, who: &str, now: DateTime<Utc>) -> Option<u64> {
        let doc = self.issues.get(&id)?.doc.clone();
        let draft = Draft {
            issue_type: doc.issue_type,
            summary: format!("CLONE - {}", doc.summary),
            description: doc.description,
            priority: Some(doc.priority),
            reporter: None,
            assignee: doc.assignee,
            components: doc.components,
            labels: doc.labels,
            flag: doc.flag,
            google_name: doc.google_name,
            others: doc.others,
        };
        Some(self.create(&doc.project, who, draft, now))
    }

    /// Removes an issue; the caller removes its attachments' bytes.
    pub(super) fn delete(&mut self, id: u64) -> Option<Issue> {
        self.issues.remove(&id)
    }
}

impl Project {
    fn next_key(&mut self) -> (String, String) {
        self.last_number += 1;
        (self.key.clone(), format!("{}-{}", self.key, self.last_number))
    }
}

impl Issue {
    fn touch(&mut self, now: DateTime<Utc>) {
        self.doc.updated = now.max(self.created);
        self.revision += 1;
        self.index(now);
    }

    fn index(&mut self, at: DateTime<Utc>) {
        if self.indexed.len() == INDEX_VERSIONS {
            // Keep the first version: it tells since when the issue exists.
            self.indexed.remove(1);
        }
        self.indexed.push_back(Indexed { at, doc: Arc::new(self.doc.clone()) });
    }

    /// Returns the issue as a search index with this lag knows it; `None` if the index has not seen it yet.
    pub(super) fn as_indexed(&self, now: DateTime<Utc>, lag: Duration) -> Option<Arc<Document>> {
        if lag <= Duration::zero() {
            return self.indexed.back().map(|version| Arc::clone(&version.doc));
        }
        let seen = now.checked_sub_signed(lag).unwrap_or(DateTime::<Utc>::MIN_UTC);
        self.indexed.iter().rev().find(|version| version.at <= seen).map(|version| Arc::clone(&version.doc))
    }

    pub(super) fn comment(&self, id: &str) -> Option<&Comment> {
        let id = id.parse::<u64>().ok()?;
        self.comments.iter().find(|comment| comment.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn a_lagging_index_shows_what_was_there_then() {
        let mut state = State::new();
        let id = state.create("SUP", "Jane Roe", Draft::default(), at(100));
        state.edit(id, at(110), |doc| doc.summary = "changed".to_owned());
        let seen = |now, lag| {
            state.issues[&id].as_indexed(at(now), Duration::seconds(lag)).map(|doc| doc.summary.clone())
        };
        assert_eq!(seen(112, 30), None, "not indexed yet");
        assert_eq!(seen(112, 5).as_deref(), Some(""), "the change is not indexed yet");
        assert_eq!(seen(116, 5).as_deref(), Some("changed"));
        assert_eq!(seen(112, 0).as_deref(), Some("changed"));
    }

    #[test]
    fn a_moved_issue_keeps_its_id_and_is_found_by_both_keys() {
        let mut state = State::new();
        let id = state.create("SUP", "Jane Roe", Draft::default(), at(1));
        let key = state.move_to(id, "OPS", at(2)).unwrap();
        assert_eq!(key, "OPS-1");
        for name in ["SUP-1", "sup-1", "OPS-1", &id.to_string()] {
            assert_eq!(state.resolve(name), Some(id), "{name}");
        }
        state.delete(id);
        assert_eq!(state.resolve("SUP-1"), None);
    }
}
