//! Push messages: who is believed, what a message leads to, and that a flood of them stays small.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use casebridge::cases::{Hint, Refusal};
use casebridge::clock::Clock as _;
use casebridge::crm::CrmSettings;
use casebridge::entities::{CompanyCaseId, FirstSeen, GoogleCaseName, ItemKind, Side};
use casebridge::push::{CompanyReceiver, GoogleReceiver, GoogleReceiverSettings, MAX_MESSAGE, Receivers};
use casebridge::sandbox::csapi::Author;
use casebridge::tasks::{Deps, hint};
use chrono::{DateTime, Duration, Utc};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use casebridge_testkit::harness::World;
use casebridge_testkit::harness::desk::NewCompanyCase;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::scripted::{Say, Scripted};

/// RSA key that was made for these tests and opens nothing.
const KEY: &str = include_str!("../fixtures/google/key-for-tests-only.pem");
const AUDIENCE: &str = "https://casebridge.example/push/google";
const ACCOUNT: &str = "push@project.iam.gserviceaccount.com";
const SECRET: &str = "the-webhook-secret";
const PREVIOUS: &str = "the-secret-before";

fn now() -> DateTime<Utc> {
    "2026-11-24T09:00:00Z".parse().unwrap()
}

fn key() -> RsaKeyPair {
    let text: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaKeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap()
}

/// Returns the key set of an issuer with the test key.
fn key_set() -> Value {
    let key = key();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let RsaPublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
    json!({ "keys": [
        { "kid": "elliptic", "kty": "EC", "crv": "P-256", "x": "", "y": "" },
        { "kid": "first", "kty": "RSA", "alg": "RS256", "n": encode(&n), "e": encode(&e) },
    ]})
}

fn claims() -> Value {
    json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": ACCOUNT, "email_verified": true,
        "iat": now().timestamp(), "exp": now().timestamp() + 3600,
    })
}

/// Makes a token, with some claims changed; `null` removes one.
fn token(header: &Value, changes: &Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(&claims));
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn good_header() -> Value {
    json!({ "alg": "RS256", "kid": "first", "typ": "JWT" })
}

/// Starts an issuer that answers with these key sets, one after the other, and a receiver that believes it.
async fn google(answers: Vec<Say>) -> (GoogleReceiver, Scripted) {
    let issuer = Scripted::answers(answers).await;
    let settings = GoogleReceiverSettings {
        audience: AUDIENCE.to_owned(),
        service_account: ACCOUNT.to_owned(),
        keys_url: issuer.url.join("certs").unwrap(),
        parent: "organizations/123".to_owned(),
    };
    (GoogleReceiver::new(settings).unwrap(), issuer)
}

