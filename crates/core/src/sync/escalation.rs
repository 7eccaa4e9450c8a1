//! Escalates the Google case when people raise the company case: once for each raise. A pure function of the rule, both cases, the
//! comments and the memory of the pair.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::action::Action;
use crate::cases::{Case, Comment, Details, Raised, Wanted};
use crate::entities::{Escalation, EscalationProblem, EscalationReason, Justification};

/// Maximum number of characters of a justification. Google documents no limit (November 2026); the rest of a longer text stands in the
/// comment.
const LONGEST_JUSTIFICATION: usize = 4_000;
/// Words that leave a case as it is, if no reason is configured for them.
const NO_WORDS: [&str; 5] = ["false", "no", "none", "off", "0"];
/// Maximum number of characters of an unknown word in a notice.
const LONGEST_WORD: usize = 60;

/// Way in which people raise a company case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EscalationSignal {
    /// A field with a word for the reason, by name or ID.
    Field(String),
    /// A label, which stands for a reason itself.
    Label(String),
}

impl EscalationSignal {
    /// Parses the name of a field, or `label:NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.strip_prefix("label:").map(str::trim) {
            Some("") => None,
            Some(label) => Some(Self::Label(label.to_owned())),
            None => (!text.is_empty()).then(|| Self::Field(text.to_owned())),
        }
    }
}

/// Rule for escalations: the keys `google.escalate_…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EscalationRule {
    /// Way in which people raise a company case.
    pub signal: EscalationSignal,
    /// Reasons by the words for them. [`EscalationRule::reason`] finds the API's names as well.
    pub words: BTreeMap<String, EscalationReason>,
    /// Beginning of a comment that holds the justification.
    pub prefix: String,
    /// Text field that holds the justification. It comes before a comment.
    pub justification_field: Option<String>,
}

