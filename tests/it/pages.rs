//! Pages for operators: what they show, who may use them, and what their forms do.

use std::net::{IpAddr, SocketAddr};

use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use casebridge::clock::Clock as _;
use casebridge::config::Platform;
use casebridge::entities::{CaseMapping, Lease, PendingCreation, Side, Sides, TitleWords};
use casebridge::http::Iap;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::store::{MappingFilter, modify};
use chrono::Duration;
use reqwest::{Client, Method, StatusCode, redirect};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use casebridge_testkit::harness::desk::{Call, NewCompanyCase};
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{Options, World, idle, serve};

const ADMIN: &str = "the-admin-token-of-the-pages";

/// Browser that keeps no cookies and follows no redirect, so that each answer can be looked at.
struct Browser {
    http: Client,
    at: SocketAddr,
    cookie: Option<String>,
}

/// Answer with its headers of interest.
struct Answer {
    status: u16,
    location: Option<String>,
    cookie: Option<String>,
    policy: Option<String>,
    text: String,
}

impl Browser {
    fn new(at: SocketAddr) -> Self {
        let http = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        Self { http, at, cookie: None }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        form: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.http.request(method.clone(), format!("http://{}{path}", self.at));
        if !headers.iter().any(|(name, _)| *name == "accept") {
            request = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        }
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if method == Method::POST {
            request = request.form(form);
        }
        let response = request.send().await.unwrap();
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        Answer {
            status: response.status().as_u16(),
            location: header("location"),
            cookie: header("set-cookie"),
            policy: header("content-security-policy"),
            text: response.text().await.unwrap(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, &[("sec-fetch-site", "same-origin")], &[]).await
    }

    /// Sends a form of a page, as a browser does.
    async fn send(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{}", self.at);
        let headers = [("sec-fetch-site", "same-origin"), ("origin", origin.as_str())];
        self.ask(Method::POST, path, &headers, form).await
    }

    /// Opens the page of a pair and does an action with the token of its forms.
    async fn act(&self, mapping: &CaseMapping, action: &str, fields: &[(&str, &str)]) -> Answer {
        let page = self.get(&format!("/cases/{}", mapping.id)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let token = form_token(&page.text);
        let mut form = vec![("token", token.as_str())];
        form.extend(fields);
        self.send(&format!("/cases/{}/{action}", mapping.id), &form).await
    }

    async fn sign_in(&mut self) {
        let answer = self.send("/signin", &[("token", ADMIN)]).await;
        assert_eq!((answer.status, answer.location.as_deref()), (303, Some("/")), "{}", answer.text);
        self.cookie = answer.cookie.and_then(|cookie| Some(cookie.split_once(';')?.0.to_owned()));
    }
}

fn form_token(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="token" value=""#).unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// Asserts that a page holds all these texts.
fn assert_shows(answer: &Answer, texts: &[&str]) {
    for text in texts {
        assert!(answer.text.contains(text), "{text} is missing: {}", answer.text);
    }
}

async fn change(world: &World, change: impl Fn(&mut CaseMapping) + Send + Sync) -> CaseMapping {
    let mapping = world.mapping().await;
    let changed = modify(world.store.as_ref(), mapping, |mapping| {
        change(mapping);
        true
    });
    changed.await.unwrap().unwrap()
}

#[tokio::test]
async fn the_overview_tells_what_is_stuck_since_when_why_and_what_to_do() {
    let world = World::new(&JiraKind).await;
    let browser = Browser::new(world.service);
    let page = browser.get("/").await;
    assert_shows(
        &page,
        &["Not in step: a side is not polled", "Google was never polled", "casebridge check"],
    );
    let (google, company) = world.pair().await;
    let page = browser.get("/").await;
    assert_shows(&page, &["<h1>In step</h1>", "nothing to do", "Nothing needs a look", "showed a case:"]);
    assert_eq!(
        page.policy.as_deref(),
        Some(
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
    );
    assert!(!page.text.contains("<script") && !page.text.contains(" style="), "{}", page.text);
    for landmark in [
        "<html lang=\"en\">",
        "<main id=\"content\"",
        "class=\"skip\"",
        "<nav aria-label",
        "scope=\"col\"",
        "<label for=\"q\">",
    ] {
        assert!(page.text.contains(landmark), "{landmark}");
    }

    world.trouble(Call::Comment, Fault::always(Effect::ErrorBefore { status: 500, body: None }));
    world.google_says(&google, "Is it slow?");
    world.run_for(Duration::minutes(3)).await;
    let page = browser.get("/").await;
    assert_shows(
        &page,
        &["1 pair needs a look", "failing", "HTTP 500", "since <time", "tries", "Retry tries now"],
    );
    world.run_for(Duration::minutes(40)).await;
    let page = browser.get("/").await;
    assert_shows(&page, &["1 pair is out of step", "outage notice"]);
    // Any name of either case finds the pair; one that no case has is no failure.
    let id = world.mapping().await.id;
    for query in [company.as_str(), google.as_str(), google.rsplit('/').next().unwrap(), "SUP-1"] {
        let found = browser.get(&format!("/?q={}", query.replace('/', "%2F"))).await;
        assert_eq!(found.location, Some(format!("/cases/{id}")), "{query}: {}", found.text);
    }
    let none = browser.get("/?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E").await;
    assert_eq!(none.status, 200);
    assert_shows(&none, &["No pair has the case"]);
    assert!(!none.text.contains("<script>"));
    let list = browser.get("/cases?filter=late").await;
    assert_shows(&list, &["SUP-1 and ", "failing"]);
}

#[tokio::test]
async fn what_a_case_or_an_error_contains_is_shown_as_text() {
    let world = World::new(&JiraKind).await;
    let browser = Browser::new(world.service);
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>";
    world.company_case(hostile).await;
    world.settle().await;
    let mapping = change(&world, |mapping| {
        mapping.failed(hostile.to_owned(), mapping.created_at);
        let mut known = mapping.known_company_case().cloned().unwrap();
        known.key = Some(hostile.to_owned());
        known.address = Some("javascript:alert(3)".to_owned());
        mapping.state.company_case = Some(known);
        mapping.state.warned.insert(hostile.to_owned());
    })
    .await;
    let pair = browser.get(&format!("/cases/{}", mapping.id)).await;
    for answer in [
        browser.get("/").await,
        browser.get("/cases").await,
        pair,
        browser.act(&mapping, "dry-run", &[]).await,
        browser.get("/cases/%3Cscript%3E").await,
    ] {
        let text = answer.text.to_lowercase();
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
        assert!(!text.contains("javascript:alert"), "{text}");
    }
    let done = browser.act(&mapping, "pause", &[("reason", hostile)]).await;
    assert_eq!(done.location, Some(format!("/cases/{}?done=pause", mapping.id)), "{}", done.text);
    let paused = browser.get("/").await;
    assert_shows(&paused, &["&lt;script&gt;", "paused by"]);
    assert!(!paused.text.contains("<script"));
}

#[tokio::test]
async fn a_page_needs_a_sign_in_and_a_form_its_origin_and_its_token() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    let mapping = world.mapping().await;
    let at = world.another_instance(Platform::Local, Some(ADMIN)).await;
    let mut browser = Browser::new(at);
    let pair = format!("/cases/{}", mapping.id);
    for path in ["/", "/cases", pair.as_str()] {
        let answer = browser.get(path).await;
        assert_eq!((answer.status, answer.location.as_deref()), (303, Some("/signin")), "{path}");
        // A script gets the problem, and at the root the list of routes.
        let json = browser.ask(Method::GET, path, &[("accept", "*/*")], &[]).await;
        assert_eq!(json.status, if path == "/" { 200 } else { 401 }, "{path}: {}", json.text);
    }
    let wrong = browser.send("/signin", &[("token", "guess")]).await;
    assert_eq!((wrong.status, wrong.cookie), (403, None));
    let elsewhere = [("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")];
    let foreign = browser.ask(Method::POST, "/signin", &elsewhere, &[("token", ADMIN)]).await;
    assert_eq!((foreign.status, foreign.cookie), (403, None));
    let answer = browser.send("/signin", &[("token", ADMIN)]).await;
    let cookie = answer.cookie.unwrap();
    assert!(cookie.starts_with("casebridge=") && cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    assert!(!cookie.contains("Secure") && !cookie.contains(ADMIN), "{cookie}");
    let behind_tls = [("sec-fetch-site", "same-origin"), ("x-forwarded-proto", "https")];
    let secure = browser.ask(Method::POST, "/signin", &behind_tls, &[("token", ADMIN)]).await.cookie.unwrap();
    assert!(secure.starts_with("__Host-casebridge=") && secure.ends_with("; Secure"), "{secure}");

    browser.sign_in().await;
    let page = browser.get(&pair).await;
    assert_eq!(page.status, 200);
    assert_shows(&page, &["Sign out", "What became what", "Sync now"]);
    let token = form_token(&page.text);
    let path = format!("{pair}/pause");
    let own = format!("http://{at}");
    for (what, headers, token) in [
        (
            "another site",
            &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")] as &[_],
            &token,
        ),
        (
            "another port of the host",
            &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:1")],
            &token,
        ),
        ("an old browser, another site", &[("origin", "https://evil.example")], &token),
        ("no word on the origin", &[], &token),
        ("a sandboxed frame", &[("origin", "null")], &token),
        ("no token", &[("sec-fetch-site", "same-origin"), ("origin", own.as_str())], &String::new()),
        ("another token", &[("sec-fetch-site", "same-origin")], &"00".repeat(32)),
    ] {
        let answer = browser.ask(Method::POST, &path, headers, &[("token", token)]).await;
        assert_eq!(answer.status, 403, "{what}: {}", answer.text);
        assert!(world.mapping().await.held().is_none(), "{what}");
    }
    // A cookie that was changed, that has expired, or that another token signed.
    let good = browser.cookie.clone().unwrap();
    for bad in [
        format!("{good}0"),
        good.replace("casebridge=", "casebridge=9"),
        "casebridge=".to_owned(),
        "casebridge=1.2.3".to_owned(),
    ] {
        browser.cookie = Some(bad.clone());
        assert_eq!(browser.get("/cases").await.status, 303, "{bad}");
    }
    browser.cookie = Some(good);
    assert_eq!(browser.get("/cases").await.status, 200);
    // The cookie opens the pages and nothing else.
    let json = browser.ask(Method::GET, "/api/global", &[("accept", "*/*")], &[]).await;
    assert_eq!(json.status, 401);
    let done = browser.send(&path, &[("token", &token), ("reason", "maintenance")]).await;
    assert_eq!(done.location, Some(format!("{pair}?done=pause")), "{}", done.text);
    let order = world.mapping().await.state.operator_pause.unwrap();
    assert_eq!(
        (order.by.as_str(), order.reason.as_deref()),
        ("the holder of the admin token (page)", Some("maintenance"))
    );
    let out = browser.send("/signout", &[]).await;
    assert!(out.cookie.unwrap().contains("Max-Age=0"));
    world.clock().advance(Duration::hours(9));
    assert_eq!(browser.get("/cases").await.status, 303, "the sign-in has expired");
}

#[tokio::test]
async fn without_a_token_a_page_opens_on_this_machine_only_and_says_why_not() {
    let world = World::new(&JiraKind).await;
    let browser = Browser::new(world.service);
    for (headers, status) in [
        (&[] as &[(&str, &str)], 200),
        (&[("sec-fetch-site", "none")], 200),
        (&[("sec-fetch-site", "same-origin")], 200),
        (&[("sec-fetch-site", "cross-site")], 401),
        (&[("via", "1.1 proxy")], 401),
        (&[("x-real-ip", "203.0.113.7")], 401),
        (&[("x-forwarded-host", "cases.example")], 401),
        (&[("forwarded", "for=203.0.113.7")], 401),
        (&[("host", "cases.example")], 401),
    ] {
        let answer = browser.ask(Method::GET, "/", headers, &[]).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text);
        if status == 401 {
            assert_shows(&answer, &["server.admin_token"]);
        }
    }
    let proxied = browser.ask(Method::GET, "/", &[("via", "1.1 proxy")], &[]).await;
    assert_shows(&proxied, &["a proxy passed the request on (header via)"]);
}

#[tokio::test]
async fn an_unknown_address_and_a_wrong_method_are_a_page_to_a_browser_and_a_problem_to_all_others() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    // Nobody is signed in.
    let browser = Browser::new(world.another_instance(Platform::Local, Some(ADMIN)).await);
    for (method, path, status, title) in [
        (Method::GET, "/nowhere", 404, "There is nothing here"),
        (Method::GET, "/%3Cscript%3Ealert(1)%3C/script%3E?q=%3Cb%3E", 404, "There is nothing here"),
        (Method::POST, "/assets/none.css", 404, "There is nothing here"),
        (Method::GET, "/signout", 405, "This method is not allowed here"),
        (Method::DELETE, "/cases/1", 405, "This method is not allowed here"),
        (Method::GET, "/tasks/poll-google", 405, "This method is not allowed here"),
    ] {
        let page = browser.ask(method.clone(), path, &[], &[]).await;
        assert_eq!((page.status, page.location.as_deref()), (status, None), "{path}: {}", page.text);
        assert!(page.policy.is_some_and(|policy| policy.starts_with("default-src 'none'")), "{path}");
        // The whole content: the way back, and nothing of the address or of a case.
        let main = format!("<h1>{title}</h1><p><a href=\"/\">Back to the overview</a></p></main>");
        assert!(page.text.contains(&main), "{path}: {}", page.text);
        for hidden in ["script", "Sign out", "SUP-1", "nowhere"] {
            assert!(!page.text.contains(hidden), "{path}: {hidden}: {}", page.text);
        }
        for accept in ["*/*", "application/json", "application/problem+json, application/json;q=0.9"] {
            let problem = browser.ask(method.clone(), path, &[("accept", accept)], &[]).await;
            let shown: Value = serde_json::from_str(&problem.text).unwrap();
            assert_eq!((problem.status, &shown["title"]), (status, &json!(title)), "{path}, {accept}");
            assert_eq!((problem.policy, shown["status"].as_u64()), (None, Some(u64::from(status))));
        }
    }
}

#[tokio::test]
async fn a_pair_says_why_a_file_or_a_comment_is_not_carried_and_when_it_is_tried_again() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    let browser = Browser::new(world.service);
    let refuses = |status, text: &str| {
        let body = json!({ "errorMessages": [text] }).to_string();
        Fault::always(Effect::ErrorBefore { status, body: Some(body) })
    };
    // A file that Jira can never take is explained at once, and the reason is kept.
    world.trouble(Call::Attach, refuses(413, "the quota of <b>SUP</b> is used up"));
    let file = world.google_attaches(&google, "core.dump", b"x");
    world.run_for(Duration::minutes(3)).await;
    let page = browser.get(&format!("/cases/{}", world.mapping().await.id)).await;
    let line = format!("file {file} of the Google case, explained on the company case");
    assert_shows(
        &page,
        &["Not carried, and explained", &line, "the quota of &lt;b&gt;SUP&lt;/b&gt; is used up"],
    );
    // A comment that it refuses is tried on, and the page says how often, when and what to do.
    world.trouble(Call::Comment, refuses(403, "You may not comment here"));
    let comment = world.google_says(&google, "Is it slow?");
    world.run_for(Duration::minutes(3)).await;
    let mapping = world.mapping().await;
    let [refusal] = mapping.state.refusals.as_slice() else { panic!("{mapping:#?}") };
    assert!(refusal.tries > 1, "{refusal:?}");
    let page = browser.get(&format!("/cases/{}", mapping.id)).await;
    let line =
        format!("comment {comment} of the Google case, to be written on the company case: Jira: POST ");
    let tries = format!("{} tries, the first at", refusal.tries);
    let grant = "<strong>Do: </strong>grant the connector's user &quot;Add Comments&quot;";
    assert_shows(&page, &["Still tried: ", &line, "You may not comment here (HTTP 403)<", &tries, grant]);
    assert_shows(&page, &[", the last one at", "; the next one by"]);
    assert!(!page.text.contains("Repair the cause"), "the error has a remedy of its own: {}", page.text);
    // The interface and the command line say the same.
    let url = format!("http://{}/api/v1/mappings/{company}", world.service);
    let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let pair = &answer["mappings"][0];
    assert_eq!(pair["explained"][0]["what"], json!({ "attachment": { "id": file } }), "{pair}");
    let shown = &pair["refusals"][0];
    assert_eq!(
        (&shown["remedy"], &shown["tries"]),
        (&json!(refusal.remedy), &json!(refusal.tries)),
        "{pair}"
    );
    for time in [&shown["tried_at"], &shown["next_try"], &pair["next_try"]] {
        assert!(time.is_string(), "{pair}");
    }
    let remedy = refusal.remedy.as_deref().unwrap();
    assert!(pair["remedy"].as_str().unwrap().starts_with(remedy), "{pair}");
    assert!(pair["last_error"].as_str().unwrap().ends_with(remedy), "{pair}");
    assert_eq!(pair["failing"]["remedy"], remedy);
    // While nothing is carried, nothing is tried.
    browser.act(&mapping, "pause", &[]).await;
    let page = browser.get(&format!("/cases/{}", mapping.id)).await;
    assert_shows(&page, &["; not tried while nothing is carried"]);
    assert!(!page.text.contains("the next one"), "{}", page.text);
}

#[tokio::test]
async fn a_failing_poll_has_its_remedy_in_a_line_of_its_own() {
    let world = World::new(&JiraKind).await;
    let browser = Browser::new(world.service);
    world.pair().await;
    let page = browser.get("/").await;
    // The embedded cron asks for Google's poll here, and another one for the company's.
    assert_shows(&page, &["<th scope=\"row\">Polled</th><td>every minute</td><td>whenever cron asks for it"]);
    world.company_faults().add(Fault::always(Effect::ErrorBefore { status: 401, body: None }));
    world.run_for(Duration::minutes(2)).await;
    let page = browser.get("/").await;
    let what = "<p><strong>Do: </strong>no credentials are configured: give company.jira.client_id";
    assert_shows(&page, &["The polls of Jira fail", "(HTTP 401).</p>", what]);
    let report = world.post("poll-company", json!({})).await.1;
    let remedy = report["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("no credentials are configured"), "{report}");
    assert!(report["detail"].as_str().unwrap().ends_with(remedy), "{report}");
}

#[tokio::test]
async fn a_pair_on_which_a_sync_works_has_no_writes_without_an_answer() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    let browser = Browser::new(world.service);
    let now = world.clock().now();
    let until = now + Duration::minutes(1);
    let mapping = change(&world, |mapping| {
        mapping.pending_creation = Some(PendingCreation { side: Side::Company, attempted_at: now });
        mapping.lease = Some(Lease { holder: "a task".to_owned(), expires_at: until });
    })
    .await;
    let path = format!("/cases/{}", mapping.id);
    let page = browser.get(&path).await;
    assert_shows(&page, &["Being written now", "creation of the company case, sent by"]);
    assert!(!page.text.contains("without an answer"), "{}", page.text);
    world.clock().advance(Duration::minutes(2));
    let page = browser.get(&path).await;
    assert_shows(&page, &["Writes without an answer", "They are searched for"]);
}

#[tokio::test]
async fn sync_and_dry_run_work_from_the_page() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    world.google_says(&google, "now please");
    let mapping = world.mapping().await;
    let browser = Browser::new(world.service);
    let plan = browser.act(&mapping, "dry-run", &[]).await;
    assert_eq!(plan.status, 200);
    assert_shows(&plan, &["Nothing was changed", "copy comment"]);
    assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
    let synced = browser.act(&mapping, "sync", &[]).await;
    assert_eq!(synced.location, Some(format!("/cases/{}?done=synced", mapping.id)), "{}", synced.text);
    assert_eq!(world.copies_in_crm(&company).await, ["now please"]);
    assert_shows(&browser.get(&synced.location.unwrap()).await, &["Synced: both sides"]);
    for (path, status) in [("/cases/99", StatusCode::NOT_FOUND), ("/cases/x", StatusCode::BAD_REQUEST)] {
        assert_eq!(browser.get(path).await.status, status.as_u16(), "{path}");
    }
}