fn event(case: &str) -> Vec<u8> {
    json!({ "message": { "attributes": { "name": case }, "data": "e30=", "messageId": "1" }, "subscription": "s" })
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn only_the_token_of_the_configured_account_is_believed() {
    let (google, issuer) = google(vec![Say::json(&key_set().to_string())]).await;
    let other = |name: &str, value: Value| token(&good_header(), &json!({ name: value }));
    let at = |seconds: i64| json!(now().timestamp() + seconds);
    let signed = token(&good_header(), &json!({}));
    let (content, signature) = signed.rsplit_once('.').unwrap();
    let with_more_time = other("exp", at(7200));
    let forged = format!("{}.{signature}", with_more_time.rsplit_once('.').unwrap().0);
    let of_another_key = format!("{content}.{}", URL_SAFE_NO_PAD.encode([7; 256]));
    for (what, token, refused) in [
        ("as documented", signed.clone(), None),
        ("a list of audiences", other("aud", json!(["https://else.example", AUDIENCE])), None),
        ("the short issuer", other("iss", json!("accounts.google.com")), None),
        ("a minute late", other("exp", at(-60)), None),
        ("a minute early", other("iat", at(60)), None),
        ("expired", other("exp", at(-61)), Some("has expired")),
        ("not valid yet", other("iat", at(61)), Some("not valid yet")),
        (
            "another audience",
            other("aud", json!("https://else.example/push/google")),
            Some("push.google.audience"),
        ),
        ("no audience", other("aud", Value::Null), Some("no JSON Web Token")),
        ("another account", other("email", json!("x@y.example")), Some("push.google.service_account")),
        ("no account", other("email", Value::Null), Some("push.google.service_account")),
        ("not verified", other("email_verified", json!(false)), Some("not verified")),
        ("nothing said of that", other("email_verified", Value::Null), Some("not verified")),
        ("another issuer", other("iss", json!("https://evil.example")), Some("accounts.google.com")),
        ("no time", other("exp", Value::Null), Some("no JSON Web Token")),
        ("a changed token", forged, Some("not signed by Google")),
        ("another key's signature", of_another_key, Some("not signed by Google")),
        (
            "a key that is not there",
            token(&json!({ "alg": "RS256", "kid": "second" }), &json!({})),
            Some("not signed"),
        ),
        ("no algorithm", token(&json!({ "alg": "none", "kid": "first" }), &json!({})), Some("RS256")),
        ("a symmetric one", token(&json!({ "alg": "HS256", "kid": "first" }), &json!({})), Some("RS256")),
        ("two parts", content.to_owned(), Some("RS256")),
        ("no token at all", "x".to_owned(), Some("RS256")),
        ("a long one", "x.y.".repeat(10_000), Some("RS256")),
    ] {
        let received = google.receive(Some(&token), &event("organizations/123/cases/2"), now()).await;
        match refused {
            None => assert_eq!(received.map(|hints| hints.len()), Ok(1), "{what}"),
            Some(reason) => {
                let Err(Refusal::Unproven(told)) = received else { panic!("{what}: {received:?}") };
                assert!(told.contains(reason), "{what}: {told}");
            }
        }
    }
    let missing = google.receive(None, &event("organizations/123/cases/2"), now()).await;
    assert!(matches!(missing, Err(Refusal::Unproven(_))), "{missing:?}");
    assert_eq!(issuer.asked().len(), 1, "the keys are cached, and a forged key ID asks for none");
}

#[tokio::test]
async fn a_token_that_cannot_be_verified_now_is_asked_for_again() {
    let (google, _issuer) = google(vec![Say::status(500, "", "")]).await;
    let received = google.receive(Some(&token(&good_header(), &json!({}))), &event("x"), now()).await;
    let Err(Refusal::Unavailable(told)) = received else { panic!("{received:?}") };
    assert!(told.contains("answered 500"), "{told}");
}

/// Makes the receiver of a CRM's messages, while its secret is rotated.
fn company(kind: &str) -> CompanyReceiver {
    let section = match kind {
        "jira" => "project = \"SUP\"",
        "request-tracker" => "queue = \"General\"\nuser = \"casebridge\"",
        _ => "",
    };
    let settings = CrmSettings::read(kind, section.parse().unwrap()).unwrap();
    CompanyReceiver::new(settings, &[SECRET, PREVIOUS])
}

fn mac(secret: &str, content: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), content.as_bytes()).as_ref().to_vec()
}

