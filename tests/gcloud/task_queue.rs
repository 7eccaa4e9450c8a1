//! App Engine's own task queue, behind the REST call of Cloud Tasks: `tests/clients/cloud_tasks_front.py`, started here.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use casebridge::clock::SharedClock;
use casebridge::outbound::{NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::queue::cloud_tasks::{CloudTasksOptions, CloudTasksQueue, NAME};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use url::Url;

use crate::emulator::sdk_root;

/// Project and region of the queues.
pub(crate) const PROJECT: &str = "p";
/// See [`PROJECT`].
pub(crate) const LOCATION: &str = "l";

/// A Python that runs the SDK's own code: the one that comes with it, else the machine's, without its packages.
pub(crate) fn sdk_python(root: &Path) -> Command {
    let bundled = root.join("platform/bundledpythonunix/bin/python3");
    let mut command = if bundled.exists() { Command::new(bundled) } else { Command::new("python3") };
    command.args(["-S", "-W", "ignore"]).env("NO_PROXY", "*");
    // Compiling the SDK's modules takes three times as long as all else that a start does, and many tests start it.
    let compiled = std::env::temp_dir().join("casebridge-sdk-pycache");
    command.env_remove("PYTHONDONTWRITEBYTECODE").env("PYTHONPYCACHEPREFIX", compiled);
    command
}

/// A file of the project.
pub(crate) fn project_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A running task queue. It ends with this value, and at the latest with this process.
pub(crate) struct TaskQueueFront {
    /// Its process ends when this closes.
    _connection: UnixStream,
    url: Url,
    http: reqwest::Client,
}

/// What a [`TaskQueueFront`] has seen.
#[derive(Debug, Clone, serde::Deserialize)]
pub(crate) struct Counts {
    /// Tasks that are not done.
    pub(crate) waiting: usize,
    /// Tasks that were refused because their name was used.
    pub(crate) existed: usize,
    /// Deliveries to each target.
    pub(crate) delivered: BTreeMap<String, usize>,
    /// Deliveries that were not answered with success.
    pub(crate) failed: usize,
    /// The most deliveries that were under way at the same time.
    pub(crate) most_at_once: usize,
}

impl TaskQueueFront {
    /// Starts it with the project's queue.yaml, delivering to `target`. `start`: its time stands still there until it is
    /// moved; else its time is the machine's.
    pub(crate) fn start(target: &Url, start: Option<DateTime<Utc>>) -> Self {
        Self::start_with(&project_file("queue.yaml"), target, start)
    }

    /// The same with another queue.yaml.
    pub(crate) fn start_with(queue_yaml: &Path, target: &Url, start: Option<DateTime<Utc>>) -> Self {
        let clock = start.map(|start| ["--clock".to_owned(), start.timestamp().to_string()]);
        Self::launch(queue_yaml, std::slice::from_ref(target), clock.into_iter().flatten())
    }

    /// Starts it with the project's queue.yaml and the machine's time, delivering to these instances in turn, several tasks at
    /// the same time.
    pub(crate) fn start_among(instances: &[Url]) -> Self {
        let workers = ["--workers".to_owned(), "16".to_owned()];
        Self::launch(&project_file("queue.yaml"), instances, workers)
    }

    fn launch(queue_yaml: &Path, targets: &[Url], more: impl IntoIterator<Item = String>) -> Self {
        let queue_yaml = queue_yaml.to_str().unwrap().to_owned();
        let mut arguments = vec!["--queue-yaml".to_owned(), queue_yaml];
        arguments.extend(targets.iter().flat_map(|target| ["--target".to_owned(), target.to_string()]));
        arguments.extend(["--parent".to_owned(), format!("projects/{PROJECT}/locations/{LOCATION}")]);
        arguments.extend(more);
        let mut connection = UnixStream::connect(Fronts::shared().socket()).unwrap();
        connection.write_all(format!("{}\n", json!(arguments)).as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(connection.try_clone().unwrap()).read_line(&mut line).unwrap();
        let port: u16 =
            line.trim().parse().expect("the task queue's front says its port; its complaint is above");
        let url = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        Self { _connection: connection, url, http: crate::http() }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// A client of ours for it.
    pub(crate) fn client(&self, clock: SharedClock, service: Option<&str>) -> CloudTasksQueue {
        let settings = UpstreamSettings {
            name: NAME,
            base_url: self.url.clone(),
            requests_per_minute: NonZeroU32::new(60_000).unwrap(),
            timeout: Duration::from_mins(2),
            retry: RetryPolicy {
                attempts: 4,
                first_pause: Duration::from_millis(5),
                longest_pause: Duration::from_millis(20),
            },
            download_hosts: Vec::new(),
        };
        let upstream = Upstream::new(settings, Arc::new(NoCredentials), clock, Metrics::shared()).unwrap();
        let options = CloudTasksOptions {
            project: PROJECT.to_owned(),
            location: LOCATION.to_owned(),
            service: service.map(str::to_owned),
            dispatch_deadline: Duration::from_secs(270),
        };
        CloudTasksQueue::new(Arc::new(upstream), options)
    }

    /// Delivers what is due at `now`; when the next task is due.
    pub(crate) async fn run(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // Whole microseconds as seconds: what a double holds exactly enough.
        let answer = self.post("run", &json!({ "now": (now - DateTime::UNIX_EPOCH).as_seconds_f64() })).await;
        #[expect(clippy::cast_possible_truncation, reason = "the times of this century fit")]
        let due = answer["next_due"].as_f64().map(|seconds| (seconds * 1e6).ceil() as i64);
        due.map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
    }

    /// What happens to the next calls.
    pub(crate) async fn fail(&self, faults: &[&str]) {
        self.post("faults", &json!(faults)).await;
    }

    /// The bodies of the calls that queued a task.
    pub(crate) async fn calls(&self) -> Vec<Value> {
        self.get("calls").await
    }

    /// What has happened so far.
    pub(crate) async fn counts(&self) -> Counts {
        self.get("counts").await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, what: &str) -> T {
        let answer = self.http.get(self.at(what)).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    async fn post(&self, what: &str, body: &Value) -> Value {
        let answer = self.http.post(self.at(what)).json(body).send().await.unwrap();
        answer.error_for_status().unwrap().json().await.unwrap()
    }

    fn at(&self, what: &str) -> Url {
        self.url.join(&format!("/stub/{what}")).unwrap()
    }
}

/// The process that fronts are forked from, with Google's code imported: that takes seconds. It ends with this process, which holds its
/// standard input.
struct Fronts {
    _process: Child,
    folder: tempfile::TempDir,
}

impl Fronts {
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Fronts> = OnceLock::new();
        SHARED.get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let root = sdk_root();
            let mut process = sdk_python(root)
                .arg(project_file("tests/clients/cloud_tasks_front.py"))
                .arg("--sdk")
                .arg(root)
                .arg("--listen")
                .arg(folder.path().join("socket"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("Python starts");
            let mut line = String::new();
            BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line.trim(), "listening", "the complaint of the task queue's front is above");
            Self { _process: process, folder }
        })
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }
}
