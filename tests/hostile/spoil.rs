//! Answers that are not what they should be: a server passes each request on to a sandbox and spoils what it says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use proptest::prelude::*;
use serde_json::Value;
use tower::ServiceExt as _;

use casebridge_testkit::scripted::{Asked, Say, Scripted};

/// What is done to an answer.
#[derive(Debug, Clone)]
pub(crate) enum How {
    /// A part of the JSON is another: this text.
    Replace(String),
    /// A part of the JSON is missing.
    Drop,
    /// A part of the JSON is there so many times, in a list.
    Repeat(usize),
    /// A field has another name.
    Rename,
    /// Every text in the body that begins so (the quotation mark included) is another.
    Text { from: String, to: String },
    /// The body is this instead.
    Body(Vec<u8>),
    /// The body ends early, and the length fits.
    Shorten,
    /// A byte of the body is another.
    Byte(u8),
    /// The status is another.
    Status(u16),
    /// So is a header; the line as it stands on the wire.
    Header(String),
    /// The announced length is off by so much.
    Length(i64),
    /// The whole answer is this instead.
    Raw(Vec<u8>),
}

/// One thing that is wrong with some of the answers.
#[derive(Debug, Clone)]
pub(crate) struct Spoil {
    /// The first answer that it is done to, from 0.
    pub(crate) at: usize,
    /// To how many in a row.
    pub(crate) times: usize,
    pub(crate) how: How,
    /// Where in the answer: whatever remains of it after division by the number of places.
    pub(crate) place: usize,
}

/// What a [`Spoiler`] does next.
#[derive(Default)]
struct Plan {
    spoils: Vec<Spoil>,
    answers: usize,
    /// Every address in an answer leads here, and so do headers; with a status, every ordinary answer is that redirect.
    lead_to: Option<(String, Option<u16>)>,
}

/// What goes wrong, to be changed while the server runs.
#[derive(Default)]
pub(crate) struct Spoiler(Mutex<Plan>);

impl Spoiler {
    /// From the next answer on, these.
    pub(crate) fn begin(&self, spoils: Vec<Spoil>) {
        *self.0.lock().unwrap() = Plan { spoils, ..Plan::default() };
    }

    /// Every address in every answer leads there from now on; with `status`, each answer is a redirect to it.
    pub(crate) fn lead_to(&self, address: &str, status: Option<u16>) {
        *self.0.lock().unwrap() = Plan { lead_to: Some((address.to_owned(), status)), ..Plan::default() };
    }

    /// How many answers were given since then.
    pub(crate) fn answers(&self) -> usize {
        self.0.lock().unwrap().answers
    }

    fn next(&self) -> (Vec<Spoil>, Option<(String, Option<u16>)>) {
        let mut plan = self.0.lock().unwrap();
        let number = plan.answers;
        plan.answers += 1;
        let due = plan.spoils.iter().filter(|spoil| (spoil.at..spoil.at + spoil.times).contains(&number));
        (due.cloned().collect(), plan.lead_to.clone())
    }
}

/// Serves `router`, spoilt.
pub(crate) async fn serve(router: Router) -> (Scripted, Arc<Spoiler>) {
    let spoiler = Arc::new(Spoiler::default());
    let shared = Arc::clone(&spoiler);
    let server = Scripted::thinking(move |_, asked| {
        let (router, spoiler) = (router.clone(), Arc::clone(&shared));
        Box::pin(async move {
            let (spoils, lead_to) = spoiler.next();
            let answer = Answer::read(router.oneshot(request(asked)).await.unwrap()).await;
            let answer = match lead_to {
                Some((address, status)) => answer.leading_to(&address, status),
                None => answer,
            };
            answer.spoilt(&spoils)
        })
    })
    .await;
    (server, spoiler)
}

fn request(asked: Asked) -> Request<Body> {
    let mut request = Request::builder().method(asked.method.as_str()).uri(&asked.target);
    for (name, value) in &asked.headers {
        if name != "transfer-encoding" {
            request = request.header(name, value);
        }
    }
    request.body(Body::from(asked.body)).unwrap()
}

