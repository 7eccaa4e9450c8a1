//! Difference between an upstream's clock and ours, measured from the `Date` of its answers (`R36`).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{AGE, DATE, HeaderMap};

/// Number of answers in the median.
const KEPT: usize = 15;
/// Number of successive answers that replace the median if they agree with each other but not with it.
const JUMP: usize = 3;
/// Difference beyond which a clock counts as wrong. Google still accepts a signed token request that is a few minutes off, and NTP keeps
/// clocks within a fraction of a second.
pub(super) const APART: TimeDelta = TimeDelta::minutes(1);

/// Difference measured from one answer.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Their time minus ours.
    skew: TimeDelta,
    /// Largest error of the difference.
    error: TimeDelta,
}

impl Sample {
    /// Measures the difference from an answer that arrived at `now` after `round_trip`. `Date` is cut to whole seconds, so its middle is
    /// half a second later. The answer was dated in the middle of the round trip, give or take half of it.
    fn new(date: DateTime<Utc>, now: DateTime<Utc>, round_trip: TimeDelta) -> Self {
        let error = TimeDelta::milliseconds(500) + round_trip / 2;
        // No overflow: the milliseconds between any two chrono times fit an i64.
        let skew = (date - now) + error;
        // A difference within the error counts as zero: no search needs a second more or less.
        let skew = if skew.abs() <= error { TimeDelta::zero() } else { skew };
        Self { skew, error }
    }

    fn agrees_with(&self, other: &Self) -> bool {
        (self.skew - other.skew).abs() <= self.error + other.error
    }
}

/// Change to be logged for operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The clocks are now further apart than [`APART`].
    Apart(TimeDelta),
    /// The clocks agree again.
    Together(TimeDelta),
}

/// Running median of the newest answers. It follows a jump of either clock within [`JUMP`] answers; a single wrong answer changes nothing.
#[derive(Debug, Default)]
pub(super) struct Skew(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Newest sample last.
    samples: VecDeque<Sample>,
    told: bool,
}

impl Skew {
    /// Adds an answer's `Date`. Returns the new median, and a change to be logged. `None` if the answer has no date or comes from a cache
    /// (`Age`), where the date is that of the first answer (RFC 9111, 4.2.3).
    pub(super) fn measure(
        &self,
        headers: &HeaderMap,
        now: DateTime<Utc>,
        round_trip: Duration,
    ) -> Option<(TimeDelta, Option<News>)> {
        if headers.contains_key(AGE) {
            return None;
        }
        let date = date(headers)?;
        let round_trip = TimeDelta::from_std(round_trip).unwrap_or(TimeDelta::days(1));
        let mut state = self.lock();
        state.add(Sample::new(date, now, round_trip));
        let median = state.median()?.skew;
        let apart = median.abs() > APART;
        let news =
            (apart != state.told).then_some(if apart { News::Apart(median) } else { News::Together(median) });
        state.told = apart;
        Some((median, news))
    }

    /// Median of the newest answers.
    pub(super) fn median(&self) -> Option<TimeDelta> {
        self.lock().median().map(|sample| sample.skew)
    }

    /// Difference according to the newest answer alone.
    pub(super) fn latest(&self) -> Option<TimeDelta> {
        self.lock().samples.back().map(|sample| sample.skew)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, sample: Sample) {
        self.samples.push_back(sample);
        let older = self.samples.len().saturating_sub(JUMP);
        let newest_agree = self.samples.iter().skip(older).all(|other| other.agrees_with(&sample));
        if newest_agree && self.median_of(older).is_some_and(|median| !sample.agrees_with(&median)) {
            self.samples.drain(..older);
        }
        if self.samples.len() > KEPT {
            self.samples.pop_front();
        }
    }

    fn median(&self) -> Option<Sample> {
        self.median_of(self.samples.len())
    }

    /// Median of the `oldest` oldest samples. Of an even number, the lower of the two in the middle.
    fn median_of(&self, oldest: usize) -> Option<Sample> {
        let mut sorted: Vec<Sample> = self.samples.iter().take(oldest).copied().collect();
        sorted.sort_by_key(|sample| sample.skew);
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }
}

