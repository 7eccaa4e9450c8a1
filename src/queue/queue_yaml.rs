//! Reader of `queue.yaml`: one queue for each task (`R1`: one queue per task), with its rate, its concurrency and its retry policy (`R2`: a
//! limit must not stand alone).
//!
//! It accepts the keys that App Engine accepts, as far as they have a meaning here. It refuses harmful files that App Engine would accept:
//! a task without a queue, a queue without a task, a scheduled queue that runs two requests at once.

use std::path::Path;

use chrono::TimeDelta;
use serde_json::Value;

use super::retry::RetryPolicy;
use super::yaml::{Problems, Section, Source, YamlFileError, shown, text, whole};
use crate::queue::TaskKind;

/// Built-in `queue.yaml`.
const BUILT_IN: &str = include_str!("../../queue.yaml");

/// Maximum dispatches per second and queue (Cloud Tasks quotas; the Google Cloud SDK enforces it on deployment).
const MAX_RATE_PER_SECOND: f64 = 500.0;
/// Maximum bucket size, which the Google Cloud SDK enforces on deployment.
const MAX_BUCKET_SIZE: u32 = 500;
/// Maximum of `RateLimits.maxConcurrentDispatches`, Cloud Tasks v2 discovery document.
const MAX_CONCURRENT_REQUESTS: u32 = 5_000;
/// Default of `bucket_size` (queue.yaml reference).
const DEFAULT_BUCKET_SIZE: u32 = 5;
/// Default of `max_concurrent_requests` (Google Cloud SDK).
const DEFAULT_CONCURRENT_REQUESTS: u32 = 1_000;
/// Upper bound for ages and backoffs: longer than any sensible one, and short enough for all arithmetic on times.
const LONGEST_SECONDS: f64 = 10.0 * 365.0 * 86_400.0;

/// Settings of one queue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueueSettings {
    /// Task that the queue holds; its name is the queue's.
    pub kind: TaskKind,
    /// Maximum dispatches per second in the long run, first attempts and retries alike; above 0.
    pub rate_per_second: f64,
    /// Number of dispatches that an idle queue can make at once.
    pub bucket_size: u32,
    /// Maximum number of concurrent requests.
    pub max_concurrent_requests: u32,
    /// Retry policy for failed tasks.
    pub retry: RetryPolicy,
}

/// Settings of the six queues.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueConfig([QueueSettings; TaskKind::ALL.len()]);

impl QueueConfig {
    /// Reads the queues from the file at `path`, or from the built-in file if `None`.
    pub fn load(path: Option<&Path>) -> Result<Self, YamlFileError> {
        let (file, text) = path.map_or(Source::BuiltIn("queue.yaml", BUILT_IN), Source::File).read()?;
        Self::parse(&file, &text)
    }

    /// Reads the queues from `text`; `file` names it in errors. All errors are reported at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, YamlFileError> {
        let mut problems = Problems::default();
        let mut found: [Option<Option<QueueSettings>>; TaskKind::ALL.len()] = [None; TaskKind::ALL.len()];
        if let Some(entries) = problems.entries(text, "queue") {
            for (index, entry) in entries.into_iter().enumerate() {
                let Some((kind, settings)) = queue(index, entry, &mut problems) else { continue };
                let slot = &mut found[position(kind)];
                if slot.is_some() {
                    problems.add(format!("queue {kind}"), "stands in the file twice; remove one of the two");
                } else {
                    *slot = Some(settings);
                }
            }
            for kind in TaskKind::ALL {
                if found[position(kind)].is_none() {
                    problems.add(format!("queue {kind}"), "is missing; every task needs its queue");
                }
            }
        }
        let complete: Option<Vec<QueueSettings>> = found.into_iter().map(Option::flatten).collect();
        problems.finish(file, complete.and_then(|queues| queues.try_into().ok().map(Self)))
    }

    /// Returns the queue of a task.
    #[must_use]
    pub fn get(&self, kind: TaskKind) -> &QueueSettings {
        &self.0[position(kind)]
    }

    /// Returns the number of syncs per minute that the slower of the two sync queues delivers; at least 1.
    #[must_use]
    pub fn syncs_per_minute(&self) -> u32 {
        let rate = |kind| self.get(kind).rate_per_second * 60.0;
        let slower = rate(TaskKind::SyncGoogleCase).min(rate(TaskKind::SyncCompanyCase));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
        let syncs = slower as u32;
        syncs.max(1)
    }

    /// Returns the number of syncs that the smaller of the two sync queues delivers at once.
    #[must_use]
    pub fn concurrent_syncs(&self) -> u32 {
        let concurrent = |kind| self.get(kind).max_concurrent_requests;
        concurrent(TaskKind::SyncGoogleCase).min(concurrent(TaskKind::SyncCompanyCase))
    }

    /// Returns the six queues in the order of [`TaskKind::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = &QueueSettings> {
        self.0.iter()
    }
}

