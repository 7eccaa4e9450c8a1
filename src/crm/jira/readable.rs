//! Wiki markup of people as plain text (`R25`: odd content is content).
//!
//! Bodies of REST API version 2 are wiki markup: on Data Center as people typed it, on Cloud as Jira converts their documents
//! (`@atlaskit/editor-wikimarkup-transformer`, `encoder`, version 12). [`to_text`] keeps all words and the addresses behind links, and drops
//! what only a renderer understands. Markup that a reader of plain text understands stays: `*strong*`, `_emphasis_`, `----`. So does what is
//! no complete markup, since on Cloud it is a person's own characters: that conversion escapes only `[~`, `[^`, `!…!` and known macros.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Characters that a backslash escapes on Data Center.
const ESCAPABLE: &str = "-#*_+?^~|%{}[]()!@";

/// Macros of which only the content is shown.
const FRAMES: [&str; 8] = ["color", "panel", "info", "tip", "note", "warning", "expand", "quote"];

/// Kinds of a smart link, as its last part names them.
const CARDS: [&str; 3] = ["smart-link", "smart-card", "smart-embed"];

/// Number of bytes within which the end of a link, an image or a mark is searched.
const LONGEST: usize = 2_000;
/// Number of bytes within which the end of a phrase is searched.
const LONGEST_PHRASE: usize = 300;
/// Number of lines of a table's row.
const LONGEST_ROW: usize = 50;
/// Depth at which lists are shown.
const DEEPEST: usize = 5;
/// Number of characters of a person's name.
const LONGEST_NAME: usize = 100;

/// Line around code.
const FENCE: &str = "```";

/// Name of a person whom Jira does not name.
const SOMEONE: &str = "someone";

/// Meaning of a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backslash {
    /// Data Center: it escapes every character of markup.
    Escapes,
    /// Cloud: it is a person's own, unless Jira put it before a mention, a file or a macro.
    OfJira,
}

/// Display names of people, by the ID in a mention: `accountid:5b10…` on Cloud, the user name on Data Center.
pub type Names = BTreeMap<String, String>;

/// Converts wiki markup to plain text. Takes time in proportion to the length, and the text has at most four times the bytes of the markup,
/// names apart.
#[must_use]
pub fn to_text(wiki: &str, backslash: Backslash, names: &Names) -> String {
    let wiki = wiki.replace("\r\n", "\n");
    let reader = Reader { backslash, names, frames: frames(&wiki) };
    let mut out = Out::default();
    let mut rest = wiki.as_str();
    while let Some((before, block, after)) = next_block(rest) {
        reader.prose(before, &mut out);
        out.block(&block);
        rest = after;
    }
    reader.prose(rest, &mut out);
    out.text
}

/// Returns the IDs of the people whom a text mentions.
#[must_use]
pub fn mentioned(wiki: &str) -> BTreeSet<String> {
    let starts = wiki.match_indices("[~").map(|(at, _)| &wiki[at + 2..]);
    starts
        .filter_map(|rest| head(rest, LONGEST_PHRASE).split_once(']'))
        .map(|(id, _)| id.to_owned())
        .collect()
}

/// Text that no markup is searched in.
enum Block {
    /// Code, and its title.
    Code(String, Option<String>),
    /// Content that Jira's markup cannot express, as text.
    Document(String),
}

/// Splits a text at the first block of code or document in it: the text before, the block, the text after.
fn next_block(text: &str) -> Option<(&str, Block, &str)> {
    let mut from = 0;
    let mut endless = BTreeSet::new();
    while let Some(at) = text[from..].find('{').map(|at| from + at) {
        from = at + 1;
        let Some((name, parameters, length)) = tag(&text[at..]) else { continue };
        let is_block = ["code", "noformat", "adf"].contains(&name);
        if !is_block || endless.contains(name) || text[..at].ends_with('\\') {
            continue;
        }
        let content = &text[at + length..];
        let end = format!("{{{name}}}");
        // Without an end it is no block, nor is any other of the name.
        let Some(content_length) = content.find(&end) else {
            endless.insert(name);
            continue;
        };
        let (content, after) = (&content[..content_length], &content[content_length + end.len()..]);
        let block = if name == "adf" {
            let Ok(node) = serde_json::from_str::<Value>(content) else { continue };
            let mut plain = String::new();
            document(&node, &mut plain, 0);
            Block::Document(plain)
        } else {
            Block::Code(content.trim_matches('\n').to_owned(), title(parameters))
        };
        return Some((&text[..at], block, after));
    }
    None
}

