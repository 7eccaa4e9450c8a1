//! Contract of every CRM adapter, against a CRM that speaks the real protocol: one suite, run against each of them by
//! [`crm_contract!`].

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{
    ApiError, ApiErrorKind, Attachment, Case, CaseSystem, Comment, Found, Needs, NewAttachment, NewCase,
    NewComment, Placement, Visibility, Written,
};
use casebridge::entities::{Priority, PriorityReading, Side};
use chrono::{DateTime, Utc};
use futures_util::{TryStreamExt as _, stream};

use crate::harness::ugly::{UGLY, holdable};

/// Empty CRM, the adapter in front of it, and the people who work with it.
#[async_trait]
pub trait CrmUnderTest: Send + Sync + 'static {
    /// Returns the adapter.
    fn system(&self) -> &dyn CaseSystem;

    /// Lets time pass, so that later changes have other times than earlier ones, and searches see the earlier ones.
    async fn tick(&self);

    /// Returns the current time of the CRM's clock.
    fn now(&self) -> DateTime<Utc>;

    /// Returns an ID in the CRM's format that belongs to no case.
    fn unknown_case(&self) -> String;

    /// Creates a case as a person; returns its ID.
    async fn person_creates(&self, title: &str, description: &str, flagged: bool) -> String;

    /// Adds a comment as a person; returns its ID.
    async fn person_comments(&self, case: &str, body: &str, visibility: Visibility) -> String;

    /// Attaches a file as a person; returns the attachment's ID.
    async fn person_attaches(&self, case: &str, filename: &str, content: &[u8]) -> String;

    /// Sets or clears the flag of a case as a person.
    async fn person_flags(&self, case: &str, flagged: bool);

    /// Changes the priority as a person.
    async fn person_sets_priority(&self, case: &str, priority: Priority);

    /// Closes a case as a person.
    async fn person_closes(&self, case: &str);

    /// Deletes a case as a person.
    async fn person_deletes(&self, case: &str);

    /// Returns the content of an attachment in the CRM.
    async fn kept(&self, case: &str, attachment: &str) -> Option<Vec<u8>>;

    /// Returns the pieces of the texts on the case that the CRM would not show as typed, except web addresses shown as links.
    async fn interpreted(&self, case: &str) -> Vec<String>;

    /// Returns a number of cases that fills more than one page of a search.
    fn more_cases_than_a_page(&self) -> usize {
        130
    }

    /// Returns a number of comments that fills more than one page.
    fn more_comments_than_a_page(&self) -> usize {
        120
    }
}

/// Makes one test of each function of the suite: `crm_contract!(module of the suite, CRM under test)`.
#[macro_export]
macro_rules! crm_contract {
    ($suite:ident, $crm:expr) => {
        $crate::crm_contract! { @tests $suite, $crm;
            a_created_case_takes_part_and_is_what_was_asked_for
            a_created_case_is_found_by_its_google_name_whatever_the_parent
            of_several_counterparts_the_connectors_own_comes_first
            linking_writes_the_google_name_and_again_changes_nothing
            a_case_that_does_not_exist_is_none_and_one_without_the_flag_is_a_case
            a_search_finds_what_was_updated_and_is_flagged
            a_search_goes_to_the_last_page
            everything_that_is_carried_makes_a_case_updated
            a_flag_that_is_taken_away_takes_the_case_out_of_searches
            comments_tell_who_wrote_them
            comments_go_back_to_since_and_to_the_beginning
            ugly_texts_come_back_as_they_were_and_are_never_interpreted
            ugly_titles_and_descriptions_come_back
            the_longest_texts_are_taken
            internal_comments_stay_internal
            an_attachment_arrives_whole
            ugly_file_names_become_what_was_foretold
            an_attachment_is_downloaded_whole
            an_upload_that_breaks_off_leaves_nothing
            an_attachment_beyond_the_limit_is_unacceptable
            every_priority_can_be_set_and_read
            a_title_can_be_set_and_read
            closing_closes_and_again_succeeds
            reopening_reopens_or_says_that_it_cannot
            what_belongs_to_no_case_is_not_found
            a_working_crm_passes_its_check
        }
    };
    (@tests $suite:ident, $crm:expr; $($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $suite::$name(&$crm.await).await;
            }
        )*
    };
}
pub use crate::crm_contract;