/// Index of a task in [`TaskKind::ALL`].
const fn position(kind: TaskKind) -> usize {
    match kind {
        TaskKind::PollGoogle => 0,
        TaskKind::PollCompany => 1,
        TaskKind::SyncGoogleCase => 2,
        TaskKind::SyncCompanyCase => 3,
        TaskKind::Cleanup => 4,
        TaskKind::DetectOutages => 5,
    }
}

/// Reads one entry. Returns `None` if the entry is not the queue of a known task, and an inner `None` if it is but has errors.
fn queue(index: usize, entry: Value, problems: &mut Problems) -> Option<(TaskKind, Option<QueueSettings>)> {
    let mut section = Section::new(format!("queue number {}", index + 1), entry, problems)?;
    let name = section.require("name", problems, text)?;
    section.rename(format!("queue {}", shown(&name).trim_matches('\'')));
    let kind = TaskKind::from_name(&name);
    if kind.is_none() {
        let known = TaskKind::ALL.map(TaskKind::name).join(", ");
        problems.add(section.place_of("name"), format!("no task has this name; the tasks are {known}"));
    }

    let rate = section.require("rate", problems, rate);
    let bucket_size =
        section.take("bucket_size", problems, whole(1, MAX_BUCKET_SIZE)).unwrap_or(DEFAULT_BUCKET_SIZE);
    let max_concurrent_requests = section
        .take("max_concurrent_requests", problems, whole(1, MAX_CONCURRENT_REQUESTS))
        .unwrap_or(DEFAULT_CONCURRENT_REQUESTS);
    if kind.is_some_and(TaskKind::is_scheduled) && max_concurrent_requests != 1 {
        problems.add(
            section.place_of("max_concurrent_requests"),
            "must be 1, so that a scheduled task never overlaps itself",
        );
    }
    let retry = match section.take_raw("retry_parameters") {
        None => Some(RetryPolicy::DEFAULT),
        Some(value) => retry_parameters(section.place_of("retry_parameters"), value, problems),
    };
    section.take("mode", problems, |mode| match mode.as_str() {
        Some("push") => Ok(()),
        _ => Err("is not supported; only push queues are".to_owned()),
    });
    // The App Engine service that the tasks go to; the embedded queue has only one target, so the value is ignored.
    section.take("target", problems, text);
    section.finish(problems);

    let kind = kind?;
    let settings = match (rate, retry) {
        (Some(rate_per_second), Some(retry)) => {
            Some(QueueSettings { kind, rate_per_second, bucket_size, max_concurrent_requests, retry })
        }
        _ => None,
    };
    Some((kind, settings))
}

fn retry_parameters(place: String, value: Value, problems: &mut Problems) -> Option<RetryPolicy> {
    let mut section = Section::new(place, value, problems)?;
    let task_retry_limit = section.take("task_retry_limit", problems, whole(0, u32::MAX));
    let task_age_limit = section.take("task_age_limit", problems, age);
    let min = section.take("min_backoff_seconds", problems, seconds);
    let max = section.take("max_backoff_seconds", problems, seconds);
    let max_doublings = section.take("max_doublings", problems, whole(0, u32::MAX));
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        problems.add(section.place_of("min_backoff_seconds"), "is greater than max_backoff_seconds");
    }
    section.finish(problems);

    // If only one of the two is given, the default of the other is adapted to it (App Engine's own reader does the same).
    let default = RetryPolicy::DEFAULT;
    let (min_backoff, max_backoff) = match (min, max) {
        (Some(min), Some(max)) => (min, max),
        (Some(min), None) => (min, default.max_backoff.max(min)),
        (None, Some(max)) => (default.min_backoff.min(max), max),
        (None, None) => (default.min_backoff, default.max_backoff),
    };
    Some(RetryPolicy {
        task_retry_limit,
        task_age_limit,
        min_backoff,
        max_backoff,
        max_doublings: max_doublings.unwrap_or(default.max_doublings),
    })
}

