//! Plain text in a journal field, and back (`R25`).
//!
//! A journal shows what it holds as text, but for two things:
//!
//! - "Journal fields can render text enclosed within code tags as HTML": `[code]…[/code]`, unless an administrator forbids it
//!   ("Render journal field entries as HTML", product documentation). A stranger's text would become a page's markup.
//! - `@[…]` mentions a user, who is notified; it works for texts that come over REST too ("@mentions through API",
//!   ServiceNow Community: `@[sys_id:user_name]`).
//!
//! A word joiner, which nobody sees, parts the signs that begin either.

/// U+2060 WORD JOINER: takes no room, and makes neither a tag nor a mention.
const JOINER: char = '\u{2060}';

/// What a text is stored as. `decode(&encode(x)) == x` for every `x`.
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

/// The text that [`encode`] stored; any other text as it is.
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

/// What a plain text counts once it is encoded, in UTF-16 units, which is never less than in characters. Never decreases when
/// text is appended: every sign that may need a joiner counts as if it did.
#[must_use]
pub fn encoded_units(plain: &str) -> usize {
    plain.chars().map(|c| c.len_utf16() + usize::from(matches!(c, '[' | '@'))).sum()
}

/// Whether `c` before `rest` begins a tag or a mention, or is kept from it by joiners.
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
