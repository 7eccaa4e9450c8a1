//! The description at `/api/v1/openapi.json`: a valid OpenAPI document that has every route and nothing else, and whose schemas hold for
//! the answers of the service.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use boon::{Compiler, Draft, Schemas};
use casebridge::clock::Clock as _;
use casebridge::config::Platform;
use casebridge::entities::{
    CaseMapping, CompanyCaseId, Conflict, ConflictCause, Dirty, Explained, Failing, FirstSeen,
    GoogleCaseName, KnownCase, Lease, Missing, Notice, Order, PendingCreation, Priority, ReadOnly, Refusable,
    Refusal, Side, Sides, Skipped, Source,
};
use casebridge::http::{Access, ROUTES};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::tasks::{TaskKind, Verb, Which};
use chrono::Duration;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Map, Value, json};

use casebridge_testkit::harness::desk::NewCompanyCase;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{INTERNAL_TOKEN, World};

const ADMIN: &str = "the-admin-token";
/// Methods that a path of an OpenAPI document can have, but for `HEAD` and `OPTIONS`, which the router adds, and `TRACE`.
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
const META_SCHEMA: &str = include_str!("../fixtures/openapi/schema.yaml");
const ITSELF: &str = include_str!("../../src/http/openapi.json");

fn document() -> Value {
    serde_json::from_str(ITSELF).unwrap()
}

/// Returns the value that a reference within the document names, or the value itself if it is no reference.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let Some(reference) = value.get("$ref").and_then(Value::as_str) else { return value };
    let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leaves the document"));
    document.pointer(pointer).unwrap_or_else(|| panic!("{reference} names nothing"))
}

/// Calls `visit` with each value of the tree, and with the path to it.
fn walk<'a>(value: &'a Value, path: &str, visit: &mut impl FnMut(&str, &'a Value)) {
    visit(path, value);
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| walk(member, &format!("{path}/{name}"), visit));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| walk(item, &format!("{path}/{at}"), visit));
        }
        _ => {}
    }
}

/// Returns all operations: path, method, description.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let operations = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, found)| (path.as_str(), method.as_str(), found))
    });
    operations.collect()
}

/// Returns the names of an operation's parameters at a place: `path` or `query`.
fn parameters(operation: &Value, place: &str) -> BTreeSet<String> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let named = parameters.filter(|parameter| parameter["in"] == place);
    named.map(|parameter| parameter["name"].as_str().unwrap().to_owned()).collect()
}

/// Validates a value by a JSON Schema, with formats.
fn validate(schema: Value, value: &Value) -> Result<(), String> {
    let at = "http://casebridge.test/schema";
    let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
    compiler.set_default_draft(Draft::V2020_12);
    compiler.enable_format_assertions();
    compiler.add_resource(at, schema).map_err(|error| error.to_string())?;
    let index = compiler.compile(at, &mut schemas).map_err(|error| format!("{error:#}"))?;
    schemas.validate(value, index).map_err(|error| error.to_string())
}