fn headers(pairs: &[(&str, String)]) -> HeaderMap {
    let pair = |(name, value): &(&str, String)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn about(case: &str, comment: Option<&str>, user: Option<&str>) -> Vec<Hint> {
    vec![Hint {
        case: FirstSeen::Company(CompanyCaseId::parse(case).unwrap()),
        item: comment.map(|id| (ItemKind::Comment, id.to_owned())),
        user: user.map(str::to_owned),
    }]
}

#[test]
fn messages_of_jira_are_proven_by_their_signature() {
    let receiver = company("jira");
    let hub = |secret: &str, body: &str| {
        vec![("x-hub-signature", format!("sha256={}", hex::encode(mac(secret, body))))]
    };
    let at = |seconds: i64| (now() + Duration::seconds(seconds)).timestamp_millis();
    let commented = json!({
        "timestamp": at(-1), "webhookEvent": "comment_created",
        "issue": { "id": "10001", "key": "SUP-1", "fields": { "summary": "…" } },
        "comment": { "id": "10100", "body": "…", "author": { "accountId": "5b1" }, "updateAuthor": { "accountId": "5b2" } },
    })
    .to_string();
    let updated = json!({
        "timestamp": at(0), "webhookEvent": "jira:issue_updated", "issue": { "id": 10001 }, "user": { "key": "JIRAUSER10100", "name": "jane" },
    })
    .to_string();
    let attached =
        json!({ "timestamp": at(0), "webhookEvent": "attachment_created", "attachment": { "id": "7" } })
            .to_string();
    let of = |time: Value| json!({ "timestamp": time, "issue": { "id": "10001" } }).to_string();
    for (what, headers_of, body, expected) in [
        (
            "a comment",
            hub(SECRET, &commented),
            commented.clone(),
            Ok(about("10001", Some("10100"), Some("5b2"))),
        ),
        (
            "the previous secret",
            hub(PREVIOUS, &updated),
            updated.clone(),
            Ok(about("10001", None, Some("JIRAUSER10100"))),
        ),
        ("an attachment names no issue", hub(SECRET, &attached), attached, Ok(Vec::new())),
        ("another secret", hub("other", &updated), updated.clone(), Err("push.company.secret")),
        ("another body", hub(SECRET, &updated), commented.clone(), Err("push.company.secret")),
        ("no signature", vec![], updated.clone(), Err("neither a signature nor the secret")),
        ("no hex", vec![("x-hub-signature", "sha256=zz".to_owned())], updated.clone(), Err("cannot be read")),
        (
            "another hash",
            vec![("x-hub-signature", format!("sha1={}", hex::encode(mac(SECRET, &updated))))],
            updated,
            Err("cannot be read"),
        ),
        ("replayed", hub(SECRET, &of(json!(at(-301)))), of(json!(at(-301))), Err("older than five minutes")),
        ("from the future", hub(SECRET, &of(json!(at(301)))), of(json!(at(301))), Err("from the future")),
        ("without a time", hub(SECRET, &of(Value::Null)), of(Value::Null), Err("has no time")),
        ("no JSON", hub(SECRET, "hello"), "hello".to_owned(), Err("not the JSON")),
        (
            "no issue's ID",
            hub(SECRET, &json!({ "timestamp": at(0), "issue": {} }).to_string()),
            json!({ "timestamp": at(0), "issue": {} }).to_string(),
            Err("no ID"),
        ),
        (
            "an impossible ID",
            hub(SECRET, &json!({ "timestamp": at(0), "issue": { "id": "../x" } }).to_string()),
            json!({ "timestamp": at(0), "issue": { "id": "../x" } }).to_string(),
            Err("not valid"),
        ),
    ] {
        check(what, receiver.receive(&headers(&headers_of), body.as_bytes(), now()), expected);
    }
}

#[test]
fn messages_of_zendesk_are_proven_by_signature_and_time() {
    let receiver = company("zendesk");
    let signed = |secret: &str, at: &str, body: &str| {
        vec![
            ("x-zendesk-webhook-signature", STANDARD.encode(mac(secret, &format!("{at}{body}")))),
            ("x-zendesk-webhook-signature-timestamp", at.to_owned()),
        ]
    };
    let recent = "2026-11-24T08:59:00Z";
    let event = json!({
        "type": "zen:event-type:ticket.comment_added", "subject": "zen:ticket:35",
        "detail": { "id": "35", "actor_id": "8447388090494" }, "event": { "comment": { "id": "17" } },
    })
    .to_string();
    let trigger = json!({ "case_id": "{{35}}" }).to_string().replace("{{35}}", "35");
    let user = json!({ "type": "zen:event-type:user.created", "detail": {} }).to_string();
    for (what, headers_of, body, expected) in [
        (
            "an event",
            signed(SECRET, recent, &event),
            event.clone(),
            Ok(about("35", Some("17"), Some("8447388090494"))),
        ),
        ("a trigger", signed(PREVIOUS, recent, &trigger), trigger, Ok(about("35", None, None))),
        ("an event of nobody's ticket", signed(SECRET, recent, &user), user, Ok(Vec::new())),
        ("another secret", signed("other", recent, &event), event.clone(), Err("push.company.secret")),
        (
            "replayed",
            signed(SECRET, "2026-11-24T08:54:59Z", &event),
            event.clone(),
            Err("older than five minutes"),
        ),
        (
            "from the future",
            signed(SECRET, "2026-11-24T09:05:01Z", &event),
            event.clone(),
            Err("from the future"),
        ),
        ("no time", signed(SECRET, "yesterday", &event), event.clone(), Err("has no time")),
        (
            "another time",
            vec![
                signed(SECRET, recent, &event).remove(0),
                signed(SECRET, "2026-11-24T09:00:00Z", &event).remove(1),
            ],
            event.clone(),
            Err("push.company.secret"),
        ),
        (
            "no time at all",
            vec![signed(SECRET, recent, &event).remove(0)],
            event,
            Err("neither a signature nor the secret"),
        ),
    ] {
        check(what, receiver.receive(&headers(&headers_of), body.as_bytes(), now()), expected);
    }
}

#[test]
fn scripts_of_every_crm_send_the_secret() {
    let with = |secret: &str| vec![("x-casebridge-secret", secret.to_owned())];
    let sys_id = "9d385017c611228701d22104cc95c371";
    for kind in CrmSettings::KINDS {
        let receiver = company(kind);
        let body = |case: Value| json!({ "case_id": case, "user": "jane" }).to_string();
        for (what, headers_of, body, expected) in [
            ("a text", with(SECRET), body(json!(sys_id)), Ok(about(sys_id, None, Some("jane")))),
            ("a number", with(PREVIOUS), body(json!(4711)), Ok(about("4711", None, Some("jane")))),
            ("nobody", with(SECRET), json!({ "case_id": 4711 }).to_string(), Ok(about("4711", None, None))),
            ("another secret", with("the-webhook-secreT"), body(json!(1)), Err("X-Casebridge-Secret")),
            ("an empty one", with(""), body(json!(1)), Err("X-Casebridge-Secret")),
            ("none", vec![], body(json!(1)), Err("neither a signature nor the secret")),
            ("no case", with(SECRET), "{}".to_owned(), Err("not the JSON")),
            ("an empty case", with(SECRET), body(json!(" ")), Err("case_id")),
            ("a list", with(SECRET), body(json!([1])), Err("case_id")),
            ("a path", with(SECRET), body(json!("1/../2")), Err("not valid")),
        ] {
            check(
                &format!("{kind}: {what}"),
                receiver.receive(&headers(&headers_of), body.as_bytes(), now()),
                expected,
            );
        }
    }
}

fn check(what: &str, received: Result<Vec<Hint>, Refusal>, expected: Result<Vec<Hint>, &str>) {
    match (received, expected) {
        (Ok(hints), Ok(expected)) => assert_eq!(hints, expected, "{what}"),
        (Err(refusal), Err(reason)) => assert!(refusal.to_string().contains(reason), "{what}: {refusal}"),
        (received, expected) => panic!("{what}: {received:?}, not {expected:?}"),
    }
}

/// A connector that takes push messages of both sides.
struct Pushed {
    world: World,
    address: SocketAddr,
    /// Parts of the instance that takes the messages.
    deps: Arc<Deps>,
    http: reqwest::Client,
    _issuer: Scripted,
}

impl Pushed {
    async fn new() -> Self {
        Self::at(100_000).await
    }

    /// With a pace of so many syncs per minute.
    async fn at(syncs_per_minute: u32) -> Self {
        let world = World::new(&JiraKind).await;
        let (google, issuer) = google(vec![Say::json(&key_set().to_string())]).await;
        let receivers = Receivers { google: Some(google), company: Some(company("jira")), pull: None };
        let (address, deps) = world.instance_with_push(receivers, syncs_per_minute).await;
        Self { world, address, deps, http: reqwest::Client::new(), _issuer: issuer }
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> u16 {
        request.send().await.unwrap().status().as_u16()
    }

    async fn google_sends(&self, name: &str) -> u16 {
        let at = self.world.clock().now().timestamp();
        let token = token(&good_header(), &json!({ "iat": at, "exp": at + 3600 }));
        let url = format!("http://{}/push/google", self.address);
        self.send(self.http.post(url).bearer_auth(token).body(event(name))).await
    }

    async fn jira_sends(&self, issue: &str, user: &str) -> u16 {
        let at = self.world.clock().now().timestamp_millis();
        let body =
            json!({ "timestamp": at, "issue": { "id": issue }, "user": { "accountId": user } }).to_string();
        let url = format!("http://{}/push/company", self.address);
        let signature = format!("sha256={}", hex::encode(mac(SECRET, &body)));
        self.send(self.http.post(url).header("x-hub-signature", signature).body(body)).await
    }

    /// Number of calls to both systems so far.
    fn calls(&self) -> usize {
        self.world.csapi.faults().calls().len() + self.world.company_faults().calls().len()
    }

    /// Name of a comment that the connector wrote on that Google case.
    fn own_comment(&self, google: &str) -> String {
        let comments = self.world.csapi.comments(google).unwrap();
        let own = comments.iter().find(|comment| matches!(comment.author, Author::ServiceAccount { .. }));
        format!("{google}/comments/{}", own.unwrap().id)
    }

    fn counted(&self, side: &str, outcome: &str) -> u64 {
        let line = format!("casebridge_push_messages_total{{side=\"{side}\",outcome=\"{outcome}\"}} ");
        let text = self.world.deps.metrics.render();
        text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }
}

#[tokio::test]
async fn a_comment_is_carried_without_a_poll_in_both_directions() {
    let pushed = Pushed::new().await;
    let (google, company) = pushed.world.pair().await;
    // Longer than the rechecks after the creation.
    pushed.world.run_for(Duration::minutes(40)).await;
    let polled = pushed.world.deps.store.global().await.unwrap();

    pushed.world.google_says(&google, "Look at the quota");
    assert_eq!(pushed.google_sends(&format!("{google}/comments/any")).await, 204);
    pushed.world.deliver().await;
    assert_eq!(pushed.world.copies_in_crm(&company).await.len(), 1);

    pushed.world.company_says(&company, "It is raised").await;
    assert_eq!(pushed.jira_sends(&company, "somebody").await, 204);
    pushed.world.deliver().await;
    assert_eq!(pushed.world.copies_at_google(&google).len(), 1);

    let now = pushed.world.deps.store.global().await.unwrap();
    assert_eq!(now, polled, "no poll was needed");
    assert!(pushed.world.deps.metrics.render().contains("casebridge_push_messages_total"));
    pushed.world.assert_quiet().await;
}

#[tokio::test]
async fn a_fresh_case_is_created_on_the_other_side_without_a_poll() {
    let pushed = Pushed::new().await;
    pushed.world.settle().await;
    let google = pushed.world.google_case("A fresh case");
    assert_eq!(pushed.google_sends(&google).await, 204);
    pushed.world.deliver().await;
    assert_eq!(pushed.world.desk.cases().await.len(), 1);
    // A poll admits by the same rules.
    let unflagged = pushed.world.desk.opens(NewCompanyCase::new("Nothing of Google's")).await;
    assert_eq!(pushed.jira_sends(&unflagged, "somebody").await, 204);
    pushed.world.deliver().await;
    assert_eq!(pushed.world.csapi.cases().len(), 1, "not flagged");
    let metrics = pushed.world.deps.metrics.render();
    assert!(!metrics.contains("outcome=\"abandoned\""), "an event of an unflagged case is no error");
    pushed.world.assert_quiet().await;
}

#[tokio::test]
async fn the_connectors_own_writes_cost_no_call() {
    let pushed = Pushed::new().await;
    let (google, company) = pushed.world.pair().await;
    pushed.world.company_says(&company, "Ours").await;
    pushed.world.settle().await;
    let own_comment = pushed.own_comment(&google);
    // The sandbox derives account IDs from names.
    let own_user = format!("5b10{}", &hex::encode(Sha256::digest("Casebridge"))[..20]);
    pushed.world.run_for(Duration::minutes(40)).await;
    let calls = pushed.calls();
    assert_eq!(pushed.jira_sends(&company, &own_user).await, 204);
    assert_eq!(pushed.google_sends(&own_comment).await, 204);
    pushed.world.deliver().await;
    assert_eq!(pushed.calls(), calls);
    assert_eq!((pushed.counted("company", "own"), pushed.counted("google", "own")), (1, 1));
}

#[tokio::test]
async fn a_flood_is_one_sync_for_each_case_and_second() {
    let pushed = Pushed::new().await;
    let (_, company) = pushed.world.pair().await;
    pushed.world.run_for(Duration::minutes(40)).await;
    let mut calls = Vec::new();
    for _ in 0..3 {
        let before = pushed.calls();
        for _ in 0..100 {
            assert_eq!(pushed.jira_sends(&company, "somebody").await, 204);
        }
        pushed.world.run_for(Duration::seconds(1)).await;
        calls.push(pushed.calls() - before);
    }
    let queued = pushed.counted("company", "queued");
    assert!(queued <= 4, "{queued} syncs for 300 messages in 3 s");
    assert_eq!(pushed.counted("company", "coalesced") + queued, 300);
    assert!(calls.iter().all(|calls| *calls <= 10), "{calls:?}");
    assert!(pushed.world.mapping().await.dirty.company.is_none(), "nothing is left over");
}

#[tokio::test]
async fn a_fresh_case_is_carried_at_once_in_the_middle_of_a_flood() {
    let pushed = Pushed::at(75).await;
    let mut cases: Vec<String> =
        (0..50).map(|number| pushed.world.google_case(&format!("Case {number}"))).collect();
    pushed.world.run_for(Duration::minutes(45)).await;
    assert_eq!(pushed.world.desk.cases().await.len(), 50);
    let before = pushed.calls();
    for second in 0..20 {
        if second == 10 {
            cases.push(pushed.world.google_case("A fresh one"));
            assert_eq!(pushed.google_sends(&cases[50]).await, 204);
        }
        for _ in 0..10 {
            for case in &cases[..50] {
                let hint = Hint {
                    case: FirstSeen::Google(GoogleCaseName::parse(case).unwrap()),
                    item: None,
                    user: None,
                };
                hint::take(&pushed.deps, &hint).await.unwrap();
            }
        }
        pushed.world.run_for(Duration::seconds(1)).await;
        if second == 11 {
            assert_eq!(
                pushed.world.desk.cases().await.len(),
                51,
                "the fresh case did not wait for the flood"
            );
        }
    }
    let calls = pushed.calls() - before;
    // 20 s at a pace of 75 a minute, with what is due at once after a pause: 3 to 4 calls each.
    assert!(calls <= 250, "{calls} calls for 10,000 hints");
}

#[tokio::test]
async fn a_message_that_names_no_case_asks_for_a_poll() {
    let pushed = Pushed::new().await;
    pushed.world.settle().await;
    let before = pushed.world.deps.store.global().await.unwrap().last_polled_at(Side::Google);
    pushed.world.clock().advance(Duration::seconds(20));
    for _ in 0..20 {
        assert_eq!(pushed.google_sends("CASE_UPDATED").await, 204);
    }
    pushed.world.deliver().await;
    // One now, and one for what the first has not seen.
    assert_ne!(pushed.world.deps.store.global().await.unwrap().last_polled_at(Side::Google), before);
    assert_eq!((pushed.counted("google", "queued"), pushed.counted("google", "coalesced")), (2, 18));
}

#[tokio::test]
async fn a_refused_message_does_nothing() {
    let pushed = Pushed::new().await;
    let (google, company) = pushed.world.pair().await;
    pushed.world.run_for(Duration::minutes(40)).await;
    let (calls, mapping) = (pushed.calls(), pushed.world.mapping().await);
    let url = |side: &str| format!("http://{}/push/{side}", pushed.address);
    let post = |side: &str| pushed.http.post(url(side));
    let unsigned = json!({ "issue": { "id": company } }).to_string();
    let large = " ".repeat(MAX_MESSAGE + 1);
    for (what, status, request) in [
        ("no token", 401, post("google").body(event(&google))),
        ("the admin's scheme", 401, post("google").bearer_auth("the-admin-token").body(event(&google))),
        ("no signature", 401, post("company").body(unsigned)),
        ("another side", 404, post("elsewhere").body("{}")),
        ("too large", 413, post("company").body(large)),
        ("another method", 405, pushed.http.get(url("google"))),
        ("no message", 400, post("google").bearer_auth(fresh_token(&pushed.world)).body("{}")),
    ] {
        assert_eq!(pushed.send(request).await, status, "{what}");
    }
    let not_configured = format!("http://{}/push/company", pushed.world.service);
    assert_eq!(pushed.send(pushed.http.post(not_configured).body("{}")).await, 404);
    pushed.world.deliver().await;
    assert_eq!((pushed.calls(), pushed.world.mapping().await), (calls, mapping));
    assert_eq!(pushed.counted("google", "unproven"), 2);
}

fn fresh_token(world: &World) -> String {
    let at = world.clock().now().timestamp();
    token(&good_header(), &json!({ "iat": at, "exp": at + 3600 }))
}