/// Reads a macro's tag at the beginning of a text: its name, its parameters, its length.
fn tag(text: &str) -> Option<(&str, &str, usize)> {
    let inner = text.strip_prefix('{')?;
    let name_end = inner.find(|c: char| !c.is_ascii_lowercase())?;
    let name = &inner[..name_end];
    let inner = &inner[name_end..];
    if name.is_empty() {
        None
    } else if inner.starts_with('}') {
        Some((name, "", name.len() + 2))
    } else {
        let parameters = head(inner.strip_prefix(':')?, LONGEST_PHRASE);
        let end = parameters.find(['}', '\n', '{'])?;
        parameters[end..].starts_with('}').then(|| (name, &parameters[..end], name.len() + end + 3))
    }
}

/// Returns the title among a macro's parameters.
fn title(parameters: &str) -> Option<String> {
    let titles = parameters.split('|').filter_map(|parameter| parameter.trim().strip_prefix("title="));
    titles.map(str::trim).find(|title| !title.is_empty()).map(str::to_owned)
}

/// Returns the frames of which a text has a beginning and an end.
fn frames(wiki: &str) -> BTreeSet<&'static str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, _) in wiki.match_indices('{') {
        if let Some((name, ..)) = tag(&wiki[at..]) {
            *counts.entry(name).or_default() += 1;
        }
    }
    FRAMES.into_iter().filter(|name| counts.get(name).is_some_and(|count| *count > 1)).collect()
}

/// Adds the text of a node of an Atlassian document.
fn document(node: &Value, plain: &mut String, depth: usize) {
    let kind = node.get("type").and_then(Value::as_str).unwrap_or_default();
    let attribute = |name: &str| node.pointer(&format!("/attrs/{name}")).and_then(Value::as_str);
    match kind {
        "text" => {
            let text = node.get("text").and_then(Value::as_str).unwrap_or_default();
            plain.push_str(text);
            let marks = node.get("marks").and_then(Value::as_array).into_iter().flatten();
            let targets = marks.filter_map(|mark| mark.pointer("/attrs/href").and_then(Value::as_str));
            for target in targets.filter(|target| !text.contains(target)) {
                plain.extend([" (", target, ")"]);
            }
        }
        "hardBreak" => plain.push('\n'),
        "mention" | "status" | "emoji" => {
            plain.push_str(attribute("text").or(attribute("shortName")).unwrap_or_default());
        }
        "inlineCard" | "blockCard" | "embedCard" => plain.push_str(attribute("url").unwrap_or_default()),
        _ => {}
    }
    // Deeper than any document, and far below what the stack takes.
    let content = node.get("content").and_then(Value::as_array).filter(|_| depth < 100);
    for (index, inner) in content.into_iter().flatten().enumerate() {
        let cell = matches!(inner.get("type").and_then(Value::as_str), Some("tableCell" | "tableHeader"));
        if cell && index > 0 {
            plain.truncate(plain.trim_end().len());
            plain.push_str(" | ");
        }
        document(inner, plain, depth + 1);
    }
    let is_block = ["paragraph", "heading", "codeBlock", "tableRow", "listItem", "taskItem"].contains(&kind);
    if is_block && !plain.ends_with('\n') && !plain.is_empty() {
        plain.push('\n');
    }
}

