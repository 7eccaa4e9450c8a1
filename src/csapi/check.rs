//! The tests behind `casebridge check` for CSAPI, with advice for each failure.

use chrono::{Duration, SecondsFormat};
use serde_json::Value;

use super::{Csapi, NAME, events, feed, number, quoted, wire};
use crate::cases::{ApiError, ApiErrorKind, Check, Finding, PlacementError, Report, SeenScopes, Trouble};
use crate::entities::GooglePlacement;
use crate::outbound::Call;

/// Maximum number of pages to read in search of one case; pages may be empty although there are cases.
const PAGES: usize = 10;
/// Page size for finding one case: more than one, since one case may have to be left out.
const FEW: &str = "3";
/// Largest page size of a search ("Method: cases.search", Cloud Support API v2).
const MANY: &str = "100";

impl Csapi {
    /// Tries what the connector needs of CSAPI.
    pub(super) async fn check_all(&self) -> Vec<Check> {
        const CLASSIFICATION: &str = "classification of new cases";
        const EVENTS: &str = "event subscription";
        const FEED: &str = "email replies (google.feed)";
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
        if self.settings.feed {
            if answers {
                report.add(FEED, self.feed_finding().await);
            } else {
                report.add_untried(FEED, &search);
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

    /// Checks what a route sets on a Google case: that the classification is known, and that cases of the parent can be searched for and are
    /// polled.
    pub(super) async fn placement(&self, placement: &GooglePlacement) -> Finding {
        let mut shown = placement.clone();
        if let Some(text) = &placement.classification {
            let found = self.find_classification(text).await.map_err(|error| match error {
                PlacementError::Unusable(problem) => {
                    Trouble::failed(problem, "correct google.classification of the route")
                }
                PlacementError::Api(error) => (&error).into(),
            })?;
            shown.classification = Some(match found.display_name.as_str() {
                // The ID is given, and not listed any more.
                "" => {
                    return Err(Trouble::warning(
                        format!(
                            "the classification {text} is not among those that CSAPI lists: it is mistyped or given up, and one that is \
                             given up is refused six months later"
                        ),
                        "choose another one: `casebridge classifications WORDS` lists them",
                    ));
                }
                name => format!("{name:?}"),
            });
        }
        if let Some(parent) = placement.parent.as_deref().filter(|parent| *parent != self.settings.parent) {
            self.shows_cases_of(parent).await?;
        }
        Ok(shown.describe())
    }

    /// Checks that cases can be searched for in a parent, and that a search of the configured parent finds them too. That is only known if
    /// the parent has a case.
    async fn shows_cases_of(&self, parent: &str) -> Result<(), Trouble> {
        let newest = |case: &Value| {
            let case = wire::case(case).ok()?;
            Some((number(&case.id).to_owned(), case.updated_at?))
        };
        let found = self.first_case_of(parent, None, newest, None).await;
        let found = found.map_err(|error| {
            let hint = format!(
                "grant the service account both roles there: `{}`, and `{}`",
                grant_command(parent, "roles/cloudsupport.techSupportEditor"),
                grant_command(parent, "roles/resourcemanager.organizationViewer"),
            );
            let detail = error.without_hint();
            Trouble::failed(
                detail,
                format!("check google.parent of the route, {parent}: it must exist; {hint}"),
            )
        })?;
        let Some((wanted, updated_at)) = found.filter(|_| self.covers(parent)) else { return Ok(()) };
        let since = updated_at - Duration::seconds(1);
        let query = format!("update_time>{}", quoted(&since.to_rfc3339_opts(SecondsFormat::Micros, true)));
        let is_it = |case: &Value| {
            let case = wire::case(case).ok()?;
            (number(&case.id) == wanted).then_some(())
        };
        // A case among more than `PAGES` pages of newer ones is taken to be there.
        let own = &self.settings.parent;
        let shown = self
            .first_case_of(own, Some(&query), is_it, Some(()))
            .await
            .map_err(|error| Trouble::from(&error))?;
        if shown.is_some() {
            return Ok(());
        }
        Err(Trouble::failed(
            format!(
                "a search of {own} does not find case {wanted} of {parent}: the project is not below it, so the news of its cases would never \
                 be seen"
            ),
            format!(
                "name a project below {own} in google.parent of the route, or set google.parent to what is above both"
            ),
        ))
    }

    /// Reports if a search finds any case at all.
    pub(super) async fn has_cases(&self) -> Result<bool, ApiError> {
        // `PAGES` pages that are all empty, with more to follow, are not an empty list.
        Ok(self.first_case(|_| Some(()), Some(())).await?.is_some())
    }

    /// Returns the projects and organisations of the newest cases of all parents that are polled, of `PAGES` pages of each at most.
    pub(super) async fn scopes_of_cases(&self) -> Result<SeenScopes, ApiError> {
        let own = std::iter::once(&self.settings.parent);
        let mut seen = SeenScopes { complete: true, ..SeenScopes::default() };
        for parent in own.chain(&self.settings.other_parents) {
            let path = format!("/v2/{parent}/cases:search");
            let mut token: Option<String> = None;
            let mut pages = 0;
            loop {
                let call = Call::get(&path).query("pageSize", MANY);
                let call = token.iter().fold(call, |call, token| call.query("pageToken", token));
                let answer: Value = self.upstream.read(call).await?;
                let page = wire::page(answer, "cases").map_err(|odd| self.unreadable(&path, &odd))?;
                // A case that cannot be understood has no known project.
                let cases = page.items.iter().filter_map(|case| wire::case(case).ok());
                seen.scopes.extend(cases.filter_map(|case| case.scope));
                pages += 1;
                token = page.next;
                if token.is_none() {
                    break;
                }
                if pages == PAGES {
                    seen.complete = false;
                    break;
                }
            }
        }
        Ok(seen)
    }

    /// Returns the first result of `take` among all cases of the configured parent: see [`Self::first_case_of`].
    pub(super) async fn first_case<T: Send>(
        &self,
        take: impl Fn(&Value) -> Option<T> + Send,
        endless: Option<T>,
    ) -> Result<Option<T>, ApiError> {
        self.first_case_of(&self.settings.parent, None, take, endless).await
    }

    /// Returns the first result of `take` among the cases of a parent that a query finds. Pages are small, and reading stops at the first
    /// match. Returns `endless` if there are more than `PAGES` pages without a match.
    pub(super) async fn first_case_of<T: Send>(
        &self,
        parent: &str,
        query: Option<&str>,
        take: impl Fn(&Value) -> Option<T> + Send,
        endless: Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let path = format!("/v2/{parent}/cases:search");
        let mut token = None;
        for _ in 0..PAGES {
            let mut call = Call::get(&path).query("pageSize", FEW);
            if let Some(query) = query {
                call = call.query("query", query);
            }
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

/// Returns the remedy for a failed call. `file`: the one that the credentials come from, if any.
pub(super) fn remedy(parent: &str, file: Option<&str>, error: &ApiError) -> Option<String> {
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
        (ApiErrorKind::Unauthorized, Some(403)) | (ApiErrorKind::NotFound | ApiErrorKind::Refused, Some(400..))
            if feed::is_of_feed(error) =>
        {
            feed::REMEDY.to_owned()
        }
        (ApiErrorKind::Unauthorized, Some(403)) => format!(
            "check that google.parent, {parent}, is the right one, and grant the service account both roles there: \
             `{}` and `{}`; a new grant can take some minutes; if the roles are right, the support plan may not include \
             the API, which takes Enhanced or Premium Support",
            grant_command(parent, "roles/cloudsupport.techSupportEditor"),
            grant_command(parent, "roles/resourcemanager.organizationViewer"),
        ),
        (ApiErrorKind::Unauthorized, _) => match file {
            Some(file) => format!(
                "check google.auth, whose credentials are those in {file}: that they are neither revoked nor expired; and that this \
                 machine's clock is right"
            ),
            None => "check google.auth, the service account that the service runs as, and that this machine's clock is right".to_owned(),
        },
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