/// Returns a schema with the components that its references name, so that it stands alone.
///
/// It also allows no member that is not described. To clients the document promises less: members may be added.
fn strict(document: &Value, schema: &Value) -> Value {
    let mut alone = schema.clone();
    alone["components"] = json!({ "schemas": document["components"]["schemas"] });
    close(&mut alone);
    alone
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.values_mut().for_each(close);
            if members.get("properties").is_some_and(|properties| !properties.is_array())
                && members.get("type").is_some_and(|kind| kind == "object")
            {
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

#[test]
fn the_description_is_an_openapi_document_of_this_version() {
    let document = document();
    let meta: Value = serde_saphyr::from_str(META_SCHEMA).unwrap();
    validate(meta, &document).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"), "src/http/openapi.json");
    // A spoilt one is told apart, so the check checks something.
    let mut spoilt = document.clone();
    spoilt["paths"]["/healthz"]["get"]["responses"]["200"] = json!({ "content": {} });
    assert!(validate(serde_saphyr::from_str(META_SCHEMA).unwrap(), &spoilt).is_err());
}

#[test]
fn every_reference_names_something_and_every_component_is_used() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, "", &mut |path, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(resolved(&document, value).is_object(), "{path}");
            used.insert(reference.trim_start_matches('#').to_owned());
        }
    });
    let requirements = operations(&document).into_iter().map(|(_, _, operation)| &operation["security"]);
    let schemes = requirements.chain([&document["security"]]).filter_map(Value::as_array).flatten();
    let schemes = schemes.flat_map(|scheme| scheme.as_object().unwrap().keys());
    used.extend(schemes.map(|name| format!("/components/securitySchemes/{name}")));
    let defined = document["components"].as_object().unwrap().iter().flat_map(|(kind, members)| {
        members.as_object().unwrap().keys().map(move |name| format!("/components/{kind}/{name}"))
    });
    assert_eq!(used, defined.collect::<BTreeSet<_>>());
}

#[test]
fn every_schema_is_one_and_every_member_is_described() {
    let document = document();
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        // No value is a whole document with this member; only a schema that is none has another error.
        let refused = validate(strict(&document, &schema), &json!({ "surely unknown": 1 }));
        let error = refused.expect_err(name);
        assert!(error.starts_with("jsonschema validation failed"), "{name}: {error}");
    }
    let mut silent = Vec::new();
    walk(&document, "", &mut |path, value| {
        let parent = path.rsplit('/').nth(1).unwrap_or_default();
        let is_described = value.get("description").is_some() || value.get("$ref").is_some();
        if value.is_object() && ["properties", "parameters", "responses"].contains(&parent) && !is_described {
            silent.push(path.to_owned());
        }
    });
    assert_eq!(silent, Vec::<String>::new());
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        assert!(
            operation["summary"].as_str().is_some_and(|summary| summary.ends_with('.')),
            "{method} {path}"
        );
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{method} {path}: the ID is taken");
    }
}

#[test]
fn each_list_of_names_is_the_programs_own() {
    let document = document();
    let names = |pointer: &str| -> BTreeSet<String> {
        let list = document.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let set = |names: &mut dyn Iterator<Item = &'static str>| -> BTreeSet<String> {
        names.map(str::to_owned).collect()
    };
    let tasks = || TaskKind::ALL.into_iter();
    let all = set(&mut tasks().map(TaskKind::name));
    assert_eq!(names("/paths/~1tasks~1{task}/post/parameters/0/schema/enum"), all);
    assert_eq!(names("/components/schemas/TaskName/enum"), all);
    let scheduled = set(&mut tasks().filter(|task| task.is_scheduled()).map(TaskKind::name));
    assert_eq!(names("/paths/~1cron~1{task}/get/parameters/0/schema/enum"), scheduled);
    let verbs = set(&mut Verb::NAMES.into_iter());
    assert_eq!(names("/paths/~1api~1v1~1mappings~1{case}~1{action}/post/parameters/1/schema/enum"), verbs);
    assert_eq!(names("/components/schemas/ActionDone/properties/action/enum"), verbs);
    let on_page = &verbs | &set(&mut ["sync", "dry-run"].into_iter());
    assert_eq!(names("/paths/~1cases~1{id}~1{action}/post/parameters/1/schema/enum"), on_page);
    let which = set(&mut Which::ALL.into_iter().map(|(name, _)| name));
    assert_eq!(names("/paths/~1api~1v1~1mappings/get/parameters/1/schema/enum"), which);
    assert_eq!(names("/paths/~1cases/get/parameters/1/schema/enum"), which);
}

