//! Access tokens of OAuth clients: requested when they are needed, renewed before they expire and after a 401, once for all who wait.

use std::sync::Arc;
use std::time::Duration;

use casebridge::cases::{ApiErrorKind, CaseSystem, Needs, Visibility};
use casebridge::clock::{Clock as _, ManualClock, SharedClock, SystemClock};
use casebridge::config::Secret;
use casebridge::crm::jira::JiraSettings;
use casebridge::crm::servicenow::ServiceNowSettings;
use casebridge::crm::zendesk::ZendeskSettings;
use casebridge::crm::{CrmKind, CrmSettings, PriorityWords};
use casebridge::outbound::Credentials;
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraAuth, SandboxJiraSettings};
use casebridge::sandbox::oauth::OauthClient;
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowAuth, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings};
use casebridge::secrets::SecretCredentials;

use casebridge_testkit::harness::{serve, upstream};
use casebridge_testkit::scripted::{Say, Scripted};

const SECRET: &str = "the-secret-of-the-client";
/// Valid as an ID in all systems, but of no case.
const NO_CASE: &str = "00000000000000000000000000000001";
/// Systems with OAuth clients; Jira in both deployments.
const KINDS: [&str; 4] = ["zendesk", "servicenow", "jira", "jira-data-center"];