#[tokio::test]
async fn sync_now_waits_for_a_sync_that_works_on_the_pair() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    world.google_says(&google, "now please");
    let expires_at = world.clock().now() + Duration::minutes(1);
    let lease = |lease: Option<Lease>| change(&world, move |mapping| mapping.lease.clone_from(&lease));
    let mapping = lease(Some(Lease { holder: "a recheck".to_owned(), expires_at })).await;
    let browser = Browser::new(world.service);
    let by_hand = async {
        let body = json!({ "case_name": google });
        (browser.act(&mapping, "sync", &[]).await, world.post("sync-google-case", body).await)
    };
    let other = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        lease(None).await;
    };
    let ((synced, (status, report)), ()) = tokio::join!(by_hand, other);
    assert_eq!(synced.location, Some(format!("/cases/{}?done=synced", mapping.id)), "{}", synced.text);
    assert_eq!((status, &report["outcome"]), (200, &json!("done")), "{report}");
    assert_eq!(world.copies_in_crm(&company).await, ["now please"]);
}

#[tokio::test]
async fn each_action_is_a_form_of_the_page() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    let comment = world.google_says(&google, "leave this out");
    let browser = Browser::new(world.service);
    for (action, fields, status, shown) in [
        (
            "skip",
            &[("item", comment.as_str()), ("reason", "broken")] as &[_],
            303,
            &["Skipped", "broken"] as &[_],
        ),
        ("skip", &[("item", comment.as_str()), ("reason", "again")], 409, &[]),
        ("skip", &[("item", comment.as_str()), ("reason", " ")], 400, &[]),
        ("retry", &[], 303, &["queued"]),
        (
            "pause",
            &[("reason", "a migration")],
            303,
            &["paused by somebody at this machine", "a migration", "Resume"],
        ),
        ("retry", &[], 409, &[]),
        ("resume", &[], 303, &["Resumed."]),
        ("unlink", &[("reason", "a mistake")], 303, &["unlinked by somebody at this machine", "Resume"]),
        ("dance", &[], 404, &[]),
    ] {
        let mapping = world.mapping().await;
        let answer = browser.act(&mapping, action, fields).await;
        assert_eq!(answer.status, status, "{action}: {}", answer.text);
        if let Some(location) = answer.location {
            assert_eq!(location, format!("/cases/{}?done={action}", mapping.id));
            assert_shows(&browser.get(&location).await, shown);
        }
    }
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
    assert_shows(&browser.get("/").await, &["Paused and unlinked (1)", "a mistake"]);
}

