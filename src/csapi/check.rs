//! The tests behind `casebridge check` for CSAPI, with advice for each failure.

use serde_json::Value;

use super::{Csapi, NAME, events, wire};
use crate::cases::{ApiError, ApiErrorKind, Check, Finding, Report, Trouble};
use crate::outbound::Call;

/// Maximum number of pages to read in search of one case; pages may be empty although there are cases.
const PAGES: usize = 10;
/// Page size for finding one case: more than one, since one case may have to be left out.
const FEW: &str = "3";

/// Classification of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// ID, for `google.classification_id`.
    pub id: String,
    /// Name for people: `Technical Issue > Compute > Compute Engine`.
    pub display_name: String,
}

impl Csapi {
    /// Tries what the connector needs of CSAPI.
    pub(super) async fn check_all(&self) -> Vec<Check> {
        const CLASSIFICATION: &str = "classification of new cases";
        const EVENTS: &str = "event subscription";
        let mut report = Report::new(NAME);
        let search = format!("search cases of {}", self.settings.parent);
        let found = self.has_cases().await;
        // A wrong parent spoils the search alone, anything else every call.
        let answers = match &found {
            Ok(_) => true,
            Err(error) => matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Refused),
        };
        report.add(&search, self.searched(found));
        if answers {
            report.add(CLASSIFICATION, self.classification().await);
        } else {
            report.add_untried(CLASSIFICATION, &search);
        }
        if let Some(expected) = &self.settings.events {
            if answers {
                report.add(EVENTS, self.events_finding(expected).await);
            } else {
                report.add_untried(EVENTS, &search);
            }
        }
        report.into_lines()
    }

    /// Judges a search for any case: the credentials, the role, the parent, the support plan.
    fn searched(&self, found: Result<bool, ApiError>) -> Finding {
        let parent = &self.settings.parent;
        match found {
            Ok(true) => Ok("cases can be searched for".to_owned()),
            // R24: without a support plan that includes the API, every list is empty, without an error.
            Ok(false) => Err(Trouble::warning(
                "no case at all",
                format!(
                    "if {parent} has cases, its support plan does not include the API: that takes Enhanced or Premium Support"
                ),
            )),
            Err(error) => Err((&error).into()),
        }
    }

    /// Checks that new cases can be given the configured classification.
    async fn classification(&self) -> Finding {
        let Some(wanted) = self.settings.classification_id.as_deref() else {
            return Ok("google.classification_id is not set: no case can be created in Google".to_owned());
        };
        match self.classifications(&[]).await {
            Ok(listed) => match listed.iter().find(|listed| listed.id == wanted) {
                Some(found) => Ok(format!("{:?}", found.display_name)),
                None => Err(Trouble::failed(
                    format!(
                        "google.classification_id {wanted:?} is not among the classifications that CSAPI lists: it is mistyped or given \
                         up, and one that is given up is refused six months later"
                    ),
                    "choose another one: `casebridge classifications WORDS` lists them",
                )),
            },
            Err(error) => Err((&error).into()),
        }
    }

    /// Lists the classifications whose names contain all of these words, compared without case.
    pub async fn classifications(&self, words: &[String]) -> Result<Vec<Classification>, ApiError> {
        let words: Vec<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let mut found = Vec::new();
        self.each("/v2/caseClassifications:search", None, "caseClassifications", |value| {
            let Some((id, name)) = wire::classification(&value) else { return };
            let lower = name.to_lowercase();
            if words.iter().all(|word| lower.contains(word)) {
                found.push(Classification { id: id.to_owned(), display_name: name.to_owned() });
            }
        })
        .await?;
        Ok(found)
    }

    /// Reports if a search finds any case at all.
    pub(super) async fn has_cases(&self) -> Result<bool, ApiError> {
        // `PAGES` pages that are all empty, with more to follow, are not an empty list.
        Ok(self.first_case(|_| Some(()), Some(())).await?.is_some())
    }

    /// Returns the first result of `take` among all cases. Pages are small, and reading stops at the first match. Returns `endless` if
    /// there are more than `PAGES` pages without a match.
    pub(super) async fn first_case<T>(
        &self,
        take: impl Fn(&Value) -> Option<T> + Send,
        endless: Option<T>,
    ) -> Result<Option<T>, ApiError>
    where
        T: Send,
    {
        let path = format!("/v2/{}/cases:search", self.settings.parent);
        let mut token = None;
        for _ in 0..PAGES {
            let mut call = Call::get(&path).query("pageSize", FEW);
            if let Some(token) = token {
                call = call.query("pageToken", token);
            }
            let answer: Value = self.upstream.read(call).await?;
            let page = wire::page(answer, "cases").map_err(|odd| self.unreadable(&path, &odd))?;
            if let Some(found) = page.items.iter().find_map(&take) {
                return Ok(Some(found));
            }
            let Some(next) = page.next else { return Ok(None) };
            token = Some(next);
        }
        Ok(endless)
    }
}

