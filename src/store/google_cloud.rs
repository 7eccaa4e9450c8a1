//! Common parts of the two stores on Google Cloud: location of a database, error messages with remedies, backoff under contention, and
//! operation counts.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::entities::Side;

use super::StoreError;

/// API of a store on Google Cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoogleDatabase {
    /// Firestore in Native mode.
    Firestore,
    /// Firestore in Datastore mode.
    Datastore,
}

impl GoogleDatabase {
    /// Returns the scheme of the store's URL.
    #[must_use]
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Firestore => "firestore",
            Self::Datastore => "datastore",
        }
    }

    /// Returns the environment variable that names an emulator to use instead, as `HOST:PORT`.
    #[must_use]
    pub const fn emulator_variable(self) -> &'static str {
        match self {
            Self::Firestore => "FIRESTORE_EMULATOR_HOST",
            Self::Datastore => "DATASTORE_EMULATOR_HOST",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Firestore => Self::Datastore,
            Self::Datastore => Self::Firestore,
        }
    }

    /// Returns the mode of such a database, for gcloud's `--type`.
    const fn mode(self) -> &'static str {
        match self {
            Self::Firestore => "firestore-native",
            Self::Datastore => "datastore-mode",
        }
    }

    const fn service(self) -> &'static str {
        match self {
            Self::Firestore => "firestore.googleapis.com",
            Self::Datastore => "datastore.googleapis.com",
        }
    }
}

/// ID of the database that the API uses if none is named.
pub const DEFAULT_DATABASE: &str = "(default)";

/// Location of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLocation {
    /// ID of the project.
    pub project: String,
    /// ID of the database; [`DEFAULT_DATABASE`] unless one is named.
    pub database: String,
    /// `HOST:PORT` of an emulator; `None` for the real service.
    pub emulator: Option<String>,
}

/// Database and its API, for error messages.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) api: GoogleDatabase,
    pub(super) at: DatabaseLocation,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.api.scheme(), self.at.project, self.at.database)
    }
}

/// Error codes of a failed call: the canonical codes of Google's APIs (google.rpc.Code), as far as they make a difference here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// Contention, or a transaction that has ended.
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    /// Not a code of Google's: there is no token to send.
    NoCredentials,
    /// Not reached, no answer in time, or a failure on the other side: the outcome of a write is unknown.
    Unavailable,
    Other,
}

impl Code {
    /// Returns the code with this name in the REST API.
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "ABORTED" => Self::Aborted,
            "ALREADY_EXISTS" => Self::AlreadyExists,
            "FAILED_PRECONDITION" => Self::FailedPrecondition,
            "INVALID_ARGUMENT" => Self::InvalidArgument,
            "NOT_FOUND" => Self::NotFound,
            "PERMISSION_DENIED" => Self::PermissionDenied,
            "RESOURCE_EXHAUSTED" => Self::ResourceExhausted,
            "UNAUTHENTICATED" => Self::Unauthenticated,
            "UNAVAILABLE" | "DEADLINE_EXCEEDED" | "INTERNAL" | "UNKNOWN" | "CANCELLED" => Self::Unavailable,
            _ => Self::Other,
        }
    }
}

/// Failure of a call.
#[derive(Debug, Clone)]
pub(super) struct ApiFailure {
    pub(super) code: Code,
    /// Reason in the error's details, such as `SERVICE_DISABLED`; empty if there is none.
    pub(super) reason: String,
    pub(super) message: String,
}

impl ApiFailure {
    /// Makes the failure for a service that was not reached, or did not answer.
    pub(super) fn unreachable(message: impl fmt::Display) -> Self {
        Self { code: Code::Unavailable, reason: String::new(), message: message.to_string() }
    }

    /// Makes the failure for a missing token. The message names the remedy.
    pub(super) const fn no_credentials(message: String) -> Self {
        Self { code: Code::NoCredentials, reason: String::new(), message }
    }

