//! Cost of the embedded queue: tasks a second, processor time, bytes and flushes for one task.
//!
//! `cargo bench --bench queue` measures each scenario in a process of its own, on a database on disk, with a handler that does nothing.
//! The figures include the HTTP call, both its client and its server, since both run in the service's process.
//!
//! - *CPU*: user and system time of the process (`/proc/self/stat`).
//! - *written*: `write_bytes` of `/proc/self/io`: pages that the process has made dirty for a block device, without the file system's own
//!   journal.
//! - *flushes*: calls of `fsync` and `fdatasync`, counted by `strace` in a second run. A dash if there is no `strace`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking, in its support code as well as in itself"
)]

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::config::Platform;
use casebridge::http::{Limits, serve};
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions};
use casebridge::queue::queue_yaml::QueueConfig;
use casebridge::queue::{Enqueued, QueuedTask, TaskKind, TaskName, TaskQueue as _};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Tasks queued together, delivered as fast as the limits allow.
const BURST: u64 = 2_000;
/// Tasks queued one after the other, each after the one before was delivered.
const SINGLE: u64 = 200;
/// Tasks that wait for a later time while a burst is delivered.
const WAITING: u64 = 20_000;
/// Number of tasks that are being queued at the same time.
const CALLERS: usize = 64;
/// Name of the folder that is made when the measurement begins.
const MARK: &str = "measurement-begins";

#[derive(Debug, Clone, Copy)]
enum Scenario {
    Burst,
    BurstBesideMany,
    Single,
}

impl Scenario {
    const ALL: [Self; 3] = [Self::Burst, Self::BurstBesideMany, Self::Single];

    fn name(self) -> &'static str {
        match self {
            Self::Burst => "burst",
            Self::BurstBesideMany => "burst-beside-many",
            Self::Single => "single",
        }
    }

    fn title(self) -> String {
        match self {
            Self::Burst => format!("{BURST} tasks at once"),
            Self::BurstBesideMany => format!("{BURST} tasks at once, {WAITING} more wait for a later time"),
            Self::Single => format!("{SINGLE} tasks, one after the other"),
        }
    }

    const fn tasks(self) -> u64 {
        match self {
            Self::Burst | Self::BurstBesideMany => BURST,
            Self::Single => SINGLE,
        }
    }
}

/// Resources that this process has used.
#[derive(Debug, Clone, Copy)]
struct Used {
    cpu: Duration,
    written: u64,
}

impl Used {
    fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
        // Behind the command's name in brackets: state is field 3, utime 14, stime 15, in ticks of a hundredth of a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        let io = std::fs::read_to_string("/proc/self/io").unwrap();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap();
        Self { cpu: Duration::from_millis(ticks * 10), written: written.parse().unwrap() }
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--scenario" {
            let name = arguments.next().unwrap();
            let scenario = Scenario::ALL.into_iter().find(|scenario| scenario.name() == name).unwrap();
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            println!("{}", runtime.block_on(measure(scenario)));
            return;
        }
    }
    println!("| scenario | tasks a second | CPU for a task | written for a task | flushes for a task |");
    println!("| --- | --- | --- | --- | --- |");
    for scenario in Scenario::ALL {
        let figures = child(scenario, None).unwrap();
        let flushes = flushes(scenario).map_or("-".to_owned(), |count| format!("{count:.2}"));
        println!("| {} | {figures} | {flushes} |", scenario.title());
    }
}

/// Measures the scenario in another process, under `wrapper` if given.
fn child(scenario: Scenario, wrapper: Option<&[&str]>) -> Option<String> {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        None => Command::new(this),
        Some(wrapper) => {
            let mut command = Command::new(wrapper[0]);
            command.args(&wrapper[1..]).arg(this);
            command
        }
    };
    let output = command.args(["--scenario", scenario.name()]).stderr(Stdio::inherit()).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// Counts the flushes of one task, after the folder that marks the beginning was made.
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn flushes(scenario: Scenario) -> Option<f64> {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("calls");
    let wrapper =
        ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,mkdir,mkdirat", "-o", log.to_str().unwrap()];
    child(scenario, Some(&wrapper))?;
    let calls = std::fs::read_to_string(&log).unwrap();
    let measured = calls.lines().skip_while(|line| !line.contains(MARK));
    let calls = measured.filter(|line| line.contains("sync(")).count();
    Some(calls as f64 / scenario.tasks() as f64)
}