#[tokio::test]
async fn two_cases_are_linked_from_the_overview_and_a_refusal_says_what_to_do() {
    let world = World::new(&JiraKind).await;
    let google = world.google_case("Disk is slow");
    world.desk.opens(NewCompanyCase::new("The disk is slow")).await;
    let browser = Browser::new(world.service);
    let overview = browser.get("/").await;
    assert_shows(
        &overview,
        &["Link two cases", "<label for=\"link-google\">", "<label for=\"link-company\">"],
    );
    let token = form_token(&overview.text);
    let send = async |token: &str, google: &str, company: &str| {
        let form = [("token", token), ("google", google), ("company", company), ("reason", "opened twice")];
        browser.send("/cases/link", &form).await
    };
    assert_eq!(send("", &google, "SUP-1").await.status, 403);
    assert_eq!(send(&token, " ", "SUP-1").await.status, 400);
    assert_eq!(world.mappings().await.len(), 0);
    let unseen = send(&token, &google, "SUP-99").await;
    assert_eq!(unseen.status, 409);
    assert_shows(&unseen, &["<h1>The pair does not allow this</h1>", "shows no company case SUP-99"]);
    let linked = send(&token, &google, "SUP-1").await;
    let pair = format!("/cases/{}", world.mapping().await.id);
    assert_eq!(linked.location, Some(format!("{pair}?done=link-unflagged")), "{}", linked.text);
    let page = browser.get(&linked.location.unwrap()).await;
    assert_shows(&page, &["set its flag now", "by somebody at this machine (opened twice)"]);
    assert_eq!(send(&token, &google, "SUP-1").await.location, Some(format!("{pair}?done=was-linked")));
}

