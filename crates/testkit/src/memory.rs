//! Two systems in memory and a queue that delivers by time alone, for suites that need many cases or many histories.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use bytes::Bytes;
use casebridge::cases::{
    ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check, ClosingSet, Comment, Download,
    Found, Needs, NewAttachment, NewCase, NewComment, Sweep, TextLimit, Visibility, Written,
};
use casebridge::clock::{Clock as _, ManualClock, SharedClock};
use casebridge::entities::{Priority, PriorityReading, Side, Sides, ToleranceTable};
use casebridge::progress;
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::store::SqliteStore;
use casebridge::sync::{CommentsToGoogle, EditedComments, Rules, ShownRule, StatusTable, Switches};
use casebridge::tasks::{Deps, Pacer, TaskSettings, Unchanged};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

/// A system in memory.
pub struct Desk {
    side: Side,
    facts: Capabilities,
    clock: Arc<ManualClock>,
    cases: Mutex<BTreeMap<String, (Case, Vec<Comment>)>>,
    /// Whether every call fails.
    pub down: Mutex<bool>,
    /// Cases whose calls get no answer, until they time out.
    pub hanging: Mutex<HashSet<String>>,
    /// Number of calls that wait for an answer.
    pub unanswered: AtomicUsize,
    /// The only file of any case: its pieces, and the pause before each.
    pub file: Mutex<Option<(u32, std::time::Duration)>>,
    /// Number of files that arrived.
    pub arrived: AtomicUsize,
}

/// Time after which a call without an answer ends.
pub const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(1);

impl Desk {
    pub fn new(side: Side, clock: Arc<ManualClock>) -> Arc<Self> {
        let facts = Capabilities {
            name: side.name(),
            reopen: true,
            comment_when_closed: true,
            internal_comments: false,
            comments_change: false,
            comment_limit: TextLimit::code_points(12_800),
            title_limit: TextLimit::code_points(250),
            description_limit: TextLimit::code_points(12_800),
            control_characters: true,
            index_lag: Duration::minutes(1),
            in_flight_window: Duration::minutes(1),
            time_resolution: Duration::zero(),
            idempotency_keys: false,
            stored_filename: str::to_owned,
        };
        Arc::new(Self {
            side,
            facts,
            clock,
            cases: Mutex::default(),
            down: Mutex::new(false),
            hanging: Mutex::default(),
            unanswered: AtomicUsize::new(0),
            file: Mutex::default(),
            arrived: AtomicUsize::new(0),
        })
    }

    pub fn held(&self) -> MutexGuard<'_, BTreeMap<String, (Case, Vec<Comment>)>> {
        self.cases.lock().unwrap()
    }

    pub fn opens(&self, id: String, counterpart: Option<String>, priority: Priority) {
        let now = self.clock.now();
        let case = Case {
            id: id.clone(),
            key: None,
            title: "A case".to_owned(),
            description: "About it".to_owned(),
            priority: PriorityReading::exactly(priority),
            closed: false,
            created_at: Some(now),
            updated_at: Some(now),
            counterpart,
            synchronize: true,
            ..Case::default()
        };
        self.held().insert(id, (case, Vec::new()));
    }

    pub fn says(&self, id: &str, body: &str, by_connector: bool) -> Written {
        let now = self.clock.now();
        let mut held = self.held();
        let (case, comments) = held.get_mut(id).unwrap();
        case.updated_at = Some(now);
        let number = comments.len().to_string();
        comments.push(Comment {
            id: number.clone(),
            other_id: None,
            author: "Jane Roe".to_owned(),
            created_at: Some(now),
            body: body.to_owned(),
            earlier_body: None,
            edited_at: None,
            visibility: Visibility::Public,
            by_connector: Some(by_connector),
        });
        Written { id: number, created_at: Some(now), carrier_comment: None }
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Case)) {
        let now = self.clock.now();
        if let Some((case, _)) = self.held().get_mut(id) {
            change(case);
            case.updated_at = Some(now);
        }
    }

    fn answer<T>(&self, call: &str, answer: T) -> Result<T, ApiError> {
        if *self.down.lock().unwrap() {
            return Err(ApiError::new(ApiErrorKind::NotApplied, self.facts.name, call, "it is down"));
        }
        Ok(answer)
    }
}

