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

    proptest! {
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
