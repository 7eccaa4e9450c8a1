//! Checks that `queue.yaml`, `cron.yaml` and the table of tasks agree, that the retries are as documented (`R1`, `R2`), and that
//! `app.yaml` and the Dockerfile fit the service.

use casebridge::queue::cron_yaml::{CronConfig, Schedule};
use casebridge::queue::queue_yaml::QueueConfig;
use casebridge::queue::retry::RetryPolicy;
use casebridge::tasks::TaskKind;
use chrono::TimeDelta;

fn retry(kind: TaskKind) -> RetryPolicy {
    QueueConfig::load(None).unwrap().get(kind).retry
}

/// Returns the start times of the attempts in seconds, if each takes `takes` seconds.
fn attempts(policy: &RetryPolicy, takes: i64) -> Vec<i64> {
    policy.attempts(TimeDelta::seconds(takes)).take(10_000).map(|at| at.num_seconds()).collect()
}

/// Returns the policy if the limit counts the first attempt as well. Cloud Tasks documents `maxAttempts` so, and that it is the same as
/// `task_retry_limit`; App Engine documents retries. The policies must hold in both readings.
fn counting_the_first(policy: &RetryPolicy) -> RetryPolicy {
    RetryPolicy { task_retry_limit: policy.task_retry_limit.map(|limit| limit.saturating_sub(1)), ..*policy }
}

#[test]
fn every_task_has_its_queue_and_nothing_else_has() {
    let queues = QueueConfig::load(None).unwrap();
    let names: Vec<&str> = queues.iter().map(|queue| queue.kind.name()).collect();
    assert_eq!(names, TaskKind::ALL.map(TaskKind::name));
}

#[test]
fn every_scheduled_task_has_its_job_and_nothing_else_has() {
    let jobs = CronConfig::load(None).unwrap();
    let mut kinds: Vec<TaskKind> = jobs.iter().map(|job| job.kind).collect();
    kinds.sort();
    let mut scheduled: Vec<TaskKind> = TaskKind::ALL.into_iter().filter(|kind| kind.is_scheduled()).collect();
    scheduled.sort();
    assert_eq!(kinds, scheduled);
    for job in jobs.iter() {
        assert_eq!(job.url(), format!("/cron/{}", job.kind));
        assert!(!job.description.is_empty());
    }
}

#[test]
fn tasks_are_scheduled_as_documented() {
    for job in CronConfig::load(None).unwrap().iter() {
        let right = match job.kind {
            TaskKind::PollGoogle | TaskKind::PollCompany => job.schedule == Schedule::Every(1),
            TaskKind::DetectOutages => job.schedule == Schedule::Every(5),
            TaskKind::Cleanup => matches!(job.schedule, Schedule::Daily(_)),
            TaskKind::SyncGoogleCase | TaskKind::SyncCompanyCase => false,
        };
        assert!(right, "{} runs {:?}", job.kind, job.schedule);
    }
}

#[test]
fn a_scheduled_task_never_overlaps_itself() {
    for queue in QueueConfig::load(None).unwrap().iter() {
        assert_eq!(queue.kind.is_scheduled(), queue.max_concurrent_requests == 1, "{}", queue.kind);
    }
}

#[test]
fn a_limit_never_stands_alone() {
    for kind in TaskKind::ALL {
        let policy = retry(kind);
        assert_eq!(policy.task_retry_limit.is_some(), policy.task_age_limit.is_some(), "{kind}");
    }
}

#[test]
fn polls_are_tried_a_few_times_within_the_first_minute() {
    for kind in [TaskKind::PollGoogle, TaskKind::PollCompany] {
        for policy in [retry(kind), counting_the_first(&retry(kind))] {
            assert_eq!(attempts(&policy, 0), [0, 10, 30, 50], "{kind}");
            for takes in 0..=20 {
                let attempts = attempts(&policy, takes);
                assert!(attempts.len() >= 2 && attempts.iter().all(|at| *at <= 60), "{kind}: {attempts:?}");
            }
        }
        // Even with long attempts, at most two start, and the second starts after the minute is over.
        assert_eq!(attempts(&retry(kind), 600), [0, 610], "{kind}");
    }
}

#[test]
fn detect_outages_is_tried_a_few_times_within_the_first_five_minutes() {
    let policy = retry(TaskKind::DetectOutages);
    for policy in [policy, counting_the_first(&policy)] {
        assert_eq!(attempts(&policy, 0), [0, 30, 90, 210]);
        for takes in 0..=120 {
            let attempts = attempts(&policy, takes);
            assert!(attempts.len() >= 2 && attempts.iter().all(|at| *at <= 300), "{attempts:?}");
        }
    }
}