/// An answer on its way.
struct Answer {
    status: u16,
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Answer {
    async fn read(response: Response<Body>) -> Self {
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers
            .filter(|(name, _)| *name != "content-length" && *name != "transfer-encoding")
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default()))
            .collect();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
        Self { status, headers, body: body.to_vec() }
    }

    /// Names another server wherever an answer can.
    fn leading_to(mut self, address: &str, status: Option<u16>) -> Self {
        if let Ok(mut value) = serde_json::from_slice::<Value>(&self.body) {
            lead_astray(&mut value, address);
            self.body = value.to_string().into_bytes();
        }
        self.headers.retain(|header| !header.starts_with("location:"));
        for (name, value) in [
            ("link", format!("<{address}/next>; rel=\"next\", <{address}/up>; rel=\"up\"")),
            ("content-location", format!("{address}/content")),
            ("refresh", format!("0; url={address}/refresh")),
            ("alt-svc", format!("h2=\"{}\"", address.trim_start_matches("http://"))),
            ("location", format!("{address}/location/transaction/7")),
        ] {
            self.headers.push(format!("{name}: {value}"));
        }
        self.status = status.unwrap_or(self.status);
        self
    }

    fn spoilt(mut self, spoils: &[Spoil]) -> Say {
        let mut off = 0;
        for spoil in spoils {
            match &spoil.how {
                How::Raw(bytes) => return Say::raw(bytes.clone()),
                How::Body(bytes) => self.body.clone_from(bytes),
                How::Shorten => self.body.truncate(spoil.place % (self.body.len() + 1)),
                How::Byte(byte) => {
                    let length = self.body.len().max(1);
                    if let Some(spot) = self.body.get_mut(spoil.place % length) {
                        *spot = *byte;
                    }
                }
                How::Text { from, to } => self.body = with_texts(&self.body, from, to),
                How::Status(status) => self.status = *status,
                How::Header(line) => self.headers.push(line.clone()),
                How::Length(by) => off = *by,
                How::Replace(_) | How::Drop | How::Repeat(_) | How::Rename => {
                    if let Ok(value) = serde_json::from_slice(&self.body) {
                        self.body = changed(&value, spoil).into_bytes();
                    }
                }
            }
        }
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = i64::try_from(self.body.len()).unwrap() + off;
        let head = format!("{}content-length: {length}\r\n\r\n", Say::head(self.status, &headers));
        Say::raw([head.into_bytes(), self.body].concat()).then(Duration::ZERO, "")
    }
}

/// Every text that could be an address becomes one of that server, and each object gets some more.
fn lead_astray(value: &mut Value, address: &str) {
    const NAMES: [&str; 10] =
        ["url", "_url", "self", "next", "next_page", "nextPage", "href", "content_url", "content", "link"];
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let is_address = field.as_str().is_some_and(|text| text.starts_with("http"));
                if is_address || (NAMES.contains(&name.as_str()) && field.is_string()) {
                    // The path stays, so that what looks at no more than that goes on.
                    let path = field.as_str().and_then(|text| reqwest::Url::parse(text).ok());
                    let path = path.map_or_else(|| "/x".to_owned(), |url| url.path().to_owned());
                    *field = format!("{address}{path}").into();
                } else {
                    lead_astray(field, address);
                }
            }
            for name in ["url", "_url", "self", "next_page", "mapped_content_url"] {
                fields.entry(name).or_insert_with(|| format!("{address}/{name}").into());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lead_astray(item, address)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The JSON with other texts in the place of those that begin with `from`.
fn with_texts(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let body = String::from_utf8_lossy(body);
    let (mut out, mut rest) = (String::new(), body.as_ref());
    while let Some(at) = rest.find(from) {
        let start = at + 1;
        let end = rest[start..].find('"').map_or(rest.len(), |end| start + end);
        out.push_str(&rest[..start]);
        out.push_str(to);
        rest = &rest[end..];
        if let Some(after) = rest.strip_prefix('"') {
            out.push('"');
            rest = after;
        }
    }
    out.push_str(rest);
    out.into_bytes()
}

/// The JSON with one place changed.
fn changed(value: &Value, spoil: &Spoil) -> String {
    let mut writer = Writer { left: spoil.place % count(value), how: &spoil.how, out: String::new() };
    writer.write(value);
    writer.out
}

/// How many places there are: values, and with them fields.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Writes JSON, but for one place.
struct Writer<'a> {
    /// Places before that one.
    left: usize,
    how: &'a How,
    out: String,
}

