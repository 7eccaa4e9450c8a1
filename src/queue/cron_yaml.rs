//! Reader of `cron.yaml`: the schedule of each scheduled task (`R1`: cron only queues).
//!
//! It accepts the schedules `every N minutes`, `every N mins`, `every N hours` and `every day HH:MM`, which Google's parser accepts too,
//! and refuses each schedule that Google's parser refuses. The plural is required: `every 1 minutes`.

use std::path::Path;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use serde_json::Value;

use super::yaml::{Problems, Section, Source, YamlFileError, shown, text};
use crate::queue::TaskKind;

/// Built-in `cron.yaml`.
const BUILT_IN: &str = include_str!("../../cron.yaml");

/// Accepted forms of a schedule, for error messages.
const SCHEDULES: &str = "write 'every N minutes', 'every N hours' (N from 1, and always the plural: 'every 1 minutes') \
                         or 'every day HH:MM' (UTC)";
/// Longest interval, 31 days.
const MAX_INTERVAL_MINUTES: u32 = 31 * 24 * 60;

/// Schedule of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// At every whole multiple of this many minutes since the Unix epoch, from 1: `every 5 minutes` is at :00, :05, :10 …, independent of
    /// the program's start; a job may be [delayed](CronJob::last_at) by half a minute. App Engine guarantees the interval only, not the minute.
    Every(u32),
    /// Once a day at this time, UTC.
    Daily(NaiveTime),
}

impl Schedule {
    /// Parses a schedule of `cron.yaml`. The error tells which forms are accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let parsed = match words[..] {
            ["every", "day", time] => time_of_day(time).map(Self::Daily),
            ["every", number, unit] => interval(number, unit).map(Self::Every),
            _ => None,
        };
        parsed.ok_or_else(|| format!("is not a schedule: {SCHEDULES}"))
    }

    /// Returns the latest scheduled time up to and including `now`.
    #[must_use]
    pub fn last_at(self, now: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::Every(_) => {
                now - TimeDelta::microseconds(now.timestamp_micros().rem_euclid(self.period_micros()))
            }
            Self::Daily(time) => {
                let today = now.date_naive().and_time(time).and_utc();
                if today <= now { today } else { today - TimeDelta::days(1) }
            }
        }
    }

    /// Returns the first scheduled time after `now`.
    #[must_use]
    pub fn next_after(self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.last_at(now) + self.interval()
    }

    /// Returns the time from one scheduled time to the next.
    #[must_use]
    pub fn interval(self) -> TimeDelta {
        TimeDelta::microseconds(self.period_micros())
    }

    fn period_micros(self) -> i64 {
        match self {
            Self::Every(minutes) => i64::from(minutes.max(1)) * 60_000_000,
            Self::Daily(_) => 86_400_000_000,
        }
    }
}

fn interval(number: &str, unit: &str) -> Option<u32> {
    let number: u32 =
        Some(number).filter(|number| number.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    let minutes = match unit {
        "minutes" | "mins" => number,
        "hours" => number.checked_mul(60)?,
        _ => return None,
    };
    (1..=MAX_INTERVAL_MINUTES).contains(&minutes).then_some(minutes)
}

/// Parses `03:30`, or `3:30` as Google's parser allows.
fn time_of_day(time: &str) -> Option<NaiveTime> {
    let (hour, minute) = time.split_once(':')?;
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if (1..=2).contains(&hour.len()) && minute.len() == 2 && digits(hour) && digits(minute) {
        NaiveTime::from_hms_opt(hour.parse().ok()?, minute.parse().ok()?, 0)
    } else {
        None
    }
}

/// Job that calls `GET /cron/{task}` by a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronJob {
    /// Task that the job queues.
    pub kind: TaskKind,
    /// Description for the console; may be empty.
    pub description: String,
    /// Schedule of the job.
    pub schedule: Schedule,
}

/// Delay of `poll-company` after the minute, at which `poll-google` runs. Half a minute apart, the two polls do not start both directions
/// of one pair at once. App Engine's schedules have no seconds: there, both may run in the same second.
const HALF_A_MINUTE: TimeDelta = TimeDelta::seconds(30);

