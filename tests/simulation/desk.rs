//! Features of the desk: Google's state as a status, escalations, places of new cases, subscribers. Only some histories have them.

use std::collections::{BTreeMap, BTreeSet};

use casebridge::cases::{ApiError, Case, Details, Filing, NewCase, PeopleSource, Placement, Wanted};
use casebridge::entities::{CaseMapping, EscalationReason, GooglePlacement, GoogleState, Subscribed};
use casebridge::sync::{
    AnyRoute, CompanyConditions, CompanyRoute, Conditions, Destination, EscalationRule, EscalationSignal,
    Pattern, Placing, Route, RouteTable, StatusRule, StatusTable,
};

use crate::desk_check;
use crate::history::{
    Company, Deed, Desk, DeskDeed, Google, Lie, Ms, Part, Refused, Setting, Side, Step, Trouble, What,
};
use crate::model::{Card, Writer};
use crate::world::World;
use casebridge_testkit::dice::Dice;

/// Statuses of an open company case. A new one has the first.
pub(crate) const STATUSES: [&str; 4] = ["Open", "Waiting for Google", "Waiting for us", "On hold"];
/// Status of a closed company case.
const DONE: &str = "Done";
/// Status for a state of Google's, and the statuses that it replaces; none: all.
const RULES: [(GoogleState, &str, &[&str]); 3] = [
    (GoogleState::InProgressGoogleSupport, STATUSES[1], &[STATUSES[0], STATUSES[2]]),
    (GoogleState::ActionRequired, STATUSES[2], &[]),
    (GoogleState::SolutionProvided, STATUSES[2], &[STATUSES[1]]),
];
/// Field that raises a company case.
const FIELD: &str = "Escalate";
/// Word in that field that stands for a reason.
pub(crate) const RAISED: &str = "yes";
/// Word that stands for none.
const UNKNOWN: &str = "perhaps";
/// Beginning of a comment that justifies an escalation.
const PREFIX: &str = "#escalate ";
/// Label of a company case that a route goes by, and the project that its Google case belongs in.
const LABEL: &str = "prod";
pub(crate) const PROJECT: &str = "projects/q";
/// Domain whose addresses may leave the house.
pub(crate) const DOMAIN: &str = "example.com";
/// People who watch company cases, and those whom people at Google add.
pub(crate) const PEOPLE: [&str; 6] = [
    "ann@example.com",
    "Bob@Example.com",
    "cyd@example.com",
    "eve@evil.net",
    "eve@evil.net@example.com",
    "agent@partner.net",
];