/// Returns the beginning of a text, of at most so many bytes.
fn head(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// The output.
#[derive(Default)]
struct Out {
    text: String,
    quoted: bool,
    /// Number of the last item of each enclosing list.
    items: Vec<u32>,
}

impl Out {
    fn is_line_start(&self) -> bool {
        self.text.is_empty() || self.text.ends_with('\n')
    }

    fn push(&mut self, text: &str) {
        for piece in text.split_inclusive('\n') {
            if self.quoted && self.is_line_start() {
                self.text.push_str(if piece == "\n" { ">" } else { "> " });
            }
            self.text.push_str(piece);
        }
    }

    /// Ends the line, unless it is empty.
    fn end_line(&mut self) {
        if !self.is_line_start() {
            self.text.truncate(self.text.trim_end_matches(' ').len());
            self.text.push('\n');
        }
    }

    fn block(&mut self, block: &Block) {
        self.end_line();
        match block {
            Block::Code(code, title) => {
                if let Some(title) = title {
                    self.push(&format!("{title}:\n"));
                }
                if !code.trim().is_empty() {
                    self.push(&format!("{FENCE}\n{code}\n{FENCE}\n"));
                }
            }
            Block::Document(text) => self.push(&format!("{}\n", text.trim_end())),
        }
    }

    fn quote(&mut self) {
        self.end_line();
        self.quoted = !self.quoted;
    }
}

struct Reader<'a> {
    backslash: Backslash,
    names: &'a Names,
    frames: BTreeSet<&'static str>,
}