    /// True if a write was not made since something else was written before it.
    pub(super) const fn is_contention(&self) -> bool {
        match self.code {
            Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition | Code::NotFound => true,
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::Unauthenticated
            | Code::NoCredentials
            | Code::Unavailable
            | Code::Other => false,
        }
    }
}

impl Target {
    /// Adds the remedy to a failure.
    pub(super) fn explain(&self, failure: &ApiFailure) -> StoreError {
        StoreError::Unavailable(format!("{self}: {}", self.advice(failure)))
    }

    fn advice(&self, failure: &ApiFailure) -> String {
        let ApiFailure { code, reason, message } = failure;
        let DatabaseLocation { project, database, emulator } = &self.at;
        let (api, service) = (self.api, self.api.service());
        if let Some(host) = emulator {
            let variable = api.emulator_variable();
            return match code {
                Code::Unavailable => format!(
                    "nothing answers at {host}, where {variable} says that an emulator is ({message}): start the \
                     emulator, or unset {variable} to use the real project {project}"
                ),
                Code::InvalidArgument if message.contains("Database mode") => format!(
                    "the emulator at {host} runs in the other mode ({message}): start it with --database-mode={}, or \
                     change store.url to {}:{project}/{database}",
                    api.mode(),
                    api.other().scheme()
                ),
                Code::Aborted
                | Code::AlreadyExists
                | Code::FailedPrecondition
                | Code::InvalidArgument
                | Code::NotFound
                | Code::PermissionDenied
                | Code::ResourceExhausted
                | Code::Unauthenticated
                | Code::NoCredentials
                | Code::Other => format!("the emulator at {host} refused: {message}"),
            };
        }
        // Google documents the codes but not the wording of these messages, so both are checked.
        let lower = message.to_lowercase();
        let is_clock =
            ["invalid jwt", "reasonable timeframe", "issued in the future", "token used too early"]
                .iter()
                .any(|sign| lower.contains(sign));
        let is_mode = (lower.contains("not available") || lower.contains("not supported"))
            && (lower.contains("datastore") || lower.contains("native") || lower.contains("firestore"))
            || lower.contains("database mode");
        let is_disabled = reason == "SERVICE_DISABLED"
            || lower.contains("has not been used in project")
            || lower.contains("it is disabled");
        match code {
            _ if is_clock => format!(
                "Google refuses the credentials because of their time ({message}): set this machine's clock, for \
                 example with `timedatectl set-ntp true`"
            ),
            Code::FailedPrecondition | Code::InvalidArgument if is_mode => format!(
                "this database is not in the mode that store.url asks for ({message}): change store.url to \
                 {other}:{project}/{database}, or make a database of its own with `gcloud firestore databases create \
                 --project={project} --database=NAME --location=LOCATION --type={mode}` and name it in store.url",
                other = api.other().scheme(),
                mode = api.mode()
            ),
            Code::FailedPrecondition if lower.contains("index") => format!(
                "an index is missing ({message}): deploy firestore.indexes.json as its documentation says"
            ),
            Code::PermissionDenied | Code::FailedPrecondition if is_disabled => format!(
                "the API is not enabled ({message}): run `gcloud services enable {service} --project={project}` and \
                 wait a few minutes"
            ),
            Code::PermissionDenied => format!(
                "the service account may not use this database ({message}): if {project} is the right project, give it the \
                 role Cloud Datastore User, `gcloud projects add-iam-policy-binding {project} --member=serviceAccount:EMAIL \
                 --role=roles/datastore.user`"
            ),
            Code::NotFound => format!(
                "there is no such database ({message}): check the project and the database in store.url, or make it \
                 with `gcloud firestore databases create --project={project} --database='{database}' \
                 --location=LOCATION --type={mode}`",
                mode = api.mode()
            ),
            Code::Unauthenticated => format!(
                "Google does not accept the credentials ({message}): on a workstation run `gcloud auth \
                 application-default login`, elsewhere attach a service account; if they are right, check that this \
                 machine's clock is"
            ),
            Code::NoCredentials => message.clone(),
            Code::ResourceExhausted => format!(
                "a quota is used up ({message}): see it under https://console.cloud.google.com/iam-admin/quotas?\
                 project={project}; without billing, the free quota of the day ends at midnight Pacific time"
            ),
            Code::Aborted => format!("too many changes of the same mapping at once ({message}): try again"),
            Code::Unavailable => format!("{service} does not answer ({message}): try again"),
            Code::AlreadyExists | Code::FailedPrecondition | Code::InvalidArgument | Code::Other => {
                format!("{service} refused: {message}")
            }
        }
    }
}