/// Reads `5/s`, `0.5/m`, `20/h` or `1000/d` as dispatches per second.
fn rate(value: &Value) -> Result<f64, String> {
    const SHAPE: &str = "is not a rate such as 5/s, 30/m, 100/h or 1000/d";
    let (number, unit) = value.as_str().and_then(|rate| rate.split_once('/')).ok_or(SHAPE)?;
    let number = decimal(number).ok_or(SHAPE)?;
    let per_second = number / unit_seconds(unit).ok_or(SHAPE)?;
    if per_second <= 0.0 {
        return Err("stops the queue: its tasks would never run".to_owned());
    }
    if per_second > MAX_RATE_PER_SECOND {
        return Err(format!("is more than {MAX_RATE_PER_SECOND}/s, the most that a queue can do"));
    }
    Ok(per_second)
}

/// Reads `40s`, `3m`, `23h` or `1.5d`, cut to whole seconds as App Engine does.
fn age(value: &Value) -> Result<TimeDelta, String> {
    const SHAPE: &str = "is not a time such as 40s, 3m, 23h or 1.5d";
    let age = value.as_str().ok_or(SHAPE)?;
    let (last, _) = age.char_indices().next_back().ok_or(SHAPE)?;
    let (number, unit) = age.split_at(last);
    let seconds = decimal(number).ok_or(SHAPE)? * unit_seconds(unit).ok_or(SHAPE)?;
    let seconds = seconds.floor();
    if !(1.0..=LONGEST_SECONDS).contains(&seconds) {
        return Err("is not between one second and ten years".to_owned());
    }
    to_delta(seconds).ok_or_else(|| SHAPE.to_owned())
}

/// Reads a number of seconds, which may have a fraction.
fn seconds(value: &Value) -> Result<TimeDelta, String> {
    value
        .as_f64()
        .filter(|seconds| (0.0..=LONGEST_SECONDS).contains(seconds))
        .and_then(to_delta)
        .ok_or_else(|| "is not a number of seconds, from 0 to ten years".to_owned())
}

fn to_delta(seconds: f64) -> Option<TimeDelta> {
    let delta = std::time::Duration::try_from_secs_f64(seconds).ok()?;
    // Whole microseconds, the clock's resolution.
    TimeDelta::try_seconds(i64::try_from(delta.as_secs()).ok()?)?
        .checked_add(&TimeDelta::microseconds(i64::from(delta.subsec_micros())))
}

/// Parses a number in the form that both of Google's readers accept: digits, with an optional fraction. No sign, no exponent.
fn decimal(number: &str) -> Option<f64> {
    let plain = number.chars().all(|c| c.is_ascii_digit() || c == '.');
    if plain && number.starts_with(|c: char| c.is_ascii_digit()) {
        number.parse().ok().filter(|number: &f64| number.is_finite())
    } else {
        None
    }
}