/// File names that are hard to copy, such as people use (`R25`).
const UGLY_NAMES: [&str; 14] = [
    "report.pdf",
    "Gr\u{f6}\u{df}e \u{1f600}.txt",
    "\u{5ea}\u{5de}\u{5d5}\u{5e0}\u{5d4}.png",
    "with space and (brackets) [1] {2}.tar.gz",
    "quote\"d 'name'.txt",
    "../../etc/passwd",
    "C:\\temp\\a.txt",
    "new\r\nX-Header: line.txt",
    "semi;colon=1.txt",
    "100% *sure*?.txt",
    "<b>bold</b>&amp;.html",
    "nul\0and\u{1b}escape.bin",
    "noending",
    ".hidden",
];

fn case(title: &str, counterpart: &str) -> NewCase {
    NewCase {
        title: title.to_owned(),
        description: "CONTENT MIRRORED FROM GOOGLE SUPPORT:\nA description.".to_owned(),
        priority: Some(Priority::P1),
        counterpart: counterpart.to_owned(),
        idempotency_key: format!("create {counterpart}"),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    }
}

fn comment(body: &str, visibility: Visibility) -> NewComment {
    NewComment { body: body.to_owned(), visibility, idempotency_key: format!("comment {body}") }
}

fn attachment(filename: &str, size: Option<u64>, pieces: Vec<Result<Bytes, ApiError>>) -> NewAttachment {
    NewAttachment {
        filename: filename.to_owned(),
        media_type: Some("text/plain".to_owned()),
        size,
        content: Box::pin(stream::iter(pieces)),
        visibility: Visibility::Public,
        idempotency_key: format!("upload {filename}"),
    }
}

fn whole_attachment(filename: &str, content: &[u8]) -> NewAttachment {
    let pieces = content.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    attachment(filename, Some(content.len() as u64), pieces)
}

async fn created(crm: &dyn CrmUnderTest, number: usize) -> Case {
    let name = format!("organizations/1/cases/{number}");
    crm.system().create(&case(&format!("Case {number}"), &name)).await.unwrap()
}

async fn got(crm: &dyn CrmUnderTest, id: &str) -> Case {
    crm.system().get(id).await.unwrap().unwrap_or_else(|| panic!("there is no case {id}"))
}

async fn say(crm: &dyn CrmUnderTest, id: &str, body: &str) -> Written {
    crm.system().add_comment(id, &comment(body, Visibility::Public)).await.unwrap()
}

async fn comment_of(crm: &dyn CrmUnderTest, case: &str, id: &str) -> Comment {
    let comments = crm.system().comments(case, None).await.unwrap();
    comments
        .into_iter()
        .find(|comment| comment.id == id)
        .unwrap_or_else(|| panic!("there is no comment {id}"))
}

async fn found(crm: &dyn CrmUnderTest, since: DateTime<Utc>) -> BTreeSet<String> {
    let sweep = crm.system().search_updated(since).await.unwrap();
    assert_eq!(sweep.skipped, Vec::<String>::new());
    let ids: BTreeSet<String> = sweep.cases.iter().map(|case| case.id.clone()).collect();
    assert_eq!(ids.len(), sweep.cases.len(), "each case once");
    ids
}

fn stands_for(reading: &PriorityReading, priority: Priority) -> bool {
    match reading {
        PriorityReading::Known(set) => set.contains(priority),
        PriorityReading::Unknown(_) | PriorityReading::Unset => false,
    }
}

// ---------------------------------------------------------------- cases

pub async fn a_created_case_takes_part_and_is_what_was_asked_for(crm: &dyn CrmUnderTest) {
    assert_eq!(crm.system().side(), Side::Company);
    for priority in [None, Some(Priority::P0), Some(Priority::P2)] {
        let number = priority.map_or(9, Priority::level);
        let new = NewCase { priority, ..case("A title", &format!("projects/p/cases/{number}")) };
        let before = crm.now();
        let case = crm.system().create(&new).await.unwrap();
        assert_eq!((case.title.as_str(), &case.description), ("A title", &new.description));
        assert!(case.synchronize && !case.closed, "{case:?}");
        assert_eq!(case.counterpart.as_deref(), Some(new.counterpart.as_str()));
        if let Some(priority) = priority {
            assert!(stands_for(&case.priority, priority), "{case:?}");
        }
        let resolution = crm.system().capabilities().time_resolution;
        assert!(case.created_at.is_some_and(|at| at > before - resolution * 2), "{case:?}");
        assert_eq!(got(crm, &case.id).await, case, "what create returns is what is there");
    }
}