/// The rule for a state of Google's.
pub(crate) fn rule(state: GoogleState) -> Option<(&'static str, &'static [&'static str])> {
    RULES.into_iter().find(|(known, ..)| *known == state).map(|(_, status, replaces)| (status, replaces))
}

/// Returns true if a case of that status gets another one by the rule.
pub(crate) fn gives_way((wanted, replaced): (&str, &[&str]), status: &str) -> bool {
    wanted != status && (replaced.is_empty() || replaced.contains(&status))
}

/// The justification in a comment.
pub(crate) fn justification(body: &str) -> Option<&str> {
    body.strip_prefix(PREFIX).map(str::trim)
}

/// An address as it is compared.
pub(crate) fn normal(address: &str) -> String {
    address.to_ascii_lowercase()
}

// The configuration.

pub(crate) fn statuses(on: Desk) -> StatusTable {
    let rules = RULES.into_iter().filter(|_| on.turn).map(|(state, status, replaced)| {
        let incompatible = replaced.iter().map(|status| (*status).to_owned()).collect();
        (state, StatusRule { status: status.to_owned(), incompatible })
    });
    rules.collect()
}

pub(crate) fn escalation(on: Desk) -> Option<EscalationRule> {
    on.escalation.then(|| EscalationRule {
        signal: EscalationSignal::Field(FIELD.to_owned()),
        words: [(RAISED.to_owned(), EscalationReason::BusinessImpact)].into(),
        prefix: PREFIX.trim().to_owned(),
        justification_field: None,
    })
}

/// The project of the company's system that urgent cases belong in.
pub(crate) fn urgent_project(setting: &Setting) -> u8 {
    setting.company.scopes.saturating_sub(1)
}

pub(crate) fn routes(setting: &Setting) -> RouteTable {
    let left_out = Route {
        conditions: Conditions { test_case: Some(true), ..Conditions::default() },
        destination: Destination::LeaveOut,
    };
    let urgent = Route {
        conditions: Conditions {
            priority: vec![Pattern::new("P0"), Pattern::new("P1")],
            ..Conditions::default()
        },
        destination: Destination::Mirror(Placement {
            project: Some(urgent_project(setting).to_string()),
            ..Placement::default()
        }),
    };
    let labelled = CompanyRoute {
        conditions: CompanyConditions { label: vec![Pattern::new(LABEL)], ..CompanyConditions::default() },
        placement: GooglePlacement { parent: Some(PROJECT.to_owned()), ..GooglePlacement::default() },
    };
    let all = [AnyRoute::from(left_out), AnyRoute::from(urgent), AnyRoute::from(labelled)];
    all.into_iter().filter(|_| setting.desk.routes).collect()
}

pub(crate) fn placing(on: Desk) -> Placing {
    Placing {
        subscribers_from: if on.subscribers { vec![PeopleSource::Watchers] } else { Vec::new() },
        subscriber_domains: vec![DOMAIN.to_owned()],
        ..Placing::default()
    }
}

// The generator.

pub(crate) fn features(dice: &mut Dice) -> Desk {
    if !dice.percent(20) {
        return Desk::OFF;
    }
    let on = dice.range(1, 15);
    let has = |bit: i64| on & bit != 0;
    Desk { turn: has(1), escalation: has(2), routes: has(4), subscribers: has(8) }
}

/// People at both desks use the features, while answers are lost and processes die.
pub(crate) fn deeds(steps: &mut Vec<Step>, cases: usize, end: Ms, on: Desk, dice: &mut Dice) {
    if on.routes {
        creations(steps, dice);
    }
    let acts: [(bool, Act); 4] =
        [(on.turn, turn), (on.escalation, escalate), (on.routes, relabel), (on.subscribers, subscribe)];
    for _ in 0..dice.range(2, 4) {
        for (is_on, act) in acts {
            if !is_on {
                continue;
            }
            // Soon after something else, so that it comes while the connector is at work.
            let at = steps[dice.index(steps.len())].at + dice.range(0, 90_000);
            let case = dice.index(cases);
            let acts = act(case, at, dice);
            happen(steps, (case, at, end), acts, dice);
        }
    }
}

/// Adds what people do, and what makes it difficult.
pub(crate) fn happen(steps: &mut Vec<Step>, (case, at, end): (usize, Ms, Ms), acts: Acts, dice: &mut Dice) {
    let Acts { mut whats, written, part, refused } = acts;
    // Google's support calls people for an escalation, so that an answer that is lost matters most there.
    let chance = if refused == Some(Refused::Escalation) { 80 } else { 45 };
    if dice.percent(chance) {
        let percent = u32::try_from(dice.range(50, 95)).unwrap_or(50);
        let trouble = dice.pick(&[Trouble::Unanswered(percent), Trouble::Late(percent)]);
        let seconds = dice.range(90, 400);
        whats.push((written, What::Trouble { part, trouble, seconds }));
    }
    if dice.percent(15) {
        let awaits = u32::try_from(dice.range(1, 40)).unwrap_or(1);
        let crash = What::Crash { instance: dice.index(2), awaits };
        whats.push((written + dice.range(0, 60_000), crash));
    }
    if let Some(what) = refused.filter(|_| dice.percent(6)) {
        let side = if part == Part::GoogleApi { Google } else { Company };
        let minutes = Some(dice.range(1, 300)).filter(|_| dice.percent(50));
        whats.push((at, What::Lie(Lie::Refuse { case, side, what, minutes })));
    }
    for (at, what) in whats {
        steps.push(Step { at: at.clamp(0, end), what, salt: dice.next() });
    }
}

/// Makes what people do about one feature, about that moment.
pub(crate) type Act = fn(usize, Ms, &mut Dice) -> Acts;

/// Deeds of people about one feature. `written`: since when the connector is to write something for it; `part`: the part whose trouble
/// matters to it; `refused`: the write that may be refused.
pub(crate) struct Acts {
    pub(crate) whats: Vec<(Ms, What)>,
    pub(crate) written: Ms,
    pub(crate) part: Part,
    pub(crate) refused: Option<Refused>,
}

fn person(at: Ms, deed: DeskDeed) -> (Ms, What) {
    (at, What::Person(Deed::Desk(deed)))
}

pub(crate) fn below(n: usize, dice: &mut Dice) -> u8 {
    u8::try_from(dice.index(n)).unwrap_or(0)
}

/// The answers to creations are lost.
fn creations(steps: &mut Vec<Step>, dice: &mut Dice) {
    let created = steps.iter().filter_map(|step| match step.what {
        What::Person(Deed::Create { side, .. }) => Some((step.at, side)),
        _ => None,
    });
    for (at, side) in created.collect::<Vec<_>>() {
        if dice.percent(40) {
            let part = Part::of(side.other());
            let trouble = dice.pick(&[Trouble::Unanswered(60), Trouble::Unanswered(60), Trouble::Late(60)]);
            let what = What::Trouble { part, trouble, seconds: dice.range(60, 240) };
            steps.push(Step { at, what, salt: dice.next() });
        }
    }
}

fn turn(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let mut whats = vec![person(at, DeskDeed::State { case, state: below(4, dice) })];
    if dice.percent(60) {
        let soon = at + dice.range(-60_000, 300_000);
        whats.push(person(soon, DeskDeed::Status { case, status: below(STATUSES.len(), dice) }));
    }
    if dice.percent(60) {
        // Back to what gives way.
        let later = at + dice.range(120_000, 900_000);
        whats.push(person(later, DeskDeed::Status { case, status: 0 }));
    }
    if dice.percent(40) {
        let soon = at + dice.range(0, 600_000);
        whats.push(person(soon, DeskDeed::State { case, state: below(4, dice) }));
    }
    let refused = dice.pick(&[Refused::Status, Refused::StateText]);
    Acts { whats, written: at, part: Part::CompanyApi, refused: Some(refused) }
}

fn escalate(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    // It may be raised still.
    let mut whats = vec![person(at - dice.range(60_000, 240_000), DeskDeed::Lower { case })];
    whats.push(person(at, DeskDeed::Raise { case, known: dice.percent(85) }));
    let mut written = at;
    if dice.percent(80) {
        let about = at + dice.range(-120_000, 120_000);
        written = at.max(about);
        whats.push(person(about, DeskDeed::Justify { case, internal: dice.percent(50) }));
    }
    if dice.percent(50) {
        let later = at + dice.range(0, 900_000);
        whats.push(person(later, DeskDeed::Lower { case }));
        if dice.percent(50) {
            let again = later + dice.range(0, 300_000);
            whats.push(person(again, DeskDeed::Raise { case, known: true }));
            if dice.percent(50) {
                let internal = dice.percent(50);
                whats.push(person(again + dice.range(0, 60_000), DeskDeed::Justify { case, internal }));
            }
        }
    }
    // What was not asked for yet, or got no answer, nobody ends.
    for _ in 0..dice.range(0, 5) {
        whats.push(person(written + dice.range(0, 300_000), DeskDeed::EndEscalation { case }));
    }
    Acts { whats, written, part: Part::GoogleApi, refused: Some(Refused::Escalation) }
}

fn relabel(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let part = dice.pick(&[Part::GoogleApi, Part::CompanyApi]);
    Acts { whats: vec![person(at, DeskDeed::Relabel { case })], written: at, part, refused: None }
}

fn subscribe(case: usize, at: Ms, dice: &mut Dice) -> Acts {
    let mut whats = vec![person(at, DeskDeed::Watch { case, who: below(5, dice), on: true })];
    for _ in 0..dice.range(0, 3) {
        let soon = at + dice.range(-60_000, 600_000);
        let (who, on) = (below(PEOPLE.len(), dice), dice.percent(40));
        let deed = if dice.percent(60) {
            DeskDeed::Watch { case, who: who % 5, on }
        } else {
            DeskDeed::Subscribe { case, who, on }
        };
        whats.push(person(soon, deed));
    }
    Acts { whats, written: at, part: Part::GoogleApi, refused: Some(Refused::Subscribers) }
}

/// Returns the name that a deed is counted by.
pub(crate) fn name(deed: DeskDeed) -> &'static str {
    match deed {
        DeskDeed::State { .. } => "change google's state",
        DeskDeed::Status { .. } => "set a status",
        DeskDeed::Raise { known: true, .. } => "raise a case",
        DeskDeed::Raise { .. } => "raise a case for no reason",
        DeskDeed::Lower { .. } => "lower a case",
        DeskDeed::Justify { .. } => "justify an escalation",
        DeskDeed::EndEscalation { .. } => "end an escalation",
        DeskDeed::Watch { on: true, .. } => "watch a case",
        DeskDeed::Watch { .. } => "watch a case no more",
        DeskDeed::Subscribe { on: true, .. } => "subscribe at google",
        DeskDeed::Subscribe { .. } => "unsubscribe at google",
        DeskDeed::Relabel { .. } => "label a case",
    }
}