/// Returns a path of the table with a value for each of its parameters that names nothing.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_is_described_with_its_methods_parameters_and_callers_and_nothing_else_is() {
    let document = document();
    let world = World::new(&JiraKind).await;
    let at = world.another_instance(Platform::Local, Some(ADMIN)).await;
    let described: BTreeSet<&str> =
        document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(described, ROUTES.iter().map(|(_, path, _)| *path).collect());
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for (_, path, access) in ROUTES {
        for method in METHODS {
            let Some(operation) = document["paths"][path].get(method) else {
                assert_eq!(
                    ask(&client, at, method, &filled(path)).await.0,
                    405,
                    "{method} {path} is not described"
                );
                continue;
            };
            let (status, problem) =
                ask(&client, at, method, &format!("{}?surely_unknown=1", filled(path))).await;
            assert_ne!(status, 405, "{method} {path}");
            let in_path = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
            assert_eq!(
                parameters(operation, "path"),
                in_path.map(str::to_owned).collect(),
                "{method} {path}"
            );
            // The service ignores parameters on one route only, and says on all others which it knows.
            let known =
                problem["detail"].as_str().and_then(|detail| detail.split_once("this endpoint takes "));
            let known = match known {
                None => {
                    assert_eq!(*access, Access::Signed, "{method} {path}: {problem}");
                    BTreeSet::new()
                }
                Some((_, "none")) => BTreeSet::new(),
                Some((_, names)) => names.split(", ").map(str::to_owned).collect(),
            };
            assert_eq!(parameters(operation, "query"), known, "{method} {path}");
            let schemes = |value: &Value| -> Vec<String> {
                let alternatives = value.as_array().unwrap().iter();
                alternatives.flat_map(|scheme| scheme.as_object().unwrap().keys().cloned()).collect()
            };
            let security = operation.get("security").unwrap_or(&document["security"]);
            let expected = match access {
                Access::Open if *path == "/" => vec!["identityAwareProxy", "signIn", "adminToken"],
                Access::Open | Access::Signed => Vec::new(),
                Access::Operators => vec!["identityAwareProxy", "signIn", "adminToken"],
                Access::People | Access::Tasks | Access::Cron => vec!["adminToken"],
            };
            assert_eq!(schemes(security), expected, "{method} {path}");
        }
    }
}

/// Sends a request as a person with the admin token; returns the status, and the body if it is JSON.
async fn ask(client: &Client, at: SocketAddr, method: &str, path: &str) -> (u16, Value) {
    let method: Method = method.to_uppercase().parse().unwrap();
    let response =
        client.request(method, format!("http://{at}{path}")).bearer_auth(ADMIN).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

/// Returns the titles of all errors that the sources of the HTTP interface have.
fn titles_in(folder: &Path, titles: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            titles_in(&path, titles);
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let after_status = text.split("StatusCode::").skip(1).filter_map(|rest| rest.split_once(", \""));
        let after_status = after_status.filter(|(name, _)| {
            *name != "OK" && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_')
        });
        let of_variable = text.split("Problem::new(status, \"").skip(1);
        let rests = after_status.map(|(_, rest)| rest).chain(of_variable);
        // A detail begins with a small letter.
        let found = rests.filter_map(|rest| rest.split('"').next());
        titles.extend(found.filter(|text| text.starts_with(char::is_uppercase)).map(str::to_owned));
    }
}

#[test]
fn every_error_is_described_by_its_title() {
    let mut titles = BTreeSet::new();
    titles_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut titles);
    assert!(titles.len() > 30, "{titles:?}");
    let document = document();
    let listed = &document["components"]["schemas"]["Problem"]["properties"]["title"]["examples"];
    let listed: BTreeSet<String> =
        listed.as_array().unwrap().iter().map(|title| title.as_str().unwrap().to_owned()).collect();
    assert_eq!(listed, titles);
    // A title between backticks in a description is one of them, and each stands in one.
    let mut quoted = BTreeSet::new();
    walk(&document, "", &mut |path, value| {
        if let (true, Some(text)) = (path.ends_with("/description"), value.as_str()) {
            let words = text.split('`').skip(1).step_by(2);
            // Not `GET /healthz`, nor a header with its value.
            let titles = words.filter(|word| {
                let mut letters = word.chars();
                let is_sentence = letters.next().is_some_and(char::is_uppercase)
                    && !letters.next().is_some_and(char::is_uppercase);
                is_sentence && word.contains(' ') && !word.contains("Bearer")
            });
            quoted.extend(titles.map(str::to_owned));
        }
    });
    assert_eq!(quoted, titles);
}