pub async fn a_created_case_is_found_by_its_google_name_whatever_the_parent(crm: &dyn CrmUnderTest) {
    assert_eq!(counterparts(crm, "organizations/1/cases/51234456").await, [""; 0]);
    let case = created(crm, 51_234_456).await;
    let similar = created(crm, 5_123_445).await;
    crm.tick().await;
    for (name, expected) in [
        ("organizations/1/cases/51234456", Some(&case.id)),
        // R9 (one mapping for a case): the number identifies the case.
        ("projects/p/cases/51234456", Some(&case.id)),
        ("organizations/1/cases/5123445", Some(&similar.id)),
        ("organizations/1/cases/512344", None),
        ("organizations/1/cases/1", None),
        ("organizations/51234456/cases/7", None),
    ] {
        assert_eq!(counterparts(crm, name).await, Vec::from_iter(expected.cloned()), "{name}");
    }
}

/// A claim may be older (`R38`: a claim is not a proof).
pub async fn of_several_counterparts_the_connectors_own_comes_first(crm: &dyn CrmUnderTest) {
    let name = "organizations/1/cases/77";
    let claims = async |title: &str| {
        let id = crm.person_creates(title, "", true).await;
        crm.system().link(&id, name).await.unwrap();
        crm.tick().await;
        id
    };
    let earlier = claims("a claim").await;
    let own = created(crm, 77).await;
    crm.tick().await;
    let later = claims("a clone").await;
    assert_eq!(counterparts(crm, name).await, [own.id, earlier, later]);
}

async fn counterparts(crm: &dyn CrmUnderTest, name: &str) -> Vec<String> {
    let found = crm.system().find_counterparts(name, None).await.unwrap();
    found.into_iter().map(|case| case.id).collect()
}

pub async fn linking_writes_the_google_name_and_again_changes_nothing(crm: &dyn CrmUnderTest) {
    let id = crm.person_creates("by a person", "d", true).await;
    assert_eq!(got(crm, &id).await.counterpart, None);
    crm.system().link(&id, "organizations/1/cases/5").await.unwrap();
    let linked = got(crm, &id).await;
    assert_eq!(linked.counterpart.as_deref(), Some("organizations/1/cases/5"));
    crm.tick().await;
    crm.system().link(&id, "organizations/1/cases/5").await.unwrap();
    assert_eq!(got(crm, &id).await, linked);
}

pub async fn a_case_that_does_not_exist_is_none_and_one_without_the_flag_is_a_case(crm: &dyn CrmUnderTest) {
    assert_eq!(crm.system().get(&crm.unknown_case()).await.unwrap(), None);
    let id = crm.person_creates("unflagged", "plain", false).await;
    let case = got(crm, &id).await;
    assert_eq!((case.title.as_str(), case.synchronize, case.closed), ("unflagged", false, false));
    crm.person_deletes(&id).await;
    assert_eq!(crm.system().get(&id).await.unwrap(), None);
}

// ---------------------------------------------------------------- searches

pub async fn a_search_finds_what_was_updated_and_is_flagged(crm: &dyn CrmUnderTest) {
    let resolution = crm.system().capabilities().time_resolution;
    let old = crm.person_creates("old", "", true).await;
    crm.tick().await;
    let since = crm.now() - resolution;
    let new = crm.person_creates("new", "", true).await;
    let unflagged = crm.person_creates("unflagged", "", false).await;
    let ours = created(crm, 3).await.id;
    crm.tick().await;
    let ids = found(crm, since).await;
    assert_eq!(ids, BTreeSet::from([new.clone(), ours.clone()]), "not {old} and not {unflagged}");
    let long_ago = since - chrono::Duration::days(30);
    assert_eq!(found(crm, long_ago).await, BTreeSet::from([old.clone(), new, ours]));
    let sweep = crm.system().search_updated(long_ago).await.unwrap();
    let case = sweep.cases.into_iter().find(|case| case.id == old).unwrap();
    assert_eq!(
        case,
        Found::from(&got(crm, &old).await),
        "a search tells of a case what the case tells of itself"
    );
    assert_eq!(found(crm, crm.now() + chrono::Duration::hours(1)).await, BTreeSet::new());
}