/// Makes words comparable: case, spaces, `-` and `_` do not count.
fn plain(word: &str) -> String {
    let words = word.split(|c: char| c.is_whitespace() || c == '_' || c == '-');
    words.filter(|part| !part.is_empty()).map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

impl EscalationRule {
    /// Returns the reason that a word stands for.
    #[must_use]
    pub fn reason(&self, word: &str) -> Option<EscalationReason> {
        let word = plain(word);
        let configured = self.words.iter().find(|(known, _)| plain(known) == word).map(|(_, reason)| *reason);
        configured.or_else(|| EscalationReason::ALL.into_iter().find(|reason| plain(reason.name()) == word))
    }

    /// Returns true if a case with that label is raised.
    #[must_use]
    pub fn is_raised_by(&self, label: &str) -> bool {
        match &self.signal {
            EscalationSignal::Field(_) => false,
            EscalationSignal::Label(own) => plain(own) == plain(label),
        }
    }

    /// Returns the words for reasons, for people.
    #[must_use]
    pub fn known_words(&self) -> Vec<String> {
        if self.words.is_empty() {
            return EscalationReason::ALL.map(|reason| plain(reason.name())).to_vec();
        }
        self.words.keys().cloned().collect()
    }

    /// Returns the details to read of a company case.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        let mut fields: BTreeSet<String> = self.justification_field.iter().cloned().collect();
        let terms = match &self.signal {
            EscalationSignal::Field(name) => {
                fields.insert(name.clone());
                false
            }
            EscalationSignal::Label(_) => true,
        };
        Wanted { terms, fields, people: Vec::new() }
    }

    /// Returns the same without the field for the justification.
    #[must_use]
    pub fn signal_alone(&self) -> Wanted {
        Self { justification_field: None, ..self.clone() }.wanted()
    }

    /// Reads from the details whether a company case is raised, and why.
    #[must_use]
    pub fn read(&self, details: &Details) -> Raised {
        let values: Vec<&str> = match &self.signal {
            EscalationSignal::Field(name) => {
                details.fields.get(name).into_iter().flatten().map(String::as_str).collect()
            }
            EscalationSignal::Label(label) => {
                details.label.iter().map(String::as_str).filter(|own| plain(own) == plain(label)).collect()
            }
        };
        let is_no = |word: &&str| plain(word).is_empty() || NO_WORDS.contains(&plain(word).as_str());
        let reason = values.iter().find_map(|word| self.reason(word));
        match (reason, values.first()) {
            (Some(reason), _) => {
                let field = self.justification_field.as_ref().and_then(|name| details.fields.get(name));
                let text = field.and_then(|texts| texts.first()).map(|text| shortened(text));
                Raised::For { reason, justification: text.filter(|text| !text.is_empty()) }
            }
            // Of an option, a value is known by its name and by its ID.
            (None, Some(word)) if !values.iter().any(is_no) => {
                Raised::Unknown(word.chars().take(LONGEST_WORD).collect())
            }
            (None, _) => Raised::No,
        }
    }

    /// Returns true if one of these comments of the company case holds a justification that the pair does not know yet.
    pub(super) fn has_new_justification(&self, memory: &Escalation, comments: &[Comment]) -> bool {
        let mut by_people = comments.iter().rev().filter(|comment| comment.by_connector != Some(true));
        let newest = by_people.find(|comment| self.justification(&comment.body).is_some());
        let is_known = |comment: &Comment| {
            is_used(memory, comment)
                || memory.justification.as_ref().is_some_and(|known| known.comment == comment.id)
        };
        newest.is_some_and(|comment| !is_known(comment))
    }

    /// Returns the justification in a comment; `None` if it holds none.
    fn justification(&self, body: &str) -> Option<String> {
        let body = body.trim_start();
        let start = body.get(..self.prefix.len())?;
        let rest = &body[self.prefix.len()..];
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        // `#escalated` is another word.
        let goes_on = self.prefix.ends_with(is_word) && rest.starts_with(is_word);
        let text = shortened(rest.trim_start_matches([':', ' ', '\t']));
        (start.eq_ignore_ascii_case(&self.prefix) && !goes_on && !text.is_empty()).then_some(text)
    }
}

/// Returns true if a comment justifies no escalation any more: it, or one that is not older, was used. A person may have deleted that one.
fn is_used(memory: &Escalation, comment: &Comment) -> bool {
    let is_older = |until: DateTime<Utc>| comment.created_at.is_none_or(|at| at <= until);
    memory.used.as_ref() == Some(&comment.id) || memory.used_until.is_some_and(is_older)
}

fn shortened(text: &str) -> String {
    text.trim().chars().take(LONGEST_JUSTIFICATION).collect()
}

/// State of the notice on the company case that its Google case is not escalated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// The memory tells all that there is to know.
    AsRemembered,
    /// A notice was found that the memory has no record of.
    Found,
    /// A notice was written without an answer and may still arrive.
    UnderWay,
}

/// Facts that the decision goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) rule: &'a EscalationRule,
    /// Memory of the pair.
    pub(super) memory: &'a Escalation,
    pub(super) google: &'a Case,
    pub(super) company: &'a Case,
    /// Comments of people on the company case, oldest first.
    pub(super) comments: &'a [&'a Comment],
    /// True if the pair is read for the first time since it was found again: what was escalated before is not known.
    pub(super) is_found_again: bool,
    /// State of the notice that the case is not escalated.
    pub(super) notice: Told,
    /// Time before which a request was sent if its in-flight window is over.
    pub(super) sent_before: DateTime<Utc>,
}

/// Result of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// Changed memory, which is saved first.
    pub(super) note: Option<Escalation>,
    pub(super) escalate: Option<Action>,
    /// Problem that the company case is to be told of.
    pub(super) tell: Option<EscalationProblem>,
    /// Time of a request whose outcome has to be waited for.
    pub(super) waits_for: Option<DateTime<Utc>>,
    /// True if another notice has to wait for the outcome of the one before it.
    pub(super) waits_for_notice: bool,
}