#[tokio::test]
async fn the_page_of_a_pair_shows_what_would_happen_now_only_if_asked() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    let comment = world.google_says(&google, "what would happen");
    let browser = Browser::new(world.service);
    let path = format!("/cases/{}", world.mapping().await.id);
    world.company_faults().clear_calls();
    let page = browser.get(&path).await;
    assert_shows(&page, &["What would happen now", "Show the plan"]);
    assert!(world.company_faults().calls().is_empty(), "it costs calls");
    let page = browser.get(&format!("{path}?plan=1")).await;
    assert_shows(
        &page,
        &["Nothing was changed.", "From Google", "copy comment", &comment, "Show the plan again"],
    );
    assert!(!page.text.contains("what would happen<"), "no content of a comment is shown");
    assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
    assert_eq!(browser.get(&format!("{path}?plan=yes")).await.status, 400);
}

#[tokio::test]
async fn the_overview_draws_the_last_day_with_words_for_whoever_does_not_see_it() {
    let world = World::new(&JiraKind).await;
    let (google, _) = world.pair().await;
    let browser = Browser::new(world.service);
    assert_shows(
        &browser.get("/").await,
        &["since it started at 09:00 UTC", "No comment and no file was carried yet."],
    );
    world.google_says(&google, "one");
    world.google_attaches(&google, "log.txt", b"a log");
    world.settle().await;
    let page = browser.get("/").await;
    assert_shows(
        &page,
        &[
            "1 comment and 1 file, to both sides.",
            "Of 2 comments and files, half arrived within ",
            "<svg class=\"plot\" viewBox=\"0 0 320 150\" role=\"img\" aria-labelledby=\"plot-latency-t plot-latency-d\">",
            "<title id=\"plot-carried-t\">Carried each hour</title>",
            "<caption>Carried each hour</caption>",
            "09:00 UTC",
        ],
    );
    assert!(!page.text.contains(" style="), "{}", page.text);
    // A day later, nothing of it is left.
    world.clock().advance(Duration::hours(25));
    assert_shows(&browser.get("/").await, &["0 comments and 0 files, to both sides."]);
}