pub async fn a_search_goes_to_the_last_page(crm: &dyn CrmUnderTest) {
    let since = crm.now() - chrono::Duration::minutes(1);
    let mut made = BTreeSet::new();
    for number in 0..crm.more_cases_than_a_page() {
        made.insert(crm.person_creates(&format!("case {number}"), "", true).await);
    }
    crm.tick().await;
    assert_eq!(found(crm, since).await, made);
}

pub async fn everything_that_is_carried_makes_a_case_updated(crm: &dyn CrmUnderTest) {
    let id = crm.person_creates("one", "", true).await;
    for change in ["comment", "attachment", "priority", "closing"] {
        crm.tick().await;
        let since = crm.now() - crm.system().capabilities().time_resolution;
        assert_eq!(found(crm, since).await, BTreeSet::new(), "before the {change}");
        match change {
            "comment" => drop(crm.person_comments(&id, "hello", Visibility::Public).await),
            "attachment" => drop(crm.person_attaches(&id, "a.txt", b"abc").await),
            "priority" => crm.person_sets_priority(&id, Priority::P0).await,
            _ => crm.person_closes(&id).await,
        }
        crm.tick().await;
        assert_eq!(found(crm, since).await, BTreeSet::from([id.clone()]), "after the {change}");
    }
    assert!(stands_for(&got(crm, &id).await.priority, Priority::P0));
    assert!(got(crm, &id).await.closed);
}

pub async fn a_flag_that_is_taken_away_takes_the_case_out_of_searches(crm: &dyn CrmUnderTest) {
    let since = crm.now() - chrono::Duration::minutes(1);
    let id = crm.person_creates("on and off", "", true).await;
    for flagged in [true, false, true] {
        crm.person_flags(&id, flagged).await;
        crm.tick().await;
        assert_eq!(found(crm, since).await.contains(&id), flagged);
        assert_eq!(got(crm, &id).await.synchronize, flagged);
    }
}

// ---------------------------------------------------------------- comments

pub async fn comments_tell_who_wrote_them(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    let theirs = crm.person_comments(&id, "from a person", Visibility::Public).await;
    let ours = say(crm, &id, "from us").await;
    assert_eq!(ours.carrier_comment, None);
    let comments = crm.system().comments(&id, None).await.unwrap();
    assert_eq!(comments.len(), 2);
    let theirs = comment_of(crm, &id, &theirs).await;
    assert_eq!((theirs.body.as_str(), theirs.visibility), ("from a person", Visibility::Public));
    assert_ne!(theirs.by_connector, Some(true));
    assert!(!theirs.author.is_empty() && theirs.created_at.is_some(), "{theirs:?}");
    let read = comment_of(crm, &id, &ours.id).await;
    assert_eq!((read.body.as_str(), read.visibility), ("from us", Visibility::Public));
    assert_ne!(read.by_connector, Some(false));
    assert_eq!(read.created_at, ours.created_at);
}

pub async fn comments_go_back_to_since_and_to_the_beginning(crm: &dyn CrmUnderTest) {
    let id = crm.person_creates("talkative", "", true).await;
    let mut all = Vec::new();
    for number in 0..crm.more_comments_than_a_page() {
        let body = format!("number {number}");
        let comment = if number % 2 == 0 {
            crm.person_comments(&id, &body, Visibility::Public).await
        } else {
            say(crm, &id, &body).await.id
        };
        all.push(comment);
        if number % 25 == 0 {
            crm.tick().await;
        }
    }
    let ids = async |since| -> BTreeSet<String> {
        let comments = crm.system().comments(&id, since).await.unwrap();
        let ids: BTreeSet<String> = comments.iter().map(|comment| comment.id.clone()).collect();
        assert_eq!(ids.len(), comments.len(), "each comment once");
        ids
    };
    let everything: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(ids(None).await, everything);
    for index in [0, 1, 60, all.len() - 1] {
        let since = comment_of(crm, &id, &all[index]).await.created_at;
        let found = ids(since).await;
        let missing: Vec<&String> = all[index..].iter().filter(|id| !found.contains(*id)).collect();
        assert_eq!(missing, Vec::<&String>::new(), "since comment {index}");
    }
    assert!(ids(Some(crm.now())).await.len() < all.len(), "it stops once it has gone far enough");
}

