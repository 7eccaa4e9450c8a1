//! Memory of a pair about the titles of its two cases.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Side, Sides};

/// Digest of a title, so that the memory of a pair holds no text of its cases.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TitleDigest(String);

impl TitleDigest {
    /// Returns the digest of a title.
    #[must_use]
    pub fn of(title: &str) -> Self {
        // A collision of 64 bits would only leave one change of a title uncarried.
        Self(hex::encode(&Sha256::digest(title.as_bytes())[..8]))
    }
}

/// Write-ahead record of a title that is set on one side because the other side's has changed (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TitleBegun {
    /// Side that the title is written to.
    pub side: Side,
    /// Title that the side has after the write: the one that is asked for, until the answer names what the system has made of it.
    pub title: TitleDigest,
    /// Title that is asked for.
    pub wanted: TitleDigest,
    /// Titles of both sides before the write. While `side` still has its own, the write has had no effect.
    pub from: Sides<TitleDigest>,
    /// Latest time at which the write may have been sent, by our clock. `None` once it was answered: the title is the merge base only after
    /// the side was read with it (`R30`: merge base).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<DateTime<Utc>>,
    /// True if the pair has continued with another case on the other side since, or was found again: the title may still arrive, but the
    /// titles are read anew afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub detached: bool,
}

impl TitleBegun {
    /// Returns the titles that both sides have once the write has had its effect.
    #[must_use]
    pub fn after(&self) -> Sides<TitleDigest> {
        let mut after = self.from.clone();
        after[self.side] = self.title.clone();
        after
    }
}

/// Titles with which a counterpart was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedTitles {
    /// Side of the counterpart.
    pub side: Side,
    /// Title that it was created with, and title that its original had then.
    pub titles: Sides<TitleDigest>,
}

/// Title that a side refuses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedTitle {
    /// Side that refuses it.
    pub side: Side,
    /// The title.
    pub title: TitleDigest,
    /// Time of the refusal.
    pub at: DateTime<Utc>,
}

/// Memory of a pair about its titles.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Titles {
    /// Titles that both sides were last seen to have at the same time, after all changes were carried: the base of the three-way merge
    /// (`R30`: merge base). They need not be equal. `None` until both titles were read once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<Sides<TitleDigest>>,
    /// Title that is being set, or was set and not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<TitleBegun>,
    /// Title that a side refused last. It is set again a day later, or once another one is to be set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedTitle>,
    /// Titles with which the counterpart was created, until both are read. They are the base if the counterpart still has its own: a change
    /// of its original in between is a change (`R30`: merge base).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<CreatedTitles>,
}

impl Titles {
    /// Returns the memory of a pair whose titles are read anew. A write without an answer to a case that the pair keeps may still arrive, and
    /// is waited for (`R13`: unknown write outcome).
    #[must_use]
    pub(super) fn begun_anew(&self, keeps: impl Fn(Side) -> bool) -> Self {
        let setting = self.setting.clone().filter(|begun| begun.sent_at.is_some() && keeps(begun.side));
        Self { setting: setting.map(|begun| TitleBegun { detached: true, ..begun }), ..Self::default() }
    }

    /// Returns true if a write has no known outcome (`R13`: unknown write outcome).
    #[must_use]
    pub fn awaits_outcome(&self) -> bool {
        self.setting.as_ref().is_some_and(|begun| begun.sent_at.is_some())
    }

    /// Returns true if the next sync has something to do, though neither title changes again.
    #[must_use]
    pub const fn is_outstanding(&self) -> bool {
        self.setting.is_some() || self.refused.is_some()
    }

    /// Returns the time of a write without an answer, to change it.
    pub(super) fn sent_at(&mut self) -> Option<&mut DateTime<Utc>> {
        self.setting.as_mut().and_then(|begun| begun.sent_at.as_mut())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_with_fewer_fields_are_read() {
        assert_eq!(serde_json::from_str::<Titles>("{}").unwrap(), Titles::default());
        let begun =
            r#"{"setting":{"side":"google","title":"a","wanted":"a","from":{"google":"b","company":"a"}}}"#;
        let titles: Titles = serde_json::from_str(begun).unwrap();
        assert!(titles.is_outstanding() && !titles.awaits_outcome());
        let again: Titles = serde_json::from_value(serde_json::to_value(&titles).unwrap()).unwrap();
        assert_eq!(again, titles);
    }
}