impl Writer<'_> {
    fn write(&mut self, value: &Value) {
        let is_it = self.left == 0;
        self.left = self.left.wrapping_sub(1);
        if is_it {
            match self.how {
                How::Replace(text) => return self.out.push_str(text),
                How::Repeat(times) => {
                    let item = value.to_string();
                    self.out.extend(["[", &vec![item; *times].join(","), "]"]);
                    return;
                }
                _ => {}
            }
        }
        match value {
            Value::Array(items) => {
                self.out.push('[');
                let start = self.out.len();
                for item in items {
                    self.item(start, None, item);
                }
                self.out.push(']');
            }
            Value::Object(fields) => {
                self.out.push('{');
                let start = self.out.len();
                for (name, field) in fields {
                    self.item(start, Some(name), field);
                }
                self.out.push('}');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.out.push_str(&value.to_string());
            }
        }
    }

    fn item(&mut self, start: usize, name: Option<&str>, value: &Value) {
        let is_it = self.left == 0;
        if is_it && matches!(self.how, How::Drop) {
            self.left = usize::MAX;
            return;
        }
        if self.out.len() > start {
            self.out.push(',');
        }
        if let Some(name) = name {
            let name = if is_it && matches!(self.how, How::Rename) { "renamed" } else { name };
            self.out.extend([&Value::from(name).to_string(), ":"]);
        }
        self.write(value);
    }
}

/// Pieces of JSON that no honest server would put there.
fn pieces() -> Vec<String> {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let mut pieces: Vec<String> = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e400",
        "1e308",
        r#""""#,
        r#"" ""#,
        r#""\u0000""#,
        r#""\ud800""#,
        r#""a\r\nX-Injected: 1""#,
        r#""../../../etc""#,
        r#""%2e%2e/%00?x=#y""#,
        r#""-9223372036854775808""#,
        r#""9223372036854775807""#,
        r#""99999999999999999999999999""#,
        r#""+262142-12-31T23:59:59.999+0000""#,
        r#""-262143-01-01T00:00:00.000+0000""#,
        r#""+262142-12-31 23:59:59""#,
        r#""-262143-01-01 00:00:00""#,
        r#""9999-12-31T23:59:59.999999999Z""#,
        r#""0000-01-01T00:00:00Z""#,
        r#""0001-01-01T00:00:00+14:00""#,
        r#""9999-12-31T23:59:59-14:00""#,
        r#""2016-12-31T23:59:60Z""#,
        r#""2016-12-31 23:59:60""#,
        r#""2016-12-31T23:59:60.999+0000""#,
        r#""👩‍👩‍👧‍👦\u202e\ufeff\uffff""#,
        r#""[Google Comment 1 by x]\n""#,
        r#""CONTENT MIRRORED FROM COMPANY CASE 1:""#,
        "[]",
        "{}",
        "[null]",
        "[{}]",
        r#"{"id":null}"#,
        r#"{"id":1,"id":"2"}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    pieces.extend([nested(90), nested(150), nested(50_000)]);
    pieces.push(format!("\"{}\"", "x".repeat(300_000)));
    pieces.push(format!("\"{}\"", "<p>".repeat(30_000)));
    pieces.push(format!("\"{}\"", "&#x41;[~a]{*b*}".repeat(5_000)));
    pieces.push(format!("[{}0]", "0,".repeat(50_000)));
    pieces
}