pub async fn ugly_texts_come_back_as_they_were_and_are_never_interpreted(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    for text in UGLY {
        // The core writes a copied text after a header.
        let text = format!("[Google Comment 3 by Jane Roe]\n{}", holdable(text, crm.system().capabilities()));
        let written = say(crm, &id, &text).await;
        assert_eq!(comment_of(crm, &id, &written.id).await.body, text);
    }
    assert_eq!(crm.interpreted(&id).await, Vec::<String>::new());
}

pub async fn ugly_titles_and_descriptions_come_back(crm: &dyn CrmUnderTest) {
    for (number, text) in UGLY.into_iter().enumerate() {
        let text = holdable(text, crm.system().capabilities());
        let title = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let description = format!("CONTENT MIRRORED FROM GOOGLE SUPPORT:\n{text}");
        let new = NewCase {
            description: description.clone(),
            ..case(&title, &format!("organizations/1/cases/{}", 1000 + number))
        };
        let made = crm.system().create(&new).await.unwrap();
        assert_eq!((&made.title, &made.description), (&title, &description));
        assert_eq!(crm.interpreted(&made.id).await, Vec::<String>::new());
    }
}

pub async fn the_longest_texts_are_taken(crm: &dyn CrmUnderTest) {
    let capabilities = crm.system().capabilities();
    let longest = |limit: casebridge::cases::TextLimit, piece: &str| {
        let most = limit.max.min(1_000_000);
        let mut count = most / piece.len() + 1;
        while !limit.holds(&piece.repeat(count)) {
            count -= 1 + count / 1000;
        }
        piece.repeat(count)
    };
    let id = created(crm, 1).await.id;
    for piece in ["x", "*", "\u{1f600}", "\u{e4}", "{a} "] {
        let text = longest(capabilities.comment_limit, piece).trim_end().to_owned();
        let written = say(crm, &id, &text).await;
        assert!(comment_of(crm, &id, &written.id).await.body == text, "{} of {piece}", text.len());
    }
    let new = NewCase {
        title: longest(capabilities.title_limit, "\u{e4}"),
        description: longest(capabilities.description_limit, "a*"),
        ..case("", "organizations/1/cases/2")
    };
    let made = crm.system().create(&new).await.unwrap();
    assert!((&made.title, &made.description) == (&new.title, &new.description));
}

pub async fn internal_comments_stay_internal(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    let system = crm.system();
    let ours = system.add_comment(&id, &comment("among us", Visibility::Internal)).await.unwrap();
    let theirs = crm.person_comments(&id, "hush", Visibility::Internal).await;
    if system.capabilities().internal_comments {
        for comment in [&ours.id, &theirs] {
            assert_eq!(comment_of(crm, &id, comment).await.visibility, Visibility::Internal);
        }
    }
    let public = say(crm, &id, "for all").await;
    assert_eq!(comment_of(crm, &id, &public.id).await.visibility, Visibility::Public);
}

// ---------------------------------------------------------------- attachments

async fn attachment_of(crm: &dyn CrmUnderTest, case: &str, id: &str) -> Attachment {
    let attachments = crm.system().attachments(case, None).await.unwrap();
    attachments
        .into_iter()
        .find(|found| found.id == id)
        .unwrap_or_else(|| panic!("there is no attachment {id}"))
}

