//! Calls and time that the connector takes for what it does most, as one table beside the figures of an earlier run.
//!
//! - `cargo bench --bench figures` prints all rows; `cargo bench --bench figures -- hang comments` those whose name contains one of the words.
//! - `-- --save` writes the printed figures to `benches/figures.json`, with which later runs are compared.
//! - `-- --small` takes a twentieth of the cases and comments, to try the benchmark itself. Its figures are not saved.
//!
//! The real binary with its cron and its embedded queue stands between a sandbox CSAPI and a sandbox Jira that answer after 20 ms. Rows in
//! calls for a comment are counted in virtual time and are the same on any machine. All others depend on the machine: its load is printed
//! too. `TMPDIR` has to be on a disk, for the bytes that are written. It takes about an hour, most of it for 600 comments at 300 calls a
//! minute and for the pauses in which each set of cases comes to rest.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking, in its support code as well as in itself"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use casebridge::clock::SystemClock;
use casebridge::entities::Side;
use casebridge::sandbox::csapi::Author;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{NewIssue, SandboxJiraSettings};
use casebridge::sandbox::pubsub::SandboxPubsub;
use casebridge_testkit::harness::calls;
use casebridge_testkit::harness::crm::Crm;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::servicenow::ServiceNowKind;
use casebridge_testkit::harness::zendesk::ZendeskKind;
use casebridge_testkit::service::{Process, Systems, binary, free_port, listen, serve_with};

/// Rate limit of the default configuration, in calls a minute.
const DEFAULT_RATE: usize = 300;
/// Rate limit that limits nothing.
const NO_LIMIT: usize = 600_000;
/// Time that each answer of a sandbox takes.
const LATENCY_MS: u64 = 20;
/// Time that a call to a case that hangs takes: longer than the timeout of a call.
const HANGS_MS: u64 = 600_000;
const WORDS: &str = "It happens again";

/// Printed figures, in their order.
struct Table {
    /// Names of the rows to measure; empty: all.
    wanted: Vec<String>,
    small: bool,
    before: BTreeMap<String, f64>,
    now: Vec<(String, f64)>,
}

impl Table {
    fn wants(&self, row: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|word| row.contains(word.as_str()))
    }

    fn size(&self, size: usize) -> usize {
        if self.small { size.div_ceil(20) } else { size }
    }

    fn print(&mut self, row: impl Into<String>, figure: f64) {
        let row = row.into();
        let before = self.before.get(&row);
        let shown = before.map_or_else(|| "–".to_owned(), |before| format!("{before:.2}"));
        println!("| {row} | {shown} | {figure:.2} |");
        self.now.push((row, figure));
    }
}

#[tokio::main]
async fn main() {
    let (options, wanted): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).filter(|word| word != "--bench").partition(|word| word.starts_with("--"));
    let has = |option: &str| options.iter().any(|given| given == option);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures.json");
    let saved = std::fs::read_to_string(&file).ok();
    let before: BTreeMap<String, f64> =
        saved.map(|text| serde_json::from_str(&text).unwrap()).unwrap_or_default();
    let mut table = Table { wanted, small: has("--small"), before, now: Vec::new() };
    println!("load of the machine at the beginning: {}", load());
    println!("| | before | now |\n| --- | ---: | ---: |");
    comment_calls(&mut table).await;
    for cases in [100, 600] {
        if table.wants(&format!("{cases} comments at once")) {
            burst(&mut table, cases).await;
        }
    }
    if table.wants("comments a second, CPU and bytes for a comment") {
        throughput(&mut table).await;
    }
    if table.wants("new cases an hour") {
        new_cases(&mut table).await;
    }
    if table.wants("first sync of a case with 5000 comments, the next comment") {
        old_case(&mut table).await;
    }
    if table.wants("pairs that hang") {
        hanging(&mut table).await;
    }
    if table.wants("a comment by push") {
        pushed(&mut table).await;
    }
    println!("\nload of the machine at the end: {}", load());
    if has("--save") && !table.small {
        let mut all = table.before;
        all.extend(table.now);
        std::fs::write(file, serde_json::to_string_pretty(&all).unwrap() + "\n").unwrap();
    }
}

fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Calls for a carried comment in the whole window, per CRM and side.
async fn comment_calls(table: &mut Table) {
    let crms: [(&dyn Crm, &str); 3] =
        [(&JiraKind, "Jira"), (&ZendeskKind, "Zendesk"), (&ServiceNowKind, "ServiceNow")];
    for (crm, name) in crms {
        for side in Side::BOTH {
            let row = format!("calls for a comment, {name}, said at the {side} side");
            if table.wants(&row) {
                let [to_google, to_crm] = calls::of_a_comment(crm, side).await;
                table.print(row, figure(to_google + to_crm));
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn figure(count: usize) -> f64 {
    count as f64
}

/// The service between two sandboxes.
struct Bench {
    systems: Systems,
    folder: tempfile::TempDir,
    deployment: &'static str,
    port: u16,
    /// More sections of the configuration.
    sections: String,
    environment: Vec<(&'static str, String)>,
    service: Option<Process>,
}

impl Bench {
    async fn new() -> Self {
        // Data Center, which has no limit of writes to one issue.
        Self::with(SandboxJiraSettings::data_center(), "data-center").await
    }

    async fn with(jira: SandboxJiraSettings, deployment: &'static str) -> Self {
        Self {
            systems: Systems::with(jira).await,
            folder: tempfile::tempdir().unwrap(),
            deployment,
            port: free_port(),
            sections: String::new(),
            environment: Vec::new(),
            service: None,
        }
    }

    /// Starts the service, again if it runs, with the configuration of production and that rate limit.
    fn serve(&mut self, rate: usize) {
        self.service = None;
        let path = self.configure(rate);
        let environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.service = Some(serve_with(&path, &environment));
    }

    /// Writes the configuration, and returns its file.
    fn configure(&self, rate: usize) -> PathBuf {
        let path: PathBuf = self.folder.path().join("casebridge.toml");
        let text = self.systems.configuration(self.folder.path(), self.port);
        let text = text
            .replace("600000", &rate.to_string())
            .replace("timeout = \"2s\"", "timeout = \"60s\"")
            .replace("[company.jira]", &format!("[company.jira]\ndeployment = \"{}\"", self.deployment))
            .replace("[sync]\nlease = \"4s\"\ndeadline = \"3s\"\n", "");
        std::fs::write(&path, text + &self.sections).unwrap();
        path
    }

    /// Makes both systems answer after the usual latency.
    fn slow_down(&self) {
        for faults in [&self.systems.csapi.faults(), self.systems.jira.faults()] {
            faults.add(Fault::always(Effect::Latency { ms: LATENCY_MS }));
        }
    }

    /// Opens so many cases at Google, waits until all are linked and at rest, and returns their names.
    async fn linked(&mut self, cases: usize) -> Vec<String> {
        let names: Vec<String> = (0..cases).map(|_| self.systems.google_case()).collect();
        self.serve(NO_LIMIT);
        self.until_linked(&names).await;
        // The rechecks of the first minutes.
        tokio::time::sleep(Duration::from_secs(100)).await;
        names
    }

    async fn until_linked(&self, names: &[String]) {
        // A comment of the connector itself ends the linking of each case.
        while self.with_words(names, "now syncing") < names.len() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Returns the number of Google cases with a comment that contains these words.
    fn with_words(&self, names: &[String], words: &str) -> usize {
        let has = |name: &&String| {
            let comments = self.systems.csapi.comments(name).unwrap();
            comments.iter().any(|comment| comment.body.contains(words))
        };
        names.iter().filter(has).count()
    }

    fn say(&self, name: &str) {
        self.systems.csapi.add_comment(name, Author::customer("Grace Hopper"), WORDS).unwrap();
    }

    /// Returns the number of copies of [`WORDS`] in Jira, on the issues of these Google cases.
    fn copies(&self, names: &[String]) -> usize {
        let issues = self.systems.jira.issues();
        let ours =
            issues.iter().filter(|issue| issue.google_name.as_ref().is_some_and(|name| names.contains(name)));
        ours.flat_map(|issue| &issue.comments).filter(|comment| comment.body.contains(WORDS)).count()
    }

    /// Waits until so many copies have arrived in Jira; returns the seconds that each took.
    async fn arrivals(&self, names: &[String], copies: usize) -> Vec<f64> {
        let began = Instant::now();
        let mut arrived = Vec::new();
        while arrived.len() < copies {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let now = self.copies(names).max(arrived.len());
            arrived.resize(now, began.elapsed().as_secs_f64());
        }
        arrived
    }

    fn calls(&self) -> usize {
        self.systems.at_csapi.calls().len() + self.systems.at_jira.calls().len()
    }

    fn process(&self) -> &Process {
        self.service.as_ref().unwrap()
    }

    /// Returns the processor time of the service since it was `before`.
    fn cpu_since(&self, before: Duration) -> Duration {
        cpu(self.process()).saturating_sub(before)
    }

    /// Returns the kilobytes that the service has caused to be written to disk since there were `before` bytes.
    fn kilobytes_since(&self, before: u64) -> f64 {
        figure(usize::try_from(written(self.process()) - before).unwrap()) / 1000.0
    }
}

/// Comments on many cases at the same moment, at the default rate limit.
async fn burst(table: &mut Table, cases: usize) {
    let mut bench = Bench::new().await;
    let names = bench.linked(table.size(cases)).await;
    // The rechecks after two and six minutes, which would take their share of the calls.
    tokio::time::sleep(Duration::from_secs(320)).await;
    bench.serve(DEFAULT_RATE);
    bench.slow_down();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = bench.calls();
    for name in &names {
        bench.say(name);
    }
    let arrived = bench.arrivals(&names, names.len()).await;
    table.print(format!("{cases} comments at once: median, s"), arrived[arrived.len() / 2]);
    table.print(format!("{cases} comments at once: last, s"), *arrived.last().unwrap());
    table.print(format!("{cases} comments at once: calls until the last"), figure(bench.calls() - before));
    let told = bench.with_words(&names, "has not synced properly");
    table.print(format!("{cases} comments at once: notices of outages"), figure(told));
}

/// Twenty comments on each of 100 cases, without a rate limit.
async fn throughput(table: &mut Table) {
    const EACH: usize = 20;
    let mut bench = Bench::new().await;
    let names = bench.linked(table.size(100)).await;
    bench.slow_down();
    let (cpu, bytes) = (cpu(bench.process()), written(bench.process()));
    for name in &names {
        (0..EACH).for_each(|_| bench.say(name));
    }
    let comments = names.len() * EACH;
    // The rate counts from the first copy, so without the wait for the poll.
    while bench.copies(&names) == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let began = Instant::now();
    let first = bench.copies(&names);
    bench.arrivals(&names, comments).await;
    let rate = figure(comments - first) / began.elapsed().as_secs_f64();
    table.print("comments a second through the embedded queue", rate);
    let count = figure(comments);
    table.print("CPU for a comment, ms", bench.cpu_since(cpu).as_secs_f64() * 1000.0 / count);
    table.print("written for a comment, kB", bench.kilobytes_since(bytes) / count);
}

/// Processor time of a process so far.
fn cpu(process: &Process) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.0.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    // `utime` and `stime` (proc(5)), in ticks of 10 ms.
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Bytes that a process has caused to be written to disk.
fn written(process: &Process) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{}/io", process.0.id())).unwrap();
    io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap()
}

/// Cases that are opened at Google at once: at the default rate limit, and without one.
async fn new_cases(table: &mut Table) {
    for (rate, cases, row) in
        [(DEFAULT_RATE, 300, "new cases an hour"), (NO_LIMIT, 400, "new cases an hour, without a limit")]
    {
        let mut bench = Bench::new().await;
        bench.linked(1).await;
        bench.serve(rate);
        bench.slow_down();
        let names: Vec<String> = (0..table.size(cases)).map(|_| bench.systems.google_case()).collect();
        while bench.with_words(&names, "now syncing") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let began = Instant::now();
        bench.until_linked(&names).await;
        let hours = began.elapsed().as_secs_f64() / 3600.0;
        table.print(row, figure(names.len() - 1) / hours);
    }
}

/// A company case with 5,000 comments that is flagged, and the next comment on it.
async fn old_case(table: &mut Table) {
    let mut bench = Bench::new().await;
    bench.linked(1).await;
    bench.slow_down();
    let comments = table.size(5_000);
    let issue = bench.systems.jira.create_issue(NewIssue::new("An old case")).unwrap();
    for number in 0..comments {
        let text = format!("{number}: {}", "What was done. ".repeat(60));
        bench.systems.jira.comment(&issue, "Jane Roe", &text).unwrap();
    }
    let (cpu, bytes) = (cpu(bench.process()), written(bench.process()));
    bench.systems.jira.set_flag(&issue, true).unwrap();
    let copies = |bench: &Bench| {
        let cases = bench.systems.csapi.cases();
        let case = cases.iter().find(|case| case.display_name == "An old case");
        let texts = case.map(|case| bench.systems.csapi.comments(&case.name).unwrap()).unwrap_or_default();
        texts.iter().filter(|comment| comment.body.starts_with("[Company Comment ")).count()
    };
    while copies(&bench) == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (began, calls) = (Instant::now(), bench.calls());
    while copies(&bench) < comments {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let row = "first sync of a case with 5000 comments";
    table.print(format!("{row}, s"), began.elapsed().as_secs_f64());
    table.print(format!("{row}: calls"), figure(bench.calls() - calls));
    table.print(format!("{row}: CPU, s"), bench.cpu_since(cpu).as_secs_f64());
    table.print(format!("{row}: written, MB"), bench.kilobytes_since(bytes) / 1000.0);
    // Past the rechecks of the first minutes.
    tokio::time::sleep(Duration::from_mins(5)).await;
    let (calls, cpu) = (bench.calls(), self::cpu(bench.process()));
    bench.systems.jira.comment(&issue, "Jane Roe", WORDS).unwrap();
    while copies(&bench) == comments {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let row = "the next comment on it, with all polls and syncs until it is there";
    table.print(format!("{row}: calls"), figure(bench.calls() - calls));
    table.print(format!("{row}: CPU, ms"), bench.cpu_since(cpu).as_secs_f64() * 1000.0);
}

/// Comments on ten healthy pairs, beside 20 pairs whose Jira issues do not answer, without a rate limit.
async fn hanging(table: &mut Table) {
    const ROUNDS: usize = 5;
    let mut bench = Bench::new().await;
    let names = bench.linked(30).await;
    bench.slow_down();
    let (healthy, hang) = names.split_at(10);
    let mut sum = 0;
    for (pairs, hang) in [(0, &[][..]), (20, hang)] {
        for issue in bench.systems.jira.issues() {
            if issue.google_name.as_ref().is_some_and(|name| hang.contains(name)) {
                let path = format!("/rest/api/2/issue/{}", issue.id);
                bench
                    .systems
                    .jira
                    .faults()
                    .add(Fault::always(Effect::Latency { ms: HANGS_MS }).on("GET", &path));
            }
        }
        let mut waits = Vec::new();
        for _ in 0..table.size(ROUNDS) {
            healthy.iter().chain(hang).for_each(|name| bench.say(name));
            sum += healthy.len();
            let all = bench.arrivals(healthy, sum).await;
            waits.extend_from_slice(&all[all.len() - healthy.len()..]);
        }
        waits.sort_by(f64::total_cmp);
        table.print(format!("{pairs} pairs that hang: median of healthy ones, s"), waits[waits.len() / 2]);
        table.print(format!("{pairs} pairs that hang: longest of healthy ones, s"), *waits.last().unwrap());
    }
}

/// Comments on 100 pairs, ten a second, that push tells of: pulled from Pub/Sub for Google's side, by webhooks for Jira's. The polls come
/// every five minutes, and there is no rate limit.
async fn pushed(table: &mut Table) {
    const TOPIC: &str = "projects/p/topics/case-events";
    const SUBSCRIPTION: &str = "projects/p/subscriptions/case-events";
    const APART: Duration = Duration::from_millis(100);
    // Only Jira Cloud lets a program register a webhook.
    let mut bench = Bench::with(SandboxJiraSettings::default(), "cloud").await;
    let pubsub = listen(SandboxPubsub::new(Arc::new(SystemClock), None).router()).await;
    bench.systems.csapi.publish_at(format!("http://{pubsub}").parse().unwrap());
    let http = casebridge_testkit::service::client();
    for (name, body) in
        [(TOPIC, serde_json::json!({})), (SUBSCRIPTION, serde_json::json!({ "topic": TOPIC }))]
    {
        let made = http.put(format!("http://{pubsub}/v1/{name}")).json(&body).send().await.unwrap();
        made.error_for_status().unwrap();
    }
    bench.sections = format!(
        "[push]\npoll_every = \"5m\"\n[push.google]\npull = \"{SUBSCRIPTION}\"\n[push.company]\nsecret = \"env:WEBHOOK_SECRET\"\n\
         address = \"http://127.0.0.1:{}/push/company\"\n",
        bench.port
    );
    bench.environment = vec![
        ("PUBSUB_EMULATOR_HOST", pubsub.to_string()),
        ("WEBHOOK_SECRET", "the-secret-of-this-benchmark".to_owned()),
    ];
    let names = bench.linked(table.size(100)).await;
    let mut enable = tokio::process::Command::new(binary());
    enable.arg("--config").arg(bench.configure(NO_LIMIT)).args(["push", "enable"]);
    enable.envs(bench.environment.iter().map(|(name, value)| (*name, value.as_str())));
    let enabled = enable.output().await.unwrap();
    assert!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
    bench.slow_down();
    let issues = bench.systems.jira.issues();
    let id_of = |name: &String| {
        issues.iter().find(|issue| issue.google_name.as_ref() == Some(name)).unwrap().id.clone()
    };
    let pairs: Vec<(String, String)> = names.iter().map(|name| (name.clone(), id_of(name))).collect();
    for from in Side::BOTH {
        let mut waits = tokio::task::JoinSet::new();
        for (number, (case, issue)) in (0..table.size(1_000)).zip(pairs.iter().cycle()) {
            let (csapi, jira) = (bench.systems.csapi.clone(), bench.systems.jira.clone());
            let (case, issue) = (case.clone(), issue.clone());
            let words = format!("{WORDS} at the {from} side, for the {number}th time");
            waits.spawn(async move {
                let began = Instant::now();
                let said = match from {
                    Side::Google => csapi.add_comment(&case, Author::google("Ada Lovelace"), &words).is_ok(),
                    Side::Company => jira.comment(&issue, "Jane Roe", &words).is_ok(),
                };
                assert!(said, "{case} takes a comment");
                let has_arrived = || match from {
                    Side::Google => jira
                        .issue(&issue)
                        .unwrap()
                        .comments
                        .iter()
                        .any(|comment| comment.body.contains(&words)),
                    Side::Company => {
                        csapi.comments(&case).unwrap().iter().any(|comment| comment.body.contains(&words))
                    }
                };
                while !has_arrived() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                began.elapsed().as_secs_f64()
            });
            tokio::time::sleep(APART).await;
        }
        let mut waits = waits.join_all().await;
        waits.sort_by(f64::total_cmp);
        let row = format!("a comment by push, said at the {from} side");
        table.print(format!("{row}: median, s"), waits[waits.len() / 2]);
        table.print(format!("{row}: 99th percentile, s"), waits[waits.len() * 99 / 100]);
    }
}