/// The description, and a client that holds each answer to it.
struct Described {
    document: Value,
    client: Client,
    /// Operations and statuses that were seen, such as `get /healthz 200`.
    seen: BTreeSet<String>,
}

impl Described {
    fn new() -> Self {
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { document: document(), client, seen: BTreeSet::new() }
    }

    /// Sends a request, and asserts that its answer has this status, and a media type and a body that are described. Returns the body as
    /// JSON, if it is that.
    async fn ask(
        &mut self,
        at: SocketAddr,
        (method, route): (&str, &str),
        path: &str,
        status: u16,
        add: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Value {
        let verb: Method = method.to_uppercase().parse().unwrap();
        let request = self.client.request(verb, format!("http://{at}{path}"));
        let answer = add(request).send().await.unwrap();
        let what = format!("{method} {route} {status}");
        assert_eq!(answer.status().as_u16(), status, "{what}: {path}");
        let media = answer.headers().get("content-type").map(|media| media.to_str().unwrap().to_owned());
        let names: Vec<String> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
        let text = answer.text().await.unwrap();
        let responses = &self.document["paths"][route][method]["responses"];
        let found =
            responses.get(status.to_string()).unwrap_or_else(|| panic!("{what} is not described: {text}"));
        let response = resolved(&self.document, found);
        for header in response["headers"].as_object().into_iter().flat_map(Map::keys) {
            assert!(names.contains(&header.to_lowercase()), "{what}: {header} is missing");
        }
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        match response.get("content").and_then(Value::as_object) {
            None => assert_eq!(text, "", "{what}"),
            Some(content) => {
                let media = media.unwrap_or_else(|| panic!("{what}: no media type"));
                let described =
                    content.get(&media).unwrap_or_else(|| panic!("{what}: {media} is not described"));
                let is_text = described["schema"]["type"] == "string";
                let body = if is_text { json!(text) } else { value.clone() };
                let schema = strict(&self.document, &described["schema"]);
                validate(schema, &body).unwrap_or_else(|error| panic!("{what}: {error}\n{body:#}"));
            }
        }
        self.seen.insert(what);
        value
    }

    async fn get(&mut self, at: SocketAddr, route: &str, path: &str, status: u16) -> Value {
        self.ask(at, ("get", route), path, status, |request| request).await
    }

    async fn post(&mut self, at: SocketAddr, route: &str, path: &str, body: Value, status: u16) -> Value {
        self.ask(at, ("post", route), path, status, |request| request.json(&body)).await
    }
}

const TASK: &str = "/tasks/{task}";
const PAIRS: &str = "/api/v1/mappings";
const PAIR: &str = "/api/v1/mappings/{case}";
const ACT: &str = "/api/v1/mappings/{case}/{action}";
const LINK: &str = "/api/v1/mappings/link";

#[tokio::test]
async fn the_answers_of_the_service_are_those_that_are_described() {
    let world = World::new(&JiraKind).await;
    let at = world.service;
    let mut api = Described::new();
    api.get(at, "/healthz/sync", "/healthz/sync", 500).await;
    let (google, company) = world.pair().await;
    for (route, path, status) in [
        ("/healthz", "/healthz", 200),
        ("/healthz", "/healthz?x=1", 400),
        ("/readyz", "/readyz", 200),
        ("/healthz/sync", "/healthz/sync", 200),
        ("/metrics", "/metrics", 200),
        ("/api/global", "/api/global", 200),
        ("/api/check", "/api/check", 200),
        ("/api/v1/openapi.json", "/api/v1/openapi.json", 200),
        ("/", "/", 200),
        ("/assets/page.css", "/assets/page.css", 200),
        ("/signin", "/signin", 200),
        ("/cases", "/cases", 200),
        ("/cases/{id}", "/cases/1", 200),
        ("/cases/{id}", "/cases/1?plan=1", 200),
        ("/cases/{id}", "/cases/99", 404),
        ("/api/mappings", "/api/mappings?filter=open&limit=1&after=0", 200),
        ("/api/mappings", "/api/mappings?case=SUP-1", 200),
        ("/api/mappings", "/api/mappings?limit=x", 400),
        ("/api/mappings/{id}", "/api/mappings/1", 200),
        ("/api/mappings/{id}", "/api/mappings/99", 404),
        (PAIRS, "/api/v1/mappings?filter=all", 200),
        (PAIRS, "/api/v1/mappings?title=Disk%20is%20slow", 200),
        (PAIRS, "/api/v1/mappings?words=slow%20disk", 200),
        (PAIRS, "/api/v1/mappings?filter=mine", 400),
        (PAIR, "/api/v1/mappings/SUP-1", 200),
        (PAIR, "/api/v1/mappings/99999", 404),
        (PAIR, "/api/v1/mappings/%ff", 400),
        ("/api/v1/dead-letters", "/api/v1/dead-letters?limit=two", 400),
        ("/cron/{task}", "/cron/poll-google", 200),
        ("/cron/{task}", "/cron/sync-google-case", 404),
    ] {
        api.get(at, route, path, status).await;
    }
    let page = |request: RequestBuilder| request.header("accept", "text/html");
    api.ask(at, ("get", "/"), "/", 200, page).await;
    let sync = json!({ "case_name": google });
    world.company_says(&company, "from the desk").await;
    for (path, body, status) in [
        ("/tasks/sync-company-case?dry_run=true", json!({ "case_id": company }), 200),
        ("/tasks/sync-company-case", json!({ "case_id": company }), 200),
        ("/tasks/sync-google-case", sync.clone(), 200),
        ("/tasks/poll-google", json!({}), 200),
        ("/tasks/poll-company?dry_run", json!({}), 200),
        ("/tasks/detect-outages", json!({}), 200),
        ("/tasks/cleanup?dry_run=true", json!({}), 200),
        ("/tasks/sync-google-case", json!({ "case_name": "organizations/123/cases/99" }), 404),
        ("/tasks/poll-everything", json!({}), 404),
        ("/tasks/sync-google-case", json!({ "case": google }), 400),
        ("/tasks/sync-google-case", json!({ "case_name": "1".repeat(70_000) }), 413),
    ] {
        api.post(at, TASK, path, body, status).await;
    }
    let other = world.google_case("Another");
    let alone = world.desk.opens(NewCompanyCase::new("Alone")).await;
    for (google, company, status) in
        [(&google, &company, 200), (&other, &company, 409), (&other, &alone, 200)]
    {
        let body = json!({ "google_case": google, "company_case": company, "reason": "a test" });
        api.post(at, LINK, LINK, body, status).await;
    }
    api.post(at, LINK, LINK, json!({ "google_case": google }), 400).await;
    api.post(at, LINK, LINK, json!({ "reason": "x".repeat(70_000) }), 413).await;
    let comment = world.google_says(&google, "not to be carried");
    for (action, body, status) in [
        ("retry", json!({}), 200),
        ("skip", json!({ "item": comment, "reason": "broken" }), 200),
        ("skip", json!({ "item": "77" }), 400),
        ("pause", json!({ "reason": "a migration", "item": null }), 200),
        ("pause", json!({}), 409),
        ("resume", json!({}), 200),
        ("pauze", json!({}), 404),
        ("unlink", json!({ "reason": "x".repeat(70_000) }), 413),
        ("unlink", json!({ "reason": "a mistake" }), 200),
    ] {
        api.post(at, ACT, &format!("{PAIRS}/{company}/{action}"), body, status).await;
    }
    api.get(at, PAIR, &format!("{PAIRS}/{}", google.replace('/', "%2F")), 200).await;
    // The service stays as strict about the form of a page as the page is described.
    api.post(at, "/signout", "/signout", json!({}), 403).await;
    api.post(at, "/push/{side}", "/push/google", json!({}), 404).await;
}

#[tokio::test]
async fn the_answers_to_wrong_callers_and_in_trouble_are_those_that_are_described() {
    let world = World::new(&JiraKind).await;
    let mut api = Described::new();
    let (google, company) = world.pair().await;
    let guarded = world.another_instance(Platform::Local, Some(ADMIN)).await;
    for (_, route, access) in ROUTES {
        if matches!(access, Access::Open | Access::Signed) {
            continue;
        }
        for (path, method, _) in operations(&document()).into_iter().filter(|(path, ..)| path == route) {
            api.ask(guarded, (method, path), &filled(path), 401, |request| request).await;
            if matches!(access, Access::People | Access::Operators) {
                let as_queue = |request: RequestBuilder| request.bearer_auth(INTERNAL_TOKEN);
                api.ask(guarded, (method, path), &filled(path), 403, as_queue).await;
            }
        }
    }
    let browser = |request: RequestBuilder| request.header("accept", "text/html");
    for (route, path) in [("/", "/"), ("/cases", "/cases"), ("/cases/{id}", "/cases/1")] {
        api.ask(guarded, ("get", route), path, 303, browser).await;
    }
    let form = |token: &'static str| {
        move |request: RequestBuilder| {
            request.header("sec-fetch-site", "same-origin").form(&[("token", token)])
        }
    };
    api.ask(guarded, ("post", "/signin"), "/signin", 303, form(ADMIN)).await;
    for status in [403, 403, 403, 403, 403, 429] {
        api.ask(guarded, ("post", "/signin"), "/signin", status, form("wrong")).await;
    }
    api.ask(guarded, ("post", "/signout"), "/signout", 303, form("")).await;
    let as_admin = |request: RequestBuilder| request.bearer_auth(ADMIN).form(&[("reason", "a migration")]);
    let cases = |request: RequestBuilder| {
        request.bearer_auth(ADMIN).form(&[("google", "organizations/123/cases/1"), ("company", "SUP-1")])
    };
    api.ask(guarded, ("post", "/cases/link"), "/cases/link", 409, cases).await;
    api.ask(guarded, ("post", "/cases/link"), "/cases/link", 400, as_admin).await;
    api.ask(guarded, ("post", "/cases/{id}/{action}"), "/cases/1/dry-run", 200, as_admin).await;
    api.ask(guarded, ("post", "/cases/{id}/{action}"), "/cases/1/pause", 303, as_admin).await;
    api.ask(guarded, ("post", "/cases/{id}/{action}"), "/cases/1/pause", 409, as_admin).await;
    api.ask(guarded, ("post", "/cases/{id}/{action}"), "/cases/1/none", 404, as_admin).await;
    api.ask(guarded, ("post", "/cases/{id}/{action}"), "/cases/1/skip", 400, as_admin).await;