pub async fn an_attachment_arrives_whole(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    let content: Vec<u8> = (0..300_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
    for (name, content) in [("large.bin", content.as_slice()), ("small.txt", b"abc"), ("empty.txt", b"")] {
        let written = crm.system().upload(&id, whole_attachment(name, content)).await.unwrap();
        let read = attachment_of(crm, &id, &written.id).await;
        assert_eq!((read.filename.as_str(), read.size), (name, Some(content.len() as u64)));
        assert_ne!(read.by_connector, Some(false));
        assert!(read.created_at.is_some(), "{read:?}");
        assert!(crm.kept(&id, &written.id).await.as_deref() == Some(content), "{name}");
        if let Some(carrier) = written.carrier_comment {
            comment_of(crm, &id, &carrier).await;
        }
    }
    let pieces = vec![Ok(Bytes::from_static(b"of unknown ")), Ok(Bytes::from_static(b"size"))];
    let written = crm.system().upload(&id, attachment("unknown.txt", None, pieces)).await.unwrap();
    assert_eq!(crm.kept(&id, &written.id).await.as_deref(), Some(b"of unknown size".as_slice()));
}

pub async fn ugly_file_names_become_what_was_foretold(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    let long = format!("{}.log", "\u{e4}".repeat(300));
    let stored = crm.system().capabilities().stored_filename;
    for name in UGLY_NAMES.into_iter().chain([long.as_str()]) {
        let written = crm.system().upload(&id, whole_attachment(name, name.as_bytes())).await.unwrap();
        let read = attachment_of(crm, &id, &written.id).await;
        assert_eq!(read.filename, stored(name), "{name:?}");
        let download = crm.system().download(&id, &read).await.unwrap();
        let content: Vec<Bytes> = download.content.try_collect().await.unwrap();
        assert_eq!(content.concat(), name.as_bytes(), "{name:?}");
    }
    for odd in
        ["text/plain; charset=\"utf-8\"", "not a type", "text/plain\r\nX-Header: 1", "\u{e4}/\u{1f600}", ""]
    {
        let new = NewAttachment { media_type: Some(odd.to_owned()), ..whole_attachment("a.txt", b"abc") };
        let written = crm.system().upload(&id, new).await.unwrap();
        assert_eq!(crm.kept(&id, &written.id).await.as_deref(), Some(b"abc".as_slice()), "{odd:?}");
    }
}

pub async fn an_attachment_is_downloaded_whole(crm: &dyn CrmUnderTest) {
    let id = crm.person_creates("with files", "", true).await;
    let content: Vec<u8> = (0..1_000_003_u32).map(|n| (n % 253).to_le_bytes()[0]).collect();
    for (name, content) in [("screen shot (1).png", content.as_slice()), ("\u{e4}/b.txt", b"abc"), ("0", b"")]
    {
        let attached = crm.person_attaches(&id, name, content).await;
        let read = attachment_of(crm, &id, &attached).await;
        assert_ne!(read.by_connector, Some(true));
        assert!(!read.author.is_empty());
        let download = crm.system().download(&id, &read).await.unwrap();
        assert_eq!(download.size, Some(content.len() as u64), "{name}");
        let read: Vec<Bytes> = download.content.try_collect().await.unwrap();
        assert!(read.concat() == content, "{name}");
    }
}

pub async fn an_upload_that_breaks_off_leaves_nothing(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    let before = crm.system().attachments(&id, None).await.unwrap();
    let broken = || ApiError::new(ApiErrorKind::Uncertain, "CSAPI", "GET media", "the download broke off");
    let some = || Ok(Bytes::from(vec![b'x'; 100_000]));
    for (size, pieces) in [
        (Some(300_000), vec![some(), some(), Err(broken())]),
        (None, vec![some(), Err(broken())]),
        (Some(300_000), vec![some(), some()]),
    ] {
        let error = crm.system().upload(&id, attachment("half.bin", size, pieces)).await.unwrap_err();
        assert_eq!(crm.system().attachments(&id, None).await.unwrap(), before, "{error}");
    }
}

pub async fn an_attachment_beyond_the_limit_is_unacceptable(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    let Some(limit) = crm.system().attachment_limit().await.unwrap() else { return };
    if limit > 64 * 1024 * 1024 {
        return;
    }
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let of = |size: u64| NewAttachment {
        content: Box::pin(stream::unfold((size, piece.clone()), |(left, piece)| async move {
            let now = left.min(piece.len() as u64);
            (now > 0).then(|| {
                let length = usize::try_from(now).unwrap();
                (Ok(piece.slice(..length)), (left - now, piece))
            })
        })),
        ..attachment("large.bin", Some(size), Vec::new())
    };
    crm.system().upload(&id, of(limit)).await.unwrap();
    let error = crm.system().upload(&id, of(limit + 1)).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unacceptable, "{error}");
    assert_eq!(crm.system().attachments(&id, None).await.unwrap().len(), 1);
}

// ---------------------------------------------------------------- priority and status

