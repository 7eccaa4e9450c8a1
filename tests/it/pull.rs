//! Messages that the service pulls from Pub/Sub: what is acknowledged and when, what a failure costs, and what the check says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use casebridge::cases::{Check, CheckStatus};
use casebridge::entities::Sides;
use casebridge::outbound::NoCredentials;
use casebridge::puller;
use casebridge::push::{PullSettings, PullSubscription, pull};
use casebridge::queue::{Enqueued, QueueError, QueuedTask, TaskQueue};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::pubsub::SandboxPubsub;
use casebridge::tasks::{Deps, Pacer, Unchanged};
use casebridge::telemetry::Metrics;
use chrono::Duration;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{World, serve, upstream};
use casebridge_testkit::service::client;

const TOPIC: &str = "projects/p/topics/case-events";
const SUBSCRIPTION: &str = "projects/p/subscriptions/case-events";

/// Queue that refuses tasks while it is told to.
struct Moody {
    queue: Arc<dyn TaskQueue>,
    refuses: Arc<AtomicBool>,
}

#[async_trait]
impl TaskQueue for Moody {
    async fn enqueue(&self, task: QueuedTask) -> Result<Enqueued, QueueError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(QueueError { task: task.kind, reason: "told to".to_owned() });
        }
        self.queue.enqueue(task).await
    }

    fn syncs_per_minute(&self) -> Option<u32> {
        self.queue.syncs_per_minute()
    }

    fn concurrent_syncs(&self) -> Option<u32> {
        self.queue.concurrent_syncs()
    }

    async fn check(&self) -> Vec<Check> {
        self.queue.check().await
    }
}

/// Google's side publishes to a Pub/Sub, and an instance of the connector pulls from it.
struct Pulling {
    world: World,
    pubsub: SandboxPubsub,
    address: String,
    deps: Arc<Deps>,
    refuses: Arc<AtomicBool>,
    shutdown: CancellationToken,
}

impl Pulling {
    /// Without a loop yet.
    async fn new() -> Self {
        let world = World::new(&JiraKind).await;
        let pubsub = SandboxPubsub::new(world.deps.clock.clone(), None);
        let address = format!("http://{}", serve(pubsub.router()).await);
        let refuses = Arc::new(AtomicBool::new(false));
        let deps = &world.deps;
        let deps = Arc::new(Deps {
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            clock: deps.clock.clone(),
            store: deps.store.clone(),
            queue: Arc::new(Moody { queue: deps.queue.clone(), refuses: refuses.clone() }),
            systems: Sides { google: deps.systems.google.clone(), company: deps.systems.company.clone() },
            settings: deps.settings.clone(),
            metrics: Metrics::shared(),
            stop: CancellationToken::new(),
        });
        let this = Self { world, pubsub, address, deps, refuses, shutdown: CancellationToken::new() };
        this.ask(Method::PUT, TOPIC, json!({})).await;
        this.ask(Method::PUT, SUBSCRIPTION, json!({ "topic": TOPIC })).await;
        this
    }

    /// With the event subscription at Google, and the loop.
    async fn running() -> Self {
        let this = Self::new().await;
        this.world.csapi.publish_at(this.address.parse().unwrap());
        this.subscribe().await;
        this.start();
        this
    }

    async fn subscribe(&self) {
        let service = format!("http://{}", serve(self.world.csapi.router()).await);
        let url = format!("{service}/v2/organizations/123/supportEventSubscriptions");
        let body = json!({ "pubSubTopic": TOPIC });
        let answer = client().post(url).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        let (deps, shutdown, subscription) =
            (self.deps.clone(), self.shutdown.clone(), self.subscription(SUBSCRIPTION));
        tokio::spawn(async move { puller::run(&deps, &subscription, &shutdown).await })
    }

