//! Part 1 of the contract, word for word: two entities and the tasks that matter here. Slow, plain, without a thought of what may
//! go wrong: what the real core is held against.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use casebridge::cases::{ApiError, Case, CaseSystem as _, Found, NewCase, NewComment, Placement, Visibility};
use casebridge::clock::{Clock as _, ManualClock};
use casebridge::entities::{Priority, Side, Sides};
use casebridge::sync::texts::duration_words;
use chrono::{DateTime, Duration, Utc};

use casebridge_testkit::memory::Desk;

const POLLING_WINDOW: Duration = Duration::minutes(30);

/// `CaseMapping`, as far as nothing is ever resolved.
#[derive(Debug, Clone)]
pub(crate) struct CaseMapping {
    origin: Side,
    /// `googleCaseName` and `companyCaseID`.
    pub(crate) case: Sides<Option<String>>,
    pub(crate) new_content_at: DateTime<Utc>,
    /// `googleUpdatesSyncedAt` and `companyUpdatesSyncedAt`.
    pub(crate) synced_at: Sides<Option<DateTime<Utc>>>,
    /// `outageCommentSentToGoogle` and `outageCommentSentToCompany`.
    outage_comment_sent: Sides<bool>,
    priority: Priority,
}

/// The connector as the contract has it.
pub(crate) struct Connector {
    clock: Arc<ManualClock>,
    desks: Sides<Arc<Desk>>,
    pub(crate) mappings: Vec<CaseMapping>,
    /// `Global`.
    last_polled_at: Sides<Option<DateTime<Utc>>>,
    queue: BTreeSet<(Side, String)>,
    /// Each case's time of update when a poll last saw it: another one is new content.
    seen: BTreeMap<String, DateTime<Utc>>,
}

