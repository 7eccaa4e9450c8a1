//! Embedded cron: the right calls at the right times, each once, even if processes die (`R1`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Method;
use casebridge::clock::{Clock, ManualClock, SystemClock};
use casebridge::queue::cron::{EmbeddedCron, EmbeddedCronOptions};
use casebridge::queue::cron_yaml::CronConfig;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use casebridge_testkit::contract::queue::{Reply, Service};

struct Test {
    service: Service,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
}

fn at(time: &str) -> DateTime<Utc> {
    format!("2026-03-{time}Z").parse().unwrap()
}

impl Test {
    async fn at(time: &str) -> Self {
        let clock = ManualClock::at(at(time));
        let service = Service::start(clock.clone()).await;
        Self { service, clock, folder: tempfile::tempdir().unwrap() }
    }

    fn options(&self) -> EmbeddedCronOptions {
        let jobs = CronConfig::load(None).unwrap();
        let path = self.folder.path().join("queue.db");
        EmbeddedCronOptions::new(
            path,
            jobs,
            self.service.url(),
            "internal-token".to_owned(),
            self.clock.clone(),
        )
    }

    fn open(&self) -> EmbeddedCron {
        EmbeddedCron::open(self.options()).unwrap()
    }

    /// Lets time pass until `end`, with a process that runs all the time.
    async fn run_until(&self, cron: &EmbeddedCron, end: &str) {
        let end = at(end);
        loop {
            match cron.run_due().await.unwrap().next_due {
                Some(next) if next <= end => {
                    assert!(next > self.clock.now(), "a job that is due was not run");
                    self.clock.set(next);
                }
                Some(_) | None => break,
            }
        }
        self.clock.set(end);
    }

    /// Returns the times of the calls of each job.
    fn calls(&self) -> BTreeMap<String, Vec<String>> {
        let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for request in self.service.received() {
            calls.entry(request.path).or_default().push(request.at.format("%d %H:%M:%S").to_string());
        }
        calls
    }

    fn calls_of(&self, path: &str) -> Vec<String> {
        self.calls().remove(path).unwrap_or_default()
    }
}

#[tokio::test]
async fn a_job_is_a_get_that_says_who_calls() {
    let test = Test::at("01T10:00:30").await;
    test.open().run_due().await.unwrap();
    let received = test.service.received();
    assert_eq!(received.len(), 3);
    for request in received {
        assert_eq!(request.method, Method::GET);
        assert_eq!(request.header("x-appengine-cron"), Some("true"));
        assert_eq!(request.header("authorization"), Some("Bearer internal-token"));
        assert!(request.body.is_empty());
    }
}

#[tokio::test]
async fn jobs_run_at_once_on_the_first_start_and_then_by_their_schedules() {
    let test = Test::at("01T03:27:40").await;
    let cron = test.open();
    test.run_until(&cron, "01T03:35:30").await;
    let minutes = |range: std::ops::RangeInclusive<u32>| {
        range.map(|minute| format!("01 03:{minute}:00")).collect::<Vec<_>>()
    };
    let mut every_minute = vec!["01 03:27:40".to_owned()];
    every_minute.extend(minutes(28..=35));
    assert_eq!(test.calls_of("/cron/poll-google"), every_minute);
    // Half a minute later, so that both directions of a pair do not run at once.
    let mut half_a_minute_later = vec!["01 03:27:40".to_owned()];
    half_a_minute_later.extend((28..=35).map(|minute| format!("01 03:{minute}:30")));
    assert_eq!(test.calls_of("/cron/poll-company"), half_a_minute_later);
    assert_eq!(test.calls_of("/cron/detect-outages"), ["01 03:27:40", "01 03:30:00", "01 03:35:00"]);
    assert_eq!(test.calls_of("/cron/cleanup"), ["01 03:30:00"]);
}

#[tokio::test]
async fn a_day_has_the_right_number_of_runs() {
    let test = Test::at("01T00:00:00").await;
    let cron = test.open();
    test.run_until(&cron, "01T23:59:59").await;
    let counts: Vec<(String, usize)> =
        test.calls().into_iter().map(|(path, calls)| (path, calls.len())).collect();
    let expected = [
        ("/cron/cleanup", 1),
        ("/cron/detect-outages", 288),
        // The first one at the start.
        ("/cron/poll-company", 1_441),
        ("/cron/poll-google", 1_440),
    ];
    assert_eq!(counts, expected.map(|(path, count)| (path.to_owned(), count)));
}