    // A system that is down: the polls fail, and are given up.
    let at = world.service;
    api.post(at, ACT, &format!("{PAIRS}/{company}/resume"), json!({}), 200).await;
    world.company_faults().add(Fault::always(Effect::ErrorBefore { status: 500, body: None }));
    api.get(at, "/api/check", "/api/check", 500).await;
    api.post(at, TASK, "/tasks/sync-google-case", json!({ "case_name": google }), 500).await;
    api.get(at, PAIR, &format!("{PAIRS}/NONE-1"), 500).await;
    api.get(at, "/api/mappings", "/api/mappings?case=NONE-1", 500).await;
    world.run_for(Duration::minutes(15)).await;
    let failing = api.get(at, PAIRS, "/api/v1/mappings?filter=dirty", 200).await;
    assert!(failing["mappings"][0]["failing"]["tries"].as_u64().is_some_and(|tries| tries > 0), "{failing}");
    let letters = api.get(at, "/api/v1/dead-letters", "/api/v1/dead-letters", 200).await;
    assert!(!letters["dead_letters"].as_array().unwrap().is_empty(), "{letters}");
    api.get(at, "/healthz/sync", "/healthz/sync", 500).await;
    world.clock().advance(-Duration::hours(2));
    assert_eq!(api.get(at, "/healthz/sync", "/healthz/sync", 500).await["status"], "clock-set-back");
    let codes = api.seen.iter().map(|what| what.rsplit(' ').next().unwrap());
    assert!(codes.collect::<BTreeSet<_>>().len() >= 8, "{:?}", api.seen);
}