// The cases.

/// Part of a case that the features are about.
#[derive(Debug, Clone)]
pub(crate) struct DeskCard {
    on: Desk,
    /// State of a Google case while it is open.
    pub(crate) state: GoogleState,
    pub(crate) escalated: bool,
    /// True for a test case of Google's, which a route leaves out.
    pub(crate) test_case: bool,
    pub(crate) subscribers: Vec<String>,
    /// Status of a company case while it is open.
    pub(crate) status: String,
    pub(crate) state_text: String,
    pub(crate) raised: Option<&'static str>,
    label: bool,
    pub(crate) watchers: Vec<&'static str>,
    pub(crate) tally: DeskTally,
}

/// Counts for the checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeskTally {
    /// Of a Google case: the status that the company case must get.
    pub(crate) due: Option<Due>,
    pub(crate) statuses_set: u32,
    /// Number of times that a person set a status while that of the connector was under way.
    pub(crate) status_races: u32,
    /// Of a company case: requests that arrived at Google since it was raised.
    pub(crate) requested: u32,
    /// Google's support has ended an escalation since it was raised.
    pub(crate) ended: bool,
    pub(crate) raised_at: Ms,
    /// True if it was raised while its pair was known: the connector did not have to find the pair again.
    pub(crate) raised_known: bool,
    pub(crate) raise_changed: Option<Ms>,
    /// Number of notices about escalations that stood there when it was raised.
    pub(crate) told_before: u32,
    pub(crate) watch_changed: BTreeMap<String, Ms>,
    pub(crate) label_changed: Option<Ms>,
    /// Of a Google case: comments whose justification was used.
    pub(crate) justified: BTreeSet<u64>,
    /// Addresses that the connector added.
    pub(crate) ours: BTreeSet<String>,
    /// Addresses that a person added while the connector had asked for them without an answer: it cannot tell who did.
    pub(crate) asked: BTreeSet<String>,
    pub(crate) first_subscribed: Option<Ms>,
    /// Times at which a person at Google last added or removed an address.
    pub(crate) hand: BTreeMap<String, Ms>,
    /// Addresses that a person at Google removed, as the connector can know.
    pub(crate) removed: BTreeSet<String>,
}