/// Decides about the escalation. A plan that was applied is followed by an empty one until people change the company case.
pub(super) fn decide(facts: Facts<'_>) -> Decision {
    let mut memory = facts.memory.clone();
    let mut decision = consider(&mut memory, facts);
    decision.note = (memory != *facts.memory).then_some(memory);
    decision
}

fn consider(memory: &mut Escalation, facts: Facts<'_>) -> Decision {
    let is_new = *memory == Escalation::default();
    remember_justification(memory, facts);
    let raised = match &facts.company.raised {
        None => None,
        Some(Raised::No) => {
            if memory.sent_at.is_some() {
                memory.use_justification();
            }
            *memory = Escalation { sent_at: memory.sent_at, ..memory.lowered() };
            None
        }
        Some(raised) => {
            memory.raised = true;
            Some(raised)
        }
    };
    if is_new && facts.is_found_again {
        memory.use_justification();
        memory.settled = memory.raised;
        memory.problem = (memory.raised && !facts.google.escalated).then_some(EscalationProblem::NotKnown);
        memory.told = memory.problem.is_some() && facts.notice == Told::Found;
    }
    if facts.google.escalated && memory.raised && !memory.settled {
        // By the request without an answer, or by somebody at Google.
        memory.settle();
        forget_problem(memory);
    }
    if let Some(sent_at) = memory.sent_at {
        if facts.sent_before < sent_at && !facts.google.escalated {
            return Decision { waits_for: Some(sent_at), ..Decision::default() };
        }
        memory.sent_at = None;
    }
    let Some(raised) = raised else { return Decision::default() };
    if facts.google.closed || facts.company.closed {
        return Decision::default();
    }
    let problem = match (raised, memory.settled) {
        (_, true) => memory.problem.clone(),
        (Raised::Unknown(word), false) => Some(EscalationProblem::UnknownWord(word.clone())),
        (Raised::For { reason, justification }, false) => {
            let remembered = memory.justification.as_ref().map(|justification| &justification.text);
            match justification.as_ref().or(remembered).cloned() {
                Some(justification) => {
                    forget_problem(memory);
                    let escalate = Action::Escalate { reason: *reason, justification };
                    return Decision { escalate: Some(escalate), ..Decision::default() };
                }
                None => Some(EscalationProblem::NoJustification),
            }
        }
        (Raised::No, false) => None,
    };
    if problem != memory.problem {
        if facts.notice == Told::UnderWay {
            // It would be taken for the notice about this problem.
            return Decision { waits_for_notice: true, ..Decision::default() };
        }
        memory.told = facts.notice == Told::Found && memory.problem.is_none();
        memory.problem.clone_from(&problem);
    }
    Decision { tell: problem.filter(|_| !memory.told), ..Decision::default() }
}

fn forget_problem(memory: &mut Escalation) {
    memory.problem = None;
    memory.told = false;
}