fn raw() -> Vec<Vec<u8>> {
    let ok = |rest: &str| format!("HTTP/1.1 200 OK\r\n{rest}").into_bytes();
    vec![
        Vec::new(),
        b"HTTP/1.1".to_vec(),
        b"rubbish\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01".to_vec(),
        b"HTTP/1.1 999999 x\r\n\r\n".to_vec(),
        b"HTTP/3.7 200 OK\r\n\r\n{}".to_vec(),
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n{}".to_vec(),
        ok("no colon here\r\n\r\n{}"),
        ok("content-length: -1\r\n\r\n{}"),
        ok("content-length: 18446744073709551616\r\n\r\n{}"),
        ok("content-length: 2\r\ncontent-length: 3\r\n\r\n{}"),
        ok("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        ok("transfer-encoding: chunked\r\n\r\nzz\r\n{}"),
        ok("transfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n{}"),
        ok("transfer-encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        ok(&format!("x: {}\r\ncontent-length: 2\r\n\r\n{{}}", "y".repeat(1_000_000))),
        ok(&format!("{}content-length: 2\r\n\r\n{{}}", "x: y\r\n".repeat(20_000))),
        [b"HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000), ok("content-length: 2\r\n\r\n{}")].concat(),
    ]
}

fn headers() -> Vec<String> {
    let mut lines: Vec<String> = [
        "content-encoding: gzip",
        "content-encoding: br, zstd",
        "content-type: text/html; charset=utf-16",
        "content-type: ;;;=",
        "retry-after: -1",
        "retry-after: 18446744073709551615",
        "retry-after: 99999999999999999999999999",
        "retry-after: Fri, 31 Dec 9999 23:59:59 GMT",
        "retry-after: Mon, 01 Jan 0001 00:00:00 GMT",
        "retry-after: 1e9",
        "retry-after: \u{1f4a9}",
        "x-total-count: 18446744073709551615",
        "x-total-count: -1",
        "link: <>;rel=\"next\"",
        "location: ://",
        "location: /transaction/1/../../x",
        "set-cookie: a=b",
        "x-accountid: \u{7f}",
    ]
    .map(str::to_owned)
    .to_vec();
    lines.push(format!("link: {}", "<x>;rel=\"next\",".repeat(1_000)));
    lines
}

/// What can be done to an answer, all of it.
pub(crate) fn how() -> impl Strategy<Value = How> {
    let statuses = [
        200, 201, 202, 203, 204, 205, 206, 207, 226, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403,
        404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425,
        426, 428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 507, 508, 511, 520, 599, 600, 999,
    ];
    prop_oneof![
        12 => prop::sample::select(pieces()).prop_map(How::Replace),
        2 => "\\PC{0,40}".prop_map(|text| How::Replace(Value::from(text).to_string())),
        4 => Just(How::Drop),
        1 => prop::sample::select(vec![0, 1, 2, 50, 300]).prop_map(How::Repeat),
        1 => Just(How::Rename),
        1 => prop::collection::vec(any::<u8>(), 0..64).prop_map(How::Body),
        1 => prop::sample::select(pieces()).prop_map(|piece| How::Body(piece.into_bytes())),
        1 => Just(How::Shorten),
        1 => any::<u8>().prop_map(How::Byte),
        3 => prop::sample::select(statuses.to_vec()).prop_map(How::Status),
        2 => prop::sample::select(headers()).prop_map(How::Header),
        1 => prop::sample::select(vec![-1, 1, 1_000_000]).prop_map(How::Length),
        2 => prop::sample::select(raw()).prop_map(How::Raw),
    ]
}

/// One to four things that are wrong with some of the first `answers` answers.
pub(crate) fn spoils(answers: usize) -> impl Strategy<Value = Vec<Spoil>> {
    let times = prop_oneof![4 => Just(1_usize), 2 => 2..6_usize, 1 => Just(1_000_usize)];
    let spoil = (0..answers, times, how(), any::<u16>()).prop_map(|(at, times, how, place)| Spoil {
        at,
        times,
        how,
        place: usize::from(place),
    });
    prop::collection::vec(spoil, 1..5)
}
