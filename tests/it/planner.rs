//! Pure planner (`R11`): two sides and a mapping in, actions out. Nothing here does I/O.

use std::collections::BTreeMap;

use casebridge::cases::{
    Annotation, Attachment, Capabilities, Case, Closing, ClosingSet, Comment, Content, LinkDetail, Raised,
    TextLimit, Visibility, markers,
};
use casebridge::entities::{
    CaseMapping, CompanyCaseId, Edits, Entry, Escalation, EscalationReason, FirstSeen, GoogleCaseName,
    GoogleState, ItemKind, Ledger, Notice, Pending, PendingStatus, Priority, PriorityReading,
    RefusedSubscribers, Shown, Side, Sides, Skipped, Source, TitleDigest, Titles, Turn,
};
use casebridge::sync::{
    Action, Blocked, Clocks, CommentsToGoogle, EditedComments, EscalationRule, EscalationSignal,
    KnownDifferent, Lookalike, Pair, Plan, Remaining, Rules, ShownRule, Snapshot, StatusRule, StatusTable,
    Switches, left_on, merge_subscribers, plan, texts,
};
use chrono::{DateTime, Duration, Utc};
use proptest::prelude::*;

const GOOGLE: &str = "organizations/1/cases/2";
const COMPANY: &str = "10001";
const HOME: &str = "https://desk.example";
const NAMED: markers::CompanyCase<'static> =
    markers::CompanyCase { id: COMPANY, key: None, address: Some(HOME) };

fn at(minute: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
}

fn capabilities(name: &'static str) -> Capabilities {
    Capabilities {
        name,
        reopen: true,
        comment_when_closed: true,
        internal_comments: true,
        comments_change: true,
        comment_limit: TextLimit::code_points(12_800),
        title_limit: TextLimit::code_points(250),
        description_limit: TextLimit::code_points(12_800),
        control_characters: true,
        index_lag: Duration::minutes(1),
        in_flight_window: Duration::minutes(2),
        time_resolution: Duration::seconds(1),
        idempotency_keys: false,
        stored_filename: str::to_owned,
    }
}

const RULES: Rules = Rules {
    switches: Switches::ALL,
    comments_to_google: CommentsToGoogle::Public,
    edits: EditedComments::Off,
    comment_visibility: Visibility::Public,
    close_on: ClosingSet::SOLVED,
    statuses: StatusTable::new(),
    escalation: None,
    shown: ShownRule::NONE,
};

/// Linked pair with the planner's input. It applies actions to itself as the tasks do to real systems.
#[derive(Debug, Clone)]
struct World {
    mapping: CaseMapping,
    google: Snapshot,
    company: Snapshot,
    facts: Sides<Capabilities>,
    rules: Rules,
    known_different: KnownDifferent,
    now: DateTime<Utc>,
    written: u32,
}

impl World {
    fn new() -> Self {
        let name = GoogleCaseName::parse(GOOGLE).unwrap();
        let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), Some(Priority::P2), None, at(0));
        mapping.company_case_id = Some(CompanyCaseId::parse(COMPANY).unwrap());
        mapping.linked_at = Some(at(0));
        mapping.state.agreed_priority = Some(Priority::P2);
        mapping.state.agreed_closed = Some(false);
        let title = TitleDigest::of("The disk is full");
        mapping.state.titles.base = Some(Sides { google: title.clone(), company: title });
        mapping.ledger.record(Entry {
            side: Side::Google,
            kind: ItemKind::Comment,
            id: "1".to_owned(),
            source: Source::Notice(Notice::NowSyncing),
            source_at: None,
            written_at: Some(at(0)),
            parts: None,
        });
        let case = |id: &str, counterpart: Option<&str>| Case {
            id: id.to_owned(),
            key: None,
            title: "The disk is full".to_owned(),
            description: "It is full.".to_owned(),
            priority: PriorityReading::exactly(Priority::P2),
            closed: false,
            created_at: Some(at(0)),
            updated_at: Some(at(0)),
            counterpart: counterpart.map(str::to_owned),
            synchronize: true,
            ..Case::default()
        };
        let said = comment("1", 0, &markers::now_syncing(&NAMED));
        Self {
            mapping,
            google: Snapshot {
                case: case(GOOGLE, None),
                comments: vec![said],
                attachments: vec![],
                earlier: vec![],
            },
            company: Snapshot {
                case: case(COMPANY, Some(GOOGLE)),
                comments: vec![],
                attachments: vec![],
                earlier: vec![],
            },
            facts: Sides { google: capabilities("CSAPI"), company: capabilities("CRM") },
            rules: RULES,
            known_different: KnownDifferent::default(),
            now: at(100),
            written: 1_000,
        }
    }

    fn pair(&self) -> Pair<'_> {
        Pair {
            mapping: &self.mapping,
            google: &self.google,
            company: &self.company,
            known_different: &self.known_different,
            clocks: Clocks {
                now: self.now,
                skew: Sides { google: Duration::zero(), company: Duration::zero() },
            },
            home: Some(HOME),
        }
    }

    fn facts(&self) -> Sides<&Capabilities> {
        Sides { google: &self.facts.google, company: &self.facts.company }
    }

    fn plan(&self, source: Side) -> Plan {
        plan(source, self.pair(), &self.rules, self.facts())
    }

    fn snapshot(&mut self, side: Side) -> &mut Snapshot {
        match side {
            Side::Google => &mut self.google,
            Side::Company => &mut self.company,
        }
    }

    /// Applies the plan to both systems and the mapping.
    fn carry_out(&mut self, plan: &Plan) {
        for action in &plan.actions {
            self.act(action);
        }
    }

    fn set_closed(&mut self, side: Side, closed: bool) {
        self.mapping.pending_status = Some(PendingStatus { side, closed, attempted_at: self.now });
        self.snapshot(side).case.closed = closed;
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Resume => self.mapping.paused = false,
            Action::Adopt(entry) => self.record(entry.clone()),
            Action::Recognise(entry) => self.mapping.recognise(entry.clone()),
            Action::Forget(pending) => self.mapping.pending.retain(|other| other != pending),
            Action::LinkBack { google_case_name, .. } => {
                self.company.case.counterpart = Some(google_case_name.clone());
            }
            Action::Comment(new) => {
                assert!(self.facts[new.side].comment_limit.holds(&new.body), "too long");
                self.written += 1;
                let (id, now) = (self.written.to_string(), self.now);
                let mut written = comment(&id, 0, &new.body);
                written.created_at = Some(now);
                written.by_connector = Some(true);
                let side = new.side;
                assert!(
                    !self.snapshot(side).case.closed || self.facts[side].comment_when_closed,
                    "a comment on a closed case"
                );
                self.snapshot(side).comments.push(written);
                if new.source == Source::Notice(Notice::CannotReopen) {
                    // It is recorded together with the action that follows; until then it is a write without an answer.
                    let begun = pending(side, new.source.clone(), texts::first_line(&new.body), 100);
                    self.mapping.pending.push(begun);
                    return;
                }
                self.record(Entry {
                    side,
                    kind: ItemKind::Comment,
                    id,
                    source: new.source.clone(),
                    source_at: new.source_at,
                    written_at: Some(now),
                    parts: new.parts,
                });
            }
            Action::Attach { to, attachment, visibility } => {
                self.written += 1;
                let copy = Attachment {
                    id: self.written.to_string(),
                    visibility: *visibility,
                    created_at: Some(self.now),
                    by_connector: Some(true),
                    ..attachment.clone()
                };
                self.record(Entry {
                    side: *to,
                    kind: ItemKind::Attachment,
                    id: copy.id.clone(),
                    source: Source::Attachment { id: attachment.id.clone() },
                    source_at: attachment.created_at,
                    written_at: copy.created_at,
                    parts: None,
                });
                self.snapshot(*to).attachments.push(copy);
            }
            Action::SetTitle { side, title, from } => {
                let now = self.now;
                self.mapping.state.titles.begin(*side, title, from, now);
                self.mapping.state.titles.answered(title);
                self.snapshot(*side).case.title.clone_from(title);
            }
            Action::NoteTitles(titles) => self.mapping.state.titles = Titles::clone(titles),
            Action::NoteEdits(edits) => self.mapping.state.edits = Edits::clone(edits),
            Action::SetPriority { side, priority } => {
                self.snapshot(*side).case.priority = PriorityReading::exactly(*priority);
            }
            Action::AgreeOnPriority(priority) => {
                self.mapping.priority = Some(*priority);
                self.mapping.state.agreed_priority = Some(*priority);
            }
            Action::SetSubscribers { wanted, .. } => {
                assert!(!self.google.case.closed, "subscribers of a closed case");
                let there = self.google.case.subscribers.clone().unwrap();
                let merge = merge_subscribers(&self.mapping.state.subscribers, wanted, &there);
                self.google.case.subscribers = merge.set.or(Some(there));
                self.mapping.state.subscribers = merge.after;
            }
            Action::Escalate { .. } => {
                assert!(!self.google.case.closed && !self.google.case.escalated, "escalated needlessly");
                self.google.case.escalated = true;
                self.mapping.state.escalation.settle();
            }
            Action::NoteEscalation(memory) => self.mapping.state.escalation = Escalation::clone(memory),
            Action::AgreeOnSubscribers(people) => self.mapping.state.subscribers.clone_from(people),
            Action::ForgetLeftOpen => self.mapping.state.left_open_told = false,
            Action::Close { side } => self.set_closed(*side, true),
            Action::Reopen { side } => {
                assert!(self.facts[*side].reopen, "reopened what cannot be reopened");
                self.set_closed(*side, false);
            }
            Action::ForgetStatus => self.mapping.pending_status = None,
            Action::SetStatus { status, .. } => {
                self.company.case.status = vec![status.clone()];
                action.ends_turn(&mut self.mapping.state.turn);
            }
            Action::ShowState(text) => {
                self.company.case.state_text = Some(text.clone());
                action.ends_turn(&mut self.mapping.state.turn);
            }
            Action::Annotate(annotation) => {
                let earlier = self.mapping.state.shown.clone();
                self.mapping.state.shown.done(annotation, &earlier);
            }
            Action::NoteShown(shown) => self.mapping.state.shown = Shown::clone(shown),
            Action::NoteTurn(turn) => self.mapping.state.turn = Turn::clone(turn),
            Action::Resolve(at) => {
                self.mapping.resolved_at = Some(*at);
                self.mapping.state.agreed_closed = Some(true);
                self.mapping.pending_status = None;
            }
            Action::Unresolve => {
                self.mapping.resolved_at = None;
                self.mapping.state.agreed_closed = Some(false);
                self.mapping.pending_status = None;
                self.mapping.reopen_refused = Sides::default();
            }
            Action::RefusedReopening(refused) => {
                match refused {
                    Some(side) => self.mapping.reopen_refused[*side] = true,
                    None => self.mapping.reopen_refused = Sides::default(),
                }
                let notice = Source::Notice(Notice::CannotReopen);
                if let Some(begun) = self.mapping.pending.iter().find(|pending| pending.source == notice) {
                    let entry = Entry {
                        side: begun.side,
                        kind: ItemKind::Comment,
                        id: self.written.to_string(),
                        source: notice,
                        source_at: None,
                        written_at: Some(self.now),
                        parts: None,
                    };
                    self.record(entry);
                }
            }
        }
    }

    fn record(&mut self, entry: Entry) {
        self.mapping.pending.retain(|pending| pending.side != entry.side || pending.source != entry.source);
        self.mapping.ledger.record(entry);
    }

    /// Runs both syncs, one after the other, `times` times.
    fn sync(&mut self, order: [Side; 2], times: usize) {
        for _ in 0..times {
            for source in order {
                let plan = self.plan(source);
                assert_eq!(plan.waits, []);
                self.carry_out(&plan);
            }
        }
        self.mapping.relinking = false;
    }
}

