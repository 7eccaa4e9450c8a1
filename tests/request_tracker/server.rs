//! Request Tracker, as processes of our own, and the people who work with it.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use casebridge::clock::{SharedClock, SystemClock};
use casebridge::crm::CrmKind as _;
use casebridge::crm::PriorityWords;
use casebridge::crm::request_tracker::{NAME, RequestTracker, RequestTrackerSettings};
use casebridge::entities::Priority;
use casebridge::outbound::{RetryPolicy, Upstream, UpstreamSettings};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Utc};
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

const SERVER: &str = "/usr/share/request-tracker5/libexec/rt-server";
/// Tests that may share a server.
const SLOTS: usize = 223;
/// The numbers of the five levels.
pub(crate) const NUMBERS: [u8; 5] = [100, 75, 50, 25, 0];

/// A queue, and the connector's user with rights on it alone.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) queue: String,
    pub(crate) user: String,
    pub(crate) token: String,
}

/// A running Request Tracker. It ends when this is dropped, and with this process however that ends.
pub(crate) struct Server {
    process: Mutex<Option<Child>>,
    folder: PathBuf,
    /// Bound and never listening: nobody else gets the port, also while the server is stopped; the server may bind it too.
    _reserved: TcpSocket,
    port: u16,
    /// Jane's and Joe's.
    tokens: Vec<String>,
    slots: Vec<Slot>,
    next: AtomicUsize,
}

impl Server {
    /// Starts one with an empty database and that many slots.
    pub(crate) fn start(slots: usize) -> Self {
        Self::with(slots, "")
    }

    /// The same with more lines in its configuration.
    pub(crate) fn with(slots: usize, lines: &str) -> Self {
        assert!(
            Path::new(SERVER).is_file(),
            "{SERVER} is missing: these tests need Request Tracker 5, which .ci/request-tracker.sh installs"
        );
        let folder = tempfile::Builder::new().prefix("casebridge-rt").tempdir().unwrap().keep();
        let reserved = TcpSocket::new_v4().unwrap();
        reserved.set_reuseaddr(true).unwrap();
        reserved.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let port = reserved.local_addr().unwrap().port();
        std::fs::create_dir(folder.join("site.d")).unwrap();
        // A zone that is behind UTC, and has summer time: a time that is read in it would be found too late.
        let config = format!(
            "Set($rtname, 'example.test');\nSet($Organization, 'example.test');\nSet($WebDomain, '127.0.0.1');\n\
             Set($WebPort, {port});\nSet($WebPath, '');\nSet($DatabaseType, 'SQLite');\nSet($DatabaseName, '{}');\n\
             Set($BcryptCost, 4);\nSet($Timezone, 'America/New_York');\nSet($LogToSTDERR, 'error');\n\
             Set($LogToSyslog, undef);\nSet($MailCommand, 'testfile');\nSet($MasonDataDir, '{}');\n{lines}\n1;\n",
            folder.join("rt.db").display(),
            folder.join("mason").display(),
        );
        std::fs::write(folder.join("RT_SiteConfig.pm"), config).unwrap();
        let mut server = Self {
            process: Mutex::default(),
            folder,
            _reserved: reserved,
            port,
            tokens: Vec::new(),
            slots: Vec::new(),
            next: AtomicUsize::new(0),
        };
        server.run("rt-setup-database-5", &["--action", "init", "--skip-create"]);
        let seed = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/request_tracker/seed.pl");
        for line in server.run("perl", &[seed, &slots.to_string()]).lines() {
            match line.split('\t').collect::<Vec<_>>().as_slice() {
                [_, token] => server.tokens.push((*token).to_owned()),
                [queue, user, token] => server.slots.push(Slot {
                    queue: (*queue).to_owned(),
                    user: (*user).to_owned(),
                    token: (*token).to_owned(),
                }),
                _ => panic!("seed.pl said {line:?}"),
            }
        }
        assert_eq!((server.tokens.len(), server.slots.len()), (2, slots));
        server.resume();
        server
    }

    /// The one that all tests share which do not stop it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(SLOTS))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("RT_SITE_CONFIG", self.folder.join("RT_SiteConfig.pm"))
            .env("RT_SITE_CONFIG_DIR", self.folder.join("site.d"))
            .env("TMPDIR", &self.folder)
            .current_dir(&self.folder);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts the server, on the port and with the database that it had.
    pub(crate) fn resume(&self) {
        self.resume_with(&[]);
    }

    /// The same with a clock of its own: `-15m`, or `@2026-03-08 08:10:00` in UTC.
    pub(crate) fn resume_at(&self, time: &str) {
        let found = Command::new("faketime").arg("--version").output();
        assert!(found.is_ok(), "faketime is missing, which .ci/request-tracker.sh installs");
        self.resume_with(&["env", "TZ=UTC", "faketime", "-f", time]);
    }