/// A status that must be set, unless somebody changes something.
#[derive(Debug, Clone)]
pub(crate) struct Due {
    pub(crate) status: &'static str,
    pub(crate) company: String,
    pub(crate) since: Ms,
}

impl DeskCard {
    pub(crate) fn new(on: Desk) -> Self {
        Self {
            on,
            state: GoogleState::New,
            escalated: false,
            test_case: false,
            subscribers: Vec::new(),
            status: STATUSES[0].to_owned(),
            state_text: String::new(),
            raised: None,
            label: false,
            watchers: Vec::new(),
            tally: DeskTally::default(),
        }
    }

    /// Returns these facts as the case shows them.
    pub(crate) fn shown(&self, side: Side, closed: bool) -> Case {
        let Desk { turn, subscribers, .. } = self.on;
        match side {
            Google => Case {
                state: turn.then(|| self.state_of(closed)),
                escalated: self.escalated,
                subscribers: subscribers.then(|| self.subscribers.clone()),
                filing: Filing { test_case: self.test_case, ..Filing::default() },
                ..Case::default()
            },
            Company => Case {
                status: if turn { vec![self.status_of(closed).to_owned()] } else { Vec::new() },
                state_text: turn.then(|| self.state_text.clone()),
                ..Case::default()
            },
        }
    }