pub async fn every_priority_can_be_set_and_read(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    for priority in Priority::ALL.into_iter().rev() {
        crm.system().set_priority(&id, priority).await.unwrap();
        let reading = got(crm, &id).await.priority;
        assert!(stands_for(&reading, priority), "{priority} reads {reading:?}");
    }
    crm.person_sets_priority(&id, Priority::P3).await;
    assert!(stands_for(&got(crm, &id).await.priority, Priority::P3));
}

pub async fn a_title_can_be_set_and_read(crm: &dyn CrmUnderTest) {
    let system = crm.system();
    let id = created(crm, 1).await.id;
    for title in ["The disk is full", "Grüße & <b>100 %</b> \"{{quoted}}\"", "The disk is full"] {
        crm.tick().await;
        system.set_title(&id, title).await.unwrap();
        assert_eq!(got(crm, &id).await.title, title);
        let updated = got(crm, &id).await.updated_at;
        system.set_title(&id, title).await.unwrap();
        assert_eq!(got(crm, &id).await.title, title, "again, which changes nothing: {updated:?}");
    }
    let limit = system.capabilities().title_limit;
    let longest = (1..=500).rev().map(|length| "x".repeat(length)).find(|title| limit.holds(title)).unwrap();
    system.set_title(&id, &longest).await.unwrap();
    assert_eq!(got(crm, &id).await.title, longest);
}

pub async fn closing_closes_and_again_succeeds(crm: &dyn CrmUnderTest) {
    let system = crm.system();
    let id = created(crm, 1).await.id;
    system.close(&id).await.unwrap();
    let closed = got(crm, &id).await;
    assert!(closed.closed);
    crm.tick().await;
    system.close(&id).await.unwrap();
    assert_eq!(got(crm, &id).await, closed, "closing again changes nothing");
    if system.capabilities().comment_when_closed {
        let written = say(crm, &id, "still here").await;
        comment_of(crm, &id, &written.id).await;
        system.upload(&id, whole_attachment("late.txt", b"late")).await.unwrap();
        assert!(got(crm, &id).await.closed, "a comment does not open it");
    }
    let theirs = crm.person_creates("closed by a person", "", true).await;
    crm.person_closes(&theirs).await;
    assert!(got(crm, &theirs).await.closed);
    system.close(&theirs).await.unwrap();
}

pub async fn reopening_reopens_or_says_that_it_cannot(crm: &dyn CrmUnderTest) {
    let id = created(crm, 1).await.id;
    crm.system().reopen(&id).await.expect("opening an open case succeeds");
    crm.system().close(&id).await.unwrap();
    let reopened = crm.system().reopen(&id).await;
    if crm.system().capabilities().reopen && reopened.is_ok() {
        assert!(!got(crm, &id).await.closed);
    } else {
        assert_eq!(reopened.unwrap_err().kind, ApiErrorKind::Unsupported);
        assert!(got(crm, &id).await.closed);
    }
}

// ---------------------------------------------------------------- missing cases

pub async fn what_belongs_to_no_case_is_not_found(crm: &dyn CrmUnderTest) {
    let (system, id) = (crm.system(), crm.unknown_case());
    let errors = [
        ("comments", system.comments(&id, None).await.err()),
        ("attachments", system.attachments(&id, None).await.err()),
        ("add_comment", system.add_comment(&id, &comment("x", Visibility::Public)).await.err()),
        ("upload", system.upload(&id, whole_attachment("a.txt", b"abc")).await.err()),
        ("link", system.link(&id, "organizations/1/cases/2").await.err()),
        ("set_priority", system.set_priority(&id, Priority::P0).await.err()),
        ("set_title", system.set_title(&id, "A title").await.err()),
        ("close", system.close(&id).await.err()),
        ("reopen", system.reopen(&id).await.err()),
    ];
    for (call, error) in errors {
        assert_eq!(error.map(|error| error.kind), Some(ApiErrorKind::NotFound), "{call}");
    }
}

pub async fn a_working_crm_passes_its_check(crm: &dyn CrmUnderTest) {
    for with_a_case in [false, true] {
        if with_a_case {
            created(crm, 1).await;
            crm.tick().await;
        }
        for visibility in [Visibility::Internal, Visibility::Public] {
            let checks = crm.system().check(Needs::all(visibility)).await;
            assert!(checks.len() >= 5, "{checks:?}");
            for check in checks {
                assert!(check.result().is_ok(), "{visibility:?}: {}: {:?}", check.what, check.result());
            }
        }
    }
}