fn unit_seconds(unit: &str) -> Option<f64> {
    match unit {
        "s" => Some(1.0),
        "m" => Some(60.0),
        "h" => Some(3_600.0),
        "d" => Some(86_400.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    /// Returns the built-in file with one text replaced.
    fn with(replace: &str, by: &str) -> String {
        assert!(BUILT_IN.contains(replace), "the test replaces something that is not there: {replace}");
        BUILT_IN.replacen(replace, by, 1)
    }

    fn problems(text: &str) -> Vec<String> {
        match QueueConfig::parse("queue.yaml", text) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn the_built_in_file_is_good() {
        let config = QueueConfig::load(None).unwrap();
        assert_eq!(config.iter().map(|queue| queue.kind).collect::<Vec<_>>(), TaskKind::ALL);
        for kind in TaskKind::ALL {
            assert_eq!(config.get(kind).kind, kind);
        }
    }

    #[test]
    fn values_are_read_as_google_reads_them() {
        let rates: [(&str, f64); 5] =
            [("5/s", 5.0), ("0.5/s", 0.5), ("30/m", 0.5), ("36/h", 0.01), ("86400/d", 1.0)];
        for (written, expected) in rates {
            assert!((rate(&written.into()).unwrap() - expected).abs() < 1e-12, "{written}");
        }
        for (written, expected) in [("40s", 40), ("3m", 180), ("23h", 82_800), ("1.5d", 129_600), ("1.9s", 1)]
        {
            assert_eq!(age(&written.into()).unwrap(), TimeDelta::seconds(expected), "{written}");
        }
        let config = QueueConfig::parse(
            "f",
            &with("    min_backoff_seconds: 10\n", "    min_backoff_seconds: 0.25\n"),
        );
        assert_eq!(config.unwrap().get(TaskKind::PollGoogle).retry.min_backoff, TimeDelta::milliseconds(250));
    }

    #[test]
    fn what_is_left_out_is_what_google_takes() {
        let mut text = String::from("queue:\n");
        for kind in TaskKind::ALL {
            let concurrent = if kind.is_scheduled() { "  max_concurrent_requests: 1\n" } else { "" };
            write!(text, "- name: {kind}\n  rate: 1/s\n  target: worker\n  mode: push\n{concurrent}")
                .unwrap();
        }
        let config = QueueConfig::parse("f", &text).unwrap();
        let queue = config.get(TaskKind::SyncGoogleCase);
        assert_eq!((queue.bucket_size, queue.max_concurrent_requests), (5, 1_000));
        assert_eq!(queue.retry, RetryPolicy::DEFAULT);

        let limits = |given: &str| {
            let text =
                text.replacen("rate: 1/s\n", &format!("rate: 1/s\n  retry_parameters: {{{given}}}\n"), 1);
            let retry = QueueConfig::parse("f", &text).unwrap().get(TaskKind::PollGoogle).retry;
            (retry.min_backoff.num_milliseconds(), retry.max_backoff.num_milliseconds())
        };
        assert_eq!(limits("min_backoff_seconds: 7200"), (7_200_000, 7_200_000));
        assert_eq!(limits("max_backoff_seconds: 0.05"), (50, 50));
        assert_eq!(limits("max_doublings: 3"), (100, 3_600_000));
    }

    #[test]
    fn each_mistake_is_named_with_its_queue() {
        let check = |replace: &str, by: &str, expected: &str| {
            let got = problems(&with(replace, by));
            assert_eq!(got, [expected], "{replace} -> {by}");
        };
        check(
            "rate: 5/s",
            "rate: 5",
            "queue poll-google: rate: 5 is not a rate such as 5/s, 30/m, 100/h or 1000/d",
        );
        check(
            "rate: 5/s",
            "rate: -1/s",
            "queue poll-google: rate: '-1/s' is not a rate such as 5/s, 30/m, 100/h or 1000/d",
        );
        check(
            "rate: 5/s",
            "rate: 0/s",
            "queue poll-google: rate: '0/s' stops the queue: its tasks would never run",
        );
        check(
            "rate: 5/s",
            "rate: 501/s",
            "queue poll-google: rate: '501/s' is more than 500/s, the most that a queue can do",
        );
        check("  rate: 5/s\n", "", "queue poll-google: rate: is missing");
        check(
            "bucket_size: 5",
            "bucket_size: 0",
            "queue poll-google: bucket_size: 0 is not a whole number from 1 to 500",
        );
        check(
            "max_concurrent_requests: 1",
            "max_concurrent_requests: 2",
            "queue poll-google: max_concurrent_requests: must be 1, so that a scheduled task never overlaps itself",
        );
        check(
            "  max_concurrent_requests: 1\n",
            "",
            "queue poll-google: max_concurrent_requests: must be 1, so that a scheduled task never overlaps itself",
        );
        check(
            "task_age_limit: 40s",
            "task_age_limit: 40",
            "queue poll-google: retry_parameters: task_age_limit: 40 is not a time such as 40s, 3m, 23h or 1.5d",
        );
        check(
            "task_age_limit: 40s",
            "task_age_limit: 0.5s",
            "queue poll-google: retry_parameters: task_age_limit: '0.5s' is not between one second and ten years",
        );
        check(
            "min_backoff_seconds: 10",
            "min_backoff_seconds: 21",
            "queue poll-google: retry_parameters: min_backoff_seconds: is greater than max_backoff_seconds",
        );
        check(
            "min_backoff_seconds: 10",
            "min_backoff_seconds: -1",
            "queue poll-google: retry_parameters: min_backoff_seconds: -1 is not a number of seconds, from 0 to ten years",
        );
        check(
            "max_doublings: 1",
            "max_dublings: 1",
            "queue poll-google: retry_parameters: 'max_dublings': is not a known key; check its spelling or remove it",
        );
        check(
            "bucket_size: 5",
            "mode: pull",
            "queue poll-google: mode: 'pull' is not supported; only push queues are",
        );
        check(
            "queue:\n",
            "application: x\nqueue:\n",
            "'application': is not a key of this file; the only one is 'queue'",
        );
    }

    #[test]
    fn tasks_and_queues_are_held_together() {
        let second = with("- name: poll-company", "- name: poll-google");
        assert_eq!(
            problems(&second),
            [
                "queue poll-google: stands in the file twice; remove one of the two",
                "queue poll-company: is missing; every task needs its queue"
            ]
        );
        let unknown = problems(&with("- name: cleanup", "- name: clean-up"));
        assert_eq!(
            unknown,
            [
                "queue clean-up: name: no task has this name; the tasks are poll-google, poll-company, \
                 sync-google-case, sync-company-case, cleanup, detect-outages",
                "queue cleanup: is missing; every task needs its queue"
            ]
        );
        assert_eq!(
            problems(&with("- name: cleanup\n ", "-")),
            ["queue number 5: name: is missing", "queue cleanup: is missing; every task needs its queue"]
        );
    }

    #[test]
    fn everything_is_reported_at_once() {
        let text = with("rate: 5/s", "rate: fast").replacen("task_age_limit: 23h", "task_age_limit: long", 1);
        let error = QueueConfig::parse("my.yaml", &text).unwrap_err();
        assert_eq!(
            error.to_string(),
            "my.yaml: 2 problems\n  \
             queue poll-google: rate: 'fast' is not a rate such as 5/s, 30/m, 100/h or 1000/d\n  \
             queue cleanup: retry_parameters: task_age_limit: 'long' is not a time such as 40s, 3m, 23h or 1.5d"
        );
    }

    #[test]
    fn what_is_no_queue_file_says_so() {
        assert_eq!(problems(""), ["has no key 'queue' with a list under it"]);
        assert_eq!(problems("[]"), ["has no key 'queue' with a list under it"]);
        assert_eq!(problems("queue: 3"), ["queue: must be a list"]);
        assert!(problems("queue:\n- 3\n")[0].starts_with("queue number 1: must be a mapping"));
        assert!(problems("queue: [")[0].starts_with("is not YAML: "));
        let missing = QueueConfig::load(Some(Path::new("/nonexistent/queue.yaml"))).unwrap_err().to_string();
        assert!(missing.starts_with("/nonexistent/queue.yaml: 1 problem\n  cannot be read: "), "{missing}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            drop(QueueConfig::parse("f", &text));
        }

        #[test]
        fn no_value_makes_the_reader_panic(
            key in prop::sample::select(vec![
                "name", "rate", "bucket_size", "max_concurrent_requests", "task_retry_limit", "task_age_limit",
                "min_backoff_seconds", "max_backoff_seconds", "max_doublings",
            ]),
            value in prop_oneof![
                any::<String>(), "[-0-9.eE]{0,20}[smhd/]{0,3}", "[0-9]{1,400}(/[smhd])?", "[{}\\[\\]&*!|>'\"%@`,: -]{0,9}",
            ],
        ) {
            let mut text = String::new();
            for line in BUILT_IN.lines() {
                match line.find(&format!("{key}:")) {
                    Some(at) => writeln!(text, "{}{key}: {value}", &line[..at]).unwrap(),
                    None => writeln!(text, "{line}").unwrap(),
                }
            }
            if let Ok(config) = QueueConfig::parse("f", &text) {
                for queue in config.iter() {
                    prop_assert!(queue.retry.min_backoff <= queue.retry.max_backoff);
                    prop_assert!(queue.rate_per_second > 0.0);
                    queue.retry.attempts(TimeDelta::seconds(1)).take(100).for_each(drop);
                }
            }
        }
    }
}