/// Returns a mapping that has something in each of its properties: more than one pair can have at once.
fn full(world: &World) -> CaseMapping {
    let now = world.clock().now();
    let google = GoogleCaseName::parse("organizations/123/cases/7").unwrap();
    let mut mapping = CaseMapping::first_seen(FirstSeen::Google(google), Some(Priority::P1), Some(now), now);
    let company = CompanyCaseId::parse("7").unwrap();
    mapping.linked_at = Some(now);
    mapping.state.company_case = Some(KnownCase {
        id: company.to_string(),
        key: Some("SUP-7".to_owned()),
        address: Some("https://jira.example/browse/SUP-7".to_owned()),
    });
    mapping.company_case_id = Some(company);
    mapping.resolved_at = Some(now);
    for side in Side::BOTH {
        mapping.move_stored_synced_at(side, now);
        mapping.dirty[side] = Some(Dirty::since(now));
    }
    mapping.outage_comment_sent_to_google = true;
    mapping.paused = true;
    mapping.gone = Some(Side::Company);
    mapping.lease = Some(Lease { holder: "a task".to_owned(), expires_at: now + Duration::minutes(1) });
    mapping.pending_creation = Some(PendingCreation { side: Side::Company, attempted_at: now });
    mapping.last_error = Some("no answer".to_owned());
    let order =
        || Box::new(Order { since: now, by: "jane".to_owned(), reason: Some("a migration".to_owned()) });
    let state = &mut mapping.state;
    state.operator_pause = Some(order());
    state.unlinked = Some(order());
    state.linked_by = Some(order());
    state.skipped = vec![Skipped {
        side: Side::Google,
        id: "77".to_owned(),
        since: now,
        by: "jane".to_owned(),
        reason: "broken".to_owned(),
    }];
    let missing = Missing { since: now, reads: 2, read_at: now };
    state.missing = Sides { google: Some(missing), company: Some(missing) };
    state.merged_into = Some("8".to_owned());
    state.conflict = Some(Conflict {
        reason: "it names another".to_owned(),
        since: now,
        told: true,
        cause: ConflictCause::Claim,
    });
    let read_only = || Some(ReadOnly { since: now, tried_at: now, told: true });
    state.read_only = Sides { google: read_only(), company: read_only() };
    state.failing = Some(Box::new(Failing {
        since: now,
        last_at: now,
        tries: 3,
        hangs: 1,
        repeats: true,
        remedy: Some("ask for less".to_owned()),
    }));
    state.warned = BTreeSet::from(["unknown-priority".to_owned()]);
    let notices = [
        Notice::NowSyncing,
        Notice::Outage,
        Notice::Resumed,
        Notice::CannotReopen,
        Notice::CounterpartGone,
        Notice::CounterpartBack,
        Notice::LeftOpen,
        Notice::Merged,
        Notice::GivenUp,
        Notice::ReadOnly,
        Notice::Conflict,
        Notice::NotEscalated,
    ];
    let items = notices.into_iter().map(Source::Notice).chain([
        Source::Comment { id: "77".to_owned(), part: 1 },
        Source::Attachment { id: "78".to_owned() },
        Source::Description { part: 2 },
        Source::Edit { id: "77".to_owned(), number: 1, part: 1 },
    ]);
    let changes = [Refusable::Priority, Refusable::Close, Refusable::Reopen, Refusable::LinkBack];
    let refusal = |what| Refusal {
        side: Side::Company,
        what,
        since: now,
        tries: 2,
        tried_at: now,
        reason: "it is too long".to_owned(),
        remedy: Some("shorten it".to_owned()),
        given_up: true,
    };
    state.explained = vec![Explained {
        side: Side::Company,
        what: Source::Attachment { id: "79".to_owned() },
        at: now,
        reason: "it is larger than the 10 bytes allowed there".to_owned(),
    }];
    state.refusals = items.map(Refusable::Item).chain(changes).map(refusal).collect();
    mapping
}