#[test]
fn cleanup_is_tried_with_exponential_backoff_for_up_to_24_hours() {
    let policy = retry(TaskKind::Cleanup);
    for policy in [policy, counting_the_first(&policy)] {
        let minutes: Vec<i64> = attempts(&policy, 0).iter().map(|at| at / 60).collect();
        assert_eq!(minutes[..9], [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        assert_eq!(minutes.last(), Some(&(23 * 60 + 3)));
        for takes in [1, 60, 600, 3_600] {
            let last = *attempts(&policy, takes).last().unwrap();
            assert!((20 * 3_600..=24 * 3_600).contains(&last), "{last} s");
        }
    }
}

#[test]
fn syncs_are_tried_for_ever_with_exponential_backoff() {
    for kind in [TaskKind::SyncGoogleCase, TaskKind::SyncCompanyCase] {
        let attempts = attempts(&retry(kind), 0);
        assert_eq!(attempts[..8], [0, 10, 30, 70, 150, 310, 610, 910], "{kind}");
        assert_eq!(attempts.len(), 10_000, "{kind}: no end in sight");
    }
}

fn file(name: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn health_checks_go_to_routes_that_are_open() {
    let app = file("app.yaml");
    let paths: Vec<&str> = app.lines().filter_map(|line| line.trim().strip_prefix("path: ")).collect();
    assert_eq!(paths, ["/healthz", "/readyz"]);
    for path in paths {
        let route = casebridge::http::ROUTES.iter().find(|(_, route, _)| *route == path);
        assert_eq!(route.map(|(_, _, access)| *access), Some(casebridge::http::Access::Open), "{path}");
    }
}

#[test]
fn no_file_that_is_deployed_holds_a_secret() {
    let app = file("app.yaml");
    for line in app.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        if ["TOKEN", "PASSWORD", "SECRET", "KEY:"].iter().any(|word| key.to_uppercase().contains(word)) {
            assert!(value.starts_with("secret://projects/"), "{key}");
        }
    }
}

#[test]
fn what_the_build_reads_is_uploaded_and_nothing_else_is() {
    let kept = |name: &str| -> Vec<String> {
        let text = file(name);
        let kept = text.lines().filter_map(|line| line.strip_prefix('!'));
        let mut kept: Vec<String> = kept.map(|path| path.trim_start_matches('/').to_owned()).collect();
        kept.sort();
        kept
    };
    let dockerfile = file("Dockerfile");
    // Copied from the build context, not from another stage; the stage `prebuilt` has a context of its own.
    let mut copied: Vec<String> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--from") && !line.starts_with("casebridge "))
        .flat_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let top = |path: &&str| path.split('/').next().unwrap_or_default().to_owned();
            words[..words.len() - 1].iter().map(top).collect::<Vec<_>>()
        })
        .collect();
    copied.sort();
    copied.dedup();
    assert_eq!(kept(".dockerignore"), copied);
    let mut uploaded = copied;
    for name in ["Dockerfile", ".dockerignore", "app.yaml"] {
        uploaded.push(name.to_owned());
    }
    uploaded.sort();
    assert_eq!(kept(".gcloudignore"), uploaded);
    for name in [".dockerignore", ".gcloudignore"] {
        let text = file(name);
        let first = text.lines().find(|line| !line.starts_with('#')).unwrap();
        assert!(
            matches!(first, "*" | "/*"),
            "{name} begins with {first}: what is not named must not be uploaded"
        );
    }
}

#[test]
fn the_compiler_of_the_image_is_new_enough() {
    let version = |text: &str| -> (u32, u32) {
        let (major, minor) = text.split_once('.').unwrap();
        (major.parse().unwrap(), minor.parse().unwrap())
    };
    let (manifest, dockerfile) = (file("Cargo.toml"), file("Dockerfile"));
    let needed = manifest.lines().find_map(|line| line.strip_prefix("rust-version = ")).unwrap();
    let image = dockerfile.lines().find_map(|line| line.split_once("library/rust:")).unwrap().1;
    let image = image.split_once('-').unwrap().0;
    assert!(version(image) >= version(needed.trim_matches('"')), "{image} is older than {needed}");
    // With another version, the build would download a toolchain.
    let toolchain = file("rust-toolchain.toml");
    let pinned = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    assert!(
        pinned.trim_matches('"').starts_with(&format!("{image}.")),
        "the image has {image}, not {pinned}"
    );
}