#[tokio::test]
async fn a_whole_title_of_either_case_finds_its_pair() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    let (browser, id) = (Browser::new(world.service), world.mapping().await.id);
    let found = browser.get("/?q=+Disk+is+slow").await;
    assert_eq!(found.location, Some(format!("/cases/{id}")), "{}", found.text);
    let none = browser.get("/?q=Disk+i").await;
    assert_shows(&none, &["No pair has the case", "none has all of these words in one title"]);
    let list = async |query: &str| listed(&world, query).await;
    assert_eq!(list("title=Disk%20is%20slow").await[0]["googleCaseName"], json!(google));
    assert_eq!(list("title=disk").await, Vec::<Value>::new());
    world.desk.retitles(&company, "Renamed").await;
    world.run_for(Duration::minutes(10)).await;
    assert_eq!((list("title=Renamed").await.len(), list("title=Disk%20is%20slow").await.len()), (1, 0));
}

/// Returns the pairs that `/api/v1/mappings` lists for a query.
async fn listed(world: &World, query: &str) -> Vec<Value> {
    let url = format!("http://{}/api/v1/mappings?{query}", world.service);
    let answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    answer["mappings"].as_array().unwrap_or_else(|| panic!("{answer}")).clone()
}

#[tokio::test]
async fn words_of_a_title_find_pairs_of_every_state() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    let browser = Browser::new(world.service);
    let first = world.mapping().await.id;
    for query in ["SLOW+disk", "disk", "%E2%80%9CDisk%E2%80%9D"] {
        let found = browser.get(&format!("/?q={query}")).await;
        assert_eq!(found.location, Some(format!("/cases/{first}")), "{query}: {}", found.text);
        assert_eq!(listed(&world, &format!("words={query}")).await[0]["googleCaseName"], json!(google));
    }
    for query in ["slo", "slow+tape", "%E2%80%9C", ""] {
        assert_eq!(listed(&world, &format!("words={query}")).await, Vec::<Value>::new(), "{query}");
    }
    // A case whose counterpart cannot be created: the pair that people look for most.
    world.trouble(Call::Create, Fault::always(Effect::ErrorBefore { status: 500, body: None }));
    let stuck = world.google_case("Quota of the disk is used up");
    world.run_for(Duration::minutes(5)).await;
    let found = listed(&world, "words=quota").await;
    assert_eq!((found.len(), &found[0]["googleCaseName"]), (1, &json!(stuck)), "{found:?}");
    assert!(!found[0]["last_error"].is_null() && found[0]["companyCaseID"].is_null(), "{found:?}");
    // Several: a list with their states.
    let several = browser.get("/?q=disk").await;
    assert_shows(&several, &["<h2>Found</h2>", &format!("href=\"/cases/{first}\""), "failing", "in step"]);
    assert_eq!(listed(&world, "words=disk&filter=late").await.len(), 0);
    // Paused, unlinked and closed pairs are found as well. A word of the old title does not find the new one.
    world.company_faults().clear();
    world.desk.retitles(&company, "Renamed: disque très lent").await;
    world.run_for(Duration::minutes(10)).await;
    assert_eq!(
        (listed(&world, "words=slow").await.len(), listed(&world, "words=TR%C3%88S").await.len()),
        (0, 1)
    );
    for action in ["pause", "unlink"] {
        let url = format!("http://{}/api/v1/mappings/{company}/{action}", world.service);
        let done = reqwest::Client::new().post(url).send().await.unwrap();
        assert_eq!(done.status(), 200, "{action}");
        assert_eq!(listed(&world, "words=lent+disque").await.len(), 1, "{action}");
    }
}

