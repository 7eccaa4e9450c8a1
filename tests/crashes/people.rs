//! The people on both sides: what they do, and what they remember of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use casebridge::entities::Side;
use casebridge::sandbox::csapi::{Author, Priority, State};
use casebridge::sandbox::jira::NewIssue;

use crate::pause;
use casebridge_testkit::dice::Dice;
use casebridge_testkit::service::Systems;

/// How many cases people make.
const CASES: usize = 16;
/// Jira's words for the five levels, most urgent first.
pub(crate) const WORDS: [&str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];

/// A case that a person made, and its counterpart, once it is known.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) side: Side,
    pub(crate) google: Option<String>,
    pub(crate) company: Option<String>,
}

/// A comment or a file that a person added.
#[derive(Debug, Clone)]
pub(crate) struct Added {
    pub(crate) case: usize,
    pub(crate) side: Side,
    /// Counts all of them, so that later ones have higher numbers.
    pub(crate) number: usize,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct People {
    dice: Dice,
    pub(crate) made: Vec<Made>,
    pub(crate) notes: Vec<Added>,
    pub(crate) files: Vec<Added>,
    added: usize,
    other_deeds: usize,
}

/// The line by which a comment is known.
pub(crate) fn line(number: usize) -> String {
    format!("note {number:06}")
}

/// The number in a comment that a person wrote, or in its copy.
pub(crate) fn number_in(text: &str) -> Option<usize> {
    text.lines().find_map(|line| line.trim().strip_prefix("note ")).and_then(|number| number.parse().ok())
}

/// The name of a file.
pub(crate) fn file_name(number: usize) -> String {
    format!("file-{number:06}.txt")
}

/// Its content: of another length for each.
pub(crate) fn content(number: usize) -> Vec<u8> {
    format!("content {number:06} ").repeat(1 + number % 900).into_bytes()
}

impl People {
    pub(crate) fn new(seed: u64) -> Self {
        let dice = Dice::of(&[seed, 2]);
        Self { dice, made: Vec::new(), notes: Vec::new(), files: Vec::new(), added: 0, other_deeds: 0 }
    }

    /// Works until it is to be calm. In the end every case is flagged.
    pub(crate) async fn work(mut self, systems: Arc<Systems>, calm: Arc<AtomicBool>) -> Self {
        while !calm.load(Ordering::Relaxed) {
            self.act(&systems);
            let busy = self.dice.percent(30);
            pause(self.dice.range(5, if busy { 40 } else { 350 })).await;
        }
        for case in 0..self.made.len() {
            if let Some(issue) = self.on(&systems, case, Side::Company) {
                systems.jira.set_flag(&issue, true).unwrap();
            }
        }
        self
    }

    /// The case on that side, if it is there yet.
    pub(crate) fn on(&mut self, systems: &Systems, case: usize, side: Side) -> Option<String> {
        let made = &mut self.made[case];
        match side {
            Side::Google if made.google.is_none() => {
                let issue = made.company.as_deref().and_then(|issue| systems.jira.issue(issue));
                made.google = issue.and_then(|issue| issue.google_name);
            }
            Side::Company if made.company.is_none() => {
                let issues = systems.jira.issues();
                let issue = issues.into_iter().find(|issue| issue.google_name == made.google);
                made.company = issue.map(|issue| issue.id);
            }
            Side::Google | Side::Company => {}
        }
        match side {
            Side::Google => made.google.clone(),
            Side::Company => made.company.clone(),
        }
    }

    fn act(&mut self, systems: &Systems) {
        if self.made.is_empty() || (self.made.len() < CASES && self.dice.percent(12)) {
            return self.open(systems);
        }
        let case = self.dice.index(self.made.len());
        let side = self.dice.pick(&Side::BOTH);
        let Some(id) = self.on(systems, case, side) else { return };
        let deed = self.dice.below(100);
        self.other_deeds += usize::from(deed >= 80);
        match deed {
            0..66 => self.say(systems, case, side, &id),
            66..80 => self.attach(systems, case, side, &id),
            80..90 => self.prioritise(systems, side, &id),
            // A company case that is closed before the connector sees it gets no Google case.
            90..95 if self.on(systems, case, side.other()).is_some() => {
                Self::change_status(systems, side, &id);
            }
            90..95 => {}
            _ if side == Side::Company => systems.jira.set_flag(&id, self.dice.percent(75)).unwrap(),
            _ => {}
        }
    }

    fn open(&mut self, systems: &Systems) {
        let title = format!("Case {}", self.made.len());
        let made = match self.dice.pick(&Side::BOTH) {
            Side::Google => {
                let priority = self.dice.pick(&Priority::ALL);
                let google = Some(systems.google_case_of(&title, priority));
                Made { side: Side::Google, google, company: None }
            }
            Side::Company => {
                let issue =
                    NewIssue { priority: self.dice.pick(&WORDS).to_owned(), ..NewIssue::flagged(&title) };
                let company = Some(systems.jira.create_issue(issue).unwrap());
                Made { side: Side::Company, google: None, company }
            }
        };
        self.made.push(made);
    }

    fn next(&mut self, case: usize, side: Side) -> Added {
        self.added += 1;
        Added { case, side, number: self.added }
    }

    fn say(&mut self, systems: &Systems, case: usize, side: Side, id: &str) {
        let note = self.next(case, side);
        let line = line(note.number);
        let text = match self.dice.below(12) {
            // Somebody quotes a copy, or the connector itself.
            0 => format!("[Google Comment 7 by Mallory]\n{line}"),
            1 => format!("[Company Comment 7 by Mallory]\n{line}"),
            2 => format!("Syncing has resumed.\n{line}"),
            _ => line,
        };
        match side {
            Side::Google => {
                drop(systems.csapi.add_comment(id, Author::customer("Grace Hopper"), &text).unwrap());
            }
            Side::Company => drop(systems.jira.comment(id, "Jane Roe", &text).unwrap()),
        }
        self.notes.push(note);
    }

    fn attach(&mut self, systems: &Systems, case: usize, side: Side, id: &str) {
        let file = self.next(case, side);
        let (name, content) = (file_name(file.number), content(file.number));
        match side {
            Side::Google => {
                let author = Author::customer("Grace Hopper");
                drop(systems.csapi.attach(id, author, &name, "text/plain", &content).unwrap());
            }
            Side::Company => drop(systems.jira.attach(id, "Jane Roe", &name, "text/plain", content).unwrap()),
        }
        self.files.push(file);
    }

    fn prioritise(&mut self, systems: &Systems, side: Side, id: &str) {
        let level = self.dice.index(5);
        match side {
            Side::Google => systems.csapi.set_priority(id, Priority::ALL[level]).unwrap(),
            Side::Company => systems.jira.set_priority(id, WORDS[level]).unwrap(),
        }
    }

    /// Closes an open case on either side; opens a closed one again at Google, which the CRM can follow.
    fn change_status(systems: &Systems, side: Side, id: &str) {
        match side {
            Side::Google if systems.csapi.case(id).unwrap().state == State::Closed => {
                systems.csapi.set_state(id, State::InProgressGoogleSupport).unwrap();
            }
            Side::Google => systems.csapi.close(id).unwrap(),
            // Refused if the connector has closed it a moment ago.
            Side::Company => drop(systems.jira.transition(id, "Done")),
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{} cases, {} comments, {} files and {} other changes by people",
            self.made.len(),
            self.notes.len(),
            self.files.len(),
            self.other_deeds
        )
    }
}