#[tokio::test]
async fn a_restart_neither_doubles_nor_delays_a_run() {
    let test = Test::at("01T10:00:00").await;
    test.run_until(&test.open(), "01T10:00:20").await;
    test.run_until(&test.open(), "01T10:00:40").await;
    assert_eq!(test.calls_of("/cron/poll-google"), ["01 10:00:00"]);
    test.run_until(&test.open(), "01T10:01:10").await;
    assert_eq!(test.calls_of("/cron/poll-google"), ["01 10:00:00", "01 10:01:00"]);
    assert_eq!(test.calls_of("/cron/detect-outages"), ["01 10:00:00"]);
}

#[tokio::test]
async fn a_daily_job_that_was_missed_runs_once_on_the_next_start() {
    let test = Test::at("01T03:00:00").await;
    test.run_until(&test.open(), "01T03:31:00").await;
    test.clock.set(at("04T12:00:00"));
    let cron = test.open();
    test.run_until(&cron, "04T12:10:00").await;
    test.run_until(&test.open(), "05T03:31:00").await;
    assert_eq!(test.calls_of("/cron/cleanup"), ["01 03:30:00", "04 12:00:00", "05 03:30:00"]);
}

#[tokio::test]
async fn hours_of_sleep_are_caught_up_with_one_run() {
    let test = Test::at("01T10:00:00").await;
    let cron = test.open();
    test.run_until(&cron, "01T10:00:30").await;
    test.clock.set(at("01T17:02:30"));
    test.run_until(&cron, "01T17:03:30").await;
    assert_eq!(test.calls_of("/cron/poll-google"), ["01 10:00:00", "01 17:02:30", "01 17:03:00"]);
    assert_eq!(test.calls_of("/cron/detect-outages"), ["01 10:00:00", "01 17:02:30"]);
}

#[tokio::test]
async fn a_run_that_fails_is_not_repeated() {
    let test = Test::at("01T10:00:00").await;
    test.service.answer(|request| Reply::status(if request.path == "/cron/poll-google" { 500 } else { 200 }));
    let cron = test.open();
    let report = cron.run_due().await.unwrap();
    assert_eq!((report.done, report.failed), (2, 1));
    assert_eq!(report.next_due, Some(at("01T10:00:30")), "the other poll");
    test.run_until(&cron, "01T10:01:30").await;
    assert_eq!(test.calls_of("/cron/poll-google"), ["01 10:00:00", "01 10:01:00"]);
}

#[tokio::test]
async fn a_redirect_is_a_failure() {
    let test = Test::at("01T10:00:00").await;
    test.service.answer(|_| Reply::status(302).header("location", "/login"));
    assert_eq!(test.open().run_due().await.unwrap().failed, 3);
    assert_eq!(test.calls_of("/login"), [""; 0]);
}

#[tokio::test]
async fn two_processes_run_a_job_once() {
    let test = Test::at("01T10:00:00").await;
    let (one, two) = (test.open(), test.open());
    for _ in 0..5 {
        let (one, two) = tokio::join!(one.run_due(), two.run_due());
        assert_eq!(
            one.unwrap().done + two.unwrap().done,
            2 + u64::from(test.clock.now() == at("01T10:00:00"))
        );
        test.clock.advance(TimeDelta::minutes(1));
    }
    assert_eq!(test.calls_of("/cron/poll-google").len(), 5);
}

#[tokio::test]
async fn a_run_whose_process_died_is_made_up_for() {
    let test = Test::at("01T03:29:00").await;
    test.run_until(&test.open(), "01T03:29:30").await;
    test.clock.set(at("01T03:30:00"));
    let gate = Arc::new(Semaphore::new(0));
    test.service.answer(move |_| Reply::status(200).behind(&gate));
    let dying = test.open();
    tokio::select! {
        _ = dying.run_due() => panic!("nothing can end"),
        () = test.service.wait_for(3 + 4) => {}
    }
    drop(dying);
    test.service.answer(|_| Reply::status(200));
    test.run_until(&test.open(), "01T03:33:00").await;
    assert_eq!(test.calls_of("/cron/cleanup"), ["01 03:30:00", "01 03:31:10"], "after the claim has run out");
}