/// A call without an answer, until it is given up.
struct Unanswered<'a>(&'a AtomicUsize);

impl<'a> Unanswered<'a> {
    fn begin(number: &'a AtomicUsize) -> Self {
        number.fetch_add(1, Ordering::SeqCst);
        Self(number)
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl CaseSystem for Desk {
    fn side(&self) -> Side {
        self.side
    }

    fn capabilities(&self) -> &Capabilities {
        &self.facts
    }

    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        Ok(None)
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let held = self.held();
        let cases = held.values().filter(|(case, _)| case.updated_at > Some(since));
        let cases = cases.map(|(case, _)| Found::from(case)).collect();
        self.answer("search", Sweep { cases, skipped: Vec::new(), identified: true })
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        if self.hanging.lock().unwrap().contains(id) {
            let _unanswered = Unanswered::begin(&self.unanswered);
            return progress::of_call(async {
                tokio::time::sleep(TIMEOUT).await;
                Err(ApiError::new(ApiErrorKind::Uncertain, self.facts.name, "get", "timed out"))
            })
            .await;
        }
        self.answer("get", self.held().get(id).map(|(case, _)| case.clone()))
    }

    async fn find_counterparts(
        &self,
        counterpart: &str,
        _home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let held = self.held();
        let named = held.values().filter(|(case, _)| case.counterpart.as_deref() == Some(counterpart));
        self.answer("find", named.map(|(case, _)| Found::of(self.side, case)).collect())
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        self.answer("create", ())?;
        let number = 900_000 + self.held().len();
        let id = match self.side {
            Side::Google => format!("organizations/1/cases/{number}"),
            Side::Company => number.to_string(),
        };
        self.opens(id.clone(), Some(case.counterpart.clone()), case.priority.unwrap_or(Priority::P4));
        Ok(self.held()[&id].0.clone())
    }

    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError> {
        self.answer("link", ())?;
        self.change(id, |case| case.counterpart = Some(counterpart.to_owned()));
        Ok(())
    }

    async fn comments(&self, id: &str, _since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        self.answer("comments", self.held()[id].1.clone())
    }

    async fn attachments(
        &self,
        _id: &str,
        _since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Attachment>, ApiError> {
        let file = self.file.lock().unwrap().map(|(pieces, _)| Attachment {
            id: "1".to_owned(),
            filename: "trace.log".to_owned(),
            media_type: None,
            size: Some(pieces.into()),
            author: "Jane Roe".to_owned(),
            created_at: Some(self.clock.now()),
            visibility: Visibility::Public,
            by_connector: Some(false),
            comment: None,
        });
        self.answer("attachments", file.into_iter().collect())
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        self.answer("add comment", ())?;
        Ok(self.says(id, &comment.body, true))
    }

    async fn download(&self, _id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        let Some((pieces, pause)) = *self.file.lock().unwrap() else {
            panic!("there are no files here, but {attachment:?} is asked for")
        };
        let content = stream::iter(0..pieces).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok(Bytes::from_static(b"a"))
        });
        Ok(Download { size: Some(pieces.into()), content: Box::pin(content) })
    }

    async fn upload(&self, _id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let mut content = attachment.content;
        while let Some(piece) = content.next().await {
            piece?;
            if let Some(task) = progress::current() {
                task.piece_moved();
            }
        }
        let number = self.arrived.fetch_add(1, Ordering::SeqCst);
        Ok(Written {
            id: format!("file {number}"),
            created_at: Some(self.clock.now()),
            carrier_comment: None,
        })
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        self.answer("set priority", ())?;
        self.change(id, |case| case.priority = PriorityReading::exactly(priority));
        Ok(())
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        self.answer("set title", ())?;
        self.change(id, |case| title.clone_into(&mut case.title));
        Ok(None)
    }