impl CronJob {
    /// Returns the latest scheduled time of the embedded cron up to and including `now`.
    #[must_use]
    pub fn last_at(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.schedule.last_at(now - self.delay()) + self.delay()
    }

    /// Returns the first scheduled time of the embedded cron after `now`.
    #[must_use]
    pub fn next_after(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        self.schedule.next_after(now - self.delay()) + self.delay()
    }

    fn delay(&self) -> TimeDelta {
        match (self.kind, self.schedule) {
            (TaskKind::PollCompany, Schedule::Every(_)) => HALF_A_MINUTE,
            (
                TaskKind::PollGoogle
                | TaskKind::PollCompany
                | TaskKind::SyncGoogleCase
                | TaskKind::SyncCompanyCase
                | TaskKind::DetectOutages
                | TaskKind::Cleanup,
                Schedule::Every(_) | Schedule::Daily(_),
            ) => TimeDelta::zero(),
        }
    }

    /// Returns the path to call: `/cron/poll-google`.
    #[must_use]
    pub fn url(&self) -> String {
        cron_url(self.kind)
    }
}

fn cron_url(kind: TaskKind) -> String {
    format!("/cron/{kind}")
}

/// Jobs, one for each scheduled task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CronConfig(Vec<CronJob>);

impl CronConfig {
    /// Reads the jobs from the file at `path`, or from the built-in file if `None`.
    pub fn load(path: Option<&Path>) -> Result<Self, YamlFileError> {
        let (file, text) = path.map_or(Source::BuiltIn("cron.yaml", BUILT_IN), Source::File).read()?;
        Self::parse(&file, &text)
    }

    /// Reads the jobs from `text`; `file` names it in errors. All errors are reported at once.
    pub fn parse(file: &str, text: &str) -> Result<Self, YamlFileError> {
        let mut problems = Problems::default();
        let mut jobs = Vec::new();
        let mut seen: Vec<TaskKind> = Vec::new();
        if let Some(entries) = problems.entries(text, "cron") {
            for (index, entry) in entries.into_iter().enumerate() {
                let Some((kind, job)) = cron_job(index, entry, &mut problems) else { continue };
                if seen.contains(&kind) {
                    problems.add(
                        format!("job {}", cron_url(kind)),
                        "stands in the file twice; remove one of the two",
                    );
                }
                seen.push(kind);
                jobs.extend(job);
            }
            for kind in TaskKind::ALL.into_iter().filter(|kind| kind.is_scheduled() && !seen.contains(kind)) {
                problems
                    .add(format!("job {}", cron_url(kind)), "is missing; every scheduled task needs its job");
            }
        }
        problems.finish(file, Some(Self(jobs)))
    }

    /// Returns the jobs in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &CronJob> {
        self.0.iter()
    }
}

