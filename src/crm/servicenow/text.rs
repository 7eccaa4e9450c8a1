//! Plain text in a journal field, and back (`R25`: odd content is content).
//!
//! A journal shows its content as text, with two exceptions:
//!
//! - "Journal fields can render text enclosed within code tags as HTML": `[code]…[/code]`, unless an administrator forbids it ("Render
//!   journal field entries as HTML", product documentation). Text from the other system would become markup of a page.
//! - `@[…]` mentions a user, who is notified; this also works for texts that come over REST ("@mentions through API", ServiceNow Community:
//!   `@[sys_id:user_name]`).
//!
//! An invisible word joiner separates the characters that begin either.

use crate::crm::html;

/// U+2060 WORD JOINER: has no width, and is part of neither a tag nor a mention.
const JOINER: char = '\u{2060}';

/// Encodes a text for storing. `decode(&encode(x)) == x` for every `x`.
#[must_use]
pub fn encode(plain: &str) -> String {
    let mut text = String::with_capacity(plain.len() + plain.len() / 16);
    for (at, c) in plain.char_indices() {
        text.push(c);
        if begins(c, &plain[at + c.len_utf8()..]) {
            text.push(JOINER);
        }
    }
    text
}

/// Decodes a text from [`encode`]; any other text stays as it is.
#[must_use]
pub fn decode(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        plain.push(c);
        rest = &rest[c.len_utf8()..];
        if let Some(after) = rest.strip_prefix(JOINER)
            && begins(c, after)
        {
            rest = after;
        }
    }
    plain
}

/// Converts a person's text to plain text: `[code]<p>a</p>[/code]` to its text, `@[sys_id:Jane Roe]` to `@Jane Roe`. A tag without an end
/// stays as it is.
#[must_use]
pub fn readable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, html, after)) = code(rest) {
        plain.push_str(&with_names(before));
        // Each block of HTML is one of its own on the page.
        if !plain.is_empty() && !plain.ends_with('\n') {
            plain.push('\n');
        }
        plain.push_str(&with_names(&html::to_text(html)));
        rest = after.strip_prefix('\n').unwrap_or(after);
        if !rest.is_empty() && !plain.is_empty() {
            plain.push('\n');
        }
    }
    plain.push_str(&with_names(rest));
    decode(&plain)
}

/// Splits a text at its first `[code]…[/code]`: the text before, the HTML, the text after.
fn code(text: &str) -> Option<(&str, &str, &str)> {
    let find = |text: &str, tag: &str| {
        let found = |(at, _): &(usize, &str)| {
            text.get(*at..*at + tag.len()).is_some_and(|found| found.eq_ignore_ascii_case(tag))
        };
        text.match_indices('[').find(found).map(|(at, _)| at)
    };
    let start = find(text, "[code]")?;
    let inner = &text[start + "[code]".len()..];
    let end = find(inner, "[/code]")?;
    Some((&text[..start], &inner[..end], &inner[end + "[/code]".len()..]))
}

/// Replaces mentions by names.
fn with_names(text: &str) -> String {
    let mut named = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("@[") {
        let inner = &rest[at + 2..];
        // The first part is an ID, of a table and a record in newer versions.
        let mention = inner.split_once(']').and_then(|(mention, after)| {
            let (id, name) = mention.rsplit_once(':')?;
            let is_id = id.len() <= 80
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte));
            (is_id && !name.trim().is_empty() && !name.contains(['[', '\n'])).then_some((name.trim(), after))
        });
        named.push_str(&rest[..at]);
        if let Some((name, after)) = mention {
            named.push('@');
            named.push_str(name);
            rest = after;
        } else {
            named.push_str("@[");
            rest = inner;
        }
    }
    named.push_str(rest);
    named
}

/// Measures a plain text as encoded, in UTF-16 units, which is never less than in characters. It never decreases when text is appended:
/// every character that may need a joiner counts as if it did.
#[must_use]
pub fn encoded_units(plain: &str) -> usize {
    plain.chars().map(|c| c.len_utf16() + usize::from(matches!(c, '[' | '@'))).sum()
}

/// Reports if `c` before `rest` begins a tag or a mention, or would without the joiners at the beginning of `rest`.
fn begins(c: char, rest: &str) -> bool {
    let rest = rest.trim_start_matches(JOINER);
    match c {
        '@' => rest.starts_with('['),
        '[' => {
            let tag = rest.strip_prefix('/').unwrap_or(rest);
            tag.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("code]"))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_tag_and_no_mention_is_left() {
        for (plain, stored) in [
            ("[code]<b>x</b>[/code]", "[\u{2060}code]<b>x</b>[\u{2060}/code]"),
            ("[CoDe]", "[\u{2060}CoDe]"),
            ("@[6816:abel.tuter] @abel", "@\u{2060}[6816:abel.tuter] @abel"),
            ("[\u{2060}code]", "[\u{2060}\u{2060}code]"),
            ("@[code]", "@\u{2060}[\u{2060}code]"),
            ("[Google Comment 3 by Jane Roe] [codes] a[0]", "[Google Comment 3 by Jane Roe] [codes] a[0]"),
        ] {
            assert_eq!(encode(plain), stored);
            assert_eq!(decode(stored), plain);
        }
        assert_eq!(decode("[code]typed by a person[/code]"), "[code]typed by a person[/code]");
    }

    #[test]
    fn what_people_write_becomes_what_a_person_reads() {
        for (stored, plain) in [
            (
                "[code]<p>one</p><p>two <a href=\"https://e.example/d\">this</a></p>[/code]",
                "one\n\ntwo this (https://e.example/d)",
            ),
            ("before [CODE]<b>x</b>[/CODE] after", "before \nx\n after"),
            ("[code]<p>never ends", "[code]<p>never ends"),
            (
                "@[6816f79cc0a8016401c5a33be04be441:Jane Roe] and @[sys_user:6816:Abel] @[x] @jane",
                "@Jane Roe and @Abel @[x] @jane",
            ),
            ("[code]<p>@[6816:Jane]</p>[/code]", "@Jane"),
            ("a < b\n\n  c &amp;", "a < b\n\n  c &amp;"),
        ] {
            assert_eq!(readable(stored), plain);
        }
    }

    proptest! {
        #[test]
        fn no_word_of_a_person_is_lost(pieces in prop::collection::vec(("(\\[/?code\\]|@\\[|:|\\]|<p>| |\n){0,2}", "[A-Z]{2,5}"), 0..20)) {
            let stored: String = pieces.iter().map(|(mark, word)| format!("{mark}{word}")).collect();
            let plain = readable(&stored);
            let letters = |text: &str| text.chars().filter(char::is_ascii_uppercase).count();
            // The ID of a mention is no word of a person.
            let mentions = stored.matches("@[").count();
            prop_assert!(mentions > 0 || letters(&plain) == letters(&stored), "{} {}", stored, plain);
            prop_assert!(plain.len() <= stored.len() * 12 + 16);
        }

        #[test]
        fn every_text_comes_back(plain in "(\\[|@|/?code\\]|\u{2060}|.|\n){0,30}") {
            let stored = encode(&plain);
            prop_assert_eq!(decode(&stored), plain.clone());
            let lower = stored.to_lowercase();
            prop_assert!(!lower.contains("[code]") && !lower.contains("[/code]") && !lower.contains("@["));
            prop_assert!(stored.encode_utf16().count() <= encoded_units(&plain));
        }
    }
}
