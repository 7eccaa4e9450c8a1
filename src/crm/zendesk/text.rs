//! Plain text as the HTML of a comment, and back (`R25`: odd content is content).
//!
//! Zendesk takes a comment in two forms: `body` is read as Markdown, `html_body` is not ("Bodies", reference of ticket comments). So text
//! from the other system is sent as HTML with everything escaped. HTML does not protect from Liquid: Zendesk replaces `{{…}}` and runs
//! `{%…%}` in agents' comments ("Using Liquid markup to customize comments and email notifications", support.zendesk.com), which could
//! reveal a requester's data. An invisible word joiner separates those brackets.

use crate::crm::html;

/// U+2060 WORD JOINER: has no width, and no meaning in Liquid.
const JOINER: char = '\u{2060}';

/// U+00A0 NO-BREAK SPACE, which HTML needs to show several spaces in a row.
const HARD_SPACE: char = '\u{a0}';

/// Encodes plain text as HTML that shows it. `decode(&encode(x)) == x` for every `x` whose lines end in `\n`.
#[must_use]
pub fn encode(plain: &str) -> String {
    let mut html = String::with_capacity(plain.len() + plain.len() / 8);
    let mut before = Some('\n');
    let mut rest = plain;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\n' => html.push_str("<br>"),
            // HTML would not show this space. A joiner after it would make it decode as a typed hard space, so it stays as it is then.
            ' ' if matches!(before, Some(' ' | '\n')) && !rest.starts_with(JOINER) => html.push_str("&nbsp;"),
            HARD_SPACE => html.extend(["&nbsp;", "\u{2060}"]),
            '{' if opens(rest) => html.extend(['{', JOINER]),
            c => html.push(c),
        }
        before = Some(c);
    }
    html
}

