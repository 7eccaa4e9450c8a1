//! Address of a store: `store.url`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::cases::shorten;
use crate::outbound::{Credentials, NoCredentials};

use super::google_cloud::{DEFAULT_DATABASE, DatabaseLocation, GoogleDatabase};
use super::{DatastoreStore, FirestoreStore, SqliteStore, Store, StoreError};

/// Parsed address of a store: `sqlite:PATH`, `firestore:PROJECT[/DATABASE]` or `datastore:PROJECT[/DATABASE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// SQLite file.
    Sqlite(PathBuf),
    /// Database on Google Cloud.
    Google {
        /// API and mode of the database.
        api: GoogleDatabase,
        /// ID of the project.
        project: String,
        /// ID of the database.
        database: String,
    },
}

/// Error of a text that is not the address of a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url:?} is not the address of a store: {reason}")]
pub struct StoreUrlError {
    url: String,
    reason: String,
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(url: &str) -> Result<Self, StoreUrlError> {
        let refused = |reason: &str| StoreUrlError { url: shorten(url), reason: reason.to_owned() };
        let forms = "expected sqlite:PATH, firestore:PROJECT[/DATABASE] or datastore:PROJECT[/DATABASE]";
        let (scheme, place) = url.split_once(':').ok_or_else(|| refused(forms))?;
        let api = match scheme {
            "sqlite" if place.is_empty() || place == ":memory:" => {
                return Err(refused("a file must be named, such as sqlite:casebridge.db"));
            }
            "sqlite" => return Ok(Self::Sqlite(place.into())),
            "firestore" => GoogleDatabase::Firestore,
            "datastore" => GoogleDatabase::Datastore,
            _ => return Err(refused(forms)),
        };
        let (project, database) = match place.split_once('/') {
            Some((project, database)) => (project, database),
            None => (place, DEFAULT_DATABASE),
        };
        let holds = |text: &str, others: &[u8]| {
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || others.contains(&byte))
        };
        // Resource Manager's documentation, "Project ID": 6 to 30 characters; older ones begin with `example.com:`.
        if project.is_empty() || project.len() > 100 || !holds(project, b"-.:") {
            return Err(refused(
                "the project's ID holds lower-case letters, digits and hyphens; it is not the project's name",
            ));
        }
        // Firestore's documentation, "Database ID": 4 to 63 characters.
        if database != DEFAULT_DATABASE && !((4..=63).contains(&database.len()) && holds(database, b"-")) {
            return Err(refused(
                "the database's ID holds 4 to 63 lower-case letters, digits and hyphens; leave it away for (default)",
            ));
        }
        Ok(Self::Google { api, project: project.to_owned(), database: database.to_owned() })
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Google { api, project, database } if database == DEFAULT_DATABASE => {
                write!(f, "{}:{project}", api.scheme())
            }
            Self::Google { api, project, database } => write!(f, "{}:{project}/{database}", api.scheme()),
        }
    }
}

impl StoreUrl {
    /// True if [`open`] needs credentials: false for a file, and for an emulator that the environment names.
    #[must_use]
    pub fn needs_credentials(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Google { api, .. } => emulator(*api, environment).is_none(),
        }
    }
}