    pub(crate) fn state_of(&self, closed: bool) -> GoogleState {
        if closed { GoogleState::Closed } else { self.state }
    }

    fn status_of(&self, closed: bool) -> &str {
        if closed { DONE } else { &self.status }
    }

    pub(crate) fn is_subscribed(&self, address: &str) -> bool {
        self.subscribers.iter().any(|known| normal(known) == normal(address))
    }

    pub(crate) fn is_watched_by(&self, address: &str) -> bool {
        self.watchers.iter().any(|known| normal(known) == normal(address))
    }

    pub(crate) fn has_label(&self) -> bool {
        self.label
    }
}

/// A new case is given what chance decides.
pub(crate) fn born(side: Side, by: Writer, number: u64, seed: u64, card: &mut Card) {
    let on = card.desk.on;
    if on == Desk::OFF || by == Writer::Connector {
        return;
    }
    let mut dice = Dice::of(&[seed, number, 7]);
    let (tests, labelled, watcher) = (dice.percent(8), dice.percent(60), dice.index(5));
    card.desk.test_case = on.routes && side == Google && tests;
    card.desk.label = on.routes && side == Company && labelled;
    if on.subscribers && side == Company {
        card.desk.watchers.push(PEOPLE[watcher]);
    }
}

/// A new case is put where its creator wants it.
pub(crate) fn place(side: Side, card: &mut Card, new: &NewCase) {
    match side {
        Google => {
            if let Some(parent) = &new.google.parent {
                let number = card.id.rsplit('/').next().unwrap_or_default();
                card.id = format!("{parent}/cases/{number}");
            }
        }
        Company => {
            let project = new.placement.project.as_deref().and_then(|project| project.parse().ok());
            card.scope = card.scope.map(|scope| project.unwrap_or(scope));
        }
    }
}

impl World {
    /// Notes that a case was put into a place of its own. The index of the whole organisation may be late for what is new in one of its
    /// projects, while that of the project shows it.
    pub(crate) fn placed(&mut self, side: Side, id: &str, new: &NewCase) {
        if side == Company && new.placement.project.is_some() {
            self.seen.count("connector", "creates in a place at company");
        }
        if side == Google && new.google.parent.is_some() {
            self.seen.count("connector", "creates in a place at google");
            let mut dice = Dice::of(&[self.setting.seed, self.now.unsigned_abs(), 8]);
            if dice.percent(60) {
                self.takes_long = true;
                let (now, until) = (self.now, self.now + dice.range(3, 30) * 60_000);
                if let Some(card) = self.systems[side].card_mut(id) {
                    card.index_late = Some((now - 1, until));
                }
            }
        }
    }

