//! Text processing as in Zendesk: placeholders and Markdown are rendered, HTML is cleaned, and plain text is made from it.
//!
//! `body` is Markdown, `html_body` is HTML without Markdown ("Bodies" in the reference of ticket comments); Liquid placeholders
//! in agents' texts are replaced in both ("Using Liquid markup to customize comments and email notifications").

/// Tags that stay. Other tags are dropped, but their content stays.
const KEPT: [&str; 27] = [
    "a",
    "b",
    "blockquote",
    "br",
    "code",
    "div",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "hr",
    "i",
    "img",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "span",
    "strong",
    "table",
    "tbody",
    "td",
    "th",
    "tr",
    "ul",
];

/// Tags that are dropped with their content.
const DROPPED: [&str; 4] = ["script", "style", "iframe", "object"];

/// Tags that end a line of plain text.
const LINE_ENDS: [&str; 12] =
    ["br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4", "hr", "pre", "blockquote"];

/// Replaces `{{name}}` by the result of `value` (by nothing for `None`) and drops `{% … %}`.
pub(super) fn render_placeholders(text: &str, value: impl Fn(&str) -> Option<String>) -> String {
    let mut rendered = String::with_capacity(text.len());
    let mut rest = text;
    loop {
        let next = rest
            .char_indices()
            .find(|(at, c)| *c == '{' && matches!(rest.as_bytes().get(at + 1), Some(b'{' | b'%')));
        let Some((at, _)) = next else { break };
        let is_output = rest.as_bytes().get(at + 1) == Some(&b'{');
        let Some(end) = rest[at + 2..].find(if is_output { "}}" } else { "%}" }) else { break };
        rendered.push_str(&rest[..at]);
        if is_output {
            rendered.push_str(&value(rest[at + 2..at + 2 + end].trim()).unwrap_or_default());
        }
        rest = &rest[at + 2 + end + 2..];
    }
    rendered.push_str(rest);
    rendered
}

/// Converts Markdown to HTML: headings, lists, quotes, emphasis, code and links.
pub(super) fn markdown_to_html(markdown: &str) -> String {
    let lines: Vec<String> = markdown.lines().map(markdown_line).collect();
    lines.join("<br>")
}

fn markdown_line(line: &str) -> String {
    let trimmed = line.trim_start();
    let hashes = trimmed.bytes().take_while(|byte| *byte == b'#').count();
    if (1..=4).contains(&hashes) && trimmed.as_bytes().get(hashes) == Some(&b' ') {
        return format!("<h{hashes}>{}</h{hashes}>", markdown_spans(trimmed[hashes..].trim()));
    }
    for mark in ["- ", "* ", "+ "] {
        if let Some(item) = trimmed.strip_prefix(mark) {
            return format!("<ul><li>{}</li></ul>", markdown_spans(item));
        }
    }
    if let Some(quote) = trimmed.strip_prefix("> ") {
        return format!("<blockquote>{}</blockquote>", markdown_spans(quote));
    }
    markdown_spans(line)
}

fn markdown_spans(text: &str) -> String {
    const PAIRS: [(&str, &str); 5] =
        [("**", "strong"), ("__", "strong"), ("`", "code"), ("*", "em"), ("_", "em")];
    for (mark, tag) in PAIRS {
        if let Some(start) = text.find(mark)
            && let Some(length) = text[start + mark.len()..].find(mark).filter(|length| *length > 0)
        {
            let inner = start + mark.len();
            return format!(
                "{}<{tag}>{}</{tag}>{}",
                markdown_spans(&text[..start]),
                escape_html(&text[inner..inner + length]),
                markdown_spans(&text[inner + length + mark.len()..])
            );
        }
    }
    if let Some(start) = text.find('[')
        && let Some(middle) = text[start..].find("](")
        && let Some(end) = text[start + middle..].find(')')
    {
        let (label, url) =
            (&text[start + 1..start + middle], &text[start + middle + 2..start + middle + end]);
        return format!(
            "{}<a href=\"{}\">{}</a>{}",
            escape_html(&text[..start]),
            escape_html(url),
            escape_html(label),
            markdown_spans(&text[start + middle + end + 1..])
        );
    }
    escape_html(text)
}

