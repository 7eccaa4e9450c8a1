//! The one `Global` entity.

use chrono::{DateTime, Duration, Utc};
use serde::Serialize;

use super::{Side, Sides};

/// How far the polls have come. Exactly one exists; it is never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Global {
    /// When the last complete poll of CSAPI began (`R6`); `None` before the first.
    pub google_last_polled_at: Option<DateTime<Utc>>,
    /// When the last complete poll of the CRM began (`R6`); `None` before the first.
    pub company_last_polled_at: Option<DateTime<Utc>>,
}

impl Global {
    /// Its key in every store.
    pub const ID: i64 = 1;

    /// That side's watermark.
    #[must_use]
    pub fn last_polled_at(&self, side: Side) -> Option<DateTime<Utc>> {
        match side {
            Side::Google => self.google_last_polled_at,
            Side::Company => self.company_last_polled_at,
        }
    }

    /// Moves that side's watermark, never backwards.
    pub fn set_last_polled_at(&mut self, side: Side, at: DateTime<Utc>) {
        let watermark = match side {
            Side::Google => &mut self.google_last_polled_at,
            Side::Company => &mut self.company_last_polled_at,
        };
        *watermark = (*watermark).max(Some(at));
    }

    /// How long ago each side was polled; `None` if it never was (`R24`).
    #[must_use]
    pub fn poll_ages(&self, now: DateTime<Utc>) -> Sides<Option<Duration>> {
        let age = |side| self.last_polled_at(side).map(|at| now - at);
        Sides { google: age(Side::Google), company: age(Side::Company) }
    }
}