impl Reader<'_> {
    /// Adds text outside of blocks.
    fn prose(&self, text: &str, out: &mut Out) {
        // A block ends its line.
        let after_block = !out.text.is_empty();
        let mut rest = if after_block { text.strip_prefix('\n').unwrap_or(text) } else { text };
        while !rest.is_empty() {
            if out.is_line_start()
                && let Some((row, after)) = row(rest)
            {
                let cells = row.into_iter().map(|cell| self.inner(cell.trim()).replace('\n', " "));
                out.push(&cells.collect::<Vec<_>>().join(" | "));
                out.push("\n");
                rest = after;
                continue;
            }
            let (line, after) =
                rest.split_once('\n').map_or((rest, None), |(line, after)| (line, Some(after)));
            let before = out.text.len();
            self.line(line, out);
            // A line of nothing but frames is none.
            let is_frame = out.text.len() == before && !line.trim().is_empty();
            let has_ended = !line.is_empty() && out.is_line_start();
            if after.is_some() && !is_frame && !has_ended {
                out.push("\n");
            }
            rest = after.unwrap_or_default();
        }
    }

    fn line(&self, line: &str, out: &mut Out) {
        let trimmed = line.trim_start_matches(' ');
        if !out.is_line_start() {
            return self.inline(line, out);
        }
        if trimmed.is_empty() {
            out.items.clear();
            return out.push(line);
        }
        let bytes = trimmed.as_bytes();
        if bytes.len() > 4 && bytes[0] == b'h' && (b'1'..=b'6').contains(&bytes[1]) && &bytes[2..4] == b". " {
            return self.inline(trimmed[4..].trim_start(), out);
        }
        if let Some(quoted) = trimmed.strip_prefix("bq. ") {
            out.push("> ");
            return self.inline(quoted, out);
        }
        let marks = trimmed.len() - trimmed.trim_start_matches(['*', '#']).len();
        if let Some(item) =
            trimmed[marks..].strip_prefix(' ').filter(|item| marks > 0 && !item.trim().is_empty())
        {
            let depth = marks.min(DEEPEST);
            out.items.resize(depth, 0);
            out.push(&"  ".repeat(depth - 1));
            if trimmed[..marks].ends_with('#') {
                let number = &mut out.items[depth - 1];
                *number += 1;
                let number = *number;
                out.push(&format!("{number}. "));
            } else {
                out.push("- ");
            }
            return self.inline(item, out);
        }
        self.inline(line, out);
    }

    /// Returns the text of a part of a line.
    fn inner(&self, wiki: &str) -> String {
        let mut out = Out::default();
        self.inline(wiki, &mut out);
        out.text
    }

    /// Adds text in which lines have no meaning.
    fn inline(&self, text: &str, out: &mut Out) {
        let mut before = None;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let is_after_word = before.is_some_and(char::is_alphanumeric);
            let length = match c {
                '\\' => self.escape(rest, out),
                'h' | 'f' | 'm' if !is_after_word => address(rest).map(|address| {
                    out.push(address);
                    address.len()
                }),
                '[' => self.link(rest, out),
                '!' if !is_after_word => Self::image(rest, out),
                '{' => self.braces(rest, out),
                '*' if !is_after_word => status(rest, out),
                '-' if before.is_none_or(opens) => self.phrase(rest, "-", "~~", out),
                '+' if before.is_none_or(opens) => self.phrase(rest, "+", "", out),
                '?' if before.is_none_or(opens) => self.phrase(rest, "??", "", out),
                '(' if before.is_none_or(opens) => sign(rest, out),
                _ => None,
            };
            let length = length.unwrap_or_else(|| {
                out.push(&rest[..c.len_utf8()]);
                c.len_utf8()
            });
            before = rest[..length].chars().next_back();
            rest = &rest[length..];
        }
    }

    fn escape(&self, text: &str, out: &mut Out) -> Option<usize> {
        let mut following = text[1..].chars();
        let next = following.next();
        let escapes = match (self.backslash, next?) {
            (Backslash::Escapes, '\\') if following.next().is_none_or(char::is_whitespace) => {
                // A line break; a blank after it would begin the next line.
                out.push("\n");
                return Some(2 + usize::from(text[2..].starts_with([' ', '\n'])));
            }
            (Backslash::Escapes, next) => ESCAPABLE.contains(next),
            (Backslash::OfJira, '!') => true,
            (Backslash::OfJira, '[') => matches!(following.next(), Some('~' | '^')),
            (Backslash::OfJira, '{') => following.next().is_some_and(|c| c.is_ascii_alphabetic()),
            (Backslash::OfJira, _) => false,
        };
        let next = next.filter(|_| escapes)?;
        out.push(&text[1..=next.len_utf8()]);
        Some(1 + next.len_utf8())
    }

    /// Adds a link, a mention or a file: `[text|target|kind]`.
    fn link(&self, text: &str, out: &mut Out) -> Option<usize> {
        let inner = head(&text[1..], LONGEST);
        let end = inner.find(['[', ']', '\n'])?;
        if !inner[end..].starts_with(']') {
            return None;
        }
        let parts: Vec<&str> = inner[..end].split('|').collect();
        let shown = match parts.as_slice() {
            [only] => self.bare_link(only.trim())?,
            [text, target, rest @ ..] if rest.iter().all(|kind| CARDS.contains(kind) || !is_target(kind)) => {
                let (shown, target) = (self.inner(text), target.trim());
                let plain = target.strip_prefix("mailto:").unwrap_or(target);
                if let Some(file) = target.strip_prefix('^') {
                    if shown.trim() == file { format!("[{file}]") } else { format!("{shown} [{file}]") }
                } else if target.starts_with('#') && target.len() > 1 {
                    shown
                } else if !is_target(target) {
                    return None;
                } else if shown.trim().is_empty() || shown.contains(plain.trim_end_matches('/')) {
                    if shown.contains(plain) { shown } else { plain.to_owned() }
                } else {
                    format!("{shown} ({plain})")
                }
            }
            _ => return None,
        };
        out.push(&shown);
        Some(end + 2)
    }

    /// Returns the text of a link without a text of its own.
    fn bare_link(&self, target: &str) -> Option<String> {
        if let Some(id) = target.strip_prefix('~').filter(|id| !id.is_empty()) {
            let is_user_name = !id.contains(':') && id != "UNKNOWN_USER";
            let name = self.names.get(id).map_or(if is_user_name { id } else { SOMEONE }, String::as_str);
            let name: String = name.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
            return Some(format!("@{name}"));
        }
        if let Some(file) = target.strip_prefix('^').filter(|file| !file.is_empty()) {
            return Some(format!("[{file}]"));
        }
        is_address(target).then(|| target.strip_prefix("mailto:").unwrap_or(target).to_owned())
    }

    /// Adds an image: `!name.png|width=50%,alt="text"!`.
    fn image(text: &str, out: &mut Out) -> Option<usize> {
        let inner = head(&text[1..], LONGEST);
        let line = inner.split('\n').next()?;
        let (name, parameters, length) = match line.find(['!', '|'])? {
            end if line[end..].starts_with('!') => (&line[..end], "", end),
            end => {
                let parameters = &line[end + 1..];
                // A description may contain the sign that ends an image.
                let sign = parameters.find('!')?;
                let described = parameters[..sign].find("alt=\"").map_or(0, |at| at + 5);
                let from = parameters[described..].find('"').map_or(0, |end| described + end);
                let from = if described > 0 { from } else { 0 };
                let length = from + parameters[from..].find('!')?;
                (&line[..end], &parameters[..length], end + 1 + length)
            }
        };
        let extension = name.rsplit_once('.').map(|(_, extension)| extension).unwrap_or_default();
        let is_file =
            (2..=5).contains(&extension.len()) && extension.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if name.starts_with(char::is_whitespace) || !(is_file || is_address(name)) {
            return None;
        }
        let value = |key: &str| {
            let value = &parameters[parameters.find(key)? + key.len()..];
            value.split_once('"').map(|(value, _)| value.trim()).filter(|value| !value.is_empty())
        };
        let shown = match value("alt=\"").filter(|described| *described != name) {
            Some(described) if is_address(name) => format!("[{described}] ({name})"),
            Some(described) => format!("[{name}: {described}]"),
            None if is_address(name) => name.to_owned(),
            None => format!("[{name}]"),
        };
        out.push(&shown);
        if let Some(target) = value("href=\"") {
            out.push(&format!(" ({target})"));
        }
        Some(length + 2)
    }

    /// Adds what begins with a brace: monospaced text, a mark within a word, a macro.
    fn braces(&self, text: &str, out: &mut Out) -> Option<usize> {
        let line = head(text, LONGEST).split('\n').next()?;
        for (open, close) in [("{{{}", "{}}}"), ("{{", "}}")] {
            if let Some(inner) = line.strip_prefix(open)
                && let Some(end) = inner.find(close).filter(|end| *end > 0)
            {
                let (mono, length) = (&inner[..end], open.len() + end + close.len());
                let is_date =
                    mono.len() == 10 && mono.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
                out.push(&if is_date { mono.to_owned() } else { format!("`{mono}`") });
                return Some(length);
            }
        }
        for (mark, shown) in
            [("{*}", "*"), ("{_}", "_"), ("{-}", "~~"), ("{+}", ""), ("{^}", "^"), ("{~}", ""), ("{??}", "")]
        {
            if line.starts_with(mark) {
                out.push(shown);
                return Some(mark.len());
            }
        }
        let (name, parameters, length) = tag(text)?;
        if name == "quote" && self.frames.contains("quote") {
            out.quote();
        } else if name == "anchor" && !parameters.is_empty() {
            // It marks a place and shows nothing.
        } else if self.frames.contains(name) {
            if let Some(title) = title(parameters) {
                out.end_line();
                out.push(&title);
                out.push("\n");
            }
        } else {
            return None;
        }
        Some(length)
    }

    /// Adds a phrase between two marks, with other marks.
    fn phrase(&self, text: &str, mark: &str, shown: &str, out: &mut Out) -> Option<usize> {
        let inner = head(text.strip_prefix(mark)?, LONGEST_PHRASE).split('\n').next()?;
        let sound = |c: Option<char>| c.is_some_and(|c| !c.is_whitespace() && !mark.contains(c));
        let ends = |end: &usize| {
            let (phrase, after) = (&inner[..*end], &inner[end + mark.len()..]);
            sound(phrase.chars().next())
                && sound(phrase.chars().next_back())
                && phrase.chars().any(char::is_alphabetic)
                // Options of a command, more likely than two phrases.
                && !phrase.contains(" -")
                && after.chars().next().is_none_or(|c| !c.is_alphanumeric() && !mark.contains(c))
        };
        let end = inner.match_indices(mark).map(|(at, _)| at).find(ends)?;
        out.push(shown);
        self.inline(&inner[..end], out);
        out.push(shown);
        Some(mark.len() * 2 + end)
    }
}

