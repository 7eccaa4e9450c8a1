//! Dry run of a task: the task's own code over parts that keep every effect to themselves. What is written to the store stays in a view of
//! it, what is queued in a list, and the systems are only read. So a dry run cannot act, whichever way a task takes.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use futures_util::{StreamExt as _, stream};
use serde_json::{Map, Value, json};

use super::sync_case::{self, Request};
use super::{Caller, Deps, Mode, Pacer, Task, TaskKind, TaskReport, Unchanged};
use crate::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check,
    Closing, Comment, Content, CredentialEnd, Details, Download, Finding, Found, Needs, NewAttachment,
    NewCase, NewComment, Placement, PlacementError, SeenScopes, Statuses, Sweep, Wanted, Written,
};
use crate::entities::{
    CaseMapping, CompanyCaseId, EscalationReason, FirstSeen, GoogleCaseName, GooglePlacement, Priority, Side,
    Sides,
};
use crate::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use crate::store::OverlayStore;
use crate::sync::Totals;
use crate::telemetry::Metrics;

/// Number of syncs that a dry run of a poll plans; the rest are only named.
const MOST_PLANNED: usize = 100;
/// Number of syncs that are planned concurrently.
const AT_ONCE: usize = 4;

/// Parts of a dry run, and what was done to them.
pub(super) struct Rehearsal {
    pub(super) deps: Deps,
    store: Arc<OverlayStore>,
    queue: Arc<Recorder>,
    notices: Arc<Mutex<Vec<Value>>>,
}

impl Rehearsal {
    /// Puts a view, a list and a guard in front of the parts.
    pub(super) fn of(deps: &Deps) -> Self {
        let store = Arc::new(OverlayStore::new(Arc::clone(&deps.store)));
        let queue =
            Arc::new(Recorder { syncs_per_minute: deps.queue.syncs_per_minute(), ..Recorder::default() });
        let notices = Arc::default();
        let system = |side: Side| -> Arc<dyn CaseSystem> {
            Arc::new(Watched { system: Arc::clone(&deps.systems[side]), notices: Arc::clone(&notices) })
        };
        let deps = Deps {
            clock: Arc::clone(&deps.clock),
            store: Arc::<OverlayStore>::clone(&store),
            queue: Arc::<Recorder>::clone(&queue),
            systems: Sides { google: system(Side::Google), company: system(Side::Company) },
            settings: deps.settings.clone(),
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            // A dry run counts for nothing.
            metrics: Metrics::shared(),
            stop: deps.stop.clone(),
        };
        Self { deps, store, queue, notices }
    }

    /// Adds to the report what the task would have done.
    pub(super) async fn tell(&self, report: TaskReport, task: &Task, holder: &str) -> TaskReport {
        let report = report.with("dry_run", true);
        match task {
            Task::PollGoogle | Task::PollCompany => {
                let (cases, totals, not_planned) = self.planned(holder).await;
                let report = report.showing("totals", totals).showing("cases", cases);
                if not_planned.is_empty() { report } else { report.showing("not_planned", not_planned) }
            }
            Task::DetectOutages => {
                let notices = lock(&self.notices).clone();
                let syncs: Vec<String> = lock(&self.queue.tasks)
                    .iter()
                    .filter_map(|task| Some(case_of(task)?.id().to_owned()))
                    .collect();
                report.showing("notices", notices).showing("syncs", syncs)
            }
            Task::Cleanup => {
                let named = |mapping: &CaseMapping| {
                    json!({
                        "mapping": mapping.id,
                        "google_case_name": mapping.google_case_name,
                        "company_case_id": mapping.company_case_id,
                        "resolved_at": mapping.resolved_at,
                    })
                };
                let deleted: Vec<Value> = self.store.deleted().await.iter().map(named).collect();
                report.showing("mappings", deleted)
            }
            // Its plan says everything.
            Task::SyncGoogleCase(_) | Task::SyncCompanyCase(_) => report,
        }
    }