/// A sandbox that takes the tokens of one client only.
async fn sandbox(kind: &str, lifetime: Duration) -> (String, OauthClient) {
    let client = OauthClient::new("casebridge", SECRET, lifetime);
    let clock: SharedClock = Arc::new(SystemClock);
    let address = if kind.starts_with("jira") {
        let own =
            if kind == "jira" { SandboxJiraSettings::default() } else { SandboxJiraSettings::data_center() };
        let auth = SandboxJiraAuth::OauthClient(client.clone());
        serve(SandboxJira::new(clock, SandboxJiraSettings { auth, ..own }).router()).await
    } else if kind == "zendesk" {
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

/// Settings for a sandbox at `site`, which stands for Atlassian's token endpoint and gateway as well.
fn settings(kind: &str, site: &str) -> CrmSettings {
    let own = match kind {
        "jira" => {
            format!("project = \"SUP\"\ntoken_url = \"{site}/oauth/token\"\ngateway_url = \"{site}/ex/jira\"")
        }
        "jira-data-center" => "project = \"SUP\"\ndeployment = \"data-center\"".to_owned(),
        _ => String::new(),
    };
    let section = format!("client_id = \"casebridge\"\nclient_secret = \"env:X\"\n{own}");
    let name = kind.trim_end_matches("-data-center");
    CrmSettings::read(name, section.parse().unwrap()).unwrap()
}

fn system(settings: &CrmSettings, site: &str, credentials: Arc<dyn Credentials>) -> Arc<dyn CaseSystem> {
    let clock: SharedClock = Arc::new(SystemClock);
    let address = site.trim_start_matches("http://").parse().unwrap();
    let upstream =
        upstream(settings.name(), address, Vec::new(), Duration::from_secs(5), &clock, credentials);
    let words = PriorityWords::new(["1", "2", "3", "4", "5"].map(str::to_owned)).unwrap();
    settings.connect(words, upstream, clock)
}

fn connected(kind: &str, site: &str) -> Arc<dyn CaseSystem> {
    let settings = settings(kind, site);
    let credentials = settings.credentials(SECRET, &site.parse().unwrap()).unwrap();
    system(&settings, site, credentials)
}

#[tokio::test]
async fn a_token_is_requested_once_for_all_who_wait_and_renewed_before_it_expires() {
    let each = KINDS.map(async |kind| {
        let (site, client) = sandbox(kind, Duration::from_secs(5)).await;
        let system = connected(kind, &site);
        let calls = (0..20).map(|_| system.get(NO_CASE));
        for outcome in futures_util::future::join_all(calls).await {
            assert_eq!(outcome.unwrap(), None, "{kind}");
        }
        assert_eq!(client.issued(), 1, "{kind}: one token for 20 calls at once");
        // Three lifetimes, with calls all the time and no error in any of them.
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(15) {
            assert_eq!(system.get(NO_CASE).await.unwrap(), None, "{kind}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!((4..=6).contains(&client.issued()), "{kind}: {} tokens", client.issued());
    });
    futures_util::future::join_all(each).await;
}

#[tokio::test]
async fn a_token_that_is_revoked_is_replaced_within_the_call() {
    for kind in KINDS {
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
    for kind in KINDS {
        std::fs::write(&file, SECRET).unwrap();
        let (site, client) = sandbox(kind, Duration::from_hours(1)).await;
        let settings = settings(kind, &site);
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
        ("jira", "401 (access_denied)", "service account"),
        ("jira-data-center", "401 (access_denied)", "the scope WRITE"),
    ] {
        let (site, _client) = sandbox(kind, Duration::from_hours(1)).await;
        let settings = settings(kind, &site);
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
        for kind in KINDS {
            let settings = settings(kind, server.url.as_str().trim_end_matches('/'));
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
    let jira = problems("jira", "project = \"SUP\"\nclient_id = \"x\"\napi_token = \"env:B\"");
    assert!(jira.contains("company.jira.client_secret"), "{jira}");
    let section = "project = \"SUP\"\nclient_id = \"x\"\nclient_secret = \"env:A\"\nemail = \"a@b.example\"\napi_token = \"env:B\"";
    assert!(problems("jira", section).contains("excludes api_token"));
    let section = "project = \"SUP\"\ndeployment = \"data-center\"\nuse_gateway = true";
    assert!(problems("jira", section).contains("use_gateway are for Cloud"));
    assert_eq!(JiraSettings::default().secret(), None);
    assert_eq!(ZendeskSettings::default().secret(), None);
    assert_eq!(ServiceNowSettings::default().secret(), None);
}

/// Jira Cloud takes the token of a service account at Atlassian's gateway only, and people open the site.
#[tokio::test]
async fn a_use_gateway_goes_through_the_gateway_and_links_lead_to_the_site() {
    let auth =
        SandboxJiraAuth::ScopedToken { email: "bot@example.com".to_owned(), token: "t0ken".to_owned() };
    let jira = SandboxJira::new(
        Arc::new(SystemClock),
        SandboxJiraSettings { auth, ..SandboxJiraSettings::default() },
    );
    let site = format!("http://{}", serve(jira.router()).await);
    let issue = jira.create_issue(NewIssue::flagged("Disk is slow")).unwrap();
    for (scoped, found) in [(true, true), (false, false)] {
        let section = format!(
            "project = \"SUP\"\nemail = \"bot@example.com\"\napi_token = \"env:X\"\nuse_gateway = {scoped}\n\
             gateway_url = \"{site}/ex/jira\""
        );
        let settings = CrmSettings::read("jira", section.parse().unwrap()).unwrap();
        let credentials = settings.credentials("t0ken", &site.parse().unwrap()).unwrap();
        let case = system(&settings, &site, credentials).get(&issue).await;
        assert_eq!(case.is_ok(), found, "{case:?}");
        if let Ok(case) = case {
            let case = case.unwrap();
            assert_eq!(case.address.as_deref(), Some(format!("{site}/browse/SUP-1").as_str()));
        }
    }
}

#[tokio::test]
async fn an_address_that_names_no_cloud_id_is_an_error_that_says_so() {
    for (status, body, reason) in [
        (404, "no such site", "it answered 404"),
        (200, "{}", "the answer names none"),
        (200, r#"{"cloudId":"../../other"}"#, "the answer names none"),
        (200, r#"{"cloudId":""}"#, "the answer names none"),
    ] {
        let server = Scripted::answers(vec![Say::status(status, "", body)]).await;
        let site = server.url.as_str().trim_end_matches('/');
        let section = format!(
            "project = \"SUP\"\nemail = \"bot@example.com\"\napi_token = \"env:X\"\nuse_gateway = true\n\
             gateway_url = \"{site}/ex/jira\""
        );
        let settings = CrmSettings::read("jira", section.parse().unwrap()).unwrap();
        let credentials = settings.credentials("t0ken", &server.url).unwrap();
        let error = system(&settings, site, credentials).get(NO_CASE).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::NotApplied);
        let text = error.to_string();
        for part in ["cloudId", "/_edge/tenant_info", reason, "base_url"] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
        let is_secret = |(name, _): &(String, String)| name == "authorization";
        assert!(!server.asked().iter().flat_map(|asked| &asked.headers).any(is_secret));
    }
}

#[tokio::test]
async fn a_gateway_that_is_not_reached_or_is_none_is_told_by_its_own_key() {
    let cloud_id = || Say::status(200, "", r#"{"cloudId":"11111111-2222-3333-4444-555555555555"}"#);
    let here = Scripted::new(move |_, asked| match asked.target.as_str() {
        "/_edge/tenant_info" => cloud_id(),
        _ => Say::status(404, "", "no such page"),
    })
    .await;
    let site = here.url.as_str().trim_end_matches('/');
    // Nothing listens at the discard port.
    for gateway in ["http://127.0.0.1:9/ex/jira".to_owned(), format!("{site}/elsewhere")] {
        let section = format!(
            "project = \"SUP\"\nemail = \"bot@example.com\"\napi_token = \"env:X\"\nuse_gateway = true\n\
             gateway_url = \"{gateway}\""
        );
        let settings = CrmSettings::read("jira", section.parse().unwrap()).unwrap();
        let credentials = settings.credentials("t0ken", &here.url).unwrap();
        let jira = system(&settings, site, credentials);
        let checks = jira.check(Needs::all(Visibility::Internal)).await;
        let first = checks[0].result().unwrap_err();
        let named = format!("company.jira.gateway_url ({gateway}");
        assert!(first.contains(&named) && !first.contains("base_url"), "{first}");
    }
}

#[tokio::test]
async fn an_error_of_the_token_endpoint_names_the_key_that_gave_its_address() {
    let closed = "http://127.0.0.1:9".to_owned();
    for (status, body) in [
        (404, "nothing here"),
        (302, ""),
        (200, "<html>Sign in</html>"),
        (0, "not reached"),
        (400, "{}"),
        (415, "no JSON"),
    ] {
        let server = Scripted::answers(vec![Say::status(status.max(200), "", body)]).await;
        let site =
            if status == 0 { closed.clone() } else { server.url.as_str().trim_end_matches('/').to_owned() };
        for kind in KINDS {
            let credentials = settings(kind, &site).credentials(SECRET, &site.parse().unwrap()).unwrap();
            let error = credentials.header().await.unwrap_err();
            let (key, other) = match kind {
                "jira" => ("company.jira.token_url", "company.base_url"),
                _ => ("company.base_url", "token_url"),
            };
            assert!(error.contains(key) && !error.contains(other), "{kind} {status}: {error}");
        }
    }
    // A refused client is no matter of the address.
    let (site, _) = sandbox("jira", Duration::from_secs(60)).await;
    let settings = self::settings("jira", &site);
    let error = settings.credentials("wr0ng", &site.parse().unwrap()).unwrap().header().await.unwrap_err();
    assert!(!error.contains("token_url") && error.contains("company.jira.client_id"), "{error}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_reached_says_nothing_about_the_credentials() {
    for kind in KINDS {
        // Nothing listens at the discard port.
        let site = "http://127.0.0.1:9";
        let error = connected(kind, site).get(NO_CASE).await.unwrap_err().to_string();
        // Jira Cloud is first asked for its cloud ID, at its own address.
        let remedy = if kind == "jira" { "check company.base_url" } else { "HTTPS_PROXY" };
        assert!(error.contains("127.0.0.1:9") && error.contains(remedy), "{kind}: {error}");
        for word in ["client_secret", "expired", "revoked"] {
            assert!(!error.contains(word), "{kind}: {error}");
        }
    }
}