/// Number of operations of a store, as Google bills them: entities read, written and deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OperationCounts {
    /// Entities read; a lookup or a query that finds nothing counts as one.
    pub reads: u64,
    /// Entities written.
    pub writes: u64,
    /// Entities deleted.
    pub deletes: u64,
}

impl std::ops::Sub for OperationCounts {
    type Output = Self;

    /// Returns the operations between `earlier` and `self`.
    fn sub(self, earlier: Self) -> Self {
        Self {
            reads: self.reads.saturating_sub(earlier.reads),
            writes: self.writes.saturating_sub(earlier.writes),
            deletes: self.deletes.saturating_sub(earlier.deletes),
        }
    }
}

/// Interval at which [`Store::check`](super::Store::check) tries to write again. The deletion is billed: 1,440 a day for each instance.
const WRITTEN_EVERY: Duration = Duration::from_mins(1);

/// Time at which a check last found that the store takes changes.
#[derive(Debug, Default)]
pub(super) struct LastWrite(Mutex<Option<Instant>>);

impl LastWrite {
    pub(super) fn is_old(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none_or(|at| at.elapsed() >= WRITTEN_EVERY)
    }

    pub(super) fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }
}

/// Running counters of a store's operations.
#[derive(Debug, Default)]
pub(super) struct OperationCounters {
    reads: AtomicU64,
    writes: AtomicU64,
    deletes: AtomicU64,
}

impl OperationCounters {
    pub(super) fn read(&self, entities: usize) {
        self.reads.fetch_add(entities as u64, Ordering::Relaxed);
    }

