//! Access tokens of OAuth clients: requested when they are needed, renewed before they expire and after a 401, once for all who wait.

use std::sync::Arc;
use std::time::Duration;

use casebridge::cases::{ApiErrorKind, CaseSystem};
use casebridge::clock::{Clock as _, ManualClock, SharedClock, SystemClock};
use casebridge::config::Secret;
use casebridge::crm::servicenow::ServiceNowSettings;
use casebridge::crm::zendesk::ZendeskSettings;
use casebridge::crm::{CrmKind, CrmSettings, PriorityWords};
use casebridge::outbound::{Credentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::oauth::OauthClient;
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowAuth, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings};
use casebridge::secrets::SecretCredentials;
use casebridge::telemetry::Metrics;

use crate::harness::serve;
use crate::scripted::{Say, Scripted};

const SECRET: &str = "the-secret-of-the-client";
/// Valid as an ID in both systems, but of no case.
const NO_CASE: &str = "00000000000000000000000000000001";

/// A sandbox that takes the tokens of one client only.
async fn sandbox(kind: &str, lifetime: Duration) -> (String, OauthClient) {
    let client = OauthClient::new("casebridge", SECRET, lifetime);
    let clock: SharedClock = Arc::new(SystemClock);
    let address = if kind == "zendesk" {
        let auth = SandboxZendeskAuth::OauthClient(client.clone());
        let settings = SandboxZendeskSettings { auth, ..SandboxZendeskSettings::default() };
        serve(SandboxZendesk::new(clock, settings).router()).await
    } else {
        let auth = SandboxServiceNowAuth::OauthClient(client.clone());
        let settings = SandboxServiceNowSettings { auth, ..SandboxServiceNowSettings::default() };
        serve(SandboxServiceNow::new(clock, settings).router()).await
    };
    (format!("http://{address}"), client)
}

fn settings(kind: &str) -> CrmSettings {
    let section = "client_id = \"casebridge\"\nclient_secret = \"env:X\"";
    CrmSettings::read(kind, section.parse().unwrap()).unwrap()
}

fn system(settings: &CrmSettings, site: &str, credentials: Arc<dyn Credentials>) -> Arc<dyn CaseSystem> {
    let upstream = UpstreamSettings {
        name: settings.name(),
        base_url: site.parse().unwrap(),
        requests_per_minute: 1_000_000.try_into().unwrap(),
        timeout: Duration::from_secs(5),
        retry: RetryPolicy {
            attempts: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_secs(1),
        },
        download_hosts: Vec::new(),
    };
    let clock: SharedClock = Arc::new(SystemClock);
    let upstream = Upstream::new(upstream, credentials, Arc::clone(&clock), Metrics::shared()).unwrap();
    let words = PriorityWords::new(["1", "2", "3", "4", "5"].map(str::to_owned)).unwrap();
    settings.connect(words, upstream, clock)
}

fn connected(kind: &str, site: &str) -> Arc<dyn CaseSystem> {
    let settings = settings(kind);
    let credentials = settings.credentials(SECRET, &site.parse().unwrap()).unwrap();
    system(&settings, site, credentials)
}

