//! Both sides are compared with each other, and with what people remember of what they did.

use std::collections::BTreeMap;

use casebridge::entities::Side;
use casebridge::sandbox::csapi::{Author, State};

use crate::people::{Added, Made, People, WORDS, content, file_name, number_in};
use casebridge_testkit::service::Systems;

const OUTAGE: &str = "This case has not synced properly in ";
const RESUMED: &str = "Syncing has resumed.";
const NOW_SYNCING: &str = "This case is now syncing with Company Case: ";
const CANNOT_REOPEN: &str = "This case was reopened, but ";

/// What stands on one side of a pair, as far as the connector wrote it.
#[derive(Debug, Default)]
struct Written {
    texts: Vec<String>,
    /// Names and contents.
    files: Vec<(String, Vec<u8>)>,
}

/// Both sides of a pair.
#[derive(Debug)]
struct Pair {
    google: Written,
    company: Written,
    agrees: Result<(), String>,
}

impl Pair {
    fn on(&self, side: Side) -> &Written {
        match side {
            Side::Google => &self.google,
            Side::Company => &self.company,
        }
    }
}

/// The issues that stand for a case, and the Google cases that do.
fn counterparts(systems: &Systems, made: &Made) -> Vec<(String, String)> {
    match made.side {
        Side::Google => {
            let google = made.google.clone().unwrap_or_default();
            let issues = systems.jira.issues().into_iter();
            let issues = issues.filter(|issue| issue.google_name.as_ref() == Some(&google));
            issues.map(|issue| (google.clone(), issue.id)).collect()
        }
        Side::Company => {
            let company = made.company.clone().unwrap_or_default();
            let cases = systems.csapi.cases().into_iter();
            let cases = cases.filter(|case| {
                let first = case.description.lines().next().unwrap_or_default();
                first.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == company)
            });
            cases.map(|case| (case.name, company.clone())).collect()
        }
    }
}

fn look(systems: &Systems, google: &str, company: &str) -> Pair {
    let connectors = |author: &Author| matches!(author, Author::ServiceAccount { .. });
    let (case, issue) = (systems.csapi.case(google).unwrap(), systems.jira.issue(company).unwrap());
    let comments = systems.csapi.comments(google).unwrap().into_iter();
    let files = systems.csapi.attachments(google).unwrap().into_iter();
    let at_google = Written {
        texts: comments.filter(|comment| connectors(&comment.author)).map(|comment| comment.body).collect(),
        files: files
            .filter(|file| connectors(&file.author))
            .map(|file| (file.filename, systems.csapi.attachment_bytes(google, &file.id).unwrap()))
            .collect(),
    };
    let ours = |author: &str| author == "Casebridge";
    let in_jira = Written {
        texts: issue.comments.iter().filter(|c| ours(&c.author)).map(|c| c.body.clone()).collect(),
        files: issue
            .attachments
            .iter()
            .filter(|file| ours(&file.author))
            .map(|file| (file.file_name.clone(), systems.jira.attachment_bytes(&file.id).unwrap()))
            .collect(),
    };
    let priority = WORDS.iter().position(|word| *word == issue.priority);
    let level = case.priority.map(|priority| priority as usize);
    let closed = case.state == State::Closed;
    // Reopened in the CRM, as the connector has to take it: Google cannot follow, and the issue says so (R19).
    let told = in_jira.texts.iter().any(|text| text.starts_with(CANNOT_REOPEN));
    let agrees = if priority != level {
        Err(format!("{google} has priority {:?}, issue {company} {}", case.priority, issue.priority))
    } else if closed != issue.closed && !(closed && told) {
        Err(format!("{google} is {:?}, issue {company} {}", case.state, issue.status))
    } else {
        Ok(())
    };
    Pair { google: at_google, company: in_jira, agrees }
}

/// What people added on one side of a case, oldest first.
fn added(all: &[Added], case: usize, side: Side) -> Vec<usize> {
    all.iter().filter(|added| added.case == case && added.side == side).map(|added| added.number).collect()
}

/// What must never be so, whatever still has to be carried.
pub(crate) fn wrong(systems: &Systems, people: &People) -> Vec<String> {
    let mut wrong = Vec::new();
    let by_people = |side: Side| people.made.iter().filter(|made| made.side == side).count();
    let (google, company) = (systems.csapi.cases().len(), systems.jira.issues().len());
    if google - by_people(Side::Google) > by_people(Side::Company)
        || company - by_people(Side::Company) > by_people(Side::Google)
    {
        wrong.push(format!("{google} cases at Google and {company} issues for {} cases", people.made.len()));
    }
    for (index, made) in people.made.iter().enumerate() {
        let pairs = counterparts(systems, made);
        if pairs.len() > 1 {
            wrong.push(format!("more than one counterpart: {made:?}: {pairs:?}"));
        }
        for (google, company) in pairs {
            let pair = look(systems, &google, &company);
            for side in Side::BOTH {
                let expected = added(&people.notes, index, side.other());
                let place = format!("{side} case of the pair {google}, issue {company}");
                wrong.extend(wrong_texts(pair.on(side), &expected).map(|what| format!("{place}: {what}")));
                let files = added(&people.files, index, side.other());
                wrong.extend(wrong_files(pair.on(side), &files).map(|what| format!("{place}: {what}")));
            }
        }
    }
    wrong
}

