//! Cases on their way between a sandbox CSAPI and a sandbox Zendesk, by the real tasks: what the adapter's own tests cannot show.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use casebridge::cases::{CaseSystem, Check, Visibility};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::zendesk::{Zendesk, ZendeskSettings};
use casebridge::csapi::{Csapi, CsapiSettings};
use casebridge::entities::{Sides, ToleranceTable};
use casebridge::outbound::{NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi, State};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::zendesk::{NewTicket, SandboxZendesk, SandboxZendeskSettings, TicketView};
use casebridge::store::SqliteStore;
use casebridge::sync::{Rules, Switches};
use casebridge::tasks::{self, Caller, Deps, Mode, Outcome, Task, TaskSettings};
use casebridge::telemetry::Metrics;
use chrono::{Duration, TimeZone as _, Utc};
use tokio_util::sync::CancellationToken;

use crate::support::serve;

/// Holds what the polls queue until the test runs it.
#[derive(Default)]
struct Waiting(Mutex<VecDeque<QueuedTask>>);

#[async_trait]
impl TaskQueue for Waiting {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        let mut waiting = self.0.lock().unwrap();
        if waiting.iter().any(|known| known.kind == task.kind && known.body == task.body) {
            return Ok(Enqueued::AlreadyExists);
        }
        waiting.push_back(task);
        Ok(Enqueued::New)
    }

    async fn check(&self) -> Vec<Check> {
        Vec::new()
    }
}

struct World {
    clock: Arc<ManualClock>,
    csapi: SandboxCsapi,
    zendesk: SandboxZendesk,
    deps: Deps,
    waiting: Arc<Waiting>,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(comment_visibility: Visibility) -> Self {
        let clock = ManualClock::at(Utc.with_ymd_and_hms(2026, 11, 24, 9, 0, 0).unwrap());
        let shared: SharedClock = clock.clone();
        let csapi = SandboxCsapi::new(shared.clone(), "organizations/123");
        let zendesk = SandboxZendesk::new(shared.clone(), SandboxZendeskSettings::default());
        let csapi_address = serve(csapi.router()).await;
        let zendesk_address = serve(zendesk.router()).await;
        let content_address = serve(zendesk.content_router()).await;
        zendesk.set_content_base(&format!("http://{content_address}"));
        let metrics = Metrics::shared();
        let upstream = |name: &'static str, address: SocketAddr, download_hosts: Vec<String>| {
            let settings = UpstreamSettings {
                name,
                base_url: format!("http://{address}").parse().unwrap(),
                requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
                timeout: StdDuration::from_secs(10),
                retry: RetryPolicy {
                    attempts: 2,
                    first_pause: StdDuration::from_millis(1),
                    longest_pause: StdDuration::from_millis(5),
                },
                download_hosts,
            };
            Upstream::new(settings, Arc::new(NoCredentials), shared.clone(), metrics.clone()).unwrap()
        };
        let google = CsapiSettings {
            parent: "organizations/123".to_owned(),
            classification_id: Some(CLASSIFICATION_ID.to_owned()),
            ..CsapiSettings::default()
        };
        let google = Csapi::new(google, Arc::new(upstream("CSAPI", csapi_address, Vec::new()))).unwrap();
        let company = Zendesk::new(
            ZendeskSettings::default(),
            PriorityWords::new(["urgent", "high", "normal", "low", "low"].map(str::to_owned)).unwrap(),
            upstream("Zendesk", zendesk_address, vec![content_address.to_string()]),
            shared.clone(),
        );
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&folder.path().join("store.db")).unwrap());
        let waiting = Arc::new(Waiting::default());
        let switches =
            Switches { creation: true, comments: true, attachments: true, priority: true, status: true };
        let deps = Deps {
            clock: shared,
            store,
            queue: waiting.clone(),
            systems: Sides {
                google: Arc::new(google) as Arc<dyn CaseSystem>,
                company: Arc::new(company) as Arc<dyn CaseSystem>,
            },
            settings: TaskSettings {
                rules: Rules { switches, carry_internal_comments: false, comment_visibility },
                windows: Sides { google: Duration::minutes(30), company: Duration::minutes(5) },
                max_case_age: Duration::days(30),
                retention: Duration::days(30),
                tolerances: ToleranceTable::default(),
                deadline: StdDuration::from_mins(1),
                lease: Duration::minutes(2),
            },
            metrics,
            stop: CancellationToken::new(),
        };
        Self { clock, csapi, zendesk, deps, waiting, _folder: folder }
    }

    /// So many minutes of cron and queues: polls every minute, and what they queue at once. A sync that failed is queued
    /// again. Returns how many failed.
    async fn run(&self, minutes: usize) -> usize {
        let mut failed = 0;
        for _ in 0..minutes {
            self.clock.advance(Duration::minutes(1));
            for poll in [Task::PollGoogle, Task::PollCompany] {
                let report = tasks::run(&self.deps, poll, Caller::Queue, Mode::Act).await;
                assert_eq!(report.outcome, Outcome::Done, "{report:?}");
            }
            let due: Vec<QueuedTask> = self.waiting.0.lock().unwrap().drain(..).collect();
            for queued in due {
                let body = serde_json::to_vec(&queued.body).unwrap();
                let task = Task::parse(queued.kind, &body).unwrap();
                let report = tasks::run(&self.deps, task, Caller::Queue, Mode::Act).await;
                if report.outcome == Outcome::Failed {
                    failed += 1;
                    self.deps.queue.enqueue(queued).await.unwrap();
                } else {
                    assert_eq!(report.outcome, Outcome::Done, "{report:?}");
                }
            }
        }
        failed
    }

    fn google_case(&self, title: &str, priority: Priority) -> String {
        let case = NewCase {
            parent: "organizations/123".to_owned(),
            display_name: title.to_owned(),
            description: format!("The description of {title}."),
            priority,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }

    fn google_says(&self, case: &str, body: &str) {
        self.csapi.add_comment(case, Author::google("Ada Lovelace"), body).unwrap();
    }

    /// The texts on the Google case, oldest first.
    fn google_texts(&self, case: &str) -> Vec<String> {
        self.csapi.comments(case).unwrap().into_iter().map(|comment| comment.body).collect()
    }

    /// The one ticket there is.
    fn ticket(&self) -> TicketView {
        let mut tickets = self.zendesk.tickets();
        assert_eq!(tickets.len(), 1, "{tickets:#?}");
        tickets.remove(0)
    }
}

