//! Business rule that tells the connector of changes: it sends what `deploy/push/servicenow.js` sends, for records with the flag.
//!
//! An administrator makes it by hand, with two properties for the address and the secret. So does `PUT /sandbox/business-rule`: a real
//! instance has no call for it that the connector's user may use.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize as _;
use serde_json::json;
use url::Url;

use super::state::{State, get};
use super::{FLAG_COLUMN, SandboxServiceNow, catalog};
use crate::outbox::{Outbox, Parcel};

/// Properties of the business rule.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BusinessRule {
    /// Address that messages are sent to: `casebridge.url`.
    #[serde(deserialize_with = "address")]
    pub url: Url,
    /// Secret that each message has in a header: `casebridge.secret`.
    pub secret: String,
}

fn address<'de, D: serde::Deserializer<'de>>(text: D) -> Result<Url, D::Error> {
    String::deserialize(text)?.parse().map_err(serde::de::Error::custom)
}

impl std::fmt::Debug for BusinessRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusinessRule").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// The business rule of an instance, if there is one, and the messages on their way.
#[derive(Default)]
pub(super) struct Rules {
    rule: Mutex<Option<BusinessRule>>,
    outbox: Outbox,
}

/// Number of changes of each record (`sys_mod_count`).
pub(super) type Snapshot = BTreeMap<String, String>;

impl Rules {
    fn lock(&self) -> MutexGuard<'_, Option<BusinessRule>> {
        self.rule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, rule: Option<BusinessRule>) {
        *self.lock() = rule;
    }

    /// Returns the state to compare a change with; `None` without a rule.
    pub(super) fn snapshot(&self, state: &State) -> Option<Snapshot> {
        let of = |row| (get(row, "sys_id").to_owned(), get(row, "sys_mod_count").to_owned());
        let rows = catalog::CASE_TABLES.into_iter().flat_map(|table| state.rows(table));
        self.lock().as_ref().map(|_| rows.map(of).collect())
    }

    /// Sends a message for each record that has changed and has the flag.
    pub(super) fn fire(&self, servicenow: &SandboxServiceNow, before: &Snapshot, state: &State) {
        let Some(rule) = self.lock().clone() else { return };
        for row in catalog::CASE_TABLES.into_iter().flat_map(|table| state.rows(table)) {
            let id = get(row, "sys_id");
            let is_same = before.get(id).is_some_and(|count| count == get(row, "sys_mod_count"));
            if is_same || get(row, FLAG_COLUMN) != "true" {
                continue;
            }
            let header = |secret: &str| vec![("X-Casebridge-Secret", secret.to_owned())];
            self.outbox.send(
                &servicenow.0.faults,
                Parcel {
                    url: rule.url.clone(),
                    headers: header(&rule.secret),
                    forged: header("another secret"),
                    body: json!({ "case_id": id, "user": get(row, "sys_updated_by") }).to_string(),
                    told: None,
                },
            );
        }
    }
}