#[tokio::test]
async fn a_running_cron_calls_at_once_does_not_overlap_a_job_and_stops_when_told() {
    let clock = Arc::new(SystemClock);
    let service = Service::start(clock.clone()).await;
    let folder = tempfile::tempdir().unwrap();
    let gate = Arc::new(Semaphore::new(0));
    service.answer(move |request| match request.path.as_str() {
        "/cron/poll-google" => Reply::status(200).behind(&gate),
        _ => Reply::status(200),
    });
    let cron = EmbeddedCron::open(EmbeddedCronOptions::new(
        folder.path().join("queue.db"),
        CronConfig::load(None).unwrap(),
        service.url(),
        "internal-token".to_owned(),
        clock,
    ));
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(Arc::new(cron.unwrap()).run(shutdown.clone()));
    // A job that is not held up may be called a second time before the last of them is.
    let called = || service.received().into_iter().map(|request| request.path).collect::<Vec<_>>();
    for path in ["/cron/detect-outages", "/cron/poll-company", "/cron/poll-google"] {
        while !called().iter().any(|known| known == path) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(called().iter().filter(|path| *path == "/cron/poll-google").count(), 1);
    shutdown.cancel();
    tokio::time::timeout(Duration::from_mins(5), ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn whatever_the_clock_does_jobs_run_by_it() {
    let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let years = |years: i64| at("01T12:00:00") + TimeDelta::days(365 * years);
    let mut there: Vec<_> = (-10..=10).map(years).collect();
    let back: Vec<_> = there.iter().rev().skip(1).copied().collect();
    there.extend(back);
    for journey in [
        there,
        vec![years(0), years(10), years(0), years(-10), years(0)],
        vec![years(0), years(0) + TimeDelta::hours(2), years(0)],
        vec![years(0), years(0) - TimeDelta::minutes(6), years(0)],
        vec![time("1969-12-31T23:57:30Z"), time("2026-01-01T00:00:00Z"), time("1965-01-01T00:00:00Z")],
        vec![
            time("2262-04-11T23:45:00Z"),
            time("2263-01-01T00:00:00Z"),
            years(0),
            time("8999-12-01T00:00:00Z"),
        ],
        vec![time("1900-01-01T00:00:00Z"), time("9000-01-01T00:00:00Z"), time("1900-01-01T00:00:00Z")],
    ] {
        let test = Test::at("01T12:00:00").await;
        test.clock.set(journey[0]);
        let cron = test.open();
        for now in &journey {
            test.clock.set(*now);
            let before = test.service.received().len();
            for _ in 0..6 {
                cron.run_due().await.unwrap();
                test.clock.advance(TimeDelta::minutes(1));
            }
            let called: Vec<String> =
                test.service.received().drain(before..).map(|request| request.path).collect();
            let polls = called.iter().filter(|path| *path == "/cron/poll-google").count();
            let looks = called.iter().filter(|path| *path == "/cron/detect-outages").count();
            // One job runs each minute, the other each five minutes. At both ends of the calendar the clock stands still.
            let ends = [time("1900-01-01T00:00:00Z"), time("9000-01-01T00:00:00Z")];
            let expected = if ends.contains(now) { 1..=6 } else { 5..=6 };
            assert!(expected.contains(&polls), "{now} in {journey:?}: {polls} polls");
            assert!((1..=2).contains(&looks), "{now} in {journey:?}: {looks} looks");
        }
    }
}

#[tokio::test]
async fn a_cron_that_panics_goes_on() {
    let clock = Arc::new(crate::embedded_queue::Trap(0.into()));
    let service = Service::start(Arc::new(SystemClock)).await;
    let folder = tempfile::tempdir().unwrap();
    let cron = EmbeddedCron::open(EmbeddedCronOptions::new(
        folder.path().join("queue.db"),
        CronConfig::load(None).unwrap(),
        service.url(),
        "internal-token".to_owned(),
        clock.clone(),
    ));
    clock.0.store(4, std::sync::atomic::Ordering::SeqCst);
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(Arc::new(cron.unwrap()).run(shutdown.clone()));
    service.wait_for(3).await;
    shutdown.cancel();
    ended.await.unwrap();
}