#[tokio::test]
async fn a_google_case_becomes_a_ticket_and_both_stay_in_step() {
    let world = World::new(Visibility::Internal).await;
    let case = world.google_case("Disk is slow {{ticket.id}}", Priority::P4);
    world.google_says(&case, "We are looking into it: {{current_user.name}}.");
    world.csapi.attach(&case, Author::google("Ada Lovelace"), "trace.txt", "text/plain", b"trace").unwrap();
    assert_eq!(world.run(4).await, 0);
    let ticket = world.ticket();
    assert!(ticket.flagged && ticket.google_name.as_deref() == Some(case.as_str()), "{ticket:#?}");
    assert_eq!(
        (ticket.priority.as_deref(), ticket.tags.as_slice()),
        (Some("low"), ["google_cloud".to_owned()].as_slice())
    );
    let texts: Vec<&str> = ticket.comments.iter().map(|comment| comment.text.as_str()).collect();
    assert!(texts[0].starts_with("CONTENT MIRRORED FROM GOOGLE SUPPORT:\n"), "{texts:?}");
    assert!(texts[1].ends_with("We are looking into it: {\u{2060}{current_user.name}}."), "{texts:?}");
    assert_eq!(ticket.attachments().count(), 1);
    assert!(ticket.comments.iter().all(|comment| !comment.public), "internal unless configured otherwise");

    world.csapi.close(&case).unwrap();
    assert_eq!(world.run(3).await, 0);
    assert_eq!(world.ticket().status, "solved");
    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    assert_eq!(world.run(3).await, 0);
    assert_eq!(world.ticket().status, "open");

    // And nothing more happens, however long one waits: no echo, no ping-pong between P3 and P4.
    let (before, texts) = (world.ticket(), world.google_texts(&case));
    assert_eq!(world.run(45).await, 0);
    assert_eq!((world.ticket(), world.google_texts(&case)), (before, texts));
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P4));
}

