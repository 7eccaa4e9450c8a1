//! Credentials files of Google Cloud: what stands in them, and what is wrong with it.
//!
//! | `type` | written by |
//! | --- | --- |
//! | `external_account` | `iam workload-identity-pools create-cred-config` of gcloud (Workload Identity Federation) |
//! | `impersonated_service_account` | `auth application-default login --impersonate-service-account` |
//! | `authorized_user` | `auth application-default login` |
//! | `service_account` | `iam service-accounts keys create` |
//!
//! Sources: google.aip.dev/auth/4117 for `external_account`, google.aip.dev/auth/4112 and 4113 for keys and persons; for all four, the fields
//! that Google's own crate `google-cloud-auth` 1.18 reads (`src/credentials`). A file is read again for each token, so that a file
//! that was replaced takes effect without a restart.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ring::signature::RsaKeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::super::credentials::{BEFORE_1970, Credentials};
use super::super::token::{Token, TokenCache};
use super::super::upstream::is_on_this_machine;
use super::exchange;
use crate::clock::{Clock as _, SystemClock};

/// Token endpoint of keys and persons (developers.google.com/identity/protocols/oauth2).
const TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
/// Endpoint of the Security Token Service (cloud.google.com/iam/docs/reference/sts/rest).
const STS_URL: &str = "https://sts.googleapis.com/v1/token";
/// End of the address of an impersonation (cloud.google.com/iam/docs/reference/credentials/rest, `generateAccessToken`).
const IMPERSONATION: &str = ":generateAccessToken";
/// Lifetime that is asked for when a service account is impersonated: the longest that every organisation allows.
const LIFETIME_SECONDS: u64 = 3_600;
/// Lifetimes that `generateAccessToken` can be asked for. The longer ones take an organisation policy.
const LIFETIMES: std::ops::RangeInclusive<u64> = 600..=43_200;

/// Credentials from a file. Requests go out like those of every client: through the proxy and with the certificates of the environment.
pub struct GoogleFile {
    path: PathBuf,
    tokens: TokenCache,
}

impl GoogleFile {
    /// Reads and checks the file. Requests no token yet. The error text names the file, each problem, and what to do.
    pub async fn open(path: PathBuf) -> Result<Self, String> {
        let origin = read(&path).await?;
        tracing::info!(file = %path.display(), kind = origin.kind(), "credentials for Google Cloud are in a file");
        Ok(Self { path, tokens: TokenCache::default() })
    }

    async fn request(&self) -> Result<Token, String> {
        let failed =
            |error: String| format!("no token for Google Cloud with {}: {error}", self.path.display());
        if SystemClock.now() < chrono::DateTime::UNIX_EPOCH {
            return Err(failed(BEFORE_1970.to_owned()));
        }
        let origin = read(&self.path).await.map_err(|error| format!("no token for Google Cloud: {error}"))?;
        exchange::token_of(&origin).await.map_err(failed)
    }
}

#[async_trait]
impl Credentials for GoogleFile {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        Ok(Some((AUTHORIZATION, self.tokens.header(self.request()).await?)))
    }

    async fn refresh(&self) -> bool {
        self.tokens.refresh(self.request()).await
    }

    fn file(&self) -> Option<String> {
        Some(self.path.display().to_string())
    }
}

/// Origin of tokens, as a file describes it.
pub(super) enum Origin {
    /// A person's sign-in.
    User(User),
    /// A key of a service account.
    Key(Key),
    /// An identity of somebody else's, which Google's Security Token Service exchanges.
    External(External),
    /// A service account that another origin may act as.
    Impersonated { origin: Box<Origin>, impersonation: Impersonation },
}

pub(super) struct User {
    pub(super) token_url: Url,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) refresh_token: String,
}

pub(super) struct Key {
    pub(super) token_url: Url,
    pub(super) email: String,
    pub(super) id: Option<String>,
    pub(super) pair: RsaKeyPair,
}

pub(super) struct External {
    pub(super) token_url: Url,
    pub(super) audience: String,
    pub(super) subject_token_type: String,
    /// ID and secret of an OAuth client, which only workforce pools may ask for.
    pub(super) client: Option<(String, String)>,
    /// Project that a workforce pool's requests are counted for.
    pub(super) user_project: Option<String>,
    pub(super) subject: Subject,
    /// Name of the field that holds the token, if the source is JSON; else the whole text is the token.
    pub(super) field: Option<String>,
}

/// Place of the token to exchange.
pub(super) enum Subject {
    File(PathBuf),
    Url { url: Url, headers: HeaderMap },
}

pub(super) struct Impersonation {
    pub(super) url: Url,
    pub(super) delegates: Vec<String>,
    pub(super) lifetime: Duration,
}

impl Origin {
    const fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "authorized_user",
            Self::Key(_) => "service_account",
            Self::External(_) => "external_account",
            Self::Impersonated { .. } => "impersonation",
        }
    }
}