    /// Plans the syncs that were queued, the most urgent first, for half of the time that a task may run. Returns each case with its plan,
    /// the sums over all of them, and the cases that were not planned.
    async fn planned(&self, holder: &str) -> (Vec<Value>, Totals, Vec<String>) {
        let began = tokio::time::Instant::now();
        let enough = self.deps.settings.deadline / 2;
        let mut known = HashSet::new();
        let queued = lock(&self.queue.tasks).clone();
        let cases = queued.iter().filter_map(case_of).filter(|case| known.insert(case.id().to_owned()));
        let cases: Vec<FirstSeen> = cases.collect();
        let plan = |(rank, case): (usize, FirstSeen)| async move {
            if rank >= MOST_PLANNED || began.elapsed() >= enough {
                return Err(case.id().to_owned());
            }
            Ok(self.plan_of(case, holder).await)
        };
        let mut planned = stream::iter(cases.into_iter().enumerate().map(plan)).buffered(AT_ONCE);
        let (mut told, mut totals, mut not_planned) = (Vec::new(), Totals::new(), Vec::new());
        while let Some(plan) = planned.next().await {
            match plan {
                Ok((case, of_case)) => {
                    told.push(case);
                    for (what, count) in of_case {
                        *totals.entry(what).or_default() += count;
                    }
                }
                Err(case) => not_planned.push(case),
            }
        }
        (told, totals, not_planned)
    }

    /// Returns the plan of one sync, as JSON for people.
    async fn plan_of(&self, case: FirstSeen, holder: &str) -> (Value, Totals) {
        let (side, id) = (case.side(), case.id().to_owned());
        let kind = match side {
            Side::Google => TaskKind::SyncGoogleCase,
            Side::Company => TaskKind::SyncCompanyCase,
        };
        let request = Request {
            case,
            holder,
            caller: Caller::Queue,
            mode: Mode::DryRun,
            hinted: false,
            found_busy_at: None,
        };
        let report = sync_case::run(&self.deps, kind, &request).await;
        let mut told = Map::new();
        told.insert("side".to_owned(), json!(side.name()));
        told.insert("case".to_owned(), report.shown.get("case").cloned().unwrap_or_else(|| json!(id)));
        for name in ["title", "plan", "subscribers"] {
            told.extend(report.shown.get(name).map(|value| (name.to_owned(), value.clone())));
        }
        told.extend(report.detail.map(|detail| ("detail".to_owned(), json!(detail))));
        let totals: Totals = report
            .shown
            .get("totals")
            .and_then(|totals| serde_json::from_value(totals.clone()).ok())
            .unwrap_or_default();
        (Value::Object(told), totals)
    }
}

/// Returns the case that a queued sync names.
fn case_of(task: &QueuedTask) -> Option<FirstSeen> {
    let named = |field: &str| task.body.get(field)?.as_str();
    match task.kind {
        TaskKind::SyncGoogleCase => GoogleCaseName::parse(named("case_name")?).ok().map(FirstSeen::Google),
        TaskKind::SyncCompanyCase => CompanyCaseId::parse(named("case_id")?).ok().map(FirstSeen::Company),
        TaskKind::PollGoogle | TaskKind::PollCompany | TaskKind::DetectOutages | TaskKind::Cleanup => None,
    }
}

fn lock<T>(held: &Mutex<T>) -> MutexGuard<'_, T> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Queue that only notes what it is given.
#[derive(Default)]
struct Recorder {
    tasks: Mutex<Vec<QueuedTask>>,
    names: Mutex<HashSet<String>>,
    syncs_per_minute: Option<u32>,
}

#[async_trait]
impl TaskQueue for Recorder {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let name = task.name.as_ref().map(|name| name.as_str().to_owned());
        if name.is_some_and(|name| !lock(&self.names).insert(name)) {
            return Ok(Enqueued::AlreadyExists);
        }
        lock(&self.tasks).push(task);
        Ok(Enqueued::New)
    }

    fn syncs_per_minute(&self) -> Option<u32> {
        self.syncs_per_minute
    }
}

/// System that is only read. A comment, which `detect-outages` adds, is noted; every other write is refused, since no dry run comes to it.
struct Watched {
    system: Arc<dyn CaseSystem>,
    notices: Arc<Mutex<Vec<Value>>>,
}

impl Watched {
    fn refused<T>(&self, call: &str) -> Result<T, ApiError> {
        let name = self.system.capabilities().name;
        Err(ApiError::new(ApiErrorKind::NotApplied, name, call, "a dry run changes nothing"))
    }
}