/// What is wrong with the connector's comments on a side, on which those with these numbers are to be copied.
fn wrong_texts(written: &Written, expected: &[usize]) -> impl Iterator<Item = String> {
    let mut wrong = Vec::new();
    let mut copied = Vec::new();
    let (mut outage_stands, mut links) = (false, 0);
    for text in &written.texts {
        let is_copy = text.contains("Google Comment") || text.contains("Company Comment");
        match number_in(text).filter(|_| is_copy) {
            Some(number) => copied.push(number),
            None if text.starts_with(OUTAGE) && !outage_stands => outage_stands = true,
            None if text.trim() == RESUMED && outage_stands => outage_stands = false,
            None if text.starts_with(NOW_SYNCING) && links == 0 => links += 1,
            None if text.starts_with(CANNOT_REOPEN) => {}
            None => wrong.push(format!("out of place: {text:?}")),
        }
    }
    if copied.windows(2).any(|two| two[0] >= two[1]) {
        wrong.push(format!("copied twice, or not in their order: {copied:?}"));
    }
    if let Some(stranger) = copied.iter().find(|number| !expected.contains(number)) {
        wrong.push(format!("comment {stranger} does not belong there"));
    }
    wrong.into_iter()
}

fn wrong_files(written: &Written, expected: &[usize]) -> impl Iterator<Item = String> {
    let mut wrong = Vec::new();
    let mut times = BTreeMap::<&str, u32>::new();
    for (name, bytes) in &written.files {
        *times.entry(name).or_default() += 1;
        match expected.iter().find(|number| file_name(**number) == *name) {
            None => wrong.push(format!("the file {name} does not belong there")),
            Some(number) if content(*number) != *bytes => wrong.push(format!("{name} has another content")),
            Some(_) => {}
        }
    }
    wrong.extend(times.into_iter().filter(|(_, times)| *times > 1).map(|(name, _)| format!("{name} twice")));
    wrong.into_iter()
}

/// What is still to come: empty once both sides agree.
pub(crate) fn missing(systems: &Systems, people: &People) -> Vec<String> {
    let mut missing = Vec::new();
    for (index, made) in people.made.iter().enumerate() {
        let pairs = counterparts(systems, made);
        let [(google, company)] = pairs.as_slice() else {
            missing.push(format!("no counterpart: {made:?}"));
            continue;
        };
        let pair = look(systems, google, company);
        missing.extend(pair.agrees.clone().err());
        for side in Side::BOTH {
            let written = pair.on(side);
            let copied = written
                .texts
                .iter()
                .filter(|text| text.contains("Comment "))
                .filter_map(|text| number_in(text));
            let (copied, expected) = (copied.count(), added(&people.notes, index, side.other()).len());
            let files = added(&people.files, index, side.other()).len();
            if copied != expected || written.files.len() != files {
                let count = written.files.len();
                missing.push(format!(
                    "{side} case of {google}, issue {company}: {copied} of {expected} comments, {count} of {files} files"
                ));
            }
            if written.texts.iter().filter(|text| text.starts_with(OUTAGE)).count()
                != written.texts.iter().filter(|text| text.trim() == RESUMED).count()
            {
                missing.push(format!("{side} case of {google}, issue {company}: an outage comment stands"));
            }
        }
        let links = pair.google.texts.iter().filter(|text| text.starts_with(NOW_SYNCING)).count();
        if links != 1 {
            missing.push(format!("{google} says {links} times with which issue it syncs"));
        }
    }
    missing
}

/// Texts of all comments on one side.
fn texts(systems: &Systems, side: Side) -> Vec<String> {
    match side {
        Side::Google => {
            let cases = systems.csapi.cases().into_iter();
            cases.flat_map(|case| systems.csapi.comments(&case.name).unwrap()).map(|c| c.body).collect()
        }
        Side::Company => {
            let issues = systems.jira.issues().into_iter();
            issues.flat_map(|issue| issue.comments).map(|c| c.body).collect()
        }
    }
}

/// Number of notices of an outage and of its end on one side.
pub(crate) fn outage_notices(systems: &Systems, side: Side) -> usize {
    let texts = texts(systems, side).into_iter();
    texts.filter(|text| text.starts_with(OUTAGE) || text.trim() == RESUMED).count()
}

/// What the connector said, in numbers.
pub(crate) fn summary(systems: &Systems) -> String {
    let texts: Vec<String> = Side::BOTH.into_iter().flat_map(|side| texts(systems, side)).collect();
    let count = |start: &str| texts.iter().filter(|text| text.starts_with(start)).count();
    format!(
        "{} outage comments and {} on cases that could not be reopened; {} calls to CSAPI, {} to Jira",
        count(OUTAGE),
        count(CANNOT_REOPEN),
        systems.at_csapi.calls().len(),
        systems.at_jira.calls().len()
    )
}