    async fn close(&self, id: &str) -> Result<(), ApiError> {
        self.answer("close", ())?;
        self.change(id, |case| case.closed = true);
        Ok(())
    }

    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        self.answer("reopen", ())?;
        self.change(id, |case| case.closed = false);
        Ok(())
    }

    async fn check(&self, _needs: Needs) -> Vec<Check> {
        Vec::new()
    }
}

/// A queue that uses each name once, and delivers by time.
pub struct Line(Arc<ManualClock>, Mutex<Waiting>);

#[derive(Default)]
pub struct Waiting {
    names: HashSet<String>,
    tasks: BTreeMap<(DateTime<Utc>, usize), QueuedTask>,
    queued: usize,
}

impl Line {
    pub fn new(clock: Arc<ManualClock>) -> Arc<Self> {
        Arc::new(Self(clock, Mutex::default()))
    }

    pub fn put(&self, at: DateTime<Utc>, task: QueuedTask) {
        let mut line = self.1.lock().unwrap();
        line.queued += 1;
        let place = (at, line.queued);
        line.tasks.insert(place, task);
    }

    pub fn next_due(&self, now: DateTime<Utc>) -> Option<QueuedTask> {
        let mut line = self.1.lock().unwrap();
        let first = line.tasks.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }

    pub fn len(&self) -> usize {
        self.1.lock().unwrap().tasks.len()
    }
}

#[async_trait]
impl TaskQueue for Line {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let name = task.name.as_ref().map(|name| name.as_str().to_owned());
        if name.is_some_and(|name| !self.1.lock().unwrap().names.insert(name)) {
            return Ok(Enqueued::AlreadyExists);
        }
        self.put(task.not_before.unwrap_or_else(|| self.0.now()), task);
        Ok(Enqueued::New)
    }
}

/// The connector between two systems, with nothing stored yet.
pub fn connector(
    clock: &Arc<ManualClock>,
    systems: Sides<Arc<Desk>>,
    line: &Arc<Line>,
    settings: TaskSettings,
) -> Deps {
    Deps {
        pacer: Pacer::default(),
        unchanged: Unchanged::default(),
        clock: Arc::clone(clock) as SharedClock,
        store: Arc::new(SqliteStore::in_memory().unwrap()),
        queue: Arc::clone(line) as Arc<dyn TaskQueue>,
        systems: Sides {
            google: systems.google as Arc<dyn CaseSystem>,
            company: systems.company as Arc<dyn CaseSystem>,
        },
        settings,
        metrics: Metrics::shared(),
        stop: CancellationToken::new(),
    }
}

/// Everything is carried; both windows are half an hour.
pub fn settings(tolerances: ToleranceTable, syncs_per_minute: u32) -> TaskSettings {
    let switches = Switches::ALL;
    TaskSettings {
        rules: Rules {
            switches,
            comments_to_google: CommentsToGoogle::Public,
            edits: EditedComments::Off,
            comment_visibility: Visibility::Public,
            close_on: ClosingSet::default(),
            statuses: StatusTable::new(),
            escalation: None,
            shown: ShownRule::NONE,
        },
        windows: Sides { google: Duration::minutes(30), company: Duration::minutes(30) },
        max_case_age: Duration::days(30),
        retention: Duration::days(30),
        tolerances,
        deadline: std::time::Duration::from_mins(10),
        lease: Duration::minutes(20),
        syncs_per_minute,
        missing_grace: Duration::hours(1),
        give_up_after: Duration::hours(12),
        adopt_claims: false,
        since: casebridge::tasks::Since::default(),
        routes: casebridge::sync::RouteTable::default(),
        poll_every: casebridge::entities::Sides::default(),
        announced: casebridge::entities::Sides::default(),
        placing: casebridge::sync::Placing::default(),
    }
}