/// A pair of a database from before the words of titles were kept, and one whose titles are not carried.
#[tokio::test]
async fn an_older_pair_is_found_after_its_next_change_and_no_sync_writes_for_it() {
    let mut options = Options::default();
    options.rules.switches.title = false;
    let world = World::with(&JiraKind, options).await;
    let (google, company) = world.pair().await;
    world.run_for(Duration::minutes(45)).await;
    assert_eq!(listed(&world, "words=slow").await.len(), 1, "the switch is off");
    let without = modify(world.store.as_ref(), world.mapping().await, |mapping| {
        mapping.state.title_words = Sides::default();
        true
    });
    let version = without.await.unwrap().unwrap().version;
    assert_eq!(world.post("sync-google-case", json!({ "case_name": google })).await.0, 200);
    world.run_for(Duration::minutes(45)).await;
    assert_eq!((world.mapping().await.version, listed(&world, "words=slow").await.len()), (version, 0));
    world.company_says(&company, "It is still slow").await;
    world.run_for(Duration::minutes(5)).await;
    assert_eq!(listed(&world, "words=slow").await.len(), 1);
    // Without the switch, each title is found as it is.
    world.csapi.set_display_name(&google, "Tape is slow").unwrap();
    world.run_for(Duration::minutes(10)).await;
    for words in ["tape", "disk"] {
        assert_eq!(listed(&world, &format!("words={words}")).await.len(), 1, "{words}");
    }
    assert_eq!(listed(&world, "words=tape+disk").await.len(), 0, "in two titles");
}

