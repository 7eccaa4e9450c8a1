//! Email messages of a case: replies by email, which only the case's feed shows (`google.feed`).
//!
//! Documented by Google's definition of v2beta (<https://github.com/googleapis/googleapis/tree/master/google/cloud/support/v2beta>, read on 30
//! November 2026) and of its method (<https://cloud.google.com/support/docs/reference/rest/v2beta/cases/showFeed>):
//!
//! - `feed_service.proto`: `GET /v2beta/{case}:showFeed` lists comments, attachments and email messages, in pages. `orderBy` takes
//!   `creation_time`, with `asc` (the default) or `desc`.
//! - `feed_item.proto`: an item is a comment, an attachment, a deleted attachment, or "an email message received in reply to the case".
//! - `email_message.proto`: the name is `{case}/emailMessages/{id}`. The actor is "inferred from the headers". The body is the full text,
//!   with a "best-effort attempt to remove extraneous reply threads".
//! - `content.proto`: the plain text is to be "rendered and interpreted as-is".
//! - `comment.proto`: a user's responses "also appear as comments". Nothing says if a message does, and when.
//!
//! So a message that stands as a comment too is carried as that comment ([`merge`]). Assumed, since it is not documented: such a comment has
//! the same author and text, apart from what is quoted, and is made within [`NEAR`]; a message moves its case's `updateTime`, as a comment
//! does, or is carried with the next change of the case.
//!
//! A feed that is not shown fails the reading of the case's comments: without it, nobody can tell that there is no message.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::order::Order;
use super::wire::{self, Odd};
use super::{Csapi, NAME};
use crate::cases::{ApiError, ApiErrorKind, Comment, Finding, Trouble, Visibility};
use crate::entities::GoogleCaseName;

/// Remedy for a feed that is not shown.
pub(super) const REMEDY: &str = "google.feed = true reads Google's beta API, which does not show this feed to the service account: grant it \
                                 both roles (docs/deploy.md), or set google.feed = false, which leaves replies by email at Google";

/// End of the path of a feed.
const METHOD: &str = ":showFeed";
/// Newest first: a reading stops where the rest is older than what is needed.
const ORDER: (&str, &str) = ("orderBy", "creation_time desc");
/// Field of an answer that holds the items.
const ITEMS: &str = "feedItems";

/// Beginning of the ID of a message among those of comments, none of which has a colon.
const PREFIX: &str = "email:";
/// Longest time between a message and the comment that it became.
const NEAR: Duration = Duration::minutes(10);

/// Maximum length of a text without its subject, in characters. Such a text is one comment in every CRM. A longer one may be several, which
/// are cut alike only if its beginning does not depend on the case's title, since that may change.
const SHORT: usize = 1_000;
/// Words of a subject that say nothing: those of a reply, and those by which Google's mails name a case.
const USUAL: [&str; 14] = [
    "re", "aw", "sv", "vs", "antw", "antwort", "odp", "rif", "google", "cloud", "customer", "care",
    "support", "case",
];

/// Number of cases whose feed the check looks at.
const LOOKED_AT: usize = 3;
/// Maximum number of titles that are remembered. The next one makes room by forgetting all.
const MOST_TITLES: usize = 10_000;

/// Titles of the cases that were read last, by number.
#[derive(Debug, Default)]
pub(super) struct Titles(Mutex<HashMap<String, String>>);

impl Titles {
    /// Records the title that a case has now.
    pub(super) fn note(&self, case: &GoogleCaseName, title: &str) {
        let mut all = self.lock();
        if all.len() >= MOST_TITLES {
            all.clear();
        }
        all.insert(case.number().to_owned(), one_line(title));
    }