/// Returns the `Date` of an answer.
pub(super) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = headers.get(DATE)?.to_str().ok()?;
    Some(DateTime::<Utc>::from(httpdate::parse_http_date(date).ok()?))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn headers(date: DateTime<Utc>) -> HeaderMap {
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        HeaderMap::from_iter([(DATE, HeaderValue::from_str(&date).unwrap())])
    }

    /// Feeds answers of a system whose clock is `seconds` ahead; returns the median after each, in whole seconds.
    fn medians(skew: &Skew, seconds: &[i64]) -> Vec<i64> {
        let now = at("2026-03-01T12:00:00.400Z");
        let measure = |ahead: &i64| {
            let answer = headers(now + TimeDelta::seconds(*ahead));
            let (median, _) = skew.measure(&answer, now, Duration::from_millis(80)).unwrap();
            // Rounds to the nearest whole second.
            (median + TimeDelta::milliseconds(500)).num_milliseconds().div_euclid(1_000)
        };
        seconds.iter().map(measure).collect()
    }

    #[test]
    fn nothing_is_known_before_the_first_date() {
        let (skew, now) = (Skew::default(), at("2026-03-01T12:00:00Z"));
        assert_eq!((skew.median(), skew.latest()), (None, None));
        let mut cached = headers(now);
        cached.insert(AGE, HeaderValue::from_static("0"));
        let odd = HeaderMap::from_iter([(DATE, HeaderValue::from_static("yesterday"))]);
        for headers in [HeaderMap::new(), odd, cached] {
            assert_eq!(skew.measure(&headers, now, Duration::ZERO), None, "{headers:?}");
        }
        assert_eq!((skew.median(), skew.latest()), (None, None));
    }

    #[test]
    fn one_answer_shows_the_difference_to_half_a_second_and_half_the_round_trip() {
        for (ours, theirs, round_trip, expected) in [
            // Their time may have been 12:00:00.0 to 12:00:01.0.
            ("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:00Z", 0, 0),
            ("2026-03-01T12:00:00.999Z", "2026-03-01T12:00:00Z", 0, 0),
            ("2026-03-01T12:00:01.001Z", "2026-03-01T12:00:00Z", 0, -501),
            ("2026-03-01T12:00:00.000Z", "2026-03-01T12:00:01Z", 0, 1_500),
            ("2026-03-01T12:00:02.000Z", "2026-03-01T12:00:00Z", 4_000, 0),
            ("2026-03-01T12:00:02.000Z", "2026-03-01T12:01:00Z", 4_000, 60_500),
            ("2026-03-01T12:00:00.000Z", "2026-03-01T11:00:00Z", 200, -3_599_400),
            ("1969-03-01T12:00:00.000Z", "2026-03-01T12:00:00Z", 0, 1_798_761_600_500),
            ("2263-03-01T12:00:00.000Z", "1970-01-01T00:00:00Z", 0, -9_251_323_199_500),
        ] {
            let skew = Skew::default();
            let measured = skew.measure(&headers(at(theirs)), at(ours), Duration::from_millis(round_trip));
            let measured = measured.map(|(median, _)| median.num_milliseconds());
            assert_eq!(measured, Some(expected), "we {ours}, they {theirs}, {round_trip} ms");
        }
        for ours in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            for theirs in ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"] {
                assert!(Skew::default().measure(&headers(at(theirs)), ours, Duration::MAX).is_some());
            }
        }
    }

    #[test]
    fn a_single_odd_answer_is_outvoted_and_a_jump_takes_over_with_the_third() {
        let skew = Skew::default();
        assert_eq!(medians(&skew, &[0, 0, 0, 0, 0, 3_600, 0, 0]), [0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(medians(&skew, &[3_600, 3_601, 3_600]), [0, 0, 3_600]);
        assert_eq!(skew.latest().unwrap().num_seconds(), 3_600);
        assert_eq!(medians(&skew, &[-7_200, 3_600, -7_200, -7_200]), [3_600; 4]);
        assert_eq!(medians(&skew, &[-7_200]), [-7_200]);
        // Three outliers that do not agree with each other.
        assert_eq!(medians(&skew, &[60, 6_000, 600_000]), [-7_200; 3]);
        assert_eq!(skew.latest().unwrap().num_seconds(), 600_000);
    }

    #[test]
    fn a_clock_that_drifts_is_followed_and_no_more_than_so_many_answers_are_kept() {
        let skew = Skew::default();
        let drift: Vec<i64> = (0..1_000).collect();
        let followed = medians(&skew, &drift);
        assert!(drift.iter().zip(&followed).all(|(now, median)| (now - median).abs() <= 8), "{followed:?}");
        let kept = skew.lock().samples.len();
        assert!(kept <= KEPT, "{kept}");
    }

    #[test]
    fn it_is_news_once_that_the_clocks_are_a_minute_apart_and_once_that_they_are_not() {
        let (skew, now) = (Skew::default(), at("2026-03-01T12:00:00Z"));
        let news = |ahead| {
            let answer = headers(now + TimeDelta::seconds(ahead));
            skew.measure(&answer, now, Duration::ZERO).unwrap().1
        };
        let apart = |millis| Some(News::Apart(TimeDelta::milliseconds(millis)));
        assert_eq!([news(0), news(30), news(30), news(30)], [None; 4]);
        assert_eq!([news(90), news(90), news(90), news(90)], [None, None, apart(90_500), None]);
        assert_eq!([news(-90), news(-90), news(-90)], [None; 3], "still apart");
        let together = Some(News::Together(TimeDelta::zero()));
        assert_eq!([news(0), news(0), news(0), news(0)], [None, None, together, None]);
    }
}