/// Limits that are not the bottleneck: the most that Cloud Tasks allows.
fn queues() -> QueueConfig {
    let text = TaskKind::ALL.map(|kind| {
        let concurrent = if kind.is_scheduled() { 1 } else { 64 };
        format!(
            "- name: {kind}\n  rate: 500/s\n  bucket_size: 500\n  max_concurrent_requests: {concurrent}\n"
        )
    });
    QueueConfig::parse("queue.yaml", &format!("queue:\n{}", text.concat())).unwrap()
}

fn task(number: u64) -> QueuedTask {
    let kind = if number.is_multiple_of(2) { TaskKind::SyncGoogleCase } else { TaskKind::SyncCompanyCase };
    let case = format!("organizations/1/cases/{number}");
    let name = TaskName::new(kind, Some("https://desk.example"), &case, "2026-11-28T00:00:00Z");
    QueuedTask { kind, body: json!({ "case_name": case }), name: Some(name), not_before: None }
}

/// Queue, and the service that it delivers to.
struct World {
    queue: Arc<EmbeddedQueue>,
    delivered: Arc<AtomicU64>,
}

impl World {
    async fn start(path: &std::path::Path, stop: &CancellationToken) -> Self {
        let delivered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&delivered);
        let handler = move |_: Bytes| {
            let counter = Arc::clone(&counter);
            async move {
                counter.fetch_add(1, Ordering::SeqCst);
                "{}"
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let limits = Limits::on(Platform::Local);
        tokio::spawn(serve(listener, Router::new().fallback(handler), limits, stop.clone()));
        let clock = Arc::new(SystemClock);
        let options = EmbeddedQueueOptions::new(path, queues(), target, "token".to_owned(), clock);
        Self { queue: Arc::new(EmbeddedQueue::open(options).unwrap()), delivered }
    }

    /// Waits until so many tasks are delivered.
    async fn wait_for(&self, tasks: u64) {
        while self.delivered.load(Ordering::SeqCst) < tasks {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn enqueue_together(&self, tasks: impl Iterator<Item = QueuedTask>) {
        let queued = futures_util::stream::iter(tasks).map(|task| self.queue.enqueue(task));
        queued
            .buffer_unordered(CALLERS)
            .for_each(|queued| async { assert_eq!(queued.unwrap(), Enqueued::New) })
            .await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "ratios for people")]
async fn measure(scenario: Scenario) -> String {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let stop = CancellationToken::new();
    let world = World::start(&folder.path().join("queue.db"), &stop).await;
    if let Scenario::BurstBesideMany = scenario {
        let later = SystemClock.now() + chrono::TimeDelta::days(1);
        let waiting =
            (0..WAITING).map(|number| QueuedTask { not_before: Some(later), ..task(1_000_000 + number) });
        world.enqueue_together(waiting).await;
    }
    let running = tokio::spawn(Arc::clone(&world.queue).run(stop.clone()));
    // The first look at the database is not part of it.
    tokio::time::sleep(Duration::from_millis(200)).await;

    std::fs::create_dir(folder.path().join(MARK)).unwrap();
    let (before, began) = (Used::now(), Instant::now());
    match scenario {
        Scenario::Burst | Scenario::BurstBesideMany => {
            world.enqueue_together((0..BURST).map(task)).await;
            world.wait_for(BURST).await;
        }
        Scenario::Single => {
            for number in 0..SINGLE {
                world.queue.enqueue(task(number)).await.unwrap();
                world.wait_for(number + 1).await;
                // Lets the task's end be written before the next one begins.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    let took = began.elapsed();
    stop.cancel();
    running.await.unwrap();
    let after = Used::now();
    let left: u32 = world.queue.depth().await.unwrap().iter().map(|queue| queue.tasks).sum();
    assert_eq!(u64::from(left), if let Scenario::BurstBesideMany = scenario { WAITING } else { 0 });

    let tasks = scenario.tasks() as f64;
    format!(
        "{:.0} | {:.2} ms | {:.1} kB",
        tasks / took.as_secs_f64(),
        after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3 / tasks,
        (after.written - before.written) as f64 / 1e3 / tasks,
    )
}
