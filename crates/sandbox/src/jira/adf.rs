//! Conversion between plain text and Atlassian documents, the bodies of REST version 3. Marks and macros are dropped.

use serde_json::{Value, json};

/// Converts text to a document with a paragraph for each line.
pub(super) fn document(text: &str) -> Value {
    let paragraphs: Vec<_> = text
        .split('\n')
        .map(|line| match line {
            "" => json!({"type": "paragraph", "content": []}),
            line => json!({"type": "paragraph", "content": [{"type": "text", "text": line}]}),
        })
        .collect();
    json!({"type": "doc", "version": 1, "content": paragraphs})
}

/// Converts a document to text; `None` if it is not a document.
pub(super) fn text(document: &Value) -> Option<String> {
    if document.get("type")? != "doc" || document.get("version")? != 1 {
        return None;
    }
    let blocks = document.get("content")?.as_array()?;
    let lines: Vec<_> = blocks.iter().map(block_text).collect();
    Some(lines.join("\n"))
}

fn block_text(node: &Value) -> String {
    match node.get("type").and_then(Value::as_str) {
        Some("text") => node.get("text").and_then(Value::as_str).unwrap_or_default().to_owned(),
        Some("hardBreak") => "\n".to_owned(),
        _ => node
            .get("content")
            .and_then(Value::as_array)
            .map(|children| children.iter().map(block_text).collect())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_being_a_document() {
        for sample in ["", "one line", "two\nlines", "a\n\nb"] {
            assert_eq!(text(&document(sample)).as_deref(), Some(sample));
        }
        assert_eq!(text(&json!("text")), None);
    }
}