#[tokio::test]
async fn a_search_for_words_goes_on_behind_as_many_pairs_as_a_page_reads() {
    let world = World::new(&JiraKind).await;
    idle::open_mappings(&world, 2_050).await;
    let mut after = None;
    loop {
        let page = world.store.list(MappingFilter::All, after, 200).await.unwrap();
        after = page.next;
        if after.is_none() {
            let last = page.mappings.into_iter().next_back().unwrap();
            let noted = modify(world.store.as_ref(), last, |mapping| {
                mapping.state.title_words.company = TitleWords::of("The needle");
                true
            });
            noted.await.unwrap();
            break;
        }
    }
    let browser = Browser::new(world.service);
    let page = browser.get("/?q=Needle+%26+the").await;
    assert_eq!(page.status, 200);
    assert_shows(&page, &["None of the pairs that were looked at", "There are more pairs"]);
    let (_, rest) = page.text.split_once("<a href=\"/?q=").unwrap();
    let on = format!("/?q={}", rest.split('"').next().unwrap().replace("&amp;", "&"));
    let page = browser.get(&on).await;
    assert_shows(&page, &["<h2>Found</h2>"]);
    assert!(!page.text.contains("There are more pairs"), "{}", page.text);
    assert_eq!(browser.get("/?q=x&after=y").await.status, 400);
}

#[tokio::test]
async fn an_address_that_guesses_is_refused_for_a_minute_and_locks_nobody_else_out() {
    let world = World::new(&JiraKind).await;
    let at = world.another_instance(Platform::Local, Some(ADMIN)).await;
    // Linux takes every address of 127.0.0.0/8 for this machine.
    let from = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let http = Client::builder().redirect(redirect::Policy::none()).local_address(address);
        Browser { http: http.build().unwrap(), at, cookie: None }
    };
    let (stranger, operator) = (from("127.0.0.7"), from("127.0.0.8"));
    for _ in 0..5 {
        assert_eq!(stranger.send("/signin", &[("token", "guess")]).await.status, 403);
    }
    let refused = stranger.send("/signin", &[("token", ADMIN)]).await;
    assert_eq!((refused.status, refused.cookie.as_deref()), (429, None));
    assert_shows(&refused, &["5 wrong tokens within a minute", "Try again in", "<label for=\"token\">"]);
    let plain = [("accept", "*/*"), ("sec-fetch-site", "same-origin")];
    let problem = stranger.ask(Method::POST, "/signin", &plain, &[("token", "guess")]).await;
    assert_eq!(problem.status, 429);
    assert_shows(&problem, &["Too many wrong tokens"]);
    assert_eq!(operator.send("/signin", &[("token", ADMIN)]).await.status, 303);
    // What a proxy passes on may come from anybody: it is never refused, however many were wrong before.
    let passed_on = [("sec-fetch-site", "same-origin"), ("via", "1.1 proxy")];
    for _ in 0..15 {
        let wrong = stranger.ask(Method::POST, "/signin", &passed_on, &[("token", "guess")]).await;
        assert_eq!(wrong.status, 403);
    }
    assert_eq!(stranger.ask(Method::POST, "/signin", &passed_on, &[("token", ADMIN)]).await.status, 303);
    assert_eq!(operator.send("/signin", &[("token", ADMIN)]).await.status, 303, "later, and not refused");
    world.clock().advance(Duration::minutes(1));
    assert_eq!(stranger.send("/signin", &[("token", ADMIN)]).await.status, 303);
}