impl Connector {
    pub(crate) fn new(clock: Arc<ManualClock>, desks: Sides<Arc<Desk>>) -> Self {
        Self {
            clock,
            desks,
            mappings: Vec::new(),
            last_polled_at: Sides::default(),
            queue: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    fn of(&mut self, side: Side, case: &str) -> Option<&mut CaseMapping> {
        self.mappings.iter_mut().find(|mapping| mapping.case[side].as_deref() == Some(case))
    }

    /// `poll-google` and `poll-company`.
    pub(crate) async fn poll(&mut self, side: Side) {
        let now = self.clock.now();
        let since = self.last_polled_at[side].map_or(now - Duration::days(30), |last| last - POLLING_WINDOW);
        let Ok(found) = self.desks[side].search_updated(since).await else { return };
        let recent: BTreeSet<String> = found.cases.iter().map(|case| case.id.clone()).collect();
        for case in found.cases {
            self.take_in(side, &case, now);
            self.queue.insert((side, case.id));
        }
        for mapping in &mut self.mappings {
            if mapping.case[side].as_ref().is_some_and(|case| !recent.contains(case)) {
                mapping.synced_at[side] = Some(now);
            }
        }
        self.last_polled_at[side] = Some(now);
    }

    fn take_in(&mut self, side: Side, case: &Found, now: DateTime<Utc>) {
        if self.of(side, &case.id).is_none() {
            let mut mapping = CaseMapping {
                origin: side,
                case: Sides::default(),
                new_content_at: now,
                synced_at: Sides::default(),
                outage_comment_sent: Sides { google: false, company: false },
                priority: case.priority.level().unwrap_or(Priority::P4),
            };
            mapping.case[side] = Some(case.id.clone());
            mapping.synced_at[side.other()] = Some(now);
            self.mappings.push(mapping);
        }
        let updated = case.updated_at.unwrap_or(now);
        if self.seen.insert(format!("{side} {}", case.id), updated) != Some(updated)
            && let Some(mapping) = self.of(side, &case.id)
        {
            mapping.new_content_at = now;
        }
    }

    /// Delivers what is queued. What fails is delivered again the next time.
    pub(crate) async fn deliver(&mut self) {
        for (side, case) in std::mem::take(&mut self.queue) {
            if self.sync(side, &case).await.is_err() {
                self.queue.insert((side, case));
            }
        }
    }

    /// `sync-google-case` and `sync-company-case`.
    async fn sync(&mut self, from: Side, id: &str) -> Result<(), ApiError> {
        let to = from.other();
        let (source, target) = (self.desks[from].clone(), self.desks[to].clone());
        let Some(case) = source.get(id).await? else { return Ok(()) };
        let known = self.of(from, id).and_then(|mapping| mapping.case[to].clone());
        let other = if let Some(other) = known {
            other
        } else {
            let found = target.find_counterparts(id, None).await?;
            let first = match found.first() {
                Some(first) => target.get(&first.id).await?,
                None => None,
            };
            let counterpart = match first {
                Some(first) => first,
                None => target.create(&counterpart_of(from, &case)).await?,
            };
            if let Some(mapping) = self.of(from, id) {
                mapping.case[to] = Some(counterpart.id.clone());
            }
            // R10: the company case names its Google case.
            if from == Side::Company {
                source.link(id, &counterpart.id).await?;
            }
            let company = if from == Side::Company { id } else { &counterpart.id };
            let google = if from == Side::Google { &source } else { &target };
            let google_id = if from == Side::Google { id } else { &counterpart.id };
            let text = format!("This case is now syncing with Company Case: {company}");
            google.add_comment(google_id, &comment(text)).await?;
            counterpart.id
        };
        let (ours, theirs) = (source.comments(id, None).await?, target.comments(&other, None).await?);
        let word = match from {
            Side::Google => "Google",
            Side::Company => "Company",
        };
        // R14: what the connector wrote itself is not carried back.
        for new in ours.iter().filter(|comment| comment.by_connector != Some(true)) {
            let header = format!("[{word} Comment {} by {}]", new.id, new.author);
            if !theirs.iter().any(|copy| copy.body.starts_with(&header)) {
                target.add_comment(&other, &comment(format!("{header}\n{}", new.body))).await?;
            }
        }
        let now = self.clock.now();
        if let Some(mapping) = self.of(from, id) {
            mapping.synced_at[from] = Some(now);
        }
        Ok(())
    }

    /// `detect-outages`: the cases that are in one.
    pub(crate) async fn detect_outages(&mut self) -> BTreeSet<String> {
        let now = self.clock.now();
        let mut outages = BTreeSet::new();
        for mapping in &mut self.mappings {
            let (Some(google), Some(company)) = (mapping.synced_at.google, mapping.synced_at.company) else {
                continue;
            };
            if mapping.case.google.is_none() || mapping.case.company.is_none() {
                continue;
            }
            let tolerance = tolerance(mapping.priority, now - mapping.new_content_at);
            let is_outage = now > google + tolerance || now > company + tolerance;
            let text = if is_outage {
                outages.insert(mapping.case[mapping.origin].clone().unwrap_or_default());
                let duration = duration_words(now - google.min(company));
                format!("This case has not synced properly in {duration}.")
            } else {
                "Syncing has resumed.".to_owned()
            };
            for side in Side::BOTH {
                let case = mapping.case[side].clone().unwrap_or_default();
                if mapping.outage_comment_sent[side] != is_outage
                    && self.desks[side].add_comment(&case, &comment(text.clone())).await.is_ok()
                {
                    mapping.outage_comment_sent[side] = is_outage;
                }
            }
        }
        outages
    }
}

fn comment(body: String) -> NewComment {
    NewComment { body, visibility: Visibility::Public, idempotency_key: String::new() }
}

fn counterpart_of(from: Side, case: &Case) -> NewCase {
    let description = match from {
        Side::Google => format!("CONTENT MIRRORED FROM GOOGLE SUPPORT:\n{}", case.description),
        // R10: its first line names the company case.
        Side::Company => {
            format!("CONTENT MIRRORED FROM COMPANY CASE {}:\n{}", case.id, case.description)
        }
    };
    NewCase {
        title: case.title.clone(),
        description,
        priority: case.priority.level(),
        counterpart: case.id.clone(),
        idempotency_key: String::new(),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    }
}

/// The documented table: by priority and by the age of the newest content.
fn tolerance(priority: Priority, age: Duration) -> Duration {
    let [fresh, default, stale] = match priority {
        Priority::P0 => [10, 10, 15],
        Priority::P1 => [10, 15, 60],
        Priority::P2 => [10, 20, 120],
        Priority::P3 => [10, 20, 240],
        Priority::P4 => [10, 30, 240],
    };
    Duration::minutes(if age < Duration::hours(1) {
        fresh
    } else if age <= Duration::days(1) {
        default
    } else {
        stale
    })
}
