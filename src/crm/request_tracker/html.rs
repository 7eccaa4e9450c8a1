//! What people write in Request Tracker's editor is HTML; what is carried is plain text.

/// A piece of HTML as plain text: tags go, paragraphs and line breaks become line breaks, entities become what they stand for.
/// Nothing else is interpreted; what is no tag stays as it is.
pub(super) fn to_text(html: &str) -> String {
    let mut text = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&', '\n', '\r', '\t', ' ']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match rest.as_bytes()[0] {
            b'<' => tag(rest, &mut text),
            b'&' => entity(rest, &mut text),
            _ => {
                if !text.is_empty() && !text.ends_with([' ', '\n']) {
                    text.push(' ');
                }
                rest[1..].trim_start_matches([' ', '\n', '\r', '\t'])
            }
        };
    }
    text.push_str(rest);
    let lines: Vec<&str> = text.lines().map(|line| line.trim_matches(' ')).collect();
    lines.join("\n").trim_matches('\n').replace('\u{a0}', " ")
}

/// Reads what begins with `<`; returns what follows.
fn tag<'a>(html: &'a str, text: &mut String) -> &'a str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |end| &comment[end + 3..]);
    }
    let inner = html[1..].trim_start_matches('/');
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!') {
        text.push('<');
        return &html[1..];
    }
    let Some(end) = html.find('>') else {
        text.push('<');
        return &html[1..];
    };
    let closing = html.starts_with("</");
    let name: String =
        inner.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let after = &html[end + 1..];
    match name.as_str() {
        "script" | "style" if !closing => {
            let close = format!("</{name}");
            let lower = after.to_ascii_lowercase();
            return lower.find(&close).map_or("", |at| {
                let rest = &after[at..];
                rest.find('>').map_or("", |end| &rest[end + 1..])
            });
        }
        "br" => text.push('\n'),
        "li" if !closing => {
            start_line(text);
            text.push_str("- ");
        }
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "blockquote" | "pre" | "table" | "ul" | "ol" => {
            start_line(text);
            if closing && name != "li" {
                text.push('\n');
            }
        }
        "div" | "tr" | "hr" | "li" => start_line(text),
        "td" | "th" if closing => text.push(' '),
        _ => {}
    }
    after
}

fn start_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Reads what begins with `&`; returns what follows.
fn entity<'a>(html: &'a str, text: &mut String) -> &'a str {
    let end = html.bytes().take(12).position(|byte| byte == b';');
    let read = end.and_then(|end| {
        let name = &html[1..end];
        let c = match name {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            "nbsp" => '\u{a0}',
            "auml" => 'ä',
            "ouml" => 'ö',
            "uuml" => 'ü',
            "Auml" => 'Ä',
            "Ouml" => 'Ö',
            "Uuml" => 'Ü',
            "szlig" => 'ß',
            "eacute" => 'é',
            "hellip" => '…',
            "ndash" => '–',
            "mdash" => '—',
            "lsquo" => '‘',
            "rsquo" => '’',
            "ldquo" => '“',
            "rdquo" => '”',
            "bull" => '•',
            "euro" => '€',
            "copy" => '©',
            name => {
                let number = name.strip_prefix('#')?;
                let code = match number.strip_prefix(['x', 'X']) {
                    Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        };
        Some((c, end))
    });
    if let Some((c, end)) = read {
        text.push(c);
        &html[end + 1..]
    } else {
        text.push('&');
        &html[1..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn html_becomes_what_a_person_reads() {
        for (html, text) in [
            ("plain", "plain"),
            ("<p>one</p>\n\n<p>two<br />three</p>", "one\n\ntwo\nthree"),
            ("a &lt;b&gt; &amp;amp; &#228;&#x1f600; &unknown; &", "a <b> &amp; ä😀 &unknown; &"),
            ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
            ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
            ("x<script>alert(1)</script>y<style>p{}</style><!-- no -->z", "xyz"),
            ("<b>bold</b> <a href=\"https://example.com\">link</a>", "bold link"),
            ("<p>unclosed", "unclosed"),
            ("end <", "end <"),
        ] {
            assert_eq!(to_text(html), text, "{html}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(html in "[<>&;#a-z/!\\- äİ\n]{0,60}") {
            to_text(&html);
        }
    }
}