/// Appends the members of described objects that a value does not have, or has as null or empty.
fn absent(document: &Value, schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    let schema = resolved(document, schema);
    // The first alternative is the one that is not null.
    let schema = schema.get("oneOf").map_or(schema, |alternatives| resolved(document, &alternatives[0]));
    if let Some(items) = schema.get("items") {
        value.as_array().into_iter().flatten().for_each(|item| absent(document, items, item, path, found));
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let held = value.get(name).unwrap_or(&Value::Null);
        if held.is_null() || held.as_array().is_some_and(Vec::is_empty) {
            found.push(path);
        } else {
            absent(document, member, held, &path, found);
        }
    }
}

#[tokio::test]
async fn a_pair_with_everything_is_as_described_and_has_every_member_that_is() {
    let world = World::new(&JiraKind).await;
    world.store.create(full(&world)).await.unwrap();
    // What is tried again has a time for it, and then nobody has stopped the pair.
    let mut tried = full(&world);
    tried.google_case_name = GoogleCaseName::parse("organizations/123/cases/8").ok();
    tried.company_case_id = CompanyCaseId::parse("8").ok();
    (tried.paused, tried.gone) = (false, None);
    (tried.state.operator_pause, tried.state.unlinked, tried.state.conflict) = (None, None, None);
    tried.state.refusals.iter_mut().for_each(|refusal| refusal.given_up = false);
    world.store.create(tried).await.unwrap();
    let mut api = Described::new();
    let page = api.get(world.service, PAIRS, PAIRS, 200).await;
    api.get(world.service, "/api/mappings", "/api/mappings", 200).await;
    let schema = json!({ "$ref": "#/components/schemas/Mapping" });
    let absent_from = |mapping: &Value| {
        let mut found = Vec::new();
        absent(&api.document, &schema, mapping, "Mapping", &mut found);
        // An original is one of its members.
        found.retain(|path| !path.starts_with("Mapping.explained.what."));
        found.into_iter().collect::<BTreeSet<_>>()
    };
    let (stopped, tried) = (absent_from(&page["mappings"][0]), absent_from(&page["mappings"][1]));
    assert_eq!(stopped.intersection(&tried).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(stopped, ["Mapping.next_try", "Mapping.refusals.next_try"].map(str::to_owned).into());
    let kinds: BTreeMap<String, usize> = page["mappings"][0]["refusals"].as_array().unwrap().iter().fold(
        BTreeMap::new(),
        |mut kinds, refusal| {
            *kinds.entry(refusal["what"].to_string()).or_default() += 1;
            kinds
        },
    );
    assert_eq!(kinds.len(), 20, "{kinds:?}");
}