    pub(crate) fn details(&mut self, side: Side, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
        self.seen.count("calls", "details");
        let card = &self.exists(side, id, "read details")?.desk;
        let mut details = Details::default();
        if wanted.terms && card.label {
            details.label.push(LABEL.to_owned());
        }
        if let Some(word) = card.raised.filter(|_| wanted.fields.contains(FIELD)) {
            details.fields.insert(FIELD.to_owned(), vec![word.to_owned()]);
        }
        if wanted.has(&PeopleSource::Watchers) {
            details.people = card.watchers.iter().map(|address| (*address).to_owned()).collect();
        }
        Ok(details)
    }

    // What people do.

    /// The pair of a case on that side.
    fn pair_of(&self, side: Side, id: &str) -> Option<&CaseMapping> {
        self.shelf.of(side, id)
    }

    pub(crate) fn act_at_the_desk(&mut self, deed: DeskDeed, dice: &mut Dice) -> Option<()> {
        let on = self.setting.desk;
        let now = self.now;
        match deed {
            DeskDeed::State { case, state } if on.turn => {
                self.set_state(case, GoogleState::OPEN[usize::from(state) % 4])
            }
            DeskDeed::Status { case, status } if on.turn => {
                self.set_status_by_hand(case, STATUSES[usize::from(status) % STATUSES.len()])
            }
            DeskDeed::Raise { case, known } if on.escalation => {
                self.raise(case, if known { RAISED } else { UNKNOWN })
            }
            DeskDeed::Lower { case } if on.escalation => {
                let id = self.case_on(case, Company)?;
                self.systems[Company].living(&id)?.desk.raised?;
                self.change(Company, &id, |card| {
                    card.desk.raised = None;
                    card.desk.tally.raise_changed = Some(now);
                })
            }
            DeskDeed::Justify { case, internal } if on.escalation => {
                let id = self.case_on(case, Company)?;
                let card = self.systems[Company].living(&id)?;
                if card.closed && !self.setting.company.comment_when_closed {
                    return None;
                }
                let body = format!("{PREFIX}The shop is down {}.", dice.below(1_000_000));
                self.add_note(Company, &id, Writer::Person, body, internal).map(drop)
            }
            DeskDeed::EndEscalation { case } if on.escalation => {
                let id = self.case_on(case, Google)?;
                let mapping = self.pair_of(Google, &id)?;
                // While nobody knows that it was escalated, it cannot be known that this was ended.
                if mapping.state.escalation.sent_at.is_some() {
                    return None;
                }
                let company = mapping.case_id(Company)?.to_owned();
                if !self.systems[Google].living(&id)?.desk.escalated {
                    return None;
                }
                self.systems[Company].card_mut(&company)?.desk.tally.ended = true;
                self.change(Google, &id, |card| card.desk.escalated = false)
            }
            DeskDeed::Watch { case, who, on: watches } if on.subscribers => {
                self.watch(case, PEOPLE[usize::from(who) % 5], watches)
            }
            DeskDeed::Subscribe { case, who, on: adds } if on.subscribers => {
                self.subscribe_by_hand(case, PEOPLE[usize::from(who) % PEOPLE.len()], adds)
            }
            DeskDeed::Relabel { case } if on.routes => {
                let id = self.case_on(case, Company)?;
                self.change(Company, &id, |card| {
                    card.desk.label = !card.desk.label;
                    card.desk.tally.label_changed = Some(now);
                })
            }
            DeskDeed::State { .. }
            | DeskDeed::Status { .. }
            | DeskDeed::Raise { .. }
            | DeskDeed::Lower { .. }
            | DeskDeed::Justify { .. }
            | DeskDeed::EndEscalation { .. }
            | DeskDeed::Watch { .. }
            | DeskDeed::Subscribe { .. }
            | DeskDeed::Relabel { .. } => None,
        }
    }