    pub(super) fn written(&self, entities: usize, deleted: usize) {
        self.writes.fetch_add(entities as u64, Ordering::Relaxed);
        self.deletes.fetch_add(deleted as u64, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> OperationCounts {
        OperationCounts {
            reads: self.reads.load(Ordering::Relaxed),
            writes: self.writes.load(Ordering::Relaxed),
            deletes: self.deletes.load(Ordering::Relaxed),
        }
    }
}

/// Backoff between the attempts of one operation: exponential, with random jitter, so that two operations that collided wait for different
/// times.
#[derive(Debug)]
pub(super) struct Backoff {
    attempts_left: u32,
    longest: Duration,
}

impl Backoff {
    /// Creates the backoff for contention. Another writer makes progress meanwhile, so many attempts are worthwhile.
    pub(super) const fn contention() -> Self {
        Self { attempts_left: 12, longest: Duration::from_millis(50) }
    }

    /// Creates the backoff for a service that does not answer. Few attempts, since the task is retried anyway.
    pub(super) const fn outage() -> Self {
        Self { attempts_left: 2, longest: Duration::from_millis(200) }
    }

    /// Waits before another attempt; returns `false` at once if no attempt is left.
    pub(super) async fn pause(&mut self) -> bool {
        const LIMIT: Duration = Duration::from_secs(2);
        if self.attempts_left == 0 {
            return false;
        }
        self.attempts_left -= 1;
        let pause = self.longest.mul_f64(rand::rng().random_range(0.1..=1.0));
        self.longest = (self.longest * 2).min(LIMIT);
        tokio::time::sleep(pause).await;
        true
    }
}

/// Retry budget of one operation.
pub(super) struct Persistence {
    contention: Backoff,
    outage: Backoff,
}

impl Persistence {
    pub(super) const fn new() -> Self {
        Self { contention: Backoff::contention(), outage: Backoff::outage() }
    }

    /// Waits if reading again and retrying may help; otherwise returns the error.
    pub(super) async fn or_give_up(
        &mut self,
        target: &Target,
        failure: &ApiFailure,
    ) -> Result<(), StoreError> {
        let again = match failure.code {
            // Another commit was in progress, or was faster.
            Code::Aborted | Code::AlreadyExists => self.contention.pause().await,
            // In Firestore the precondition of a write did not hold. Datastore's writes have none, so there the database itself is the
            // problem.
            Code::FailedPrecondition | Code::NotFound => {
                target.api == GoogleDatabase::Firestore && self.contention.pause().await
            }
            Code::Unavailable => self.outage.pause().await,
            Code::InvalidArgument
            | Code::PermissionDenied
            | Code::ResourceExhausted
            | Code::Unauthenticated
            | Code::NoCredentials
            | Code::Other => false,
        };
        if again { Ok(()) } else { Err(target.explain(failure)) }
    }
}

/// Returns the property of `Global` with that side's watermark.
pub(super) const fn watermark(side: Side) -> &'static str {
    match side {
        Side::Google => "google_last_polled_at",
        Side::Company => "company_last_polled_at",
    }
}

/// Returns the property of `Global` with that side's poll memory, as JSON.
pub(super) const fn poll_memory(side: Side) -> &'static str {
    match side {
        Side::Google => "google_poll_memory",
        Side::Company => "company_poll_memory",
    }
}