fn comment(id: &str, minute: i64, body: &str) -> Comment {
    Comment {
        id: id.to_owned(),
        other_id: None,
        author: "Ada".to_owned(),
        created_at: Some(at(minute)),
        body: body.to_owned(),
        earlier_body: None,
        edited_at: None,
        visibility: Visibility::Public,
        by_connector: Some(false),
    }
}

fn attachment(id: &str, minute: i64, filename: &str) -> Attachment {
    Attachment {
        id: id.to_owned(),
        filename: filename.to_owned(),
        media_type: None,
        size: Some(7),
        author: "Ada".to_owned(),
        created_at: Some(at(minute)),
        visibility: Visibility::Public,
        by_connector: Some(false),
        comment: None,
    }
}

fn bodies(plan: &Plan) -> Vec<&str> {
    plan.actions
        .iter()
        .filter_map(|action| match action {
            Action::Comment(comment) => Some(comment.body.as_str()),
            _ => None,
        })
        .collect()
}

fn pending(side: Side, source: Source, marker: &str, minute: i64) -> Pending {
    let kind = match source {
        Source::Attachment { .. } => ItemKind::Attachment,
        Source::Comment { .. } | Source::Description { .. } | Source::Notice(_) | Source::Edit { .. } => {
            ItemKind::Comment
        }
    };
    Pending {
        side,
        kind,
        source,
        marker: marker.to_owned(),
        digest: None,
        size: None,
        source_at: None,
        attempted_at: at(minute),
        parts: None,
    }
}

fn of_comment(id: &str) -> Source {
    Source::Comment { id: id.to_owned(), part: 1 }
}

#[test]
fn the_plan_on_two_equal_sides_is_empty() {
    let world = World::new();
    for source in Side::BOTH {
        assert!(world.plan(source).is_empty(), "{:?}", world.plan(source));
        assert!(left_on(source, world.pair(), &world.rules, world.facts()) != Remaining::Changes);
    }
}

#[test]
fn a_marked_note_is_remembered_carried_and_marked_in_this_order_and_once() {
    let mut world = World::new();
    world.rules.comments_to_google = CommentsToGoogle::Marked;
    world.rules.shown.marks_notes = true;
    let note = Comment { visibility: Visibility::Internal, ..comment("70", 50, "#google Look at the quota") };
    world.company.comments.push(note);
    let plan = world.plan(Side::Company);
    let position = |is_it: fn(&Action) -> bool| plan.actions.iter().position(is_it).unwrap();
    let remembered = position(|action| matches!(action, Action::NoteShown(_)));
    let carried = position(|action| matches!(action, Action::Comment(_)));
    let marked = position(|action| matches!(action, Action::Annotate(Annotation::Mark(_))));
    assert!(remembered < carried && carried < marked, "{plan:?}");
    assert_eq!(plan.totals().get("marks"), Some(&1), "{plan:?}");
    // One that could not be carried is not marked.
    let mut blocked = Blocked::new(false);
    plan.actions[carried].block(&mut blocked, true);
    assert!(plan.actions[marked].is_blocked(&blocked));
    world.carry_out(&plan);
    assert!(world.mapping.state.shown.unmarked.is_empty());
    for source in Side::BOTH {
        assert!(world.plan(source).is_empty(), "{:?}", world.plan(source));
    }
}