async fn read(path: &Path) -> Result<Origin, String> {
    let name = path.display();
    let text = tokio::fs::read(path).await.map_err(|error| {
        format!("the credentials file {name} cannot be read ({error}): correct its path, and let the service's user read it")
    })?;
    // Neither the text nor a value of it is quoted: it holds secrets.
    let json: Value = serde_json::from_slice(&text).map_err(|error| {
        format!(
            "the credentials file {name} is no JSON (line {}, column {}): make it anew with gcloud; docs/networks.md names the commands",
            error.line(),
            error.column()
        )
    })?;
    let problems = RefCell::default();
    let origin = Fields { json: &json, within: String::new(), problems: &problems }.origin();
    match (origin, problems.into_inner()) {
        (Some(origin), problems) if problems.is_empty() => Ok(origin),
        (_, problems) => Err(format!(
            "the credentials file {name}: {}; correct it, or make it anew with gcloud: docs/networks.md names the commands",
            problems.join("; ")
        )),
    }
}

/// Reader of an object's fields. It collects the problems, so that all are told at once.
struct Fields<'a> {
    json: &'a Value,
    /// Name of the object within the file, with a dot at its end.
    within: String,
    problems: &'a RefCell<Vec<String>>,
}

impl Fields<'_> {
    fn problem<T>(&self, name: &str, what: &str) -> Option<T> {
        self.problems.borrow_mut().push(format!("`{}{name}` {what}", self.within));
        None
    }

    fn has(&self, name: &str) -> bool {
        self.json.get(name).is_some_and(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.json.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.clone()),
            Some(Value::String(_)) => self.problem(name, "is empty"),
            Some(_) => self.problem(name, "is no text"),
            None => self.problem(name, "is missing"),
        }
    }

    fn optional(&self, name: &str) -> Option<String> {
        if self.has(name) { self.text(name) } else { None }
    }

    /// Returns the fields of an object within this one.
    fn within(&self, name: &str) -> Option<Self> {
        let json = match self.json.get(name) {
            Some(json) if json.is_object() => json,
            Some(_) => return self.problem(name, "is no object"),
            None => return self.problem(name, "is missing"),
        };
        Some(Self { json, within: format!("{}{name}.", self.within), problems: self.problems })
    }

    /// Reads an address. Credentials go there, so it is `https`, or this machine's.
    fn url(&self, name: &str, default: Option<&str>) -> Option<Url> {
        let text = match (self.has(name), default) {
            (false, Some(default)) => default.to_owned(),
            _ => self.text(name)?,
        };
        let Ok(url) = Url::parse(&text) else { return self.problem(name, "is no address") };
        if !url.username().is_empty() || url.password().is_some() {
            return self.problem(name, "holds a user or a password, which it must not");
        }
        match url.scheme() {
            "https" if url.host_str().is_some() => Some(url),
            "http" if is_on_this_machine(&url) => Some(url),
            _ => self.problem(name, "must begin with https:// (http:// is for addresses of this machine)"),
        }
    }

    fn origin(&self) -> Option<Origin> {
        if !self.json.is_object() {
            self.problems.borrow_mut().push("it holds no object".to_owned());
            return None;
        }
        match self.text("type")?.as_str() {
            "authorized_user" => self.user(),
            "service_account" => self.key(),
            "external_account" => self.external(),
            "impersonated_service_account" if self.within.is_empty() => self.impersonated(),
            "impersonated_service_account" => self.problem(
                "type",
                "is another impersonation: name the service accounts in between in `delegates` instead",
            ),
            _ => self.problem(
                "type",
                "must be external_account, impersonated_service_account, authorized_user or service_account: other kinds of files are \
                 not supported",
            ),
        }
    }

    fn user(&self) -> Option<Origin> {
        let token_url = self.url("token_uri", Some(TOKEN_URL));
        let (client_id, client_secret) = (self.text("client_id"), self.text("client_secret"));
        let refresh_token = self.text("refresh_token");
        Some(Origin::User(User {
            token_url: token_url?,
            client_id: client_id?,
            client_secret: client_secret?,
            refresh_token: refresh_token?,
        }))
    }

    fn key(&self) -> Option<Origin> {
        let token_url = self.url("token_uri", Some(TOKEN_URL));
        let (email, id) = (self.text("client_email"), self.optional("private_key_id"));
        let pair = self.text("private_key").and_then(|pem| {
            let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok();
            let key = der.and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok());
            key.or_else(|| self.problem("private_key", "is no RSA key in PEM (BEGIN PRIVATE KEY)"))
        });
        Some(Origin::Key(Key { token_url: token_url?, email: email?, id, pair: pair? }))
    }

    fn external(&self) -> Option<Origin> {
        let token_url = self.url("token_url", Some(STS_URL));
        let (audience, subject_token_type) = (self.text("audience"), self.text("subject_token_type"));
        let client = (self.has("client_id") || self.has("client_secret"))
            .then(|| self.text("client_id").zip(self.text("client_secret")));
        let user_project = self.optional("workforce_pool_user_project");
        let source = self.within("credential_source").and_then(|fields| fields.source());
        let impersonation = self.has("service_account_impersonation_url").then(|| {
            let lifetime = if self.has("service_account_impersonation") {
                self.within("service_account_impersonation").and_then(|fields| fields.lifetime())
            } else {
                Some(LIFETIME_SECONDS)
            };
            self.impersonation(lifetime)
        });
        let (subject, field) = source?;
        let external = Origin::External(External {
            token_url: token_url?,
            audience: audience?,
            subject_token_type: subject_token_type?,
            client: client.flatten(),
            user_project,
            subject,
            field,
        });
        Some(match impersonation {
            None => external,
            Some(impersonation) => {
                Origin::Impersonated { origin: Box::new(external), impersonation: impersonation? }
            }
        })
    }

    fn lifetime(&self) -> Option<u64> {
        const NAME: &str = "token_lifetime_seconds";
        if !self.has(NAME) {
            return Some(LIFETIME_SECONDS);
        }
        let seconds =
            self.json.get(NAME).and_then(Value::as_u64).filter(|seconds| LIFETIMES.contains(seconds));
        seconds.or_else(|| self.problem(NAME, "is no number of seconds from 600 to 43200"))
    }

    fn impersonation(&self, lifetime: Option<u64>) -> Option<Impersonation> {
        const NAME: &str = "service_account_impersonation_url";
        let url = self.url(NAME, None).and_then(|url| {
            if url.path().ends_with(IMPERSONATION) {
                return Some(url);
            }
            self.problem(
                NAME,
                "must end like https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/EMAIL:generateAccessToken",
            )
        });
        let delegates = if self.has("delegates") { self.texts("delegates") } else { Some(Vec::new()) };
        Some(Impersonation { url: url?, delegates: delegates?, lifetime: Duration::from_secs(lifetime?) })
    }

    fn texts(&self, name: &str) -> Option<Vec<String>> {
        let list = self.json.get(name).and_then(Value::as_array);
        let texts = list.and_then(|list| list.iter().map(|item| Some(item.as_str()?.to_owned())).collect());
        texts.or_else(|| self.problem(name, "is no list of texts"))
    }

    fn impersonated(&self) -> Option<Origin> {
        let origin = self.within("source_credentials").and_then(|fields| fields.origin());
        let impersonation = self.impersonation(Some(LIFETIME_SECONDS));
        Some(Origin::Impersonated { origin: Box::new(origin?), impersonation: impersonation? })
    }

    /// Reads a `credential_source`: the place of the token, and the field that holds it.
    fn source(&self) -> Option<(Subject, Option<String>)> {
        const INSTEAD: &str = "instead, let a job of yours write a token of your identity provider into a file before the old one \
                               expires, and name it in `credential_source.file`";
        if self.has("environment_id") {
            return self.problem(
                "environment_id",
                &format!("says that the source is AWS, which is not supported (on EKS, use the cluster's OIDC token, which is a file): {INSTEAD}"),
            );
        }
        for (name, source) in [("executable", "a command"), ("certificate", "a client certificate")] {
            if self.has(name) {
                return self.problem(
                    name,
                    &format!("says that the source is {source}, which is not supported: {INSTEAD}"),
                );
            }
        }
        let field =
            if self.has("format") { self.within("format").and_then(|fields| fields.format())? } else { None };
        let subject = match (self.has("file"), self.has("url")) {
            (true, false) => Subject::File(PathBuf::from(self.text("file")?)),
            (false, true) => {
                let url = self.url("url", None);
                let headers = if self.has("headers") { self.headers() } else { Some(HeaderMap::new()) };
                Subject::Url { url: url?, headers: headers? }
            }
            _ => {
                return self
                    .problem("file", "or `credential_source.url` must stand there, and only one of them");
            }
        };
        Some((subject, field))
    }

    /// Reads a `format`: the field's name for `json`, none for `text`.
    #[expect(clippy::option_option, reason = "the outer one is a problem, as everywhere here")]
    fn format(&self) -> Option<Option<String>> {
        match self.text("type")?.as_str() {
            "text" => Some(None),
            "json" => Some(Some(self.text("subject_token_field_name")?)),
            _ => self.problem("type", "must be text or json"),
        }
    }

    fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in self.within("headers")?.json.as_object()? {
            let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
            let Some((name, mut value)) = HeaderName::from_bytes(name.as_bytes()).ok().zip(value) else {
                return self.problem("headers", "holds something that cannot stand in a header");
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Some(headers)
    }
}