/// True if a phrase may begin after this character.
fn opens(before: char) -> bool {
    !before.is_alphanumeric() && !"-+?/\\:=.&".contains(before)
}

/// Splits the row of a table at the beginning of a text into its cells; returns the text after it. A cell may have several lines.
fn row(text: &str) -> Option<(Vec<&str>, &str)> {
    if !text.starts_with('|') {
        return None;
    }
    let mut end = 0;
    for line in text.split_inclusive('\n').take(LONGEST_ROW) {
        end += line.len();
        let trimmed = line.trim_end();
        if trimmed.is_empty() {
            return None;
        }
        if trimmed.len() > 1 && trimmed.ends_with('|') && !trimmed.ends_with("\\|") {
            let row = text[..end].trim_end();
            return (row.len() > 2).then(|| (cells(row), &text[end..]));
        }
    }
    None
}

/// Splits a row at its bars, but for those within links, images and monospaced text.
fn cells(row: &str) -> Vec<&str> {
    let mut cells = Vec::new();
    let mut start = None;
    let mut at = 0;
    while let Some(c) = row[at..].chars().next() {
        let rest = &row[at..];
        let within = |close: &str| {
            let inner = head(&rest[1..], LONGEST);
            let end = inner.find(close)?;
            (!inner[..end].contains('\n') && inner[..end].contains('|')).then_some(1 + end + close.len())
        };
        let skipped = match c {
            '\\' => Some(1 + rest[1..].chars().next().map_or(0, char::len_utf8)),
            '[' => within("]"),
            '!' if rest[1..].starts_with(|c: char| !c.is_whitespace()) => within("!"),
            '{' => within("}"),
            _ => None,
        };
        if let Some(skipped) = skipped {
            at += skipped;
        } else if c == '|' {
            let bars = 1 + usize::from(rest[1..].starts_with('|'));
            if let Some(start) = start {
                cells.push(&row[start..at]);
            }
            at += bars;
            start = Some(at);
        } else {
            at += c.len_utf8();
        }
    }
    cells
}