    fn resume_with(&self, under: &[&str]) {
        let port = self.port.to_string();
        // A worker is replaced after a hundred requests otherwise, and a new one loads and compiles for seconds.
        let server = [
            SERVER,
            "--server",
            "Starlet",
            "--host",
            "127.0.0.1",
            "--port",
            &port,
            "--max-workers",
            "2",
            "--max-reqs-per-child",
            "1000000",
        ];
        let program = [under, &server].concat();
        let mut shell = self.command("bash");
        let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/request_tracker");
        shell.env("PERL5LIB", modules).env("PERL5OPT", "-MRememberedHashes");
        let process = watched(shell, &self.folder, &program);
        *self.process.lock().unwrap() = Some(process);
        let begun = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(
                begun.elapsed() < Duration::from_mins(10),
                "Request Tracker did not start:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Returns the server's log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// Stops the server; its database stays.
    pub(crate) fn stop(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            if let Some(mut input) = process.stdin.take() {
                let _ = input.write_all(b"keep\n");
            }
            process.wait().unwrap();
        }
        // What was killed holds its port until it is quite gone.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The address of its web pages.
    pub(crate) fn home(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The address of a ticket's page.
    pub(crate) fn address(&self, ticket: &str) -> String {
        format!("{}/Ticket/Display.html?id={ticket}", self.home())
    }

    /// A queue that no other test has.
    pub(crate) fn slot(&self) -> Slot {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.slots.get(next).expect("as many slots as tests").clone()
    }

    /// A queue with more than a hundred before it, by name. `slot` takes the others first.
    pub(crate) fn slot_behind_a_hundred(&self) -> Slot {
        let slot = self.slots.last().expect("slots").clone();
        assert!(self.slots.iter().filter(|other| other.queue < slot.queue).count() > 100, "{slot:?}");
        slot
    }

    /// Changes something as an administrator would: Perl that alter.pl explains. Rights count from the next request on.
    pub(crate) fn alter(&self, slot: &Slot, perl: &str) {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/request_tracker/alter.pl");
        self.run("perl", &[script, &slot.queue, &slot.user, perl]);
    }

    /// The settings that docs/crm-request-tracker.md leads to.
    pub(crate) fn settings(slot: &Slot) -> RequestTrackerSettings {
        RequestTrackerSettings {
            queue: slot.queue.clone(),
            user: slot.user.clone(),
            token: Some("env:TOKEN".to_owned()),
            ..RequestTrackerSettings::default()
        }
    }

    /// The adapter, as the connector's user of that slot.
    pub(crate) fn adapter(&self, slot: &Slot) -> RequestTracker {
        self.adapter_with(slot, Self::settings(slot), Arc::new(SystemClock))
    }

    /// The same with other settings or another clock.
    pub(crate) fn adapter_with(
        &self,
        slot: &Slot,
        settings: RequestTrackerSettings,
        clock: SharedClock,
    ) -> RequestTracker {
        self.connect(slot, settings, clock, "", Metrics::shared())
    }

    /// The same with the number of calls in `metrics`.
    pub(crate) fn counted_adapter(&self, slot: &Slot, metrics: Arc<Metrics>) -> RequestTracker {
        self.connect(slot, Self::settings(slot), Arc::new(SystemClock), "", metrics)
    }

    /// The same with an address that is wrong by a path.
    pub(crate) fn adapter_at(&self, slot: &Slot, path: &str) -> RequestTracker {
        self.connect(slot, Self::settings(slot), Arc::new(SystemClock), path, Metrics::shared())
    }

    #[expect(clippy::needless_pass_by_value, reason = "as the other parts take it")]
    fn connect(
        &self,
        slot: &Slot,
        settings: RequestTrackerSettings,
        clock: SharedClock,
        path: &str,
        metrics: Arc<Metrics>,
    ) -> RequestTracker {
        assert_eq!(settings.problems(), Vec::<String>::new());
        let words = PriorityWords::new(NUMBERS.map(|number| number.to_string())).unwrap();
        assert_eq!(settings.priority_problems(&words), Vec::<String>::new());
        let upstream = UpstreamSettings {
            name: NAME,
            base_url: format!("http://127.0.0.1:{}{path}", self.port).parse().unwrap(),
            requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
            timeout: Duration::from_mins(1),
            retry: RetryPolicy {
                attempts: 2,
                first_pause: Duration::from_millis(10),
                longest_pause: Duration::from_millis(50),
            },
            download_hosts: Vec::new(),
        };
        let credentials = settings.credentials(&slot.token, &"http://localhost".parse().unwrap()).unwrap();
        let upstream = Upstream::new(upstream, credentials, clock.clone(), metrics).unwrap();
        RequestTracker::new(settings, words, upstream)
    }

    /// Jane Roe at her browser.
    pub(crate) fn jane(&self) -> Person {
        self.person(0)
    }

    /// Joe Bloggs at his.
    pub(crate) fn joe(&self) -> Person {
        self.person(1)
    }

    fn person(&self, index: usize) -> Person {
        Person {
            base: format!("http://127.0.0.1:{}/REST/2.0", self.port),
            token: self.tokens[index].clone(),
            http: casebridge::outbound::http_client().no_proxy().build().unwrap(),
        }
    }
}

/// Starts a program that ends with this process, however that ends, and its folder with it. `shell` is a bash to be started.
///
/// The shell waits for the end of its input, which it shares with nobody: the pipe closes when this process ends, even by a
/// signal (one that goes to the whole group is ignored), and then the shell takes the program's whole process group with it.
/// A line `keep` ends the program and leaves the folder.
fn watched(mut shell: Command, folder: &Path, program: &[&str]) -> Child {
    let script = "set -m; trap '' HUP INT TERM; (trap - HUP INT TERM; exec \"$@\") < /dev/null & child=$!; \
                  read -r last; kill -TERM -- -$child; wait $child; \
                  kill -KILL -- -$child 2>/dev/null; [ \"$last\" = keep ] || rm -rf \"$folder\"";
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    shell
        .env("folder", folder)
        .args(["-c", script, "bash"])
        .args(program)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            drop(process.stdin.take());
            let _ = process.wait();
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Somebody who may do everything.
pub(crate) struct Person {
    base: String,
    token: String,
    http: reqwest::Client,
}

impl Person {
    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let token = format!("token {}", self.token);
        self.http.request(method, format!("{}{path}", self.base)).header("Authorization", token)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> (Value, Option<String>) {
        let response = request.send().await.unwrap();
        let status = response.status();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let body = response.text().await.unwrap();
        assert!(status.is_success(), "{status}: {body}");
        (serde_json::from_str(&body).unwrap_or(Value::Null), location)
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        self.send(self.request(Method::GET, path)).await.0
    }

    /// Makes a ticket; its ID.
    pub(crate) async fn creates(&self, queue: &str, title: &str, description: &str, flagged: bool) -> String {
        let mut ticket = json!({
            "Queue": queue, "Subject": title, "Content": description, "ContentType": "text/plain", "Priority": 50,
        });
        if flagged {
            ticket["CustomFields"] = json!({ "synchronizeWithGoogleCloudSupport": "true" });
        }
        let (made, _) = self.send(self.request(Method::POST, "/ticket").json(&ticket)).await;
        made["id"].as_str().unwrap().to_owned()
    }

    /// Writes a comment (internal) or a reply; the ID of the transaction.
    pub(crate) async fn writes(&self, ticket: &str, public: bool, content_type: &str, body: &str) -> String {
        let content = json!({ "Content": body, "ContentType": content_type });
        let request = self.request(Method::POST, &messages(ticket, public)).json(&content);
        last(&self.send(request).await.1.unwrap())
    }

    /// Attaches a file to a comment (internal) or a reply; its ID.
    pub(crate) async fn attaches(
        &self,
        ticket: &str,
        public: bool,
        filename: &str,
        content: &[u8],
    ) -> String {
        if content.is_empty() {
            // REST takes no upload without content, and Perl takes "0" for no name.
            let name = if filename == "0" { "zero" } else { filename };
            return self.attaches_as(ticket, public, name, "application/octet-stream", content).await;
        }
        let part = Part::bytes(content.to_vec()).mime_str("application/octet-stream").unwrap();
        let part = part.file_name(filename.to_owned());
        let form = Form::new().percent_encode_noop().text("JSON", json!({ "NoContent": 1 }).to_string());
        let request = self.request(Method::POST, &messages(ticket, public));
        self.attached(request.multipart(form.part("Attachments", part))).await
    }

    /// The same, with a type, and whatever the name holds.
    pub(crate) async fn attaches_as(
        &self,
        ticket: &str,
        public: bool,
        filename: &str,
        media_type: &str,
        content: &[u8],
    ) -> String {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(content);
        // Perl takes nothing for no file.
        let encoded = if encoded.is_empty() { "=".to_owned() } else { encoded };
        let file = json!({ "FileName": filename, "FileType": media_type, "FileContent": encoded });
        let request = self.request(Method::POST, &messages(ticket, public));
        self.attached(request.json(&json!({ "NoContent": 1, "Attachments": [file] }))).await
    }

    /// The ID of the file that this brings.
    async fn attached(&self, request: reqwest::RequestBuilder) -> String {
        let transaction = last(&self.send(request).await.1.unwrap());
        let parts =
            self.get(&format!("/transaction/{transaction}/attachments?fields=Filename&per_page=100")).await;
        let file = parts["items"].as_array().unwrap().iter().find(|part| part["Filename"] != "");
        file.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// Changes a ticket; what Request Tracker says.
    pub(crate) async fn changes(&self, ticket: &str, fields: Value) -> Value {
        self.send(self.request(Method::PUT, &format!("/ticket/{ticket}")).json(&fields)).await.0
    }

    pub(crate) async fn flags(&self, ticket: &str, flagged: bool) {
        let fields = json!({ "synchronizeWithGoogleCloudSupport": if flagged { "true" } else { "false" } });
        self.changes(ticket, json!({ "CustomFields": fields })).await;
    }

    pub(crate) async fn sets_priority(&self, ticket: &str, priority: Priority) {
        let number = NUMBERS[usize::from(priority.level())];
        self.changes(ticket, json!({ "Priority": number })).await;
    }

    pub(crate) async fn sets_status(&self, ticket: &str, status: &str) {
        self.changes(ticket, json!({ "Status": status })).await;
        assert_eq!(self.ticket(ticket).await["Status"], status);
    }

    pub(crate) async fn ticket(&self, ticket: &str) -> Value {
        self.get(&format!("/ticket/{ticket}")).await
    }

    /// When a ticket was last updated, by Request Tracker's clock.
    pub(crate) async fn updated_at(&self, ticket: &str) -> DateTime<Utc> {
        self.ticket(ticket).await["LastUpdated"].as_str().unwrap().parse().unwrap()
    }

    /// What Request Tracker keeps of a file.
    pub(crate) async fn content(&self, attachment: &str) -> Vec<u8> {
        use base64::Engine as _;
        let found = self.get(&format!("/attachment/{attachment}")).await;
        let text: String = found["Content"].as_str().unwrap_or_default().split_whitespace().collect();
        base64::engine::general_purpose::STANDARD.decode(text).unwrap()
    }

    /// All parts of all messages on a ticket, oldest first.
    pub(crate) async fn parts(&self, ticket: &str) -> Vec<Value> {
        let fields = "Filename,ContentType,Content,TransactionId";
        let found = self
            .get(&format!("/ticket/{ticket}/attachments?fields={fields}&per_page=100&orderby=id&order=ASC"))
            .await;
        found["items"].as_array().unwrap().clone()
    }
}

impl Server {
    /// What a browser gets of a ticket's history, as HTML.
    pub(crate) async fn page(&self, ticket: &str) -> String {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        let base = format!("http://127.0.0.1:{}", self.port);
        let login = http
            .post(format!("{base}/NoAuth/Login.html"))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body("user=jane&pass=for+tests+only")
            .send()
            .await
            .unwrap();
        let cookie = login.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let url = format!("{base}/Ticket/History.html?id={ticket}");
        let page = http.get(url).header("Cookie", cookie).send().await.unwrap();
        assert_eq!(page.status(), 200);
        page.text().await.unwrap()
    }
}

#[test]
fn a_server_ends_with_its_test_and_not_before() {
    fn alive(process: &str) -> bool {
        Command::new("kill").args(["-0", process]).stderr(Stdio::null()).status().unwrap().success()
    }
    let within = |what: &str, holds: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !holds() {
            assert!(begun.elapsed() < Duration::from_mins(8), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    for last in ["", "keep\n"] {
        let folder = tempfile::tempdir().unwrap().keep();
        // A program with a child of its own; both write down who they are.
        let program = ["bash", "-c", "sleep 600 & echo $! $$ > pids.new; mv pids.new pids; wait"];
        let mut shell = Command::new("bash");
        shell.current_dir(&folder);
        let mut watch = watched(shell, &folder, &program);
        within("the program starts", &|| folder.join("pids").exists());
        let pids = std::fs::read_to_string(folder.join("pids")).unwrap();
        let pids: Vec<&str> = pids.split_whitespace().collect();
        // What a terminal or a supervisor sends to all of a test's processes: only the test may end of it.
        for signal in ["-HUP", "-INT", "-TERM"] {
            assert!(Command::new("kill").args([signal, &watch.id().to_string()]).status().unwrap().success());
        }
        // The shell comes to its signals before it comes to its input.
        assert!(watch.try_wait().unwrap().is_none());
        assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
        let mut input = watch.stdin.take().unwrap();
        input.write_all(last.as_bytes()).unwrap();
        // The end of this process, however it comes, closes its end of the pipe.
        drop(input);
        watch.wait().unwrap();
        within("all of it ends", &|| !pids.iter().any(|pid| alive(pid)));
        assert_eq!(folder.exists(), last == "keep\n");
        let _ = std::fs::remove_dir_all(&folder);
    }
}

/// Where replies to a ticket go, and comments on it, which are internal.
fn messages(ticket: &str, public: bool) -> String {
    format!("/ticket/{ticket}/{}", if public { "correspond" } else { "comment" })
}

fn last(location: &str) -> String {
    location.rsplit('/').next().unwrap().to_owned()
}