    fn subscription(&self, name: &str) -> PullSubscription {
        let address = self.address.strip_prefix("http://").unwrap().parse().unwrap();
        let timeout = StdDuration::from_secs(20);
        let clock = &self.world.deps.clock;
        let settings = PullSettings {
            subscription: name.to_owned(),
            base_url: self.address.parse().unwrap(),
            parent: "organizations/123".to_owned(),
        };
        let to = upstream(pull::NAME, address, Vec::new(), timeout, clock, Arc::new(NoCredentials));
        PullSubscription::new(settings, to)
    }

    /// Calls Pub/Sub as its owner does.
    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/v1/{path}", self.address);
        let answer = client().request(method, url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap()
    }

    async fn publish(&self, messages: Value) {
        self.ask(Method::POST, &format!("{TOPIC}:publish"), json!({ "messages": messages })).await;
    }

    /// Waits until every message is acknowledged.
    async fn drained(&self) {
        self.until("every message is acknowledged", || self.pubsub.backlog(SUBSCRIPTION) == 0).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let limit = tokio::time::Instant::now() + StdDuration::from_mins(8);
        while !holds() {
            assert!(tokio::time::Instant::now() < limit, "{what}: {}", self.deps.metrics.render());
            tokio::time::sleep(StdDuration::from_millis(5)).await;
        }
    }

    fn counted(&self, metric: &str) -> u64 {
        let text = self.deps.metrics.render();
        text.lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok()).unwrap_or(0)
    }

    fn taken(&self, outcome: &str) -> u64 {
        self.counted(&format!("casebridge_push_messages_total{{side=\"google\",outcome=\"{outcome}\"}} "))
    }

    fn pulls(&self, outcome: &str) -> u64 {
        self.counted(&format!("casebridge_pulls_total{{outcome=\"{outcome}\"}} "))
    }

    fn calls(&self, part: &str) -> usize {
        self.pubsub.faults().calls().iter().filter(|call| call.path.contains(part)).count()
    }
}