#[test]
fn the_link_and_the_label_are_shown_by_a_sync_of_either_side_before_the_case_is_closed() {
    for source in Side::BOTH {
        let mut world = World::new();
        world.rules.shown.link = Some(LinkDetail::Whole);
        world.rules.shown.escalated_label = Some("google-escalated".to_owned());
        world.google.case.escalated = true;
        let plan = world.plan(source);
        let totals = plan.totals();
        assert_eq!((totals.get("remote links"), totals.get("labels")), (Some(&1), Some(&1)), "{plan:?}");
        world.carry_out(&plan);
        assert!(world.plan(source).is_empty(), "{:?}", world.plan(source));
    }
    let mut world = World::new();
    world.rules.shown.link = Some(LinkDetail::Whole);
    world.mapping.state.agreed_closed = Some(false);
    world.google.case.closed = true;
    let plan = world.plan(Side::Google);
    let shown = plan.actions.iter().position(|action| matches!(action, Action::Annotate(_))).unwrap();
    let closed = plan.actions.iter().position(|action| matches!(action, Action::Close { .. })).unwrap();
    assert!(shown < closed, "{plan:?}");
}

#[test]
fn a_raised_case_escalates_by_a_persons_comment_of_any_visibility_and_never_by_a_copy() {
    let mut world = World::new();
    let raised = Some(Raised::For { reason: EscalationReason::BusinessImpact, justification: None });
    world.company.case.raised.clone_from(&raised);
    assert!(world.plan(Side::Company).is_empty(), "no rule is configured");
    world.rules.escalation = Some(EscalationRule {
        signal: EscalationSignal::Field("Escalate".to_owned()),
        words: BTreeMap::new(),
        prefix: "#escalate".to_owned(),
        justification_field: None,
    });
    // What the connector wrote justifies nothing, however it begins.
    let copy = Comment { by_connector: Some(true), ..comment("70", 50, "#escalate quoted") };
    world.company.comments.push(copy);
    let told = world.plan(Side::Google);
    let notices = told.actions.iter().filter(|action| matches!(action, Action::Comment(_))).count();
    assert_eq!((notices, told.totals().get("escalations")), (1, None), "{told:?}");
    let internal =
        Comment { visibility: Visibility::Internal, ..comment("71", 51, "#escalate The shop is down") };
    world.company.comments.push(internal);
    for source in Side::BOTH {
        let plan = world.plan(source);
        assert_eq!(plan.totals().get("escalations"), Some(&1), "{plan:?}");
        assert!(!plan.describe().concat().contains("shop"), "{plan:?}");
    }
    let mut waits = world.clone();
    waits.mapping.state.escalation.raised = true;
    waits.mapping.state.escalation.sent_at = Some(at(99));
    let plan = waits.plan(Side::Company);
    assert_eq!((plan.totals().get("escalations"), plan.waits.len()), (None, 1), "{plan:?}");
    world.sync([Side::Company, Side::Google], 1);
    assert!(world.google.case.escalated);
    assert!(world.plan(Side::Company).is_empty() && world.plan(Side::Google).is_empty());
}