/// Returns the web address at the beginning of a text.
fn address(text: &str) -> Option<&str> {
    let is_one = ["http://", "https://", "ftp://", "mailto:"].iter().any(|scheme| text.starts_with(scheme));
    let end = text.find(|c: char| c.is_whitespace() || "|]}{\"<>".contains(c)).unwrap_or(text.len());
    is_one.then(|| &text[..end])
}

fn is_address(text: &str) -> bool {
    let low = head(text, 10).to_ascii_lowercase();
    ["http://", "https://", "ftp://", "mailto:", "file:", "www.", "//"]
        .iter()
        .any(|start| low.starts_with(start))
}

/// True if a link may lead there: to an address, or to an issue.
fn is_target(text: &str) -> bool {
    let is_key = |text: &str| {
        text.split_once('-').is_some_and(|(project, number)| {
            !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && project.starts_with(|c: char| c.is_ascii_uppercase())
                && project.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        })
    };
    is_address(text) || is_key(text)
}

/// Adds a status, which Cloud writes as `*[ DONE ]*`.
fn status(text: &str, out: &mut Out) -> Option<usize> {
    let inner = head(text.strip_prefix("*[ ")?, LONGEST_PHRASE);
    let end = inner.find(" ]*").filter(|end| !inner[..*end].contains('\n'))?;
    out.push(&format!("[{}]", &inner[..end]));
    Some(end + 6)
}

