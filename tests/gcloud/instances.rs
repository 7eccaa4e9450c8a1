//! The service as App Engine runs it: real processes, whose store and queue their configuration alone chooses, between both
//! systems in this process. Whole cases travel; the database is killed in the middle; two instances share the work.

use std::collections::BTreeMap;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use casebridge::cases::Visibility;
use casebridge::entities::{Priority, Side, Sides};
use casebridge::sandbox::csapi::{self, Author, State};
use casebridge::sandbox::faults::{Effect, Fault};
use serde_json::Value;
use tokio::task::{JoinHandle, spawn_blocking};
use url::Url;

use crate::emulator::{Emulator, Kind, new_project, shared};
use crate::relay::Relay;
use crate::task_queue::{LOCATION, PROJECT, TaskQueueFront};
use casebridge_testkit::harness::copies;
use casebridge_testkit::harness::desk::{Desk as _, NewCompanyCase};
use casebridge_testkit::harness::jira::JiraDesk;
use casebridge_testkit::service::{Process, Systems, binary, free_port};

/// Only so that a failure ends. Longer than the queue's longest pause, which a task may have just begun when its system is back.
const LIMIT: Duration = Duration::from_mins(12);

/// Variables of the environment.
type Environment = Vec<(&'static str, String)>;

/// What all instances are told besides the file, which names SQLite and no queue.
const SETTINGS: [(&str, &str); 5] = [
    ("CASEBRIDGE_SERVER__PLATFORM", "app-engine"),
    ("CASEBRIDGE_GOOGLE__TIMEOUT", "5s"),
    ("CASEBRIDGE_COMPANY__TIMEOUT", "5s"),
    ("CASEBRIDGE_SYNC__LEASE", "20s"),
    ("CASEBRIDGE_SYNC__DEADLINE", "15s"),
];

/// The queue in the process; cron is the test's.
fn embedded() -> Environment {
    vec![("CASEBRIDGE_QUEUE__CRON", "false".to_owned())]
}

/// A database of that kind at `host`, and the platform's queue.
fn google_cloud(kind: Kind, project: &str, host: String, front: &TaskQueueFront) -> Environment {
    let (scheme, variable) = match kind {
        Kind::FirestoreNative => ("firestore", "FIRESTORE_EMULATOR_HOST"),
        Kind::FirestoreDatastoreMode | Kind::Datastore => ("datastore", "DATASTORE_EMULATOR_HOST"),
        Kind::Pubsub => panic!("Pub/Sub is no database"),
    };
    vec![
        (variable, host),
        ("CASEBRIDGE_STORE__URL", format!("{scheme}:{project}")),
        ("CASEBRIDGE_QUEUE__KIND", "cloud-tasks".to_owned()),
        ("CASEBRIDGE_QUEUE__BASE_URL", front.url().to_string()),
        ("CASEBRIDGE_QUEUE__PROJECT", PROJECT.to_owned()),
        ("CASEBRIDGE_QUEUE__LOCATION", LOCATION.to_owned()),
        ("CASEBRIDGE_QUEUE__AUTH", "none".to_owned()),
    ]
}

/// Both systems, and the instances of the service between them.
struct App {
    systems: Systems,
    desk: JiraDesk,
    ports: Vec<u16>,
    instances: Vec<Option<Process>>,
    front: Option<TaskQueueFront>,
    environment: Environment,
    http: reqwest::Client,
    folder: tempfile::TempDir,
}

/// A case on both sides, and what people have done to it.
struct Pair {
    google: String,
    company: String,
    /// The comments that were written there, in order.
    said: Sides<Vec<String>>,
    /// The files that were attached there.
    files: Sides<Vec<(String, Vec<u8>)>>,
    priority: Priority,
    closed: bool,
}

/// Calls the service as App Engine's cron does, but more often; until it is dropped.
struct Cron(JoinHandle<()>);

impl Drop for Cron {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A queue that delivers to these ports.
async fn front_for(ports: &[u16]) -> TaskQueueFront {
    let urls: Vec<Url> =
        ports.iter().map(|port| format!("http://127.0.0.1:{port}").parse().unwrap()).collect();
    spawn_blocking(move || TaskQueueFront::start_among(&urls)).await.unwrap()
}

impl App {
    /// With one instance for each port, none of them started.
    async fn new(ports: Vec<u16>, environment: Environment, front: Option<TaskQueueFront>) -> Self {
        let systems = Systems::start().await;
        let folder = tempfile::tempdir().unwrap();
        // Where an instance listens, the platform's `PORT` says.
        let configuration = systems.configuration(folder.path(), 0);
        std::fs::write(folder.path().join("casebridge.toml"), configuration).unwrap();
        let instances = ports.iter().map(|_| None).collect();
        let desk = JiraDesk { jira: systems.jira.clone() };
        Self { systems, desk, ports, instances, front, environment, http: crate::http(), folder }
    }

    /// Makes both systems as slow as real ones, or a sync would hardly ever be under way when something happens.
    fn slow_down(&self) {
        let slow = Fault::always(Effect::Latency { ms: 40 });
        self.systems.csapi.faults().add(slow.clone());
        self.desk.faults().unwrap().add(slow);
    }

    // ------------------------------------------------------------ the instances

    fn command(&self, log: &str) -> Command {
        let log = File::options().create(true).append(true).open(self.folder.path().join(log)).unwrap();
        let mut command = Command::new(binary());
        command
            .arg("--config")
            .arg(self.folder.path().join("casebridge.toml"))
            .env_remove("FIRESTORE_EMULATOR_HOST")
            .env_remove("DATASTORE_EMULATOR_HOST")
            .envs(SETTINGS)
            .envs(self.environment.clone())
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    /// Starts that instance, and waits until it answers.
    async fn start(&mut self, number: usize) {
        let begun = Instant::now();
        let port = self.ports[number];
        let mut command = self.command(&format!("instance-{number}.log"));
        let process = command.arg("serve").env("PORT", port.to_string()).spawn().unwrap();
        self.instances[number] = Some(Process(process));
        while self.status(number, "healthz").await != Some(200) {
            if !self.is_running(number) {
                self.show_logs();
                panic!("instance {number} ended");
            }
            assert!(begun.elapsed() < LIMIT, "instance {number} does not answer");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// As `kill -9`.
    fn kill(&mut self, number: usize) {
        self.instances[number] = None;
    }

    /// Whether the process that was started is the one that runs.
    fn is_running(&mut self, number: usize) -> bool {
        self.instances[number].as_mut().is_some_and(|process| process.0.try_wait().unwrap().is_none())
    }

    /// The status of an open route; `None`: no answer.
    async fn status(&self, number: usize, path: &str) -> Option<u16> {
        let url = format!("http://127.0.0.1:{}/{path}", self.ports[number]);
        self.http.get(url).send().await.ok().map(|answer| answer.status().as_u16())
    }

    /// Both polls, on every instance at the same moment.
    fn cron(&self, every: Duration) -> Cron {
        let (http, ports) = (self.http.clone(), self.ports.clone());
        Cron(tokio::spawn(async move {
            loop {
                futures_util::future::join_all(calls_of_cron(&http, &ports)).await;
                tokio::time::sleep(every).await;
            }
        }))
    }

    /// A command that ends: what it printed, if it succeeded.
    async fn run(&self, arguments: &'static [&'static str]) -> String {
        let mut command = self.command("commands.log");
        let output = spawn_blocking(move || command.args(arguments).stdout(Stdio::piped()).output());
        let output = output.await.unwrap().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "casebridge {}: {printed}", arguments.join(" "));
        printed
    }

    /// The mappings, as JSON.
    async fn mappings(&self) -> Vec<Value> {
        let lines = self.run(&["mappings", "--json"]).await;
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    // ------------------------------------------------------------ people

    /// Opens so many cases on each side; at Google first.
    async fn open(&self, name: &str, cases: Sides<usize>) {
        for number in 0..cases.google {
            self.systems.google_case_of(&format!("{name} {number} from Google"), csapi::Priority::P2);
        }
        for number in 0..cases.company {
            self.desk.opens(NewCompanyCase::flagged(&format!("{name} {number} from the CRM"))).await;
        }
    }

    /// Waits until there are so many pairs.
    async fn pairs(&self, count: usize) -> Vec<Pair> {
        self.until("every case has its counterpart", async |app| {
            let linked = app.linked().await.len();
            if linked == count { Vec::new() } else { vec![format!("{linked} of {count} are linked")] }
        })
        .await;
        let linked = self.linked().await;
        linked
            .into_iter()
            .map(|(google, company)| Pair {
                google,
                company,
                said: Sides::default(),
                files: Sides::default(),
                priority: Priority::P2,
                closed: false,
            })
            .collect()
    }

    /// The names and IDs of the company cases that name a Google case.
    async fn linked(&self) -> Vec<(String, String)> {
        let cases = self.desk.cases().await.into_iter();
        cases.filter_map(|case| Some((case.google_name?, case.id))).collect()
    }

    async fn says(&self, pair: &mut Pair, side: Side, text: String) {
        match side {
            Side::Google => {
                self.systems.csapi.add_comment(&pair.google, Author::google("Ada Lovelace"), &text).unwrap();
            }
            Side::Company => {
                self.desk.says(&pair.company, &text, Visibility::Public).await;
            }
        }
        pair.said[side].push(text);
    }

    async fn attaches(&self, pair: &mut Pair, side: Side, name: String) {
        let bytes = format!("The content of {name}.\n").repeat(100).into_bytes();
        match side {
            Side::Google => {
                let author = Author::customer("Grace Hopper");
                self.systems.csapi.attach(&pair.google, author, &name, "text/plain", &bytes).unwrap();
            }
            Side::Company => {
                self.desk.attaches(&pair.company, &name, "text/plain", &bytes, Visibility::Public).await;
            }
        }
        pair.files[side].push((name, bytes));
    }

    async fn sets_priority(&self, pair: &mut Pair, side: Side, priority: Priority) {
        match side {
            Side::Google => {
                let word = csapi::Priority::parse(&priority.to_string()).unwrap();
                self.systems.csapi.set_priority(&pair.google, word).unwrap();
            }
            Side::Company => self.desk.sets_priority(&pair.company, priority).await,
        }
        pair.priority = priority;
    }

    async fn closes(&self, pair: &mut Pair, side: Side) {
        match side {
            Side::Google => self.systems.csapi.close(&pair.google).unwrap(),
            Side::Company => self.desk.closes(&pair.company).await,
        }
        pair.closed = true;
    }

    // ------------------------------------------------------------ what became of it

    /// What is not as it must be: nothing missing, nothing double, comments in their order, no case too many.
    async fn differences(&self, pairs: &[Pair]) -> Vec<String> {
        let mut found = Vec::new();
        let sizes = (self.systems.csapi.cases().len(), self.desk.cases().await.len());
        differ(&mut found, "cases", &sizes, &(pairs.len(), pairs.len()));
        for pair in pairs {
            let case = self.systems.csapi.case(&pair.google).unwrap();
            let company = self.desk.case(&pair.company).await.unwrap();
            let texts =
                self.systems.csapi.comments(&pair.google).unwrap().into_iter().map(|comment| comment.body);
            let at_google = copies(texts.collect(), "[Company Comment ");
            let in_crm = copies(company.texts(), "[Google Comment ");
            differ(&mut found, &format!("comments of {}", pair.google), &at_google, &pair.said.company);
            differ(&mut found, &format!("comments of {}", pair.company), &in_crm, &pair.said.google);
            differ(
                &mut found,
                &format!("files of {}", pair.google),
                &names(&self.files_at_google(pair)),
                &names(&pair.files.company),
            );
            let mut in_crm = Vec::new();
            for file in company.copied_files() {
                in_crm.push((file.name.clone(), self.desk.content(&file.id).await.unwrap()));
            }
            differ(
                &mut found,
                &format!("files of {}", pair.company),
                &names(&in_crm),
                &names(&pair.files.google),
            );
            let priorities = (case.priority.unwrap().as_str(), company.has_priority(pair.priority));
            differ(
                &mut found,
                &format!("priority of {}", pair.google),
                &priorities,
                &(pair.priority.to_string().as_str(), true),
            );
            let closed = (case.state == State::Closed, company.closed);
            differ(&mut found, &format!("closing of {}", pair.google), &closed, &(pair.closed, pair.closed));
        }
        found
    }

    /// How many comments have arrived on the other side.
    async fn carried(&self, pairs: &[Pair]) -> usize {
        let mut carried = 0;
        for pair in pairs {
            let texts =
                self.systems.csapi.comments(&pair.google).unwrap().into_iter().map(|comment| comment.body);
            carried += copies(texts.collect(), "[Company Comment ").len();
            carried += copies(self.desk.case(&pair.company).await.unwrap().texts(), "[Google Comment ").len();
        }
        carried
    }

    /// The files that the connector has brought, by name, with what they hold.
    fn files_at_google(&self, pair: &Pair) -> Vec<(String, Vec<u8>)> {
        let files = self.systems.csapi.attachments(&pair.google).unwrap().into_iter();
        files
            .filter(|file| matches!(file.author, Author::ServiceAccount { .. }))
            .map(|file| (file.filename, self.systems.csapi.attachment_bytes(&pair.google, &file.id).unwrap()))
            .collect()
    }

    /// Waits for something that happens by itself.
    async fn until(&self, what: &str, missing: impl AsyncFn(&Self) -> Vec<String>) {
        let begun = Instant::now();
        loop {
            let missing = missing(self).await;
            if missing.is_empty() {
                return;
            }
            if begun.elapsed() > LIMIT {
                self.show_logs();
                panic!("never: {what}:\n{}", missing.join("\n"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn show_logs(&self) {
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let lines: Vec<&str> = text.lines().collect();
                println!("{}:\n{}", path.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
            }
        }
    }

    async fn until_all_is_carried(&self, pairs: &[Pair]) {
        self.until("everything is carried once", async |app| app.differences(pairs).await).await;
    }

    /// Nothing is left to do, and another round of polls finds nothing either. Cron is off.
    async fn assert_quiet(&self, pairs: &[Pair]) {
        self.until_nothing_waits().await;
        futures_util::future::join_all(calls_of_cron(&self.http, &self.ports)).await;
        self.until_nothing_waits().await;
        let differences = self.differences(pairs).await;
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        assert_eq!(self.mappings().await.len(), pairs.len());
    }

    async fn until_nothing_waits(&self) {
        self.until("nothing waits any more", async |app| {
            let mut waiting = Vec::new();
            if let Some(front) = &app.front {
                let queued = front.counts().await.waiting;
                if queued > 0 {
                    waiting.push(format!("{queued} tasks"));
                }
            }
            let waits = |mapping: &&Value| {
                let side = |side: &str| !mapping[side]["waiting_since"].is_null();
                side("google") || side("company") || !mapping["leased_until"].is_null()
            };
            waiting.extend(app.mappings().await.iter().filter(waits).map(Value::to_string));
            waiting
        })
        .await;
    }
}

fn calls_of_cron(
    http: &reqwest::Client,
    ports: &[u16],
) -> Vec<impl Future<Output = Result<reqwest::Response, reqwest::Error>> + use<>> {
    let urls = ports.iter().flat_map(|port| {
        ["poll-google", "poll-company"].map(|poll| format!("http://127.0.0.1:{port}/cron/{poll}"))
    });
    urls.map(|url| http.get(url).header("X-Appengine-Cron", "true").send()).collect()
}

fn differ<T: PartialEq + std::fmt::Debug>(found: &mut Vec<String>, what: &str, is: &T, should: &T) {
    if is != should {
        found.push(format!("{what}: {is:?} instead of {should:?}"));
    }
}

/// By name, and with a short word for the content.
fn names(files: &[(String, Vec<u8>)]) -> Vec<(String, String)> {
    let word = |bytes: &[u8]| {
        format!(
            "{} bytes beginning {:?}",
            bytes.len(),
            String::from_utf8_lossy(&bytes[..40.min(bytes.len())])
        )
    };
    let mut names: Vec<_> = files.iter().map(|(name, bytes)| (name.clone(), word(bytes))).collect();
    names.sort();
    names
}

// ---------------------------------------------------------------- whole cases, whatever the configuration names

async fn whole_cases_travel(mut app: App) {
    app.start(0).await;
    app.run(&["check"]).await;
    let cron = app.cron(Duration::from_secs(2));
    app.open("Case", Sides { google: 1, company: 1 }).await;
    let mut pairs = app.pairs(2).await;
    // A sync that fails half-way, and is repeated by its queue.
    let broken = Fault::always(Effect::ErrorBefore { status: 500, body: None });
    app.desk.faults().unwrap().add(broken.on("POST", "/comment").after(2).times(1));
    if let Some(front) = &app.front {
        // Tasks that are queued although nobody hears of it, and ones that are queued at the second or third try.
        front.fail(&["lost", "503", "429", "lost"]).await;
    }
    for (number, pair) in pairs.iter_mut().enumerate() {
        for side in Side::BOTH {
            for comment in 0..3 {
                app.says(pair, side, format!("Comment {comment} on case {number}, said at {side:?}")).await;
            }
            app.attaches(pair, side, format!("file-{number}-{side:?}.txt")).await;
        }
    }
    app.sets_priority(&mut pairs[0], Side::Google, Priority::P1).await;
    app.sets_priority(&mut pairs[1], Side::Company, Priority::P3).await;
    app.until_all_is_carried(&pairs).await;
    app.closes(&mut pairs[0], Side::Google).await;
    app.closes(&mut pairs[1], Side::Company).await;
    app.until_all_is_carried(&pairs).await;
    drop(cron);
    app.assert_quiet(&pairs).await;
    if let Some(front) = &app.front {
        let counts = front.counts().await;
        println!("{counts:?}");
        assert!(counts.failed > 0, "the sync that failed was repeated by the queue: {counts:?}");
        assert!(counts.existed > 0, "a name was used twice, which was a success: {counts:?}");
    }
}

async fn on_google_cloud(kind: Kind) -> App {
    let ports = vec![free_port()];
    let front = front_for(&ports).await;
    let host = spawn_blocking(move || shared(kind)).await.unwrap().host();
    let environment = google_cloud(kind, &new_project(), host, &front);
    App::new(ports, environment, Some(front)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_cases_travel_with_sqlite_and_the_embedded_queue() {
    whole_cases_travel(App::new(vec![free_port()], embedded(), None).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_cases_travel_with_firestore_and_app_engines_queue() {
    whole_cases_travel(on_google_cloud(Kind::FirestoreNative).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_cases_travel_with_datastore_mode_and_app_engines_queue() {
    whole_cases_travel(on_google_cloud(Kind::FirestoreDatastoreMode).await).await;
}

// ---------------------------------------------------------------- the database is killed

/// Comments, a file and a priority for each pair, on both sides.
async fn a_burst(app: &App, pairs: &mut [Pair], name: &str) {
    for (number, pair) in pairs.iter_mut().enumerate() {
        for comment in 0..6 {
            for side in Side::BOTH {
                app.says(pair, side, format!("{name} {comment} on case {number}")).await;
            }
        }
        for side in Side::BOTH {
            app.attaches(pair, side, format!("{name}-{number}-{side:?}.txt")).await;
        }
    }
}

/// R13 with the database as the one that goes away. What it has acknowledged it keeps, as the real one does; of what was under
/// way, nobody knows.
async fn the_database_is_killed_in_the_middle(kind: Kind) {
    let emulator = spawn_blocking(move || Emulator::start(kind)).await.unwrap();
    let relay = Relay::to(emulator.host()).await;
    let ports = vec![free_port()];
    let front = front_for(&ports).await;
    let project = new_project();
    let environment = google_cloud(kind, &project, relay.host(), &front);
    let mut app = App::new(ports, environment, Some(front)).await;
    app.start(0).await;
    let cron = app.cron(Duration::from_secs(2));
    app.open("Before", Sides { google: 2, company: 2 }).await;
    let mut pairs = app.pairs(4).await;

    app.slow_down();
    a_burst(&app, &mut pairs, "before").await;
    app.until("a part is carried", async |app| {
        let carried = app.carried(&pairs).await;
        if carried >= 10 { Vec::new() } else { vec![format!("{carried} comments")] }
    })
    .await;
    // Every connection breaks at once. The emulator has all in its memory: what it has acknowledged is kept before it is killed.
    relay.cut();
    let carried = app.carried(&pairs).await;
    assert!(carried < 48, "everything was carried before the database was killed");
    let export = emulator.export(&project, app.folder.path()).await;
    let port = emulator.port();
    spawn_blocking(move || drop(emulator)).await.unwrap();

    // People do not stop, nor does cron.
    a_burst(&app, &mut pairs, "meanwhile").await;
    app.open("Meanwhile", Sides { google: 1, company: 1 }).await;
    app.sets_priority(&mut pairs[0], Side::Google, Priority::P0).await;
    app.sets_priority(&mut pairs[3], Side::Company, Priority::P4).await;
    app.until("the service knows", async |app| match app.status(0, "readyz").await {
        Some(500) => Vec::new(),
        status => vec![format!("{status:?}")],
    })
    .await;
    assert_eq!(app.status(0, "healthz").await, Some(200), "it lives");

    let _emulator = spawn_blocking(move || Emulator::start_from(kind, port, &export)).await.unwrap();
    relay.mend();
    let mut later = app.pairs(6).await;
    later.retain(|pair| pairs.iter().all(|known| known.company != pair.company));
    pairs.append(&mut later);
    app.until_all_is_carried(&pairs).await;
    drop(cron);
    app.assert_quiet(&pairs).await;
    assert!(app.is_running(0), "the same process all the time");
    let counts = app.front.as_ref().unwrap().counts().await;
    println!("{kind:?} killed when {carried} of 48 comments were carried; {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firestore_is_killed_in_the_middle_and_nothing_is_lost_or_doubled() {
    the_database_is_killed_in_the_middle(Kind::FirestoreNative).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datastore_mode_is_killed_in_the_middle_and_nothing_is_lost_or_doubled() {
    the_database_is_killed_in_the_middle(Kind::FirestoreDatastoreMode).await;
}

// ---------------------------------------------------------------- two instances

/// 200 changes: 120 comments, 60 files and 20 priorities, on six cases, both ways. Each instance is killed once on the way, and comes
/// back a little later.
async fn two_hundred_changes(app: &mut App, pairs: &mut [Pair]) -> BTreeMap<&'static str, usize> {
    const PRIORITIES: [Priority; 4] = [Priority::P0, Priority::P4, Priority::P1, Priority::P3];
    let mut made = BTreeMap::new();
    for number in 0..200 {
        let side = Side::BOTH[number % 2];
        let case = number / 2 % pairs.len();
        let pair = &mut pairs[case];
        let kind = match number % 20 {
            0..12 => {
                app.says(pair, side, format!("change {number:03}")).await;
                "comments"
            }
            12..18 => {
                app.attaches(pair, side, format!("change-{number:03}.txt")).await;
                "files"
            }
            _ => {
                // Each case's priority is changed on one side only: which of two wins is another matter.
                let side = Side::BOTH[case % 2];
                app.sets_priority(pair, side, PRIORITIES[number / 20 % PRIORITIES.len()]).await;
                "priorities"
            }
        };
        *made.entry(kind).or_default() += 1;
        match number {
            60 => app.kill(1),
            90 => app.start(1).await,
            140 => app.kill(0),
            170 => app.start(0).await,
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    made
}

/// R9 and R12 between processes: both are given deliveries at the same time, both poll at the same moments, and each is killed once
/// on the way.
async fn two_instances_share_a_burst(kind: Kind) {
    let ports = vec![free_port(), free_port()];
    let front = front_for(&ports).await;
    let host = spawn_blocking(move || shared(kind)).await.unwrap().host();
    let environment = google_cloud(kind, &new_project(), host, &front);
    let mut app = App::new(ports, environment, Some(front)).await;
    app.start(0).await;
    app.start(1).await;
    let cron = app.cron(Duration::from_secs(1));
    app.open("Case", Sides { google: 3, company: 3 }).await;
    let mut pairs = app.pairs(6).await;

    app.slow_down();
    let begun = Instant::now();
    let made = two_hundred_changes(&mut app, &mut pairs).await;
    let wrote = begun.elapsed();
    app.until_all_is_carried(&pairs).await;
    let took = begun.elapsed();
    drop(cron);
    app.assert_quiet(&pairs).await;
    let counts = app.front.as_ref().unwrap().counts().await;
    println!("{kind:?}: {made:?} on 6 cases, made in {wrote:.1?}, all carried after {took:.1?}; {counts:?}");
    assert!(
        counts.delivered.values().all(|deliveries| *deliveries > 0),
        "one instance did nothing: {counts:?}"
    );
    assert!(counts.most_at_once >= 2, "nothing was ever done by both at the same time: {counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_a_burst_of_200_changes_over_firestore() {
    two_instances_share_a_burst(Kind::FirestoreNative).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_a_burst_of_200_changes_over_datastore_mode() {
    two_instances_share_a_burst(Kind::FirestoreDatastoreMode).await;
}