#[test]
fn people_of_the_company_case_follow_an_open_google_case_and_wait_for_what_is_under_way() {
    let mut world = World::new();
    let people = |all: &[&str]| Some(all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
    world.google.case.subscribers = people(&[]);
    assert!(world.plan(Side::Company).is_empty(), "nobody asked for the people of the company case");
    world.company.case.subscribers = people(&["jane@example.com"]);
    let plan = world.plan(Side::Company);
    assert!(
        matches!(plan.actions.as_slice(), [Action::SetSubscribers { change, .. }] if change.count() == 1),
        "{plan:?}"
    );
    assert_eq!(plan.totals().get("subscribers"), Some(&1));
    let mut three = world.clone();
    three.company.case.subscribers = people(&["jane@example.com", "joe@example.com", "jim@example.com"]);
    let plan = three.plan(Side::Company);
    assert_eq!((plan.actions.len(), plan.totals().get("subscribers")), (1, Some(&3)), "people are counted");
    assert!(world.plan(Side::Google).is_empty(), "they are the company's");
    assert_eq!(left_on(Side::Company, world.pair(), &world.rules, world.facts()), Remaining::Changes);

    let mut closed = world.clone();
    closed.set_closed(Side::Google, true);
    let is_of_people = |action: &Action| matches!(action, Action::SetSubscribers { .. });
    assert!(!closed.plan(Side::Company).actions.iter().any(is_of_people));

    let mut waits = world.clone();
    waits.mapping.state.subscribers_sent_at = Some(at(99));
    let plan = waits.plan(Side::Company);
    assert_eq!((plan.actions.len(), plan.waits.len()), (0, 1), "{plan:?}");
    waits.now = at(102);
    assert!(waits.plan(Side::Company).actions.iter().any(is_of_people));

    // What Google refused is not sent again for a day, unless others are to be sent.
    let refused = |at| {
        let wanted = ["jane@example.com".to_owned()].into();
        Some(Box::new(RefusedSubscribers { wanted, at }))
    };
    world.mapping.state.refused_subscribers = refused(at(50));
    assert!(world.plan(Side::Company).is_empty());
    world.mapping.state.refused_subscribers = refused(at(100) - Duration::days(1));
    assert!(!world.plan(Side::Company).is_empty());
    world.mapping.state.refused_subscribers = refused(at(50));
    world.company.case.subscribers = people(&["jane@example.com", "joe@example.com"]);
    assert!(!world.plan(Side::Company).is_empty());
    world.mapping.state.refused_subscribers = None;
    world.sync([Side::Company, Side::Google], 1);
    assert_eq!(world.google.case.subscribers, people(&["jane@example.com", "joe@example.com"]));
    assert!(world.plan(Side::Company).is_empty());
}

#[test]
fn comments_go_oldest_first_then_attachments_then_priority_then_title_then_status() {
    let mut world = World::new();
    world.google.comments.extend([comment("10", 5, "first"), comment("11", 6, "second")]);
    world.google.attachments.push(attachment("12", 1, "disk.log"));
    world.google.case.priority = PriorityReading::exactly(Priority::P0);
    world.google.case.title = "The disk is broken".to_owned();
    world.google.case.closed = true;
    let kinds: Vec<&str> = world
        .plan(Side::Google)
        .actions
        .iter()
        .map(|action| match action {
            Action::Comment(comment) if comment.body.ends_with("first") => "first",
            Action::Comment(_) => "second",
            Action::Attach { .. } => "attachment",
            Action::SetPriority { .. } => "priority",
            Action::SetTitle { .. } => "title",
            Action::AgreeOnPriority(_) => "agreed",
            Action::Close { .. } => "close",
            Action::Resolve(_) => "resolved",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(kinds, ["first", "second", "attachment", "priority", "title", "close", "resolved"]);
    world.google.case.title = "The disk is full".to_owned();
    assert!(world.plan(Side::Company).is_empty(), "the other direction has nothing to carry");
}

#[test]
fn each_switch_switches_off_its_own_thing() {
    let off = [
        ("comments", Switches { comments: false, ..RULES.switches }, "Comment("),
        ("attachments", Switches { attachments: false, ..RULES.switches }, "Attach {"),
        ("priority", Switches { priority: false, ..RULES.switches }, "Priority"),
        ("status", Switches { status: false, ..RULES.switches }, "Close {"),
        ("title", Switches { title: false, ..RULES.switches }, "SetTitle {"),
    ];
    let mut world = World::new();
    world.google.comments.push(comment("10", 5, "hello"));
    world.google.attachments.push(attachment("12", 1, "disk.log"));
    world.google.case.priority = PriorityReading::exactly(Priority::P0);
    world.google.case.title = "The disk is broken".to_owned();
    world.google.case.closed = true;
    let shown = |world: &World| {
        world.plan(Side::Google).actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>()
    };
    for (name, switches, what) in off {
        world.rules = RULES;
        assert!(shown(&world).iter().any(|action| action.contains(what)), "{name} is carried");
        world.rules.switches = switches;
        assert!(!shown(&world).iter().any(|action| action.contains(what)), "{name} is switched off");
    }
}

#[test]
fn internal_comments_and_attachments_stay_internal() {
    let mut world = World::new();
    let internal = Comment { visibility: Visibility::Internal, ..comment("20", 5, "between us") };
    let file = Attachment { visibility: Visibility::Internal, ..attachment("21", 5, "salaries.csv") };
    world.company.comments.push(internal);
    world.company.attachments.push(file);
    assert!(world.plan(Side::Company).is_empty());
    assert!(left_on(Side::Company, world.pair(), &world.rules, world.facts()) != Remaining::Changes);
    world.rules.comments_to_google = CommentsToGoogle::All;
    assert_eq!(world.plan(Side::Company).actions.len(), 2, "unless a person decides otherwise");
}

#[test]
fn a_marked_note_goes_to_google_without_its_mark_and_with_its_files() {
    let mut world = World::new();
    world.rules.comments_to_google = CommentsToGoogle::Marked;
    let internal =
        |id: &str, text: &str| Comment { visibility: Visibility::Internal, ..comment(id, 5, text) };
    world.company.comments.extend([
        internal("20", "#google: Look at the quota"),
        internal("21", "between us"),
        comment("22", 6, "#google to the requester"),
    ]);
    let file = |id: &str, of: Option<&str>| Attachment {
        comment: of.map(str::to_owned),
        ..attachment(id, 5, "disk.log")
    };
    let files = [("30", Some("20")), ("31", Some("21")), ("32", Some("22")), ("33", None)];
    world.company.attachments.extend(files.map(|(id, of)| file(id, of)));
    let plan = world.plan(Side::Company);
    let [Action::Comment(copy), Action::Attach { attachment, .. }] = plan.actions.as_slice() else {
        panic!("{plan:?}")
    };
    assert_eq!(copy.body.split_once('\n').unwrap().1, "Look at the quota");
    assert_eq!(attachment.id, "30");
    world.carry_out(&plan);
    assert!(world.plan(Side::Company).is_empty() && world.plan(Side::Google).is_empty());
}

#[test]
fn copies_arrive_with_the_configured_visibility() {
    let mut world = World::new();
    world.rules.comment_visibility = Visibility::Internal;
    world.google.comments.push(comment("10", 5, "hello"));
    let plan = world.plan(Side::Google);
    let Some(Action::Comment(copy)) = plan.actions.first() else { panic!("{plan:?}") };
    assert_eq!(copy.visibility, Visibility::Internal);
    world.carry_out(&plan);
    assert!(world.plan(Side::Company).is_empty(), "and never go back");
}

#[test]
fn a_person_who_quotes_a_marker_is_still_carried() {
    for by_connector in [Some(false), None] {
        for quoted in [
            "[Google Comment 10 by Ada]\nI agree.",
            "[Company Comment 20 by Ada]\nI agree.",
            texts::RESUMED,
            "This case is now syncing with Company Case: 10001",
        ] {
            let mut world = World::new();
            world.google.comments.push(comment("10", 5, "hello"));
            world.sync(Side::BOTH, 1);
            let quoting = Comment { by_connector, ..comment("20", 7, quoted) };
            world.company.comments.push(quoting);
            let plan = world.plan(Side::Company);
            assert_eq!(bodies(&plan), [format!("[Company Comment 20 by Ada]\n{quoted}")], "{by_connector:?}");
            world.carry_out(&plan);
            assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
        }
    }
}

#[test]
fn a_quotation_is_not_taken_for_a_copy_whose_answer_was_lost() {
    for by_connector in [Some(false), None] {
        let mut world = World::new();
        world.google.comments.push(comment("10", 5, "hello"));
        let marker = "[Google Comment 10 by Ada]";
        let digest = Some(texts::digest(&format!("{marker}\nhello")));
        let begun = Pending { digest, ..pending(Side::Company, of_comment("10"), marker, 90) };
        world.mapping.pending.push(begun);
        let quoted = "[Google Comment 10 by Ada]\n> hello\nI agree.";
        world.company.comments.push(Comment { by_connector, ..comment("20", 95, quoted) });
        world.sync([Side::Google, Side::Company], 1);
        let copies = |snapshot: &Snapshot, text: &str| {
            snapshot.comments.iter().filter(|comment| comment.body.ends_with(text)).count()
        };
        assert_eq!(copies(&world.company, "]\nhello"), 1, "the comment itself arrives: {by_connector:?}");
        assert_eq!(copies(&world.google, "I agree."), 1, "and so does the quotation: {by_connector:?}");
    }
}

#[test]
fn an_email_that_became_a_comment_after_it_was_carried_is_not_carried_again() {
    let mut world = World::new();
    world.google.comments.push(comment("email:5", 5, "The new one."));
    world.sync(Side::BOTH, 1);
    let copies = world.company.comments.len();
    world.google.comments.retain(|comment| comment.id != "email:5");
    let became = Comment { other_id: Some("email:5".to_owned()), ..comment("20", 6, "The new one.") };
    world.google.comments.push(became);
    world.sync(Side::BOTH, 1);
    assert_eq!(world.company.comments.len(), copies);
    assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
    // Nor once the feed is not read any more.
    world.google.comments.last_mut().unwrap().other_id = None;
    assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
    // One that was not carried yet arrives.
    let other = Comment { other_id: Some("email:6".to_owned()), ..comment("21", 7, "Thank you.") };
    world.google.comments.push(other);
    world.sync(Side::BOTH, 1);
    assert_eq!(world.company.comments.len(), copies + 1);
}

#[test]
fn a_comment_that_was_carried_stays_quiet_when_its_text_is_read_anew() {
    let typed = "[~accountid:5b1] {color:red}see{color} [the log|https://e.example/log]";
    let read = "@Jane Doe see the log (https://e.example/log)";
    let readings = [(typed.to_owned(), read.to_owned()), ("short".to_owned(), "longer ".repeat(2_000))];
    for (earlier, now) in readings {
        let mut world = World::new();
        world.company.comments.push(comment("20", 5, &earlier));
        world.sync(Side::BOTH, 1);
        let comments = &mut world.company.comments;
        comments[0].body.clone_from(&now);
        comments[0].earlier_body = Some(earlier);
        for comment in &mut world.google.comments {
            comment.by_connector = None;
        }
        // Known by ID.
        assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));

        // Version 0.1 recorded no number of parts.
        let mut old = world.clone();
        old.mapping.ledger = Ledger::default();
        for entry in world.mapping.ledger.entries() {
            old.mapping.ledger.record(Entry { parts: None, ..entry.clone() });
        }
        assert!(Side::BOTH.into_iter().all(|source| old.plan(source).is_empty()), "{now}");

        // The mapping was lost, so copies are known by their text.
        let mut lost = world.clone();
        lost.mapping.ledger = Ledger::default();
        lost.mapping.relinking = true;
        let plan = lost.plan(Side::Company);
        assert_eq!(bodies(&plan), Vec::<&str>::new(), "{now}");
        let copy =
            lost.google.comments.iter().find(|comment| comment.body.starts_with("[Company Comment")).unwrap();
        let is_found = |action: &Action| matches!(action, Action::Adopt(entry) if entry.id == copy.id);
        assert!(plan.actions.iter().any(is_found), "{plan:?}");
    }
}

#[test]
fn a_copy_that_someone_deleted_is_not_made_again() {
    let mut world = World::new();
    world.google.comments.push(comment("10", 5, "hello"));
    world.google.attachments.push(attachment("11", 5, "disk.log"));
    world.sync(Side::BOTH, 1);
    world.company.comments.clear();
    world.company.attachments.clear();
    assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
}

#[test]
fn a_write_whose_answer_was_lost_is_looked_for_before_it_is_repeated() {
    let marker = "[Google Comment 10 by Ada]";
    let mut waiting = World::new();
    waiting.google.comments.extend([comment("10", 5, "hello"), comment("11", 6, "again")]);
    waiting.mapping.pending.push(pending(Side::Company, of_comment("10"), marker, 99));

    // The copy exists: it is adopted, even if its line ends were changed.
    let mut found = waiting.clone();
    let copy = format!("{marker}\r\nhello\r\n");
    found.company.comments.push(Comment { by_connector: None, ..comment("20", 99, &copy) });
    let plan = found.plan(Side::Google);
    assert!(matches!(&plan.actions[0], Action::Adopt(entry) if entry.id == "20"), "{plan:?}");
    assert_eq!(bodies(&plan), ["[Google Comment 11 by Ada]\nagain"]);
    found.carry_out(&plan);
    assert!(Side::BOTH.into_iter().all(|source| found.plan(source).is_empty()));

    // The copy does not exist, but the write may still take effect: the sync waits, and later comments wait too.
    let plan = waiting.plan(Side::Google);
    assert_eq!((plan.actions.len(), plan.waits.len()), (0, 1));
    assert_eq!(left_on(Side::Google, waiting.pair(), &waiting.rules, waiting.facts()), Remaining::Changes);

    // Also if the original was deleted meanwhile: its copy may still arrive.
    let mut deleted = waiting.clone();
    deleted.google.comments.retain(|comment| comment.id != "10");
    let plan = deleted.plan(Side::Google);
    assert_eq!((plan.actions.len(), plan.waits.len()), (0, 1));

    // The in-flight window is over without a copy: the comment is written again.
    waiting.now = at(101);
    assert_eq!(bodies(&waiting.plan(Side::Google)).len(), 2);

    // The original is gone: the write-ahead record is dropped.
    waiting.google.comments.retain(|comment| comment.id != "10");
    let plan = waiting.plan(Side::Google);
    assert!(matches!(&plan.actions[0], Action::Forget(_)), "{plan:?}");
    assert_eq!(bodies(&plan), ["[Google Comment 11 by Ada]\nagain"]);
}

fn skipped(id: &str) -> Skipped {
    let (by, reason) = ("admin".to_owned(), "not for Google".to_owned());
    Skipped { side: Side::Company, id: id.to_owned(), since: at(60), by, reason }
}

/// A record stays as long as its write may be repeated. It is dropped once its in-flight window is over and nothing would write it again.
#[test]
fn the_record_of_what_is_not_carried_any_more_is_dropped() {
    type Change = fn(&mut World);
    let keeps: [(&str, Change, bool); 7] = [
        ("nothing has changed", |_| {}, false),
        (
            "the comment is internal by now",
            |world| world.company.comments[0].visibility = Visibility::Internal,
            true,
        ),
        ("a shorter text has fewer parts", |world| world.company.comments[0].body = "short".to_owned(), true),
        ("a person skipped it", |world| assert!(world.mapping.state.skip(skipped("20"))), true),
        ("comments are not carried", |world| world.rules.switches.comments = false, true),
        ("files are not carried", |world| world.rules.switches.attachments = false, true),
        (
            "the file is internal by now",
            |world| world.company.attachments[0].visibility = Visibility::Internal,
            true,
        ),
    ];
    for (what, change, is_dropped) in keeps {
        let mut world = World::new();
        world.company.comments.push(comment("20", 5, &"All work and no play. ".repeat(1_500)));
        world.company.attachments.push(attachment("21", 5, "disk.log"));
        let file = Source::Attachment { id: "21".to_owned() };
        let part = Source::Comment { id: "20".to_owned(), part: 2 };
        let pendings = [
            pending(Side::Google, part, "[Company Comment 20 by Ada (2/3)]", 50),
            Pending { size: Some(7), ..pending(Side::Google, file, "disk.log", 50) },
        ];
        world.mapping.pending.extend(pendings);
        change(&mut world);
        let plan = world.plan(Side::Company);
        let dropped = plan.actions.iter().filter(|action| matches!(action, Action::Forget(_))).count();
        assert_eq!(dropped, usize::from(is_dropped), "{what}: {plan:?}");
    }
}

/// A priority that was set without an answer may still arrive, would overwrite a later one, and look like a person's change.
#[test]
fn a_priority_whose_answer_was_lost_is_waited_for() {
    let mut world = World::new();
    world.google.case.priority = PriorityReading::exactly(Priority::P0);
    world.mapping.state.told_priority.company = Some(Priority::P4);
    world.mapping.state.priority_sent_at.company = Some(at(99));
    let plan = world.plan(Side::Google);
    assert_eq!((plan.actions.len(), plan.waits.len()), (0, 1), "{plan:?}");

    let set = |plan: &Plan| {
        let is_it = |action: &Action| {
            matches!(action, Action::SetPriority { side: Side::Company, priority: Priority::P0 })
        };
        plan.waits.is_empty() && plan.actions.iter().any(is_it)
    };
    let mut arrived = world.clone();
    arrived.company.case.priority = PriorityReading::exactly(Priority::P4);
    assert!(set(&arrived.plan(Side::Google)), "it has arrived");
    world.now = at(101);
    assert!(set(&world.plan(Side::Google)), "its in-flight window is over");
}

#[test]
fn an_upload_whose_answer_was_lost_is_recognised_by_name_and_size() {
    for (filename, size, by_connector, adopted) in [
        ("disk.log", Some(7), None, true),
        ("disk.log", Some(7), Some(true), true),
        ("disk.log", None, None, true),
        ("disk.log", Some(8), None, false),
        ("other.log", Some(7), None, false),
        ("disk.log", Some(7), Some(false), false),
    ] {
        let mut world = World::new();
        world.google.attachments.push(attachment("11", 5, "disk.log"));
        let source = Source::Attachment { id: "11".to_owned() };
        let begun = Pending { size: Some(7), ..pending(Side::Company, source, "disk.log", 50) };
        world.mapping.pending.push(begun);
        let there = Attachment { size, by_connector, ..attachment("21", 51, filename) };
        world.company.attachments.push(there);
        let plan = world.plan(Side::Google);
        let adopts = plan.actions.iter().any(|action| matches!(action, Action::Adopt(_)));
        assert_eq!(adopts, adopted, "{filename} {size:?} {by_connector:?}");
        let attaches = plan.actions.iter().any(|action| matches!(action, Action::Attach { .. }));
        assert_eq!(attaches, !adopted, "{filename} {size:?} {by_connector:?}");
    }
}

/// A file that may be the result of a lost upload, and that cannot be read yet, is neither adopted nor uploaded again; all else goes on.
#[test]
fn an_upload_waits_for_a_comparison_that_is_not_possible_yet_and_nothing_else_does() {
    for relinking in [false, true] {
        let mut world = World::new();
        let original = attachment("11", 5, "disk.log");
        let candidate = Attachment { by_connector: Some(true), ..attachment("21", 51, "disk.log") };
        world.google.attachments = vec![original.clone(), attachment("12", 6, "other.log")];
        world.google.comments.push(comment("5", 60, "hello"));
        world.company.attachments.push(candidate.clone());
        world.mapping.relinking = relinking;
        let source = Source::Attachment { id: "11".to_owned() };
        let begun = Pending { size: Some(7), ..pending(Side::Company, source, "disk.log", 50) };
        let found = Lookalike { side: Side::Company, candidate: &candidate, original: &original };
        assert!(found.may_be_left_by(&begun));
        let other = Source::Attachment { id: "12".to_owned() };
        assert!(!found.may_be_left_by(&Pending { source: other, ..begun.clone() }));
        assert!(!found.may_be_left_by(&Pending { side: Side::Google, ..begun.clone() }));
        assert!(!found.may_be_left_by(&Pending { size: Some(8), ..begun.clone() }));
        world.known_different.note_uncompared(found, "not found".to_owned());
        world.mapping.pending.push(begun);
        let plan = world.plan(Side::Google);
        assert!(
            plan.waits.iter().any(|wait| wait.reason.contains("cannot be compared")),
            "{relinking}: {plan:?}"
        );
        let adopts =
            |action: &Action| matches!(action, Action::Adopt(entry) if entry.kind == ItemKind::Attachment);
        assert!(!plan.actions.iter().any(adopts), "{relinking}: {plan:?}");
        let files = plan.actions.iter().filter_map(|action| match action {
            Action::Attach { attachment, .. } => Some(attachment.id.as_str()),
            _ => None,
        });
        assert_eq!(files.collect::<Vec<_>>(), ["12"], "{relinking}");
        assert!(
            plan.actions.iter().any(|action| matches!(action, Action::Comment(_))),
            "{relinking}: {plan:?}"
        );
        let back = world.plan(Side::Company);
        assert!(!back.actions.iter().any(|action| matches!(action, Action::Attach { .. })), "{relinking}");
    }
}

/// The two files cannot be compared with the original, which was deleted. The older one existed before the write and is a person's.
#[test]
fn of_files_that_cannot_be_told_apart_the_newest_is_what_a_lost_answer_left() {
    let mut world = World::new();
    let source = Source::Attachment { id: "11".to_owned() };
    let begun = Pending { size: Some(7), ..pending(Side::Company, source, "disk.log", 50) };
    world.mapping.pending.push(begun);
    for (id, minute) in [("21", 49), ("22", 51)] {
        let there = Attachment { by_connector: None, ..attachment(id, minute, "disk.log") };
        world.company.attachments.push(there);
    }
    let plan = world.plan(Side::Company);
    assert!(matches!(&plan.actions[0], Action::Adopt(entry) if entry.id == "22"), "{plan:?}");
    let carried = plan.actions.iter().find_map(|action| match action {
        Action::Attach { attachment, .. } => Some(attachment.id.as_str()),
        _ => None,
    });
    assert_eq!(carried, Some("21"), "{plan:?}");
}

#[test]
fn the_status_is_merged_three_ways() {
    // Columns: resolved before; side whose reopening was refused before; Google closed; company closed
    // → actions of a sync of Google; actions of a sync of the company.
    for (resolved, refused, google, company, google_plan, company_plan) in [
        (false, "", false, false, "", ""),
        (false, "", true, false, "close company, resolve", ""),
        (false, "", false, true, "", "close google, resolve"),
        (false, "", true, true, "resolve", "resolve"),
        (true, "", true, true, "", ""),
        (true, "google", true, true, "forget refusal", "forget refusal"),
        (true, "company", true, true, "forget refusal", "forget refusal"),
        (true, "", false, true, "reopen company, unresolve", ""),
        // The notice that the workflow cannot reopen was sent (R19): not tried again until both are closed or open.
        (true, "google", false, true, "", ""),
        // The company's reopening was refused and a person closed it again. Now Google's case was reopened, which is a new change.
        (true, "company", false, true, "reopen company, unresolve", ""),
        (true, "", false, false, "unresolve", "unresolve"),
        (true, "", true, false, "", "tell company, remember refusal"),
        (true, "company", true, false, "", ""),
        (true, "google", true, false, "", "tell company, remember refusal"),
    ] {
        let mut world = World::new();
        world.facts.google.reopen = false;
        world.mapping.resolved_at = resolved.then(|| at(50));
        world.mapping.state.agreed_closed = Some(resolved);
        world.mapping.reopen_refused = Sides { google: refused == "google", company: refused == "company" };
        world.google.case.closed = google;
        world.company.case.closed = company;
        for (source, expected) in [(Side::Google, google_plan), (Side::Company, company_plan)] {
            assert_eq!(
                status_actions(&world.plan(source)),
                expected,
                "{source}: {resolved} {refused} google {google} company {company}"
            );
        }
    }
}

/// A relinked pair has no base (R30): no case is closed, and an open case counts as reopened.
#[test]
fn without_a_base_the_open_case_wins() {
    // Columns: side whose reopening was refused before; Google closed; closing of the company's case; the two plans.
    for (refused, google, company, google_plan, company_plan) in [
        ("", false, None, "", ""),
        ("", true, Some(Closing::Closed), "resolve", "resolve"),
        ("", false, Some(Closing::Closed), "reopen company, unresolve", ""),
        ("", true, None, "", "tell company, remember refusal"),
        ("company", true, None, "", ""),
        ("google", false, Some(Closing::Closed), "", ""),
        // The refusal does not apply any more.
        ("company", false, None, "unresolve", "unresolve"),
        ("company", true, Some(Closing::Closed), "resolve, forget refusal", "resolve, forget refusal"),
        // A person closed the company's case in another way (R32).
        ("", false, Some(Closing::Duplicate), "", "tell google"),
    ] {
        let mut world = World::new();
        world.facts.google.reopen = false;
        world.mapping.state.agreed_closed = None;
        world.mapping.reopen_refused = Sides { google: refused == "google", company: refused == "company" };
        world.google.case.closed = google;
        world.company.case.closed = company.is_some();
        world.company.case.closing = company;
        for (source, expected) in [(Side::Google, google_plan), (Side::Company, company_plan)] {
            assert_eq!(
                status_actions(&world.plan(source)),
                expected,
                "{source}: {refused} google {google} company {company:?}"
            );
        }
    }
}

/// Returns the actions of a plan about the status in words.
fn status_actions(plan: &Plan) -> String {
    let shown = plan.actions.iter().map(|action| match action {
        Action::Close { side } => format!("close {side}"),
        Action::Reopen { side } => format!("reopen {side}"),
        Action::Resolve(_) => "resolve".to_owned(),
        Action::Unresolve => "unresolve".to_owned(),
        Action::ForgetStatus => "forget the write".to_owned(),
        Action::RefusedReopening(Some(_)) => "remember refusal".to_owned(),
        Action::RefusedReopening(None) => "forget refusal".to_owned(),
        Action::Comment(comment) => format!("tell {}", comment.side),
        other => panic!("{other:?}"),
    });
    shown.chain(plan.waits.iter().map(|_| "wait".to_owned())).collect::<Vec<_>>().join(", ")
}

/// A change of status by the connector whose answer was lost is not taken for a change by a person.
#[test]
fn what_a_change_of_status_without_an_answer_left_is_no_persons_doing() {
    use Side::{Company, Google};
    // Columns: resolved; the pending change: side, true for closing, age in minutes; Google closed; company closed; the two plans.
    for (resolved, (side, close, ago), google, company, google_plan, company_plan) in [
        // The change took effect, and nothing was changed since.
        (false, (Company, true, 1), true, true, "resolve", "resolve"),
        (true, (Company, false, 1), false, false, "unresolve", "unresolve"),
        // The change took effect, and a person has undone the change that it copied.
        (false, (Company, true, 1), false, true, "resolve, reopen company, unresolve", "resolve"),
        (false, (Google, true, 1), true, false, "resolve", "resolve, tell company, remember refusal"),
        (true, (Company, false, 1), true, false, "unresolve, close company, resolve", "unresolve"),
        // The change did not take effect, or not yet: it is tried again.
        (false, (Company, true, 1), true, false, "close company, resolve", ""),
        (true, (Company, false, 1), false, true, "reopen company, unresolve", ""),
        // The change did not take effect so far, and a person has undone the change that was to be copied.
        (false, (Company, true, 1), false, false, "wait", "wait"),
        (true, (Company, false, 1), true, true, "wait", "wait"),
        (false, (Company, true, 30), false, false, "forget the write", "forget the write"),
        (true, (Company, false, 30), true, true, "forget the write", "forget the write"),
        // The change took effect and was undone; only the record is left.
        (true, (Google, true, 1), true, true, "forget the write", "forget the write"),
    ] {
        let mut world = World::new();
        world.facts.google.reopen = false;
        world.mapping.resolved_at = resolved.then(|| at(50));
        world.mapping.state.agreed_closed = Some(resolved);
        let attempted_at = world.now - Duration::minutes(ago);
        world.mapping.pending_status = Some(PendingStatus { side, closed: close, attempted_at });
        world.google.case.closed = google;
        world.company.case.closed = company;
        for (source, expected) in [(Side::Google, google_plan), (Side::Company, company_plan)] {
            assert_eq!(
                status_actions(&world.plan(source)),
                expected,
                "{source}: {resolved} {side} {close} {ago} google {google} company {company}"
            );
        }
    }
}

#[test]
fn googles_state_is_shown_by_a_sync_of_either_side_and_never_goes_back() {
    let rule = |status: &str| StatusRule { status: status.to_owned(), incompatible: Vec::new() };
    for source in Side::BOTH {
        let mut world = World::new();
        world.rules.statuses = [
            (GoogleState::New, rule("Waiting for Google")),
            (GoogleState::ActionRequired, rule("Waiting for us")),
        ]
        .into_iter()
        .collect();
        world.google.case.state = Some(GoogleState::New);
        world.company.case.status = vec!["Open".to_owned()];
        world.company.case.state_text = Some(String::new());
        let plan = world.plan(source);
        world.carry_out(&plan);
        assert_eq!(world.company.case.status, ["Open"], "the first reading is only remembered");
        assert_eq!(world.company.case.state_text.as_deref(), Some("New at Google (new)"));
        world.google.case.state = Some(GoogleState::ActionRequired);
        let plan = world.plan(source);
        assert_eq!(plan.totals(), [("statuses".to_owned(), 1), ("states".to_owned(), 1)].into());
        assert!(!plan.carries_changes() && !plan.changes_status());
        for side in Side::BOTH {
            assert_ne!(left_on(side, world.pair(), &world.rules, world.facts()), Remaining::Changes);
        }
        world.carry_out(&plan);
        assert_eq!(world.company.case.status, ["Waiting for us"]);
        assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
        // A person changes both. Neither is a change for Google, nor for the connector.
        world.company.case.status = vec!["On hold".to_owned()];
        world.company.case.state_text = Some("ask Joe".to_owned());
        assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
        // Google closes: the text comes before the closing, after which the case may take none.
        world.google.case.state = Some(GoogleState::Closed);
        world.google.case.closed = true;
        let plan = world.plan(Side::Google);
        let place = |is_it: fn(&Action) -> bool| plan.actions.iter().position(is_it).unwrap();
        assert!(
            place(|action| matches!(action, Action::ShowState(_)))
                < place(|action| matches!(action, Action::Close { .. }))
        );
        world.carry_out(&plan);
        assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
        // Google's support opens it again: the company case is opened first, and its status compared by the next sync.
        world.google.case.state = Some(GoogleState::ActionRequired);
        world.google.case.closed = false;
        let plan = world.plan(Side::Google);
        assert!(!plan.actions.iter().any(|action| matches!(action, Action::SetStatus { .. })), "{plan:?}");
        world.carry_out(&plan);
        world.company.case.status = vec!["Reopened".to_owned()];
        world.sync(Side::BOTH, 1);
        assert_eq!(world.company.case.status, ["Waiting for us"]);
        // One that takes no change at all is left alone.
        world.google.case.state = Some(GoogleState::New);
        let read_only = casebridge::entities::ReadOnly { since: at(90), tried_at: at(90), told: true };
        world.mapping.state.read_only.company = Some(read_only);
        assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
    }
}

#[test]
fn an_unflagged_case_is_left_alone_until_its_flag_is_back() {
    let mut world = World::new();
    world.google.comments.push(comment("10", 5, "hello"));
    world.company.comments.push(comment("20", 5, "hello"));
    world.company.case.synchronize = false;
    for paused in [false, true] {
        world.mapping.paused = paused;
        assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
    }
    world.company.case.synchronize = true;
    world.sync(Side::BOTH, 1);
    assert!(!world.mapping.paused);
    assert_eq!((world.google.comments.len(), world.company.comments.len()), (3, 2), "nothing is missing");
}

#[test]
fn a_comment_of_40000_characters_arrives_whole() {
    let mut world = World::new();
    let body = "All work and no play makes Jack a dull boy. ".repeat(910);
    world.company.comments.push(comment("20", 5, &body));
    world.sync(Side::BOTH, 1);
    let copies: Vec<&str> = world.google.comments[1..].iter().map(|copy| copy.body.as_str()).collect();
    assert_eq!(copies.len(), 4);
    let parts: String =
        copies.iter().filter_map(|copy| copy.split_once('\n')).map(|(_, part)| part).collect();
    assert_eq!(parts, body);
    assert!(Side::BOTH.into_iter().all(|source| world.plan(source).is_empty()));
}

#[test]
fn a_pair_that_was_found_adopts_what_reads_like_a_copy() {
    let mut world = World::new();
    world.google.comments.extend([comment("10", 5, "hello"), comment("11", 6, &"long ".repeat(5_000))]);
    world.company.comments.push(comment("20", 7, "answer"));
    world.google.attachments.push(attachment("12", 8, "disk.log"));
    world.sync(Side::BOTH, 1);
    // The mapping is lost, and authors cannot be told apart. A person has a new display name, and clocks differ.
    let skewed = |at: Option<DateTime<Utc>>| at.map(|at| at - Duration::minutes(4));
    for comment in world.google.comments.iter_mut().chain(&mut world.company.comments) {
        comment.by_connector = None;
        if comment.author == "Ada" && !comment.body.starts_with('[') {
            "Ada King".clone_into(&mut comment.author);
        }
    }
    for file in world.google.attachments.iter_mut().chain(&mut world.company.attachments) {
        file.by_connector = None;
    }
    for comment in &mut world.company.comments {
        comment.created_at = skewed(comment.created_at);
    }
    // The original of a copy is gone.
    world.google.comments.retain(|comment| comment.id != "10");
    for file in &mut world.company.attachments {
        file.created_at = skewed(Some(at(8)));
    }
    let fresh = World::new().mapping;
    world.mapping = CaseMapping {
        relinking: true,
        ledger: casebridge::entities::Ledger::default(),
        created_at: at(200),
        ..fresh
    };
    let before = (world.google.comments.len(), world.company.comments.len());
    world.sync(Side::BOTH, 1);
    assert_eq!((world.google.comments.len(), world.company.comments.len()), before);
    assert_eq!((world.google.attachments.len(), world.company.attachments.len()), (1, 1));
}

/// The name in the header of a copy may read like the number of a part, as version 0.1 wrote it.
#[test]
fn a_copy_by_an_author_who_is_called_like_a_part_is_copied_once() {
    for by_connector in [Some(true), None] {
        let mut world = World::new();
        let mut said = comment("10", 5, "Hello there");
        "Jane (2/3)".clone_into(&mut said.author);
        world.google.comments.push(said);
        let mut copy = comment("20", 6, "[Google Comment 10 by Jane (2/3)]\nHello there");
        copy.by_connector = by_connector;
        world.company.comments.push(copy);
        world.mapping.relinking = true;
        world.sync(Side::BOTH, 1);
        assert_eq!((world.google.comments.len(), world.company.comments.len()), (2, 1), "{by_connector:?}");
    }
}

/// Copies are recognised by author if the system does not say who wrote them: by the name on a comment that is known by its ID, unless a
/// person has that name as well.
#[test]
fn copies_are_known_by_their_author_when_all_is_read_again() {
    for shared in [false, true] {
        let mut world = World::new();
        let by =
            |author: &str, item: Comment| Comment { author: author.to_owned(), by_connector: None, ..item };
        let said = std::mem::take(&mut world.google.comments);
        world.google.comments = said.into_iter().map(|notice| by("casebridge", notice)).collect();
        // The original was edited; and a person quotes a header.
        world.company.comments.push(comment("20", 5, "new words"));
        world.google.comments.extend([
            by("casebridge", comment("30", 6, "[Company Comment 20 by Ada]\nolder words")),
            by("Jane", comment("31", 7, "[Company Comment 99 by Ada]\nquoted")),
        ]);
        if shared {
            world.google.comments.push(by("casebridge", comment("32", 8, "I use this account as well.")));
        }
        // Its original was deleted.
        world.google.attachments.push(Attachment {
            author: "casebridge".to_owned(),
            by_connector: None,
            ..attachment("50", 9, "disk.log")
        });
        world.mapping.relinking = true;
        world.mapping.state.looks_again = true;
        world.sync(Side::BOTH, 1);
        let (google, company) = (&world.google, &world.company);
        let found = (google.comments.len(), company.comments.len(), company.attachments.len());
        assert_eq!(found, if shared { (5, 4, 1) } else { (3, 2, 0) }, "shared: {shared}");
    }
}

/// Generates pairs in any state that people can bring about, with systems of any kind.
fn worlds() -> impl Strategy<Value = World> {
    let text = prop_oneof![
        3 => "[a-z ]{1,40}",
        1 => "[a-z ]{400,900}",
        1 => Just("[Google Comment 10 by Ada]\nquoted".to_owned()),
        1 => Just(texts::RESUMED.to_owned()),
        1 => "\\PC{0,80}",
    ];
    let comments = || proptest::collection::vec((text.clone(), 0..60_i64, any::<bool>()), 0..6);
    let files = || proptest::collection::vec(("[a-c]\\.log", 0..60_i64, any::<bool>()), 0..4);
    let side = || (comments(), files(), 0..5_usize, any::<bool>());
    let facts = || (any::<bool>(), any::<bool>(), any::<bool>(), 300..600_usize);
    let people = || {
        let some = proptest::sample::select(&["a@example.com", "b@example.com", "c@example.com"][..]);
        proptest::option::of(proptest::collection::btree_set(some, 0..3))
    };
    let people = (people(), people());
    (side(), side(), facts(), facts(), any::<bool>(), any::<bool>(), people).prop_map(
        |(google, company, google_facts, company_facts, resolved, paused, people)| {
            let mut world = World::new();
            let addresses =
                |all: std::collections::BTreeSet<&str>| all.into_iter().map(str::to_owned).collect();
            world.google.case.subscribers = people.0.map(addresses);
            world.company.case.subscribers = people.1.map(addresses);
            world.mapping.paused = paused;
            world.mapping.resolved_at = resolved.then(|| at(40));
            world.mapping.state.agreed_closed = Some(resolved);
            for (side, (comments, files, priority, closed)) in
                [(Side::Google, google), (Side::Company, company)]
            {
                let snapshot = world.snapshot(side);
                for ((body, minute, internal), id) in comments.into_iter().zip(10..) {
                    let mut comment = comment(&id.to_string(), minute, &body);
                    if internal && side == Side::Company {
                        comment.visibility = Visibility::Internal;
                    }
                    snapshot.comments.push(comment);
                }
                for ((name, minute, internal), id) in files.into_iter().zip(50..) {
                    let mut file = attachment(&id.to_string(), minute, &name);
                    if internal && side == Side::Company {
                        file.visibility = Visibility::Internal;
                    }
                    snapshot.attachments.push(file);
                }
                snapshot.case.priority = PriorityReading::exactly(Priority::ALL[priority]);
                snapshot.case.closed = closed;
                let content = Content {
                    comments: snapshot.comments.clone(),
                    attachments: snapshot.attachments.clone(),
                };
                let rebuilt = Snapshot::new(snapshot.case.clone(), content, None);
                *snapshot = rebuilt;
            }
            for (side, (reopen, comment_when_closed, control_characters, limit)) in
                [(Side::Google, google_facts), (Side::Company, company_facts)]
            {
                let facts = &mut world.facts[side];
                facts.reopen = reopen;
                facts.comment_when_closed = comment_when_closed;
                facts.control_characters = control_characters;
                facts.comment_limit = TextLimit::utf16_units(limit);
            }
            world
        },
    )
}

proptest! {
    #[test]
    fn a_plan_that_was_carried_out_leaves_nothing_to_do(world in worlds(), google_first in any::<bool>()) {
        let mut world = world;
        let order = if google_first { [Side::Google, Side::Company] } else { [Side::Company, Side::Google] };
        // Twice, because one direction may have to follow a change of the other, such as the status.
        world.sync(order, 2);
        for source in order {
            let plan = world.plan(source);
            prop_assert!(plan.is_empty(), "{source}: {plan:?}");
            prop_assert!(left_on(source, world.pair(), &world.rules, world.facts()) != Remaining::Changes);
        }
        let google_closed = world.google.case.closed;
        prop_assert!(
            google_closed == world.company.case.closed || world.mapping.reopen_refused != Sides::default(),
            "one is closed, the other is not"
        );
        let shared = |snapshot: &Snapshot| snapshot.case.priority.clone();
        prop_assert_eq!(shared(&world.google), shared(&world.company));
        for comment in world.company.comments.iter().filter(|comment| comment.by_connector == Some(false)) {
            if comment.visibility == Visibility::Internal && !comment.body.trim().is_empty() {
                let marker = format!("[Company Comment {} ", comment.id);
                prop_assert!(!world.google.comments.iter().any(|copy| copy.body.starts_with(&marker)));
            }
        }
    }

    #[test]
    fn the_order_in_which_listings_return_things_does_not_matter(world in worlds(), seed in any::<u64>()) {
        let mut shuffled = world.clone();
        for side in Side::BOTH {
            let snapshot = shuffled.snapshot(side);
            let key = |id: &str| id.bytes().fold(seed, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(17)
            });
            snapshot.comments.sort_by_key(|comment| key(&comment.id));
            snapshot.attachments.sort_by_key(|attachment| key(&attachment.id));
            let repeated = snapshot.comments.first().cloned();
            snapshot.comments.extend(repeated);
            let content =
                Content { comments: snapshot.comments.clone(), attachments: snapshot.attachments.clone() };
            *snapshot = Snapshot::new(snapshot.case.clone(), content, None);
        }
        for source in Side::BOTH {
            prop_assert_eq!(world.plan(source), shuffled.plan(source));
        }
    }

    #[test]
    fn a_process_that_dies_after_any_action_loses_and_doubles_nothing(world in worlds(), stop in 0..12_usize) {
        let mut whole = world.clone();
        whole.sync(Side::BOTH, 2);
        let mut cut = world;
        let plan = cut.plan(Side::Google);
        for action in plan.actions.iter().take(stop) {
            cut.act(action);
        }
        cut.sync(Side::BOTH, 2);
        let texts = |snapshot: &Snapshot| {
            let mut texts: Vec<String> =
                snapshot.comments.iter().map(|comment| comment.body.clone()).collect();
            texts.sort();
            texts
        };
        prop_assert_eq!(texts(&whole.google), texts(&cut.google));
        prop_assert_eq!(texts(&whole.company), texts(&cut.company));
        prop_assert_eq!(whole.google.attachments.len(), cut.google.attachments.len());
        prop_assert_eq!(whole.company.attachments.len(), cut.company.attachments.len());
    }
}

#[test]
fn a_long_comment_that_has_arrived_gets_no_further_parts() {
    let mut world = World::new();
    world.company.comments.push(comment("10", 10, &"All work and no play. ".repeat(1_500)));
    world.facts.google.comment_limit = TextLimit::code_points(12_800);
    world.sync([Side::Company, Side::Google], 1);
    let arrived = world.google.comments.len();
    assert!(arrived >= 3, "{arrived}");
    // First the author is renamed, then the comment is edited.
    let changes: [fn(&mut Comment); 2] = [
        |comment| comment.author = "Jane Elizabeth Roe-Featherstonehaugh".to_owned(),
        |comment| comment.body = "All work and no play. ".repeat(3_000),
    ];
    for change in changes {
        world.company.comments.iter_mut().filter(|comment| comment.id == "10").for_each(change);
        assert_eq!(world.plan(Side::Company), Plan::default());
    }
    assert_eq!(world.google.comments.len(), arrived);
}