/// Returns the remedy for a failed call.
pub(super) fn remedy(parent: &str, error: &ApiError) -> Option<String> {
    // These exist for every parent.
    let is_search = error.call.ends_with(":search");
    let remedy = match (error.kind, error.status) {
        (ApiErrorKind::Unauthorized, Some(403)) if error.is_disabled_api() => {
            "the API is not enabled in the project that the service account belongs to: `gcloud services enable \
             cloudsupport.googleapis.com --project=PROJECT`, and wait a few minutes"
                .to_owned()
        }
        // This is what Google answers to a person's own credentials (Google's documentation, "Set the quota project").
        (ApiErrorKind::Unauthorized, Some(403)) if error.message.contains("quota project") => {
            "these are a person's credentials, not the service account's: docs/deploy.md says how to check as the \
             service account"
                .to_owned()
        }
        (ApiErrorKind::Unauthorized, Some(403)) if error.call.contains(events::COLLECTION) => format!(
            "event subscriptions take a role on {parent} with cloudsupport.supportEventSubscriptions.*, which Google does not name: try \
             roles/cloudsupport.admin, or call with the credentials of a person who administers support"
        ),
        (ApiErrorKind::Unauthorized, Some(403)) => format!(
            "check that google.parent, {parent}, is the right one, and grant the service account both roles there: \
             `{}` and `{}`; a new grant can take some minutes; if the roles are right, the support plan may not include \
             the API, which takes Enhanced or Premium Support",
            grant_command(parent, "roles/cloudsupport.techSupportEditor"),
            grant_command(parent, "roles/resourcemanager.organizationViewer"),
        ),
        (ApiErrorKind::Unauthorized, _) => {
            "check google.auth, the service account that the service runs as, and that this machine's clock is right".to_owned()
        }
        (ApiErrorKind::NotFound, _) if is_search => format!(
            "check google.base_url, and google.parent: {parent} does not exist, or the service account may not see it"
        ),
        (ApiErrorKind::Refused, _) if is_search => format!("check google.parent, which is {parent}"),
        (ApiErrorKind::NotApplied, None)
        | (ApiErrorKind::Uncertain | ApiErrorKind::Unreadable, _)
        | (ApiErrorKind::Refused, Some(300..=399)) => {
            "check google.base_url, the network (docs/networks.md) and Google Cloud's status page".to_owned()
        }
        (
            // With a status, the limit of a rate, or two writes that collided: both pass.
            ApiErrorKind::NotApplied
            | ApiErrorKind::NotFound
            | ApiErrorKind::Refused
            | ApiErrorKind::Unacceptable
            | ApiErrorKind::Unsupported
            | ApiErrorKind::WrongContent,
            _,
        ) => return None,
    };
    Some(remedy)
}

/// Returns the command that grants the service account a role on `organizations/1` or `projects/p`.
fn grant_command(parent: &str, role: &str) -> String {
    let (collection, id) = parent.split_once('/').unwrap_or(("organizations", parent));
    format!("gcloud {collection} add-iam-policy-binding {id} --member=serviceAccount:EMAIL --role={role}")
}