/// Joins the messages of an error and its causes.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(api: GoogleDatabase, emulator: Option<&str>) -> Target {
        let at = DatabaseLocation {
            project: "acme".to_owned(),
            database: "cases".to_owned(),
            emulator: emulator.map(str::to_owned),
        };
        Target { api, at }
    }

    #[test]
    fn errors_say_what_to_do() {
        use GoogleDatabase::{Datastore, Firestore};
        let service_disabled =
            "Cloud Firestore API has not been used in project 123 before or it is disabled.";
        for (api, code, reason, message, expected) in [
            (
                Firestore,
                "FAILED_PRECONDITION",
                "",
                "The Cloud Firestore API is not available for Firestore in Datastore Mode database \
                 projects/acme/databases/cases.",
                "change store.url to datastore:acme/cases",
            ),
            (
                Firestore,
                "FAILED_PRECONDITION",
                "",
                "The Cloud Firestore API is not available for Datastore Mode projects.",
                "--type=firestore-native",
            ),
            (
                Datastore,
                "FAILED_PRECONDITION",
                "",
                "The Cloud Datastore API is not available for Firestore in Native Mode database \
                 projects/acme/databases/cases.",
                "change store.url to firestore:acme/cases",
            ),
            (
                Firestore,
                "PERMISSION_DENIED",
                "SERVICE_DISABLED",
                service_disabled,
                "gcloud services enable firestore.googleapis.com --project=acme",
            ),
            (
                Datastore,
                "PERMISSION_DENIED",
                "",
                "Cloud Datastore API has not been used in project 123 before or it is disabled.",
                "gcloud services enable datastore.googleapis.com --project=acme",
            ),
            (
                Firestore,
                "PERMISSION_DENIED",
                "IAM_PERMISSION_DENIED",
                "Missing or insufficient permissions.",
                "--role=roles/datastore.user",
            ),
            (
                Firestore,
                "NOT_FOUND",
                "",
                "The database cases does not exist for project acme Please visit \
                 https://console.cloud.google.com/datastore/setup?project=acme to add a Cloud Datastore or Cloud \
                 Firestore database.",
                "gcloud firestore databases create --project=acme --database='cases' --location=LOCATION \
                 --type=firestore-native",
            ),
            (Datastore, "NOT_FOUND", "", "The database does not exist.", "--type=datastore-mode"),
            (
                Firestore,
                "UNAUTHENTICATED",
                "",
                "invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable \
                 timeframe. Check your iat and exp values in the JWT claim.",
                "set this machine's clock",
            ),
            (
                Datastore,
                "UNAUTHENTICATED",
                "ACCESS_TOKEN_EXPIRED",
                "Request had invalid authentication credentials.",
                "check that this machine's clock is",
            ),
            (Firestore, "RESOURCE_EXHAUSTED", "", "Quota exceeded.", "a quota is used up"),
            (Firestore, "FAILED_PRECONDITION", "", "The query requires an index.", "firestore.indexes.json"),
            (Firestore, "UNAVAILABLE", "", "connection refused", "firestore.googleapis.com does not answer"),
            (Datastore, "DEADLINE_EXCEEDED", "", "timed out", "datastore.googleapis.com does not answer"),
            (Datastore, "ABORTED", "", "too much contention on these datastore entities", "try again"),
            (Datastore, "INVALID_ARGUMENT", "", "entity is too big", "refused: entity is too big"),
        ] {
            let failure = ApiFailure {
                code: Code::from_name(code),
                reason: reason.to_owned(),
                message: message.to_owned(),
            };
            let error = target(api, None).explain(&failure);
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            let error = error.to_string();
            assert!(error.contains(expected), "{code} {message}: {error}");
            assert!(error.contains(message), "{error}");
            assert!(error.contains(&format!("{}:acme/cases", api.scheme())), "{error}");
        }
    }

    #[test]
    fn missing_credentials_say_what_to_do_themselves() {
        for (message, expected) in [
            ("run `gcloud auth application-default login`", "datastore:acme/cases: run `gcloud auth"),
            ("invalid_grant: Invalid JWT: Token must be a short-lived token", "set this machine's clock"),
        ] {
            let failure = ApiFailure::no_credentials(message.to_owned());
            let error = target(GoogleDatabase::Datastore, None).explain(&failure).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn an_emulator_that_was_forgotten_is_named() {
        for (api, code, message, expected) in [
            (
                GoogleDatabase::Firestore,
                Code::Unavailable,
                "connection refused",
                "unset FIRESTORE_EMULATOR_HOST to use the real project acme",
            ),
            (
                GoogleDatabase::Datastore,
                Code::Unavailable,
                "connection refused",
                "unset DATASTORE_EMULATOR_HOST to use the real project acme",
            ),
            (
                GoogleDatabase::Firestore,
                Code::InvalidArgument,
                "Database mode not set to Firestore Mode.",
                "--database-mode=firestore-native, or change store.url to datastore:acme/cases",
            ),
            (
                GoogleDatabase::Datastore,
                Code::InvalidArgument,
                "Database mode not set to Datastore Mode.",
                "--database-mode=datastore-mode, or change store.url to firestore:acme/cases",
            ),
            (GoogleDatabase::Datastore, Code::NotFound, "no", "the emulator at localhost:1 refused: no"),
        ] {
            let failure = ApiFailure { code, reason: String::new(), message: message.to_owned() };
            let error = target(api, Some("localhost:1")).explain(&failure).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("localhost:1"), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_vary_and_end() {
        let mut pauses = Vec::new();
        let mut backoff = Backoff::contention();
        loop {
            let before = tokio::time::Instant::now();
            if !backoff.pause().await {
                break;
            }
            pauses.push(before.elapsed());
        }
        assert_eq!(pauses.len(), 12);
        assert!(pauses[0] <= Duration::from_millis(51), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_millis(2001)), "{pauses:?}");
        assert!(pauses.iter().sum::<Duration>() > Duration::from_secs(2), "{pauses:?}");
    }
}