impl Drop for Pulling {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

#[tokio::test]
async fn what_google_publishes_is_carried_without_a_poll() {
    let pulling = Pulling::running().await;
    let (google, company) = pulling.world.pair().await;
    pulling.world.run_for(Duration::minutes(40)).await;
    pulling.drained().await;
    pulling.world.deliver().await;
    let polled = pulling.world.deps.store.global().await.unwrap();
    let taken = pulling.taken("queued");
    pulling.world.google_says(&google, "Look at the quota");
    pulling.until("the comment's event is taken", || pulling.taken("queued") > taken).await;
    pulling.drained().await;
    pulling.world.deliver().await;
    assert_eq!(pulling.world.copies_in_crm(&company).await, ["Look at the quota"]);
    assert_eq!(pulling.world.deps.store.global().await.unwrap(), polled, "no poll was needed");
    pulling.world.assert_quiet().await;
}

#[tokio::test]
async fn a_message_is_acknowledged_once_what_it_asks_for_is_queued() {
    let pulling = Pulling::new().await;
    pulling.refuses.store(true, Ordering::Relaxed);
    let case = pulling.world.google_case("A fresh case");
    pulling.publish(json!([{ "attributes": { "name": case } }])).await;
    pulling.start();
    pulling.until("the queue refuses", || pulling.taken("failed") == 1).await;
    pulling.until("the pull counts as failed", || pulling.pulls("failed") == 1).await;
    assert_eq!((pulling.pubsub.backlog(SUBSCRIPTION), pulling.calls(":acknowledge")), (1, 0));
    pulling.refuses.store(false, Ordering::Relaxed);
    // Its acknowledgement deadline passes, and Pub/Sub delivers it again.
    pulling.world.clock().advance(Duration::seconds(11));
    pulling.drained().await;
    assert_eq!(pulling.taken("queued"), 1);
    pulling.world.deliver().await;
    assert_eq!(pulling.world.desk.cases().await.len(), 1);
}

#[tokio::test]
async fn messages_of_one_pull_about_one_case_lead_to_one_sync() {
    let pulling = Pulling::new().await;
    let case = pulling.world.google_case("A fresh case");
    let about = |name: &str| json!({ "attributes": { "name": name } });
    let mut messages = vec![about(&case); 40];
    messages.extend(vec![about("CASE_UPDATED"); 30]);
    messages.push(json!({ "data": "e30=" }));
    pulling.publish(Value::Array(messages)).await;
    pulling.start();
    pulling.drained().await;
    // One sync and one poll.
    assert_eq!((pulling.taken("queued"), pulling.taken("coalesced")), (2, 69));
    assert_eq!(pulling.calls(":acknowledge"), 1);
}

#[tokio::test]
async fn a_pull_that_fails_is_tried_again_and_nothing_is_lost() {
    let pulling = Pulling::new().await;
    let case = pulling.world.google_case("A fresh case");
    pulling.publish(json!([{ "attributes": { "name": case } }])).await;
    let down = Fault::always(Effect::ErrorBefore { status: 503, body: None }).on("POST", ":pull");
    // The client tries twice by itself.
    pulling.pubsub.faults().add(down.times(2));
    // The acknowledgement takes effect, and its answer is lost: it is repeated.
    pulling.pubsub.faults().add(Fault::always(Effect::HangUpAfter).on("POST", ":acknowledge").times(1));
    pulling.start();
    pulling.drained().await;
    pulling
        .until("both are counted", || pulling.pulls("failed") == 1 && pulling.pulls("messages") == 1)
        .await;
    assert_eq!(pulling.taken("queued"), 1);
}

#[tokio::test]
async fn a_pull_that_waits_ends_at_once_when_the_service_stops() {
    let pulling = Pulling::new().await;
    pulling.pubsub.faults().add(Fault::always(Effect::Latency { ms: 3_600_000 }).on("POST", ":pull"));
    let running = pulling.start();
    pulling.until("it waits", || pulling.calls(":pull") == 1).await;
    pulling.shutdown.cancel();
    tokio::time::timeout(StdDuration::from_mins(5), running).await.expect("it ends").unwrap();
}

#[tokio::test]
async fn the_check_says_what_keeps_messages_away() {
    let pulling = Pulling::new().await;
    let check = async |name: &str| pulling.subscription(name).check().await;
    let fine = check(SUBSCRIPTION).await;
    assert_eq!((fine.status, fine.text().as_str()), (CheckStatus::Ok, "its messages can be pulled"));

    let missing = check("projects/p/subscriptions/other").await;
    assert_eq!(missing.status, CheckStatus::Failed);
    assert!(
        missing.text().contains("`gcloud pubsub subscriptions create other --project=p"),
        "{}",
        missing.text()
    );

    pulling.pubsub.deny(SUBSCRIPTION, true);
    let denied = check(SUBSCRIPTION).await;
    assert_eq!(denied.status, CheckStatus::Failed);
    assert!(denied.text().contains("lacks pubsub.subscriptions.consume"), "{}", denied.text());
    assert!(denied.text().contains("--role=roles/pubsub.subscriber"), "{}", denied.text());
    pulling.pubsub.deny(SUBSCRIPTION, false);

    // The emulator has no IAM.
    let no_iam = Fault::always(Effect::ErrorBefore { status: 501, body: None }).on("POST", "testIam");
    pulling.pubsub.faults().add(no_iam.times(1));
    assert_eq!(check(SUBSCRIPTION).await.status, CheckStatus::Ok);

    let push = json!({ "topic": TOPIC, "pushConfig": { "pushEndpoint": "http://127.0.0.1:9/push" } });
    pulling.ask(Method::PUT, "projects/p/subscriptions/pushed", push).await;
    let pushed = check("projects/p/subscriptions/pushed").await;
    assert!(pushed.text().contains("it pushes its messages"), "{}", pushed.text());

    pulling.ask(Method::DELETE, TOPIC, json!({})).await;
    let topicless = check(SUBSCRIPTION).await;
    assert!(topicless.text().contains("its topic was deleted"), "{}", topicless.text());
}