/// Adds a sign for a result, if it stands alone.
fn sign(text: &str, out: &mut Out) -> Option<usize> {
    let (sign, shown) =
        [("(/)", "\u{2705}"), ("(x)", "\u{274c}")].into_iter().find(|(sign, _)| text.starts_with(sign))?;
    let alone = text[sign.len()..].chars().next().is_none_or(|c| c.is_whitespace() || c == '|');
    alone.then(|| {
        out.push(shown);
        sign.len()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::from_iter([
            ("accountid:5b10".to_owned(), "Jane Doe".to_owned()),
            ("jdoe".to_owned(), "John Doe".to_owned()),
        ])
    }

    #[test]
    fn markup_becomes_what_a_person_reads() {
        for (wiki, text) in [
            ("plain - text, 2 * 3 = 6\n\n  indented", "plain - text, 2 * 3 = 6\n\n  indented"),
            (
                "[~accountid:5b10] and [~accountid:unknown], [~UNKNOWN_USER]",
                "@Jane Doe and @someone, @someone",
            ),
            ("[~jdoe] [~other]", "@John Doe @other"),
            ("[SUP-7|https://e.example/SUP-7|smart-link]", "SUP-7 (https://e.example/SUP-7)"),
            ("[https://e.example/a|https://e.example/a|smart-link].", "https://e.example/a."),
            (
                "[https://e.example] [www.e.example] [mailto:a@e.example]",
                "https://e.example www.e.example a@e.example",
            ),
            (
                "[https://e.example/a|https://e.example/a/] [x|#top] [*b*|SUP-7]",
                "https://e.example/a/ x *b* (SUP-7)",
            ),
            (
                "[^log.txt] [the log|^log.txt] [a|mailto:b@e.example]",
                "[log.txt] the log [log.txt] a (b@e.example)",
            ),
            (
                "[INFO] a[0] [x|y] [#1] [see [1]|https://e.example]",
                "[INFO] a[0] [x|y] [#1] [see [1]|https://e.example]",
            ),
            ("{color:#ff5630}red{color} {color}", "red "),
            ("a {name} {note} {*}b{*}old{_}i{_} {{{}x{}}}", "a {name} {note} *b*old_i_ `x`"),
            ("{{2026-11-28}} {{rm -rf *}} {{}}", "2026-11-28 `rm -rf *` {{}}"),
            ("{color:#97A0AF}*[ IN PROGRESS ]*{color} *[x]*", "[IN PROGRESS] *[x]*"),
            ("{panel:title=Note|bgColor=#deebff}\nread this\n{panel}\nend", "Note\nread this\nend"),
            ("{panel:bgColor=#deebff}\nread this\n{panel}", "read this\n"),
            ("{info}x{info}{anchor:here}y", "xy"),
            (
                "see {code:java|title=A.java}\nint *a*;\n[x|https://e.example]\n{code}\nend",
                "see\nA.java:\n```\nint *a*;\n[x|https://e.example]\n```\nend",
            ),
            ("{noformat}one{noformat} two", "```\none\n```\n two"),
            ("\\{code} {code}never ends", "{code} {code}never ends"),
            ("{quote}one\n\ntwo {color:red}r{color}{quote}\nthree", "> one\n>\n> two r\nthree"),
            ("bq. one\nh2. Title\nh7. no", "> one\nTitle\nh7. no"),
            (
                "* a\n** b\n# c\n#* d\n# e\ntext\n\n# f\n* -done-\n-- g",
                "- a\n  - b\n1. c\n  - d\n2. e\ntext\n\n1. f\n- ~~done~~\n-- g",
            ),
            (
                "||Name||Value||\n|a|[x|https://e.example]|\n|two\nlines|!a.png|width=5!|\n| |b|\nend",
                "Name | Value\na | x (https://e.example)\ntwo lines | [a.png]\n | b\nend",
            ),
            ("| grep x\n|| not a row", "| grep x\n|| not a row"),
            (
                "!a.png! !b.png|thumbnail! !c.png|alt=\"a wow! b\"! !https://e.example/d.png!",
                "[a.png] [b.png] [c.png: a wow! b] https://e.example/d.png",
            ),
            ("!e.png|width=5,alt=\"e.png\",href=\"https://e.example\"!", "[e.png] (https://e.example)"),
            ("Stop! Now! wow!a.b!", "Stop! Now! wow!a.b!"),
            ("-old- +new+ ??who?? *b* _i_ ^x^ H{~}2{~}O", "~~old~~ new who *b* _i_ ^x^ H2O"),
            (
                "-rf --flag 2026-11-28 - x- C++ a+b+c +49 30 1+ what??",
                "-rf --flag 2026-11-28 - x- C++ a+b+c +49 30 1+ what??",
            ),
            ("(/) done (x) f(x) (x)y :) (i)", "\u{2705} done \u{274c} f(x) (x)y :) (i)"),
            ("https://e.example/-a-/_b_+c+[d|e]", "https://e.example/-a-/_b_+c+[d|e]"),
            (
                "{adf:display=block}\n{\"type\":\"table\",\"content\":[{\"type\":\"tableRow\",\"content\":[{\"type\":\"tableCell\",\"attrs\":{\"colspan\":2},\"content\":[{\"type\":\"paragraph\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"mention\",\"attrs\":{\"text\":\"@Jane\"}}]}]},{\"type\":\"tableCell\",\"content\":[{\"type\":\"paragraph\",\"content\":[{\"type\":\"text\",\"text\":\"b\",\"marks\":[{\"type\":\"link\",\"attrs\":{\"href\":\"https://e.example\"}}]}]}]}]}]}\n{adf}\nend",
                "a@Jane | b (https://e.example)\nend",
            ),
            ("{adf}no JSON{adf}", "{adf}no JSON{adf}"),
        ] {
            assert_eq!(to_text(wiki, Backslash::OfJira, &names()), text, "{wiki}");
        }
    }

    #[test]
    fn a_backslash_is_the_deployments() {
        let wiki = "\\[~jdoe] \\*x\\* C:\\temp a\\\\ b \\!a.png\\! \\\\srv";
        let of_jira = "[~jdoe] \\*x\\* C:\\temp a\\\\ b !a.png! \\\\srv";
        assert_eq!(to_text(wiki, Backslash::OfJira, &Names::new()), of_jira);
        let escapes = "[~jdoe] *x* C:\\temp a\nb !a.png! \\\\srv";
        assert_eq!(to_text(wiki, Backslash::Escapes, &Names::new()), escapes);
    }

    #[test]
    fn mentions_are_found() {
        let found = mentioned("[~accountid:5b10] x [~jdoe][~accountid:5b10] [~");
        assert_eq!(found, BTreeSet::from(["accountid:5b10".to_owned(), "jdoe".to_owned()]));
    }

    fn ugly() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[-#*_+?^~|%{}\\[\\]()!@\\\\&;:.,'\"/ ]",
            "[a-zA-Z0-9]{1,3}",
            Just("\n".to_owned()),
            prop::sample::select(vec![
                "{code}",
                "{code:java}",
                "{noformat}",
                "{quote}",
                "{panel:title=x}",
                "{panel}",
                "{color:red}",
                "{color}",
                "{adf}",
                "{{",
                "}}",
                "{{{}",
                "{}}}",
                "{*}",
                "[~",
                "[a|https://",
                "|smart-link]",
                "!a.png|",
                "alt=\"",
                "||",
                "\n|",
                "h1. ",
                "bq. ",
                "** ",
                "# ",
                "??",
                "*[ ",
                " ]*",
                "(/)",
                "\\\\",
                "https://",
                "\u{1f600}",
            ])
            .prop_map(str::to_owned),
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn long_texts_take_no_longer_for_each_character() {
        for piece in
            ["[a|", "{code}", "{code:", "{quote}\n", "|a\n", "||", "-a ", "!a.b|", "{{", "# x\n", "[~", "\\"]
        {
            let wiki = piece.repeat(200_000 / piece.len());
            for backslash in [Backslash::OfJira, Backslash::Escapes] {
                assert!(to_text(&wiki, backslash, &Names::new()).len() <= wiki.len() * 4, "{piece:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_the_length_has_a_bound(wiki in ugly()) {
            for backslash in [Backslash::OfJira, Backslash::Escapes] {
                let text = to_text(&wiki, backslash, &Names::new());
                prop_assert!(text.len() <= wiki.len() * 4 + 16, "{}", text);
            }
            let _ = mentioned(&wiki);
        }

        #[test]
        fn plain_text_stays(plain in "[a-zäß.,:0-9]{1,8}([ \n]{1,2}[a-zäß.,:0-9]{1,8}){0,5}") {
            prop_assert_eq!(to_text(&plain, Backslash::OfJira, &Names::new()), plain.clone());
            prop_assert_eq!(to_text(&plain, Backslash::Escapes, &Names::new()), plain);
        }

        #[test]
        fn no_word_is_lost(
            pieces in prop::collection::vec(
                ("([-#*_+?|!\\[\\](){} \n]|\\{quote\\}|\\{color:#ff5630\\}|\\{color\\}|\\{panel\\}|\\{\\{|\\}\\}|\\* |\\|\\|){0,2}", "[A-Z]{2,5}"), 0..20)
        ) {
            let wiki: String = pieces.iter().map(|(mark, word)| format!("{mark}{word}")).collect();
            let text = to_text(&wiki, Backslash::Escapes, &Names::new());
            let letters: String = text.chars().filter(char::is_ascii_uppercase).collect();
            let expected: String = pieces.iter().map(|(_, word)| word.as_str()).collect();
            prop_assert_eq!(letters, expected, "{}", wiki);
        }
    }
}