    fn set_state(&mut self, case: usize, state: GoogleState) -> Option<()> {
        let id = self.case_on(case, Google)?;
        let card = self.systems[Google].living(&id)?;
        let before = card.desk.state;
        if card.closed || before == state {
            return None;
        }
        let mapping = self.pair_of(Google, &id);
        let due = mapping.and_then(|mapping| {
            // What was seen before another state, and again after it, has not changed for whoever was not there.
            let turn = &mapping.state.turn;
            let is_seen = turn.seen == Some(before) && turn.setting.is_none();
            let company = self.systems[Company].card(mapping.case_id(Company).filter(|_| is_seen)?)?;
            let rule = rule(state)?;
            let gives_way = !company.closed && gives_way(rule, &company.desk.status);
            gives_way.then(|| Due { status: rule.0, company: company.id.clone(), since: self.now })
        });
        self.change(Google, &id, |card| {
            card.desk.state = state;
            card.desk.tally.due = due;
        })
    }

    fn set_status_by_hand(&mut self, case: usize, status: &str) -> Option<()> {
        let id = self.case_on(case, Company)?;
        let card = self.systems[Company].living(&id)?;
        if card.closed || card.desk.status == status {
            return None;
        }
        let mapping = self.pair_of(Company, &id);
        let is_under_way = mapping.is_some_and(|mapping| mapping.state.turn.setting.is_some());
        let google = mapping.and_then(|mapping| mapping.case_id(Google)).map(str::to_owned);
        if let Some(google) = google.and_then(|google| self.systems[Google].card_mut(&google)) {
            google.desk.tally.due = None;
            google.desk.tally.status_races += u32::from(is_under_way);
        }
        self.change(Company, &id, |card| card.desk.status = status.to_owned())
    }

    fn raise(&mut self, case: usize, word: &'static str) -> Option<()> {
        let id = self.case_on(case, Company)?;
        let before = self.systems[Company].living(&id)?.desk.raised;
        if before == Some(word) {
            return None;
        }
        let mapping = self.pair_of(Company, &id);
        let was_raised = mapping.is_some_and(|mapping| mapping.state.escalation.raised);
        // Nor can it be known to be raised anew, if nobody saw that it was lowered.
        let is_known =
            mapping.is_some_and(|mapping| mapping.is_linked() && !mapping.relinking) && !was_raised;
        let now = self.now;
        self.change(Company, &id, |card| {
            let told = card.tally.notices.get("not escalated").copied().unwrap_or_default();
            let tally = &mut card.desk.tally;
            card.desk.raised = Some(word);
            tally.raise_changed = Some(now);
            if before.is_none() {
                (tally.requested, tally.ended, tally.raised_at) = (0, false, now);
                tally.raised_known = is_known;
            }
            if !was_raised {
                tally.told_before = told;
            }
        })
    }

    fn watch(&mut self, case: usize, who: &'static str, watches: bool) -> Option<()> {
        let id = self.case_on(case, Company)?;
        if self.systems[Company].living(&id)?.desk.is_watched_by(who) == watches {
            return None;
        }
        let google = self.case_on(case, Google);
        if let Some(google) = google.filter(|_| watches).and_then(|id| self.systems[Google].card_mut(&id)) {
            google.desk.tally.removed.remove(&normal(who));
        }
        let now = self.now;
        self.change(Company, &id, |card| {
            card.desk.watchers.retain(|known| *known != who);
            if watches {
                card.desk.watchers.push(who);
            }
            card.desk.tally.watch_changed.insert(normal(who), now);
        })
    }

    fn subscribe_by_hand(&mut self, case: usize, who: &str, adds: bool) -> Option<()> {
        let id = self.case_on(case, Google)?;
        if self.systems[Google].living(&id)?.desk.is_subscribed(who) == adds {
            return None;
        }
        let state = self.pair_of(Google, &id).map(|mapping| &mapping.state);
        let record = state.and_then(|state| state.subscribers.get(&normal(who)));
        let is_known = matches!(record, Some(Subscribed::Ours | Subscribed::ByHand));
        let is_asked = record.is_some() && state.is_some_and(|state| state.subscribers_sent_at.is_some());
        let now = self.now;
        self.change(Google, &id, |card| {
            card.desk.tally.hand.insert(normal(who), now);
            if adds {
                card.desk.subscribers.push(who.to_owned());
                card.desk.tally.removed.remove(&normal(who));
                if is_asked {
                    card.desk.tally.asked.insert(normal(who));
                }
            } else {
                card.desk.subscribers.retain(|known| normal(known) != normal(who));
                if is_known {
                    card.desk.tally.removed.insert(normal(who));
                }
            }
        })
    }