/// Reads one entry. Returns `None` if the entry is not the job of a scheduled task, and an inner `None` if it is but has errors.
fn cron_job(index: usize, entry: Value, problems: &mut Problems) -> Option<(TaskKind, Option<CronJob>)> {
    let mut section = Section::new(format!("job number {}", index + 1), entry, problems)?;
    let url = section.require("url", problems, text)?;
    section.rename(format!("job {}", shown(&url).trim_matches('\'')));
    let kind = TaskKind::ALL.into_iter().find(|kind| kind.is_scheduled() && cron_url(*kind) == url);
    if kind.is_none() {
        let known: Vec<String> =
            TaskKind::ALL.into_iter().filter(|kind| kind.is_scheduled()).map(cron_url).collect();
        problems.add(
            section.place_of("url"),
            format!("queues no scheduled task; the URLs are {}", known.join(", ")),
        );
    }

    let schedule =
        section.require("schedule", problems, |value| Schedule::parse(value.as_str().unwrap_or_default()));
    let description = section.take("description", problems, text).unwrap_or_default();
    section.take("timezone", problems, |value| match value.as_str() {
        Some("UTC" | "Etc/UTC" | "GMT") => Ok(()),
        _ => Err("is not supported: schedules are in UTC; convert the time and remove this key".to_owned()),
    });
    // The App Engine service to call; the embedded cron has only one target, so the value is ignored.
    section.take("target", problems, text);
    for key in ["retry_parameters", "attempt_deadline"] {
        if section.take_raw(key).is_some() {
            problems.add(
                section.place_of(key),
                "does not belong here: a job only queues its task; say in queue.yaml how that is retried",
            );
        }
    }
    section.finish(problems);
    kind.map(|kind| (kind, schedule.map(|schedule| CronJob { kind, description, schedule })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problems(text: &str) -> Vec<String> {
        match CronConfig::parse("cron.yaml", text) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems.iter().map(ToString::to_string).collect(),
        }
    }

    fn with(replace: &str, by: &str) -> String {
        assert!(BUILT_IN.contains(replace), "the test replaces something that is not there: {replace}");
        BUILT_IN.replacen(replace, by, 1)
    }

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    #[test]
    fn the_built_in_file_is_good() {
        let jobs = CronConfig::load(None).unwrap();
        let got: Vec<(String, Schedule)> = jobs.iter().map(|job| (job.url(), job.schedule)).collect();
        let half_past_three = NaiveTime::from_hms_opt(3, 30, 0).unwrap();
        assert_eq!(
            got,
            [
                ("/cron/poll-google".to_owned(), Schedule::Every(1)),
                ("/cron/poll-company".to_owned(), Schedule::Every(1)),
                ("/cron/detect-outages".to_owned(), Schedule::Every(5)),
                ("/cron/cleanup".to_owned(), Schedule::Daily(half_past_three)),
            ]
        );
    }

    #[test]
    fn schedules_are_what_googles_parser_accepts() {
        let daily = |hour, minute| Schedule::Daily(NaiveTime::from_hms_opt(hour, minute, 0).unwrap());
        let good = [
            ("every 1 minutes", Schedule::Every(1)),
            ("every 5 mins", Schedule::Every(5)),
            ("every 01 minutes", Schedule::Every(1)),
            ("  Every  2   HOURS ", Schedule::Every(120)),
            ("every 24 hours", Schedule::Every(1_440)),
            ("every day 03:00", daily(3, 0)),
            ("every day 3:05", daily(3, 5)),
            ("every day 00:00", daily(0, 0)),
            ("every day 23:59", daily(23, 59)),
        ];
        for (text, expected) in good {
            assert_eq!(Schedule::parse(text), Ok(expected), "{text}");
        }
        // Google's parser refuses all of these except the last five, which are valid but not supported here.
        let bad = [
            "",
            "every minute",
            "every 1 minute",
            "every 1 hour",
            "every 5 min",
            "* * * * *",
            "every 0 minutes",
            "every -1 minutes",
            "every +1 minutes",
            "every 99999999999 minutes",
            "every 5 minutes foo",
            "daily",
            "every day",
            "every day 24:00",
            "every day 03:60",
            "every day 3:5",
            "every day 03:00 foo",
            "every day -3:00",
            "every 5 minutes synchronized",
            "every 5 minutes from 10:00 to 14:00",
            "every monday 09:00",
            "1st monday of month 09:00",
            "every 100000 hours",
        ];
        for text in bad {
            assert_eq!(Schedule::parse(text), Err(format!("is not a schedule: {SCHEDULES}")), "{text}");
        }
    }

    #[test]
    fn schedules_fall_on_the_same_minutes_whenever_the_program_starts() {
        let check = |schedule: &str, now: &str, last: &str, next: &str| {
            let parsed = Schedule::parse(schedule).unwrap();
            assert_eq!(parsed.last_at(at(now)), at(last), "last of '{schedule}' at {now}");
            assert_eq!(parsed.next_after(at(now)), at(next), "next of '{schedule}' at {now}");
        };
        check(
            "every 1 minutes",
            "2026-03-01T10:00:59.999999Z",
            "2026-03-01T10:00:00Z",
            "2026-03-01T10:01:00Z",
        );
        check("every 5 minutes", "2026-03-01T10:03:00Z", "2026-03-01T10:00:00Z", "2026-03-01T10:05:00Z");
        check("every 5 minutes", "2026-03-01T10:05:00Z", "2026-03-01T10:05:00Z", "2026-03-01T10:10:00Z");
        check("every 24 hours", "2026-03-01T10:05:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
        check("every day 03:30", "2026-03-01T03:29:59Z", "2026-02-28T03:30:00Z", "2026-03-01T03:30:00Z");
        check("every day 03:30", "2026-03-01T03:30:00Z", "2026-03-01T03:30:00Z", "2026-03-02T03:30:00Z");
        check("every 5 minutes", "1969-12-31T23:58:00Z", "1969-12-31T23:55:00Z", "1970-01-01T00:00:00Z");
    }

    #[test]
    fn each_mistake_is_named_with_its_job() {
        let check = |replace: &str, by: &str, expected: &[&str]| {
            assert_eq!(problems(&with(replace, by)), expected, "{replace} -> {by}");
        };
        check(
            "schedule: every 1 minutes",
            "schedule: every minute",
            &[&format!("job /cron/poll-google: schedule: 'every minute' is not a schedule: {SCHEDULES}")],
        );
        check(
            "schedule: every 1 minutes",
            "schedule: 5",
            &[&format!("job /cron/poll-google: schedule: 5 is not a schedule: {SCHEDULES}")],
        );
        check("  schedule: every 1 minutes\n", "", &["job /cron/poll-google: schedule: is missing"]);
        check(
            "url: /cron/poll-company",
            "url: /cron/poll-google",
            &[
                "job /cron/poll-google: stands in the file twice; remove one of the two",
                "job /cron/poll-company: is missing; every scheduled task needs its job",
            ],
        );
        check(
            "url: /cron/cleanup",
            "url: /cron/sync-google-case",
            &[
                "job /cron/sync-google-case: url: queues no scheduled task; the URLs are /cron/poll-google, \
             /cron/poll-company, /cron/cleanup, /cron/detect-outages",
                "job /cron/cleanup: is missing; every scheduled task needs its job",
            ],
        );
        check(
            "schedule: every day 03:30",
            "schedule: every day 03:30\n  timezone: Europe/Paris",
            &[
                "job /cron/cleanup: timezone: 'Europe/Paris' is not supported: schedules are in UTC; convert the time and \
             remove this key",
            ],
        );
        check(
            "schedule: every day 03:30",
            "schedule: every day 03:30\n  retry_parameters: {job_retry_limit: 3}",
            &[
                "job /cron/cleanup: retry_parameters: does not belong here: a job only queues its task; say in queue.yaml \
             how that is retried",
            ],
        );
        check(
            "schedule: every day 03:30",
            "schedule: every day 03:30\n  shedule: x",
            &["job /cron/cleanup: 'shedule': is not a known key; check its spelling or remove it"],
        );
    }

    #[test]
    fn what_means_nothing_here_but_is_right_is_accepted() {
        let text =
            with("schedule: every day 03:30", "schedule: every day 03:30\n  timezone: UTC\n  target: worker");
        assert_eq!(problems(&text), [""; 0]);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in any::<String>()) {
            drop(CronConfig::parse("f", &text));
        }

        #[test]
        fn no_schedule_makes_the_reader_panic(
            text in prop_oneof![any::<String>(), "every [0-9]{0,12} (minutes|mins|hours)", "every day [0-9:]{0,6}"],
            seconds in -60_000_000_000_i64..200_000_000_000,
        ) {
            if let Ok(schedule) = Schedule::parse(&text) {
                let now = DateTime::from_timestamp(seconds, 0).unwrap();
                prop_assert!(schedule.last_at(now) <= now);
                prop_assert!(schedule.next_after(now) > now);
                prop_assert_eq!(schedule.last_at(schedule.next_after(now)), schedule.next_after(now));
            }
        }
    }
}