/// Escapes text for HTML.
pub(super) fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Piece of HTML.
enum Piece<'a> {
    Text(&'a str),
    /// Name in lower case, true if it is a closing tag, and the whole tag.
    Tag(String, bool, &'a str),
}

fn pieces(html: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at..];
        let closes = tag[1..].starts_with('/');
        let name: String = tag[1 + usize::from(closes)..]
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        let Some(end) = tag.find('>').filter(|_| !name.is_empty()) else {
            found.extend([Piece::Text(&rest[..at]), Piece::Text("<")]);
            rest = &rest[at + 1..];
            continue;
        };
        found.push(Piece::Text(&rest[..at]));
        found.push(Piece::Tag(name, closes, &tag[..=end]));
        rest = &tag[end + 1..];
    }
    found.push(Piece::Text(rest));
    found
}

/// Removes dangerous parts of HTML, and wraps it in the frame that Zendesk puts around every comment.
pub(super) fn clean_html(html: &str) -> String {
    let mut clean = String::from("<div class=\"zd-comment\" dir=\"auto\">");
    let mut dropping: Option<String> = None;
    for piece in pieces(html) {
        match piece {
            Piece::Tag(name, true, _) if dropping.as_deref() == Some(&name) => dropping = None,
            _ if dropping.is_some() => {}
            Piece::Tag(name, closes, _) if DROPPED.contains(&name.as_str()) => {
                dropping = (!closes).then_some(name);
            }
            Piece::Tag(name, _, whole) if KEPT.contains(&name.as_str()) => {
                if whole.to_ascii_lowercase().contains(" on") {
                    clean.push('<');
                    clean.push_str(&name);
                    clean.push('>');
                } else {
                    clean.push_str(whole);
                }
            }
            Piece::Tag(..) => {}
            Piece::Text("<") => clean.push_str("&lt;"),
            Piece::Text(text) => clean.push_str(text),
        }
    }
    clean.push_str("</div>");
    clean
}

/// Converts HTML to plain text.
pub(super) fn plain_text(html: &str) -> String {
    let mut plain = String::new();
    for piece in pieces(html) {
        match piece {
            Piece::Text(text) => plain.push_str(&decode_entities(text)),
            Piece::Tag(name, closes, _) => {
                if LINE_ENDS.contains(&name.as_str()) && (closes || name == "br") {
                    plain.push('\n');
                }
            }
        }
    }
    plain.trim().to_owned()
}

fn decode_entities(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let entity = rest[at + 1..].split_once(';').map(|(name, _)| name);
        let decoded = entity.and_then(|name| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "nbsp" => Some('\u{a0}'),
            name => name.strip_prefix('#').and_then(|code| char::from_u32(code.parse().ok()?)),
        });
        if let (Some(c), Some(name)) = (decoded, entity) {
            plain.push(c);
            rest = &rest[at + name.len() + 2..];
        } else {
            plain.push('&');
            rest = &rest[at + 1..];
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_wherever_they_stand() {
        let value = |name: &str| (name == "ticket.id").then(|| "7".to_owned());
        for (text, expected) in [
            ("no. {{ticket.id}} {{ ticket.id }}", "no. 7 7"),
            ("a {{current_user.email}} b{% if true %}c", "a  bc"),
            ("{{open {x} {", "{{open {x} {"),
            ("{\u{2060}{ticket.id}}", "{\u{2060}{ticket.id}}"),
        ] {
            assert_eq!(render_placeholders(text, value), expected);
        }
    }

    #[test]
    fn bodies_are_markdown_and_html_bodies_are_not() {
        for (markdown, html) in [
            ("**a** <b>", "<strong>a</strong> &lt;b&gt;"),
            ("# T\n- x", "<h1>T</h1><br><ul><li>x</li></ul>"),
            ("[t](http://u)", "<a href=\"http://u\">t</a>"),
        ] {
            assert_eq!(markdown_to_html(markdown), html);
        }
        let clean = clean_html("**a**<script>alert(1)</script><b onclick=x>b</b> 1 < 2");
        assert_eq!(clean, "<div class=\"zd-comment\" dir=\"auto\">**a**<b>b</b> 1 &lt; 2</div>");
        assert_eq!(plain_text(&clean), "**a**b 1 < 2");
        assert_eq!(plain_text("a<br>b&nbsp;&amp;&#8288;&x;"), "a\nb\u{a0}&\u{2060}&x;");
    }
}