// Every method, also those with a default: one that is missing would answer for no system.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl CaseSystem for Watched {
    fn side(&self) -> Side {
        self.system.side()
    }

    fn capabilities(&self) -> &Capabilities {
        self.system.capabilities()
    }

    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        self.system.attachment_limit().await
    }

    fn home(&self) -> Option<&str> {
        self.system.home()
    }

    fn google_name_field(&self) -> &str {
        self.system.google_name_field()
    }

    fn google_state_field(&self) -> Option<&str> {
        self.system.google_state_field()
    }

    fn clock_skew(&self) -> Option<Duration> {
        self.system.clock_skew()
    }

    fn latest_skew(&self) -> Option<Duration> {
        self.system.latest_skew()
    }

    fn credential_end(&self) -> Option<CredentialEnd> {
        self.system.credential_end()
    }

    async fn is_own_user(&self, user: &str) -> bool {
        self.system.is_own_user(user).await
    }

    async fn identify(&self) -> Result<(), ApiError> {
        self.system.identify().await
    }

    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        self.system.any_case(except).await
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        self.system.resolve(reference).await
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.system.search_updated(since).await
    }

    fn searches_twice(&self) -> bool {
        self.system.searches_twice()
    }

    async fn search_first(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.system.search_first(since).await
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        self.system.get(id).await
    }

    async fn shows(&self, id: &str) -> Result<bool, ApiError> {
        self.system.shows(id).await
    }

    async fn find_counterparts(&self, counterpart: &str, home: Option<&str>) -> Result<Vec<Found>, ApiError> {
        self.system.find_counterparts(counterpart, home).await
    }

    async fn find_counterparts_under(
        &self,
        parent: &str,
        counterpart: &str,
        home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        self.system.find_counterparts_under(parent, counterpart, home).await
    }

    async fn classification_id(&self, text: &str) -> Result<String, PlacementError> {
        self.system.classification_id(text).await
    }

    async fn seen_scopes(&self) -> Result<SeenScopes, ApiError> {
        self.system.seen_scopes().await
    }

    fn closes_as(&self, closing: Closing) -> bool {
        self.system.closes_as(closing)
    }

    async fn check_parent(&self, parent: &str) -> Result<(), PlacementError> {
        self.system.check_parent(parent).await
    }

    async fn details(&self, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
        self.system.details(id, wanted).await
    }

    async fn create(&self, _case: &NewCase) -> Result<Case, ApiError> {
        self.refused("create a case")
    }

    async fn link(&self, _id: &str, _counterpart: &str) -> Result<(), ApiError> {
        self.refused("link a case")
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        self.system.comments(id, since).await
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        self.system.attachments(id, since).await
    }

    async fn content(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Content, ApiError> {
        self.system.content(id, since).await
    }

    async fn get_whole(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<(Case, Content)>, ApiError> {
        self.system.get_whole(id, since).await
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        let mut notices = lock(&self.notices);
        notices.push(json!({ "side": self.side().name(), "case": id, "text": comment.body }));
        let id = format!("dry-run-{}", notices.len());
        Ok(Written { id, created_at: None, carrier_comment: None })
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        self.system.download(id, attachment).await
    }

    async fn upload(&self, _id: &str, _attachment: NewAttachment) -> Result<Written, ApiError> {
        self.refused("add a file")
    }

    async fn set_priority(&self, _id: &str, _priority: Priority) -> Result<(), ApiError> {
        self.refused("set a priority")
    }

    async fn set_title(&self, _id: &str, _title: &str) -> Result<Option<String>, ApiError> {
        self.refused("set a title")
    }

    async fn set_subscribers(&self, _id: &str, _subscribers: &[String]) -> Result<(), ApiError> {
        self.refused("set subscribers")
    }

    async fn escalate(
        &self,
        _id: &str,
        _reason: EscalationReason,
        _justification: &str,
    ) -> Result<(), ApiError> {
        self.refused("escalate")
    }

    async fn close(&self, _id: &str) -> Result<(), ApiError> {
        self.refused("close a case")
    }

    async fn reopen(&self, _id: &str) -> Result<(), ApiError> {
        self.refused("reopen a case")
    }

    async fn status_names(&self, case: &Case) -> Result<Vec<String>, ApiError> {
        self.system.status_names(case).await
    }

    async fn set_status(&self, _id: &str, _status: &str) -> Result<(), ApiError> {
        self.refused("set a status")
    }

    async fn annotate(&self, _id: &str, _annotation: &Annotation) -> Result<Annotated, ApiError> {
        self.refused("show something of the Google case")
    }

    async fn show_state(&self, _id: &str, _text: &str) -> Result<(), ApiError> {
        self.refused("write Google's state")
    }

    async fn statuses(&self) -> Result<Statuses, ApiError> {
        self.system.statuses().await
    }

    async fn check(&self, needs: Needs) -> Vec<Check> {
        self.system.check(needs).await
    }

    async fn check_placement(&self, placement: &Placement) -> Finding {
        self.system.check_placement(placement).await
    }

    async fn check_google_placement(&self, placement: &GooglePlacement) -> Finding {
        self.system.check_google_placement(placement).await
    }

    async fn check_details(&self, wanted: &Wanted, terms: &Details) -> Finding {
        self.system.check_details(wanted, terms).await
    }
}