/// Opens the store at that address; [`StoreUrl`] lists the forms. A file is opened at once. A database on Google Cloud is first contacted
/// at its first use, or by [`Store::check`]. `FIRESTORE_EMULATOR_HOST` or `DATASTORE_EMULATOR_HOST` replaces the real service, except on
/// Google's own platforms, where it is refused.
pub async fn open(
    url: &str,
    credentials: Option<Arc<dyn Credentials>>,
) -> Result<Arc<dyn Store>, StoreError> {
    let url: StoreUrl =
        url.parse().map_err(|error: StoreUrlError| StoreError::Unavailable(error.to_string()))?;
    match url {
        StoreUrl::Sqlite(path) => {
            let store = tokio::task::spawn_blocking(move || SqliteStore::open(&path))
                .await
                .map_err(|error| StoreError::Unavailable(format!("opening it broke off: {error}")))??;
            Ok(Arc::new(store))
        }
        StoreUrl::Google { api, project, database } => {
            let at = locate(api, project, database, environment)?;
            let credentials = match (credentials, &at.emulator) {
                (Some(credentials), _) => credentials,
                (None, Some(_)) => Arc::new(NoCredentials),
                (None, None) => {
                    return Err(StoreError::Unavailable(format!(
                        "{}:{}/{}: no credentials for Google Cloud were given",
                        api.scheme(),
                        at.project,
                        at.database
                    )));
                }
            };
            Ok(match api {
                GoogleDatabase::Firestore => Arc::new(FirestoreStore::new(at, credentials)),
                GoogleDatabase::Datastore => Arc::new(DatastoreStore::new(at, credentials)?),
            })
        }
    }
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Returns `HOST:PORT` of the emulator that the environment names.
fn emulator(api: GoogleDatabase, environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = environment(api.emulator_variable())?;
    Some(host.strip_prefix("http://").unwrap_or(&host).trim_end_matches('/').to_owned())
}

/// Returns the location of the database, given the environment.
fn locate(
    api: GoogleDatabase,
    project: String,
    database: String,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<DatabaseLocation, StoreError> {
    let emulator = emulator(api, &environment);
    if let Some(host) = &emulator {
        let variable = api.emulator_variable();
        // Variables that the runtime contracts define: of both App Engine environments, and of Cloud Run and Functions.
        if let Some(platform) =
            ["GAE_SERVICE", "K_SERVICE"].into_iter().find(|name| environment(name).is_some())
        {
            return Err(StoreError::Unavailable(format!(
                "{variable} is set ({host}) although this runs on Google Cloud ({platform} is set): unset it, or every \
                 mapping is lost with the emulator"
            )));
        }
        tracing::warn!(
            store.emulator = host,
            store.project = project,
            "{variable} is set: mappings are kept in an emulator, not in the project"
        );
    }
    Ok(DatabaseLocation { project, database, emulator })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let google = |api, project: &str, database: &str| StoreUrl::Google {
            api,
            project: project.to_owned(),
            database: database.to_owned(),
        };
        for (url, expected) in [
            ("sqlite:casebridge.db", StoreUrl::Sqlite("casebridge.db".into())),
            ("sqlite:/var/lib/case bridge/a:b.db", StoreUrl::Sqlite("/var/lib/case bridge/a:b.db".into())),
            ("firestore:acme-1", google(GoogleDatabase::Firestore, "acme-1", "(default)")),
            ("firestore:acme/cases", google(GoogleDatabase::Firestore, "acme", "cases")),
            ("datastore:acme", google(GoogleDatabase::Datastore, "acme", "(default)")),
            (
                "datastore:example.com:acme/cases-2",
                google(GoogleDatabase::Datastore, "example.com:acme", "cases-2"),
            ),
        ] {
            let parsed: StoreUrl = url.parse().unwrap();
            assert_eq!(parsed, expected, "{url}");
            assert_eq!(parsed.to_string(), url);
        }
        let default = "datastore:acme/(default)".parse::<StoreUrl>().unwrap();
        assert_eq!(default, google(GoogleDatabase::Datastore, "acme", "(default)"));
        for (url, expected) in [
            ("", "expected sqlite:PATH, firestore:PROJECT[/DATABASE]"),
            ("casebridge.db", "expected sqlite:PATH"),
            ("postgres://localhost/x", "expected sqlite:PATH"),
            ("sqlite:", "a file must be named"),
            ("sqlite::memory:", "a file must be named"),
            ("firestore:", "the project's ID"),
            ("firestore:/cases", "the project's ID"),
            ("firestore:Acme Corp", "the project's ID"),
            ("firestore:acme?x=1", "the project's ID"),
            ("datastore:acme/", "the database's ID"),
            ("datastore:acme/abc", "the database's ID"),
            ("datastore:acme/a/b/c/d", "the database's ID"),
            ("datastore:acme/default)", "the database's ID"),
        ] {
            let error = url.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(error.contains(&format!("{url:?}")), "{error}");
        }
    }

    #[test]
    fn an_emulator_takes_the_place_of_the_service_but_not_on_google_cloud() {
        type Case = (&'static [(&'static str, &'static str)], Result<Option<&'static str>, &'static str>);
        let cases: [Case; 6] = [
            (&[], Ok(None)),
            (&[("FIRESTORE_EMULATOR_HOST", "localhost:8080")], Ok(Some("localhost:8080"))),
            (&[("FIRESTORE_EMULATOR_HOST", "http://[::1]:8080/")], Ok(Some("[::1]:8080"))),
            // The variable of the other API is ignored.
            (&[("DATASTORE_EMULATOR_HOST", "localhost:8081")], Ok(None)),
            (
                &[("FIRESTORE_EMULATOR_HOST", "localhost:8080"), ("GAE_SERVICE", "default")],
                Err("FIRESTORE_EMULATOR_HOST is set (localhost:8080) although this runs on Google Cloud"),
            ),
            (&[("GAE_SERVICE", "default")], Ok(None)),
        ];
        for (variables, expected) in cases {
            let environment = |name: &str| {
                variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            let located = locate(
                GoogleDatabase::Firestore,
                "acme".to_owned(),
                DEFAULT_DATABASE.to_owned(),
                environment,
            );
            match (located, expected) {
                (Ok(at), Ok(emulator)) => assert_eq!(at.emulator.as_deref(), emulator, "{variables:?}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (located, expected) => panic!("{variables:?}: {located:?}, expected {expected:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_file_is_opened_by_its_address() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("casebridge.db");
        let store = open(&format!("sqlite:{}", path.display()), None).await.unwrap();
        store.check().await.unwrap();
        assert!(path.is_file());
        let error = open("postgres:x", None).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("expected sqlite:PATH"), "{error}");
    }
}