#[tokio::test]
async fn a_flagged_ticket_becomes_a_google_case_and_what_is_internal_stays() {
    let world = World::new(Visibility::Internal).await;
    let ticket = NewTicket { priority: Some("urgent".to_owned()), ..NewTicket::flagged("Export fails") };
    let id = world.zendesk.create_ticket(ticket).unwrap();
    world.zendesk.comment(&id, "Jane Roe", "It fails since Monday.").unwrap();
    world.zendesk.internal_comment(&id, "Jane Roe", "The customer is angry.").unwrap();
    for (name, public) in [("public.log", true), ("secret.log", false)] {
        world.zendesk.attach_with(&id, "Jane Roe", name, "text/plain", "abc", "", public).unwrap();
    }
    assert_eq!(world.run(6).await, 0);
    let cases = world.csapi.cases();
    assert_eq!(cases.len(), 1, "{cases:#?}");
    let case = &cases[0];
    assert_eq!((case.display_name.as_str(), case.priority), ("Export fails", Some(Priority::P0)));
    assert_eq!(case.description, format!("CONTENT MIRRORED FROM COMPANY CASE {id}:\nabout Export fails"));
    let texts = world.google_texts(&case.name);
    assert!(texts.iter().any(|text| text.ends_with("It fails since Monday.")), "{texts:?}");
    assert!(!format!("{texts:?}").contains("angry"), "{texts:?}");
    let files: Vec<String> =
        world.csapi.attachments(&case.name).unwrap().into_iter().map(|file| file.filename).collect();
    assert_eq!(files, ["public.log"]);
    assert_eq!(world.ticket().google_name.as_deref(), Some(case.name.as_str()));

    world.zendesk.set_priority(&id, Some("high")).unwrap();
    world.zendesk.set_status(&id, "solved").unwrap();
    assert_eq!(world.run(4).await, 0);
    let case = world.csapi.case(&case.name).unwrap();
    assert_eq!((case.priority, case.state), (Some(Priority::P1), State::Closed));
    let before = (world.ticket(), world.google_texts(&case.name));
    assert_eq!(world.run(10).await, 0);
    assert_eq!((world.ticket(), world.google_texts(&case.name)), before);
}

#[tokio::test]
async fn a_burst_of_comments_arrives_whole_and_once_although_zendesk_takes_thirty_in_ten_minutes() {
    let world = World::new(Visibility::Public).await;
    let case = world.google_case("Busy", Priority::P2);
    world.run(3).await;
    for number in 0..70 {
        world.google_says(&case, &format!("line {number:02}"));
    }
    let failed = world.run(35).await;
    assert!(failed > 0, "some had to wait");
    assert_eq!(world.run(5).await, 0);
    let comments = world.ticket().comments;
    let lines: Vec<&str> = comments.iter().filter_map(|comment| comment.text.lines().nth(1)).collect();
    let expected: Vec<String> = (0..70).map(|number| format!("line {number:02}")).collect();
    assert_eq!(lines[1..].to_vec(), expected, "the first one is the description");
    let refused = world.zendesk.faults().calls().iter().filter(|call| call.method == "PUT").count();
    assert!(refused <= 75, "nothing is sent in vain: {refused} updates");
}

#[tokio::test]
async fn a_file_whose_answer_was_lost_is_there_once_and_its_comment_is_not_carried_back() {
    let world = World::new(Visibility::Public).await;
    let case = world.google_case("Lossy", Priority::P2);
    world.run(3).await;
    world.zendesk.faults().add(Fault::always(Effect::HangUpAfter).on("PUT", "/tickets/").times(1));
    world.csapi.attach(&case, Author::google("Ada Lovelace"), "trace.txt", "text/plain", b"trace").unwrap();
    assert!(world.run(8).await > 0, "the answer was lost");
    assert_eq!(world.run(5).await, 0);
    assert_eq!(world.ticket().attachments().count(), 1);
    let texts = world.google_texts(&case);
    assert_eq!(texts.len(), 1, "only that the case is now syncing: {texts:?}");
}