const AUDIENCE: &str = "/projects/123/apps/cases";

/// Identity-Aware Proxy: a key, and the address of its key set.
struct Proxy {
    key: EcdsaKeyPair,
    random: SystemRandom,
    keys_url: url::Url,
}

impl Proxy {
    async fn start() -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).unwrap();
        let point = key.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let keys = json!({ "keys": [
            { "kid": "first", "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y },
        ] });
        let router = Router::new().fallback(move || async move { Json(keys) });
        let keys_url = format!("http://{}/keys", serve(router).await).parse().unwrap();
        Self { key, random, keys_url }
    }

    fn token(&self, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let signature = self.key.sign(&self.random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

#[tokio::test]
async fn behind_identity_aware_proxy_its_signed_header_is_the_proof_and_the_log_has_a_name() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    let proxy = Proxy::start().await;
    let iap =
        Iap::new(AUDIENCE.to_owned(), vec!["Jane@example.com".to_owned()], proxy.keys_url.clone()).unwrap();
    let at = world.instance_behind_iap(iap, ADMIN).await;
    let browser = Browser::new(at);
    let now = world.deps.clock.now().timestamp();
    let header = json!({ "alg": "ES256", "typ": "JWT", "kid": "first" });
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = json!({
            "iss": "https://cloud.google.com/iap", "aud": AUDIENCE, "email": "jane@example.com",
            "sub": "accounts.google.com:1", "iat": now, "exp": now + 600,
        });
        change(&mut claims);
        claims
    };
    let good = proxy.token(&header, &claims(&|_| {}));
    let stranger = Proxy::start().await.token(&header, &claims(&|_| {}));
    let unsigned = format!("{}.", good.rsplit_once('.').unwrap().0);
    for (what, token, status) in [
        ("Jane", good.clone(), 200),
        ("somebody else", proxy.token(&header, &claims(&|c| c["email"] = json!("eve@example.com"))), 403),
        ("nobody", proxy.token(&header, &claims(&|c| c["email"] = json!(""))), 403),
        ("another audience", proxy.token(&header, &claims(&|c| c["aud"] = json!("/projects/9/apps/x"))), 403),
        ("another issuer", proxy.token(&header, &claims(&|c| c["iss"] = json!("https://evil.example"))), 403),
        ("long ago", proxy.token(&header, &claims(&|c| c["exp"] = json!(now - 120))), 403),
        ("from the future", proxy.token(&header, &claims(&|c| c["iat"] = json!(now + 120))), 403),
        ("another key", stranger, 403),
        ("an unknown key", proxy.token(&json!({ "alg": "ES256", "kid": "second" }), &claims(&|_| {})), 403),
        ("no signature", unsigned, 403),
        ("no algorithm", proxy.token(&json!({ "alg": "none", "kid": "first" }), &claims(&|_| {})), 403),
        ("another algorithm", proxy.token(&json!({ "alg": "RS256", "kid": "first" }), &claims(&|_| {})), 403),
        ("no token", "x".to_owned(), 403),
        ("nothing", String::new(), 403),
    ] {
        let headers = [("x-goog-iap-jwt-assertion", token.as_str()), ("via", "1.1 google")];
        let answer = browser.ask(Method::GET, "/cases", &headers, &[]).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text);
    }
    // Without the header nobody came through the proxy; and a service that does not stand behind it believes no header.
    assert_eq!(browser.get("/cases").await.status, 303);
    let elsewhere = Browser::new(world.another_instance(Platform::Local, Some(ADMIN)).await);
    let headers = [("x-goog-iap-jwt-assertion", good.as_str())];
    assert_eq!(elsewhere.ask(Method::GET, "/cases", &headers, &[]).await.status, 303);
    // A form needs its origin and its token, as with the cookie.
    let mapping = world.mapping().await;
    let page = browser.ask(Method::GET, &format!("/cases/{}", mapping.id), &headers, &[]).await;
    let token = form_token(&page.text);
    let path = format!("/cases/{}/pause", mapping.id);
    let from = |site: &'static str| [("x-goog-iap-jwt-assertion", good.as_str()), ("sec-fetch-site", site)];
    let form = [("token", token.as_str())];
    assert_eq!(browser.ask(Method::POST, &path, &from("cross-site"), &form).await.status, 403);
    assert_eq!(browser.ask(Method::POST, &path, &from("same-origin"), &[]).await.status, 403);
    assert_eq!(browser.ask(Method::POST, &path, &from("same-origin"), &form).await.status, 303);
    let order = world.mapping().await.state.operator_pause.unwrap();
    assert_eq!(order.by, "jane@example.com");
}