    /// Returns the title of a case, if it was read and the case has one.
    fn of(&self, case: &GoogleCaseName) -> Option<String> {
        self.lock().get(case.number()).filter(|title| !title.is_empty()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Comment or message, with what tells if one is the other.
#[derive(Debug)]
struct Said {
    comment: Comment,
    who: Who,
    /// Text without what it quotes: see [`gist`].
    gist: String,
}

/// Actor of a comment or a message, in lower case.
#[derive(Debug, Default)]
struct Who {
    is_google: bool,
    name: String,
    addresses: Vec<String>,
}

impl Who {
    fn read(actor: Option<&Value>) -> Self {
        let Some(actor) = actor.and_then(Value::as_object) else { return Self::default() };
        let part = |name: &str| {
            let text = wire::text(actor, name)?.trim().to_lowercase();
            (!text.is_empty()).then_some(text)
        };
        let addresses = [part("username"), part("email")].into_iter().flatten();
        Self {
            is_google: actor.get("googleSupport").and_then(Value::as_bool) == Some(true),
            name: part("displayName").unwrap_or_default(),
            // An agent's address is masked, and identifies nobody.
            addresses: addresses.filter(|address| !address.contains('*')).collect(),
        }
    }

    /// Returns true if both may be the same person. Google's agents are masked, and cannot be told apart.
    fn may_be(&self, other: &Self) -> bool {
        let has_address = |address: &String| other.addresses.contains(address);
        (self.is_google && other.is_google)
            || self.addresses.iter().any(has_address)
            || (!self.name.is_empty() && self.name == other.name)
    }
}

impl Csapi {
    /// Returns the comments of a case, those from `since` on at least, and if configured the email messages that no comment shows.
    pub(super) async fn conversation(
        &self,
        case: &GoogleCaseName,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Comment>, ApiError> {
        if !self.settings.feed {
            return self.comments_of(case, since).await;
        }
        let (comments, messages) = futures_util::join!(
            self.items(case, "comments", since, in_comment, by_time),
            self.messages(case, since),
        );
        // The comments tell if the case exists (R28: missing is not gone). The feed alone does not: there may be no beta API.
        let comments = comments?;
        let messages = messages.map_err(|error| {
            let is_missing = error.kind == ApiErrorKind::NotFound;
            ApiError { kind: if is_missing { ApiErrorKind::Uncertain } else { error.kind }, ..error }
        })?;
        Ok(merge(comments, messages))
    }

    /// Reads the email messages of a case's feed, those from `since` on at least, and returns them oldest first.
    async fn messages(
        &self,
        case: &GoogleCaseName,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Said>, ApiError> {
        let title = self.titles.of(case);
        // A comment from then on may be a message from before.
        let since = since.map(|since| since - NEAR);
        let (mut messages, mut seen) = (Vec::new(), Order::default());
        let page = |items: Vec<Value>| {
            for value in items {
                match item(&value, case, title.as_deref()) {
                    Ok((created_at, message)) => {
                        if created_at.is_some() || message.is_some() {
                            seen.see(created_at);
                        }
                        messages.extend(message);
                    }
                    Err(odd) => tracing::warn!(
                        upstream = NAME,
                        case.google_name = %case,
                        what = %odd,
                        "left out of a feed: not understood"
                    ),
                }
            }
            match since {
                // The order is asked for, and looked at all the same.
                Some(since) if seen.is_beyond(since) => ControlFlow::Break(()),
                Some(_) | None => ControlFlow::Continue(()),
            }
        };
        self.each_page(&path_of(case), &[ORDER], ITEMS, page).await.map(drop)?;
        messages.sort_by(|a, b| by_time(a).cmp(&by_time(b)));
        // A list that grows while it is read can show the same item on two pages.
        messages.dedup_by(|a, b| by_time(a) == by_time(b));
        Ok(messages)
    }

    /// Reads the feed of a few cases, and tells if they have email messages.
    pub(super) async fn feed_finding(&self) -> Finding {
        let names = Mutex::new(Vec::new());
        let take = |case: &Value| {
            let name = wire::case(case).ok()?.id;
            let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
            names.push(name);
            (names.len() == LOOKED_AT).then_some(())
        };
        self.first_case(take, Some(())).await.map(drop).map_err(|error| Trouble::from(&error))?;
        let names = names.into_inner().unwrap_or_else(PoisonError::into_inner);
        if names.is_empty() {
            return Err(Trouble::warning(
                "not tried: there is no case whose feed could be read",
                "run the check again when there is one",
            ));
        }
        let mut with_messages = 0_usize;
        for name in &names {
            let case = self.name(name).map_err(|error| Trouble::from(&error))?;
            let mut has_message = false;
            let page = |items: Vec<Value>| {
                has_message |= items.iter().any(|item| item.get("emailMessage").is_some());
                // A page may be empty although more follow.
                if items.is_empty() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            let read = self.each_page(&path_of(&case), &[ORDER], ITEMS, page).await;
            read.map(drop).map_err(|error| Trouble::from(&error))?;
            with_messages += usize::from(has_message);
        }
        Ok(format!(
            "the feed can be read; cases with email messages among their newest entries: {with_messages} of {} that were looked at",
            names.len()
        ))
    }
}

/// Returns true if the call that failed reads a feed.
pub(super) fn is_of_feed(error: &ApiError) -> bool {
    error.call.ends_with(METHOD)
}

fn path_of(case: &GoogleCaseName) -> String {
    format!("/v2beta/{case}{METHOD}")
}

fn by_time(said: &Said) -> (Option<DateTime<Utc>>, &str) {
    (said.comment.created_at, &said.comment.id)
}

/// Reads a comment.
fn in_comment(value: &Value, case: &GoogleCaseName) -> Result<Said, Odd> {
    let comment = wire::comment(value, case)?;
    Ok(Said { who: Who::read(value.get("creator")), gist: gist(&comment.body), comment })
}

/// Reads an item of a feed: its time of creation, and the message if it is one.
fn item(
    value: &Value,
    case: &GoogleCaseName,
    title: Option<&str>,
) -> Result<(Option<DateTime<Utc>>, Option<Said>), Odd> {
    let fields = wire::object(value, "feed item")?;
    let part = |name: &str| fields.get(name).and_then(Value::as_object);
    if let Some(message) = part("emailMessage") {
        let created_at = wire::time(message, "createTime").or_else(|| wire::time(fields, "eventTime"));
        let message = message_of(message, created_at, case, title)?;
        return Ok((created_at, Some(message)));
    }
    // The time at which a deleted attachment stands in the order is not documented.
    if part("deletedAttachment").is_some() {
        return Ok((None, None));
    }
    match part("comment").or_else(|| part("attachment")) {
        Some(other) => Ok((wire::time(other, "createTime"), None)),
        None => Err(Odd::new("an item of a feed that is none of the documented kinds")),
    }
}

/// Reads a message as a comment of its sender's.
fn message_of(
    fields: &Map<String, Value>,
    created_at: Option<DateTime<Utc>>,
    case: &GoogleCaseName,
    title: Option<&str>,
) -> Result<Said, Odd> {
    let content = fields.get("bodyContent").and_then(Value::as_object);
    let text = content.and_then(|content| wire::text(content, "plainText")).unwrap_or_default();
    let subject = one_line(wire::text(fields, "subject").unwrap_or_default());
    Ok(Said {
        comment: Comment {
            id: message_id(fields, case)?,
            other_id: None,
            author: wire::author(fields, "actor"),
            created_at,
            body: body(&subject, text, case.number(), title),
            earlier_body: None,
            edited_at: None,
            visibility: Visibility::Public,
            // The connector sends no mail.
            by_connector: Some(false),
        },
        who: Who::read(fields.get("actor")),
        gist: gist(text),
    })
}

/// Returns the ID of a message among those of comments. The form of Google's own is not documented: one that could not stand in the header
/// of a copy is hashed.
fn message_id(fields: &Map<String, Value>, case: &GoogleCaseName) -> Result<String, Odd> {
    let name =
        wire::text(fields, "name").ok_or_else(|| Odd::new("an email message of a feed has no name"))?;
    let own = name.split_once("/cases/").and_then(|(_, rest)| {
        rest.strip_prefix(case.number())?.strip_prefix("/emailMessages/").filter(|id| !id.is_empty())
    });
    match own {
        Some(id) if wire::is_item_id(id) => Ok(format!("{PREFIX}{id}")),
        Some(id) => Ok(format!("{PREFIX}{}", hex::encode(&Sha256::digest(id)[..16]))),
        None => {
            let name: String = name.chars().take(200).collect();
            Err(Odd::new(format!("{name:?} does not name an email message of {case}")))
        }
    }
}

/// Returns the text of a message, under its subject if that says more than the case does. The text is left as it was sent: what a forwarded
/// mail says of its author stays, and so does what a reply quotes.
fn body(subject: &str, text: &str, number: &str, title: Option<&str>) -> String {
    let text = text.trim_start_matches(['\r', '\n']).trim_end();
    let is_short = text.chars().nth(SHORT).is_none();
    if subject.is_empty() || (!text.is_empty() && is_short && !says_more(subject, number, title)) {
        text.to_owned()
    } else if text.is_empty() {
        format!("Subject: {subject}")
    } else {
        format!("Subject: {subject}\n\n{text}")
    }
}

/// Returns true if a subject holds more than the title and the number of its case, and the words around them.
fn says_more(subject: &str, number: &str, title: Option<&str>) -> bool {
    let subject = subject.to_lowercase();
    let rest = match title {
        Some(title) => subject.replacen(&title.to_lowercase(), " ", 1),
        None => subject,
    };
    let mut words = rest.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.any(|word| word != number && !USUAL.contains(&word))
}

/// Returns a text without its white space and without what it quotes; all of it if it only quotes.
fn gist(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins_quote = |at: usize| {
        let ends = |at: usize| lines.get(at).is_some_and(|line| line.ends_with("wrote:"));
        let line = lines.get(at).copied().unwrap_or_default();
        // The line above a quotation may be broken in two.
        line.starts_with('>')
            || line.starts_with("-----Original Message")
            || (line.starts_with("On ") && (ends(at) || ends(at + 1)))
    };
    let end = (0..lines.len()).find(|at| begins_quote(*at)).unwrap_or(lines.len());
    let own = one_line(&lines[..end].join(" "));
    if own.is_empty() { one_line(text) } else { own }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the comments, and the messages that no comment shows. A comment that is a message gets that message's ID as its other one, since
/// the message may have been carried before the comment was made. Both lists are sorted by time.
fn merge(mut comments: Vec<Said>, messages: Vec<Said>) -> Vec<Comment> {
    let mut only_in_feed = Vec::new();
    for message in messages {
        let twins = comments.iter_mut().filter_map(|comment| Some((apart(comment, &message)?, comment)));
        match twins.min_by_key(|(apart, _)| *apart) {
            Some((_, twin)) => twin.comment.other_id = Some(message.comment.id),
            None => only_in_feed.push(message.comment),
        }
    }
    let mut all: Vec<Comment> = comments.into_iter().map(|said| said.comment).chain(only_in_feed).collect();
    all.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    all
}

/// Returns the time between a message and a comment that may be the same; `None` if it is another.
fn apart(comment: &Said, message: &Said) -> Option<Duration> {
    let is_same = comment.comment.other_id.is_none()
        && !message.gist.is_empty()
        && comment.gist == message.gist
        && comment.who.may_be(&message.who);
    let apart = (comment.comment.created_at? - message.comment.created_at?).abs();
    (is_same && apart <= NEAR).then_some(apart)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn case() -> GoogleCaseName {
        GoogleCaseName::parse("organizations/1/cases/2").unwrap()
    }

    fn at(second: i64) -> String {
        let time = DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(second);
        time.to_rfc3339()
    }

    fn jane() -> Value {
        json!({ "displayName": "Jane Roe", "username": "jane@example.com" })
    }

    fn comment(id: &str, second: i64, creator: &Value, body: &str) -> Said {
        let name = format!("organizations/1/cases/2/comments/{id}");
        let value = json!({ "name": name, "createTime": at(second), "creator": creator, "body": body });
        in_comment(&value, &case()).unwrap()
    }

    fn feed_item(id: &str, second: i64, actor: &Value, text: &str) -> Value {
        json!({ "emailMessage": {
            "name": format!("organizations/1/cases/2/emailMessages/{id}"),
            "createTime": at(second),
            "actor": actor,
            "subject": "Re: Case 2",
            "bodyContent": { "plainText": text },
        }})
    }

    fn message(id: &str, second: i64, actor: &Value, text: &str) -> Said {
        item(&feed_item(id, second, actor, text), &case(), None).unwrap().1.unwrap()
    }

    /// Merges, and returns the IDs, each with the other one.
    fn merged(comments: Vec<Said>, messages: Vec<Said>) -> Vec<(String, Option<String>)> {
        merge(comments, messages).into_iter().map(|comment| (comment.id, comment.other_id)).collect()
    }

    fn ids(expected: &[(&str, Option<&str>)]) -> Vec<(String, Option<String>)> {
        expected.iter().map(|(id, other)| ((*id).to_owned(), other.map(str::to_owned))).collect()
    }

    #[test]
    fn a_message_stands_between_the_comments_under_an_id_of_its_own() {
        let comments = vec![comment("7", 0, &jane(), "first"), comment("8", 20, &jane(), "third")];
        let found = merged(comments, vec![message("7", 10, &jane(), "second")]);
        assert_eq!(found, ids(&[("7", None), ("email:7", None), ("8", None)]));
        let read = message("7", 10, &jane(), "second").comment;
        assert_eq!((read.author.as_str(), read.body.as_str()), ("Jane Roe", "second"));
        assert_eq!((read.visibility, read.by_connector), (Visibility::Public, Some(false)));
        let agent = json!({ "displayName": "S*** R***", "googleSupport": true });
        assert_eq!(message("7", 10, &agent, "x").comment.author, "Google Support");
        let nameless = json!({ "email": "jane@example.com" });
        assert_eq!(message("7", 10, &nameless, "x").comment.author, "jane@example.com");
    }

    #[test]
    fn a_message_that_is_a_comment_too_is_carried_as_that_comment() {
        let quoting = "We did.\r\n\r\nOn Mon, 30 Nov 2026 at 09:00, Google\r\n<support@example.com> wrote:\r\n> Did you?";
        let by_name = json!({ "displayName": "jane roe" });
        let by_address = json!({ "displayName": "Roe, Jane", "email": "Jane@Example.com" });
        for (actor, text) in [(jane(), "We did."), (by_name, " We  did.\n"), (by_address, quoting)] {
            for second in [-600, 0, 600] {
                let found = merged(
                    vec![comment("7", 0, &jane(), "We did.")],
                    vec![message("1", second, &actor, text)],
                );
                assert_eq!(found, ids(&[("7", Some("email:1"))]), "{actor} {text:?} {second}");
            }
        }
        let agent =
            |name: &str| json!({ "displayName": name, "email": "***@google.com", "googleSupport": true });
        let found = merged(
            vec![comment("7", 0, &agent("A***"), "Try this.")],
            vec![message("1", 5, &agent("B***"), "Try this.")],
        );
        assert_eq!(found, ids(&[("7", Some("email:1"))]), "masked names tell nothing");
    }

    #[test]
    fn what_another_person_or_another_text_or_another_hour_has_is_not_the_same() {
        let joe = json!({ "displayName": "Joe Doe", "username": "joe@example.com" });
        for (actor, second, text) in
            [(joe, 0, "yes"), (jane(), 601, "yes"), (jane(), 0, "yes, but"), (jane(), 0, "")]
        {
            let found =
                merged(vec![comment("7", 0, &jane(), "yes")], vec![message("1", second, &actor, text)]);
            assert_eq!(found.len(), 2, "{actor} {second} {text:?}");
        }
        let found = merged(vec![comment("7", 0, &jane(), "")], vec![message("1", 0, &jane(), "")]);
        assert_eq!(found.len(), 2, "an empty text proves nothing");
    }

    #[test]
    fn one_comment_stands_for_one_message() {
        let found = merged(
            vec![comment("7", 0, &jane(), "ping"), comment("8", 100, &jane(), "ping")],
            vec![
                message("1", 1, &jane(), "ping"),
                message("2", 101, &jane(), "ping"),
                message("3", 102, &jane(), "ping"),
            ],
        );
        assert_eq!(found, ids(&[("7", Some("email:1")), ("8", Some("email:2")), ("email:3", None)]));
    }

    #[test]
    fn a_subject_is_shown_where_it_says_more_than_the_case() {
        let title = Some("Disk is slow");
        for (subject, title, shown) in [
            ("Re: Disk is slow", title, false),
            ("AW: Re: [Google Cloud Support #51000001] disk IS slow", title, false),
            ("Case 51000001", title, false),
            ("", title, false),
            ("Re: Disk is slow - now it is urgent", title, true),
            ("Fwd: Disk is slow", title, true),
            ("Re: Google Cloud Support 51000002: Disk is slow", title, true),
            ("Re: Disk is slow", None, true),
        ] {
            let text = body(subject, "\r\n  It is.\n\n", "51000001", title);
            let expected =
                if shown { format!("Subject: {subject}\n\n  It is.") } else { "  It is.".to_owned() };
            assert_eq!(text, expected, "{subject:?} {title:?}");
        }
        assert_eq!(body("Re: Disk is slow", "", "51000001", title), "Subject: Re: Disk is slow");
        assert_eq!(body("", "", "51000001", title), "");
        let long = "x".repeat(SHORT + 1);
        let shown = body("Re: Disk is slow", &long, "51000001", title);
        assert!(shown.starts_with("Subject: "), "a title that changes does not move where it is cut");
    }

    #[test]
    fn an_item_is_a_message_or_shows_when_it_was_made() {
        let message = feed_item("x-1", 3, &jane(), "hello");
        let item = |value: &Value| item(value, &case(), None);
        let (at_three, read) = item(&message).unwrap();
        assert_eq!(read.unwrap().comment.id, "email:x-1");
        for kind in ["comment", "attachment"] {
            let (created_at, message) = item(&json!({ kind: { "createTime": at(3) } })).unwrap();
            assert_eq!((created_at, message.is_none()), (at_three, true), "{kind}");
        }
        let deleted = json!({ "deletedAttachment": { "createTime": at(3) }, "eventTime": at(9) });
        assert!(matches!(item(&deleted), Ok((None, None))));
        for odd in [json!(null), json!({}), json!({ "voicemail": {} }), json!({ "emailMessage": {} })] {
            assert!(item(&odd).is_err(), "{odd}");
        }
        let mut untimed = feed_item("1", 3, &jane(), "hello");
        untimed["emailMessage"]["createTime"] = json!("soon");
        untimed["eventTime"] = json!(at(3));
        assert_eq!(item(&untimed).unwrap().0, at_three);
    }

    #[test]
    fn an_id_can_stand_in_a_header_whatever_google_makes_it_of() {
        let id = |name: &str| {
            let fields = json!({ "name": name });
            message_id(fields.as_object().unwrap(), &case()).ok()
        };
        let under = |id: &str| format!("projects/p/cases/2/emailMessages/{id}");
        assert_eq!(id(&under("AbC-1")).as_deref(), Some("email:AbC-1"));
        let odd = id(&under("<a b@mail.example>")).unwrap();
        assert!(odd.starts_with(PREFIX) && odd.len() == PREFIX.len() + 32, "{odd}");
        assert!(odd.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b':'), "{odd}");
        assert_ne!(id(&under("<b@mail.example>")).unwrap(), odd);
        for other in ["", "x", "projects/p/cases/3/emailMessages/1", &under("")] {
            assert_eq!(id(other), None, "{other}");
        }
    }

    #[test]
    fn what_a_reply_quotes_is_not_its_gist() {
        for (text, expected) in [
            ("Yes.\nOn Monday, Ada wrote:\n> Is it?", "Yes."),
            ("Yes.\n> Is it?\nNo.", "Yes."),
            ("Yes.\n-----Original Message-----\nFrom: Ada", "Yes."),
            ("On Monday it broke.\nWe wrote to you.", "On Monday it broke. We wrote to you."),
            ("> Is it?\n> No.", "> Is it? > No."),
            ("", ""),
        ] {
            assert_eq!(gist(text), expected, "{text:?}");
        }
    }
}