#[tokio::test]
async fn a_token_is_requested_once_for_all_who_wait_and_renewed_before_it_expires() {
    for kind in ["zendesk", "servicenow"] {
        let (site, client) = sandbox(kind, Duration::from_secs(2)).await;
        let system = connected(kind, &site);
        let calls = (0..20).map(|_| system.get(NO_CASE));
        for outcome in futures_util::future::join_all(calls).await {
            assert_eq!(outcome.unwrap(), None, "{kind}");
        }
        assert_eq!(client.issued(), 1, "{kind}: one token for 20 calls at once");
        // Three lifetimes, with calls all the time and no error in any of them.
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(6) {
            assert_eq!(system.get(NO_CASE).await.unwrap(), None, "{kind}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!((4..=6).contains(&client.issued()), "{kind}: {} tokens", client.issued());
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_is_replaced_within_the_call() {
    for kind in ["zendesk", "servicenow"] {
        let (site, client) = sandbox(kind, Duration::from_hours(1)).await;
        let system = connected(kind, &site);
        system.get(NO_CASE).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(1)).await;
        tokio::time::resume();
        client.revoke();
        assert_eq!(system.get(NO_CASE).await.unwrap(), None, "{kind}");
        assert_eq!(client.issued(), 2, "{kind}");
    }
}

#[tokio::test]
async fn a_secret_that_was_rotated_is_read_again_when_the_endpoint_refuses_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    for kind in ["zendesk", "servicenow"] {
        std::fs::write(&file, SECRET).unwrap();
        let (site, client) = sandbox(kind, Duration::from_hours(1)).await;
        let settings = settings(kind);
        let (own, at) = (settings.clone(), site.parse().unwrap());
        let make = Box::new(move |secret: &Secret| own.credentials(secret.reveal(), &at));
        let reference = format!("file:{}", file.display()).parse().unwrap();
        let clock = ManualClock::at(SystemClock.now());
        let credentials = SecretCredentials::read(reference, None, make, clock).await.unwrap();
        client.rotate("another-secret");
        std::fs::write(&file, "another-secret").unwrap();
        let system = system(&settings, &site, Arc::new(credentials));
        assert_eq!(system.get(NO_CASE).await.unwrap(), None, "{kind}");
    }
}

#[tokio::test]
async fn a_refused_client_is_told_what_to_check_and_never_its_secret() {
    for (kind, status, setting) in [
        ("zendesk", "401 (invalid_client)", "company.zendesk.client_id"),
        ("servicenow", "401 (server_error)", "glide.oauth.inbound.client.credential.grant_type.enabled"),
    ] {
        let (site, _client) = sandbox(kind, Duration::from_hours(1)).await;
        let settings = settings(kind);
        let credentials = settings.credentials("wr0ng-secret", &site.parse().unwrap()).unwrap();
        let error = system(&settings, &site, credentials).get(NO_CASE).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized);
        let text = error.to_string();
        for part in ["casebridge", "127.0.0.1", status, setting] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        assert!(!text.contains("wr0ng"), "{text}");
    }
}

#[tokio::test]
async fn no_answer_but_a_token_is_taken_for_one() {
    let page = "<html>Sign in</html>";
    let odd = r#"{"access_token":"a","token_type":"mac"}"#;
    let broken = "{\"access_token\":\"a\\nb\"}";
    let quoting = format!(r#"{{"error":"{SECRET}"}}"#);
    for (status, body) in
        [(200, page), (200, "{}"), (200, odd), (200, broken), (302, ""), (503, page), (400, &quoting)]
    {
        let server = Scripted::answers(vec![Say::status(status, "", body)]).await;
        for settings in [settings("zendesk"), settings("servicenow")] {
            let credentials = settings.credentials(SECRET, &server.url).unwrap();
            let error = credentials.header().await.unwrap_err();
            assert!(!error.contains(SECRET) && !error.contains("Sign in"), "{status} {body}: {error}");
            // The endpoint is not asked again at once.
            let asked = server.asked().len();
            assert_eq!(credentials.header().await.unwrap_err(), error);
            assert_eq!(server.asked().len(), asked);
        }
    }
}

#[test]
fn a_client_needs_both_its_id_and_its_secret_and_no_other_way() {
    let problems =
        |kind: &str, section: &str| CrmSettings::read(kind, section.parse().unwrap()).unwrap_err().join("\n");
    for kind in ["zendesk", "servicenow"] {
        let alone = problems(kind, "client_id = \"x\"");
        assert!(alone.contains(&format!("company.{kind}.client_secret")), "{alone}");
        let twice = problems(kind, "client_id = \"x\"\nclient_secret = \"env:A\"\noauth_token = \"env:B\"");
        assert!(twice.contains("exclude each other"), "{twice}");
    }
    assert_eq!(ZendeskSettings::default().secret_reference(), None);
    assert_eq!(ServiceNowSettings::default().secret_reference(), None);
}