    // What the API changes.

    pub(crate) fn api_set_status(&mut self, side: Side, id: &str, status: &str) -> Result<(), ApiError> {
        self.check_dry("a status");
        let card = self.target(side, id, "set a status")?;
        if card.closed || card.refuses(Refused::Status, self.now) {
            return self.refuse(side, id, "status");
        }
        let before = card.desk.status.clone();
        if before != status {
            desk_check::sets_status(self, id, status);
            self.change(side, id, |card| card.desk.status = status.to_owned());
            self.writes += 1;
            self.seen.count("connector", "sets a status");
            self.note("sets status", || format!("of {side} case {id}: {before:?} to {status:?}"));
        }
        Ok(())
    }

    pub(crate) fn api_show_state(&mut self, side: Side, id: &str, text: &str) -> Result<(), ApiError> {
        self.check_dry("Google's state");
        let card = self.target(side, id, "show Google's state")?;
        if card.refuses(Refused::StateText, self.now) {
            return self.refuse(side, id, "state text");
        }
        if card.desk.state_text != text {
            desk_check::shows_state(self, id, text);
            self.change(side, id, |card| card.desk.state_text = text.to_owned());
            self.writes += 1;
            self.seen.count("connector", "shows google's state");
            self.note("shows state", || format!("on {side} case {id}: {text:?}"));
        }
        Ok(())
    }

    pub(crate) fn api_escalate(
        &mut self,
        side: Side,
        id: &str,
        reason: EscalationReason,
        justification: &str,
    ) -> Result<(), ApiError> {
        self.check_dry("an escalation");
        let card = self.target(side, id, "escalate")?;
        if card.closed || card.refuses(Refused::Escalation, self.now) {
            return self.refuse(side, id, "escalation");
        }
        desk_check::escalates(self, id, justification);
        self.change(side, id, |card| card.desk.escalated = true);
        self.writes += 1;
        self.seen.count("connector", "escalates");
        self.note("escalates", || format!("{side} case {id} ({}): {justification:?}", reason.name()));
        Ok(())
    }

    pub(crate) fn api_set_subscribers(
        &mut self,
        side: Side,
        id: &str,
        wanted: &[String],
    ) -> Result<(), ApiError> {
        self.check_dry("subscribers");
        let card = self.target(side, id, "set subscribers")?;
        if card.refuses(Refused::Subscribers, self.now) {
            return self.refuse(side, id, "subscribers");
        }
        // Whom somebody at Google added since the connector read the case, the connector adds as well, as far as it knows.
        let is_added = |address: &&String| {
            let by_hand_at = card.desk.tally.hand.get(&normal(address)).copied();
            !card.desk.is_subscribed(address) || desk_check::is_recent(self, by_hand_at)
        };
        let added: Vec<String> = wanted.iter().filter(is_added).map(|address| normal(address)).collect();
        if card.desk.subscribers != wanted {
            desk_check::subscribes(self, id, wanted);
            let now = self.now;
            self.change(side, id, |card| {
                card.desk.tally.first_subscribed.get_or_insert(now);
                card.desk.subscribers = wanted.to_vec();
            });
            self.writes += 1;
            self.seen.count("connector", "sets subscribers");
            self.note("sets subscribers", || format!("of {side} case {id}: {wanted:?}"));
        }
        if let Some(card) = self.systems[side].card_mut(id) {
            card.desk.tally.ours.extend(added);
        }
        Ok(())
    }
}
