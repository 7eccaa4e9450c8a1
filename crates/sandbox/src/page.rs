//! Common layout of the sandboxes' pages. They load nothing from other servers, and show everything that a person wrote as plain text.

use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::panel::PATH;

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #1a66c2; --on-accent: #fff; --dim: #505a66; --edge: #6b7683; --ground: #fff; --ink: #17202b; }
@media (prefers-color-scheme: dark) { :root { --accent: #8ec1ff; --on-accent: #0b1826; --dim: #b4bfcb; --edge: #8b97a5; --ground: #10151b; --ink: #e8edf3; } }
* { box-sizing: border-box; }
html { background: var(--ground); color: var(--ink); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 0 1rem 4rem; }
header { display: flex; flex-wrap: wrap; gap: .2rem 1rem; align-items: baseline; border-bottom: 1px solid var(--line); padding: .8rem 0; }
header a { font-weight: 600; text-decoration: none; }
header span { color: var(--dim); flex: 1; }
h1 { font-size: 1.4rem; line-height: 1.3; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin-top: 2rem; }
a { color: var(--accent); }
a, code { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th { font-weight: 600; white-space: nowrap; }
td:first-child { white-space: nowrap; }
.badge { background: var(--soft); border-radius: 1rem; padding: .1rem .6rem; white-space: nowrap; font-size: .85rem; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; font: inherit; margin: .3rem 0; }
.comment { border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .8rem; margin: .6rem 0; }
.comment.theirs { background: var(--soft); }
.by { font-size: .85rem; color: var(--dim); overflow-wrap: anywhere; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: end; margin: .6rem 0; }
form.inline { display: inline-flex; margin: 0 .5rem .5rem 0; }
label { display: grid; grid-template-columns: minmax(0, 1fr); max-width: 100%; font-size: .85rem; }
label.wide { flex-basis: 100%; }
input, select, textarea, button { font: inherit; padding: .3rem .5rem; border: 1px solid var(--edge); border-radius: .3rem; max-width: 100%; }
textarea { width: 100%; min-height: 5rem; }
input[type=text] { width: 100%; }
button { cursor: pointer; background: var(--accent); border-color: transparent; color: var(--on-accent); }
.empty { color: var(--dim); }
/* On a phone, a row's cells stand one after the other, and wrap. */
@media (max-width: 40rem) {
  tr { display: flex; flex-wrap: wrap; column-gap: .8rem; border-bottom: 1px solid var(--line); }
  th, td { border: 0; padding: .15rem 0; }
  td:first-child { white-space: normal; }
}
";

/// Returns a whole page. `site` is the text in the bar on top, which links to `/`.
pub fn page(site: &str, title: &str, content: &Markup) -> Html<String> {
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · " (site) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    a href="/" { (site) }
                    span { "a sandbox of casebridge: nothing here is real" }
                    a href=(PATH) { "Break something" }
                }
                main {
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    Html(whole.into_string())
}

/// Address of the page that lists what a sandbox has, so that a configuration can name it.
pub const SETUP: &str = "/setup";

/// Returns the link to that page, for the end of a list of cases.
pub fn setup_link() -> Markup {
    html! { p { a href=(SETUP) { "What a configuration can name here" } } }
}

/// Returns a table of what a sandbox has: a row for each thing, of which the first cell is what a configuration names.
pub fn setup_table<const N: usize>(
    title: &str,
    heads: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Markup {
    html! {
        h2 { (title) }
        table {
            thead { tr { @for head in heads { th { (head) } } } }
            tbody {
                @for row in rows {
                    tr { @for (index, cell) in row.iter().enumerate() { td { @if index == 0 { code { (cell) } } @else { (cell) } } } }
                }
            }
        }
    }
}

/// Returns a page with an error message.
pub fn problem(site: &str, status: StatusCode, what: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    (status, page(site, title, &html! { p { (what) } })).into_response()
}

/// Formats a time in UTC, to the second, with the exact time on hover.
pub fn time(time: DateTime<Utc>) -> Markup {
    let exact = time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    html! { time datetime=(exact) title=(exact) { (time.format("%Y-%m-%d %H:%M:%S").to_string()) " UTC" } }
}

/// Formats a number of bytes with a unit.
pub fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    for (unit, name) in UNITS {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} bytes")
}

/// Returns a `Content-Disposition` that makes any file a download (RFC 6266); its name is in UTF-8, percent-encoded.
pub fn content_disposition(filename: &str) -> HeaderValue {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

    /// Characters to encode: those that RFC 8187 does not allow in an extended value, and some that other programs misread.
    const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
    HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{}", utf8_percent_encode(filename, PLAIN)))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_file_name_gets_out_of_its_header() {
        for (name, header) in [
            ("a.txt", "attachment; filename*=UTF-8''a.txt"),
            ("a \"b\"\r\nX: y", "attachment; filename*=UTF-8''a%20%22b%22%0D%0AX%3A%20y"),
            ("ü/..", "attachment; filename*=UTF-8''%C3%BC%2F.."),
        ] {
            assert_eq!(content_disposition(name), header, "{name:?}");
        }
    }

    #[test]
    fn titles_and_messages_are_text() {
        let shown = page("site", "<script>", &html! { p { "<b>" } }).0;
        assert!(!shown.contains("<script>") && !shown.contains("<b>"));
        assert!(shown.contains("&lt;script&gt;"));
    }

    #[test]
    fn sizes_are_in_words() {
        for (bytes, words) in
            [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (300 << 20, "300.0 MiB")]
        {
            assert_eq!(size(bytes), words);
        }
    }
}