/// Remembers the newest justification, since a later sync lists newer comments only.
fn remember_justification(memory: &mut Escalation, facts: Facts<'_>) {
    for comment in facts.comments.iter().rev() {
        if is_used(memory, comment) {
            // A record of an earlier version has no time.
            memory.used_until = memory.used_until.max(comment.created_at);
            return;
        }
        if let Some(text) = facts.rule.justification(&comment.body) {
            let (comment, written_at) = (comment.id.clone(), comment.created_at);
            memory.justification = Some(Justification { comment, text, written_at });
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;
    use crate::cases::Visibility;
    use EscalationReason::{BusinessImpact, ResolutionTime, TechnicalExpertise};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::minutes(minute)
    }

    fn rule() -> EscalationRule {
        EscalationRule {
            signal: EscalationSignal::Field("Escalate".to_owned()),
            words: [("Shop is down".to_owned(), BusinessImpact), ("yes".to_owned(), TechnicalExpertise)]
                .into(),
            prefix: "#escalate".to_owned(),
            justification_field: Some("Why".to_owned()),
        }
    }

    fn details(fields: &[(&str, &[&str])], labels: &[&str]) -> Details {
        let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Details {
            fields: fields.iter().map(|(name, texts)| ((*name).to_owned(), own(texts))).collect(),
            label: own(labels),
            ..Details::default()
        }
    }

    fn comment(id: &str, body: &str) -> Comment {
        Comment {
            id: id.to_owned(),
            other_id: None,
            author: "Jane Roe".to_owned(),
            created_at: None,
            body: body.to_owned(),
            earlier_body: None,
            edited_at: None,
            visibility: Visibility::Internal,
            by_connector: Some(false),
        }
    }

    const fn raised(reason: EscalationReason) -> Raised {
        Raised::For { reason, justification: None }
    }

    #[test]
    fn a_word_of_the_field_stands_for_a_reason() {
        for (values, expected) in [
            (&["Shop is down", "10201"][..], raised(BusinessImpact)),
            (&["SHOP_is-down"], raised(BusinessImpact)),
            (&["yes"], raised(TechnicalExpertise)),
            (&["resolution time"], raised(ResolutionTime)),
            (&["RESOLUTION_TIME"], raised(ResolutionTime)),
            (&["No", "10200"], Raised::No),
            (&["false"], Raised::No),
            (&[" "], Raised::No),
            (&[], Raised::No),
            (&["perhaps", "10202"], Raised::Unknown("perhaps".to_owned())),
        ] {
            assert_eq!(rule().read(&details(&[("Escalate", values)], &[])), expected, "{values:?}");
        }
        let found = rule().read(&details(&[("Escalate", &["yes"]), ("Why", &[" It is down. "])], &[]));
        let justification = Some("It is down.".to_owned());
        assert_eq!(found, Raised::For { reason: TechnicalExpertise, justification });
        let label = EscalationRule {
            signal: EscalationSignal::Label("gcp-escalate".to_owned()),
            words: [("gcp-escalate".to_owned(), ResolutionTime)].into(),
            ..rule()
        };
        assert_eq!(label.read(&details(&[], &["shop", "GCP-escalate"])), raised(ResolutionTime));
        assert_eq!(label.read(&details(&[], &["shop"])), Raised::No);
        assert!(label.wanted().terms && !rule().wanted().terms);
        assert_eq!(rule().known_words(), ["Shop is down", "yes"]);
    }

    #[test]
    fn a_signal_is_a_field_or_a_label() {
        assert_eq!(
            EscalationSignal::parse(" Escalate "),
            Some(EscalationSignal::Field("Escalate".to_owned()))
        );
        assert_eq!(EscalationSignal::parse("label: x "), Some(EscalationSignal::Label("x".to_owned())));
        for text in ["", " ", "label:", "label: "] {
            assert_eq!(EscalationSignal::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_justification_begins_with_the_prefix_and_says_something() {
        for (body, expected) in [
            ("#escalate The shop is down", Some("The shop is down")),
            ("  #Escalate: the shop\nis down ", Some("the shop\nis down")),
            ("#escalate", None),
            ("#escalate  \n", None),
            ("#escalated yesterday", None),
            ("Please #escalate this", None),
            ("#escalatö", None),
            ("#esc", None),
            ("", None),
        ] {
            assert_eq!(rule().justification(body).as_deref(), expected, "{body:?}");
        }
        let long = format!("#escalate {}", "ü".repeat(5_000));
        assert_eq!(rule().justification(&long).unwrap().chars().count(), LONGEST_JUSTIFICATION);
    }

    /// Pair with a connector that applies the decisions, and the number of escalations at Google.
    #[derive(Debug, Clone, Default)]
    struct World {
        memory: Escalation,
        raised: Option<Raised>,
        is_escalated: bool,
        is_closed: bool,
        is_found_again: bool,
        notice: Option<Told>,
        comments: Vec<Comment>,
        now: i64,
        sent: Vec<String>,
        told: Vec<EscalationProblem>,
    }

    impl World {
        fn raised(word: Option<&str>) -> Self {
            Self { raised: word.map(read).or(Some(Raised::No)), now: 100, ..Self::default() }
        }

        fn says(&mut self, body: &str) {
            self.comments.push(comment(&self.comments.len().to_string(), body));
        }

        fn says_at(&mut self, minute: i64, body: &str) {
            self.says(body);
            let comment = self.comments.last_mut().unwrap();
            (comment.id, comment.created_at) = (format!("at {minute}"), Some(at(minute)));
        }

        fn decide(&self) -> Decision {
            let google = Case { escalated: self.is_escalated, closed: self.is_closed, ..Case::default() };
            let company = Case { raised: self.raised.clone(), ..Case::default() };
            let comments: Vec<&Comment> = self.comments.iter().collect();
            decide(Facts {
                rule: &rule(),
                memory: &self.memory,
                google: &google,
                company: &company,
                comments: &comments,
                is_found_again: self.is_found_again,
                notice: self.notice.unwrap_or(Told::AsRemembered),
                sent_before: at(self.now - 2),
            })
        }

        /// Applies the decision as the tasks do. `arrives`: the request takes effect; `answered`: its answer comes.
        fn sync(&mut self, arrives: bool, answered: bool) {
            let decision = self.decide();
            if let Some(memory) = decision.note {
                self.memory = memory;
            }
            if let Some(problem) = decision.tell {
                self.told.push(problem);
                self.memory.told = true;
            }
            if let Some(Action::Escalate { reason, justification }) = decision.escalate {
                self.memory.sent_at = Some(at(self.now));
                if arrives || answered {
                    self.is_escalated = true;
                    self.sent.push(format!("{} {justification}", reason.name()));
                }
                if answered {
                    self.memory.settle();
                }
            }
        }
    }

    fn read(word: &str) -> Raised {
        rule().read(&details(&[("Escalate", &[word])], &[]))
    }

    #[test]
    fn a_raise_escalates_once_and_the_next_one_needs_a_new_reason() {
        let mut world = World::raised(Some("yes"));
        world.says("#escalate The shop is down");
        for _ in 0..3 {
            world.sync(true, true);
        }
        assert_eq!(world.sent, ["TECHNICAL_EXPERTISE The shop is down"]);
        // Google ends the escalation: the same raise is over.
        world.is_escalated = false;
        world.sync(true, true);
        assert_eq!(world.sent.len(), 1);
        world.raised = Some(Raised::No);
        world.sync(true, true);
        world.raised = Some(read("Shop is down"));
        world.sync(true, true);
        world.sync(true, true);
        assert_eq!((world.sent.len(), world.told.as_slice()), (1, &[EscalationProblem::NoJustification][..]));
        world.says("No news for two days");
        world.says("#escalate Still down");
        world.sync(true, true);
        assert_eq!(world.sent[1], "BUSINESS_IMPACT Still down");
        assert_eq!(world.decide(), Decision::default());
    }

    #[test]
    fn no_used_justification_justifies_a_second_escalation_though_the_newest_used_one_is_deleted() {
        let mut world = World::raised(Some("yes"));
        let raise_again = |world: &mut World| {
            world.is_escalated = false;
            for word in [Raised::No, read("yes")] {
                world.raised = Some(word);
                world.sync(true, true);
            }
        };
        world.says_at(1, "#escalate First");
        world.sync(true, true);
        world.says_at(2, "#escalate Second");
        raise_again(&mut world);
        assert_eq!(world.sent, ["TECHNICAL_EXPERTISE First", "TECHNICAL_EXPERTISE Second"]);
        // A person deletes the newest one, and the older one is read again.
        world.comments.retain(|comment| !comment.body.contains("Second"));
        assert!(!rule().has_new_justification(&world.memory, &world.comments));
        raise_again(&mut world);
        assert_eq!((world.sent.len(), world.told.as_slice()), (2, &[EscalationProblem::NoJustification][..]));
        world.says_at(3, "#escalate Third");
        world.sync(true, true);
        assert_eq!(world.sent[2], "TECHNICAL_EXPERTISE Third");
        // A record of an earlier version learns the time while the comment is there.
        world.memory.used_until = None;
        world.sync(true, true);
        assert_eq!(world.memory.used_until, Some(at(3)));
        assert_eq!(world.decide(), Decision::default());
    }

    #[test]
    fn a_justification_may_come_before_the_raise_and_leave_the_lists() {
        let mut world = World::raised(None);
        world.says("#escalate Early");
        world.sync(true, true);
        world.comments.clear();
        world.raised = Some(read("yes"));
        world.sync(true, true);
        assert_eq!(world.sent, ["TECHNICAL_EXPERTISE Early"]);
    }

    #[test]
    fn what_is_missing_or_unknown_is_told_once_for_each_raise() {
        let mut world = World::raised(Some("perhaps"));
        world.sync(true, true);
        world.sync(true, true);
        world.raised = Some(read("yes"));
        world.sync(true, true);
        world.sync(true, true);
        let unknown = EscalationProblem::UnknownWord("perhaps".to_owned());
        assert_eq!(world.told, [unknown.clone(), EscalationProblem::NoJustification]);
        world.raised = Some(Raised::No);
        world.sync(true, true);
        world.raised = Some(read("perhaps"));
        world.sync(true, true);
        assert_eq!(world.told[2..], [unknown]);
        assert!(world.sent.is_empty());
    }

    #[test]
    fn a_case_that_google_has_escalated_already_is_left_alone_and_a_closed_one_too() {
        let mut world = World { is_escalated: true, ..World::raised(Some("yes")) };
        world.says("#escalate Down");
        world.sync(true, true);
        world.is_escalated = false;
        world.sync(true, true);
        assert!(world.sent.is_empty() && world.told.is_empty());
        let mut world = World { is_closed: true, ..World::raised(Some("perhaps")) };
        world.sync(true, true);
        assert!(world.told.is_empty());
        let unread = World { raised: None, ..World::raised(None) };
        assert_eq!(unread.decide(), Decision::default());
    }

    #[test]
    fn a_request_without_an_answer_is_looked_for_until_its_window_is_over() {
        let mut world = World::raised(Some("yes"));
        world.says("#escalate Down");
        world.sync(false, false);
        assert_eq!(world.decide().waits_for, Some(at(100)));
        world.now = 103;
        world.sync(true, false);
        assert_eq!(world.sent.len(), 1);
        // It has arrived, and is known by the case.
        world.sync(true, true);
        assert_eq!((world.sent.len(), world.memory.sent_at, world.memory.settled), (1, None, true));
        assert_eq!(world.decide(), Decision::default());
    }

    #[test]
    fn a_pair_that_is_found_again_escalates_nothing_before_it_is_raised_anew() {
        let mut world = World { is_found_again: true, ..World::raised(Some("yes")) };
        world.says("#escalate Months ago");
        world.sync(true, true);
        world.is_found_again = false;
        world.sync(true, true);
        assert!(world.sent.is_empty());
        assert_eq!(world.told, [EscalationProblem::NotKnown]);
        world.raised = Some(Raised::No);
        world.sync(true, true);
        world.raised = Some(read("yes"));
        world.sync(true, true);
        assert_eq!(world.told[1], EscalationProblem::NoJustification, "the old comment is used up");
        world.says("#escalate Now");
        world.sync(true, true);
        assert_eq!(world.sent, ["TECHNICAL_EXPERTISE Now"]);
        // Its notice is found, so it is not posted again.
        let found = World { is_found_again: true, notice: Some(Told::Found), ..World::raised(Some("yes")) };
        assert_eq!(found.decide().tell, None);
    }

    #[test]
    fn a_request_without_an_answer_outlives_that_the_case_is_lowered() {
        let mut world = World::raised(Some("yes"));
        world.says("#escalate Down");
        world.sync(false, false);
        world.raised = Some(Raised::No);
        assert_eq!(world.decide().waits_for, Some(at(100)));
        world.sync(true, true);
        world.raised = Some(read("yes"));
        assert_eq!(world.decide().waits_for, Some(at(100)), "it may still arrive");
        world.now = 103;
        world.sync(true, true);
        assert_eq!((world.sent.len(), world.told.len()), (0, 1), "its comment is used up");
    }

    #[test]
    fn another_notice_waits_for_the_one_under_way() {
        let mut world = World::raised(Some("perhaps"));
        world.sync(true, true);
        world.memory.told = false;
        world.raised = Some(read("yes"));
        world.notice = Some(Told::UnderWay);
        let decision = world.decide();
        assert!(decision.waits_for_notice && decision.tell.is_none(), "{decision:?}");
        world.notice = None;
        world.sync(true, true);
        assert_eq!(world.told.last(), Some(&EscalationProblem::NoJustification));
    }

    #[test]
    fn a_justification_that_is_not_known_yet_is_noticed() {
        let mut world = World::raised(Some("yes"));
        world.says("Any news?");
        assert!(!rule().has_new_justification(&world.memory, &world.comments));
        world.says("#escalate Down");
        assert!(rule().has_new_justification(&world.memory, &world.comments));
        world.sync(false, false);
        assert!(!rule().has_new_justification(&world.memory, &world.comments));
        assert!(world.memory.is_outstanding());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Raise(Option<&'static str>),
        Say(&'static str),
        GoogleEnds,
        /// A sync whose request arrives or not, and is answered or not.
        Sync(bool, bool),
        Later,
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            proptest::option::of(proptest::sample::select(&["yes", "perhaps", "no"][..]))
                .prop_map(Step::Raise),
            proptest::sample::select(&["#escalate Down", "Any news?", "#escalate"][..]).prop_map(Step::Say),
            Just(Step::GoogleEnds),
            any::<(bool, bool)>().prop_map(|(arrives, answered)| Step::Sync(arrives, answered)),
            Just(Step::Later),
        ]
    }

    proptest! {
        #[test]
        fn no_raise_escalates_twice_and_an_applied_plan_is_followed_by_an_empty_one(
            steps in proptest::collection::vec(any_step(), 0..60),
        ) {
            let mut world = World::raised(None);
            let mut of_this_raise = 0;
            for step in steps {
                match step {
                    Step::Raise(word) => {
                        world.raised = Some(word.map_or(Raised::No, read));
                        if world.raised == Some(Raised::No) {
                            // The connector reads it as lowered before it is raised again.
                            world.now += 3;
                            world.sync(true, true);
                            of_this_raise = 0;
                        }
                    }
                    Step::Say(body) => world.says(body),
                    // A person at Google ends it once the connector has seen it.
                    Step::GoogleEnds if world.memory.sent_at.is_none() => world.is_escalated = false,
                    Step::GoogleEnds => {}
                    Step::Sync(arrives, answered) => {
                        let before = world.sent.len();
                        world.sync(arrives, answered);
                        of_this_raise += world.sent.len() - before;
                        prop_assert!(of_this_raise <= 1, "{:?}", world.sent);
                    }
                    Step::Later => world.now += 1,
                }
            }
            world.now += 3;
            world.sync(true, true);
            world.sync(true, true);
            prop_assert_eq!(world.decide(), Decision::default());
        }
    }
}