/// Decodes HTML from [`encode`] to the original plain text; other HTML to its text.
#[must_use]
pub fn decode(html: &str) -> String {
    let mut plain = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(c) = rest.chars().next() {
        match c {
            '<' => {
                let (tag, after) = rest[1..].split_once('>').unwrap_or((&rest[1..], ""));
                let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
                if name.eq_ignore_ascii_case("br") {
                    plain.push('\n');
                }
                rest = after;
            }
            '&' => {
                let (decoded, length) = entity(rest);
                plain.push(decoded);
                rest = &rest[length..];
                if decoded == HARD_SPACE {
                    // A typed hard space is marked by a joiner; the others represent spaces.
                    if let Some(after) = rest.strip_prefix(JOINER) {
                        rest = after;
                    } else {
                        plain.pop();
                        plain.push(' ');
                    }
                }
            }
            // HTML marks line ends with tags; line breaks in the source have no meaning.
            '\n' | '\r' => rest = &rest[1..],
            HARD_SPACE => {
                // Same as the entity, in case Zendesk replaced the entity by the character.
                rest = &rest[c.len_utf8()..];
                if let Some(after) = rest.strip_prefix(JOINER) {
                    plain.push(HARD_SPACE);
                    rest = after;
                } else {
                    plain.push(' ');
                }
            }
            c => {
                plain.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    join(&plain)
}

/// Converts a person's comment to plain text. Zendesk's own plain text lacks the targets of links, and more. Where the HTML says no more
/// than that, it stays as it is, blanks and all.
#[must_use]
pub fn readable(html: &str, plain: &str) -> String {
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let read = html::to_text(html);
    if words(&read) == words(plain) { plain.to_owned() } else { read }
}

/// Protects a line from Liquid, for a field that is not HTML.
#[must_use]
pub fn part(plain: &str) -> String {
    let mut parted = String::with_capacity(plain.len());
    for (at, c) in plain.char_indices() {
        parted.push(c);
        if c == '{' && opens(&plain[at + 1..]) {
            parted.push(JOINER);
        }
    }
    parted
}

/// Undoes [`part`].
#[must_use]
pub fn join(parted: &str) -> String {
    let mut plain = String::with_capacity(parted.len());
    let mut rest = parted;
    while let Some(at) = rest.find('{') {
        plain.push_str(&rest[..=at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(JOINER)
            && opens(after)
        {
            rest = after;
        }
    }
    plain.push_str(rest);
    plain
}

/// Measures a plain text as encoded, in UTF-8 bytes. It is an upper bound, and never decreases when text is appended: a character that may
/// need a longer form counts as if it did.
#[must_use]
pub fn encoded_bytes(plain: &str) -> usize {
    let mut before = '\n';
    let mut bytes = 0;
    for c in plain.chars() {
        bytes += match c {
            '&' => "&amp;".len(),
            '<' | '>' => "&lt;".len(),
            '"' => "&quot;".len(),
            '\n' => "<br>".len(),
            ' ' if matches!(before, ' ' | '\n') => "&nbsp;".len(),
            HARD_SPACE => "&nbsp;".len() + JOINER.len_utf8(),
            '{' => 1 + JOINER.len_utf8(),
            c => c.len_utf8(),
        };
        before = c;
    }
    bytes
}

/// Measures a line after [`part`], in characters; an upper bound as well.
#[must_use]
pub fn parted_characters(plain: &str) -> usize {
    plain.chars().map(|c| if c == '{' { 2 } else { 1 }).sum()
}

/// Reports if a `{` before `rest` would open a tag in Liquid, or would without the joiners at the beginning of `rest`.
fn opens(rest: &str) -> bool {
    rest.trim_start_matches(JOINER).starts_with(['{', '%'])
}

/// Returns the character that an entity represents, and the entity's length; `&` alone if it is no entity.
fn entity(text: &str) -> (char, usize) {
    let Some(end) = text.find(';').filter(|end| *end <= 10) else { return ('&', 1) };
    let decoded = match &text[1..end] {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(HARD_SPACE),
        name => name.strip_prefix('#').and_then(|number| {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok(),
                None => number.parse().ok(),
            };
            char::from_u32(code?)
        }),
    };
    decoded.map_or(('&', 1), |c| (c, end + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_in_a_text_means_anything() {
        for (plain, html) in [
            ("<b>&amp;\"", "&lt;b&gt;&amp;amp;&quot;"),
            ("a\n\n  b   c", "a<br><br>&nbsp;&nbsp;b &nbsp;&nbsp;c"),
            ("{{ticket.id}} {% x %} { {", "{\u{2060}{ticket.id}} {\u{2060}% x %} { {"),
            ("{{{", "{\u{2060}{\u{2060}{"),
            ("**a** # b", "**a** # b"),
        ] {
            assert_eq!(encode(plain), html);
            assert_eq!(decode(html), plain);
        }
        assert_eq!(
            decode("<div class=\"zd-comment\" dir=\"auto\">a<BR/>\n<a href=\"x\">b</a>&#39;&x;</div>"),
            "a\nb'&x;"
        );
    }

    #[test]
    fn what_people_write_keeps_the_targets_of_its_links() {
        let framed = |inner: &str| format!("<div class=\"zd-comment\" dir=\"auto\">{inner}</div>");
        let linked = framed("see <a href=\"https://x.example/d\" rel=\"noreferrer\">this</a>");
        assert_eq!(readable(&linked, "see this"), "see this (https://x.example/d)");
        assert_eq!(readable(&framed("a<br>  b"), "a\n  b"), "a\n  b");
        let typed = "<div class=\"zd-comment zd-comment-pre\" dir=\"auto\">a  &lt;b\n  c</div>";
        assert_eq!(readable(typed, ""), "a  <b\n  c");
    }

    proptest! {
        #[test]
        fn every_text_comes_back(plain in "([ {%&<>\"\n\u{a0}\u{2060}a;]|.){0,40}") {
            let plain = plain.replace('\r', "");
            prop_assert_eq!(decode(&encode(&plain)), plain.clone());
            prop_assert_eq!(join(&part(&plain)), plain.clone());
            prop_assert!(encode(&plain).len() <= encoded_bytes(&plain));
            prop_assert!(part(&plain).chars().count() <= parted_characters(&plain));
            let html = encode(&plain);
            prop_assert!(!html.contains("{{") && !html.contains("{%"), "{}", html);
        }
    }
}
